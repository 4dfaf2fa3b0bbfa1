//! `PgBouncer` in transaction mode is between two controllers and the database: each transaction of
//! theirs is in another session of PostgreSQL, which the other controller has used before.

use std::fs;

use headworks_testkit::{Headworks, Launch, PgBouncer, Player, http, wait_until};
use headworks_types::{CameraState, ProblemCode, StartMode};

use crate::{
    database::Database,
    parts::{Cluster, listening},
    scene::{Api, SOON, Scene, camera, pulled},
};

/// Fewer than one controller has loops: nobody has a session for long.
const SESSIONS: u32 = 3;
const CAMERAS: usize = 12;

/// Another controller of the same cluster.
fn another(cluster: &Cluster, pooler: &PgBouncer) -> (Headworks, Api) {
    let log = cluster.directory.path().join("another.log");
    let launch = cluster
        .controller_launch()
        .env("HEADWORKS__CONTROLLER__LISTEN", "127.0.0.1:0")
        .env("HEADWORKS__CONTROLLER__EDGE_LISTEN", "127.0.0.1:0")
        .log(&log);
    let controller = Headworks::run(&["controller".into()], &launch).expect("runs");
    let (address, _) = wait_until("the other controller listens", SOON, || {
        let log = fs::read_to_string(&log).ok()?;
        log.lines().find_map(listening)
    })
    .unwrap_or_else(|error| panic!("{error}\n{}\n{}", controller.log(), pooler.log()));
    let api = Api::new(&format!("http://{address}"), &cluster.admin_key);
    (controller, api)
}

/// How many records the audit log has of the camera.
fn audited(api: &Api, key: &str, camera: impl std::fmt::Display) -> usize {
    let url = format!("{}v1/audit?camera_id={camera}", api.client.base());
    let listed = http::call("GET", &url, key, None).and_then(http::Answer::ok);
    let listed = listed.expect("answers").json().expect("is JSON");
    listed["items"].as_array().expect("is a list").len()
}

#[test]
fn two_controllers_share_a_database_behind_a_pooler() {
    let camera = camera();
    let mut pooler = None;
    let cluster = Cluster::launch(|database| {
        let pooler = pooler.insert(PgBouncer::start(database, SESSIONS).expect("starts"));
        Launch::default()
            .env("HEADWORKS__CONTROLLER__DATABASE_URL", pooler.url())
            .env("HEADWORKS__CONTROLLER__DATABASE_POOLED", "true")
    });
    let pooler = pooler.expect("has been started");
    let (_controller, other) = another(&cluster, &pooler);
    let _edge = cluster.edge("edge-1");
    cluster.wait_until_ready(1);
    let api = &cluster.api;

    // What one creates, the other one has, with all that comes of it.
    let gate = api.add_live(&camera);
    other.wait_for_state(gate, CameraState::Live);
    let mut viewer = Player::start(other.urls(gate).flv.as_str()).expect("starts");
    viewer.wait_for_pictures(5, SOON).expect("plays");
    wait_until("the viewer's session is known to both", SOON, || {
        let both = [api, &other].map(|api| api.call(api.client.session_list()).items);
        both.iter()
            .all(|sessions| sessions.len() == 1)
            .then_some(())
    })
    .expect("it is");

    // Both write and read at once, and nobody gets an answer that is another's.
    std::thread::scope(|scope| {
        for (number, api) in [(1, api.client.base()), (2, other.client.base())] {
            let key = &cluster.admin_key;
            scope.spawn(move || {
                let api = Api::new(api, key);
                for count in 0..CAMERAS {
                    let mut create = pulled(&format!("rtsp://camera-{number}-{count}.invalid/"));
                    create.name = format!("camera-{number}-{count}");
                    create.start = StartMode::OnDemand;
                    let created = api.call(api.client.camera_create(&create));
                    assert_eq!(created.name, create.name);
                    assert_eq!(api.view(created.id).name, create.name);
                    assert_eq!(audited(&api, key, created.id), 1);
                }
            });
        }
    });
    let listed = other.call(other.client.camera_list()).items;
    assert_eq!(listed.len(), 2 * CAMERAS + 1);

    viewer.wait_for_pictures(15, SOON).expect("plays on");
    let said = cluster.log_of("controller") + &cluster.log_of("another");
    let wrong = said
        .lines()
        .filter(|line| line.contains("\"level\":\"ERROR\""));
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(!said.contains("prepared statement"), "{said}");
    assert!(!said.contains("read-only"), "{said}");
}

#[test]
fn a_database_that_comes_back_behind_a_pooler_is_used_again() {
    let mut database = Database::start();
    let pooler = PgBouncer::start(database.server(), SESSIONS).expect("starts");
    let launch = Launch::default()
        .env("HEADWORKS__CONTROLLER__DATABASE_URL", pooler.url())
        .env("HEADWORKS__CONTROLLER__DATABASE_POOLED", "true");
    let camera = camera();
    let up = Scene::launch(launch);
    let id = up.api.add_live(&camera);

    // Every session ends; the controller's connections with the pooler stay.
    database.cut();
    let error = up
        .api
        .attempt(up.api.client.camera_list().deadline(SOON))
        .expect_err("there is no database");
    assert_eq!(error.code(), Some(ProblemCode::Unavailable), "{error}");
    database.restore();
    let record = up.api.wait_for(id, "the API is back", |_| true);
    assert_eq!(record.status.epoch, 1, "nobody was declared dead");
    up.api.add_live(&camera);
}
