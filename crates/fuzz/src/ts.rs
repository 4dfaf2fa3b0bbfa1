//! MPEG-TS, as SRT, HTTP and FFmpeg's pipes bring it.

use headworks_media::ts::{Demuxer, Muxer};

use crate::{
    input::{Budget, Input},
    sample,
};

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let (mut demuxer, mut budget) = (Demuxer::default(), Budget::new());
    let mut drain = |demuxer: &mut Demuxer, fed| {
        budget.fed(fed);
        while demuxer.poll().is_some() {
            budget.spend();
        }
    };
    for piece in input.pieces(how) {
        demuxer.push(piece);
        drain(&mut demuxer, piece.len());
    }
    demuxer.finish();
    drain(&mut demuxer, 0);
    let losses = demuxer.losses();
    assert!(losses.skipped <= bytes.len() as u64, "{losses:?}");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let streams = sample::streams().into_iter().enumerate();
    let seed = |(number, tracks): (usize, headworks_media::Tracks)| {
        let mut muxer = Muxer::new(tracks.clone()).ok()?;
        let mut out = vec![number as u8 & 7];
        for frame in sample::frames(&tracks) {
            out.extend_from_slice(&muxer.write(&frame));
        }
        Some(out)
    };
    streams.filter_map(seed).collect()
}
