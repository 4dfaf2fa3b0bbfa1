//! One received track of each codec: packets, RTCP, the reorder window and the depacketizer.
//!
//! The input is a sequence of packets: a byte of [`Flags`], then a record. Most records are
//! payloads, for which the header is made here, so that mutation works on what is inside.

use std::time::Duration;

use bytes::Bytes;
use headworks_media::{AudioParameters, Tracks, VideoParameters};
use headworks_rtp::{
    AuHeaders, Codec, Event, Media, Options, Receiver, payloads,
    rtcp::{self, Block, Report, SenderInfo},
    window::Limits,
};

use crate::{
    input::{Budget, Input, put_record, start},
    sample,
};

/// The bits before each packet.
mod flag {
    pub(super) const MARKER: u8 = 1;
    /// Two bits: what the sequence number does.
    pub(super) const SEQUENCE: u8 = 6;
    /// The timestamp goes on.
    pub(super) const LATER: u8 = 8;
    /// The record is a whole packet, header and all.
    pub(super) const WHOLE: u8 = 16;
    /// The record is RTCP.
    pub(super) const RTCP: u8 = 32;
    /// Time passes before.
    pub(super) const WAIT: u8 = 64;
    /// Another sender.
    pub(super) const STRANGER: u8 = 128;
}

const PAYLOAD_TYPE: u8 = 96;

fn receive(codec: Codec, clock_rate: u32, bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let media = Media {
        payload_type: PAYLOAD_TYPE,
        clock_rate,
        codec,
    };
    let options = Options {
        limits: if how & 1 == 0 {
            Limits::STREAM
        } else {
            Limits::DATAGRAMS
        },
        ssrc: 1,
        cname: "fuzz".to_owned(),
        start: (how & 2 != 0).then_some(0),
    };
    let mut receiver = Receiver::new(&media, options);
    let (mut now, mut budget) = (start(), Budget::new());
    let (mut sequence, mut timestamp) = (65_530_u16, u32::MAX - 9000);
    while !input.0.is_empty() {
        let flags = input.byte();
        let record = input.record().unwrap_or_default();
        sequence = sequence
            .wrapping_add([1, 2, u16::MAX, 3000][usize::from((flags & flag::SEQUENCE) >> 1)]);
        if flags & flag::LATER != 0 {
            timestamp = timestamp.wrapping_add(3600);
        }
        now += Duration::from_millis(if flags & flag::WAIT == 0 { 1 } else { 6000 });
        let packet = match flags & flag::WHOLE {
            0 => packet(flags, sequence, timestamp, record),
            _ => Bytes::copy_from_slice(record),
        };
        budget.fed(packet.len());
        let _ = match flags & flag::RTCP {
            0 => receiver.handle_rtp(now, &packet),
            _ => receiver.handle_rtcp(now, record),
        };
        drain(&mut receiver, now, &mut budget);
    }
    now += Duration::from_secs(60);
    drain(&mut receiver, now, &mut budget);
}

