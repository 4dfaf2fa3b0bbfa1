//! Who is on the list, and who is not any more.

use std::{sync::atomic::AtomicUsize, time::Duration};

use uuid::Uuid;

use super::{testing::client, *};

fn about(number: u128, max: Option<u32>) -> About {
    About {
        max,
        ..testing::about(number, Uuid::from_u128(1).into())
    }
}

fn sessions(limit: usize) -> Sessions {
    let clock = Clock::manual(DateTime::UNIX_EPOCH);
    Sessions::new(limit, Audit::new(clock.clone()).0, clock)
}

fn enter(sessions: &Sessions, about: About, camera_limit: Option<u32>) -> Result<Session, Full> {
    sessions.enter(about, &client(ViewProtocol::Flv), None, camera_limit)
}

#[test]
fn a_viewer_is_listed_while_somebody_has_its_session() {
    let sessions = sessions(10);
    let session = enter(&sessions, about(1, None), None).expect("enters");
    let clone = session.clone();
    drop(session);
    clone.add_sent(7);
    let listed = sessions.list();
    assert_eq!((listed.len(), listed[0].sent()), (1, 7));
    drop(listed);
    drop(clone);
    assert!(sessions.list().is_empty());
    assert!(sessions.state().cameras.is_empty() && sessions.state().sessions.is_empty());
}

#[test]
fn every_limit_holds_and_makes_room_again() {
    let sessions = sessions(3);
    let first = enter(&sessions, about(1, Some(1)), Some(2)).expect("enters");
    let full = enter(&sessions, about(2, Some(1)), Some(2));
    assert_eq!(full.err(), Some(Full::Token));
    let _second = enter(&sessions, about(2, None), Some(2)).expect("has no limit");
    let full = enter(&sessions, about(3, None), Some(2));
    assert_eq!(full.err(), Some(Full::Camera));
    let third = enter(&sessions, about(3, None), None).expect("enters");
    let full = enter(&sessions, about(4, None), None);
    assert_eq!(full.err(), Some(Full::Edge));
    drop((first, third));
    assert!(enter(&sessions, about(5, Some(1)), Some(2)).is_ok());
}

#[tokio::test]
async fn who_is_ended_hears_of_it_and_is_off_the_list() {
    let sessions = sessions(10);
    let session = enter(&sessions, about(1, None), None).expect("enters");
    let other = enter(&sessions, about(2, None), None).expect("enters");
    let rung = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&rung);
    session.on_over(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let id = session.about().id;
    let ended = sessions.end_where(|session| (session.about().id == id).then_some(Over::Revoked));
    assert_eq!(ended, 1);
    let over = tokio::time::timeout(Duration::from_secs(5), session.over()).await;
    assert_eq!(over, Ok(Over::Revoked));
    assert_eq!(rung.load(Ordering::Relaxed), 1);
    assert_eq!(sessions.list(), [other]);
    let late = Arc::clone(&rung);
    session.on_over(move || {
        late.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(rung.load(Ordering::Relaxed), 2, "it was over already");
}

#[test]
fn only_tickets_have_to_be_remembered() {
    let sessions = sessions(10);
    for (number, protocol) in [(1, ViewProtocol::Flv), (2, ViewProtocol::Hls)] {
        let session = sessions.enter(about(number, None), &client(protocol), None, None);
        let session = session.expect("enters");
        session.end(Over::Revoked);
        let is_hls = protocol == ViewProtocol::Hls;
        assert_eq!(sessions.was_ended(session.about().id), is_hls);
        assert!(!sessions.has(session.about().id));
    }
}

#[test]
fn who_is_here_already_is_not_counted_again() {
    let sessions = sessions(10);
    let first = enter(&sessions, about(1, Some(1)), Some(1)).expect("enters");
    let again = enter(&sessions, about(1, Some(1)), Some(1)).expect("is here");
    assert_eq!(first, again);
    drop(first);
    assert_eq!(sessions.list(), [again]);
}

#[test]
fn a_session_that_comes_back_is_not_removed_by_the_one_that_goes() {
    let sessions = sessions(10);
    let first = enter(&sessions, about(1, None), None).expect("enters");
    first.end(Over::Stale);
    let again = enter(&sessions, about(1, None), None).expect("enters");
    assert_ne!(first, again);
    drop(first);
    assert_eq!(sessions.list(), [again]);
}

#[test]
fn what_was_ended_elsewhere_or_not_saved_is_not_forgotten() {
    let sessions = sessions(10);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("missing").join("ended.json");
    sessions.remember(path.clone()).expect("there is none");
    let id = Uuid::from_u128(7).into();
    sessions.remember_ended([id].into_iter());
    assert!(sessions.was_ended(id));
    sessions.save().expect_err("there is no such directory");
    std::fs::create_dir(directory.path().join("missing")).expect("makes it");
    sessions.save().expect("saves what was not saved");
    let after = self::sessions(10);
    after.remember(path).expect("reads");
    assert!(after.was_ended(id));
}
