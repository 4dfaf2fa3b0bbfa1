//! What somebody else's track is: the formats that we can receive, from the words of SDP.
//!
//! Takes what cameras really write: other case, spaces, missing or unpadded values.

use bytes::Bytes;
use headworks_media::{
    AudioParameters, AudioSpecificConfig, G711Law, OPUS_CLOCK, VIDEO_CLOCK, VideoCodec,
    VideoParameters, nal::NalFormat,
};

use crate::{
    Error,
    fmtp::{Fmtp, from_hex},
    format::{PCMA_TYPE, PCMU_TYPE},
};

/// What an encoder of Opus usually needs at its start (RFC 7845 §4.2); RTP does not tell.
const USUAL_PRE_SKIP: u16 = 312;

/// More than any microphone has.
const MAX_SOUND_CLOCK: u32 = 192_000;
const MAX_CHANNELS: u8 = 8;

/// A format in somebody else's SDP, as far as it is written there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Described<'a> {
    /// The payload type of the media line.
    pub payload_type: u8,
    /// The encoding name of the rtpmap.
    pub encoding: Option<&'a str>,
    /// The clock rate of the rtpmap.
    pub clock_rate: Option<u32>,
    /// The encoding parameter of the rtpmap: channels.
    pub channels: Option<u8>,
    /// The value of the fmtp behind the payload type.
    pub fmtp: Option<&'a str>,
}

/// A track that we can receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The payload type of its packets.
    pub payload_type: u8,
    /// Ticks per second of its timestamps.
    pub clock_rate: u32,
    /// What it carries.
    pub codec: Codec,
}

/// What a track carries, as far as its description tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// H.264; the parameters may come in band only.
    H264(Option<VideoParameters>),
    /// H.265; the parameters may come in band only.
    H265(Option<VideoParameters>),
    /// AAC as `mpeg4-generic`.
    Aac(AudioParameters, AuHeaders),
    /// AAC as `MP4A-LATM`, with its configuration out of band.
    Latm(AudioParameters),
    /// G.711 or Opus: a packet is a frame.
    Plain(AudioParameters),
}

/// The bits of AU headers (RFC 3640 §3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuHeaders {
    /// `sizelength`
    pub size: u8,
    /// `indexlength`
    pub index: u8,
    /// `indexdeltalength`
    pub index_delta: u8,
}

