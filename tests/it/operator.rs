//! The operator's way from nothing to a picture, by commands only.

use std::{
    fs,
    process::{Command, Output},
};

use headworks_testkit::{CameraOptions, binary, http, judge};
use headworks_types::CameraState;
use serde_json::Value;

use crate::scene::{Scene, camera_with, directory};

/// Runs `headworks <arguments>` with the API and the key in the environment.
fn headworks(up: &Scene, key: &str, arguments: &[&str]) -> Output {
    command(up, key, arguments).output().expect("runs")
}

fn command(up: &Scene, key: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary().expect("is built"));
    command
        .args(arguments)
        .env("HEADWORKS_API", up.headworks.api());
    if !key.is_empty() {
        command.env("HEADWORKS_API_KEY", key);
    }
    command
}

fn json(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("is JSON")
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is a text"))
}

#[test]
fn commands_lead_to_a_picture() {
    let directory = directory();
    let camera = camera_with(CameraOptions::default());
    let up = Scene::up();
    let key = up.headworks.admin_key().expect("has one");
    let run = |arguments: &[&str]| json(&headworks(&up, key, arguments));

    let password = directory.path().join("password");
    fs::write(&password, "p@ss:w/rd\n").expect("is writable");
    let password = password.to_str().expect("is text");
    let url = camera.url();
    let create = [
        "camera", "create", "--json", "--name", "gate", "--url", &url,
    ];
    let login = ["--username", "admin", "--password-file", password];
    let created = run(&[&create[..], &login].concat());
    let camera_id = text(&created["id"]);
    let id = camera_id.parse().expect("is an id");
    up.api.wait_for_state(id, CameraState::Live);

    let user = run(&["user", "create", "--json", "--name", "alice"]);
    let user = text(&user["id"]);
    let issue = [
        "token", "issue", "--json", "--camera", camera_id, "--user", user,
    ];
    let refused = headworks(&up, key, &issue);
    assert_eq!(refused.status.code(), Some(1), "she has no grant yet");
    run(&[
        "grant", "create", "--json", "--user", user, "--camera", camera_id,
    ]);
    let token = run(&issue);
    let urls = &token["cameras"][0]["urls"];
    let seen = judge::decode(text(&urls["flv"]), 3).expect("decodes");
    assert!(seen.pictures() >= 10, "{seen:?}");
    assert_eq!(http::get(text(&urls["page"])).expect("answers").status, 200);
}

#[test]
fn people_are_let_in_by_commands() {
    let directory = directory();
    let up = Scene::up();
    let key = up.headworks.admin_key().expect("has one");
    let run = |arguments: &[&str]| json(&headworks(&up, key, arguments));
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("is writable");
        path.to_str().expect("is text").to_owned()
    };
    let (first, own) = (
        file("first", "chosen by others\n"),
        file("own", "correct horse\n"),
    );
    let create = [
        "user",
        "create",
        "--json",
        "--name",
        "Ann",
        "--email",
        "ann@example.com",
        "--password-stdin",
    ];
    let created = command(&up, key, &create)
        .stdin(fs::File::open(&first).expect("opens"))
        .output();
    let ann = json(&created.expect("runs"));
    let ann = text(&ann["id"]);
    let group = run(&["user-group", "create", "--json", "--name", "night"]);
    let group = text(&group["id"]);
    run(&["user-group", "add", "--json", group, ann]);
    let members = run(&["user-group", "members", "--json", group]);
    assert_eq!(members[0]["user_id"], ann);

    let sign_in = [
        "sign-in",
        "--json",
        "--email",
        "Ann@example.com",
        "--password-file",
        &first,
    ];
    let refused = headworks(&up, "", &sign_in);
    assert_eq!(refused.status.code(), Some(1), "she has to choose her own");
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("chosen by others\n"));
    let changed = [&sign_in[..], &["--new-password-file", &own]].concat();
    let tokens = json(&headworks(&up, "", &changed));
    let access = text(&tokens["access_token"]);
    let refused = headworks(&up, access, &["user", "list"]);
    assert_eq!(refused.status.code(), Some(1), "she may do nothing yet");
    run(&[
        "grant",
        "create",
        "--json",
        "--user",
        ann,
        "--cluster",
        "--action",
        "user.manage",
    ]);
    let users = json(&headworks(&up, access, &["user", "list", "--json"]));
    assert_eq!(users[0]["id"], ann);
}

#[test]
fn a_wrong_key_gets_a_hint() {
    let up = Scene::up();
    let output = headworks(&up, "hwak_nobody_knows", &["camera", "list"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(output.stdout.is_empty());
    assert!(errors.starts_with("error: "), "{errors}");
    assert!(errors.contains("\n\nhint: "), "{errors}");
}
