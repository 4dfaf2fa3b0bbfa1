//! Nothing secret is told to who must not know it: not in logs, traces, errors, answers, arguments
//! of processes, or in the clear in the database.
//!
//! Every secret that a user can give or gets is a canary. When everything has been done with them
//! that goes right and that goes wrong, all that can be seen from outside is searched for them. The
//! only exception is the answer that shows a secret once.

mod canary;
mod collector;
mod right;
mod run;
mod seen;
mod wrong;

use std::fs;

use headworks_testkit::{Headworks, Launch, RtmpServer};

use crate::scene::SOON;
use canary::Canaries;
use run::Run;

#[test]
fn no_secret_is_told() {
    let mut run = Run::start();
    let target = RtmpServer::start().expect("starts");
    let gate = run.camera();
    let door = run.published_camera();
    right::people(&mut run);
    right::from_a_provider(&mut run);
    right::nouns(&mut run);
    let pushes = right::pushes(&mut run, &target);
    let mut players = right::viewers(&mut run);
    right::publishers(&mut run, &door);
    wrong::strangers(&mut run);
    wrong::malformed(&mut run);
    wrong::commands(&mut run, &gate);
    for player in &mut players {
        player.wait_for_pictures(3, SOON).expect("plays");
    }
    run.wait_for_session();
    for (push, state) in pushes {
        run.wait_for_push(&push, state);
    }
    assert!(run.cmdlines().contains("libx264"), "an encoder runs");
    run.look_at_everything();
    run.end();
    let found = run.found();
    assert!(
        found.is_empty(),
        "{} leaks:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Configurations that are wrong, with secrets in or beside what is wrong.
#[test]
fn a_wrong_configuration_is_told_without_its_secrets() {
    let mut canaries = Canaries::default();
    let it = canaries.make("a secret of the configuration");
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("headworks.toml");
    let log = directory.path().join("log");
    let launch = || Launch::default().log(&log);
    let nowhere = format!("postgres://me:{it}@127.0.0.1:1/a");
    let database = |url: &str| {
        launch()
            .env("HEADWORKS__CONTROLLER__MASTER_KEY", &it)
            .env("HEADWORKS__CONTROLLER__DATABASE_URL", url)
            .env("HEADWORKS__CONTROLLER__DATABASE_WAIT", "100ms")
    };
    let files = [
        format!("[controller]\nmaster_key = \"{it}\n"),
        format!("[controller]\nmaster_key = {it}\n"),
        format!("[controller]\nmaster_key = [\"{it}\"]\n"),
        format!("[controller]\ndatabase_url = {{ password = \"{it}\" }}\n"),
        format!("[controller]\nlisten = \"{it}\"\ndatabase_wait = \"{it}\"\n"),
        format!("[controller]\n\"master_key\" \"{it}\"\n"),
        format!("[controller.oidc.corp]\nclient_secret = \"{it}\"\nissuer = 1\n"),
    ];
    let starts = files.into_iter().map(|file| (file, launch())).chain([
        (String::new(), database(&nowhere)),
        (String::new(), database(&format!("postgres://{it}:port/"))),
        (String::new(), database(&it)),
    ]);
    for (file, launch) in starts {
        fs::write(&config, &file).expect("writes");
        let arguments = [
            "controller".into(),
            "--config".into(),
            config.clone().into(),
        ];
        let mut controller = Headworks::run(&arguments, &launch).expect("runs");
        let status = controller.wait(SOON).expect("ends");
        assert_eq!(status.code(), Some(1), "{file}: {}", controller.log());
        assert!(!controller.log().is_empty(), "it says why: {file}");
    }
    fs::remove_file(&config).expect("is removed");
    let found = canaries.found_in(directory.path());
    assert!(found.is_empty(), "{}", found.join("\n"));
}
