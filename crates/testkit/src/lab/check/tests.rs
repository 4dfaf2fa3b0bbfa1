//! Violations that are made up, and are caught.

use super::*;

fn history(entries: impl IntoIterator<Item = (f64, &'static str, What)>) -> Vec<Entry> {
    let entry = |(at, actor, what): (f64, &str, What)| Entry {
        at,
        actor: actor.to_owned(),
        what,
    };
    entries.into_iter().map(entry).collect()
}

fn picture(number: u64) -> What {
    What::Picture { number }
}

#[test]
fn pictures_that_are_missing_are_counted() {
    let history = history([
        (1.0, "v", picture(15)),
        (1.1, "other", picture(16)),
        (1.1, "v", picture(17)),
        (1.2, "v", picture(17)),
        (3.0, "v", What::Ended { why: String::new() }),
        (4.0, "v", picture(60)),
        (4.1, "v", What::Broken),
        (9.0, "v", picture(900)),
    ]);
    let seen = viewing(&history, "v", 1.0, 5.0);
    assert_eq!((seen.pictures, seen.lost, seen.repeated), (3, 43, 1));
    // From the one before, and to the end.
    assert_eq!(viewing(&history, "v", 3.5, 4.5).lost, 42);
    assert_eq!(viewing(&history, "v", 3.5, 8.0).lost, 42 + 30);
    assert_eq!((seen.interruptions, seen.broken), (1, 1));
    assert!((seen.longest_gap - 2.8).abs() < 1e-9, "{seen:?}");
    let whole = viewing(&history, "other", 1.0, 1.2);
    assert_eq!((whole.pictures, whole.lost), (1, 0));
    assert_eq!(viewing(&history, "nobody", 1.0, 5.0).longest_gap, 4.0);
}

#[test]
fn only_a_picture_from_after_the_fault_counts_as_back() {
    let history = history([
        (10.1, "v", picture(149)),
        (10.2, "w", picture(160)),
        (12.0, "v", picture(151)),
    ]);
    let back = back(&history, &["v"], 10.0).expect("is back");
    assert!((back - 2.0).abs() < 1e-9);
    assert_eq!(super::back(&history, &["v"], 13.0), None);
}

fn asked(value: u64) -> What {
    What::Asked {
        object: "x".to_owned(),
        value: Some(value),
    }
}

fn acknowledged(value: u64) -> What {
    What::Acknowledged {
        object: "x".to_owned(),
        value: Some(value),
    }
}

fn found(value: Option<u64>) -> What {
    What::Found {
        object: "x".to_owned(),
        value,
    }
}

fn lost(whats: impl IntoIterator<Item = What>) -> usize {
    let entries = whats.into_iter().map(|what| (0.0, "writer", what));
    changes(&history(entries)).lost.len()
}

#[test]
fn a_change_that_was_acknowledged_and_is_not_there_is_lost() {
    assert_eq!(lost([asked(1), acknowledged(1), found(Some(1))]), 0);
    assert_eq!(lost([asked(1), acknowledged(1), found(None)]), 1);
    let two = [asked(1), acknowledged(1), asked(2), acknowledged(2)];
    assert_eq!(lost(two.clone().into_iter().chain([found(Some(2))])), 0);
    assert_eq!(lost(two.clone().into_iter().chain([found(Some(1))])), 1);
    assert_eq!(lost(two), 1, "nobody looked");
}

#[test]
fn a_change_without_an_answer_may_be_there_or_not() {
    let open = [asked(1), acknowledged(1), asked(2)];
    for value in [1, 2] {
        let entries = open.clone().into_iter().chain([found(Some(value))]);
        assert_eq!(lost(entries), 0, "{value}");
    }
    let refused = What::Refused {
        object: "x".to_owned(),
        value: Some(2),
    };
    let entries = open.into_iter().chain([refused, found(Some(2))]);
    assert_eq!(lost(entries), 1, "it was refused");
    assert_eq!(lost([asked(1), found(None)]), 0, "it was never there");
}

fn opened(connection: u64, from: &str) -> What {
    What::PushOpened {
        connection,
        from: from.to_owned(),
    }
}

fn pushed(connection: u64, bytes: u64) -> What {
    What::Pushed { connection, bytes }
}

#[test]
fn two_that_push_at_once_are_caught() {
    let one_after_another = [
        (1.0, "t", opened(1, "a")),
        (1.0, "t", opened(2, "b")),
        (1.1, "t", pushed(1, 100_000)),
        (2.0, "t", pushed(1, 200_000)),
        (2.1, "t", pushed(2, 4_000)),
        (2.2, "t", pushed(2, 40_000)),
    ];
    let good = history(one_after_another.clone());
    assert_eq!(double_pushes(&good), Vec::<String>::new());
    assert_eq!(pushes(&good), 2);
    let late = [
        (2.5, "t", pushed(1, 200_001)),
        (2.6, "t", pushed(2, 50_000)),
    ];
    let bad = history(one_after_another.into_iter().chain(late));
    assert_eq!(double_pushes(&bad).len(), 1);
}

#[test]
fn one_that_knocks_does_not_push() {
    let history = history([
        (1.0, "t", opened(1, "a")),
        (1.1, "t", pushed(1, 100_000)),
        (2.0, "t", opened(2, "b")),
        (2.1, "t", pushed(2, 5_000)),
        (3.0, "t", pushed(1, 300_000)),
    ]);
    assert_eq!(double_pushes(&history), Vec::<String>::new());
}
