//! What NAL units are, as far as putting pictures together needs it.

use crate::nal::Syntax;

/// What to do with a NAL unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A slice of a picture.
    Slice {
        /// It belongs to a picture with which decoding can start.
        key: bool,
        /// It is the first of its picture.
        first: bool,
    },
    /// Supplemental enhancement information, or something else that belongs to the picture.
    Other,
    /// A parameter set: its place in decoding order.
    ParameterSet(usize),
    /// Delimiters and fillers, which frames do not have.
    Useless,
}

/// Classifies a NAL unit of at least a header (ITU-T H.264 table 7-1, H.265 table 7-1).
pub(super) fn kind(syntax: Syntax, unit: &[u8]) -> Kind {
    let kind = syntax.kind(unit[0]);
    // first_mb_in_slice is 0, or first_slice_segment_in_pic_flag is set.
    let first = unit
        .get(syntax.header())
        .is_some_and(|byte| byte & 0x80 != 0);
    match syntax {
        Syntax::H264 => match kind {
            1..=4 => Kind::Slice { key: false, first },
            5 => Kind::Slice { key: true, first },
            7 => Kind::ParameterSet(0),
            8 => Kind::ParameterSet(1),
            // Delimiters, ends, filler, sets of extensions, what is not specified.
            0 | 9..=13 | 15 | 24.. => Kind::Useless,
            _ => Kind::Other,
        },
        // Another layer refines a picture that is whole without it.
        Syntax::H265 if unit[0] & 1 != 0 || unit[1] >> 3 != 0 => Kind::Useless,
        Syntax::H265 => match kind {
            16..=23 => Kind::Slice { key: true, first },
            0..=31 => Kind::Slice { key: false, first },
            32 => Kind::ParameterSet(0),
            33 => Kind::ParameterSet(1),
            34 => Kind::ParameterSet(2),
            39 | 40 => Kind::Other,
            _ => Kind::Useless,
        },
    }
}

/// True if the unit is one that cameras put in front of others, with start codes between them
/// (ITU-T H.264 Annex B), where RTP allows a single one.
pub(super) fn may_hide_others(syntax: Syntax, unit: &[u8]) -> bool {
    // A start code in front reads as type 0, which in H.265 is a slice.
    unit.starts_with(&[0, 0]) || !matches!(kind(syntax, unit), Kind::Slice { .. })
}

/// The NAL units between start codes.
pub(super) fn split_at_start_codes(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let found = bytes.windows(3).position(|three| three == [0, 0, 1]);
        let (unit, after) = match found {
            Some(at) => (&bytes[..at], Some(&bytes[at + 3..])),
            None => (bytes, None),
        };
        rest = after;
        Some(unit)
    })
}

/// Without zero bytes at the end: no NAL unit ends with one (ITU-T H.264 §7.4.1).
pub(super) fn without_trailing_zeros(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|byte| *byte != 0);
    &unit[..end.map_or(0, |last| last + 1)]
}

/// In how many pictures after this one everything is right, if this is an SEI with a recovery
/// point (ITU-T H.264 §D.2.8, H.265 §D.3.8).
pub(super) fn recovery_point(syntax: Syntax, unit: &[u8]) -> Option<u32> {
    const RECOVERY_POINT: u32 = 6;
    let is_sei = match syntax {
        Syntax::H264 => syntax.kind(unit[0]) == 6,
        Syntax::H265 => syntax.kind(unit[0]) == 39,
    };
    if !is_sei {
        return None;
    }
    let mut rest = unit.get(syntax.header()..)?;
    // Messages: type and size as runs of 255 and a rest (§7.3.2.3.1), then the payload, then the
    // trailing bits. Emulation prevention could only make a size look too large: harmless.
    while rest.len() > 2 {
        let kind = varied(&mut rest)?;
        let size = varied(&mut rest)? as usize;
        if kind == RECOVERY_POINT {
            let code = exp_golomb(rest)?;
            return Some(match syntax {
                Syntax::H264 => code,
                // se(v), of which the sign does not matter.
                Syntax::H265 => code.div_ceil(2),
            });
        }
        rest = rest.get(size..)?;
    }
    None
}

fn varied(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value = value.checked_add(u32::from(*byte))?;
        if *byte != 255 {
            return Some(value);
        }
    }
}

/// The first ue(v) of `bytes` (§9.1).
fn exp_golomb(bytes: &[u8]) -> Option<u32> {
    let word = bytes
        .iter()
        .chain(&[0; 4])
        .take(4)
        .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    let zeros = word.leading_zeros();
    // Up to 15 zeros, a one and as many bits fit into the word.
    (zeros < 16).then(|| (word << zeros >> (31 - zeros)) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn recovery_points() {
        // As x264 writes it with periodic intra refresh and for open GOPs.
        assert_eq!(
            recovery_point(Syntax::H264, &[6, 6, 1, 0xc4, 0x80]),
            Some(0)
        );
        assert_eq!(
            recovery_point(Syntax::H264, &[6, 6, 1, 0x24, 0x80]),
            Some(3)
        );
        // Behind a buffering period.
        assert_eq!(
            recovery_point(Syntax::H264, &[6, 0, 2, 9, 9, 6, 1, 0xc4, 0x80]),
            Some(0)
        );
        assert_eq!(recovery_point(Syntax::H264, &[6, 5, 2, 9, 9, 0x80]), None);
        assert_eq!(
            recovery_point(Syntax::H265, &[39 << 1, 1, 6, 1, 0xd0, 0x80]),
            Some(0)
        );
        assert_eq!(recovery_point(Syntax::H264, &[0x65, 6, 1, 0xc4]), None);
    }

    #[test]
    fn start_codes() {
        let split = |bytes| {
            split_at_start_codes(bytes)
                .map(without_trailing_zeros)
                .collect::<Vec<_>>()
        };
        let bytes = [0, 0, 0, 1, 7, 1, 0, 0, 0, 1, 8, 0, 0, 1, 5, 3];
        let expected: [&[u8]; 4] = [&[], &[7, 1], &[8], &[5, 3]];
        assert_eq!(split(&bytes), expected);
        assert_eq!(split(&[7, 1, 0]), [&[7, 1][..]]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(first: u8, mut unit: Vec<u8>) {
            unit.splice(0..0, [first, 1]);
            for syntax in [Syntax::H264, Syntax::H265] {
                kind(syntax, &unit);
                recovery_point(syntax, &unit);
                prop_assert!(split_at_start_codes(&unit).count() > 0);
            }
            for kind in [6, 39 << 1] {
                unit[0] = kind;
                recovery_point(Syntax::H264, &unit);
                recovery_point(Syntax::H265, &unit);
            }
        }
    }
}
