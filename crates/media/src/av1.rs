//! AV1: open bitstream units and what the sequence header tells (AV1 Bitstream & Decoding Process
//! Specification, §5).

use bytes::{BufMut, Bytes};
use mp4_atom::Av1c;

use crate::{Error, bits::Bits};

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_PADDING: u8 = 15;

/// §5.3.2: bits of the header.
const HAS_EXTENSION: u8 = 0b100;
const HAS_SIZE: u8 = 0b10;

/// In a temporal unit; a frame of the most tiles (§A.3: 128) and layers has fewer. What we keep of
/// one is many times as long as the shortest, which has two bytes.
const MAX_OBUS: usize = 1024;

/// The facts that containers need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequenceHeader {
    pub(crate) width: u32,
    pub(crate) height: u32,
    profile: u8,
    level: u8,
    tier: bool,
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Color {
    high_bitdepth: bool,
    twelve_bit: bool,
    monochrome: bool,
    subsampling_x: bool,
    subsampling_y: bool,
    sample_position: u8,
}

/// One open bitstream unit of a temporal unit.
#[derive(Debug, Clone, Copy)]
struct Obu<'a> {
    /// The header byte, and the extension if there is one.
    header: &'a [u8],
    has_size: bool,
    payload: &'a [u8],
}

impl Obu<'_> {
    fn kind(&self) -> u8 {
        self.header[0] >> 3 & 0xf
    }

    /// Appends it with a size field (the low-overhead format, §5.2).
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.header[0] | HAS_SIZE);
        out.extend_from_slice(&self.header[1..]);
        let mut rest = self.payload.len();
        while rest >= 0x80 {
            out.put_u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.put_u8(rest as u8);
        out.extend_from_slice(self.payload);
    }
}

/// Splits a temporal unit. The last unit may lack a size field (AV1 in ISOBMFF §2.4).
struct Obus<'a> {
    rest: &'a [u8],
}

impl<'a> Obus<'a> {
    fn read(&mut self) -> Option<Obu<'a>> {
        let first = *self.rest.first()?;
        if first & 0x80 != 0 {
            return None;
        }
        let length = if first & HAS_EXTENSION == 0 { 1 } else { 2 };
        let (header, mut rest) = self.rest.split_at_checked(length)?;
        let has_size = first & HAS_SIZE != 0;
        let size = if has_size {
            leb128(&mut rest)?
        } else {
            rest.len()
        };
        let (payload, rest) = rest.split_at_checked(size)?;
        self.rest = rest;
        Some(Obu {
            header,
            has_size,
            payload,
        })
    }
}

impl<'a> Iterator for Obus<'a> {
    type Item = Option<Obu<'a>>;

    /// `Some(None)` once, where a unit does not parse.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let obu = self.read();
        if obu.is_none() {
            self.rest = &[];
        }
        Some(obu)
    }
}

/// §4.10.5.
fn leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0_u64;
    for index in 0..8 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().map(|value| value as usize);
        }
    }
    None
}

/// A temporal unit as a frame carries it, and the sequence header in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TemporalUnit {
    pub(crate) payload: Bytes,
    pub(crate) sequence_header: Option<Bytes>,
}

/// Drops delimiters and padding and gives each unit its size. What is in order is not copied.
/// `None` if it does not parse, or has too many units.
pub(crate) fn temporal_unit(bytes: &Bytes) -> Option<TemporalUnit> {
    let mut kept = Vec::new();
    let (mut in_order, mut sequence_header) = (true, None);
    for (index, obu) in (Obus { rest: bytes }).enumerate() {
        let obu = obu.filter(|_| index < MAX_OBUS)?;
        if matches!(obu.kind(), OBU_TEMPORAL_DELIMITER | OBU_PADDING) {
            in_order = false;
            continue;
        }
        in_order &= obu.has_size;
        if obu.kind() == OBU_SEQUENCE_HEADER {
            let mut whole = Vec::with_capacity(obu.payload.len() + 4);
            obu.write(&mut whole);
            sequence_header = Some(whole.into());
        }
        kept.push(obu);
    }
    let payload = if in_order {
        bytes.clone()
    } else {
        let mut out = Vec::with_capacity(bytes.len() + 8);
        for obu in kept {
            obu.write(&mut out);
        }
        out.into()
    };
    Some(TemporalUnit {
        payload,
        sequence_header,
    })
}

