//! What the payload formats of H.264 (RFC 6184) and H.265 (RFC 7798) differ in.

use bytes::Bytes;
use headworks_media::VideoCodec;

/// Which standard's NAL units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    H264,
    H265,
}

/// The syntax of a codec and its parameter sets in decoding order, padded with empty ones. `None`
/// if we have no RTP payload format for it.
pub(crate) fn parameter_sets(codec: &VideoCodec) -> Option<(Syntax, [&Bytes; 3])> {
    static NONE: Bytes = Bytes::new();
    match codec {
        VideoCodec::H264 { sps, pps } => Some((Syntax::H264, [sps, pps, &NONE])),
        VideoCodec::H265 { vps, sps, pps } => Some((Syntax::H265, [vps, sps, pps])),
        VideoCodec::Av1 { .. } => None,
    }
}

impl Syntax {
    /// Bytes of a NAL unit's header.
    pub(crate) const fn header(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }

    /// The type of a NAL unit, from its first byte.
    pub(crate) const fn kind(self, first: u8) -> u8 {
        match self {
            Self::H264 => first & 0x1f,
            Self::H265 => first >> 1 & 0x3f,
        }
    }

    /// The type of payloads that hold several NAL units: STAP-A (RFC 6184 §5.7.1), AP (RFC 7798
    /// §4.4.2).
    pub(crate) const fn aggregation(self) -> u8 {
        match self {
            Self::H264 => 24,
            Self::H265 => 48,
        }
    }

    /// The type of payloads that hold a part of a NAL unit: FU-A (RFC 6184 §5.8), FU (RFC 7798
    /// §4.4.3).
    pub(crate) const fn fragmentation(self) -> u8 {
        match self {
            Self::H264 => 28,
            Self::H265 => 49,
        }
    }

    /// Bytes in front of a fragment: the payload header and the FU header.
    pub(crate) const fn fragment_header(self) -> usize {
        self.header() + 1
    }

    /// The header of `nal` with another type.
    pub(crate) fn with_kind(self, nal: &[u8], kind: u8) -> [u8; 2] {
        match self {
            Self::H264 => [nal[0] & 0xe0 | kind, 0],
            Self::H265 => [nal[0] & 0x81 | kind << 1, nal[1]],
        }
    }
}