impl Described<'_> {
    /// What it means; an error if we cannot receive it.
    pub fn media(&self) -> Result<Media, Error> {
        let name = match (self.encoding, self.payload_type) {
            (Some(name), _) => name.trim().to_ascii_lowercase(),
            (None, PCMU_TYPE) => "pcmu".to_owned(),
            (None, PCMA_TYPE) => "pcma".to_owned(),
            (None, other) => return Err(Error::Unsupported(format!("payload type {other}"))),
        };
        let fmtp = Fmtp(self.fmtp.unwrap_or_default());
        let rate = |usual| self.clock_rate.filter(|rate| *rate > 0).unwrap_or(usual);
        let (clock_rate, codec) = match &*name {
            "h264" => (rate(VIDEO_CLOCK), h264(fmtp)?),
            "h265" | "hevc" => (rate(VIDEO_CLOCK), h265(fmtp)?),
            "mpeg4-generic" => (rate(48_000), self.aac(fmtp, rate(48_000))?),
            "mp4a-latm" => (rate(VIDEO_CLOCK), self.latm(fmtp, rate(VIDEO_CLOCK))?),
            "pcmu" => (rate(8000), self.g711(G711Law::Mu, rate(8000))),
            "pcma" => (rate(8000), self.g711(G711Law::A, rate(8000))),
            "opus" => (OPUS_CLOCK, opus(fmtp)),
            _ => return Err(Error::Unsupported(name)),
        };
        self.check(&name, clock_rate, &codec)?;
        Ok(Media {
            payload_type: self.payload_type,
            clock_rate,
            codec,
        })
    }

    /// Pictures have one clock (RFC 6184 §8.2.1, RFC 7798 §7.1), sound one that makes sense.
    fn check(&self, name: &str, clock_rate: u32, codec: &Codec) -> Result<(), Error> {
        let is_known = match codec {
            Codec::H264(_) | Codec::H265(_) => clock_rate == VIDEO_CLOCK,
            Codec::Aac(..) | Codec::Latm(_) | Codec::Plain(_) => clock_rate <= MAX_SOUND_CLOCK,
        };
        if !is_known {
            let what = format!("{name} with a clock of {clock_rate} Hz");
            return Err(Error::Unsupported(what));
        }
        match self.channels {
            Some(channels) if channels > MAX_CHANNELS => {
                let what = format!("{name} of {channels} channels");
                Err(Error::Unsupported(what))
            }
            _ => Ok(()),
        }
    }

    fn g711(&self, law: G711Law, clock_rate: u32) -> Codec {
        Codec::Plain(AudioParameters::G711 {
            law,
            clock_rate,
            channels: self.channels.unwrap_or(1).max(1),
        })
    }

    fn aac(&self, fmtp: Fmtp<'_>, clock_rate: u32) -> Result<Codec, Error> {
        let known = fmtp.get("config").and_then(from_hex);
        let parse = |config| AudioParameters::aac(config, clock_rate).ok();
        // Without a usable configuration: AAC-LC of what the rtpmap says.
        let parameters = known
            .and_then(parse)
            .or_else(|| {
                let channels = self.channels.unwrap_or(1);
                let config = AudioSpecificConfig::low_complexity(clock_rate, channels)?;
                parse(Bytes::copy_from_slice(&config))
            })
            .ok_or_else(|| Error::Unsupported("AAC without a configuration".to_owned()))?;
        // RFC 3640 §3.3.5 and §3.3.6.
        let low_bit_rate = fmtp
            .get("mode")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("AAC-lbr"));
        let (size, index) = if low_bit_rate { (6, 2) } else { (13, 3) };
        let bits = |name, usual| match fmtp.get(name).and_then(|bits| bits.parse().ok()) {
            Some(bits) if bits <= 32 => bits,
            _ => usual,
        };
        let size = match bits("sizelength", size) {
            0 => size,
            bits => bits,
        };
        let headers = AuHeaders {
            size,
            index: bits("indexlength", index),
            index_delta: bits("indexdeltalength", index),
        };
        Ok(Codec::Aac(parameters, headers))
    }

    fn latm(&self, fmtp: Fmtp<'_>, clock_rate: u32) -> Result<Codec, Error> {
        let unsupported = |what: &str| Error::Unsupported(format!("MP4A-LATM {what}"));
        if fmtp.get("cpresent").is_some_and(|value| value != "0") {
            return Err(unsupported("with its configuration in band"));
        }
        let config = fmtp
            .get("config")
            .and_then(from_hex)
            .and_then(|config| audio_config_of_mux(&config))
            .ok_or_else(|| unsupported("without a configuration of one program and layer"))?;
        let parameters = AudioParameters::aac(config, clock_rate)
            .map_err(|error| unsupported(&error.to_string()))?;
        Ok(Codec::Latm(parameters))
    }
}

fn h264(fmtp: Fmtp<'_>) -> Result<Codec, Error> {
    if fmtp.get("packetization-mode") == Some("2") {
        return Err(Error::Unsupported("interleaved H.264".to_owned()));
    }
    let (mut sps, mut pps) = (None, None);
    for unit in fmtp.units("sprop-parameter-sets") {
        match NalFormat::H264.unit_type(unit[0]) {
            7 => sps.get_or_insert(unit),
            8 => pps.get_or_insert(unit),
            _ => continue,
        };
    }
    let codec = sps.zip(pps).map(|(sps, pps)| VideoCodec::H264 { sps, pps });
    // What does not parse may still come in band.
    Ok(Codec::H264(
        codec.and_then(|codec| VideoParameters::new(codec).ok()),
    ))
}

