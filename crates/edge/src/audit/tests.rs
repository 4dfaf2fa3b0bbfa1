//! Records on the disk: in order, each once, whatever breaks.

use std::{fs, io::Write as _, path::Path};

use proptest::prelude::*;

use super::{alike::Alike, queue::Queue, *};

const LIMIT: u64 = 1 << 20;

fn audit() -> (Audit, Outlet) {
    Audit::new(Clock::manual(chrono::DateTime::UNIX_EPOCH))
}

fn guest() -> Guest<'static> {
    Guest {
        protocol: "rtmp",
        address: [192, 0, 2, 1].into(),
    }
}

fn camera(number: u128) -> CameraId {
    Uuid::from_u128(number).into()
}

fn refusal(audit: &Audit, number: u128, reason: &str) -> AuditEntry {
    AuditEntry {
        result: AuditResult::Refused,
        camera_id: Some(camera(number)),
        reason: Some(reason.to_owned()),
        ..audit.of(AuditAction::PublishStart, guest())
    }
}

/// Writes so many records, named by their numbers.
fn fill(queue: &mut Queue, numbers: impl IntoIterator<Item = u128>) -> u64 {
    let (audit, _outlet) = audit();
    let numbers = numbers.into_iter();
    let append = |number| queue.append(&mut refusal(&audit, number, "wrong_key"));
    numbers.map(append).map(|lost| lost.expect("writes")).sum()
}

fn cameras(entries: &[AuditEntry]) -> Vec<u128> {
    let ids = entries.iter().filter_map(|entry| entry.camera_id);
    ids.map(|id| id.uuid().as_u128()).collect()
}

fn all(queue: &mut Queue) -> Vec<u128> {
    cameras(&queue.peek(usize::MAX, usize::MAX).expect("reads"))
}

#[test]
fn what_is_not_delivered_is_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("makes one");
    let mut queue = Queue::open(directory.path(), LIMIT).expect("opens");
    fill(&mut queue, 1..=5);
    let id = queue.id();
    let first = queue.peek(2, usize::MAX).expect("reads");
    assert_eq!(cameras(&first), [1, 2]);
    queue.forget(first[1].sequence).expect("remembers");
    // As by kill -9: nothing is closed in order.
    std::mem::forget(queue);
    let mut queue = Queue::open(directory.path(), LIMIT).expect("opens");
    assert_eq!(queue.id(), id);
    assert_eq!(all(&mut queue), [3, 4, 5]);
    fill(&mut queue, 6..=6);
    let rest = queue.peek(10, usize::MAX).expect("reads");
    let numbers: Vec<_> = rest.iter().map(|entry| entry.sequence).collect();
    assert_eq!(numbers, [3, 4, 5, 6]);
}

#[test]
fn numbers_rise_also_when_everything_was_delivered() {
    let directory = tempfile::tempdir().expect("makes one");
    let mut queue = Queue::open(directory.path(), LIMIT).expect("opens");
    fill(&mut queue, 1..=3);
    queue.forget(3).expect("remembers");
    drop(queue);
    // Even if nobody remembers what was delivered.
    fs::remove_file(directory.path().join("done")).expect("removes");
    let mut queue = Queue::open(directory.path(), LIMIT).expect("opens");
    fill(&mut queue, 4..=4);
    let again = queue.peek(10, usize::MAX).expect("reads");
    assert_eq!(again.last().map(|entry| entry.sequence), Some(4));
    assert_eq!(
        again.len(),
        4,
        "delivered again, and stored once by their numbers"
    );
}

fn last_file(directory: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(directory).expect("reads");
    let paths = files.map(|file| file.expect("is a file").path());
    let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.max().expect("there is one")
}

#[test]
fn half_a_record_is_cut_off_and_its_number_is_used_again() {
    let directory = tempfile::tempdir().expect("makes one");
    let mut queue = Queue::open(directory.path(), LIMIT).expect("opens");
    fill(&mut queue, 1..=2);
    drop(queue);
    let path = last_file(directory.path());
    let file = fs::File::options().append(true).open(&path);
    let half = b"{\"sequence\":3,\"at\":\"2026";
    file.expect("opens").write_all(half).expect("writes");
    let mut queue = Queue::open(directory.path(), LIMIT).expect("opens");
    fill(&mut queue, 3..=3);
    assert_eq!(all(&mut queue), [1, 2, 3]);
}

#[test]
fn the_oldest_go_when_there_is_no_room_and_are_counted() {
    let directory = tempfile::tempdir().expect("makes one");
    let mut queue = Queue::open(directory.path(), 1 << 14).expect("opens");
    let lost = fill(&mut queue, 1..=500);
    let left = all(&mut queue);
    assert!(lost > 300, "{lost}");
    assert_eq!(left.len() as u64 + lost, 500);
    assert_eq!(left.last(), Some(&500));
    let files = fs::read_dir(directory.path()).expect("reads");
    let bytes: u64 = files
        .map(|file| file.expect("is a file").metadata().expect("has one").len())
        .sum();
    assert!(bytes < (1 << 14) + 256, "{bytes}");
    // What was delivered is not lost.
    queue.forget(500).expect("remembers");
    assert_eq!(fill(&mut queue, 501..=520), 0);
}

