//! What viewers of each format receive, read by parsers that the writers know nothing of: whoever
//! comes late, falls behind and jumps, gets a valid stream.

use headworks_media::{Demuxed, TrackKind, flv, ts};
use headworks_rtmp::{
    Limits, chunk,
    wire::{CHUNK_SIZE, end},
};
use headworks_rtp::{Packet, rtcp};
use proptest::prelude::*;
use tokio::net::UnixStream;

use super::*;

/// What a parser finds of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) track: TrackKind,
    /// In milliseconds, from anywhere.
    pub(super) time: i64,
    key: bool,
    /// Where the next frame's numbers begin, if the format has them.
    numbers: Option<(u16, u16)>,
}

fn seen(track: TrackKind, time: u32, key: bool) -> Seen {
    Seen {
        track,
        time: time.into(),
        key,
        numbers: None,
    }
}

/// The frames in a viewer's bytes. Nothing may be left over or be out of place.
pub(super) fn parse(format: Format, bytes: &[u8]) -> Vec<Seen> {
    match format {
        Format::Flv => parse_flv(bytes),
        Format::FlvWebSocket => parse_flv(&messages(bytes)),
        Format::Rtmp => parse_rtmp(bytes),
        Format::Ts => parse_ts(bytes),
        Format::RtpInterleaved => parse_rtp(bytes),
        Format::RtpUdp => unreachable!("has no byte stream"),
    }
}

fn parse_body(kind: flv::TagKind, time: u32, body: &[u8], configured: &mut bool) -> Option<Seen> {
    match (kind, body) {
        (flv::TagKind::Video, [0x17, 0, ..]) => {
            *configured = true;
            None
        }
        (flv::TagKind::Video, [first, 1, ..]) => {
            assert!(*configured, "sequence headers come first");
            Some(seen(TrackKind::Video, time, *first == 0x17))
        }
        (flv::TagKind::Audio, [0xaf, 0, ..]) => None,
        (flv::TagKind::Audio, [0xaf, 1, ..]) => Some(seen(TrackKind::Audio, time, false)),
        (flv::TagKind::Script, _) => None,
        other => panic!("an unknown body: {other:?}"),
    }
}

fn parse_flv(bytes: &[u8]) -> Vec<Seen> {
    let mut reader = flv::Reader::default();
    reader.push(bytes);
    let mut configured = false;
    let mut frames = Vec::new();
    while let Some(tag) = reader.poll().expect("is FLV") {
        frames.extend(parse_body(
            tag.kind,
            tag.timestamp,
            &tag.body,
            &mut configured,
        ));
    }
    // The reader leaves the last PreviousTagSize until there is more.
    assert!(bytes.len() as u64 - reader.offset() <= 4, "ends with a tag");
    frames
}

/// The payloads of WebSocket messages.
fn messages(bytes: &[u8]) -> Vec<u8> {
    // A viewer that is up to date is told of the end.
    let mut bytes = bytes.strip_suffix(&[0x88, 2, 3, 232]).unwrap_or(bytes);
    let mut joined = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(*first, 0x82, "a whole binary message");
        let (length, rest) = match second {
            126 => (u16::from_be_bytes([rest[0], rest[1]]).into(), &rest[2..]),
            127 => {
                let length = rest.first_chunk().expect("eight bytes");
                (u64::from_be_bytes(*length) as usize, &rest[8..])
            }
            short => (usize::from(*short), rest),
        };
        joined.extend_from_slice(&rest[..length]);
        bytes = &rest[length..];
    }
    joined
}

fn parse_rtmp(bytes: &[u8]) -> Vec<Seen> {
    let mut reader = chunk::Reader::new(Limits::default(), 0);
    reader
        .set_chunk_size(CHUNK_SIZE as u32)
        .expect("is allowed");
    // A viewer that is up to date is told of the end.
    let media = bytes.strip_suffix(&end()[..]).unwrap_or(bytes);
    let mut input = Bytes::copy_from_slice(media);
    let mut configured = false;
    let mut frames = Vec::new();
    while let Some(message) = reader.next(&mut input).expect("is RTMP") {
        let kind = flv::TagKind::from_number(message.kind).expect("media");
        frames.extend(parse_body(
            kind,
            message.timestamp,
            &message.payload,
            &mut configured,
        ));
    }
    assert!(input.is_empty(), "ends with a message");
    frames
}