fn h265(fmtp: Fmtp<'_>) -> Result<Codec, Error> {
    if fmtp
        .get("sprop-max-don-diff")
        .is_some_and(|diff| diff != "0")
    {
        return Err(Error::Unsupported(
            "H.265 with decoding order numbers".to_owned(),
        ));
    }
    let (mut vps, mut sps, mut pps) = (None, None, None);
    for unit in ["sprop-vps", "sprop-sps", "sprop-pps"]
        .into_iter()
        .flat_map(|name| fmtp.units(name))
    {
        match NalFormat::H265.unit_type(unit[0]) {
            32 => vps.get_or_insert(unit),
            33 => sps.get_or_insert(unit),
            34 => pps.get_or_insert(unit),
            _ => continue,
        };
    }
    let codec = vps
        .zip(sps.zip(pps))
        .map(|(vps, (sps, pps))| VideoCodec::H265 { vps, sps, pps });
    Ok(Codec::H265(
        codec.and_then(|codec| VideoParameters::new(codec).ok()),
    ))
}

fn opus(fmtp: Fmtp<'_>) -> Codec {
    // Two channels can hold one, not the other way round.
    let mono = fmtp.get("sprop-stereo") == Some("0");
    Codec::Plain(AudioParameters::Opus {
        channels: if mono { 1 } else { 2 },
        pre_skip: USUAL_PRE_SKIP,
    })
}

