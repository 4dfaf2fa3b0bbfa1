//! Who may not watch any more goes at once, whatever the edge waits for.

use std::{fs, path::PathBuf, process::Command};

use headworks_types::edge::{Revocation, RevocationKind};

use super::*;

/// A file whose next writer waits until it is let.
struct Stuck(PathBuf);

impl Stuck {
    fn new(path: PathBuf) -> Self {
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("runs").success());
        Self(path)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // Is a reader too, so that it waits for nobody.
        let _end = fs::File::options().read(true).write(true).open(&self.0);
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_revocation_counts_while_work_waits_for_the_disk() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    let issuer = Issuer::new("2026-11");
    let keys = edge::Bundle {
        jwks: issuer.jwks(),
        ..edge::Bundle::default()
    };
    let (camera, now) = (slot(1, 1).key.camera_id, Clock::system().now());
    controller.first(vec![
        WatchMessage::Bundle(keys.clone()),
        snapshot(4, vec![slot(1, 1)]),
    ]);
    let edge = Edge::new(&controller.0.url);
    let (agent, _, access) = edge.load(&tasks);
    let status = agent.status();
    soon(agent.start(&tasks)).await.expect("starts");
    let renewal = controller.renewal(|renewal| renewal.revision == 4);
    renewal.await;
    let view = headworks_types::Action::CameraViewLive;
    let token = issuer.token(camera, now);
    let opened = access.open(Some(&token), camera, view, &client(ViewProtocol::Flv));
    let session = opened.expect("opens");

    let stuck = Stuck::new(edge.path().join("state.new"));
    controller
        .say(WatchMessage::Delta {
            revision: 5,
            upsert: vec![slot(2, 1)],
            remove: Vec::new(),
        })
        .await;
    let revoked = edge::Bundle {
        revocations: vec![Revocation {
            kind: RevocationKind::Subject,
            value: session.about().subject.clone(),
            project_id: None,
            issued_before: now,
            ends_sessions: true,
            expires_at: now + Duration::from_secs(3600),
        }],
        ..keys
    };
    controller.say(WatchMessage::Bundle(revoked.clone())).await;
    soon(session.over()).await;
    assert_eq!(status.borrow().revision, 4, "the work still waits");
    drop(stuck);
    controller.renewal(|renewal| renewal.revision == 5).await;
    stop(&tasks).await;
    let kept = bundle::load(&edge.path().join("bundle.json"));
    assert_eq!(kept.expect("reads"), Some(revoked), "a restart knows it");
}

#[tokio::test]
async fn a_key_is_named_only_when_it_is_on_the_disk() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    let bundle = edge::Bundle {
        jwks: Issuer::new("2026-11").jwks(),
        ..edge::Bundle::default()
    };
    let edge = Edge::new(&controller.0.url);
    let stuck = Stuck::new(edge.path().join("bundle.new"));
    controller.first(vec![
        WatchMessage::Bundle(bundle),
        snapshot(4, vec![slot(1, 1)]),
    ]);
    edge.start(&tasks).await;
    let renewal = controller.renewal(|renewal| renewal.revision == 4).await;
    assert_eq!(renewal.signing_keys, [""; 0]);
    drop(stuck);
    controller
        .renewal(|renewal| renewal.signing_keys == ["2026-11"])
        .await;
    stop(&tasks).await;
}