fn parse_ts(bytes: &[u8]) -> Vec<Seen> {
    assert_eq!(bytes.len() % ts::CELL, 0, "ends with a cell");
    let mut demuxer = ts::Demuxer::default();
    demuxer.push(bytes);
    demuxer.finish();
    let mut frames = Vec::new();
    while let Some(found) = demuxer.poll() {
        let (track, time, key) = match found.expect("is MPEG-TS") {
            Demuxed::Video { dts, key, .. } => (TrackKind::Video, dts, key),
            Demuxed::Audio { timestamp, .. } => (TrackKind::Audio, timestamp, false),
            Demuxed::Tracks(_) => continue,
        };
        frames.push(seen(track, (time / 90) as u32, key));
    }
    let losses = demuxer.losses();
    assert_eq!((losses.skipped, losses.damaged), (0, 0));
    let times: Vec<_> = frames.iter().map(|frame| frame.time).collect();
    let has_all = times.windows(2).all(|pair| pair[1] - pair[0] <= 41);
    assert!(!has_all || losses.gaps == 0, "counters go on");
    frames
}

fn parse_rtp(mut bytes: &[u8]) -> Vec<Seen> {
    let mut frames: Vec<Seen> = Vec::new();
    while let [b'$', channel, high, low, rest @ ..] = bytes {
        let (packet, rest) = rest.split_at(u16::from_be_bytes([*high, *low]).into());
        bytes = rest;
        let track = match channel / 2 {
            0 => TrackKind::Video,
            _ => TrackKind::Audio,
        };
        if channel % 2 == 1 {
            assert_eq!(rtcp::parse(packet).expect("is RTCP").len(), 2);
            continue;
        }
        let packet = Packet::parse(&Bytes::copy_from_slice(packet)).expect("is RTP");
        let (rate, key) = match track {
            // STAP-A: parameter sets stand before a key frame.
            TrackKind::Video => (90, packet.payload[0] & 0x1f == 24),
            TrackKind::Audio => (8, false),
        };
        let time = i64::from(packet.timestamp / rate);
        let next = packet.sequence.wrapping_add(1);
        match frames.iter_mut().rev().find(|frame| frame.track == track) {
            Some(frame) if frame.time == time && track == TrackKind::Video => {
                let (first, last) = frame.numbers.expect("has numbers");
                assert_eq!(packet.sequence, last, "in order within a picture");
                frame.numbers = Some((first, next));
            }
            _ => frames.push(Seen {
                track,
                time,
                key,
                numbers: Some((packet.sequence, next)),
            }),
        }
    }
    assert!(bytes.is_empty(), "ends with a packet");
    frames
}

/// Starts with a key frame, time goes forward, whatever is left out is left out up to a key frame,
/// and the last picture is there.
pub(super) fn is_valid(frames: &[Seen], pictures: usize) {
    let video: Vec<_> = frames
        .iter()
        .filter(|frame| frame.track == TrackKind::Video)
        .collect();
    let [first, ..] = video[..] else {
        panic!("has pictures")
    };
    assert!(first.key);
    assert!(video.len() <= pictures);
    for pair in video.windows(2) {
        let step = pair[1].time - pair[0].time;
        assert!(step >= 39, "time goes forward");
        let goes_on = step <= 41;
        assert!(goes_on || pair[1].key, "it goes on at a key frame");
        if let (Some((_, next)), Some((first, _))) = (pair[0].numbers, pair[1].numbers) {
            assert_eq!(goes_on, next == first, "numbers tell of what is left out");
        }
    }
}

/// A viewer whose bytes are kept.
pub(super) struct Reader {
    socket: UnixStream,
    pub(super) bytes: Vec<u8>,
}

