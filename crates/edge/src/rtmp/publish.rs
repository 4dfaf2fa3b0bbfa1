//! Publishers: a stream key opens, then what comes goes into the camera's feed.

use std::ops::ControlFlow;

use headworks_rtmp::{Closed, Event, Refusal, Target, code};
use tokio::time::sleep_until;

use super::{
    Rtmp,
    connection::{Connection, Heard},
};
use crate::ingest::{Candidate, Feed, Publication, Tags};

/// Takes a publisher, if its key is good, until it stops. Gives why the connection is over, if it
/// is.
pub(super) async fn run(
    rtmp: &Rtmp,
    connection: &mut Connection,
    target: &Target,
) -> Option<Closed> {
    let key = target.query.parameter("key").unwrap_or_default();
    let protocol = connection.protocol();
    let base = super::base(protocol);
    let candidate = Candidate {
        key: &key,
        protocol,
        address: connection.address(),
    };
    if let Some(camera) = super::camera(target).filter(|_| !super::is_marked(target))
        && let Some(origin) =
            rtmp.ingests
                .elsewhere(camera, &candidate, &rtmp.viewing.elsewhere, base)
    {
        connection.refuse(&super::go_to(&origin, protocol, target, None));
        return None;
    }
    let admitted = rtmp
        .ingests
        .publish(super::camera(target), &candidate)
        .await;
    match admitted {
        Ok(publication) => {
            connection.accept_publish();
            receive(rtmp, connection, publication).await
        }
        Err(denied) => {
            connection.refuse(&Refusal::new(code::PUBLISH_BAD_NAME, denied.to_string()));
            None
        }
    }
}

/// How a publisher has ended.
enum End {
    /// It stopped, and may begin again.
    Stopped,
    /// Its connection is over.
    Closed(Closed),
    /// It has to go.
    Told(Refusal),
    /// What it sends cannot be taken.
    Unusable(String),
}

async fn receive(
    rtmp: &Rtmp,
    connection: &mut Connection,
    mut publication: Publication,
) -> Option<Closed> {
    let mut tags = Tags::default();
    let stop = rtmp.tasks.token();
    let end = loop {
        match connection.poll().await {
            Heard::Event(event) => {
                if let ControlFlow::Break(end) = take(event, &mut tags, publication.feed()) {
                    break end;
                }
            }
            Heard::Nothing(deadline) => {
                publication.feed().flush();
                let no_picture = publication.feed().deadline();
                let mut came = 0;
                tokio::select! {
                    bytes = connection.wait(deadline) => came = bytes,
                    ended = publication.ended() => break denied(ended.to_string()),
                    () = sleep_until(no_picture) => {}
                    () = stop.cancelled() => break End::Told(super::stopping()),
                }
                if let Err(ended) = publication.count(came) {
                    break denied(ended.to_string());
                }
                if let Err(failure) = publication.feed().check() {
                    break denied(failure.to_string());
                }
            }
        }
    };
    tags.finish(publication.feed());
    leave(connection, publication, end)
}

fn denied(reason: String) -> End {
    End::Told(Refusal::new(code::PUBLISH_DENIED, reason))
}

/// Tells the publisher why, if it was not its own wish, and whoever looks at the camera.
fn leave(connection: &mut Connection, publication: Publication, end: End) -> Option<Closed> {
    match end {
        End::Stopped => publication.leave("it stopped"),
        End::Closed(closed) => {
            publication.leave(&words(&closed));
            return Some(closed);
        }
        End::Told(refusal) => {
            connection.refuse(&refusal);
            publication.leave(&refusal.description);
        }
        End::Unusable(reason) => {
            connection.refuse(&Refusal::new(code::PUBLISH_DENIED, reason.clone()));
            publication.refuse(&reason);
        }
    }
    None
}

/// A bad tag ends the publisher, who is told which: what follows could not be trusted either.
fn take(event: Event, tags: &mut Tags, feed: &mut Feed) -> ControlFlow<End> {
    match event {
        Event::Media(media) => match tags.take_rtmp(&media, feed) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(End::Unusable(error.to_string())),
        },
        Event::Stopped => ControlFlow::Break(End::Stopped),
        Event::Closed(closed) => ControlFlow::Break(End::Closed(closed)),
        Event::Connect(_) | Event::Publish(_) | Event::Play(_) => ControlFlow::Continue(()),
    }
}

fn words(closed: &Closed) -> String {
    match closed {
        Closed::Local => "it was turned away".to_owned(),
        Closed::Peer(None) => "it closed the connection".to_owned(),
        Closed::Peer(Some(reason)) => reason.clone(),
        Closed::Failed(error) => error.to_string(),
    }
}