fn packet(flags: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Bytes {
    let mut out = vec![0x80, (flags & flag::MARKER) << 7 | PAYLOAD_TYPE];
    out.extend(sequence.to_be_bytes());
    out.extend(timestamp.to_be_bytes());
    out.extend([0, 0, 0, flags & flag::STRANGER]);
    out.extend_from_slice(payload);
    out.into()
}

fn drain(receiver: &mut Receiver, now: std::time::Instant, budget: &mut Budget) {
    while let Some(event) = receiver.poll_event(now) {
        budget.spend();
        if let Event::Picture(picture) = event {
            assert!(
                picture.payload.len() <= headworks_rtp::MAX_PICTURE,
                "too large"
            );
        }
    }
    let _ = receiver.poll_report(now);
    let _ = (receiver.deadline(), receiver.damaged(), receiver.counters());
}

/// Packets of at most `max` bytes of payload, as our own sender makes them.
fn seeds(video: VideoParameters, audio: Option<AudioParameters>) -> Vec<Vec<u8>> {
    let wants_sound = audio.is_some();
    let tracks = Tracks { video, audio };
    let seed = |max: usize| {
        let mut out = vec![u8::from(max < 100)];
        for frame in sample::frames(&tracks) {
            if wants_sound == (frame.track == headworks_media::TrackKind::Video) {
                continue;
            }
            let mut first = flag::LATER;
            for payload in payloads(&frame, &tracks, max) {
                out.push(first | u8::from(payload.marker));
                let mut bytes = Vec::new();
                payload.write(&mut bytes);
                put_record(&mut out, &bytes);
                first = 0;
            }
        }
        out.push(flag::RTCP);
        put_record(&mut out, &sender_report());
        out
    };
    [12, 1400].map(seed).into()
}

fn sender_report() -> Bytes {
    let info = SenderInfo {
        ntp: 1 << 40,
        timestamp: 9000,
        packets: 10,
        octets: 1000,
    };
    rtcp::sender_report(0, "camera", info)
}

pub(crate) fn h264(bytes: &[u8]) {
    receive(Codec::H264(None), 90_000, bytes);
}

pub(crate) fn h264_seeds() -> Vec<Vec<u8>> {
    seeds(sample::h264(), None)
}

pub(crate) fn h265(bytes: &[u8]) {
    receive(Codec::H265(None), 90_000, bytes);
}

pub(crate) fn h265_seeds() -> Vec<Vec<u8>> {
    seeds(sample::h265(), None)
}

/// The first byte also chooses the widths of the headers.
pub(crate) fn aac(bytes: &[u8]) {
    let widths = match bytes.first().map_or(0, |how| how >> 2 & 3) {
        0 | 1 => [13, 3, 3],
        2 => [6, 2, 2],
        _ => [32, 0, 32],
    };
    let [size, index, index_delta] = widths;
    let headers = AuHeaders {
        size,
        index,
        index_delta,
    };
    receive(Codec::Aac(sample::aac(), headers), 48_000, bytes);
}

pub(crate) fn aac_seeds() -> Vec<Vec<u8>> {
    let mut seeds = seeds(sample::h264(), Some(sample::aac()));
    // Two interleaved units with sizes of six bits.
    seeds.push(vec![8, 9, 0, 7, 0, 16, 0x0c, 0x09, 1, 2, 3]);
    seeds
}

pub(crate) fn latm(bytes: &[u8]) {
    receive(Codec::Latm(sample::aac()), 48_000, bytes);
}

pub(crate) fn latm_seeds() -> Vec<Vec<u8>> {
    // PayloadLengthInfo, then the unit: whole, in two packets, and longer than 255 bytes.
    let mut split = vec![0, 8, 0, 3, 6, 1, 2, flag::MARKER, 0, 4, 3, 4, 5, 6];
    split.extend([flag::LATER | flag::MARKER, 1, 2, 255, 1]);
    split.extend([9; 256]);
    vec![vec![0, 9, 0, 4, 3, 1, 2, 3], split]
}

pub(crate) fn g711(bytes: &[u8]) {
    receive(Codec::Plain(sample::g711()), 8000, bytes);
}

pub(crate) fn g711_seeds() -> Vec<Vec<u8>> {
    seeds(sample::h264(), Some(sample::g711()))
}

pub(crate) fn opus(bytes: &[u8]) {
    receive(Codec::Plain(sample::opus()), 48_000, bytes);
}

pub(crate) fn opus_seeds() -> Vec<Vec<u8>> {
    seeds(sample::h264(), Some(sample::opus()))
}

/// A compound packet; what is read can be written again.
pub(crate) fn rtcp(bytes: &[u8]) {
    let Ok(reports) = rtcp::parse(bytes) else {
        return;
    };
    // A BYE has four bytes for each source, a report at least eight.
    assert!(
        reports.len() <= bytes.len() / 4 + 1,
        "{} reports",
        reports.len()
    );
    for report in reports {
        if let Report::Receiver { ssrc, blocks } = report {
            let written = rtcp::receiver_report(ssrc, "", &blocks);
            let again = rtcp::parse(&written).expect("our own");
            assert_eq!(again.first(), Some(&Report::Receiver { ssrc, blocks }));
        }
    }
}

pub(crate) fn rtcp_seeds() -> Vec<Vec<u8>> {
    let block = Block {
        ssrc: 9,
        lost: -1,
        ..Block::default()
    };
    vec![
        sender_report().to_vec(),
        rtcp::receiver_report(1, "viewer", &[block, block]).to_vec(),
        rtcp::bye(1, "viewer").to_vec(),
    ]
}
