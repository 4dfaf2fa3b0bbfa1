//! AAC: AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1) and ADTS.

use crate::{Error, bits::Bits};

mod adts;

pub use adts::{AdtsFrame, AdtsHeader, AdtsReader};

const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// What an AudioSpecificConfig says at its start. The bytes themselves are kept elsewhere, whole:
/// decoders want exactly what the encoder wrote, trailing extensions too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// 2 is AAC-LC, 5 HE-AAC, 29 HE-AAC v2 (table 1.17).
    pub object_type: u8,
    /// Samples per second of the core.
    pub sample_rate: u32,
    /// Number of channels; 2 where the stream itself defines them.
    pub channels: u8,
    /// Samples per access unit, at that rate: 1024, rarely 960; 512 or 480 for low delay.
    pub frame_length: u16,
}

impl AudioSpecificConfig {
    /// Parses the start of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(bytes).ok_or_else(|| {
            Error::parameter_set("AudioSpecificConfig", bytes, "too short or out of range")
        })
    }

    /// AAC-LC; `None` if two bytes cannot say it.
    #[must_use]
    pub fn low_complexity(sample_rate: u32, channels: u8) -> Option<[u8; 2]> {
        const LOW_COMPLEXITY: u16 = 2;
        let index = SAMPLE_RATES.iter().position(|rate| *rate == sample_rate)? as u16;
        let channels = match channels {
            8 => 7,
            1..=6 => u16::from(channels),
            _ => return None,
        };
        Some((LOW_COMPLEXITY << 11 | index << 7 | channels << 3).to_be_bytes())
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(bytes);
        let object_type = object_type(&mut bits)?;
        let sample_rate = sample_rate(&mut bits)?;
        let channels = match bits.take(4)? {
            0 => 2,
            count @ 1..=6 => count,
            7 => 8,
            _ => return None,
        };
        (sample_rate > 0).then_some(Self {
            object_type: object_type as u8,
            sample_rate,
            channels: channels as u8,
            frame_length: frame_length(object_type, &mut bits),
        })
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(5)? {
        31 => Some(32 + bits.take(6)?),
        object_type => Some(object_type),
    }
}

fn sample_rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(4)? {
        15 => bits.take(24),
        index => SAMPLE_RATES.get(index as usize).copied(),
    }
}

/// frameLengthFlag of GASpecificConfig (§4.4.1) or of ELDSpecificConfig, which is the first bit of
/// both. HE-AAC (5 and 29) tells its output's rate and its core's type before it. The long form, if
/// that is not there.
fn frame_length(mut object_type: u32, bits: &mut Bits<'_>) -> u16 {
    const EXTENSIONS: [u32; 2] = [5, 29];
    const LOW_DELAY: [u32; 2] = [23, 39];
    let mut short = || {
        if EXTENSIONS.contains(&object_type) {
            sample_rate(bits)?;
            object_type = self::object_type(bits)?;
        }
        bits.flag()
    };
    let short = short().unwrap_or(false);
    match (LOW_DELAY.contains(&object_type), short) {
        (false, false) => 1024,
        (false, true) => 960,
        (true, false) => 512,
        (true, true) => 480,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn common_configurations() {
        let parse = |bytes: &[u8]| AudioSpecificConfig::parse(bytes).expect("parses");
        let lc = AudioSpecificConfig {
            object_type: 2,
            sample_rate: 48_000,
            channels: 2,
            frame_length: 1024,
        };
        assert_eq!(parse(&[0x11, 0x90]), lc);
        // As FFmpeg writes it, with an SBR sync extension behind it.
        assert_eq!(parse(&[0x11, 0x90, 0x56, 0xe5, 0x00]), lc);
        assert_eq!(parse(&[0x15, 0x88]).sample_rate, 8_000);
        assert_eq!(parse(&[0x11, 0x94]).frame_length, 960);
        assert!(AudioSpecificConfig::parse(&[0x11]).is_err());
    }

    #[test]
    fn he_aac_has_long_and_short_frames() {
        // A core of 24 kHz, 48 kHz out, then AAC-LC.
        for (bytes, length) in [
            ([0x2b, 0x11, 0x88, 0x00], 1024),
            ([0x2b, 0x11, 0x8a, 0x00], 960),
        ] {
            let parsed = AudioSpecificConfig::parse(&bytes).expect("parses");
            assert_eq!((parsed.object_type, parsed.sample_rate), (5, 24_000));
            assert_eq!(parsed.frame_length, length);
        }
        // What it needs for that is cut off.
        let parsed = AudioSpecificConfig::parse(&[0x2b, 0x10]).expect("parses");
        assert_eq!(parsed.frame_length, 1024);
    }

    #[test]
    fn what_is_written_is_read() {
        for (rate, channels) in [(48_000, 2), (8_000, 1), (96_000, 8)] {
            let bytes = AudioSpecificConfig::low_complexity(rate, channels).expect("is said");
            let parsed = AudioSpecificConfig::parse(&bytes).expect("parses");
            let read = (parsed.object_type, parsed.sample_rate, parsed.channels);
            assert_eq!(read, (2, rate, channels));
        }
        assert_eq!(AudioSpecificConfig::low_complexity(48_001, 2), None);
        assert_eq!(AudioSpecificConfig::low_complexity(48_000, 7), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = AudioSpecificConfig::parse(&bytes);
        }
    }
}
