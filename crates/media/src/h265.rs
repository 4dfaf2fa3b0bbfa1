//! What an H.265 sequence parameter set tells (ITU-T H.265 §7.3.2.2).
//!
//! Own parser, since the fields that we need end long before the parts in which scuffle-h265's
//! arithmetic can overflow on garbage. Bits come from h264-reader: the emulation prevention of
//! both standards is the same.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, ByteReader};
use mp4_atom::{HvcCArray, Hvcc};

use crate::Error;

const NAL_VPS: u8 = 32;
const NAL_SPS: u8 = 33;
const NAL_PPS: u8 = 34;

/// The facts that containers need.
#[derive(Debug)]
pub(crate) struct Sps {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) reorder_depth: usize,
    sub_layers: u8,
    temporal_id_nesting: bool,
    profile: Profile,
    chroma_format: u8,
    bit_depth_luma_minus8: u8,
    bit_depth_chroma_minus8: u8,
}

/// The general part of profile_tier_level (§7.3.3): 12 bytes that hvcC repeats.
#[derive(Debug)]
struct Profile {
    space: u8,
    tier: bool,
    idc: u8,
    compatibility: [u8; 4],
    constraints: [u8; 6],
    level: u8,
}

pub(crate) fn parse_sps(nal: &[u8]) -> Result<Sps, Error> {
    // nal_unit_header is two bytes; the type stands in bits 1 to 6 of the first (§7.3.1.2).
    if nal.len() < 15 || (nal[0] >> 1) & 0x3f != NAL_SPS {
        return Err(Error::parameter_set("SPS", nal, "not an H.265 SPS"));
    }
    const HEADER: std::num::NonZeroUsize = std::num::NonZeroUsize::new(2).expect("two is not zero");
    let mut bits = BitReader::new(ByteReader::skipping_bytes(nal, HEADER));
    read_sps(&mut bits)
        .map_err(|_| Error::parameter_set("SPS", nal, "it is cut off or damaged"))?
        .ok_or_else(|| Error::parameter_set("SPS", nal, "values out of range"))
}

/// `None` if a value is outside what the standard allows.
fn read_sps(bits: &mut impl BitRead) -> Result<Option<Sps>, BitReaderError> {
    bits.skip(4, "sps_video_parameter_set_id")?;
    let sub_layers_minus1: u8 = bits.read(3, "sps_max_sub_layers_minus1")?;
    let temporal_id_nesting = bits.read_bool("sps_temporal_id_nesting_flag")?;
    if sub_layers_minus1 > 6 {
        return Ok(None);
    }
    let profile = read_profile(bits, sub_layers_minus1)?;
    bits.read_ue("sps_seq_parameter_set_id")?;
    let chroma_format = bits.read_ue("chroma_format_idc")?;
    if chroma_format > 3 {
        return Ok(None);
    }
    if chroma_format == 3 {
        bits.skip(1, "separate_colour_plane_flag")?;
    }
    let mut width = bits.read_ue("pic_width_in_luma_samples")?;
    let mut height = bits.read_ue("pic_height_in_luma_samples")?;
    if bits.read_bool("conformance_window_flag")? {
        // Offsets count in chroma samples (§7.4.3.2.1, table 6-1).
        let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma_format == 1 { 2 } else { 1 };
        let mut crop = [0_u32; 4];
        for side in &mut crop {
            *side = bits.read_ue("conf_win_offset")?;
        }
        let [left, right, top, bottom] = crop;
        width = width.saturating_sub(left.saturating_add(right).saturating_mul(unit_x));
        height = height.saturating_sub(top.saturating_add(bottom).saturating_mul(unit_y));
    }
    let luma = bits.read_ue("bit_depth_luma_minus8")?;
    let chroma = bits.read_ue("bit_depth_chroma_minus8")?;
    bits.read_ue("log2_max_pic_order_cnt_lsb_minus4")?;
    let for_each_layer = bits.read_bool("sps_sub_layer_ordering_info_present_flag")?;
    let mut reorder_depth = 0;
    for _ in 0..=(if for_each_layer { sub_layers_minus1 } else { 0 }) {
        bits.read_ue("sps_max_dec_pic_buffering_minus1")?;
        reorder_depth = bits.read_ue("sps_max_num_reorder_pics")?;
        bits.read_ue("sps_max_latency_increase_plus1")?;
    }
    let sizes = 1..=16_888; // Level 6.2 (table A.8): no picture is wider or higher.
    if !sizes.contains(&width) || !sizes.contains(&height) || luma > 8 || chroma > 8 {
        return Ok(None);
    }
    Ok(Some(Sps {
        width,
        height,
        reorder_depth: reorder_depth.min(16) as usize,
        sub_layers: sub_layers_minus1 + 1,
        temporal_id_nesting,
        profile,
        chroma_format: chroma_format as u8,
        bit_depth_luma_minus8: luma as u8,
        bit_depth_chroma_minus8: chroma as u8,
    }))
}

