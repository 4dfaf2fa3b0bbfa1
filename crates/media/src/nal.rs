//! NAL units of H.264 and H.265: what each is for, and pictures in the form of a [`Frame`].
//!
//! Sources deliver them behind start codes (MPEG-TS, Annex B) or lengths (FLV), mixed with
//! parameter sets, delimiters and padding. A [`NalTrack`] takes them picture by picture, keeps the
//! parameter sets and gives back what a frame carries.
//!
//! [`Frame`]: crate::Frame

use crate::bits::Bits;

mod track;

pub use track::{NalTrack, Picture};

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NalFormat {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
}

/// What a NAL unit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NalKind {
    /// Video parameter set; H.265 only.
    Vps,
    /// Sequence parameter set.
    Sps,
    /// Picture parameter set.
    Pps,
    /// A slice of a picture that decoding can start with.
    Key,
    /// Delimits or fills, or ends a sequence: containers have their own means for that.
    Dispensable,
    /// Everything else that belongs to a picture.
    Other,
}

impl NalFormat {
    /// Bytes of a unit's header (H.264 §7.3.1, H.265 §7.3.1.2).
    #[must_use]
    pub const fn header(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }

    /// The type of a unit, from its first byte.
    #[must_use]
    pub const fn unit_type(self, first: u8) -> u8 {
        match self {
            Self::H264 => first & 0x1f,
            Self::H265 => first >> 1 & 0x3f,
        }
    }

    /// What `nal` is for; it begins with its header. Nothing is dispensable.
    #[must_use]
    pub fn kind(self, nal: &[u8]) -> NalKind {
        let Some(first) = nal.first() else {
            return NalKind::Dispensable;
        };
        match (self, self.unit_type(*first)) {
            // H.264 table 7-1.
            (Self::H264, kind) => match kind {
                5 => NalKind::Key,
                7 => NalKind::Sps,
                8 => NalKind::Pps,
                9..=12 => NalKind::Dispensable,
                _ => NalKind::Other,
            },
            // H.265 table 7-1. Types 16 to 21 are intra random access points.
            (Self::H265, kind) => match kind {
                16..=21 => NalKind::Key,
                32 => NalKind::Vps,
                33 => NalKind::Sps,
                34 => NalKind::Pps,
                35..=38 => NalKind::Dispensable,
                _ => NalKind::Other,
            },
        }
    }

    /// The number by which slices refer to a picture parameter set.
    fn pps_id(self, pps: &[u8]) -> Option<u32> {
        Bits::new(pps.get(self.header()..)?).exp_golomb()
    }
}

/// Splits a byte stream at its start codes (H.264 and H.265 Annex B). What stands before the
/// first start code is left out, and so are zeros before one; the units are not empty.
#[must_use]
pub fn split_annex_b(stream: &[u8]) -> AnnexB<'_> {
    let first = start_code(stream).map_or(stream.len(), |at| at + 3);
    AnnexB {
        rest: &stream[first..],
    }
}

/// As [`split_annex_b`], but what stands before the first start code is a unit too.
#[must_use]
pub fn split_at_start_codes(units: &[u8]) -> AnnexB<'_> {
    AnnexB { rest: units }
}

/// A unit without the zeros behind it (trailing_zero_8bits, or the first byte of a start code of
/// four): none ends with one (H.264 §7.4.1).
#[must_use]
pub fn without_trailing_zeros(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|byte| *byte != 0);
    &unit[..end.map_or(0, |last| last + 1)]
}

/// The NAL units of a byte stream, by [`split_annex_b`].
#[derive(Debug, Clone)]
pub struct AnnexB<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (unit, rest) = match start_code(self.rest) {
                Some(at) => (&self.rest[..at], &self.rest[at + 3..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            let unit = without_trailing_zeros(unit);
            if !unit.is_empty() {
                return Some(unit);
            }
        }
        None
    }
}

/// Where the next 00 00 01 begins. Looks at every third byte as long as that is above 1.
fn start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    while let Some(byte) = bytes.get(at) {
        match byte {
            2.. => at += 3,
            1 if bytes[at - 2..at] == [0, 0] => return Some(at - 2),
            1 => at += 3,
            0 => at += 1,
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    /// With start codes of both lengths.
    pub(super) fn annex_b(nals: &[Bytes]) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, nal) in nals.iter().enumerate() {
            out.extend_from_slice(if index % 2 == 0 {
                &[0, 0, 0, 1]
            } else {
                &[0, 0, 1]
            });
            out.extend_from_slice(nal);
        }
        out
    }

    #[test]
    fn a_byte_stream_is_split_at_its_start_codes() {
        let split = |bytes| split_annex_b(bytes).collect::<Vec<_>>();
        assert_eq!(
            split(&[
                9, 9, 0, 0, 0, 1, 0x65, 0, 0, 3, 1, 0, 0, 1, 0x41, 0, 0, 0, 0, 1
            ]),
            [&[0x65, 0, 0, 3, 1][..], &[0x41]]
        );
        assert!(split(&[]).is_empty());
        assert!(split(&[1, 2, 3]).is_empty());
        assert!(split(&[0, 0, 1, 0, 0, 1]).is_empty());
        let split = |bytes| split_at_start_codes(bytes).collect::<Vec<_>>();
        let bytes = [0, 0, 0, 1, 7, 1, 0, 0, 0, 1, 8, 0, 0, 1, 5, 3];
        assert_eq!(split(&bytes), [&[7, 1][..], &[8], &[5, 3]]);
        assert_eq!(split(&[7, 1, 0, 0, 1, 8]), [&[7, 1][..], &[8]]);
    }

    proptest! {
        #[test]
        fn what_is_split_can_be_joined(bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..200)) {
            let units: Vec<Bytes> = split_annex_b(&bytes).map(Bytes::copy_from_slice).collect();
            let joined = annex_b(&units);
            let again: Vec<Bytes> = split_annex_b(&joined).map(Bytes::copy_from_slice).collect();
            prop_assert_eq!(units, again);
        }
    }
}
