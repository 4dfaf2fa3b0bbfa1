//! Header values with a grammar of their own: `Transport`, `Session`, `RTP-Info`.

use std::{net::IpAddr, time::Duration};

/// The two sides of a track: a pair of channels or of UDP ports, RTP then RTCP.
pub type Pair<T> = (T, T);

/// How packets go (the lower transport).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lower {
    /// In frames on this connection.
    Tcp,
    /// In datagrams from one to one.
    Udp,
    /// In datagrams to a group.
    Multicast,
}

/// One `Transport` (RFC 2326 §12.39). Fields that were not given are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// How packets go.
    pub lower: Lower,
    /// The profile is `RTP/AVP`; others cannot be served.
    pub is_rtp_avp: bool,
    /// Channels of frames.
    pub interleaved: Option<Pair<u8>>,
    /// The client's UDP ports.
    pub client_port: Option<Pair<u16>>,
    /// The server's UDP ports.
    pub server_port: Option<Pair<u16>>,
    /// Where the server's packets come from, if it is an address.
    pub source: Option<IpAddr>,
    /// The sender's synchronization source.
    pub ssrc: Option<u32>,
    /// The client is going to send.
    pub record: bool,
}

impl Transport {
    /// Without any port.
    #[must_use]
    pub fn new(lower: Lower) -> Self {
        Self {
            lower,
            is_rtp_avp: true,
            interleaved: None,
            client_port: None,
            server_port: None,
            source: None,
            ssrc: None,
            record: false,
        }
    }

    /// All alternatives of a header value, in the sender's order. What makes no sense is left
    /// out.
    #[must_use]
    pub fn parse(value: &str) -> Vec<Self> {
        value.split(',').filter_map(Self::parse_one).collect()
    }

    fn parse_one(text: &str) -> Option<Self> {
        let mut fields = text.split(';').map(str::trim);
        let profile = fields
            .next()
            .filter(|profile| !profile.is_empty())?
            .to_ascii_uppercase();
        let mut found = Self::new(if profile.ends_with("/TCP") {
            Lower::Tcp
        } else {
            Lower::Udp
        });
        let plain = profile.trim_end_matches("/TCP").trim_end_matches("/UDP");
        found.is_rtp_avp = plain == "RTP/AVP";
        for field in fields {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let value = value.trim().trim_matches('"');
            match &*name.trim().to_ascii_lowercase() {
                "multicast" if found.lower == Lower::Udp => found.lower = Lower::Multicast,
                "interleaved" => found.interleaved = pair(value, 255).and_then(to_channels),
                "client_port" => found.client_port = pair(value, u16::MAX),
                "server_port" => found.server_port = pair(value, u16::MAX),
                "source" => found.source = value.parse().ok(),
                // Some write it with 0x or with spaces.
                "ssrc" => {
                    let digits = value.trim_start_matches("0x");
                    found.ssrc = u32::from_str_radix(digits, 16).ok();
                }
                "mode" => {
                    found.record = ["record", "receive"]
                        .iter()
                        .any(|mode| value.to_ascii_lowercase().contains(mode));
                }
                _ => {}
            }
        }
        Some(found)
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.lower {
            Lower::Tcp => "RTP/AVP/TCP;unicast",
            Lower::Udp => "RTP/AVP;unicast",
            Lower::Multicast => "RTP/AVP;multicast",
        })?;
        if let Some((rtp, rtcp)) = self.interleaved {
            write!(f, ";interleaved={rtp}-{rtcp}")?;
        }
        if let Some((rtp, rtcp)) = self.client_port {
            write!(f, ";client_port={rtp}-{rtcp}")?;
        }
        if let Some(source) = self.source {
            write!(f, ";source={source}")?;
        }
        if let Some((rtp, rtcp)) = self.server_port {
            write!(f, ";server_port={rtp}-{rtcp}")?;
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        if self.record {
            f.write_str(";mode=record")?;
        }
        Ok(())
    }
}

/// `4-5`, or `4` and its successor.
fn pair(text: &str, most: u16) -> Option<Pair<u16>> {
    let (first, second) = text.split_once('-').unwrap_or((text, ""));
    let first: u16 = first.trim().parse().ok()?;
    let second = match second.trim() {
        "" => first.checked_add(1)?,
        second => second.parse().ok()?,
    };
    (first <= most && second <= most).then_some((first, second))
}

fn to_channels((rtp, rtcp): Pair<u16>) -> Option<Pair<u8>> {
    Some((rtp.try_into().ok()?, rtcp.try_into().ok()?))
}

/// The session's identifier and, if given, its timeout (§12.37). Spaces around either are
/// forgiven.
#[must_use]
pub fn parse_session(value: &str) -> Option<(String, Option<Duration>)> {
    let mut fields = value.split(';').map(str::trim);
    let id = fields.next().filter(|id| !id.is_empty())?.to_owned();
    let timeout = fields.find_map(|field| {
        let (name, value) = field.split_once('=')?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        is_timeout.then(|| value.trim().parse().ok())?
    });
    Some((id, timeout.map(Duration::from_secs)))
}

/// Where a track begins (§12.33).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpInfo {
    /// The track's control URL, as it was written.
    pub url: String,
    /// The sequence number of the first packet.
    pub seq: Option<u16>,
    /// The RTP time of the range's start.
    pub rtptime: Option<u32>,
}

impl RtpInfo {
    /// All tracks of a header value. URLs may hold commas and semicolons, so a new track begins
    /// only where `url=` follows a comma.
    #[must_use]
    pub fn parse(value: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let tracks = value
            .split(',')
            .fold(Vec::<String>::new(), |mut tracks, part| {
                let is_new = part
                    .trim_start()
                    .get(..4)
                    .is_some_and(|s| s.eq_ignore_ascii_case("url="));
                match tracks.last_mut() {
                    Some(last) if !is_new => {
                        last.push(',');
                        last.push_str(part);
                    }
                    _ => tracks.push(part.to_owned()),
                }
                tracks
            });
        for track in tracks {
            found.extend(Self::parse_one(track.trim()));
        }
        found
    }

    fn parse_one(text: &str) -> Option<Self> {
        let mut info = Self {
            url: String::new(),
            seq: None,
            rtptime: None,
        };
        for field in text.split(';') {
            let (name, value) = field.split_once('=').unwrap_or(("", field));
            let value_trimmed = value.trim();
            match &*name.trim().to_ascii_lowercase() {
                "url" => info.url = value_trimmed.trim_matches('"').to_owned(),
                "seq" => info.seq = value_trimmed.parse().ok(),
                "rtptime" => info.rtptime = value_trimmed.parse().ok(),
                // The rest of a URL with a semicolon in it.
                _ if !info.url.is_empty() && info.seq.is_none() && info.rtptime.is_none() => {
                    info.url.push(';');
                    info.url.push_str(field);
                }
                _ => {}
            }
        }
        (!info.url.is_empty()).then_some(info)
    }
}

impl std::fmt::Display for RtpInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "url={}", self.url)?;
        if let Some(seq) = self.seq {
            write!(f, ";seq={seq}")?;
        }
        if let Some(rtptime) = self.rtptime {
            write!(f, ";rtptime={rtptime}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
