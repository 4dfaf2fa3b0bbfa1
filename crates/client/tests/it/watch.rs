//! The watch: lines, silence, and what newer servers may send.

use std::time::Duration;

use axum::{body::Body, response::Response};
use futures::{Stream, StreamExt as _, stream};
use headworks_client::Error;
use headworks_types::edge::WatchMessage;

use crate::server::Server;

fn parts(parts: &'static [&'static str]) -> impl Stream<Item = Result<&'static str, String>> {
    stream::iter(parts.iter().map(|part| Ok(*part)))
}

async fn all(server: &Server) -> Vec<Result<WatchMessage, Error>> {
    let messages = server.client().watch(7, Some(5)).await.expect("answers");
    messages.collect().await
}

#[tokio::test]
async fn lines_come_in_any_pieces_and_unknown_ones_are_skipped() {
    let server = Server::start(|_| {
        Response::new(Body::from_stream(parts(&[
            "{\"type\":\"book",
            "mark\",\"revision\":1}\n\n{\"type\":\"weather\",\"sun\":true}\n{\"type\":",
            "\"snapshot\",\"revision\":2,\"slots\":[]}\n{\"type\":\"bookmark\",\"rev",
        ])))
    })
    .await;
    let messages: Vec<_> = all(&server)
        .await
        .into_iter()
        .map(|m| m.expect("good"))
        .collect();
    assert_eq!(
        messages,
        [
            WatchMessage::Bookmark {
                revision: 1,
                bundle_age: 0
            },
            WatchMessage::Snapshot {
                revision: 2,
                slots: vec![]
            },
        ],
        "the line that is cut off is none"
    );
    assert_eq!(server.asked()[0].query, "revision=7&directory=5");
}

#[tokio::test]
async fn a_bad_line_ends_the_watch() {
    let server = Server::start(|_| {
        Response::new(Body::from_stream(parts(&[
            "{\"type\":\"snapshot\"}\nnonsense\n",
        ])))
    })
    .await;
    let messages = all(&server).await;
    assert_eq!(messages.len(), 1);
    assert!(
        matches!(messages[0], Err(Error::Unexpected { .. })),
        "{messages:?}"
    );
}

#[tokio::test]
async fn silence_is_death() {
    let server = Server::start(|_| {
        let first = parts(&["{\"type\":\"bookmark\",\"revision\":1}\n"]);
        Response::new(Body::from_stream(first.chain(stream::pending())))
    })
    .await;
    let messages = server
        .client()
        .watch_with_idle_deadline(0, None, Duration::from_millis(100))
        .await
        .expect("answers");
    let messages: Vec<_> = messages.collect().await;
    assert!(matches!(
        messages[0],
        Ok(WatchMessage::Bookmark {
            revision: 1,
            bundle_age: 0
        })
    ));
    assert!(
        matches!(messages[1], Err(Error::Timeout { .. })),
        "{messages:?}"
    );
    assert_eq!(messages.len(), 2);
}
