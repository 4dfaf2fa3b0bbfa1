//! Who is let in, and for how long.

mod bounds;

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use headworks_bootstrap::{Clock, Tasks};
use headworks_types::{
    CameraId, CameraSource, OnConflict, StartMode, StreamKeyBounds, StreamKeyId,
    edge::{IngestWork, Role, SlotKey, SlotState},
};
use tokio::time::timeout;
use uuid::Uuid;

use super::{publication::Ended, *};
use crate::{
    audit::{Audit, Outlet},
    hub::{self, Hub, testing},
    ingest::{Config, Ingests, Job},
};

const KEY: &str = "hwsk_aaaaaaaaaaaa_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const OTHER: &str = "hwsk_bbbbbbbbbbbb_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

struct World {
    ingests: Ingests,
    hub: Hub,
    tasks: Tasks,
    log: Outlet,
}

impl World {
    fn new(keys: Vec<StreamKeyDigest>) -> Self {
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let hub = Hub::new(hub::Config::default(), clock.clone(), tasks.clone());
        let config = Config {
            publisher_grace: Duration::from_millis(100),
            ..Config::default()
        };
        let (audit, log) = Audit::new(clock.clone());
        let world = Self {
            ingests: Ingests::new(config, hub.clone(), audit, clock.clone(), tasks.clone()),
            hub,
            tasks,
            log,
        };
        world.desire(keys);
        world
    }

    fn desire(&self, stream_keys: Vec<StreamKeyDigest>) {
        self.ingests.start(Job {
            key: slot_key(),
            epoch: 1,
            camera_name: "gate".to_owned(),
            work: IngestWork {
                source: CameraSource::Publish,
                credentials: None,
                start: StartMode::Always,
                exclusive: false,
                stream_keys,
                outbound_allow: Vec::new(),
            },
        });
    }

    async fn publish(&self, key: &str) -> Result<Publication, Denied> {
        self.publish_to(camera(), key).await
    }

    async fn publish_to(&self, camera: CameraId, key: &str) -> Result<Publication, Denied> {
        let candidate = Candidate {
            key,
            protocol: PublishProtocol::Rtmp,
            address: ([192, 0, 2, 1], 4000).into(),
        };
        self.ingests.publish(Some(camera), &candidate).await
    }

    fn status(&self) -> (SlotState, String) {
        let status = self.hub.stream(camera()).expect("is there").status();
        (status.state, status.message)
    }

    /// Until the worker has opened the seat.
    async fn wait_for_seat(&self) {
        while self.status().1 != "waits for its publisher" {
            tokio::task::yield_now().await;
        }
    }
}

fn camera() -> CameraId {
    Uuid::from_u128(1).into()
}

fn slot_key() -> SlotKey {
    SlotKey {
        camera_id: camera(),
        role: Role::Ingest,
        ordinal: 0,
    }
}

fn id(key: &str) -> StreamKeyId {
    digest(key, OnConflict::Reject).id
}

fn digest(key: &str, on_conflict: OnConflict) -> StreamKeyDigest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    let lookup = key.split('_').nth(1).expect("has three parts");
    StreamKeyDigest {
        id: StreamKeyId::from(Uuid::from_u128(u128::from(lookup.as_bytes()[0]))),
        lookup: lookup.to_owned(),
        digest: URL_SAFE_NO_PAD.encode(digest),
        expires_at: None,
        on_conflict,
        bounds: StreamKeyBounds::default(),
    }
}

fn one_picture(publication: &mut Publication) {
    let feed = publication.feed();
    feed.tracks(testing::tracks());
    feed.video(0, true, Bytes::from_static(b"picture"));
    feed.flush();
}

