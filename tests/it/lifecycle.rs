//! Start, stop, start again; and what stands in the way.

use std::{fs, net::TcpListener, path::Path, time::Duration};

use headworks_testkit::{Headworks, Launch, Signal, wait_until};
use headworks_types::CameraState;

use crate::scene::{Api, SOON, Scene, camera, directory};

#[test]
fn a_restart_keeps_everything() {
    let directory = directory();
    let data = directory.path().join("data");
    let camera = camera();
    let mut first = Scene::launch(Launch::default().data(&data));
    let key = first.headworks.admin_key().expect("has one").to_owned();
    let id = first.api.add_live(&camera);
    let epoch = first.api.view(id).status.epoch;
    let node = first.api.view(id).status.node_id;
    let status = first.headworks.stop().expect("ends");
    assert!(status.success(), "{status}");
    assert_eq!(first.headworks.output().len(), 1, "one line of JSON");
    camera.wait_for_playing(0, SOON).expect("nobody pulls now");

    let second = Headworks::up(Launch::default().data(&data)).expect("starts again");
    assert_eq!(second.admin_key(), None, "the key is shown once");
    let api = Api::new(second.api(), &key);
    let record = api.wait_for(id, "live again", |camera| {
        camera.status.state == CameraState::Live && camera.status.epoch >= epoch
    });
    assert_eq!(record.status.node_id, node, "the edge is the same node");
    assert_eq!(camera.playing(), 1);
}

#[test]
fn a_second_one_on_the_same_data_is_refused() {
    let directory = directory();
    let data = directory.path().join("data");
    let _first = Scene::launch(Launch::default().data(&data));
    let mut second = Headworks::begin(Launch::default().data(&data)).expect("runs");
    let status = second.wait(SOON).expect("ends");
    assert_eq!(status.code(), Some(1));
    let words = format!("another `headworks up` uses {}", data.display());
    assert!(second.log().contains(&words), "{}", second.log());
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("has one").to_string();
    for knob in [
        "HEADWORKS__CONTROLLER__LISTEN",
        "HEADWORKS__EDGE__HTTP_LISTEN",
    ] {
        let launch = Launch::default().env(knob, &address);
        let mut up = Headworks::begin(launch).expect("runs");
        let status = up.wait(SOON).expect("ends");
        let log = up.log();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(&address), "{log}");
        assert!(log.contains("in use"), "{log}");
        assert!(up.output().is_empty(), "{:?}", up.output());
    }
}

#[test]
fn a_wrong_setting_is_named() {
    let launch = Launch::default().env("HEADWORKS__EDGE__COLOUR", "red");
    let mut up = Headworks::begin(launch).expect("runs");
    assert!(!up.wait(SOON).expect("ends").success());
    let log = up.log();
    assert!(
        log.contains("colour") && log.contains("HEADWORKS__EDGE__COLOUR"),
        "{log}"
    );
}

/// Says whether a moment has come, from the data directory and the process.
type HasCome = fn(&Path, &Headworks) -> bool;

/// Moments in the life of `headworks up` at which it is interrupted.
const MOMENTS: [(&str, HasCome); 5] = [
    ("at once", |_, _| true),
    ("while initdb runs", |data, _| {
        data.join("postgres/cluster.unfinished").exists()
    }),
    ("when the database server starts", |data, _| {
        data.join("postgres/cluster/postmaster.pid").exists()
    }),
    ("when it speaks first", |_, up| !up.log().is_empty()),
    ("when it is ready", |_, up| !up.output().is_empty()),
];

#[test]
fn ctrl_c_at_any_moment_leaves_nothing_running() {
    let directory = directory();
    for (index, (moment, has_come)) in MOMENTS.into_iter().enumerate() {
        let data = directory.path().join(index.to_string());
        let mut up = Headworks::begin(Launch::default().data(&data)).expect("runs");
        wait_until(moment, SOON, || has_come(&data, &up).then_some(()))
            .unwrap_or_else(|error| panic!("{error}\n{}", up.log()));
        // A shell that runs us in the background has SIGINT ignored until the program listens.
        up.signal(if index == 0 {
            Signal::Terminate
        } else {
            Signal::Interrupt
        });
        up.wait(SOON)
            .unwrap_or_else(|error| panic!("{moment}: {error}"));
        // A database server that was interrupted in its start may need a moment more.
        wait_until("nothing is left", SOON, || {
            processes_of(&data).is_empty().then_some(())
        })
        .unwrap_or_else(|error| panic!("{moment}: {error}: {:?}", processes_of(&data)));
    }
}

#[test]
fn a_kill_leaves_nothing_running_and_the_next_start_works() {
    let directory = directory();
    let data = directory.path().join("data");
    let mut first = Scene::launch(Launch::default().data(&data));
    let key = first.headworks.admin_key().expect("has one").to_owned();
    first.headworks.kill();
    wait_until("the database server ends as well", SOON, || {
        processes_of(&data).is_empty().then_some(())
    })
    .expect("it has its death signal");
    let second = Headworks::up(Launch::default().data(&data)).expect("starts again");
    let api = Api::new(second.api(), &key);
    api.call(api.client.camera_list());
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let mut up = Scene::up();
    up.headworks.signal(Signal::Interrupt);
    up.headworks.signal(Signal::Interrupt);
    up.headworks.wait(Duration::from_secs(20)).expect("ends");
}

/// Processes that were started with this directory in their arguments, or that work in it.
fn processes_of(data: &Path) -> Vec<String> {
    let data = data.to_str().expect("is text");
    let entries = fs::read_dir("/proc").expect("there is /proc");
    entries
        .flatten()
        .filter_map(|entry| {
            let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let works_in = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let is_ours = arguments.contains(data) || works_in.starts_with(data);
            is_ours.then_some(arguments)
        })
        .collect()
}
