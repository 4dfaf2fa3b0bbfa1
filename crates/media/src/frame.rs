//! One access unit of one track.

use bytes::Bytes;

/// Ticks per second of video timestamps.
pub const VIDEO_CLOCK: u32 = 90_000;

/// Video or audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// One picture, or one packet of sound. Cloning shares the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which track it belongs to.
    pub track: TrackKind,
    /// When it is decoded, in ticks of the track's clock; rises from frame to frame of a track.
    pub dts: i64,
    /// When it is shown, in the same unit. Not below `dts`.
    pub pts: i64,
    /// True if decoding can start here. Always true for audio.
    pub key: bool,
    /// H.264 and H.265: NAL units with 4-byte lengths and without parameter sets (ISO/IEC
    /// 14496-15 §5.3.4). AV1: a temporal unit, each OBU with its size field, without temporal
    /// delimiters (AV1 in ISOBMFF §2.4). AAC: one raw access unit. G.711: samples, one byte each.
    /// Opus: one packet (RFC 6716 §3).
    pub payload: Bytes,
}

/// Converts ticks of one clock to those of another, rounding to the nearest.
#[must_use]
pub fn rescale(ticks: i64, from: u32, to: u32) -> i64 {
    if from == to || from == 0 {
        return ticks;
    }
    let (from, to) = (i128::from(from), i128::from(to));
    let scaled = (i128::from(ticks) * to + from / 2).div_euclid(from);
    scaled.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescaling_rounds_to_the_nearest() {
        assert_eq!(rescale(1024, 48_000, VIDEO_CLOCK), 1920);
        assert_eq!(rescale(1, 90_000, 1000), 0);
        assert_eq!(rescale(-90_000, 90_000, 8000), -8000);
        assert_eq!(rescale(i64::MAX, 1, 1000), i64::MAX);
    }
}
