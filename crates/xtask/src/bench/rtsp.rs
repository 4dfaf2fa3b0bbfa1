//! A player's side of RTSP (RFC 2326), as little as is needed to play from a server that we know:
//! `DESCRIBE`, `SETUP` of two tracks, `PLAY`. It holds no socket.

use anyhow::{Context, bail, ensure};

/// How media is to come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Transport {
    /// In the same connection, on channels 0 to 3.
    Tcp,
    /// To these two RTP ports, picture and sound; RTCP to the ports behind them.
    Udp([u16; 2]),
}

/// An empty receiver report on channel 1 (RFC 3550 §6.4.2): shows that a player is alive, and needs
/// no answer.
pub(super) const ALIVE: [u8; 12] = [b'$', 1, 0, 8, 0x80, 201, 0, 1, 0, 0, 0, 1];

/// A dialogue under way.
#[derive(Debug)]
pub(super) struct Dialogue {
    url: String,
    transport: Transport,
    /// What comes next.
    step: Step,
    controls: Vec<String>,
    session: Option<String>,
    input: Vec<u8>,
    sequence: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Described,
    SetUp(usize),
    Playing,
    Done,
}

impl Dialogue {
    /// Plays `url`; the second is what to send first.
    pub(super) fn start(url: &str, transport: Transport) -> (Self, Vec<u8>) {
        let mut dialogue = Self {
            url: url.to_owned(),
            transport,
            step: Step::Described,
            controls: Vec::new(),
            session: None,
            input: Vec::new(),
            sequence: 0,
        };
        let first = dialogue.request("DESCRIBE", url, "Accept: application/sdp\r\n");
        (dialogue, first)
    }

    pub(super) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// What came behind the last answer.
    pub(super) fn rest(self) -> Vec<u8> {
        self.input
    }

    /// Takes bytes of the server, and returns what to send.
    pub(super) fn input(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.input.extend_from_slice(bytes);
        let mut send = Vec::new();
        while self.step != Step::Done
            && let Some((head, body)) = self.answer()?
        {
            send.extend(self.take(&head, &body)?);
        }
        Ok(send)
    }

    /// The next whole answer.
    fn answer(&mut self) -> anyhow::Result<Option<(String, String)>> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = self.input.windows(END.len()).position(|four| four == END) else {
            ensure!(self.input.len() < 1 << 16, "the answer has no end");
            return Ok(None);
        };
        let end = end + END.len();
        let head = String::from_utf8_lossy(&self.input[..end]).into_owned();
        let length = match header(&head, "content-length") {
            Some(length) => length.parse().context("a length")?,
            None => 0,
        };
        if self.input.len() < end + length {
            return Ok(None);
        }
        let body = String::from_utf8_lossy(&self.input[end..end + length]).into_owned();
        self.input.drain(..end + length);
        Ok(Some((head, body)))
    }

    fn take(&mut self, head: &str, body: &str) -> anyhow::Result<Vec<u8>> {
        let status = head.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200 "), "the server says {status:?}");
        if let Some(session) = header(head, "session") {
            let id = session.split(';').next().unwrap_or_default();
            self.session = Some(id.to_owned());
        }
        match self.step {
            Step::Described => {
                let base = header(head, "content-base").unwrap_or(&self.url).to_owned();
                self.controls = controls(&base, body);
                ensure!(self.controls.len() == 2, "not two tracks in {body:?}");
                self.step = Step::SetUp(0);
            }
            Step::SetUp(index) if index + 1 < self.controls.len() => {
                self.step = Step::SetUp(index + 1);
            }
            Step::SetUp(_) => self.step = Step::Playing,
            Step::Playing => self.step = Step::Done,
            Step::Done => bail!("an answer to nothing"),
        }
        Ok(match self.step {
            Step::SetUp(index) => {
                let control = self.controls[index].clone();
                let transport = self.transport.header(index);
                self.request("SETUP", &control, &transport)
            }
            Step::Playing => {
                let url = self.url.clone();
                self.request("PLAY", &url, "Range: npt=0.000-\r\n")
            }
            Step::Described | Step::Done => Vec::new(),
        })
    }

    fn request(&mut self, method: &str, url: &str, headers: &str) -> Vec<u8> {
        self.sequence += 1;
        let session = match &self.session {
            Some(session) => format!("Session: {session}\r\n"),
            None => String::new(),
        };
        let sequence = self.sequence;
        format!("{method} {url} RTSP/1.0\r\nCSeq: {sequence}\r\n{session}{headers}\r\n")
            .into_bytes()
    }
}

impl Transport {
    fn header(self, track: usize) -> String {
        match self {
            Self::Tcp => {
                let first = track * 2;
                let last = first + 1;
                format!("Transport: RTP/AVP/TCP;unicast;interleaved={first}-{last}\r\n")
            }
            Self::Udp(ports) => {
                let first = ports[track];
                let last = first + 1;
                format!("Transport: RTP/AVP;unicast;client_port={first}-{last}\r\n")
            }
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// Where each track is set up (RFC 2326 C.1.1).
fn controls(base: &str, description: &str) -> Vec<String> {
    let tracks = description.split("\nm=").skip(1);
    tracks
        .filter_map(|track| {
            let control = track
                .lines()
                .find_map(|line| line.trim_end().strip_prefix("a=control:"))?;
            Some(if control.starts_with("rtsp://") {
                control.to_owned()
            } else {
                format!("{}/{control}", base.trim_end_matches('/'))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=control:trackID=0\r\n\
                       m=audio 0 RTP/AVP 97\r\na=control:trackID=1\r\n";

    fn answer(more: &str, body: &str) -> String {
        let length = body.len();
        format!("RTSP/1.0 200 OK\r\n{more}Content-Length: {length}\r\n\r\n{body}")
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("is text")
    }

    #[test]
    fn two_tracks_are_set_up_and_played() {
        let (mut dialogue, first) = Dialogue::start("rtsp://h/a?token=t", Transport::Tcp);
        assert!(text(first).starts_with("DESCRIBE rtsp://h/a?token=t RTSP/1.0\r\nCSeq: 1\r\n"));
        let described = answer("Content-Base: rtsp://h/a/\r\n", SDP);
        let (one, two) = described.split_at(40);
        assert_eq!(text(dialogue.input(one.as_bytes()).unwrap()), "");
        let setup = text(dialogue.input(two.as_bytes()).unwrap());
        assert!(setup.starts_with("SETUP rtsp://h/a/trackID=0 "), "{setup}");
        let session = answer("Session: 12;timeout=60\r\n", "");
        let setup = text(dialogue.input(session.as_bytes()).unwrap());
        assert!(setup.contains("trackID=1 ") && setup.contains("interleaved=2-3"));
        let play = text(dialogue.input(session.as_bytes()).unwrap());
        assert!(
            play.starts_with("PLAY ") && play.contains("Session: 12\r\n"),
            "{play}"
        );
        assert!(!dialogue.is_done());
        dialogue
            .input((answer("", "") + "$more").as_bytes())
            .unwrap();
        assert!(dialogue.is_done());
        assert_eq!(dialogue.rest(), b"$more");
    }

    #[test]
    fn a_refusal_is_an_error_in_the_servers_words() {
        let (mut dialogue, _) = Dialogue::start("rtsp://h/a", Transport::Udp([6, 8]));
        let refused = dialogue.input(b"RTSP/1.0 404 Not Found\r\n\r\n");
        assert!(refused.unwrap_err().to_string().contains("404 Not Found"));
    }
}
