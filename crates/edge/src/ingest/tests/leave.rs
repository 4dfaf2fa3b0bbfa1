//! What becomes of viewers when a camera's work leaves this edge.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use headworks_types::edge::{DirectoryUpdate, Route};
use tokio::time::sleep;

use super::*;
use crate::{
    directory::Directory,
    hub::{Publisher, Relayed, Stream, ViewerGuard, testing},
    streams::Streams,
    testing::{KEY, node, route_to, stream_key},
};

struct Edge {
    ingests: Ingests,
    hub: Hub,
    directory: Directory,
    /// What a relay writes, once it was asked for.
    relay: Arc<Mutex<Option<Publisher>>>,
}

impl Edge {
    /// One that brings in a camera which does not answer.
    fn new(source: CameraSource, exclusive: bool) -> Self {
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let hub = Hub::new(hub::Config::default(), clock.clone(), tasks.clone());
        let audit = Audit::new(clock.clone()).0;
        let ingests = Ingests::new(World::config(), hub.clone(), audit, clock, tasks);
        let directory = Directory::default();
        directory.set_own(node(1));
        let relay = Arc::<Mutex<Option<Publisher>>>::default();
        let (opened, streams) = (Arc::clone(&relay), hub.clone());
        let open = move |camera| {
            let mut opened = opened.lock().expect("is whole");
            let publisher = opened.get_or_insert_with(|| streams.publish(camera));
            Some(Arc::clone(publisher.stream()))
        };
        ingests.follow(Streams::new(hub.clone(), directory.clone(), Arc::new(open)));
        let mut job = slot("rtsp://127.0.0.1:1/", None);
        job.work.source = source;
        job.work.exclusive = exclusive;
        job.work.stream_keys = vec![stream_key(KEY, headworks_types::OnConflict::Reject)];
        ingests.start(job);
        let edge = Self {
            ingests,
            hub,
            directory,
            relay,
        };
        edge.route(1, 1);
        edge
    }

    fn pulled() -> Self {
        Self::of_camera(false)
    }

    fn of_camera(exclusive: bool) -> Self {
        let url = "rtsp://127.0.0.1:1/".parse().expect("a URL");
        Self::new(CameraSource::pull(url), exclusive)
    }

    /// The cluster knows where the camera is.
    fn route(&self, origin: u128, epoch: i64) {
        self.directory.update(DirectoryUpdate {
            routes: vec![Route {
                epoch,
                ..route_to(camera_id(), node(origin))
            }],
            ..DirectoryUpdate::default()
        });
    }

    fn delete(&self) {
        self.directory.update(DirectoryUpdate {
            removed_routes: vec![camera_id()],
            ..DirectoryUpdate::default()
        });
    }

    fn watch(&self) -> (Arc<Stream>, ViewerGuard) {
        let stream = self.hub.stream(camera_id()).expect("is there");
        let viewer = stream.add_viewer();
        (stream, viewer)
    }

    fn stop(&self) {
        self.ingests.stop(slot("rtsp://127.0.0.1:1/", None).key);
        assert!(self.ingests.reports().is_empty(), "it is no work any more");
    }

    /// How many ingests go on although they are no work any more.
    fn lingering(&self) -> usize {
        self.ingests.slots().leaving.len()
    }

    fn has_relay(&self) -> bool {
        self.relay.lock().expect("is whole").is_some()
    }

