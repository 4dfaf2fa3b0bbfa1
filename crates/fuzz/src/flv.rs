//! FLV: the tags of a byte stream, and the bodies that RTMP carries too.

use bytes::Bytes;
use headworks_media::flv::{self, Demuxer, Reader, TagKind};

use crate::{
    input::{Budget, Input, put_record},
    sample,
};

/// An HTTP-FLV answer, in pieces.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let mut reader = match how & 8 {
        0 => Reader::default(),
        _ => Reader::without_header(),
    };
    let (mut demuxer, mut budget) = (Demuxer::default(), Budget::new());
    for piece in input.pieces(how) {
        reader.push(piece);
        budget.fed(piece.len());
        while let Ok(Some(tag)) = reader.poll() {
            budget.spend();
            let _ = demuxer.push(tag.kind, tag.timestamp, &tag.body);
            drain(&mut demuxer, &mut budget);
        }
    }
    demuxer.finish();
    drain(&mut demuxer, &mut budget);
}

fn drain(demuxer: &mut Demuxer, budget: &mut Budget) {
    while demuxer.poll().is_some() {
        budget.spend();
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let streams = sample::streams().into_iter().enumerate();
    let seed = |(number, tracks)| {
        let mut out = vec![number as u8 & 7];
        out.extend_from_slice(&flv::start(&tracks, 0));
        for frame in sample::frames(&tracks) {
            out.extend_from_slice(&flv::tag(&frame, &tracks));
        }
        out
    };
    streams.map(seed).collect()
}

/// Bodies, as messages of RTMP bring them: one byte of kind and time, then a record.
pub(crate) fn bodies(bytes: &[u8]) {
    let (mut demuxer, mut budget) = (Demuxer::default(), Budget::new());
    each_body(bytes, |kind, timestamp, body| {
        budget.fed(body.len() + 1);
        let _ = demuxer.push(kind, timestamp, body);
        drain(&mut demuxer, &mut budget);
    });
    demuxer.finish();
    drain(&mut demuxer, &mut budget);
}

/// Reads what [`body_seeds`] writes.
pub(crate) fn each_body(bytes: &[u8], mut found: impl FnMut(TagKind, u32, &Bytes)) {
    let (mut input, mut timestamp) = (Input(bytes), 0_u32);
    while !input.0.is_empty() {
        let how = input.byte();
        let kind = match how & 3 {
            0 => TagKind::Audio,
            1 => TagKind::Script,
            _ => TagKind::Video,
        };
        // Mostly forward, sometimes far, sometimes back.
        timestamp = timestamp.wrapping_add(match how >> 2 {
            62 => 1 << 30,
            63 => u32::MAX - 1000,
            step => u32::from(step) * 4,
        });
        let body = input.record().unwrap_or_default();
        found(kind, timestamp, &Bytes::copy_from_slice(body));
    }
}

pub(crate) fn body_seeds() -> Vec<Vec<u8>> {
    let seed = |tracks| {
        let mut out = vec![1];
        put_record(&mut out, &flv::metadata_body(&tracks));
        let mut put = |kind, body: &[u8]| {
            out.push(if kind == TagKind::Audio {
                0
            } else {
                2 + (10 << 2)
            });
            put_record(&mut out, body);
        };
        for (kind, body) in flv::sequence_bodies(&tracks) {
            put(kind, &body);
        }
        for frame in sample::frames(&tracks) {
            let mut body = Vec::new();
            if let Some(kind) = flv::body_header(&frame, &tracks, &mut body) {
                body.extend_from_slice(&frame.payload);
                put(kind, &body);
            }
        }
        out
    };
    sample::streams().into_iter().map(seed).collect()
}
