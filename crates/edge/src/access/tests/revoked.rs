//! Nothing that was revoked opens or goes on.

use headworks_types::{
    ProjectId,
    edge::{Revocation, RevocationKind, ViewPolicy},
};

use super::*;
use crate::access::cameras::CameraView;

pub(super) fn project() -> ProjectId {
    Uuid::from_u128(9).into()
}

impl World {
    /// The camera as the controller has told of it.
    pub(super) fn know(&self, policy: ViewPolicy) {
        let view = CameraView {
            project: project(),
            policy,
        };
        self.access
            .set_cameras(Cameras::from([(self.camera, view)]));
    }

    /// What was issued until now is revoked.
    pub(super) fn revoke(&self, kind: RevocationKind, value: &str, ends_sessions: bool) {
        let revocation = Revocation {
            kind,
            value: value.to_owned(),
            project_id: (kind == RevocationKind::Token).then(project),
            issued_before: self.clock.now(),
            ends_sessions,
            expires_at: self.clock.now() + Duration::from_secs(3600),
        };
        let bundle = Bundle {
            revocations: vec![revocation],
            ..self.issuer.bundle()
        };
        self.access.set_bundle(&bundle, Some(Duration::ZERO));
    }
}

#[test]
fn whatever_is_revoked_ends_its_session_and_opens_none() {
    let kinds = [
        RevocationKind::Subject,
        RevocationKind::Token,
        RevocationKind::Key,
        RevocationKind::Camera,
    ];
    for kind in kinds {
        let world = World::new();
        world.know(ViewPolicy::default());
        let token = world.issuer.token(world.camera, world.clock.now());
        let session = world.open(&token).expect("opens");
        let ticket = world.access.ticket(&session);
        let camera = world.camera.to_string();
        let value = match kind {
            RevocationKind::Subject => &*session.about().subject,
            RevocationKind::Token => "1",
            RevocationKind::Key => "2026-11",
            _ => &*camera,
        };
        world.revoke(kind, "somebody else", true);
        assert_eq!(session.why_over(), None, "{kind:?}");
        assert!(world.open(&token).is_ok());
        world.revoke(kind, value, true);
        assert_eq!(session.why_over(), Some(Over::Revoked), "{kind:?}");
        assert_eq!(world.open(&token), Err(Denied::Revoked), "replay, {kind:?}");
        drop(session);
        let resumed = world.access.resume(&ticket, world.camera, &client());
        assert_eq!(resumed, Err(Denied::Ended), "{kind:?}");
        // What is issued afterwards counts again; not under the name of one that was revoked.
        world.clock.advance(Duration::from_secs(1));
        let token = world.issuer.token(world.camera, world.clock.now());
        let is_named = kind == RevocationKind::Token;
        assert_eq!(world.open(&token).is_err(), is_named, "{kind:?}");
    }
}

#[test]
fn a_narrowed_right_closes_the_door_and_throws_nobody_out() {
    let world = World::new();
    let token = world.issuer.token(world.camera, world.clock.now());
    let session = world.open(&token).expect("opens");
    let ticket = world.access.ticket(&session);
    world.revoke(RevocationKind::Subject, &session.about().subject, false);
    assert_eq!(world.open(&token), Err(Denied::Revoked));
    assert_eq!(session.why_over(), None);
    assert!(
        world
            .access
            .resume(&ticket, world.camera, &client())
            .is_ok()
    );
}

#[test]
fn who_is_revoked_leaves_nothing_of_what_they_issued() {
    let world = World::new();
    let issuer = "key_00000000000000000000000000000002";
    let now = world.clock.now();
    let said = claims(world.camera, now).issued_by(issuer.to_owned());
    let token = world.issuer.sign(&world.issuer.header(), &said);
    let own = world.issuer.token(world.camera, now);
    let session = world.open(&token).expect("opens");
    assert_eq!(session.opened().issuer.as_deref(), Some(issuer));
    world.revoke(RevocationKind::Subject, issuer, true);
    assert_eq!(session.why_over(), Some(Over::Revoked));
    assert_eq!(world.open(&token), Err(Denied::Revoked));
    assert!(world.open(&own).is_ok(), "the same user's, from elsewhere");
}