impl Reader {
    /// Reads what has come, at most `limit`.
    fn read(&mut self, limit: usize) -> usize {
        let before = self.bytes.len();
        let mut buffer = vec![0; limit];
        while let Ok(count @ 1..) = self.socket.try_read(&mut buffer[..limit]) {
            self.bytes.extend_from_slice(&buffer[..count]);
            if self.bytes.len() - before >= limit {
                break;
            }
        }
        self.bytes.len() - before
    }

    pub(super) async fn read_all(&mut self) {
        while self.read(1 << 20) > 0 {
            settle().await;
        }
    }

    pub(super) async fn read_to_end(&mut self) {
        let rest = self.socket.read_to_end(&mut self.bytes);
        timeout(LIMIT, rest).await.expect("in time").expect("reads");
    }
}

impl World {
    pub(super) async fn join(&self, format: Format) -> Reader {
        self.join_with(format, Selection::All).await
    }

    async fn join_with(&self, format: Format, selection: Selection) -> Reader {
        let (socket, sink) = UnixStream::pair().expect("makes a pair");
        let stream = self.stream();
        self.hub
            .add_viewer(NewViewer {
                sink: sink.into(),
                format,
                selection,
                head: Bytes::new(),
                guard: stream.add_viewer_for(selection.sound(format.sound())),
                stream,
                start: None,
                control: None,
                watch_until: self.clock.monotonic() + LIMIT,
                connection: None,
                session: None,
            })
            .await;
        let bytes = Vec::new();
        Reader { socket, bytes }
    }
}

