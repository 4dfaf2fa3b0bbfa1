//! Records on the disk: in order, each once, whatever breaks.

mod deliver;

use std::{fs, io::Write as _, path::Path};

use proptest::prelude::*;

use super::{alike, alike::Alike, queue::Queue, *};

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

/// Writes so many records, named by their numbers; says how many went for them.
fn fill(queue: &mut Queue, numbers: impl IntoIterator<Item = u128>) -> u64 {
    let (audit, _outlet) = audit();
    for number in numbers {
        let mut entry = refusal(&audit, number, "wrong_key");
        queue.append(&mut entry).expect("writes");
    }
    queue.take_lost()
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

#[test]
fn no_number_comes_again_when_files_are_lost() {
    let directory = tempfile::tempdir().expect("makes one");
    let mut queue = Queue::open(directory.path(), LIMIT).expect("opens");
    fill(&mut queue, 1..=3);
    queue.forget(3).expect("remembers");
    let id = queue.id();
    drop(queue);
    // Of an earlier file it is known that there is a later one.
    let (last, earlier) = (
        last_file(directory.path()),
        directory.path().join(format!("{:020}.log", 0)),
    );
    fs::rename(&last, &earlier).expect("renames");
    fs::write(&earlier, "").expect("writes");
    let mut queue = Queue::open(directory.path(), LIMIT).expect("opens");
    assert_eq!(queue.id(), id);
    fill(&mut queue, 4..=4);
    let again = queue.peek(10, usize::MAX).expect("reads");
    assert_eq!(again.iter().map(|e| e.sequence).collect::<Vec<_>>(), [4]);
    drop(queue);
    // Of all that was lost nothing is known: other numbers than those of before are needed.
    fs::remove_file(earlier).expect("removes");
    let queue = Queue::open(directory.path(), LIMIT).expect("opens");
    assert_ne!(queue.id(), id);
}

#[test]
fn files_that_somebody_deletes_are_passed_over_and_counted() {
    let directory = tempfile::tempdir().expect("makes one");
    let mut queue = Queue::open(directory.path(), 1 << 14).expect("opens");
    assert_eq!(fill(&mut queue, 1..=40), 0);
    let mut files = logs(directory.path());
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    fs::remove_file(&files[1]).expect("removes");
    let left = all(&mut queue);
    assert_eq!((left.first(), left.last()), (Some(&1), Some(&40)));
    assert_eq!(left.len() as u64 + queue.take_lost(), 40);
    let last = last_file(directory.path());
    fs::remove_file(last).expect("removes");
    assert!(all(&mut queue).len() < left.len());
    fill(&mut queue, 41..=41);
    assert_eq!(all(&mut queue).last(), Some(&41), "goes on in another file");
    // The same of one that has nothing yet.
    queue.forget(41).expect("remembers");
    fs::remove_dir_all(directory.path()).expect("removes");
    fs::create_dir(directory.path()).expect("makes");
    assert_eq!(all(&mut queue), [0; 0]);
    fill(&mut queue, 42..=42);
    assert_eq!(all(&mut queue), [42]);
}

#[test]
fn what_is_thrown_away_is_counted_as_it_counts() {
    let directory = tempfile::tempdir().expect("makes one");
    let mut queue = Queue::open(directory.path(), 1 << 14).expect("opens");
    let (audit, _outlet) = audit();
    for number in 0..500 {
        let mut many = AuditEntry {
            count: 10,
            ..refusal(&audit, number, "wrong_key")
        };
        queue.append(&mut many).expect("writes");
    }
    let left = all(&mut queue).len() as u64;
    assert_eq!(queue.take_lost() + 10 * left, 5000);
}

fn logs(directory: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(directory).expect("reads");
    let paths = files.map(|file| file.expect("is a file").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect()
}

fn last_file(directory: &Path) -> std::path::PathBuf {
    logs(directory).into_iter().max().expect("there is one")
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
    for _ in 0..3 {
        let told =
            (0..10_000).filter_map(|number| alike.sift(refusal(&audit, number, "wrong_key")));
        let told = told.count();
        let more = alike.tell();
        assert!(told + more.len() <= 2 * alike::MOST, "{told}, {more:?}");
        let counted: u64 = more.iter().map(|entry| entry.count).sum();
        assert_eq!(counted + told as u64, 10_000);
    }
}

#[test]
fn all_addresses_of_one_network_are_one_stranger() {
    let (audit, _outlet) = audit();
    let mut alike = Alike::default();
    let from = |address: &str| AuditEntry {
        address: Some(address.parse().expect("an address")),
        ..refusal(&audit, 1, "wrong_key")
    };
    assert!(alike.sift(from("2001:db8::1")).is_some());
    assert_eq!(alike.sift(from("2001:db8::2:1")), None);
    assert!(alike.sift(from("2001:db8:0:1::1")).is_some());
}

#[tokio::test]
async fn refusals_displace_nobody_who_was_let_in() {
    let directory = tempfile::tempdir().expect("makes one");
    let config = Config {
        queue_bytes: 1 << 16,
    };
    let store = Store::open(directory.path(), &config).expect("opens");
    let (audit, outlet) = audit();
    let known = Known {
        guest: guest(),
        camera: camera(1),
        subject: "usr_1",
        viewer_id: None,
        session_id: None,
    };
    audit.admitted(AuditAction::SessionOpen, &known);
    // More than there is room for, on the disk and in memory.
    let shelf = store.shelf(Kind::Refused);
    for number in 0..10 {
        let flood = (0..100).map(|low| refusal(&audit, 100 * number + low, "wrong_key"));
        let lost = shelf.append(flood.collect()).await.expect("writes");
        audit.lose(Kind::Refused, lost);
    }
    for _ in 0..WAITING {
        audit.refused(AuditAction::SessionOpen, guest(), None, None, "missing");
    }
    audit.left(AuditAction::SessionEnd, &known, None, "gone");
    let stop = tokio_util::sync::CancellationToken::new();
    stop.cancel();
    keep(outlet, store.clone(), stop).await;
    let kept = store.shelf(Kind::Admitted).peek(usize::MAX, usize::MAX);
    let kept = kept.await.expect("reads").entries;
    let actions: Vec<_> = kept.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [AuditAction::SessionOpen, AuditAction::SessionEnd]);
    let refused = shelf.peek(usize::MAX, usize::MAX).await.expect("reads");
    let refused = refused.entries;
    assert!(refused.iter().any(|e| e.action == AuditAction::AuditLost));
    let counted: u64 = refused.iter().map(|entry| entry.count).sum();
    assert_eq!(counted, 1000 + WAITING as u64);
}

#[test]
fn what_finds_no_room_is_counted() {
    let (audit, _outlet) = audit();
    for _ in 0..WAITING / 2 + 7 {
        audit.refused(AuditAction::SessionOpen, guest(), None, None, "missing");
    }
    let lost = audit.take_lost(Kind::Refused).expect("some were");
    assert_eq!((lost.action, lost.count), (AuditAction::AuditLost, 7));
    assert_eq!(audit.take_lost(Kind::Refused), None);
    assert_eq!(audit.take_lost(Kind::Admitted), None);
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
        audit.refused(AuditAction::PublishStart, guest(), None, None, "no_key");
    }
    stop.cancel();
    audit.left(AuditAction::PublishEnd, &known, Some(9), "the edge stops");
    keep(outlet, store, stop).await;
    let entries = ["audit", "audit/refused"].map(|name| {
        let mut queue = Queue::open(&directory.path().join(name), LIMIT).expect("opens");
        queue.peek(usize::MAX, usize::MAX).expect("reads")
    });
    let entries = entries.concat();
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
