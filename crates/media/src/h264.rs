//! What an H.264 sequence parameter set tells (ITU-T H.264 §7.3.2.1, Annex E).

use h264_reader::{
    nal::sps::{BitstreamRestrictions, ChromaFormat, PicOrderCntType, SeqParameterSet, SpsError},
    rbsp::{BitReader, ByteReader},
};
use mp4_atom::{Avcc, AvccExt};

use crate::Error;

/// Reorder depth of a stream that may have B-frames and does not say how many: what encoders use
/// by default.
const USUAL_REORDER_DEPTH: usize = 2;

/// The facts that containers need.
#[derive(Debug)]
pub(crate) struct Sps {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixel_aspect: Option<(u16, u16)>,
    pub(crate) reorder_depth: usize,
    chroma: Option<(u8, u8, u8)>,
}

fn in_words(error: &SpsError) -> String {
    match error {
        SpsError::RbspReaderError(_) => "it is cut off or damaged".to_owned(),
        SpsError::FieldValueTooLarge { name, value } => format!("{name} {value} is too large"),
        SpsError::FieldValueTooSmall { name, value } => format!("{name} {value} is too small"),
        SpsError::CroppingError(_) => "it crops more than there is".to_owned(),
        _ => "a value is out of range".to_owned(),
    }
}

pub(crate) fn parse_sps(nal: &[u8]) -> Result<Sps, Error> {
    let error = |reason: String| Error::parameter_set("SPS", nal, reason);
    if nal.len() < 4 || nal[0] & 0x1f != 7 {
        return Err(error("not an H.264 SPS".to_owned()));
    }
    let bits = BitReader::new(ByteReader::skipping_h264_header(nal));
    let sps = SeqParameterSet::from_bits(bits).map_err(|e| error(in_words(&e)))?;
    let (width, height) = sps.pixel_dimensions().map_err(|e| error(in_words(&e)))?;
    let vui = sps.vui_parameters.as_ref();
    // Table 7-1 of H.264: these profiles carry chroma format and depth, and so does their avcC.
    let chroma = sps.profile_idc.has_chroma_info().then(|| {
        (
            match sps.chroma_info.chroma_format {
                ChromaFormat::Monochrome => 0,
                ChromaFormat::YUV420 | ChromaFormat::Invalid(_) => 1,
                ChromaFormat::YUV422 => 2,
                ChromaFormat::YUV444 => 3,
            },
            sps.chroma_info.bit_depth_luma_minus8 + 8,
            sps.chroma_info.bit_depth_chroma_minus8 + 8,
        )
    });
    Ok(Sps {
        width,
        height,
        pixel_aspect: vui
            .and_then(|vui| vui.aspect_ratio_info.as_ref()?.get())
            .filter(|(w, h)| *w > 0 && *h > 0),
        reorder_depth: reorder_depth(
            &sps,
            nal[1],
            vui.and_then(|vui| vui.bitstream_restrictions.as_ref()),
        ),
        chroma,
    })
}

/// How many pictures may precede another in decoding order and follow it in output order. Never
/// read from picture order counts: real cameras get those wrong.
fn reorder_depth(
    sps: &SeqParameterSet,
    profile_idc: u8,
    restrictions: Option<&BitstreamRestrictions>,
) -> usize {
    const BASELINE: u8 = 66;
    if let Some(restrictions) = restrictions {
        return (restrictions.max_num_reorder_frames as usize).min(16);
    }
    // §8.2.1.3: with type 2, output order is decoding order. Reordering needs two references.
    let in_order = matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo);
    if profile_idc == BASELINE || in_order || sps.max_num_ref_frames < 2 {
        0
    } else {
        USUAL_REORDER_DEPTH
    }
}

/// The decoder configuration record (ISO/IEC 14496-15 §5.3.3.1).
pub(crate) fn configuration(parsed: &Sps, sps: &[u8], pps: &[u8]) -> Avcc {
    Avcc {
        configuration_version: 1,
        avc_profile_indication: sps[1],
        profile_compatibility: sps[2],
        avc_level_indication: sps[3],
        length_size: 4,
        sequence_parameter_sets: vec![sps.to_vec()],
        picture_parameter_sets: vec![pps.to_vec()],
        ext: parsed.chroma.map(|(chroma_format, luma, chroma)| AvccExt {
            chroma_format,
            bit_depth_luma: luma,
            bit_depth_chroma: chroma,
            sequence_parameter_sets_ext: Vec::new(),
        }),
    }
}

/// `avc1.PPCCLL` (RFC 6381 §3.3).
pub(crate) fn codec_string(sps: &[u8]) -> String {
    format!("avc1.{:02x}{:02x}{:02x}", sps[1], sps[2], sps[3])
}