/// Lets shards work.
pub(super) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn play(format: Format, gop: usize, late: usize, size: usize, reads: &[usize]) {
    let mut world = World::new(Config {
        buffer_bytes: 400_000,
        viewer_jumps: u32::MAX,
        shards: 1,
        ..Config::default()
    });
    world.publisher.start_session(testing::tracks_with_sound());
    world.publisher.set_aac(Some(testing::aac()));
    let picture = |world: &mut World, index: usize| {
        let frame = testing::picture(0, index.is_multiple_of(gop), size);
        let pts = index as i64 * 3600;
        world.publisher.video(pts, frame.key, frame.payload);
        for half in 0..2 {
            let timestamp = index as i64 * 320 + half * 160;
            let stamp = world
                .publisher
                .audio(timestamp, 160, testing::sound(0).payload);
            // Something stands in for it where it must.
            if let Some(stamp) = stamp {
                world.publisher.aac(stamp * 6, Bytes::from_static(b"aac"));
            }
        }
        world.publisher.wake();
    };
    for index in 0..late {
        picture(&mut world, index);
    }
    let mut viewer = world.join(format).await;
    let mut later = None;
    for (index, limit) in reads.iter().enumerate() {
        if index == reads.len() / 2 {
            later = Some(world.join(format).await);
        }
        picture(&mut world, late + index);
        settle().await;
        viewer.read(*limit);
        if let Some(later) = &mut later {
            later.read_all().await;
        }
    }
    let mut later = later.expect("has joined");
    // Who has not taken everything when the stream ends is cut off.
    viewer.read_all().await;
    // It ends with a key frame: whoever fell behind is back then, also where what the pictures
    // between two of them have is more than the buffer takes.
    let end = (late + reads.len()).next_multiple_of(gop);
    for index in late + reads.len()..=end {
        picture(&mut world, index);
        settle().await;
        viewer.read_all().await;
        later.read_all().await;
    }
    world.stream().set_final(true);
    drop(world.publisher);
    viewer.read_to_end().await;
    later.read_to_end().await;
    let frames = parse(format, &viewer.bytes);
    is_valid(&frames, end + 1);
    let all = parse(format, &later.bytes);
    is_valid(&all, reads.len() + 2 * gop + 1);
    let pictures = |frames: &[Seen]| {
        let times = frames
            .iter()
            .filter(|frame| frame.track == TrackKind::Video);
        times.map(|frame| frame.time).collect::<Vec<_>>()
    };
    let (some, all) = (pictures(&frames), pictures(&all));
    assert_eq!(some.last(), all.last(), "both have the newest");
    assert!(
        all.windows(2).all(|pair| pair[1] - pair[0] <= 41),
        "who reads misses nothing"
    );

    let has_sound = frames.iter().any(|frame| frame.track == TrackKind::Audio);
    assert!(has_sound);
    world.tasks.shutdown(LIMIT).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whoever_comes_late_and_falls_behind_gets_a_valid_stream(
        gop in 1_usize..12,
        late in 1_usize..30,
        size in prop_oneof![10_usize..2000, 20_000_usize..70_000],
        reads in prop::collection::vec(prop_oneof![Just(0_usize), 1_usize..200_000], 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Sockets are looked at whenever a task yields.
            .event_interval(1)
            .build()
            .expect("starts");
        for format in Format::ALL {
            if format != Format::RtpUdp {
                runtime.block_on(play(format, gop, late, size, &reads));
            }
        }
    }
}

/// True if the bytes say that there is sound, whether it comes or not.
fn announces_sound(format: Format, bytes: &[u8]) -> bool {
    match format {
        // The file's header says so (Adobe FLV 10.1, §E.2).
        Format::Flv => bytes[4] & 4 != 0,
        Format::FlvWebSocket => messages(bytes)[4] & 4 != 0,
        Format::Rtmp => bytes.windows(12).any(|name| name == b"audiocodecid"),
        Format::Ts => {
            let mut demuxer = ts::Demuxer::default();
            demuxer.push(bytes);
            let found = std::iter::from_fn(|| demuxer.poll());
            let mut tracks = found.filter_map(|found| match found {
                Ok(Demuxed::Tracks(tracks)) => Some(tracks.audio.is_some()),
                _ => None,
            });
            tracks.any(|has_sound| has_sound)
        }
        Format::RtpInterleaved | Format::RtpUdp => false,
    }
}

#[tokio::test]
async fn who_gets_no_sound_is_not_told_of_any_and_others_do_not_notice() {
    for format in Format::ALL {
        if format == Format::RtpUdp {
            continue;
        }
        let mut world = World::new(Config::default());
        world.publisher.start_session(testing::tracks_with_sound());
        let deaf = Selection::Only(TrackKind::Video);
        let mut without = world.join_with(format, deaf).await;
        assert_eq!(*world.stream().aac_demand().borrow(), 0, "needs no AAC");
        let mut with = None;
        for index in 0..60 {
            if index == 5 {
                world.publisher.set_aac(Some(testing::aac()));
                with = Some(world.join(format).await);
            }
            let frame = testing::picture(0, index % 10 == 0, 1000);
            let pts = index * 3600;
            world.publisher.video(pts, frame.key, frame.payload);
            let packet = testing::sound(0).payload;
            if let Some(stamp) = world.publisher.audio(index * 320, 320, packet) {
                world.publisher.aac(stamp * 6, Bytes::from_static(b"aac"));
            }
            world.publisher.wake();
            settle().await;
            without.read_all().await;
            if let Some(with) = &mut with {
                with.read_all().await;
            }
        }
        world.stream().set_final(true);
        drop(world.publisher);
        let mut with = with.expect("has joined");
        with.read_to_end().await;
        without.read_to_end().await;
        let (heard, seen) = (parse(format, &with.bytes), parse(format, &without.bytes));
        assert!(heard.iter().any(|frame| frame.track == TrackKind::Audio));
        assert!(seen.iter().all(|frame| frame.track == TrackKind::Video));
        is_valid(&heard, 60);
        is_valid(&seen, 60);
        assert_eq!(seen.len(), 60, "{format:?}");
        let rtp = format == Format::RtpInterleaved;
        assert_eq!(announces_sound(format, &with.bytes), !rtp, "{format:?}");
        assert!(!announces_sound(format, &without.bytes), "{format:?}");
        world.tasks.shutdown(LIMIT).await;
    }
}
