//! What decoders have to know of a stream before its first frame.

use bytes::Bytes;
use mp4_atom::{Atom, Av1c, Avcc, Hvcc};

use crate::{AudioSpecificConfig, Error, av1, h264, h265};

/// The tracks of a stream. A stream of a camera always has a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracks {
    /// Its picture.
    pub video: VideoParameters,
    /// Its sound, if it has any.
    pub audio: Option<AudioParameters>,
}

impl Tracks {
    /// True if a session can go on with these tracks instead of those before: sound has neither
    /// come nor gone, and keeps its clock.
    #[must_use]
    pub fn goes_on_from(&self, before: &Self) -> bool {
        let clock = |tracks: &Self| tracks.audio.as_ref().map(AudioParameters::clock_rate);
        clock(self) == clock(before)
    }
}

/// What a decoder has to know of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoParameters {
    codec: VideoCodec,
    record: Record,
    width: u32,
    height: u32,
    pixel_aspect: Option<(u16, u16)>,
    codec_string: String,
    reorder_depth: usize,
}

/// A video compression format and its parameter sets. Those of H.264 and H.265 are NAL units
/// without start codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264 (AVC).
    H264 {
        /// Sequence parameter set.
        sps: Bytes,
        /// Picture parameter set.
        pps: Bytes,
    },
    /// H.265 (HEVC).
    H265 {
        /// Video parameter set.
        vps: Bytes,
        /// Sequence parameter set.
        sps: Bytes,
        /// Picture parameter set.
        pps: Bytes,
    },
    /// AV1.
    Av1 {
        /// The sequence header OBU with its size field, as `configOBUs` of av1C holds it (AV1 in
        /// ISOBMFF §2.3.4).
        sequence_header: Bytes,
    },
}

/// A decoder configuration record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Avc(Avcc),
    Hevc(Hvcc),
    Av1(Av1c),
}

impl VideoParameters {
    /// Reads what the parameter sets say.
    pub fn new(codec: VideoCodec) -> Result<Self, Error> {
        match &codec {
            VideoCodec::H264 { sps, pps } => {
                let parsed = h264::parse_sps(sps)?;
                fits("PPS", pps)?;
                fits("SPS", sps)?;
                Ok(Self {
                    record: Record::Avc(h264::configuration(&parsed, sps, pps)),
                    width: parsed.width,
                    height: parsed.height,
                    pixel_aspect: parsed.pixel_aspect,
                    codec_string: h264::codec_string(sps),
                    reorder_depth: parsed.reorder_depth,
                    codec,
                })
            }
            VideoCodec::H265 { vps, sps, pps } => {
                let parsed = h265::parse_sps(sps)?;
                fits("VPS", vps)?;
                fits("PPS", pps)?;
                fits("SPS", sps)?;
                Ok(Self {
                    record: Record::Hevc(h265::configuration(&parsed, vps, sps, pps)),
                    width: parsed.width,
                    height: parsed.height,
                    pixel_aspect: None,
                    codec_string: h265::codec_string(&parsed),
                    reorder_depth: parsed.reorder_depth,
                    codec,
                })
            }
            VideoCodec::Av1 { sequence_header } => {
                let parsed = av1::parse_sequence_header(sequence_header)?;
                fits("AV1 sequence header", sequence_header)?;
                Ok(Self {
                    record: Record::Av1(av1::configuration(&parsed, sequence_header)),
                    width: parsed.width,
                    height: parsed.height,
                    pixel_aspect: None,
                    codec_string: av1::codec_string(&parsed),
                    // A temporal unit shows one picture: hidden ones are inside of it.
                    reorder_depth: 0,
                    codec,
                })
            }
        }
    }

    /// The format and its parameter sets.
    #[must_use]
    pub fn codec(&self) -> &VideoCodec {
        &self.codec
    }

    /// Width in pixels, cropped.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, cropped.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Width and height of a pixel, where the stream says that they differ or not.
    #[must_use]
    pub fn pixel_aspect(&self) -> Option<(u16, u16)> {
        self.pixel_aspect
    }

    /// As in `CODECS` of HLS and in `MediaSource.isTypeSupported` (RFC 6381).
    #[must_use]
    pub fn codec_string(&self) -> &str {
        &self.codec_string
    }