#[test]
fn the_token_of_another_project_is_another_token() {
    let world = World::new();
    let view = CameraView {
        project: Uuid::from_u128(8).into(),
        policy: ViewPolicy::default(),
    };
    world
        .access
        .set_cameras(Cameras::from([(world.camera, view)]));
    let token = world.issuer.token(world.camera, world.clock.now());
    world.revoke(RevocationKind::Token, "1", true);
    assert!(world.open(&token).is_ok());
}

#[test]
fn the_ticket_of_an_ended_session_is_refused_also_without_the_revocation() {
    let world = World::new();
    let token = world.issuer.token(world.camera, world.clock.now());
    let clients = [1, 2, 3].map(|last| Client {
        address: [192, 0, 2, last].into(),
        ..testing::client(ViewProtocol::Hls)
    });
    let open = |client| world.access.open(Some(&token), world.camera, VIEW, client);
    let [session, away, other] = clients
        .each_ref()
        .map(|client| open(client).expect("opens"));
    let ids = [&session, &away].map(|session| session.about().id.to_string());
    let tickets = [&session, &away, &other].map(|session| world.access.ticket(session));
    drop(away);
    for id in ids {
        world.revoke(RevocationKind::Session, &id, true);
    }
    assert_eq!(session.why_over(), Some(Over::Revoked));
    assert_eq!(other.why_over(), None);
    world
        .access
        .set_bundle(&world.issuer.bundle(), Some(Duration::ZERO));
    drop((session, other));
    let resume = |place: usize| {
        let client = &clients[place];
        world.access.resume(&tickets[place], world.camera, client)
    };
    for ended in [0, 1] {
        assert_eq!(resume(ended), Err(Denied::Ended));
        assert_eq!(open(&clients[ended]), Err(Denied::Ended));
    }
    let resumed = resume(2).expect("its viewer was away for a while");
    assert_eq!(world.access.sessions().list(), [resumed]);
}

#[test]
fn who_was_away_needs_a_token_that_still_opens() {
    let world = World::new();
    let hls = testing::client(ViewProtocol::Hls);
    let token = world.issuer.token(world.camera, world.clock.now());
    let open = || world.access.open(Some(&token), world.camera, VIEW, &hls);
    let session = open().expect("opens");
    let ticket = world.access.ticket(&session);
    let subject = session.about().subject.clone();
    world.revoke(RevocationKind::Subject, &subject, false);
    let resume = || world.access.resume(&ticket, world.camera, &hls);
    assert_eq!(resume(), Ok(session));
    assert_eq!(resume(), Err(Denied::Revoked));
}

#[test]
fn a_session_ends_with_its_time_also_when_its_protocol_forgets() {
    let world = World::new();
    let session = world.session();
    world.clock.advance(Duration::from_secs(3600));
    world.access.review();
    assert_eq!(session.why_over(), Some(Over::Time));
}

#[test]
fn a_sensitive_camera_fails_closed_and_others_do_not() {
    let world = World::new();
    world.know(ViewPolicy {
        sensitive: true,
        ..ViewPolicy::default()
    });
    let token = |world: &World| world.issuer.token(world.camera, world.clock.now());
    let session = world.open(&token(&world)).expect("the list is fresh");
    world.clock.advance(Duration::from_secs(600));
    world.access.review();
    assert_eq!(session.why_over(), None);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.open(&token(&world)), Err(Denied::Stale));
    world.access.review();
    assert_eq!(session.why_over(), Some(Over::Stale));
    assert_eq!(Denied::Stale.problem().status, 503);
    // A bookmark of a controller that itself has heard nothing helps nobody.
    world.access.confirm(Duration::from_secs(601));
    assert_eq!(world.open(&token(&world)), Err(Denied::Stale));
    world.access.confirm(Duration::from_secs(60));
    assert!(world.open(&token(&world)).is_ok());
    // Nor does what is on disk.
    world.clock.advance(Duration::from_secs(3600));
    world.access.set_bundle(&world.issuer.bundle(), None);
    assert_eq!(world.open(&token(&world)), Err(Denied::Stale));
    world.know(ViewPolicy::default());
    assert!(world.open(&token(&world)).is_ok());
}