#[tokio::test(start_paused = true)]
async fn a_good_key_opens_and_others_do_not() {
    let world = World::new(vec![digest(KEY, OnConflict::Reject)]);
    world.wait_for_seat().await;
    for (key, denied) in [
        ("", Denied::NoKey),
        ("hwsk_", Denied::WrongKey),
        (OTHER, Denied::WrongKey),
        (&KEY[..KEY.len() - 1], Denied::WrongKey),
        (&format!("{KEY}x"), Denied::WrongKey),
    ] {
        assert_eq!(world.publish(key).await.err(), Some(denied), "{key}");
    }
    let mut publication = world.publish(KEY).await.expect("is let in");
    assert_eq!(
        world.status(),
        (SlotState::Connecting, "RTMP from 192.0.2.1".to_owned())
    );
    one_picture(&mut publication);
    assert_eq!(
        world.status(),
        (
            SlotState::Live,
            "H.264 322x182; RTMP from 192.0.2.1".to_owned()
        )
    );
    publication.leave("the encoder stopped");
    let message = "waits for its publisher; the last one left: the encoder stopped";
    assert_eq!(world.status(), (SlotState::Idle, message.to_owned()));
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn the_audit_log_names_no_camera_that_a_stranger_made_up() {
    let mut world = World::new(vec![digest(KEY, OnConflict::Reject)]);
    world.wait_for_seat().await;
    let unknown = CameraId::from(Uuid::from_u128(99));
    let refused = world.publish_to(unknown, KEY).await.err();
    assert_eq!(refused, Some(Denied::UnknownCamera));
    assert_eq!(world.publish(OTHER).await.err(), Some(Denied::WrongKey));
    let told = world.log.told();
    let named: Vec<_> = told.iter().map(|entry| entry.camera_id).collect();
    assert_eq!(named, [None, Some(camera())]);
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_second_one_is_refused_or_takes_over_as_its_key_says() {
    let keys = vec![
        digest(KEY, OnConflict::Reject),
        digest(OTHER, OnConflict::Takeover),
    ];
    let world = World::new(keys);
    world.wait_for_seat().await;
    let first = world.publish(KEY).await.expect("is let in");
    assert_eq!(world.publish(KEY).await.err(), Some(Denied::Taken(id(KEY))));
    let leaves = async {
        assert_eq!(first.ended().await, Ended::TakenOver);
        drop(first);
    };
    let (second, ()) = tokio::join!(world.publish(OTHER), leaves);
    let second = second.expect("takes over");
    assert_eq!(world.publish(KEY).await.err(), Some(Denied::Taken(id(KEY))));
    drop(second);
    world.publish(KEY).await.expect("the place is free");
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn one_who_does_not_leave_is_not_waited_for_for_ever() {
    let world = World::new(vec![digest(OTHER, OnConflict::Takeover)]);
    world.wait_for_seat().await;
    let _deaf = world.publish(OTHER).await.expect("is let in");
    assert_eq!(
        world.publish(OTHER).await.err(),
        Some(Denied::Taken(id(OTHER)))
    );
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_newer_than_our_news_opens() {
    let world = World::new(vec![digest(KEY, OnConflict::Reject)]);
    world.wait_for_seat().await;
    let news = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.desire(vec![digest(OTHER, OnConflict::Reject)]);
    };
    let (published, ()) = tokio::join!(world.publish(OTHER), news);
    assert!(published.is_ok(), "{:?}", published.err());
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_its_publisher_only() {
    let keys = [
        digest(KEY, OnConflict::Reject),
        digest(OTHER, OnConflict::Reject),
    ];
    let world = World::new(keys.to_vec());
    world.wait_for_seat().await;
    let publication = world.publish(KEY).await.expect("is let in");
    world.desire(vec![keys[0].clone()]);
    world.desire(vec![keys[1].clone()]);
    assert_eq!(publication.ended().await, Ended::Revoked);
    drop(publication);
    assert_eq!(world.publish(KEY).await.err(), Some(Denied::WrongKey));
    world.publish(OTHER).await.expect("is let in");
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_expires_ends_its_publisher() {
    let clock = Clock::system();
    let mut key = digest(KEY, OnConflict::Reject);
    key.expires_at = Some(clock.now() + Duration::from_secs(60));
    let world = World::new(vec![key.clone()]);
    world.wait_for_seat().await;
    let publication = world.publish(KEY).await.expect("is let in");
    assert_eq!(publication.ended().await, Ended::Expired);
    drop(publication);
    key.expires_at = Some(DateTime::UNIX_EPOCH);
    world.desire(vec![key]);
    while world.publish(KEY).await.err() != Some(Denied::Expired(id(KEY))) {
        tokio::task::yield_now().await;
    }
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_rotated_lets_its_publisher_stay_for_the_grace() {
    let clock = Clock::system();
    let mut key = digest(KEY, OnConflict::Reject);
    let world = World::new(vec![key.clone()]);
    world.wait_for_seat().await;
    let publication = world.publish(KEY).await.expect("is let in");
    let start = clock.monotonic();
    key.expires_at = Some(clock.now() + Duration::from_secs(60));
    world.desire(vec![key.clone(), digest(OTHER, OnConflict::Reject)]);
    let ended = timeout(Duration::from_secs(3600), publication.ended());
    assert_eq!(ended.await, Ok(Ended::Expired));
    let stayed = clock.monotonic() - start;
    assert!((59..=61).contains(&stayed.as_secs()), "{stayed:?}");
    // Whoever asks while the grace is taken back hears of it, too.
    key.expires_at = None;
    world.desire(vec![key]);
    let ended = timeout(Duration::from_secs(3600), publication.ended());
    assert!(ended.await.is_err(), "it may stay");
    drop(publication);
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn one_who_comes_back_goes_on_and_old_pictures_are_forgotten() {
    let world = World::new(vec![digest(KEY, OnConflict::Reject)]);
    world.wait_for_seat().await;
    let mut publication = world.publish(KEY).await.expect("is let in");
    one_picture(&mut publication);
    let stream = world.hub.stream(camera()).expect("is there");
    drop(publication);
    let mut publication = world.publish(KEY).await.expect("is let in again");
    one_picture(&mut publication);
    let same = world.hub.stream(camera()).expect("is there");
    assert!(std::sync::Arc::ptr_eq(&stream, &same), "viewers stay");
    assert!(world.hub.buffered(camera()) > 0);
    drop(publication);
    let forgotten = async {
        while world.hub.buffered(camera()) > 0 {
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(30);
    timeout(limit, forgotten).await.expect("in time");
    world.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_end_of_the_slot_ends_publisher_and_stream() {
    let world = World::new(vec![digest(KEY, OnConflict::Reject)]);
    world.wait_for_seat().await;
    let publication = world.publish(KEY).await.expect("is let in");
    world.ingests.stop(slot_key());
    assert_eq!(publication.ended().await, Ended::Closed);
    drop(publication);
    assert!(world.hub.stream(camera()).is_none());
    assert_eq!(world.publish(KEY).await.err(), Some(Denied::UnknownCamera));
    world.tasks.shutdown(Duration::from_secs(5)).await;
}
