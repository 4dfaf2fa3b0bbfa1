//! What the audit log hears of viewers.

use headworks_types::{AuditResult, edge::AuditEntry};

use super::*;
use crate::audit::Outlet;

/// A world whose records are read here.
fn world() -> (World, Outlet) {
    let mut world = World::new();
    let (audit, outlet) = Audit::new(world.clock.clone());
    world.access = world.issuer.access_with(audit, world.clock.clone());
    (world, outlet)
}

fn of(protocol: ViewProtocol, address: [u8; 4]) -> Client {
    Client {
        address: address.into(),
        ..testing::client(protocol)
    }
}

fn token(world: &World) -> String {
    world.issuer.token(world.camera, world.clock.now())
}

fn one(told: Vec<AuditEntry>) -> AuditEntry {
    assert_eq!(told.len(), 1, "{told:?}");
    told.into_iter().next().expect("there is one")
}

#[test]
fn a_viewer_is_told_of_when_he_comes_and_when_he_has_left() {
    let (world, mut outlet) = world();
    let client = of(ViewProtocol::Rtsps, [192, 0, 2, 7]);
    let session = world
        .access
        .open(Some(&token(&world)), world.camera, VIEW, &client);
    let session = session.expect("a good token");
    let came = one(outlet.told());
    let about = session.about().clone();
    assert_eq!(
        (came.action, came.result),
        (AuditAction::SessionOpen, AuditResult::Ok)
    );
    assert_eq!(came.subject.as_deref(), Some(&*about.subject));
    assert_eq!(came.camera_id, Some(world.camera));
    assert_eq!(came.protocol.as_deref(), Some("rtsps"));
    assert_eq!(came.address, Some(client.address));
    assert_eq!(came.session_id, Some(about.id.uuid()));
    session.add_sent(1234);
    let clone = session.clone();
    drop(session);
    assert_eq!(outlet.told(), [], "he is still there");
    drop(clone);
    let left = one(outlet.told());
    assert_eq!(left.action, AuditAction::SessionEnd);
    assert_eq!(left.session_id, Some(about.id.uuid()));
    assert_eq!(left.subject.as_deref(), Some(&*about.subject));
    assert_eq!(left.bytes, Some(1234));
    assert_eq!(left.reason.as_deref(), Some("it has gone"));
}

#[test]
fn why_a_viewer_left_is_told() {
    let (world, mut outlet) = world();
    let mut ended = |end: &dyn Fn(&Session)| {
        let session = world.session();
        outlet.told();
        end(&session);
        drop(session);
        one(outlet.told()).reason.expect("has one")
    };
    let slow = crate::hub::Leave::Slow.as_str();
    assert_eq!(ended(&|session| session.note_end(slow)), slow);
    let revoked = |session: &Session| {
        session.end(Over::Revoked);
        session.note_end(slow);
    };
    assert_eq!(ended(&revoked), "the session was ended");
    let hour = Duration::from_secs(3600);
    assert_eq!(
        ended(&|_| world.clock.advance(hour)),
        "the time to watch is over"
    );
}

#[test]
fn whoever_is_refused_is_told_of() {
    let (world, mut outlet) = world();
    let stranger = of(ViewProtocol::Flv, [198, 51, 100, 9]);
    let token = token(&world);
    let _ = world.access.open(None, world.camera, VIEW, &stranger);
    let _ = world
        .access
        .check(Some(&token), world.other, VIEW, &stranger);
    let _ = world.access.resume("forged", world.camera, &stranger);
    let told = outlet.told();
    let said: Vec<_> = told
        .iter()
        .map(|entry| (entry.reason.as_deref(), entry.camera_id))
        .collect();
    let (camera, other) = (Some(world.camera), Some(world.other));
    assert_eq!(
        said,
        [
            (Some("missing"), camera),
            (Some("other_camera"), other),
            (Some("ticket"), camera),
        ]
    );
    for entry in told {
        assert_eq!(entry.result, AuditResult::Refused);
        assert_eq!(entry.address, Some(stranger.address));
        assert_eq!(entry.subject, None, "nobody knows who it is");
    }
}

#[test]
fn a_player_that_asks_on_after_its_end_is_no_news() {
    let (world, mut outlet) = world();
    let client = of(ViewProtocol::Hls, [192, 0, 2, 7]);
    let open = || {
        let token = token(&world);
        let session = world
            .access
            .open(Some(&token), world.camera, VIEW, &client)
            .expect("a good token");
        (world.access.ticket(&session), session)
    };
    let resume = |ticket: &str| {
        let resumed = world.access.resume(ticket, world.camera, &client);
        resumed.err()
    };
    let (ticket, session) = open();
    session.end(Over::Revoked);
    drop(session);
    outlet.told();
    assert_eq!(resume(&ticket), Some(Denied::Ended));
    // With another token, since the clock goes on.
    world.clock.advance(Duration::from_secs(1));
    let (ticket, session) = open();
    world.clock.advance(Duration::from_secs(3600));
    drop(session);
    outlet.told();
    assert_eq!(resume(&ticket), Some(Denied::WatchOver));
    assert_eq!(outlet.told(), []);
}

#[test]
fn who_comes_back_is_told_of_again_once_he_gets_something() {
    let (world, mut outlet) = world();
    let client = of(ViewProtocol::Hls, [192, 0, 2, 7]);
    let token = token(&world);
    let session = world
        .access
        .open(Some(&token), world.camera, VIEW, &client)
        .expect("a good token");
    let (id, ticket) = (session.about().id, world.access.ticket(&session));
    drop(session);
    assert_eq!(outlet.told().len(), 2, "came and went");
    let back = || {
        let session = world.access.resume(&ticket, world.camera, &client);
        session.expect("a good ticket")
    };
    drop(back());
    assert_eq!(outlet.told(), [], "it was not there");
    let session = back();
    session.record();
    session.record();
    session.add_sent(10);
    drop(session);
    let told = outlet.told();
    let actions: Vec<_> = told.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [AuditAction::SessionOpen, AuditAction::SessionEnd]);
    assert!(told.iter().all(|e| e.session_id == Some(id.uuid())));
    assert_eq!(told[1].bytes, Some(10), "of this time");
}
