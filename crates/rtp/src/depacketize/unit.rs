//! What NAL units are, as far as putting pictures together needs it.

use headworks_media::{bits::Bits, nal::NalFormat};

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
    /// A parameter set.
    ParameterSet,
    /// Delimiters and fillers, which frames do not have.
    Useless,
}

/// Classifies a NAL unit of at least a header (ITU-T H.264 table 7-1, H.265 table 7-1).
pub(super) fn kind(format: NalFormat, unit: &[u8]) -> Kind {
    let kind = format.unit_type(unit[0]);
    // first_mb_in_slice is 0, or first_slice_segment_in_pic_flag is set.
    let first = unit
        .get(format.header())
        .is_some_and(|byte| byte & 0x80 != 0);
    match format {
        NalFormat::H264 => match kind {
            1..=4 => Kind::Slice { key: false, first },
            5 => Kind::Slice { key: true, first },
            7 | 8 => Kind::ParameterSet,
            // Delimiters, ends, filler, sets of extensions, what is not specified.
            0 | 9..=13 | 15 | 24.. => Kind::Useless,
            _ => Kind::Other,
        },
        // Another layer refines a picture that is whole without it.
        NalFormat::H265 if unit[0] & 1 != 0 || unit[1] >> 3 != 0 => Kind::Useless,
        NalFormat::H265 => match kind {
            16..=23 => Kind::Slice { key: true, first },
            0..=31 => Kind::Slice { key: false, first },
            32..=34 => Kind::ParameterSet,
            39 | 40 => Kind::Other,
            _ => Kind::Useless,
        },
    }
}

/// True if the unit is one that cameras put in front of others, with start codes between them
/// (ITU-T H.264 Annex B), where RTP allows a single one.
pub(super) fn may_hide_others(format: NalFormat, unit: &[u8]) -> bool {
    // A start code in front reads as type 0, which in H.265 is a slice.
    unit.starts_with(&[0, 0]) || !matches!(kind(format, unit), Kind::Slice { .. })
}

/// In how many pictures after this one everything is right, if this is an SEI with a recovery
/// point (ITU-T H.264 §D.2.8, H.265 §D.3.8).
pub(super) fn recovery_point(format: NalFormat, unit: &[u8]) -> Option<u32> {
    const RECOVERY_POINT: u32 = 6;
    let is_sei = match format {
        NalFormat::H264 => format.unit_type(unit[0]) == 6,
        NalFormat::H265 => format.unit_type(unit[0]) == 39,
    };
    if !is_sei {
        return None;
    }
    let mut rest = unit.get(format.header()..)?;
    // Messages: type and size as runs of 255 and a rest (§7.3.2.3.1), then the payload, then the
    // trailing bits. Emulation prevention could only make a size look too large: harmless.
    while rest.len() > 2 {
        let kind = varied(&mut rest)?;
        let size = varied(&mut rest)? as usize;
        if kind == RECOVERY_POINT {
            let code = Bits::new(rest).exp_golomb()?;
            return Some(match format {
                NalFormat::H264 => code,
                // se(v), of which the sign does not matter.
                NalFormat::H265 => code.div_ceil(2),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn recovery_points() {
        // As x264 writes it with periodic intra refresh and for open GOPs.
        assert_eq!(
            recovery_point(NalFormat::H264, &[6, 6, 1, 0xc4, 0x80]),
            Some(0)
        );
        assert_eq!(
            recovery_point(NalFormat::H264, &[6, 6, 1, 0x24, 0x80]),
            Some(3)
        );
        // Behind a buffering period.
        assert_eq!(
            recovery_point(NalFormat::H264, &[6, 0, 2, 9, 9, 6, 1, 0xc4, 0x80]),
            Some(0)
        );
        assert_eq!(
            recovery_point(NalFormat::H264, &[6, 5, 2, 9, 9, 0x80]),
            None
        );
        assert_eq!(
            recovery_point(NalFormat::H265, &[39 << 1, 1, 6, 1, 0xd0, 0x80]),
            Some(0)
        );
        assert_eq!(recovery_point(NalFormat::H264, &[0x65, 6, 1, 0xc4]), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(first: u8, mut unit: Vec<u8>) {
            unit.splice(0..0, [first, 1]);
            for format in [NalFormat::H264, NalFormat::H265] {
                kind(format, &unit);
                recovery_point(format, &unit);
            }
            for kind in [6, 39 << 1] {
                unit[0] = kind;
                recovery_point(NalFormat::H264, &unit);
                recovery_point(NalFormat::H265, &unit);
            }
        }
    }
}
