//! Watches in memory, and a database, replicas and edges to which anything may happen.

mod model;

use std::{sync::Arc, task::Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use headworks_types::{
    CameraGroupId, CameraId, ProjectId,
    edge::{DirectoryUpdate, Route, ViewPolicy, WatchMessage},
};
use uuid::Uuid;

use super::{cursor::Cursor, *};

const HORIZON: Horizon = Horizon {
    line: 5,
    xact: 1_000_000,
    floor: 0,
};

fn route(camera: u128) -> Route {
    Route {
        camera_id: CameraId::from(Uuid::from_u128(camera)),
        project_id: ProjectId::from(Uuid::from_u128(camera % 7)),
        camera_name: format!("Camera {camera} at the north gate"),
        origin: Some(Uuid::from_u128(camera % 2000).into()),
        epoch: 1,
        view: ViewPolicy {
            groups: (0..3)
                .map(|level| CameraGroupId::from(Uuid::from_u128(level * 1000 + camera % 500)))
                .collect(),
            ..ViewPolicy::default()
        },
    }
}

fn routes(count: u128) -> Changes {
    Changes {
        routes: (0..count).map(route).collect(),
        ..Changes::default()
    }
}

/// The camera was moved by this transaction.
fn moved(camera: u128, xact: u64) -> Changes {
    let route = Route {
        epoch: 2,
        ..route(camera)
    };
    Changes {
        cameras: [(route.camera_id, xact)].into(),
        routes: vec![route],
        ..Changes::default()
    }
}

fn read(feed: &DirectoryFeed, horizon: Horizon, whole: bool, changes: Changes) -> bool {
    let reading = feed.begin();
    feed.take(&reading, horizon, whole, changes)
}

fn update(line: &Bytes) -> DirectoryUpdate {
    match serde_json::from_slice(line).expect("is a message") {
        WatchMessage::Directory(update) => update,
        other => panic!("not of the directory: {other:?}"),
    }
}

/// All lines of what the reader is told next, as one.
async fn told(reader: &mut Reader) -> (Vec<Bytes>, DirectoryUpdate) {
    let mut lines = vec![reader.line().await];
    let mut all = update(&lines[0]);
    while all.more {
        let line = reader.line().await;
        all.append(update(&line));
        lines.push(line);
    }
    (lines, all)
}

fn is_silent(reader: &mut Reader) -> bool {
    reader.line().now_or_never().is_none()
}

#[tokio::test]
async fn everything_comes_in_pieces_of_which_only_the_last_does_not_say_that_there_is_more() {
    let feed = DirectoryFeed::default();
    let (mut one, mut two) = (feed.reader(0), feed.reader(0));
    assert!(is_silent(&mut one), "nothing was read yet");
    read(&feed, HORIZON, true, routes(2500));
    let (lines, all) = told(&mut one).await;
    assert_eq!(lines.len(), 3);
    assert!(all.complete && all.routes.len() == 2500);
    assert_eq!(all.cursor, Cursor::from(HORIZON).number());
    let mut got = all.routes;
    got.sort_by_key(|route| route.camera_id);
    assert_eq!(got, routes(2500).routes);
    let (same, _) = told(&mut two).await;
    for (one, two) in lines.iter().zip(&same) {
        assert_eq!(one.as_ptr(), two.as_ptr(), "it is written once");
    }
    assert!(is_silent(&mut one) && is_silent(&mut two));
}

#[tokio::test]
async fn those_who_are_equally_far_are_sent_the_same_bytes() {
    let feed = DirectoryFeed::default();
    read(&feed, HORIZON, true, routes(10));
    let mut readers = [feed.reader(0), feed.reader(0)];
    for reader in &mut readers {
        told(reader).await;
    }
    let later = Horizon {
        xact: HORIZON.xact + 5,
        ..HORIZON
    };
    assert!(read(&feed, later, false, moved(3, HORIZON.xact + 4)));
    let mut lines = Vec::new();
    for reader in &mut readers {
        let (line, all) = told(reader).await;
        assert_eq!((all.complete, all.routes.len()), (false, 1));
        assert_eq!(all.cursor, Cursor::from(later).number());
        lines.extend(line);
    }
    assert_eq!(lines[0].as_ptr(), lines[1].as_ptr());
    assert!(
        !read(&feed, later, false, moved(3, HORIZON.xact + 4)),
        "it is known"
    );
    assert!(is_silent(&mut readers[0]));
}

#[tokio::test]
async fn who_was_told_more_than_we_know_waits_until_we_have_looked() {
    let feed = DirectoryFeed::default();
    read(&feed, HORIZON, true, routes(10));
    let ahead = Cursor {
        xact: HORIZON.xact + 3000,
        ..HORIZON.into()
    };
    let other_line = Cursor {
        line: 6,
        ..HORIZON.into()
    };
    let reading = feed.begin();
    let mut readers = [ahead, other_line, ahead].map(|at| feed.reader(at.number()));
    feed.take(&reading, HORIZON, false, Changes::default());
    for reader in &mut readers {
        assert!(is_silent(reader), "that read had begun before");
    }
    assert_eq!(
        feed.called().now_or_never(),
        Some(()),
        "a read is asked for"
    );

    let horizon = Horizon {
        xact: HORIZON.xact + 4000,
        ..HORIZON
    };
    read(&feed, horizon, false, moved(1, HORIZON.xact + 3500));
    let (_, all) = told(&mut readers[0]).await;
    assert_eq!(
        (all.complete, all.routes.len()),
        (false, 1),
        "it was another replica"
    );
    let (_, all) = told(&mut readers[1]).await;
    assert!(all.complete, "it was another history");

    let feed = DirectoryFeed::default();
    let mut reader = feed.reader(ahead.number());
    read(&feed, HORIZON, true, routes(10));
    let (_, all) = told(&mut reader).await;
    assert!(all.complete, "the database was set back");
}

#[tokio::test]
async fn who_was_told_before_what_is_forgotten_is_told_everything() {
    let feed = DirectoryFeed::default();
    let horizon = Horizon {
        floor: HORIZON.xact - 10,
        ..HORIZON
    };
    read(&feed, horizon, true, routes(10));
    for (xact, complete) in [(horizon.floor, true), (horizon.floor + 1, false)] {
        let cursor = Cursor {
            xact,
            ..horizon.into()
        };
        let (_, all) = told(&mut feed.reader(cursor.number())).await;
        assert_eq!(all.complete, complete, "{xact}");
    }
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let feed = DirectoryFeed::default();
    read(&feed, HORIZON, true, routes(3000));
    let mut reader = feed.reader(0);
    let (mut routes, mut more) = (0, true);
    while more {
        // As in a `select!`, where something else is ready first.
        let mut line = std::pin::pin!(reader.line());
        let line = match futures::poll!(&mut line) {
            Poll::Ready(line) => line,
            Poll::Pending => {
                tokio::task::yield_now().await;
                continue;
            }
        };
        let part = update(&line);
        (routes, more) = (routes + part.routes.len(), part.more);
    }
    assert_eq!(routes, 3000);
}

/// `cargo test -p headworks-controller --release large_directory -- --ignored --nocapture`
#[tokio::test]
#[ignore = "measures; run it by itself"]
async fn a_large_directory_in_numbers() {
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").expect("is Linux");
        let pages: u64 = text
            .split(' ')
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("is a number");
        pages * 4096
    };
    let feed = DirectoryFeed::default();
    let clock = headworks_bootstrap::Clock::system();
    let before = resident();
    read(&feed, HORIZON, true, routes(100_000));
    println!("in memory: {} MB", (resident() - before) >> 20);
    let start = clock.monotonic();
    let mut reader = feed.reader(0);
    let (lines, _) = told(&mut reader).await;
    let bytes: usize = lines.iter().map(Bytes::len).sum();
    println!(
        "everything: {} lines, {} MB, written in {:?}",
        lines.len(),
        bytes >> 20,
        clock.monotonic() - start
    );
    let later = Horizon {
        xact: HORIZON.xact + 5,
        ..HORIZON
    };
    read(&feed, later, false, moved(3, HORIZON.xact + 4));
    let start = clock.monotonic();
    let (lines, _) = told(&mut reader).await;
    let taken = clock.monotonic() - start;
    println!("one change: {} bytes, found in {taken:?}", lines[0].len());
    assert!(Arc::strong_count(&feed.0) > 1);
}