/// The AudioSpecificConfig inside a StreamMuxConfig (ISO/IEC 14496-3 §1.7.3) of one program, one
/// layer and one frame per packet: the bits behind the first 15.
fn audio_config_of_mux(mux: &[u8]) -> Option<Bytes> {
    // audioMuxVersion 0, allStreamsSameTimeFraming 1, then no more sub-frames, programs, layers.
    const SIMPLE: u16 = 0x4000;
    let (head, _) = mux.split_first_chunk::<2>()?;
    if u16::from_be_bytes(*head) & 0xfffe != SIMPLE {
        return None;
    }
    let shifted = mux[1..].windows(2).map(|pair| pair[0] << 7 | pair[1] >> 1);
    let mut config: Vec<u8> = shifted.collect();
    // The usual two bytes end here; what is longer is left to the decoder, which stops by itself.
    let object_type = config.first()? >> 3;
    let rate_index = u16::from_be_bytes([config[0], *config.get(1)?]) >> 7 & 0x0f;
    if !matches!(object_type, 5 | 29 | 31) && rate_index != 15 {
        config.truncate(2);
    }
    Some(config.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Format, testing};

    fn described<'a>(encoding: &'a str, clock_rate: u32, fmtp: &'a str) -> Described<'a> {
        Described {
            payload_type: 96,
            encoding: Some(encoding),
            clock_rate: Some(clock_rate),
            channels: None,
            fmtp: Some(fmtp),
        }
    }

    #[test]
    fn our_own_words_mean_what_they_should() {
        let read = |format: &Format| {
            let mut words = format.rtpmap.split('/');
            let media = Described {
                payload_type: format.payload_type,
                encoding: words.next(),
                clock_rate: words.next().and_then(|word| word.parse().ok()),
                channels: words.next().and_then(|word| word.parse().ok()),
                fmtp: format.fmtp.as_deref(),
            };
            media.media().expect("is understood").codec
        };
        for (video, is_h264) in [(testing::h264(), true), (testing::h265(), false)] {
            let codec = read(&Format::video(&video).expect("is carried"));
            let expected = if is_h264 { Codec::H264 } else { Codec::H265 };
            assert_eq!(codec, expected(Some(video)));
        }
        for audio in [testing::g711(), testing::opus()] {
            assert_eq!(read(&Format::audio(&audio)), Codec::Plain(audio));
        }
        let headers = AuHeaders {
            size: 13,
            index: 3,
            index_delta: 3,
        };
        let aac = read(&Format::audio(&testing::aac()));
        assert_eq!(aac, Codec::Aac(testing::aac(), headers));
    }

    #[test]
    fn odd_cameras() {
        let sets = |fmtp: &str| match described("h264", 90_000, fmtp)
            .media()
            .expect("is understood")
            .codec
        {
            Codec::H264(parameters) => parameters,
            other => panic!("{other:?}"),
        };
        let expected = Some(testing::h264());
        // Without padding, with spaces, other case, a set twice, something else between.
        assert_eq!(
            sets(
                " Packetization-Mode = 1; SPROP-Parameter-Sets = \
                 Z2QAHqzZQKAv+XARAAADAAEAAAMAMg8WLZY , Z2QAHqzZ,aOvjyyLA==,, Bgg= ;"
            ),
            expected
        );
        // With start codes.
        assert_eq!(
            sets("sprop-parameter-sets=AAAAAWdkAB6s2UCgL/lwEQAAAwABAAADADIPFi2W,AAAAAWjr48siwA=="),
            expected
        );
        // Missing, cut off, or not base64: they may come in band.
        for fmtp in [
            "",
            "sprop-parameter-sets=Z2QAHqzZ",
            "sprop-parameter-sets=%%,%%",
        ] {
            assert_eq!(sets(fmtp), None);
        }
        let interleaved = described("H264", 90_000, "packetization-mode=2").media();
        assert_eq!(
            interleaved,
            Err(Error::Unsupported("interleaved H.264".to_owned()))
        );
    }

    #[test]
    fn odd_audio() {
        let config = |fmtp: &str| match described("MPEG4-GENERIC", 48_000, fmtp).media() {
            Ok(Media {
                codec: Codec::Aac(AudioParameters::Aac { config, .. }, bits),
                ..
            }) => (config.to_vec(), (bits.size, bits.index, bits.index_delta)),
            other => panic!("{other:?}"),
        };
        let usual = (13, 3, 3);
        assert_eq!(
            config("config=1190; mode=aac-HBR; SizeLength=13"),
            (vec![0x11, 0x90], usual)
        );
        assert_eq!(
            config("Config=119056E500"),
            (vec![0x11, 0x90, 0x56, 0xe5, 0], usual)
        );
        assert_eq!(config("config=\"1190\""), (vec![0x11, 0x90], usual));
        // Nothing usable: AAC-LC of one channel at the clock rate.
        assert_eq!(config("config=zz"), (vec![0x11, 0x88], usual));
        assert_eq!(config("mode=AAC-lbr").1, (6, 2, 2));
        let latm = described("MP4A-LATM", 48_000, "cpresent=0;config=400023203FC0").media();
        let Ok(Media {
            codec: Codec::Latm(AudioParameters::Aac { config, .. }),
            ..
        }) = latm
        else {
            panic!("{latm:?}");
        };
        assert_eq!(config[..], [0x11, 0x90]);
        let static_type = Described {
            payload_type: 0,
            ..Described::default()
        };
        let media = static_type.media().expect("is understood");
        assert_eq!((media.clock_rate, media.payload_type), (8000, 0));
        for (name, clock_rate, words) in [
            ("H264", 90_001, "h264 with a clock of 90001 Hz"),
            ("PCMA", 192_001, "pcma with a clock of 192001 Hz"),
        ] {
            let error = described(name, clock_rate, "").media();
            assert_eq!(error, Err(Error::Unsupported(words.to_owned())));
        }
        let many = Described {
            channels: Some(9),
            ..described("PCMU", 8000, "")
        };
        let words = "pcmu of 9 channels".to_owned();
        assert_eq!(many.media(), Err(Error::Unsupported(words)));
        let error = described("JPEG", 90_000, "")
            .media()
            .expect_err("is refused");
        assert_eq!(error.to_string(), "RTP cannot carry jpeg here");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            name in "(h264|h265|mpeg4-generic|mp4a-latm|opus|pcma|.*)",
            key in "(sprop-parameter-sets|sprop-sps|config|mode|sizelength)",
            value in "[A-Za-z0-9+/=, ]{0,80}|.*",
            rest: String, rate: u32, channels: u8, payload_type: u8,
        ) {
            let fmtp = format!("{key}={value};{rest}");
            let _ = Described {
                payload_type,
                encoding: Some(&name),
                clock_rate: Some(rate),
                channels: Some(channels),
                fmtp: Some(&fmtp),
            }.media();
        }
    }
}
