//! One stream, successive writers: the camera here, and relays of it from other edges.

use futures::FutureExt as _;
use headworks_media::{Frame, TrackKind, Tracks};

use super::{
    formats::{is_valid, parse, settle},
    *,
};
use crate::hub::{Reader, Relayed, entry::Entry};

/// Another edge, that brings the camera in.
struct Origin {
    world: World,
    reader: Option<Reader>,
    index: i64,
}

impl Origin {
    fn new() -> Self {
        let mut world = World::new(Config::default());
        world.publisher.start_session(testing::tracks_with_sound());
        Self {
            world,
            reader: None,
            index: 0,
        }
    }

    /// Takes a picture with two packets of sound.
    fn take(&mut self, key: bool) {
        picture(&mut self.world.publisher, self.index, key);
        self.index += 1;
    }

    /// What has come since the last time.
    fn entries(&mut self) -> Vec<Arc<Entry>> {
        let stream = self.world.stream();
        let reader = self.reader.get_or_insert_with(|| {
            let start = stream.start().expect("has a key frame");
            Reader::new(stream, Sound::Original, &start)
        });
        let next = || reader.next().now_or_never().flatten();
        std::iter::from_fn(next).collect()
    }

    /// Sends all that to a relay.
    fn send(&mut self, relay: &mut Publisher) -> Vec<Option<i64>> {
        let entries = self.entries();
        let sent = entries.iter().map(|entry| send(relay, entry)).collect();
        relay.wake();
        sent
    }
}

fn picture(publisher: &mut Publisher, index: i64, key: bool) {
    let frame = testing::picture(0, key, 500);
    publisher.video(index * 3600, frame.key, frame.payload);
    for half in 0..2 {
        let timestamp = index * 320 + half * 160;
        publisher.audio(timestamp, 160, testing::sound(0).payload);
    }
    publisher.wake();
}

fn send(relay: &mut Publisher, entry: &Entry) -> Option<i64> {
    let tracks = Arc::clone(&entry.description.tracks);
    relay.start_relay(entry.source.incarnation, tracks);
    relay.write(entry.relayed())
}

fn entries(stream: &Stream) -> Vec<Arc<Entry>> {
    let ring = stream.ring();
    let numbers = ring.first()..ring.next();
    numbers
        .filter_map(|number| ring.get(number).cloned())
        .collect()
}

fn frames(stream: &Stream) -> Vec<Frame> {
    let entries = entries(stream);
    entries.iter().map(|entry| entry.frame.clone()).collect()
}

fn hub() -> (Hub, CameraId) {
    let hub = Hub::new(Config::default(), Clock::system(), Tasks::new());
    (hub, CameraId::from(Uuid::from_u128(1)))
}

