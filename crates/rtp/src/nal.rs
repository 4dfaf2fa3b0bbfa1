//! What the payload formats of H.264 (RFC 6184) and H.265 (RFC 7798) add to NAL units.

use bytes::Bytes;
use headworks_media::{VideoCodec, nal::NalFormat};

/// The format of a codec and its parameter sets in decoding order, padded with empty ones. `None`
/// if we have no RTP payload format for it.
pub(crate) fn parameter_sets(codec: &VideoCodec) -> Option<(NalFormat, [&Bytes; 3])> {
    static NONE: Bytes = Bytes::new();
    match codec {
        VideoCodec::H264 { sps, pps } => Some((NalFormat::H264, [sps, pps, &NONE])),
        VideoCodec::H265 { vps, sps, pps } => Some((NalFormat::H265, [vps, sps, pps])),
        VideoCodec::Av1 { .. } => None,
    }
}

/// The payloads that are no NAL units.
pub(crate) trait Payloads {
    /// The type of payloads that hold several NAL units: STAP-A (RFC 6184 §5.7.1), AP (RFC 7798
    /// §4.4.2).
    fn aggregation(self) -> u8;

    /// The type of payloads that hold a part of a NAL unit: FU-A (RFC 6184 §5.8), FU (RFC 7798
    /// §4.4.3).
    fn fragmentation(self) -> u8;

    /// Bytes in front of a fragment: the payload header and the FU header.
    fn fragment_header(self) -> usize;

    /// The header of `nal` with another type.
    fn with_type(self, nal: &[u8], unit_type: u8) -> [u8; 2];
}

impl Payloads for NalFormat {
    fn aggregation(self) -> u8 {
        match self {
            Self::H264 => 24,
            Self::H265 => 48,
        }
    }

    fn fragmentation(self) -> u8 {
        match self {
            Self::H264 => 28,
            Self::H265 => 49,
        }
    }

    fn fragment_header(self) -> usize {
        self.header() + 1
    }

    fn with_type(self, nal: &[u8], unit_type: u8) -> [u8; 2] {
        match self {
            Self::H264 => [nal[0] & 0xe0 | unit_type, 0],
            Self::H265 => [nal[0] & 0x81 | unit_type << 1, nal[1]],
        }
    }
}
