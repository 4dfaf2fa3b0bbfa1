//! RTP, interleaved with RTSP on one connection (RFC 2326 §10.12) and in datagrams.

use bytes::{BufMut, Bytes};
use headworks_media::TrackKind;
use headworks_rtp::{
    AUDIO_CHANNEL, MAX_PACKET, VIDEO_CHANNEL, datagrams, interleaved,
    rtcp::{self, SenderInfo},
};

use crate::hub::{
    entry::Entry,
    format::Sound,
    wire::{Datagrams, Wire},
};

pub(super) fn in_stream(entry: &Entry) -> Wire {
    let Some(load) = entry.pack.load(&entry.frame) else {
        return Wire::default();
    };
    let track = entry.frame.track;
    let sender = entry.description.sender(track);
    let outgoing = entry.numbers.outgoing(track, sender);
    let tracks = entry.description.tracks_for(Sound::Original);
    let packets = interleaved(load, tracks, MAX_PACKET, outgoing);
    match &entry.numbers.report {
        Some(report) if !packets.is_empty() => {
            let report = compound(**report, entry);
            let channel = match track {
                TrackKind::Video => VIDEO_CHANNEL + 1,
                TrackKind::Audio => AUDIO_CHANNEL + 1,
            };
            let mut head = Vec::with_capacity(4 + report.len());
            head.extend_from_slice(&[b'$', channel]);
            head.put_u16(report.len() as u16);
            head.extend_from_slice(&report);
            Wire::of(vec![head.into(), packets])
        }
        _ => packets.into(),
    }
}

pub(super) fn in_datagrams(entry: &Entry) -> Wire {
    let Some(load) = entry.pack.load(&entry.frame) else {
        return Wire::default();
    };
    let track = entry.frame.track;
    let sender = entry.description.sender(track);
    let outgoing = entry.numbers.outgoing(track, sender);
    let tracks = entry.description.tracks_for(Sound::Original);
    let runs = datagrams(load, tracks, MAX_PACKET, outgoing);
    let report = entry.numbers.report.as_ref().filter(|_| !runs.is_empty());
    let report = report.map(|report| {
        let bytes = compound(**report, entry);
        Datagrams {
            track,
            is_control: true,
            segment: bytes.len(),
            bytes,
        }
    });
    let packets = runs.into_iter().map(|run| Datagrams {
        track,
        is_control: false,
        segment: run.segment,
        bytes: run.bytes,
    });
    Wire::datagrams(report.into_iter().chain(packets).collect())
}

/// A sender report. Both tracks have one name, by which receivers know that they belong together.
fn compound(report: SenderInfo, entry: &Entry) -> Bytes {
    let ssrc = |track| entry.description.sender(track).ssrc;
    let name = format!("{:08x}", ssrc(TrackKind::Video));
    rtcp::sender_report(ssrc(entry.frame.track), &name, report)
}