    /// How many pictures may come before another and be shown after it; 0 means no B-frames.
    #[must_use]
    pub fn reorder_depth(&self) -> usize {
        self.reorder_depth
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The body of `avcC`, `hvcC` or `av1C`, which FLV carries too.
    #[must_use]
    pub fn configuration(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = match &self.record {
            Record::Avc(record) => record.encode_body(&mut bytes),
            Record::Hevc(record) => record.encode_body(&mut bytes),
            Record::Av1(record) => record.encode_body(&mut bytes),
        };
        written.expect("lengths and depths were checked when the parameter sets were parsed");
        bytes
    }
}

/// Configuration records have 16 bits for the length of a parameter set.
fn fits(set: &'static str, nal: &[u8]) -> Result<(), Error> {
    if nal.is_empty() || nal.len() > usize::from(u16::MAX) {
        return Err(Error::parameter_set(set, nal, "empty or too long"));
    }
    Ok(())
}

/// What a decoder has to know of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioParameters {
    /// AAC.
    Aac {
        /// The AudioSpecificConfig, byte for byte as the encoder wrote it.
        config: Bytes,
        /// What it says.
        parsed: AudioSpecificConfig,
        /// Ticks per second of the track's timestamps.
        clock_rate: u32,
    },
    /// G.711 (ITU-T G.711).
    G711 {
        /// Which of the two.
        law: G711Law,
        /// Samples per second; the clock of the timestamps.
        clock_rate: u32,
        /// Number of channels.
        channels: u8,
    },
    /// Opus (RFC 6716). Its timestamps count in [`OPUS_CLOCK`].
    Opus {
        /// Number of channels: 1 or 2.
        channels: u8,
        /// Samples to drop at the start, at 48 kHz (RFC 7845 §4.2).
        pre_skip: u16,
    },
}

/// Ticks per second of Opus timestamps, whatever the encoder's input was (RFC 7587 §4.1).
pub const OPUS_CLOCK: u32 = 48_000;

/// How G.711 compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum G711Law {
    /// A-law (PCMA).
    A,
    /// µ-law (PCMU).
    Mu,
}

impl AudioParameters {
    /// AAC with timestamps that count in `clock_rate`.
    pub fn aac(config: Bytes, clock_rate: u32) -> Result<Self, Error> {
        let parsed = AudioSpecificConfig::parse(&config)?;
        if clock_rate == 0 {
            let reason = "a clock rate of 0";
            return Err(Error::parameter_set("AudioSpecificConfig", &config, reason));
        }
        Ok(Self::Aac {
            config,
            parsed,
            clock_rate,
        })
    }

    /// Ticks per second of the track's timestamps.
    #[must_use]
    pub fn clock_rate(&self) -> u32 {
        match self {
            Self::Aac { clock_rate, .. } | Self::G711 { clock_rate, .. } => *clock_rate,
            Self::Opus { .. } => OPUS_CLOCK,
        }
    }

    /// Number of channels.
    #[must_use]
    pub fn channels(&self) -> u8 {
        match self {
            Self::Aac { parsed, .. } => parsed.channels,
            Self::G711 { channels, .. } | Self::Opus { channels, .. } => *channels,
        }
    }

