//! The bytes of a frame's packets, in the two forms that leave the machine. Both hold the same
//! packets under the same numbers, so that a viewer's transport is of no concern to the hub.

use bytes::{BufMut, Bytes};
use headworks_media::{TrackKind, Tracks};

use crate::{
    format,
    packet::{self, HEADER},
    packetize::{Load, Payload, payloads},
};

/// The size of packets, RTP header included, that crosses nearly every network in one piece:
/// with UDP, IPv6 and a tunnel around it it stays below 1500 bytes.
pub const MAX_PACKET: usize = 1400;

/// The interleaved channels of RTP (RFC 2326 §10.12); the next one is for RTCP.
pub const VIDEO_CHANNEL: u8 = 0;
/// The channel of sound.
pub const AUDIO_CHANNEL: u8 = 2;

/// `$`, channel and length.
const PREFIX: usize = 4;

/// As many packets as Linux takes in one send with `UDP_SEGMENT` …
pub const MAX_RUN_PACKETS: usize = 64;
/// … and as many bytes.
pub const MAX_RUN_BYTES: usize = 65_000;

/// What the headers of a load's packets say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// The sender of this track.
    pub ssrc: u32,
    /// The number of the load's first packet. The next load's is [`crate::packet_count`] higher.
    pub sequence: u16,
    /// What is added to every timestamp of the track.
    pub timestamp_offset: u32,
}

/// Packets that can be handed to the kernel together: all but the last have the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// At most 64 packets, one behind the other, at most 65,000 bytes.
    pub bytes: Bytes,
    /// The length of each packet; the last may be shorter.
    pub segment: usize,
}

impl Run {
    /// Its packets.
    pub fn packets(&self) -> impl Iterator<Item = Bytes> {
        let step = self.segment.max(1);
        let starts = (0..self.bytes.len()).step_by(step);
        starts.map(move |at| self.bytes.slice(at..self.bytes.len().min(at + step)))
    }
}

/// The RTP timestamp of a frame that is shown at `pts`.
#[must_use]
pub fn timestamp(pts: i64, offset: u32) -> u32 {
    // Only the lower 32 bits count: timestamps wrap.
    (pts as u32).wrapping_add(offset)
}

/// All packets of a load, each behind `$`, its channel and its length (RFC 2326 §10.12), in one
/// piece of memory. Empty if RTP cannot carry it.
#[must_use]
pub fn interleaved<'a>(
    load: impl Into<Load<'a>>,
    tracks: &Tracks,
    max_packet: usize,
    head: Outgoing,
) -> Bytes {
    let load = load.into();
    let channel = match load.frame.track {
        TrackKind::Video => VIDEO_CHANNEL,
        TrackKind::Audio => AUDIO_CHANNEL,
    };
    let mut out = Vec::with_capacity(size(load, tracks, max_packet, PREFIX));
    for_each_packet(load, tracks, max_packet, head, |header, payload| {
        let length = HEADER + payload.length();
        out.extend_from_slice(&[b'$', channel]);
        out.put_u16(length as u16);
        out.extend_from_slice(&header);
        payload.write(&mut out);
    });
    out.into()
}

/// All packets of a load for UDP with generic segmentation offload. The runs share one piece of
/// memory. Empty if RTP cannot carry it.
#[must_use]
pub fn datagrams<'a>(
    load: impl Into<Load<'a>>,
    tracks: &Tracks,
    max_packet: usize,
    head: Outgoing,
) -> Vec<Run> {
    let load = load.into();
    let mut out = Vec::with_capacity(size(load, tracks, max_packet, 0));
    let mut cuts = Cuts::default();
    for_each_packet(load, tracks, max_packet, head, |header, payload| {
        cuts.add(HEADER + payload.length());
        out.extend_from_slice(&header);
        payload.write(&mut out);
    });
    let mut rest = Bytes::from(out);
    let run = |cut: Cut| Run {
        bytes: rest.split_to(cut.length),
        segment: cut.segment,
    };
    cuts.0.into_iter().map(run).collect()
}

/// What fits into 16 bits of length and holds at least something of a fragment.
pub(crate) fn packet_limit(max_packet: usize) -> usize {
    const MIN_PACKET: usize = 64;
    max_packet.clamp(MIN_PACKET, MAX_RUN_BYTES)
}

fn size(load: Load<'_>, tracks: &Tracks, max_packet: usize, prefix: usize) -> usize {
    payloads(load, tracks, packet_limit(max_packet) - HEADER)
        .map(|payload| prefix + HEADER + payload.length())
        .sum()
}

