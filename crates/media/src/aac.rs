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

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(bytes);
        let mut object_type = bits.take(5)?;
        if object_type == 31 {
            object_type = 32 + bits.take(6)?;
        }
        let sample_rate = match bits.take(4)? {
            15 => bits.take(24)?,
            index => *SAMPLE_RATES.get(index as usize)?,
        };
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

/// frameLengthFlag of GASpecificConfig (§4.4.1) or of ELDSpecificConfig, which is the first bit of
/// both. HE-AAC (5 and 29) has its extension before it, and is never short.
fn frame_length(object_type: u32, bits: &mut Bits<'_>) -> u16 {
    const LOW_DELAY: [u32; 2] = [23, 39];
    let long = matches!(object_type, 5 | 29) || !bits.flag().unwrap_or(false);
    match (LOW_DELAY.contains(&object_type), long) {
        (false, true) => 1024,
        (false, false) => 960,
        (true, true) => 512,
        (true, false) => 480,
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

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = AudioSpecificConfig::parse(&bytes);
        }
    }
}