    /// As in `CODECS` of HLS (RFC 6381); `None` where MP4 has no entry for it.
    #[must_use]
    pub fn codec_string(&self) -> Option<String> {
        match self {
            Self::Aac { parsed, .. } => Some(format!("mp4a.40.{}", parsed.object_type)),
            Self::G711 { .. } => None,
            Self::Opus { .. } => Some("opus".to_owned()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Bytes {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal"))
            .collect()
    }

    /// x264, High profile, 640x360, two B-frames.
    pub(crate) fn h264() -> VideoParameters {
        VideoParameters::new(VideoCodec::H264 {
            sps: hex("6764001eacd940a02ff97011000003000100000300320f162d96"),
            pps: hex("68ebe3cb22c0"),
        })
        .expect("parses")
    }

    /// x265, Main profile, 1280x720.
    pub(crate) fn h265() -> VideoParameters {
        VideoParameters::new(VideoCodec::H265 {
            vps: hex("40010c01ffff01600000030090000003000003005d959809"),
            sps: hex(
                "42010101600000030090000003000003005da00280802d165959a4932bc05a0200000300020000030\
                 03210",
            ),
            pps: hex("4401c172b46240"),
        })
        .expect("parses")
    }

    /// SVT-AV1, Main profile, 320x180.
    pub(crate) fn av1() -> VideoParameters {
        VideoParameters::new(VideoCodec::Av1 {
            sequence_header: hex("0a0b000000043cfecc02f80040"),
        })
        .expect("parses")
    }

    pub(crate) fn aac() -> AudioParameters {
        AudioParameters::aac(Bytes::from_static(&[0x11, 0x90]), 48_000).expect("parses")
    }

    #[test]
    fn new_sound_is_a_new_session() {
        let tracks = |audio| Tracks {
            video: h264(),
            audio,
        };
        let opus = |channels| AudioParameters::Opus {
            channels,
            pre_skip: 0,
        };
        assert!(tracks(Some(aac())).goes_on_from(&tracks(Some(opus(1)))));
        assert!(!tracks(Some(aac())).goes_on_from(&tracks(None)));
        assert!(!tracks(None).goes_on_from(&tracks(Some(aac()))));
    }

    #[test]
    fn h264_parameters() {
        let video = h264();
        assert_eq!((video.width(), video.height()), (640, 360));
        assert_eq!(video.codec_string(), "avc1.64001e");
        assert_eq!(video.reorder_depth(), 2);
        // As FFmpeg writes it for this stream.
        assert_eq!(
            video.configuration(),
            hex(
                "0164001effe1001a6764001eacd940a02ff97011000003000100000300320f162d9601000668ebe3cb\
                 22c0fdf8f800"
            )
        );
    }

    #[test]
    fn baseline_is_never_reordered_and_cropping_counts() {
        let video = VideoParameters::new(VideoCodec::H264 {
            sps: hex("6742c00dd901519e226c0440000003004000000c83c50a92"),
            pps: hex("68cb83cb20"),
        })
        .expect("parses");
        assert_eq!((video.width(), video.height()), (322, 182));
        assert_eq!(video.codec_string(), "avc1.42c00d");
        assert_eq!(video.reorder_depth(), 0);
    }

    #[test]
    fn h265_parameters() {
        let video = h265();
        assert_eq!((video.width(), video.height()), (1280, 720));
        assert_eq!(video.codec_string(), "hvc1.1.6.L93.90");
        assert_eq!(video.reorder_depth(), 2);
        assert_eq!(
            video.configuration()[..13],
            hex("0101600000009000000000005d")[..]
        );
    }

    #[test]
    fn av1_parameters() {
        let video = av1();
        assert_eq!((video.width(), video.height()), (320, 180));
        assert_eq!(video.codec_string(), "av01.0.00M.08");
        // As FFmpeg writes it for this stream.
        let record = hex("81000c000a0b000000043cfecc02f80040");
        assert_eq!(video.configuration(), record);
    }

    proptest! {
        #[test]
        fn damaged_parameter_sets_never_panic(at in 0_usize..60, value: u8, cut in 0_usize..80) {
            for video in [h264(), h265()] {
                let (VideoCodec::H264 { sps, .. } | VideoCodec::H265 { sps, .. }) = video.codec() else {
                    unreachable!("one of the two above");
                };
                let mut sps = sps.to_vec();
                sps.truncate(cut);
                if let Some(byte) = sps.get_mut(at) {
                    *byte = value;
                }
                let sps = Bytes::from(sps);
                let pps = Bytes::from_static(&[0x68]);
                for codec in [
                    VideoCodec::H264 { sps: sps.clone(), pps: pps.clone() },
                    VideoCodec::H265 { vps: pps.clone(), sps: sps.clone(), pps: pps.clone() },
                ] {
                    if let Ok(video) = VideoParameters::new(codec) {
                        prop_assert!(video.configuration().len() > 7);
                    }
                }
            }
        }

        #[test]
        fn garbage_never_panics(mut sps: Vec<u8>) {
            for first in [0x67, 0x42] {
                if let Some(byte) = sps.first_mut() {
                    *byte = first;
                }
                let sps = Bytes::from(sps.clone());
                let _ = VideoParameters::new(VideoCodec::H264 { sps: sps.clone(), pps: sps.clone() });
                let _ = VideoParameters::new(VideoCodec::H265 { vps: sps.clone(), sps: sps.clone(), pps: sps });
            }
        }
    }
}