fn for_each_packet(
    load: Load<'_>,
    tracks: &Tracks,
    max_packet: usize,
    head: Outgoing,
    mut take: impl FnMut([u8; HEADER], &Payload<'_>),
) {
    let payload_type = format::payload_type(load.frame.track, tracks);
    let shown = timestamp(load.frame.pts, head.timestamp_offset);
    let mut sequence = head.sequence;
    for payload in payloads(load, tracks, packet_limit(max_packet) - HEADER) {
        let timestamp = shown.wrapping_add(payload.later);
        let header = packet::header(payload.marker, payload_type, sequence, timestamp, head.ssrc);
        take(header, &payload);
        sequence = sequence.wrapping_add(1);
    }
}

/// Where runs end.
#[derive(Debug, Default)]
struct Cuts(Vec<Cut>);

#[derive(Debug)]
struct Cut {
    segment: usize,
    length: usize,
    packets: usize,
}

impl Cuts {
    fn add(&mut self, packet: usize) {
        if let Some(run) = self.0.last_mut()
            && run.length == run.packets * run.segment
            && packet <= run.segment
            && run.packets < MAX_RUN_PACKETS
            && run.length + packet <= MAX_RUN_BYTES
        {
            run.length += packet;
            run.packets += 1;
        } else {
            self.0.push(Cut {
                segment: packet,
                length: packet,
                packets: 1,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use headworks_media::Frame;
    use proptest::prelude::*;

    use super::*;
    use crate::{Packet, packet_count, testing};

    const HEAD: Outgoing = Outgoing {
        ssrc: 0x0102_0304,
        sequence: 65_534,
        timestamp_offset: u32::MAX - 5,
    };

    fn packets(interleaved: &Bytes) -> Vec<Bytes> {
        let mut rest = interleaved.clone();
        let mut packets = Vec::new();
        while !rest.is_empty() {
            let prefix = rest.split_to(PREFIX);
            assert_eq!(prefix[0], b'$');
            packets.push(rest.split_to(usize::from(u16::from_be_bytes([prefix[2], prefix[3]]))));
        }
        packets
    }

    fn is_good(frame: &Frame, tracks: &Tracks, max_packet: usize) {
        let count = packet_count(frame, tracks, max_packet) as usize;
        let one = interleaved(frame, tracks, max_packet, HEAD);
        let first = packets(&one);
        assert_eq!(first.len(), count, "the count that was promised");
        let runs = datagrams(frame, tracks, max_packet, HEAD);
        let second: Vec<_> = runs.iter().flat_map(Run::packets).collect();
        assert_eq!(first, second, "both forms hold the same packets");
        for run in &runs {
            assert!(run.packets().count() <= 64 && run.bytes.len() <= 65_000);
        }
        for (at, bytes) in first.iter().enumerate() {
            assert!(
                bytes.len() <= packet_limit(max_packet) || tracks.audio == Some(testing::opus())
            );
            let packet = Packet::parse(bytes).expect("parses");
            assert_eq!(packet.sequence, HEAD.sequence.wrapping_add(at as u16));
            assert_eq!(packet.ssrc, HEAD.ssrc);
            if frame.track == TrackKind::Video {
                assert_eq!(packet.marker, at + 1 == count);
                assert_eq!(
                    packet.timestamp,
                    timestamp(frame.pts, HEAD.timestamp_offset)
                );
            }
        }
    }

    #[test]
    fn a_key_frame_of_h264() {
        let tracks = testing::tracks(testing::h264(), testing::aac());
        let frame = testing::picture(&tracks, &[10, 3000], true, 10);
        let bytes = interleaved(&frame, &tracks, 1400, HEAD);
        let packets = packets(&bytes);
        let start = |at: usize, length: usize| packets[at][HEADER..HEADER + length].to_vec();
        // STAP-A of SPS, PPS and the small unit.
        assert_eq!(start(0, 4), [0x78, 0, 26, 0x67]);
        assert_eq!(packets[0].len(), HEADER + 1 + 2 + 26 + 2 + 6 + 2 + 10);
        // FU-A: start, middle, end.
        assert_eq!(start(1, 3), [0x7c, 0x85, 0x41]);
        assert_eq!(start(2, 2), [0x7c, 0x05]);
        assert_eq!(start(3, 2), [0x7c, 0x45]);
        assert_eq!((packets[1].len(), packets[2].len()), (1400, 1400));
        assert_eq!(packets.len(), 4);
        // Timestamps and sequence numbers wrap.
        assert_eq!(packets[3][2..8], [0, 1, 0, 0, 0, 4]);
        let runs = datagrams(&frame, &tracks, 1400, HEAD);
        assert_eq!(runs.len(), 2, "the aggregate, and the fragments");
        assert_eq!(runs[1].segment, 1400);
    }

    #[test]
    fn a_key_frame_of_h265() {
        let tracks = testing::tracks(testing::h265(), testing::aac());
        let frame = testing::picture(&tracks, &[3000], true, 0);
        let packets = packets(&interleaved(&frame, &tracks, 1400, HEAD));
        assert_eq!(packets[0][HEADER..HEADER + 6], [48 << 1, 1, 0, 24, 0x40, 1]);
        assert_eq!(packets[1][HEADER..HEADER + 3], [49 << 1, 1, 0x80 | 19]);
        assert_eq!(packets[3][HEADER..HEADER + 3], [49 << 1, 1, 0x40 | 19]);
    }

    #[test]
    fn sound() {
        let aac = testing::tracks(testing::h264(), testing::aac());
        let packets_of = |frame: &Frame, tracks| packets(&interleaved(frame, tracks, 1400, HEAD));
        let whole = packets_of(&testing::sound(300, 0), &aac);
        assert_eq!(whole[0][HEADER..HEADER + 5], [0, 16, 9, 0x60, 0]);
        assert_eq!(whole[0][1], 0x80 | 97);
        let more = [Bytes::from_static(&[7; 40])];
        let frame = testing::sound(300, 0);
        let load = Load {
            frame: &frame,
            more: &more,
        };
        let both = packets(&interleaved(load, &aac, 1400, HEAD));
        assert_eq!(both[0][HEADER..HEADER + 6], [0, 32, 9, 0x60, 1, 0x40]);
        assert_eq!((both.len(), both[0][1]), (1, 0x80 | 97));
        let parts = packets_of(&testing::sound(3000, 0), &aac);
        let marked: Vec<_> = parts.iter().map(|packet| packet[1] >> 7).collect();
        assert_eq!(marked, [0, 0, 1]);
        let g711 = testing::tracks(testing::h264(), testing::g711());
        let parts = packets_of(&testing::sound(2000, 6), &g711);
        assert_eq!(parts[0][1..8], [8, 0xff, 0xfe, 0, 0, 0, 0]);
        assert_eq!(parts[1][1..8], [8, 0xff, 0xff, 0, 0, 0x05, 0x6c]);
    }

    #[test]
    fn what_cannot_be_carried_has_no_packets() {
        let aac = testing::tracks(testing::h264(), testing::aac());
        for frame in [testing::sound(0, 0), testing::sound(9000, 0)] {
            assert_eq!(packet_count(&frame, &aac, 1400), 0);
            assert!(interleaved(&frame, &aac, 1400, HEAD).is_empty());
            assert!(datagrams(&frame, &aac, 1400, HEAD).is_empty());
        }
    }

    proptest! {
        #[test]
        fn the_count_of_pictures_is_kept(
            lengths in prop::collection::vec(prop_oneof![0_usize..6, 0_usize..2000, 0_usize..200_000], 0..12),
            key: bool, max_packet in 0_usize..3000, h265: bool, pts: i64,
        ) {
            let video = if h265 { testing::h265() } else { testing::h264() };
            let tracks = testing::tracks(video, testing::aac());
            is_good(&testing::picture(&tracks, &lengths, key, pts), &tracks, max_packet);
        }

        #[test]
        fn the_count_of_sound_is_kept(length in 0_usize..10_000, max_packet in 0_usize..3000, pts: i64) {
            for audio in [testing::aac(), testing::g711(), testing::opus()] {
                let tracks = testing::tracks(testing::h264(), audio);
                is_good(&testing::sound(length, pts), &tracks, max_packet);
            }
        }

        #[test]
        fn garbage_for_a_frame_never_panics(payload: Vec<u8>, key: bool, max_packet in 0_usize..200) {
            for video in [testing::h264(), testing::h265()] {
                let tracks = testing::tracks(video, testing::aac());
                let mut frame = testing::picture(&tracks, &[], key, 0);
                frame.payload = payload.clone().into();
                is_good(&frame, &tracks, max_packet);
            }
        }
    }
}
