//! The agent against a scripted controller over real HTTP.

mod controller;
mod directory;
mod slow;
mod strict;

use std::{path::Path, time::Duration};

use headworks_types::{
    CameraId, CameraSource, ProblemCode, ProjectId, StartMode, ViewProtocol,
    edge::{self, DesiredSlot, IngestWork, Role, SlotKey, WatchMessage},
};
use uuid::Uuid;

use super::*;
use crate::{
    access::sign::Issuer, ffmpeg::Ffmpeg, hub::Hub, ingest::Ingests, restream::Restreams,
    session::testing::client, testing::authority,
};
use controller::Controller;

/// Work for camera `camera`: on demand, so that nothing is connected to.
pub(super) fn slot(camera: u8, epoch: i64) -> DesiredSlot {
    DesiredSlot {
        key: SlotKey {
            camera_id: CameraId::from(Uuid::from_u128(camera.into())),
            role: Role::Ingest,
            ordinal: 0,
        },
        epoch,
        project_id: ProjectId::from(Uuid::nil()),
        camera_name: format!("camera {camera}"),
        view: edge::ViewPolicy::default(),
        work: edge::Work::Ingest(IngestWork {
            source: CameraSource::pull("rtsp://127.0.0.1:1/".parse().expect("parses")),
            credentials: None,
            start: StartMode::OnDemand,
            exclusive: false,
            stream_keys: Vec::new(),
            outbound_allow: Vec::new(),
        }),
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("happens soon")
}

struct Edge {
    directory: tempfile::TempDir,
    config: Config,
    /// What it knows of the others.
    known: Directory,
}

impl Edge {
    fn new(controller: &Url) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut config = crate::config::testing();
        config.data = Some(directory.path().to_owned());
        config.controller_url = Some(controller.clone());
        config.join_token = Some(authority().join_token());
        config.name = Some("edge-1".to_owned());
        let known = Directory::default();
        Self {
            directory,
            config,
            known,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The agent and what it works on.
    fn load(&self, tasks: &Tasks) -> (Agent, Work, Access) {
        let hub = Hub::new(
            crate::hub::Config::default(),
            Clock::system(),
            tasks.clone(),
        );
        self.load_with(tasks, hub)
    }

    /// The same, with streams of the test's.
    fn load_with(&self, tasks: &Tasks, hub: Hub) -> (Agent, Work, Access) {
        let clock = Clock::system();
        let access = Issuer::new("none").access(clock.clone());
        let ingests = Ingests::new(
            crate::ingest::Config::default(),
            hub.clone(),
            Audit::new(clock.clone()).0,
            clock.clone(),
            tasks.clone(),
        );
        let restreams = Restreams::new(
            crate::restream::Config {
                outbound: crate::outbound::testing(),
                ..crate::restream::Config::default()
            },
            hub,
            Ffmpeg::new(crate::ffmpeg::Config::default(), tasks.clone()),
            clock.clone(),
            tasks.clone(),
        );
        let work = Work::new(ingests, restreams);
        let agent = Agent::load(
            &Arc::new(self.config.clone()),
            self.path(),
            Bound::new(([127, 0, 0, 1], 8081).into()),
            work.clone(),
            access.clone(),
            self.known.clone(),
            clock,
        );
        (agent.expect("loads"), work, access)
    }

    async fn start(&self, tasks: &Tasks) -> (Receiver<Status>, Work) {
        let (agent, work, _) = self.load(tasks);
        let status = agent.status();
        soon(agent.start(tasks)).await.expect("starts");
        (status, work)
    }
}

fn bookmark(revision: i64) -> WatchMessage {
    WatchMessage::Bookmark {
        revision,
        bundle_age: 0,
    }
}

fn snapshot(revision: i64, slots: Vec<DesiredSlot>) -> WatchMessage {
    WatchMessage::Snapshot { revision, slots }
}

async fn stop(tasks: &Tasks) {
    tasks.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn joins_once_and_does_what_it_is_told() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![slot(1, 1), slot(2, 5)])]);
    let edge = Edge::new(&controller.0.url);

    let first = tasks.child();
    edge.start(&first).await;
    let renewal = controller.renewal(|renewal| renewal.revision == 4).await;
    assert_eq!(renewal.slots.len(), 2);
    assert!(!renewal.goodbye);
    let spec = controller.0.announced.borrow()[0].clone();
    assert_eq!(spec.advertise.http.as_str(), "http://127.0.0.1:8081/");
    assert_eq!(spec.name, "edge-1");

    controller
        .say(WatchMessage::Delta {
            revision: 5,
            upsert: vec![slot(3, 1)],
            remove: vec![slot(1, 1).key],
        })
        .await;
    let renewal = controller.renewal(|renewal| renewal.revision == 5).await;
    let mut cameras: Vec<_> = renewal.slots.iter().map(|slot| slot.key).collect();
    cameras.sort();
    assert_eq!(cameras, [slot(2, 5).key, slot(3, 1).key]);
    stop(&first).await;
    assert!(
        controller
            .0
            .renewals
            .borrow()
            .last()
            .is_some_and(|last| last.goodbye)
    );

    // The second start is the same node, and asks for what has changed since.
    controller.first(vec![]);
    edge.start(&tasks.child()).await;
    let renewal = controller.renewal(|renewal| renewal.revision == 5).await;
    assert_eq!(renewal.slots.len(), 2);
    let mut watched = controller.0.watched.subscribe();
    soon(watched.wait_for(|watched| *watched == [0, 5]))
        .await
        .expect("lives");
    assert_eq!(controller.0.joins.borrow().len(), 1);
    stop(&tasks).await;
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_with_a_new_key() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![])]);
    let edge = Edge::new(&controller.0.url);
    let first = tasks.child();
    edge.start(&first).await;
    stop(&first).await;
    let path = edge.path().join("identity.json");
    let identity = || Identity::load(&path).expect("reads").expect("is there");
    let joined = identity();
    assert!(!edge.path().join("next.key").exists());
    let over = Identity {
        renew_at: chrono::DateTime::UNIX_EPOCH,
        ..joined.clone()
    };
    over.save(&path).expect("saves");
    let second = tasks.child();
    edge.start(&second).await;
    controller.renewal(|renewal| !renewal.goodbye).await;
    let renewed = identity();
    assert_ne!(renewed.key, joined.key);
    assert!(renewed.renew_at > chrono::DateTime::UNIX_EPOCH);
    assert_eq!(controller.0.renewed.borrow().len(), 1);
    assert!(!edge.path().join("next.key").exists());
    stop(&tasks).await;
}

