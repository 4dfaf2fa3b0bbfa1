//! Parameter sets of H.264, H.265 and AV1, and everything that is made of them.

use std::slice;

use bytes::Bytes;
use headworks_media::{
    Tracks, VideoCodec, VideoParameters, fmp4,
    nal::{NalFormat, NalKind, NalTrack, split_annex_b},
};
use headworks_rtp::Format;

use crate::{input::Input, sample};

/// A byte that chooses the codec, then NAL units with start codes, or OBUs.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.byte() & 3 {
        0 => nal_units(NalFormat::H264, input.0),
        1 => nal_units(NalFormat::H265, input.0),
        _ => codec(VideoCodec::Av1 {
            sequence_header: Bytes::copy_from_slice(input.0),
        }),
    }
}

fn nal_units(format: NalFormat, bytes: &[u8]) {
    let set = |kind| {
        let found = split_annex_b(bytes).find(|nal| format.kind(nal) == kind);
        Bytes::copy_from_slice(found.unwrap_or_default())
    };
    let (vps, sps, pps) = (set(NalKind::Vps), set(NalKind::Sps), set(NalKind::Pps));
    codec(match format {
        NalFormat::H264 => VideoCodec::H264 { sps, pps },
        NalFormat::H265 => VideoCodec::H265 { vps, sps, pps },
    });
    let mut track = NalTrack::new(format);
    let _ = track.picture(split_annex_b(bytes));
    for nal in split_annex_b(bytes) {
        let _ = track.configure(slice::from_ref(&nal).iter().copied());
        let _ = track.picture(slice::from_ref(&nal).iter().copied());
        track.take_changed();
    }
    let _ = track.configure(split_annex_b(bytes));
}

/// What parses has to be usable by every output.
fn codec(codec: VideoCodec) {
    let Ok(video) = VideoParameters::new(codec) else {
        return;
    };
    let _ = (video.codec_string(), video.configuration());
    let _ = (video.width(), video.height(), video.pixel_aspect());
    // ITU-T H.264 and H.265 allow 16 pictures.
    assert!(
        video.reorder_depth() <= 16,
        "{} pictures",
        video.reorder_depth()
    );
    let _ = Format::video(&video);
    let _ = fmp4::init_segment(&Tracks { video, audio: None });
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let start = |sets: &[&[u8]]| {
        let units = sets.iter().map(|set| [&[0, 0, 0, 1], *set].concat());
        units.collect::<Vec<_>>().concat()
    };
    let seed = |(number, video): (u8, VideoParameters)| {
        let bytes = match video.codec() {
            VideoCodec::H264 { sps, pps } => start(&[sps, pps, &[0x65, 0x88, 0x84]]),
            VideoCodec::H265 { vps, sps, pps } => start(&[vps, sps, pps, &[0x26, 1, 0xaf]]),
            VideoCodec::Av1 { sequence_header } => sequence_header.to_vec(),
        };
        [&[number], &bytes[..]].concat()
    };
    let all = [sample::h264(), sample::h265(), sample::av1()];
    (0..).zip(all).map(seed).collect()
}