fn has_lost(publisher: &Publisher) -> bool {
    publisher.writer().lost().now_or_never().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_before_goes_on_until_its_successor_has_a_key_frame() {
    let mut world = World::new(Config::default());
    world.gop(3, 100);
    let mut player = Player::start(world.watch(LIMIT).await).await;
    let mut last = 0;
    for _ in 0..3 {
        last = player.picture().await.1;
    }
    let mut next = world.hub.publish(world.stream().camera());
    assert!(Arc::ptr_eq(next.stream(), &world.stream()));
    next.start_session(tracks());
    next.video(77, false, Bytes::from_static(&[1]));
    world.gop(1, 100);
    assert_eq!(player.picture().await, (true, last + 40, 100));
    assert!(!has_lost(&world.publisher));
    next.video(3677, true, Bytes::from(vec![1; 200]));
    next.wake();
    assert!(has_lost(&world.publisher) && !has_lost(&next));
    assert_eq!(player.picture().await, (true, last + 80, 200));
    // What the one before writes now is seen by nobody.
    world.gop(2, 100);
    next.video(7277, false, Bytes::from(vec![1; 201]));
    next.wake();
    assert_eq!(player.picture().await, (false, last + 120, 201));
    let stream = world.stream();
    drop(world.publisher);
    assert!(!stream.has_ended(), "the other still has it");
    drop(player);
    until("nobody watches", || stream.viewers() == 0).await;
    drop(next);
    assert!(stream.has_ended() && world.hub.stream(stream.camera()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_wanted_waits_a_while_for_another_writer() {
    let (hub, camera) = hub();
    let first = hub.publish(camera);
    let stream = Arc::clone(first.stream());
    let viewer = stream.add_viewer();
    first.set_status(SlotState::Live, "test");
    drop(first);
    assert!(!stream.has_ended() && !stream.is_fed());
    assert_eq!(stream.status().state, SlotState::Connecting);
    let second = hub.publish(camera);
    assert!(Arc::ptr_eq(second.stream(), &stream));
    sleep(2 * GRACE).await;
    assert!(!stream.has_ended(), "it has another");
    drop(second);
    sleep(2 * GRACE).await;
    assert!(stream.has_ended() && hub.stream(camera).is_none());
    // And not at all where nobody else can come.
    let last = hub.publish(camera);
    let stream = Arc::clone(last.stream());
    let _other = stream.add_viewer();
    stream.set_final(true);
    drop(last);
    assert!(stream.has_ended());
    drop(viewer);
}

#[tokio::test]
async fn each_handle_has_its_own_status_and_the_stream_that_of_its_writer() {
    let (hub, camera) = hub();
    let mut first = hub.publish(camera);
    let second = hub.publish(camera);
    let stream = Arc::clone(first.stream());
    first.set_status(SlotState::Live, "first");
    second.set_status(SlotState::Connecting, "second");
    let shown = || stream.status().message;
    assert_eq!(shown(), "second", "the newest, before anybody writes");
    first.start_session(tracks());
    first.video(0, true, Bytes::from_static(&[1]));
    assert_eq!(shown(), "first");
    assert_eq!(second.writer().status().message, "second");
    first.set_status(SlotState::Failed, "no route to host");
    assert_eq!(shown(), "no route to host");
    first.writer().give_way(true);
    assert_eq!(shown(), "second", "it has nothing more to show");
    drop(second);
    assert_eq!(shown(), "no route to host");
}

#[tokio::test]
async fn a_relay_has_the_numbers_and_times_of_its_origin_and_follows_it_from_edge_to_edge() {
    let mut origin = Origin::new();
    (0..10).for_each(|index| origin.take(index % 5 == 0));
    let (hub, camera) = hub();
    let mut relay = hub.publish(camera);
    origin.send(&mut relay);
    (0..3).for_each(|_| origin.take(false));
    origin
        .world
        .publisher
        .start_session(testing::tracks_with_aac());
    origin.index = 900_000;
    (0..3).for_each(|index| origin.take(index == 0));
    origin.send(&mut relay);
    let (there, here) = (origin.world.stream(), Arc::clone(relay.stream()));
    let all = entries(&there);
    let start = all.iter().position(|entry| entry.source == all[15].source);
    let expected: Vec<_> = all[start.expect("is there")..]
        .iter()
        .map(|entry| entry.relayed())
        .collect();
    let relayed = |stream: &Stream| -> Vec<Relayed> {
        entries(stream)
            .iter()
            .map(|entry| entry.relayed())
            .collect()
    };
    let mut received = relayed(&here);
    assert!(received[0].starts_session, "the first one here");
    received[0].starts_session = false;
    assert!(received == expected);
    assert_eq!(
        frames(&here)[0].dts,
        received[0].frame.dts,
        "times are the origin's"
    );
    let last = expected.last().expect("some").sequence;
    let incarnation = all[0].source.incarnation;
    assert_eq!(here.relayed_up_to(), Some((incarnation, last + 1)));
    assert_eq!(there.relayed_up_to(), None, "it is no relay");
    // From there to a third one, which has something else before: its times are others.
    let mut next = World::new(Config::default());
    next.gop(4, 100);
    let end = frames(&next.stream()).last().expect("some").dts + 3600;
    let mut third = next.hub.publish(camera);
    next.publisher.writer().give_way(true);
    for entry in entries(&here) {
        send(&mut third, &entry);
    }
    third.wake();
    assert!(has_lost(&next.publisher));
    let stream = next.stream();
    let taken = relayed(&stream);
    let expected = relayed(&here);
    assert_eq!(taken.len(), expected.len() + 4, "all of it");
    assert!(taken[4..] == expected, "and is told the origin's again");
    assert_eq!(frames(&stream)[4].dts, end);
}

#[tokio::test]
async fn another_parent_of_the_same_origin_goes_on_without_a_break() {
    let mut origin = Origin::new();
    origin.take(true);
    (0..4).for_each(|_| origin.take(false));
    let all = origin.entries();
    let (hub, camera) = hub();
    let mut old = hub.publish(camera);
    for entry in &all[..8] {
        assert!(send(&mut old, entry).is_some());
    }
    let mut new = hub.publish(camera);
    for entry in &all[4..8] {
        assert_eq!(send(&mut new, entry), None, "it is here already");
    }
    assert!(!has_lost(&old), "the new one has given nothing yet");
    assert!(send(&mut new, &all[8]).is_some(), "in the middle of a GOP");
    assert!(has_lost(&old));
    assert_eq!(send(&mut old, &all[9]), None);
    assert_eq!(send(&mut new, &all[10]), None, "a hole, and no key frame");
    assert!(send(&mut new, &all[9]).is_some());
    let stream = Arc::clone(new.stream());
    drop(old);
    new.wake();
    let here = entries(&stream);
    assert_eq!(here.len(), 10);
    let begins = |entry: &Arc<Entry>| entry.starts_session;
    assert!(begins(&here[0]) && !here[1..].iter().any(begins));
    for (entry, original) in here.iter().zip(&all) {
        assert_eq!(entry.relayed().frame, original.frame);
    }
    // Behind a hole it goes on at a key frame, where that was.
    origin.take(true);
    let later = origin.entries();
    let key = later.iter().find(|entry| entry.is_key()).expect("is one");
    assert_eq!(send(&mut new, key), Some(key.frame.dts));
    assert_eq!(entries(&stream).len(), 11);
    // A reader that was cut off finds its place, as far as it is there.
    let incarnation = key.source.incarnation;
    let resume = |sequence| Reader::resume(Arc::clone(&stream), incarnation, sequence);
    let mut reader = resume(5).expect("is there");
    let next = reader.next().now_or_never().flatten().expect("is there");
    assert_eq!(next.source.sequence, 5);
    assert!(
        resume(key.source.sequence + 1).is_some(),
        "is still to come"
    );
    assert!(resume(key.source.sequence).is_none(), "was never here");
    assert!(resume(key.source.sequence + 2).is_none());
}

#[tokio::test]
async fn the_camera_itself_goes_before_relays_unless_it_gives_way() {
    let mut origin = Origin::new();
    origin.take(true);
    let (hub, camera) = hub();
    let mut own = hub.publish(camera);
    own.start_session(testing::tracks_with_sound());
    let mut relay = hub.publish(camera);
    assert!(origin.send(&mut relay)[0].is_some(), "nobody else has it");
    picture(&mut own, 0, true);
    assert!(has_lost(&relay));
    origin.take(true);
    assert!(origin.send(&mut relay).iter().all(Option::is_none));
    own.writer().give_way(true);
    assert!(!has_lost(&own), "until there is another");
    // Its connection breaks; when it is back, it still has the stream, and no claim on it.
    own.start_session(testing::tracks_with_sound());
    picture(&mut own, 7, true);
    assert_eq!(hub.stream(camera).expect("is there").relayed_up_to(), None);
    origin.take(true);
    assert!(origin.send(&mut relay).iter().any(Option::is_some));
    assert!(has_lost(&own) && !has_lost(&relay));
    own.start_session(testing::tracks_with_sound());
    picture(&mut own, 7, true);
    assert!(has_lost(&own) && !has_lost(&relay));
    // The work comes back.
    own.writer().give_way(false);
    picture(&mut own, 8, true);
    assert!(!has_lost(&own) && has_lost(&relay));
}

/// From a relay to the camera itself, to another relay.
async fn changes_over(format: Format) {
    let (mut first, mut second) = (Origin::new(), Origin::new());
    let mut world = World::new(Config::default());
    let mut relay = world.hub.publish(world.stream().camera());
    let gop = |index: i64| index % 10 == 0;
    for index in 0..20 {
        first.take(gop(index));
        first.send(&mut relay);
    }
    let mut viewer = world.join(format).await;
    settle().await;
    for index in 20..25 {
        first.take(gop(index));
        first.send(&mut relay);
    }
    world.publisher.start_session(testing::tracks_with_sound());
    for index in 0..25 {
        picture(&mut world.publisher, index + 70_000, gop(index));
        // The relay goes on for a while.
        first.take(false);
        first.send(&mut relay);
        settle().await;
        viewer.read_all().await;
    }
    assert!(has_lost(&relay));
    drop(relay);
    world.publisher.writer().give_way(true);
    let mut relay = world.hub.publish(world.stream().camera());
    for index in 0..25 {
        second.take(gop(index));
        second.send(&mut relay);
        picture(&mut world.publisher, index + 70_025, gop(index));
        settle().await;
        viewer.read_all().await;
    }
    assert!(has_lost(&world.publisher));
    let stream = world.stream();
    drop(world.publisher);
    stream.set_final(true);
    drop(relay);
    viewer.read_to_end().await;
    let seen = parse(format, &viewer.bytes);
    // The newest GOP of the first relay, and all that came then.
    is_valid(&seen, 15 + 25 + 25);
    let pictures = seen.iter().filter(|seen| seen.track == TrackKind::Video);
    let times: Vec<_> = pictures.map(|seen| seen.time).collect();
    assert_eq!(times.len(), 15 + 25 + 25, "{format:?}");
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] <= 60),
        "{format:?}: {times:?}"
    );
    world.tasks.shutdown(LIMIT).await;
}

#[tokio::test]
async fn viewers_of_every_format_see_one_stream_whoever_writes() {
    for format in Format::ALL {
        if format != Format::RtpUdp {
            changes_over(format).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_keeps_its_sequence_when_the_writer_changes() {
    let mut origin = Origin::new();
    let mut world = World::new(Config::default());
    let tracks: Arc<Tracks> = tracks();
    world.publisher.start_session(Arc::clone(&tracks));
    world.gop(50, 100);
    world.gop(50, 100);
    world.gop(1, 100);
    let session = session(7, world.stream().camera(), ViewProtocol::Hls);
    let stream = world.stream();
    let before = plain(stream.hls(&session, LIMIT).await);
    assert!(before.contains("#EXT-X-MEDIA-SEQUENCE:0\n"), "{before}");
    assert!(!before.contains("DISCONTINUITY"), "{before}");
    world.publisher.writer().give_way(true);
    let mut relay = world.hub.publish(stream.camera());
    for index in 0..101 {
        origin.take(index % 50 == 0);
        origin.send(&mut relay);
    }
    let request = stream.hls(&session, LIMIT).await.expect("lets in");
    let live = request.wait_for(LIMIT, |window| window.segment(3).is_some());
    let live = live.await.expect("goes on");
    let after = live.window().playlist(headworks_hls::Flavor::Plain);
    assert!(after.contains("#EXT-X-MEDIA-SEQUENCE:0\n"), "{after}");
    assert_eq!(
        after.matches("#EXT-X-DISCONTINUITY\n").count(),
        1,
        "{after}"
    );
    for number in 0..4 {
        assert!(after.contains(&format!("seg-{number}.m4s")), "{after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_keeps_its_sequence_when_a_stream_has_ended_and_is_there_again() {
    let mut world = World::new(Config::default());
    world.gop(50, 100);
    world.gop(50, 100);
    world.gop(1, 100);
    let camera = world.stream().camera();
    let session = session(7, camera, ViewProtocol::Hls);
    let first = plain(world.stream().hls(&session, LIMIT).await);
    assert!(first.contains("#EXT-X-MEDIA-SEQUENCE:0\n"), "{first}");
    let stream = world.stream();
    stream.set_final(true);
    drop(world.publisher);
    until("nobody watches", || stream.viewers() == 0).await;
    world.publisher = world.hub.publish(camera);
    assert!(!Arc::ptr_eq(&world.stream(), &stream));
    world.publisher.start_session(tracks());
    world.gop(50, 100);
    world.gop(50, 100);
    world.gop(1, 100);
    let second = plain(world.stream().hls(&session, LIMIT).await);
    let goes_on = "#EXT-X-MEDIA-SEQUENCE:2\n#EXT-X-DISCONTINUITY\n";
    assert!(second.contains(goes_on), "{second}");
}