#[test]
fn refusals_that_are_alike_are_two_records_a_second() {
    let (audit, _outlet) = audit();
    let mut alike = Alike::default();
    let first = alike.sift(refusal(&audit, 1, "wrong_key"));
    assert_eq!(first.map(|entry| entry.count), Some(1));
    for _ in 0..1000 {
        assert_eq!(alike.sift(refusal(&audit, 1, "wrong_key")), None);
    }
    assert!(alike.sift(refusal(&audit, 2, "wrong_key")).is_some());
    assert!(alike.sift(refusal(&audit, 1, "expired")).is_some());
    let counts: Vec<_> = alike.tell().iter().map(|entry| entry.count).collect();
    assert_eq!(counts, [1000]);
    assert!(alike.tell().is_empty());
    assert!(
        alike.sift(refusal(&audit, 1, "wrong_key")).is_some(),
        "anew"
    );
}

#[test]
fn who_makes_up_cameras_fills_no_memory() {
    let (audit, _outlet) = audit();
    let mut alike = Alike::default();
    let told = (0..10_000).filter_map(|number| alike.sift(refusal(&audit, number, "wrong_key")));
    assert!(told.count() < 1100);
    let counted: u64 = alike.tell().iter().map(|entry| entry.count).sum();
    assert!(counted > 8900, "{counted}");
}

#[test]
fn what_finds_no_room_is_counted() {
    let (audit, _outlet) = audit();
    for _ in 0..WAITING + 7 {
        audit.refused(AuditAction::SessionOpen, guest(), None, "missing");
    }
    let lost = audit.take_lost().expect("some were");
    assert_eq!((lost.action, lost.count), (AuditAction::AuditLost, 7));
    assert_eq!(audit.take_lost(), None);
}

#[test]
fn a_strangers_texts_are_such_as_the_controller_takes() {
    assert_eq!(clean(" a\0b\n", 10).as_deref(), Some("ab"));
    assert_eq!(clean("\u{1b}\r", 10), None);
    assert_eq!(clean("äöü", 2).as_deref(), Some("äö"));
}

#[tokio::test]
async fn what_is_told_is_on_the_disk_when_the_edge_has_stopped() {
    let directory = tempfile::tempdir().expect("makes one");
    let config = Config::default();
    let (audit, outlet) = audit();
    let store = Store::open(directory.path(), &config).expect("opens");
    let stop = tokio_util::sync::CancellationToken::new();
    let known = Known {
        guest: guest(),
        camera: camera(1),
        subject: "skey_1",
        viewer_id: None,
        session_id: None,
    };
    audit.admitted(AuditAction::PublishStart, &known);
    for _ in 0..10 {
        audit.refused(AuditAction::PublishStart, guest(), None, "no_key");
    }
    stop.cancel();
    audit.left(AuditAction::PublishEnd, &known, Some(9), "the edge stops");
    keep(outlet, store, stop).await;
    let mut queue = Queue::open(&directory.path().join("audit"), LIMIT).expect("opens");
    let entries = queue.peek(usize::MAX, usize::MAX).expect("reads");
    let count = |action, result| {
        let alike = entries
            .iter()
            .filter(|e| e.action == action && e.result == result);
        alike.map(|entry| entry.count).sum::<u64>()
    };
    assert_eq!(count(AuditAction::PublishStart, AuditResult::Ok), 1);
    assert_eq!(count(AuditAction::PublishStart, AuditResult::Refused), 10);
    let end = entries.iter().find(|e| e.action == AuditAction::PublishEnd);
    assert_eq!(end.and_then(|entry| entry.bytes), Some(9));
}

/// What happens to a queue.
#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Deliver(u8),
    /// The process dies.
    Reopen,
    /// It dies before it remembers what was delivered.
    DeliverAndDie(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..40_u8).prop_map(Step::Append),
        (1..60_u8).prop_map(Step::Deliver),
        Just(Step::Reopen),
        (1..60_u8).prop_map(Step::DeliverAndDie),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever dies when: a controller that keeps each number once has every record once.
    #[test]
    fn every_record_arrives_once(steps in prop::collection::vec(step(), 1..24)) {
        let directory = tempfile::tempdir().expect("makes one");
        let open = || Queue::open(directory.path(), LIMIT).expect("opens");
        let mut queue = open();
        let mut stored = std::collections::BTreeMap::new();
        let mut told = 0_u128;
        for step in steps.into_iter().chain([Step::Deliver(u8::MAX), Step::Deliver(u8::MAX)]) {
            match step {
                Step::Append(count) => {
                    let numbers = told + 1..=told + u128::from(count);
                    fill(&mut queue, numbers);
                    told += u128::from(count);
                }
                Step::Reopen => queue = open(),
                Step::Deliver(most) | Step::DeliverAndDie(most) => {
                    let found = queue.peek(most.into(), usize::MAX).expect("reads");
                    for entry in &found {
                        let camera = entry.camera_id;
                        let before = stored.insert(entry.sequence, camera);
                        prop_assert!(before.is_none_or(|before| before == camera));
                    }
                    match (step, found.last()) {
                        (Step::DeliverAndDie(_), _) => queue = open(),
                        (_, Some(last)) => queue.forget(last.sequence).expect("remembers"),
                        (_, None) => {}
                    }
                }
            }
        }
        while let Some(last) = queue.peek(100, usize::MAX).expect("reads").last() {
            queue.peek(100, usize::MAX).expect("reads").iter().for_each(|entry| {
                stored.insert(entry.sequence, entry.camera_id);
            });
            queue.forget(last.sequence).expect("remembers");
        }
        let cameras: Vec<_> = stored.into_values().flatten().collect();
        let expected: Vec<_> = (1..=told).map(camera).collect();
        prop_assert_eq!(cameras, expected);
    }
}