#[tokio::test]
async fn a_certificate_is_renewed_when_a_controller_says_that_it_has_expired() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![])]);
    let edge = Edge::new(&controller.0.url);
    // By the edge's own clock there is no hurry.
    let expired = Some(ProblemCode::Forbidden);
    *controller.0.refuse_announce.lock().expect("not poisoned") = expired;
    let first = tasks.child();
    edge.start(&first).await;
    controller.renewal(|renewal| !renewal.goodbye).await;
    assert_eq!(controller.0.renewed.borrow().len(), 1, "at the start");
    stop(&first).await;

    let (mut status, _) = edge.start(&tasks).await;
    controller.renewal(|renewal| !renewal.goodbye).await;
    controller.refuse_lease(expired);
    let mut renewed = controller.0.renewed.subscribe();
    soon(renewed.wait_for(|renewed| renewed.len() == 2))
        .await
        .expect("lives");
    controller.refuse_lease(None);
    soon(status.wait_for(|status| status.connected && !status.expired))
        .await
        .expect("lives");
    assert!(status.borrow().refused.is_none());
    stop(&tasks).await;
}

#[tokio::test]
async fn the_key_of_an_answer_that_was_lost_is_asked_with_again() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    let edge = Edge::new(&controller.0.url);
    let refusal = ProblemCode::Unavailable;
    controller
        .0
        .refuse_join
        .lock()
        .expect("not poisoned")
        .push(refusal);
    edge.start(&tasks).await;
    let joins = controller.0.joins.borrow().clone();
    let [first, second] = &joins[..] else {
        panic!("joins twice: {joins:?}");
    };
    assert_eq!(
        key_in(&first.certificate.csr),
        key_in(&second.certificate.csr)
    );
    stop(&tasks).await;
}