fn read_profile(bits: &mut impl BitRead, sub_layers_minus1: u8) -> Result<Profile, BitReaderError> {
    let profile = Profile {
        space: bits.read(2, "general_profile_space")?,
        tier: bits.read_bool("general_tier_flag")?,
        idc: bits.read(5, "general_profile_idc")?,
        compatibility: bits.read_to("general_profile_compatibility_flags")?,
        constraints: bits.read_to("general_constraint_indicator_flags")?,
        level: bits.read(8, "general_level_idc")?,
    };
    let mut present = [(false, false); 6];
    for layer in present.iter_mut().take(sub_layers_minus1.into()) {
        *layer = (
            bits.read_bool("sub_layer_profile_present_flag")?,
            bits.read_bool("sub_layer_level_present_flag")?,
        );
    }
    if sub_layers_minus1 > 0 {
        bits.skip(
            2 * (8 - u32::from(sub_layers_minus1)),
            "reserved_zero_2bits",
        )?;
    }
    for (has_profile, has_level) in present {
        let length = if has_profile { 88 } else { 0 } + if has_level { 8 } else { 0 };
        bits.skip(length, "sub_layer")?;
    }
    Ok(profile)
}

/// The decoder configuration record (ISO/IEC 14496-15 §8.3.3.1). All parameter sets are in it, as
/// `hvc1` demands.
pub(crate) fn configuration(parsed: &Sps, vps: &[u8], sps: &[u8], pps: &[u8]) -> Hvcc {
    let array = |nal_unit_type, nal: &[u8]| HvcCArray {
        completeness: true,
        nal_unit_type,
        nalus: vec![nal.to_vec()],
    };
    Hvcc {
        configuration_version: 1,
        general_profile_space: parsed.profile.space,
        general_tier_flag: parsed.profile.tier,
        general_profile_idc: parsed.profile.idc,
        general_profile_compatibility_flags: parsed.profile.compatibility,
        general_constraint_indicator_flags: parsed.profile.constraints,
        general_level_idc: parsed.profile.level,
        min_spatial_segmentation_idc: 0,
        parallelism_type: 0,
        chroma_format_idc: parsed.chroma_format,
        bit_depth_luma_minus8: parsed.bit_depth_luma_minus8,
        bit_depth_chroma_minus8: parsed.bit_depth_chroma_minus8,
        avg_frame_rate: 0,
        constant_frame_rate: 0,
        num_temporal_layers: parsed.sub_layers,
        temporal_id_nested: parsed.temporal_id_nesting,
        length_size_minus_one: 3,
        arrays: vec![
            array(NAL_VPS, vps),
            array(NAL_SPS, sps),
            array(NAL_PPS, pps),
        ],
    }
}

/// `hvc1.…` (ISO/IEC 14496-15 §E.3): profile, compatibility flags in reverse bit order, tier and
/// level, constraint bytes without trailing zero bytes.
pub(crate) fn codec_string(sps: &Sps) -> String {
    let profile = &sps.profile;
    let space = ["", "A", "B", "C"][usize::from(profile.space & 3)];
    let compatibility = u32::from_be_bytes(profile.compatibility).reverse_bits();
    let tier = if profile.tier { 'H' } else { 'L' };
    let mut text = format!(
        "hvc1.{space}{}.{compatibility:X}.{tier}{}",
        profile.idc, profile.level
    );
    let used = profile
        .constraints
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    for byte in &profile.constraints[..used] {
        text.push_str(&format!(".{byte:X}"));
    }
    text
}