/// The sequence header of an `av1C` body; `Ok(None)` if it stands in the frames only.
pub(crate) fn sequence_header_of(av1c: &[u8]) -> Result<Option<Bytes>, Error> {
    let error = |reason| Error::parameter_set("av1C", av1c, reason);
    // AV1 in ISOBMFF §2.3.3: marker and version in the first of four bytes.
    if av1c.len() < 4 || av1c[0] != 0x81 {
        return Err(error("too short or not version 1"));
    }
    temporal_unit(&Bytes::copy_from_slice(&av1c[4..]))
        .map(|unit| unit.sequence_header)
        .ok_or_else(|| error("its OBUs do not parse"))
}

/// Parses a sequence header OBU that has its size field.
pub(crate) fn parse_sequence_header(obu: &[u8]) -> Result<SequenceHeader, Error> {
    let error = |reason| Error::parameter_set("AV1 sequence header", obu, reason);
    let unit = Obus { rest: obu }
        .read()
        .filter(|unit| unit.kind() == OBU_SEQUENCE_HEADER && unit.has_size)
        .ok_or_else(|| error("not a sequence header OBU with a size"))?;
    read_sequence_header(&mut Bits::new(unit.payload))
        .ok_or_else(|| error("too short or out of range"))
}

/// §5.5.1.
fn read_sequence_header(bits: &mut Bits<'_>) -> Option<SequenceHeader> {
    let profile = bits.take(3)? as u8;
    if profile > 2 {
        return None;
    }
    bits.flag()?; // still_picture
    let reduced = bits.flag()?;
    let (level, tier) = if reduced {
        (bits.take(5)? as u8, false)
    } else {
        read_operating_points(bits)?
    };
    let width_bits = bits.take(4)? as usize + 1;
    let height_bits = bits.take(4)? as usize + 1;
    let width = bits.take(width_bits)? + 1;
    let height = bits.take(height_bits)? + 1;
    // Frame ids: lengths of 4 and 3 bits.
    if !reduced && bits.flag()? {
        bits.take(7)?;
    }
    bits.take(3)?; // superblock size, filter intra, intra edge filter
    if !reduced {
        skip_tools(bits)?;
    }
    bits.take(3)?; // superres, cdef, restoration
    Some(SequenceHeader {
        width,
        height,
        profile,
        level,
        tier,
        color: read_color(bits, profile)?,
    })
}

/// Level and tier of the first operating point; what stands around them is skipped.
fn read_operating_points(bits: &mut Bits<'_>) -> Option<(u8, bool)> {
    let mut delay_length = None;
    if bits.flag()? {
        bits.take(32)?; // num_units_in_display_tick
        bits.take(32)?; // time_scale
        if bits.flag()? {
            bits.exp_golomb()?; // num_ticks_per_picture_minus_1
        }
        if bits.flag()? {
            delay_length = Some(bits.take(5)? as usize + 1);
            bits.take(32)?; // num_units_in_decoding_tick
            bits.take(10)?; // lengths of removal and presentation times
        }
    }
    let has_display_delay = bits.flag()?;
    let count = bits.take(5)? + 1;
    let mut first = None;
    for _ in 0..count {
        bits.take(12)?; // operating_point_idc
        let level = bits.take(5)? as u8;
        let tier = level > 7 && bits.flag()?;
        first.get_or_insert((level, tier));
        if let Some(length) = delay_length
            && bits.flag()?
        {
            bits.take(length)?;
            bits.take(length)?;
            bits.flag()?; // low_delay_mode_flag
        }
        if has_display_delay && bits.flag()? {
            bits.take(4)?;
        }
    }
    first
}

fn skip_tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.take(4)?; // compound modes, warped motion, dual filter
    let order_hint = bits.flag()?;
    if order_hint {
        bits.take(2)?;
    }
    let choose_screen_content = bits.flag()?;
    let force_screen_content = choose_screen_content || bits.flag()?;
    if force_screen_content && !bits.flag()? {
        bits.flag()?; // seq_force_integer_mv
    }
    if order_hint {
        bits.take(3)?;
    }
    Some(())
}

