//! Frames through packets and back, over networks that lose, repeat and reorder.

use std::time::Duration;

use bytes::Bytes;
use headworks_media::{AudioParameters, Frame, TrackKind, Tracks, VideoParameters};
use proptest::prelude::*;

use crate::{
    Codec, Described, Event, Format, HEADER, Load, MAX_PACKET, Media, Options, Outgoing, Picture,
    Receiver, Run, Sound, aac_shares_packet, datagrams, packet_count, testing, window::Limits,
};

fn options(limits: Limits) -> Options {
    Options {
        limits,
        ssrc: 1,
        cname: "test".to_owned(),
        start: None,
    }
}

/// What our own description of a track means.
fn media(format: &Format) -> Media {
    let mut words = format.rtpmap.split('/');
    let described = Described {
        payload_type: format.payload_type,
        encoding: words.next(),
        clock_rate: words.next().and_then(|word| word.parse().ok()),
        channels: words.next().and_then(|word| word.parse().ok()),
        fmtp: format.fmtp.as_deref(),
    };
    described.media().expect("is understood")
}

fn video_media(video: &VideoParameters) -> Media {
    media(&Format::video(video).expect("is carried"))
}

/// The packets of frames, one list per frame.
fn send(frames: &[Frame], tracks: &Tracks, max_packet: usize, sequence: u16) -> Vec<Vec<Bytes>> {
    let mut head = Outgoing {
        ssrc: 99,
        sequence,
        timestamp_offset: u32::MAX - 20_000,
    };
    frames
        .iter()
        .map(|frame| {
            let runs = datagrams(frame, tracks, max_packet, head);
            let count = packet_count(frame, tracks, max_packet);
            head.sequence = head.sequence.wrapping_add(count as u16);
            runs.iter().flat_map(Run::packets).collect()
        })
        .collect()
}

/// What a receiver makes of packets that come a millisecond apart, and of a pause behind them.
fn receive(media: &Media, limits: Limits, packets: &[Bytes]) -> Vec<Event> {
    let (mut receiver, mut now) = (Receiver::new(media, options(limits)), testing::origin());
    let mut events = Vec::new();
    for packet in packets {
        now += Duration::from_millis(1);
        receiver.handle_rtp(now, packet).expect("is a packet");
        events.extend(std::iter::from_fn(|| receiver.poll_event(now)));
    }
    now += limits.wait;
    events.extend(std::iter::from_fn(|| receiver.poll_event(now)));
    events
}

fn pictures(events: &[Event]) -> Vec<&Picture> {
    let events = events.iter();
    events
        .filter_map(|event| match event {
            Event::Picture(picture) => Some(picture),
            _ => None,
        })
        .collect()
}

fn sounds(events: &[Event]) -> Vec<&Sound> {
    let events = events.iter();
    events
        .filter_map(|event| match event {
            Event::Sound(sound) => Some(sound),
            _ => None,
        })
        .collect()
}

/// Lengths of slices, and whether it is a key frame.
fn shapes() -> impl Strategy<Value = Vec<(Vec<usize>, bool)>> {
    let length = prop_oneof![4_usize..100, 4_usize..2000, 4_usize..20_000];
    prop::collection::vec((prop::collection::vec(length, 1..6), any::<bool>()), 1..30)
}

fn frames(tracks: &Tracks, shapes: &[(Vec<usize>, bool)]) -> Vec<Frame> {
    let frame = |(number, (lengths, key)): (usize, &(Vec<usize>, bool))| {
        testing::picture(tracks, lengths, *key, number as i64 * 3600)
    };
    shapes.iter().enumerate().map(frame).collect()
}

fn video_tracks(h265: bool) -> Tracks {
    let video = if h265 {
        testing::h265()
    } else {
        testing::h264()
    };
    testing::tracks(video, testing::aac())
}

