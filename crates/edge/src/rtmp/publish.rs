//! Publishers: a stream key opens, then what comes goes into the camera's feed.

use std::ops::ControlFlow;

use headworks_media::flv::{Demuxer, TagKind};
use headworks_rtmp::{Closed, Event, Media, MediaKind, Refusal, Target, code};
use tokio::time::sleep_until;

use super::{
    Rtmp,
    connection::{Connection, Heard},
};
use crate::ingest::{Candidate, Denied, Feed, Protocol, Publication};

/// Takes a publisher, if its key is good, until it stops. Gives why the connection is over, if it
/// is.
pub(super) async fn run(
    rtmp: &Rtmp,
    connection: &mut Connection,
    target: &Target,
) -> Option<Closed> {
    let key = target.query.parameter("key").unwrap_or_default();
    let candidate = Candidate {
        key: &key,
        protocol: Protocol::Rtmp,
        address: connection.address(),
    };
    let admitted = match super::camera(target) {
        Some(camera) => rtmp.ingests.publish(camera, &candidate).await,
        None => Err(Denied::UnknownCamera),
    };
    match admitted {
        Ok(publication) => {
            connection.accept_publish();
            receive(connection, publication).await
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
    /// We do not go on, and this is why.
    Ours(String),
}

async fn receive(connection: &mut Connection, mut publication: Publication) -> Option<Closed> {
    let mut demuxer = Demuxer::default();
    let end = loop {
        match connection.poll().await {
            Heard::Event(event) => {
                if let ControlFlow::Break(end) = take(event, &mut demuxer, publication.feed()) {
                    break end;
                }
            }
            Heard::Nothing(deadline) => {
                publication.feed().flush();
                let no_picture = publication.feed().deadline();
                tokio::select! {
                    () = connection.wait(deadline) => {}
                    ended = publication.ended() => break End::Ours(ended.to_string()),
                    () = sleep_until(no_picture) => {}
                }
                if let Err(failure) = publication.feed().check() {
                    break End::Ours(failure.to_string());
                }
            }
        }
    };
    demuxer.finish();
    let _ = drain(&mut demuxer, publication.feed());
    match end {
        End::Stopped => {
            publication.leave("it stopped");
            None
        }
        End::Closed(closed) => {
            publication.leave(&words(&closed));
            Some(closed)
        }
        End::Ours(reason) => {
            connection.refuse(&Refusal::new(code::PUBLISH_DENIED, reason.clone()));
            publication.leave(&reason);
            None
        }
    }
}

fn take(event: Event, demuxer: &mut Demuxer, feed: &mut Feed) -> ControlFlow<End> {
    match event {
        Event::Media(media) => take_media(&media, demuxer, feed).map_break(End::Ours),
        Event::Stopped => ControlFlow::Break(End::Stopped),
        Event::Closed(closed) => ControlFlow::Break(End::Closed(closed)),
        Event::Connect(_) | Event::Publish(_) | Event::Play(_) => ControlFlow::Continue(()),
    }
}

/// A bad tag ends the publisher, who is told which: what follows could not be trusted either.
fn take_media(media: &Media, demuxer: &mut Demuxer, feed: &mut Feed) -> ControlFlow<String> {
    let kind = match media.kind {
        MediaKind::Audio => TagKind::Audio,
        MediaKind::Video => TagKind::Video,
        MediaKind::Data => TagKind::Script,
    };
    if let Err(error) = demuxer.push(kind, media.timestamp, &media.payload) {
        return ControlFlow::Break(error.to_string());
    }
    drain(demuxer, feed);
    ControlFlow::Continue(())
}

fn drain(demuxer: &mut Demuxer, feed: &mut Feed) {
    while let Some(found) = demuxer.poll() {
        feed.take(found);
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