    /// The relay's first picture comes.
    fn relay_shows(&self) {
        let mut relay = self.relay.lock().expect("is whole");
        let relay = relay.as_mut().expect("was asked for");
        relay.start_relay(7, testing::tracks());
        let written = relay.write(Relayed {
            sequence: 0,
            starts_session: true,
            frame: testing::picture(0, true, 100),
        });
        assert!(written.is_some());
    }
}

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn an_ingest_goes_on_until_the_relay_from_its_successor_shows_something() {
    let edge = Edge::pulled();
    let (stream, _viewer) = edge.watch();
    edge.stop();
    assert_eq!(edge.lingering(), 1);
    assert!(!edge.has_relay(), "nobody knows from where");
    seconds(2).await;
    edge.route(2, 2);
    seconds(8).await;
    assert!(edge.has_relay());
    assert_eq!(edge.lingering(), 1, "the relay shows nothing yet");
    edge.relay_shows();
    seconds(1).await;
    assert_eq!(edge.lingering(), 0);
    assert!(stream.is_fed() && stream.relayed_up_to().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_ingest_does_not_go_on_for_ever() {
    let edge = Edge::pulled();
    let (stream, viewer) = edge.watch();
    edge.route(2, 2);
    edge.stop();
    seconds(14).await;
    assert_eq!(edge.lingering(), 1);
    seconds(2).await;
    assert_eq!(edge.lingering(), 0, "15 s are enough");
    assert!(stream.is_fed(), "viewers wait for the relay");
    // And not for nobody.
    let edge = Edge::pulled();
    let (_, other) = edge.watch();
    edge.route(2, 2);
    edge.stop();
    drop(other);
    seconds(1).await;
    assert_eq!(edge.lingering(), 0);
    drop(viewer);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_wants_and_what_is_gone_ends_at_once() {
    let is_over = |edge: &Edge| edge.hub.stream(camera_id()).is_none();
    let edge = Edge::pulled();
    edge.route(2, 2);
    edge.stop();
    assert_eq!(edge.lingering(), 0);
    seconds(1).await;
    assert!(is_over(&edge) && !edge.has_relay(), "nobody watches");

    let edge = Edge::pulled();
    let _watched = edge.watch();
    edge.delete();
    edge.stop();
    assert_eq!(edge.lingering(), 0);
    tokio::task::yield_now().await;
    seconds(1).await;
    assert!(is_over(&edge), "deleted or disabled");

    let edge = Edge::pulled();
    let _watched = edge.watch();
    edge.stop();
    seconds(1).await;
    assert!(!is_over(&edge));
    edge.delete();
    seconds(1).await;
    assert!(is_over(&edge), "which comes to be known later");

    let edge = Edge::pulled();
    let _watched = edge.watch();
    edge.route(2, 2);
    edge.ingests.stop_now(slot("rtsp://127.0.0.1:1/", None).key);
    seconds(1).await;
    assert!(is_over(&edge), "this edge is no node any more");
}

#[tokio::test(start_paused = true)]
async fn without_news_of_the_camera_its_ingest_ends() {
    let edge = Edge::pulled();
    let _watched = edge.watch();
    // That it is there by an older assignment is no news.
    edge.route(2, 1);
    edge.stop();
    seconds(2).await;
    assert_eq!(edge.lingering(), 1);
    seconds(2).await;
    assert_eq!(edge.lingering(), 0);
    assert!(!edge.has_relay());
}

#[tokio::test(start_paused = true)]
async fn work_that_comes_back_goes_on() {
    let edge = Edge::pulled();
    let (stream, _viewer) = edge.watch();
    edge.stop();
    let mut job = slot("rtsp://127.0.0.1:1/", None);
    job.epoch = 3;
    edge.ingests.start(job);
    assert_eq!(edge.lingering(), 0);
    edge.route(1, 3);
    seconds(20).await;
    assert_eq!(edge.ingests.reports().len(), 1);
    assert_eq!(edge.ingests.epoch(camera_id()), Some(3));
    assert!(stream.is_fed() && !edge.has_relay());
    // Another edge says that it has it by a newer assignment.
    edge.ingests.supersede(camera_id(), 3);
    assert_eq!(edge.ingests.epoch(camera_id()), Some(3), "that is this one");
    edge.route(2, 4);
    edge.ingests.supersede(camera_id(), 4);
    assert_eq!(edge.ingests.epoch(camera_id()), None);
    seconds(1).await;
    assert_eq!(edge.lingering(), 1);
    assert!(edge.has_relay());
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_lets_only_one_in_is_let_go_at_once_and_its_viewers_wait() {
    let edge = Edge::of_camera(true);
    let (stream, _viewer) = edge.watch();
    edge.stop();
    assert_eq!(edge.lingering(), 0);
    seconds(1).await;
    let status = stream.status();
    assert_eq!(status.message, "the camera moves to another edge");
    edge.route(2, 2);
    seconds(1).await;
    assert!(edge.has_relay() && stream.is_fed());
    edge.relay_shows();
}

#[tokio::test(start_paused = true)]
async fn a_publisher_has_to_go_and_its_viewers_wait_where_it_comes_next() {
    let edge = Edge::new(CameraSource::Publish, false);
    let (stream, _viewer) = edge.watch();
    while stream.status().message != "waits for its publisher" {
        tokio::task::yield_now().await;
    }
    let candidate = Candidate {
        key: KEY,
        protocol: headworks_types::PublishProtocol::Rtmp,
        address: ([192, 0, 2, 1], 4000).into(),
    };
    let admitted = edge.ingests.publish(Some(camera_id()), &candidate).await;
    let mut publication = admitted.expect("is let in");
    publication.feed().tracks(testing::tracks());
    let picture = Bytes::from_static(b"picture");
    publication.feed().video(0, true, picture);
    publication.feed().flush();
    edge.stop();
    let why = publication.ended().await.to_string();
    assert_eq!(why, "this edge does not take this camera any more");
    drop(publication);
    let status = stream.status();
    assert_eq!(status.message, "the camera moves to another edge");
    seconds(2).await;
    edge.route(2, 2);
    seconds(1).await;
    assert!(edge.has_relay());
    assert_eq!(edge.lingering(), 0);
    seconds(20).await;
    edge.relay_shows();
    assert!(stream.relayed_up_to().is_some());
}