/// Removes every marker bit, or sets all.
fn with_markers(packets: &[Bytes], set: bool) -> Vec<Bytes> {
    let change = |packet: &Bytes| {
        let mut packet = packet.to_vec();
        packet[1] = packet[1] & 0x7f | if set { 0x80 } else { 0 };
        packet.into()
    };
    packets.iter().map(change).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pictures_survive_shuffling_and_repetition(
        shapes in shapes(), h265: bool, max_packet in 64_usize..2000, sequence: u16,
        moves in prop::collection::vec((0_usize..20, 0_u8..8), 1..50),
    ) {
        let tracks = video_tracks(h265);
        let frames = frames(&tracks, &shapes);
        let mut packets = send(&frames, &tracks, max_packet, sequence).concat();
        // The first stays the first: what comes before it belongs to no session yet.
        for block in packets[1..].chunks_mut(20) {
            for (at, (by, _)) in moves.iter().enumerate().take(block.len()) {
                block.swap(at, by % block.len());
            }
        }
        for (at, (by, copies)) in moves.iter().enumerate() {
            if *copies == 0 && at + by < packets.len() {
                packets.insert(at + by, packets[at].clone());
            }
        }
        let events = receive(&video_media(&tracks.video), Limits::DATAGRAMS, &packets);
        let pictures = pictures(&events);
        prop_assert_eq!(pictures.len(), frames.len());
        for (number, (picture, frame)) in pictures.iter().zip(&frames).enumerate() {
            prop_assert_eq!(picture.timestamp, frame.pts);
            prop_assert_eq!(picture.key, frame.key);
            prop_assert_eq!(picture.gap, number == 0);
            prop_assert_eq!(&picture.payload, &frame.payload);
        }
        prop_assert_eq!(events.len(), frames.len(), "and nothing else");
    }

    #[test]
    fn no_damaged_picture_comes_out_and_every_gap_is_told(
        shapes in shapes(), h265: bool, max_packet in 64_usize..2000,
        lost in prop::collection::vec(0_u8..12, 1..100), markers: bool,
    ) {
        let tracks = video_tracks(h265);
        let frames = frames(&tracks, &shapes);
        let mut packets = send(&frames, &tracks, max_packet, 65_500).concat();
        if !markers {
            packets = with_markers(&packets, false);
        }
        let mut number = 0;
        packets.retain(|_| {
            number += 1;
            lost[number % lost.len()] != 0
        });
        for limits in [Limits::DATAGRAMS, Limits::STREAM] {
            let events = receive(&video_media(&tracks.video), limits, &packets);
            let mut before = None;
            for picture in pictures(&events) {
                let index = (picture.timestamp - pictures(&events)[0].timestamp) / 3600;
                let is_sent = frames.iter().any(|frame| frame.payload == picture.payload);
                prop_assert!(is_sent, "a picture that nobody has sent");
                if before != Some(index - 1) {
                    prop_assert!(picture.gap, "after {:?}: {}", before, index);
                }
                before = Some(index);
            }
        }
    }

    #[test]
    fn cameras_that_do_not_know_markers(shapes in shapes(), h265: bool, set: bool) {
        let tracks = video_tracks(h265);
        let frames = frames(&tracks, &shapes);
        let packets = with_markers(&send(&frames, &tracks, 1400, 0).concat(), set);
        let events = receive(&video_media(&tracks.video), Limits::STREAM, &packets);
        let pictures = pictures(&events);
        if set {
            // The first picture of several slices comes in pieces; from then on they are whole.
            let good = pictures.iter().filter(|picture| frames.iter().any(|frame| frame.payload == picture.payload));
            prop_assert!(pictures.len() - good.count() <= 1);
            prop_assert!(pictures.len() + 2 >= frames.len());
        } else {
            // The last has no end.
            let expected: Vec<_> = frames[..frames.len() - 1].iter().map(|frame| &frame.payload).collect();
            prop_assert_eq!(pictures.iter().map(|picture| &picture.payload).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn sound_survives(lengths in prop::collection::vec(1_usize..4000, 1..40), max_packet in 64_usize..2000) {
        for audio in [testing::aac(), testing::g711()] {
            let tracks = testing::tracks(testing::h264(), audio.clone());
            let mut pts = 5;
            let frames: Vec<_> = lengths.iter().map(|length| {
                let frame = testing::sound(*length, pts);
                pts += *length as i64;
                frame
            }).collect();
            let packets = send(&frames, &tracks, max_packet, 65_530).concat();
            let events = receive(&media(&Format::audio(&audio)), Limits::STREAM, &packets);
            let sounds = sounds(&events);
            if matches!(audio, AudioParameters::Aac { .. }) {
                for (sound, frame) in sounds.iter().zip(&frames) {
                    prop_assert_eq!(&sound.payload, &frame.payload);
                    prop_assert_eq!((sound.timestamp, sound.length), (frame.pts - 5, 1024));
                }
                prop_assert_eq!(sounds.len(), frames.len());
            } else {
                // Samples may be cut elsewhere; all are there, without holes.
                let mut end = 0;
                for sound in &sounds {
                    prop_assert_eq!(sound.timestamp, end);
                    end += i64::from(sound.length);
                }
                let all: Vec<u8> = sounds.iter().flat_map(|sound| sound.payload.to_vec()).collect();
                prop_assert_eq!(all, frames.iter().flat_map(|frame| frame.payload.to_vec()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn access_units_that_share_a_packet_come_out_one_by_one(
        lengths in prop::collection::vec(prop_oneof![1_usize..20, 1_usize..1500], 1..20),
    ) {
        let tracks = testing::tracks(testing::h264(), testing::aac());
        let frames: Vec<_> = lengths
            .iter()
            .zip(0..)
            .map(|(length, number)| testing::sound(*length, number * 1024))
            .collect();
        let (mut packets, mut rest) = (Vec::new(), &frames[..]);
        while let [first, ..] = rest {
            let fits = |count: &usize| aac_shares_packet(rest[..*count].iter().map(|frame| &frame.payload[..]));
            let (now, later) = rest.split_at((2..=rest.len()).take_while(fits).last().unwrap_or(1));
            let more: Vec<_> = now[1..].iter().map(|frame| frame.payload.clone()).collect();
            let load = Load { frame: first, more: &more };
            let head = Outgoing { ssrc: 99, sequence: packets.len() as u16, timestamp_offset: 0 };
            let runs = datagrams(load, &tracks, MAX_PACKET, head);
            let sent: Vec<_> = runs.iter().flat_map(Run::packets).collect();
            prop_assert_eq!(sent.len(), packet_count(load, &tracks, MAX_PACKET) as usize);
            prop_assert!(now.len() == 1 || sent.len() == 1);
            prop_assert!(sent.iter().all(|packet| packet.len() <= MAX_PACKET));
            let wasted = later.first().map_or(MAX_PACKET, |next| {
                HEADER + 2 + now.iter().chain([next]).map(|frame| 2 + frame.payload.len()).sum::<usize>()
            });
            prop_assert!(wasted > MAX_PACKET || now.len() == 8 || later.is_empty(), "has room");
            packets.extend(sent);
            rest = later;
        }
        let events = receive(&media(&Format::audio(&testing::aac())), Limits::STREAM, &packets);
        let found: Vec<_> = sounds(&events).iter().map(|sound| (sound.timestamp, sound.payload.clone())).collect();
        let sent: Vec<_> = frames.iter().map(|frame| (frame.pts, frame.payload.clone())).collect();
        prop_assert_eq!(found, sent);
    }

    #[test]
    fn garbage_never_panics(
        payloads in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60), any::<bool>(), 0_u16..4, 0_u32..3), 0..60),
    ) {
        let aac = media(&Format::audio(&testing::aac()));
        let latm = Media { codec: Codec::Latm(testing::aac()), ..aac.clone() };
        let known = [
            video_media(&testing::h264()),
            video_media(&testing::h265()),
            aac, latm,
            media(&Format::audio(&testing::g711())),
            media(&Format::audio(&testing::opus())),
        ];
        for media in known {
            let mut sequence = 0_u16;
            let packets: Vec<Bytes> = payloads.iter().map(|(first, rest, marker, skip, later)| {
                sequence = sequence.wrapping_add(*skip);
                let mut bytes = crate::packet::header(*marker, media.payload_type, sequence, *later, 1).to_vec();
                bytes.push(*first);
                bytes.extend(rest);
                bytes.into()
            }).collect();
            receive(&media, Limits::DATAGRAMS, &packets);
        }
    }

    #[test]
    fn datagrams_of_garbage_never_panic(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..30)) {
        let media = video_media(&testing::h264());
        let (mut receiver, now) = (Receiver::new(&media, options(Limits::DATAGRAMS)), testing::origin());
        for mut datagram in datagrams {
            if let Some(first) = datagram.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            let _ = receiver.handle_rtp(now, &datagram.clone().into());
            let _ = receiver.handle_rtcp(now, &datagram);
            while receiver.poll_event(now).is_some() {}
        }
    }
}

#[test]
fn parameters_in_band() {
    let tracks = video_tracks(false);
    let frame = testing::picture(&tracks, &[50], true, 0);
    let packets = send(&[frame.clone(), frame], &tracks, 1400, 0).concat();
    let media = Media {
        codec: Codec::H264(None),
        ..video_media(&tracks.video)
    };
    let events = receive(&media, Limits::STREAM, &packets);
    assert_eq!(events[0], Event::Parameters(Box::new(tracks.video)));
    assert!(matches!(
        events[1..],
        [Event::Picture(_), Event::Picture(_)]
    ));
}

#[test]
fn reports_go_both_ways() {
    let tracks = video_tracks(false);
    let frame = testing::picture(&tracks, &[50], true, 0);
    let packets = send(&[frame.clone(), frame], &tracks, 1400, 7).concat();
    let limits = Limits::DATAGRAMS;
    let mut receiver = Receiver::new(&video_media(&tracks.video), options(limits));
    let start = testing::origin();
    assert_eq!(receiver.deadline(), None);
    let info = crate::rtcp::SenderInfo {
        ntp: 5 << 32,
        timestamp: (u32::MAX - 20_000).wrapping_add(900),
        packets: 0,
        octets: 0,
    };
    let report = crate::rtcp::sender_report(99, "camera", info);
    receiver.handle_rtcp(start, &report).expect("is a report");
    assert_eq!(receiver.poll_event(start), None, "nothing to relate it to");
    receiver
        .handle_rtp(start, &packets[0])
        .expect("is a packet");
    let events: Vec<_> = std::iter::from_fn(|| receiver.poll_event(start)).collect();
    assert_eq!(events.len(), 2);
    let expected = Event::SenderReport {
        ntp: 5 << 32,
        timestamp: 900,
    };
    assert!(events.contains(&expected));
    assert_eq!(receiver.poll_report(start), None);
    let due = receiver.deadline().expect("a report is due");
    let bytes = receiver.poll_report(due).expect("is due");
    let reports = crate::rtcp::parse(&bytes).expect("parses");
    let crate::rtcp::Report::Receiver { blocks, .. } = &reports[0] else {
        panic!("{reports:?}");
    };
    assert_eq!((blocks[0].ssrc, blocks[0].highest), (99, 7));
    assert_eq!((blocks[0].last_report, blocks[0].delay), (5 << 16, 5 << 16));
    assert!(receiver.deadline().is_some_and(|next| next > due));
    let end = crate::rtcp::bye(99, "camera");
    receiver.handle_rtcp(due, &end).expect("is a report");
    assert_eq!(receiver.poll_event(due), Some(Event::Bye));
}

#[test]
fn only_the_sender_speaks_for_itself() {
    let tracks = video_tracks(false);
    let frame = testing::picture(&tracks, &[50], true, 0);
    let packets = send(&[frame.clone(), frame], &tracks, 1400, 7).concat();
    let media = video_media(&tracks.video);
    let mut receiver = Receiver::new(&media, options(Limits::DATAGRAMS));
    let now = testing::origin();
    let of = |ssrc| {
        let info = crate::rtcp::SenderInfo {
            ntp: u64::from(ssrc) << 32,
            timestamp: 0,
            packets: 0,
            octets: 0,
        };
        let report = crate::rtcp::sender_report(ssrc, "camera", info);
        [report, crate::rtcp::bye(ssrc, "camera")].concat()
    };
    // Somebody else, before anybody is known and then.
    let early = of(98)[..28].to_vec();
    receiver.handle_rtcp(now, &early).expect("is a report");
    receiver.handle_rtp(now, &packets[0]).expect("is a packet");
    receiver.handle_rtcp(now, &of(98)).expect("is a report");
    let mut events = || std::iter::from_fn(|| receiver.poll_event(now)).collect::<Vec<_>>();
    let found = events();
    assert!(matches!(&found[..], [Event::Picture(_)]), "{found:?}");
    receiver.handle_rtcp(now, &of(99)).expect("is a report");
    let found: Vec<_> = std::iter::from_fn(|| receiver.poll_event(now)).collect();
    let ours = |event: &Event| matches!(event, Event::SenderReport { ntp, .. } if *ntp == 99 << 32);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(ours) && found.contains(&Event::Bye));
}

#[test]
fn only_the_right_payload_type_counts_once_it_has_come() {
    let tracks = video_tracks(false);
    let frame = testing::picture(&tracks, &[50], true, 0);
    assert_eq!(frame.track, TrackKind::Video);
    let packets = send(&[frame.clone(), frame.clone(), frame], &tracks, 1400, 0).concat();
    let mut other = packets.clone();
    for packet in &mut other {
        let mut bytes = packet.to_vec();
        bytes[1] = bytes[1] & 0x80 | 100;
        *packet = bytes.into();
    }
    let media = video_media(&tracks.video);
    let order = [other[0].clone(), packets[1].clone(), other[2].clone()];
    assert_eq!(pictures(&receive(&media, Limits::STREAM, &order)).len(), 2);
}
