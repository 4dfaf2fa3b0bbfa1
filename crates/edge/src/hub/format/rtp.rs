//! RTP, interleaved with RTSP on one connection (RFC 2326 §10.12) and in datagrams.

use bytes::{BufMut, Bytes};
use headworks_media::TrackKind;
use headworks_rtp::{AUDIO_CHANNEL, MAX_PACKET, VIDEO_CHANNEL, datagrams, interleaved};

use crate::hub::{
    entry::Entry,
    format::Sound,
    numbering::Report,
    wire::{Datagrams, Wire},
};

/// RTCP packet types (RFC 3550 §12.1), and the item of SDES that a compound packet must have (§6.1).
const SENDER_REPORT: u8 = 200;
const SOURCE_DESCRIPTION: u8 = 202;
const CNAME: u8 = 1;

pub(super) fn in_stream(entry: &Entry) -> Wire {
    let track = entry.frame.track;
    let sender = entry.description.sender(track);
    let outgoing = entry.numbers.outgoing(track, sender);
    let tracks = entry.description.tracks_for(Sound::Original);
    let packets = interleaved(&entry.frame, tracks, MAX_PACKET, outgoing);
    match &entry.numbers.report {
        Some(report) if !packets.is_empty() => {
            let report = compound(report, sender.ssrc);
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
    let track = entry.frame.track;
    let sender = entry.description.sender(track);
    let outgoing = entry.numbers.outgoing(track, sender);
    let tracks = entry.description.tracks_for(Sound::Original);
    let runs = datagrams(&entry.frame, tracks, MAX_PACKET, outgoing);
    let report = entry.numbers.report.as_ref().filter(|_| !runs.is_empty());
    let report = report.map(|report| {
        let bytes = compound(report, sender.ssrc);
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

/// A sender report without reports on others, and the sender's name: its own number.
fn compound(report: &Report, ssrc: u32) -> Bytes {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(&[0x80, SENDER_REPORT]);
    out.put_u16(6);
    out.put_u32(ssrc);
    out.put_u64(report.ntp);
    for number in [report.timestamp, report.packets, report.octets] {
        out.put_u32(number);
    }
    let name = format!("{ssrc:08x}");
    out.extend_from_slice(&[0x81, SOURCE_DESCRIPTION]);
    out.put_u16(4);
    out.put_u32(ssrc);
    out.extend_from_slice(&[CNAME, name.len() as u8]);
    out.extend_from_slice(name.as_bytes());
    // The end of the items, up to a multiple of four bytes.
    out.extend_from_slice(&[0; 2]);
    out.into()
}