/// The public key of a request for a certificate.
fn key_in(csr: &str) -> rcgen::PublicKey {
    let parsed = rcgen::CertificateSigningRequestParams::from_pem(csr);
    parsed.expect("is a request").public_key
}

#[tokio::test]
async fn says_why_the_cluster_does_not_take_it() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    let mut edge = Edge::new(&controller.0.url);
    for (code, words) in [
        (ProblemCode::Unauthenticated, "refused the join token"),
        (ProblemCode::Conflict, "`edge-1` belongs to another node"),
    ] {
        controller
            .0
            .refuse_join
            .lock()
            .expect("not poisoned")
            .push(code);
        let (agent, ..) = edge.load(&tasks);
        let error = soon(agent.start(&tasks)).await.expect_err("is refused");
        assert!(error.to_string().contains(words), "{error}");
    }
    edge.config.join_token = None;
    let (agent, ..) = edge.load(&tasks);
    let error = soon(agent.start(&tasks)).await.expect_err("has no token");
    assert!(
        error.to_string().contains("edge.join_token is missing"),
        "{error}"
    );
    stop(&tasks).await;
}

#[tokio::test]
async fn waits_for_a_controller_that_is_away() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    let away = ProblemCode::Unavailable;
    controller
        .0
        .refuse_join
        .lock()
        .expect("not poisoned")
        .push(away);
    let edge = Edge::new(&controller.0.url);
    edge.start(&tasks).await;
    assert_eq!(controller.0.joins.borrow().len(), 2);
    stop(&tasks).await;
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_controller() {
    let tasks = Tasks::new();
    let edge = Edge::new(&"https://127.0.0.1:1/".parse().expect("parses"));
    let (agent, ..) = edge.load(&tasks);
    let token = tasks.token();
    let start = async { tokio::join!(agent.start(&tasks), async { token.cancel() }) };
    let (started, ()) = soon(Box::pin(start)).await;
    assert!(started.is_ok());
    stop(&tasks).await;
}

#[tokio::test]
async fn works_without_a_controller() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    let issuer = Issuer::new("2026-11");
    let bundle = edge::Bundle {
        jwks: issuer.jwks(),
        ..edge::Bundle::default()
    };
    controller.first(vec![
        WatchMessage::Bundle(bundle),
        snapshot(4, vec![slot(1, 1)]),
    ]);
    let mut edge = Edge::new(&controller.0.url);
    edge.start(&tasks).await;
    controller.renewal(|renewal| renewal.revision == 4).await;
    stop(&tasks).await;

    // Nobody listens there any more.
    edge.config.controller_url = Some("https://127.0.0.1:1/".parse().expect("parses"));
    let tasks = Tasks::new();
    let (agent, work, access) = edge.load(&tasks);
    let status = agent.status();
    soon(agent.start(&tasks)).await.expect("starts");
    assert!(status.borrow().ready);
    assert_eq!(work.reports().len(), 1);
    let camera = slot(1, 1).key.camera_id;
    let token = issuer.token(camera, Clock::system().now());
    let view = headworks_types::Action::CameraViewLive;
    let opened = access.open(Some(&token), camera, view, &client(ViewProtocol::Flv));
    assert!(opened.is_ok());
    stop(&tasks).await;
}

#[tokio::test]
async fn a_removed_node_stops_its_work_and_comes_back_when_it_is_let() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![slot(1, 1)])]);
    let edge = Edge::new(&controller.0.url);
    let (mut status, work) = edge.start(&tasks).await;
    controller.renewal(|renewal| renewal.slots.len() == 1).await;

    controller.refuse_lease(Some(ProblemCode::Unauthenticated));
    controller.renewal(|renewal| renewal.slots.is_empty()).await;
    soon(status.wait_for(|status| status.refused == Some(Refused::Removed)))
        .await
        .expect("lives");
    assert_eq!(work.reports(), vec![]);

    controller.refuse_lease(None);
    controller.renewal(|renewal| renewal.slots.len() == 1).await;
    assert_eq!(
        controller.0.watched.borrow().last(),
        Some(&0),
        "asks for everything"
    );
    stop(&tasks).await;
}