/// §5.5.2.
fn read_color(bits: &mut Bits<'_>, profile: u8) -> Option<Color> {
    let high_bitdepth = bits.flag()?;
    let twelve_bit = profile == 2 && high_bitdepth && bits.flag()?;
    let monochrome = profile != 1 && bits.flag()?;
    let description = if bits.flag()? {
        (bits.take(8)?, bits.take(8)?, bits.take(8)?)
    } else {
        (2, 2, 2)
    };
    let mut color = Color {
        high_bitdepth,
        twelve_bit,
        monochrome,
        subsampling_x: true,
        subsampling_y: true,
        sample_position: 0,
    };
    const SRGB: (u32, u32, u32) = (1, 13, 0);
    if monochrome {
        return Some(color);
    }
    if description == SRGB {
        (color.subsampling_x, color.subsampling_y) = (false, false);
        return Some(color);
    }
    bits.flag()?; // color_range
    (color.subsampling_x, color.subsampling_y) = match profile {
        0 => (true, true),
        1 => (false, false),
        _ if twelve_bit => {
            let x = bits.flag()?;
            (x, x && bits.flag()?)
        }
        _ => (true, false),
    };
    if color.subsampling_x && color.subsampling_y {
        color.sample_position = bits.take(2)? as u8;
    }
    Some(color)
}

/// AV1 in ISOBMFF §2.3.
pub(crate) fn configuration(parsed: &SequenceHeader, sequence_header: &[u8]) -> Av1c {
    Av1c {
        seq_profile: parsed.profile,
        seq_level_idx_0: parsed.level,
        seq_tier_0: parsed.tier,
        high_bitdepth: parsed.color.high_bitdepth,
        twelve_bit: parsed.color.twelve_bit,
        monochrome: parsed.color.monochrome,
        chroma_subsampling_x: parsed.color.subsampling_x,
        chroma_subsampling_y: parsed.color.subsampling_y,
        chroma_sample_position: parsed.color.sample_position,
        initial_presentation_delay: None,
        config_obus: sequence_header.to_vec(),
    }
}

/// `av01.P.LLT.DD` (AV1 in ISOBMFF §5).
pub(crate) fn codec_string(parsed: &SequenceHeader) -> String {
    let depth = match (parsed.color.high_bitdepth, parsed.color.twelve_bit) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    let tier = if parsed.tier { 'H' } else { 'M' };
    format!(
        "av01.{}.{:02}{tier}.{depth:02}",
        parsed.profile, parsed.level
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_temporal_unit_is_brought_into_the_form_of_a_frame() {
        // Delimiter, padding, a frame without a size.
        let raw = Bytes::from_static(&[0x12, 0, 0x7a, 1, 0x80, 0x30, 0xaa, 0xbb]);
        let unit = temporal_unit(&raw).expect("parses");
        assert_eq!(unit.payload[..], [0x32, 2, 0xaa, 0xbb]);
        assert_eq!(unit.sequence_header, None);
        // What is in order stays the same memory.
        let again = temporal_unit(&unit.payload).expect("parses");
        assert_eq!(again.payload.as_ptr(), unit.payload.as_ptr());
        assert_eq!(temporal_unit(&Bytes::from_static(&[0x32, 9, 1])), None);
    }

    #[test]
    fn sizes_above_127_take_two_bytes() {
        let mut raw = vec![0x30];
        raw.resize(301, 7);
        let unit = temporal_unit(&raw.into()).expect("parses");
        assert_eq!(unit.payload[..3], [0x32, 0xac, 0x02]);
        assert_eq!(unit.payload.len(), 303);
        assert_eq!(
            temporal_unit(&unit.payload).map(|u| u.payload),
            Some(unit.payload)
        );
    }

    #[test]
    fn a_temporal_unit_has_no_more_units_than_a_picture_needs() {
        let units = |count| Bytes::from([0x32, 0].repeat(count));
        assert!(temporal_unit(&units(MAX_OBUS)).is_some());
        assert_eq!(temporal_unit(&units(MAX_OBUS + 1)), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = sequence_header_of(&bytes);
            let _ = parse_sequence_header(&bytes);
            let mut header = vec![0x0a, bytes.len() as u8 & 0x7f];
            header.extend_from_slice(&bytes);
            if let Ok(parsed) = parse_sequence_header(&header) {
                prop_assert!(parsed.width > 0 && codec_string(&parsed).len() == 13);
            }
            if let Some(unit) = temporal_unit(&bytes.into()) {
                prop_assert_eq!(temporal_unit(&unit.payload).map(|again| again.payload), Some(unit.payload));
            }
        }
    }
}
