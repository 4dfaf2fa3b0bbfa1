//! The database is away: at the start, and later.

use std::time::Duration;

use headworks_testkit::{Headworks, Launch, Player, Postgres, PostgresOptions, http};
use headworks_types::{CameraState, ProblemCode};

use crate::scene::{Api, SOON, Scene, camera, directory};

/// A server that can be stopped and started again at the same address.
pub(crate) struct Database {
    options: PostgresOptions,
    server: Option<Postgres>,
    url: String,
    _directory: tempfile::TempDir,
}

impl Database {
    pub(crate) fn start() -> Self {
        let directory = directory();
        let mut options = PostgresOptions::new(directory.path().join("data"));
        options.durable = false;
        let server = Postgres::start(&options).expect("starts");
        Self {
            url: server.url(),
            options,
            server: Some(server),
            _directory: directory,
        }
    }

    pub(crate) fn server(&self) -> &Postgres {
        self.server.as_ref().expect("runs")
    }

    pub(crate) fn cut(&mut self) {
        self.server = None;
    }

    pub(crate) fn restore(&mut self) {
        self.server = Some(Postgres::start(&self.options).expect("starts again"));
        let url = self.server.as_ref().map(Postgres::url);
        assert_eq!(url.as_ref(), Some(&self.url));
    }

    fn launch(&self) -> Launch {
        Launch::default().env("HEADWORKS__CONTROLLER__DATABASE_URL", &self.url)
    }
}

#[test]
fn a_database_that_comes_late_is_waited_for() {
    let mut database = Database::start();
    database.cut();
    let mut up = Headworks::begin(database.launch()).expect("runs");
    headworks_testkit::wait_until("it says what it waits for", SOON, || {
        up.log().contains("database").then_some(())
    })
    .expect("it does");
    database.restore();
    up.wait_until_ready().expect("becomes ready");
    assert!(up.admin_key().is_some());
}

#[test]
fn a_database_that_does_not_come_ends_the_start() {
    let mut database = Database::start();
    database.cut();
    let launch = database
        .launch()
        .env("HEADWORKS__CONTROLLER__DATABASE_WAIT", "1s");
    let mut up = Headworks::begin(launch).expect("runs");
    let status = up.wait(SOON).expect("ends");
    assert_eq!(status.code(), Some(1));
    assert!(up.log().contains("database"), "{}", up.log());
}

#[test]
fn viewers_go_on_while_the_database_is_away() {
    let mut database = Database::start();
    let camera = camera();
    let up = Scene::launch(database.launch());
    let id = up.api.add_live(&camera);
    let urls = up.api.urls(id);
    let mut viewer = Player::start(urls.flv.as_str()).expect("starts");
    viewer.wait_for_pictures(5, SOON).expect("plays");

    database.cut();
    let error = up
        .api
        .attempt(up.api.client.camera_list().deadline(SOON))
        .expect_err("there is no database");
    assert_eq!(error.code(), Some(ProblemCode::Unavailable), "{error}");
    let status = |path: &str| {
        let answer = http::get(&format!("{}{path}", up.headworks.api()));
        answer.expect("answers").status
    };
    assert_eq!((status("/livez"), status("/readyz")), (200, 503));
    // The picture goes on, and new viewers with a good token are let in.
    viewer.wait_for_pictures(30, SOON).expect("plays on");
    let mut late = Player::start(urls.flv.as_str()).expect("starts");
    late.wait_for_pictures(15, SOON).expect("plays");

    database.restore();
    let record = up.api.wait_for(id, "the API is back", |_| true);
    assert_eq!(record.status.epoch, 1, "nobody was declared dead");
    up.api.wait_for_state(id, CameraState::Live);
    viewer.wait_for_pictures(15, SOON).expect("plays on");
    assert_eq!(camera.plays(), 1, "it was never connected anew");
    assert!(viewer.seen().errors.is_empty(), "{:?}", viewer.seen());
}

#[test]
fn an_outage_longer_than_a_lease_kills_no_node() {
    let mut database = Database::start();
    let camera = camera();
    let launch = database
        .launch()
        .env("HEADWORKS__CONTROLLER__LEASE_RENEW", "100ms")
        .env("HEADWORKS__CONTROLLER__LEASE_SUSPECT", "300ms")
        .env("HEADWORKS__CONTROLLER__LEASE_DEAD", "7s");
    let up = Scene::launch(launch);
    let id = up.api.add_live(&camera);
    let mut viewer = Player::start(up.api.urls(id).flv.as_str()).expect("starts");
    viewer.wait_for_pictures(5, SOON).expect("plays");
    database.cut();
    // Nine seconds by the camera's clock: longer than a lease.
    viewer.wait_for_pictures(135, SOON).expect("plays on");
    database.restore();
    let api = Api::new(
        up.headworks.api(),
        up.headworks.admin_key().expect("has one"),
    );
    let record = api.wait_for(id, "live, as seen by the database", |camera| {
        camera.status.state == CameraState::Live
    });
    assert_eq!(record.status.epoch, 1);
    viewer
        .wait_for_pictures(15, Duration::from_secs(10))
        .expect("plays on");
    assert_eq!(camera.plays(), 1);
}