#[tokio::test]
async fn a_newer_process_with_the_same_identity_ends_the_work_at_once() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![slot(1, 1)])]);
    let edge = Edge::new(&controller.0.url);
    let (mut status, work) = edge.start(&tasks).await;
    let first = controller.renewal(|renewal| renewal.slots.len() == 1).await;
    assert_eq!(first.instance.get_version_num(), 7, "later ones are higher");

    controller.refuse_lease(Some(ProblemCode::Conflict));
    soon(status.wait_for(|status| status.refused == Some(Refused::Doubled)))
        .await
        .expect("lives");
    controller.renewal(|renewal| renewal.slots.is_empty()).await;
    assert_eq!(work.reports(), vec![]);

    // The other one has gone.
    controller.refuse_lease(None);
    controller.renewal(|renewal| renewal.slots.len() == 1).await;
    stop(&tasks).await;
}

#[tokio::test]
async fn one_refusal_is_not_yet_a_removal() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![slot(1, 1)])]);
    let edge = Edge::new(&controller.0.url);
    let (status, _) = edge.start(&tasks).await;
    controller.renewal(|renewal| renewal.revision == 4).await;
    controller.refuse_lease(Some(ProblemCode::Internal));
    for _ in 0..5 {
        let renewal = controller.renewal(|_| true).await;
        assert_eq!(renewal.slots.len(), 1);
    }
    assert!(status.borrow().refused.is_none());
    stop(&tasks).await;
}

#[tokio::test]
async fn a_broken_watch_goes_on_where_it_was() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![slot(1, 1)])]);
    let edge = Edge::new(&controller.0.url);
    edge.start(&tasks).await;
    controller.renewal(|renewal| renewal.revision == 4).await;
    controller.first(vec![]);
    controller.hang_up();
    let mut watched = controller.0.watched.subscribe();
    soon(watched.wait_for(|watched| watched.len() == 2))
        .await
        .expect("lives");
    // A bookmark from after a change that we never got makes it connect again …
    controller.say(bookmark(9)).await;
    soon(watched.wait_for(|watched| watched.len() == 3))
        .await
        .expect("lives");
    // … and one from before what we have makes it ask for everything.
    controller.say(bookmark(2)).await;
    soon(watched.wait_for(|watched| *watched == [0, 4, 4, 0]))
        .await
        .expect("lives");
    stop(&tasks).await;
}

#[tokio::test]
async fn an_older_assignment_is_reported_not_applied() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![slot(1, 3)])]);
    let edge = Edge::new(&controller.0.url);
    edge.start(&tasks).await;
    controller.renewal(|renewal| renewal.revision == 4).await;
    controller
        .say(snapshot(5, vec![slot(1, 2), slot(2, 1)]))
        .await;
    let renewal = controller.renewal(|renewal| renewal.revision == 5).await;
    let error = renewal.apply_error.expect("says so");
    assert!(error.contains("assignment 2 is older than 3"), "{error}");
    assert_eq!(renewal.slots.len(), 2);
    assert!(renewal.slots.iter().any(|slot| slot.epoch == 3));
    stop(&tasks).await;
}

#[tokio::test]
async fn what_was_refused_is_reported_under_the_epoch_that_was_seen() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![slot(1, 3)])]);
    let edge = Edge::new(&controller.0.url);
    let (_status, _work) = edge.start(&tasks).await;
    controller.renewal(|renewal| renewal.revision == 4).await;
    let delta = |revision, upsert, remove| WatchMessage::Delta {
        revision,
        upsert,
        remove,
    };
    controller
        .say(delta(5, Vec::new(), vec![slot(1, 3).key]))
        .await;
    controller.renewal(|renewal| renewal.revision == 5).await;
    // A database that lost its last commits assigns below what was seen here.
    controller.say(delta(6, vec![slot(1, 2)], Vec::new())).await;
    let renewal = controller.renewal(|renewal| renewal.revision == 6).await;
    let [report] = &renewal.slots[..] else {
        panic!("{:?}", renewal.slots);
    };
    assert_eq!((report.key, report.epoch), (slot(1, 2).key, 3));
    stop(&tasks).await;
}
