//! Players: a token opens, then the hub has the socket.

use std::sync::Arc;

use bytes::Bytes;
use headworks_rtmp::{Refusal, Target, code};
use headworks_types::{Action, PublishProtocol, ViewProtocol};

use super::{Rtmp, connection::Connection};
use crate::{
    access::Denied,
    elsewhere::{Advice, Asked},
    hub::{Format, NewViewer, NoPicture, Selection, Stream, ViewerGuard},
    session::{Client, Session},
    socket,
};

/// A player that may play.
pub(super) struct Admitted {
    session: Session,
    stream: Arc<Stream>,
    guard: ViewerGuard,
}

/// Checks the token and waits for a picture.
pub(super) async fn admit(
    rtmp: &Rtmp,
    connection: &Connection,
    target: &Target,
) -> Result<Admitted, Refusal> {
    let not_found = || Refusal::new(code::PLAY_NOT_FOUND, "there is no such camera here");
    let camera = super::camera(target).ok_or_else(not_found)?;
    let token = target.query.parameter("token");
    let client = client(connection);
    let failed = |words: String| Refusal::new(code::PLAY_FAILED, words);
    let denied = |denied: Denied| failed(denied.to_string());
    let asked = Asked {
        token: token.as_deref(),
        camera,
        client: &client,
        base: super::base(connection.protocol()),
        is_marked: super::is_marked(target),
    };
    match rtmp.viewing.direct(&asked) {
        Ok(Advice::Stay) => {}
        Ok(Advice::Go(base)) => {
            return Err(super::go_to(&base, connection.protocol(), target, None));
        }
        Ok(Advice::Full(words)) => return Err(failed(words.to_owned())),
        Err(why) => return Err(denied(why)),
    }
    let action = Action::CameraViewLive;
    let session = rtmp
        .viewing
        .access
        .open(token.as_deref(), camera, action, &client);
    let session = session.map_err(denied)?;
    let stream = rtmp.viewing.streams.find(camera).ok_or_else(not_found)?;
    let sound = Selection::of(&session).sound(Format::Rtmp.sound());
    let guard = stream.add_viewer_for(sound);
    let limit = rtmp.viewing.streams.hub().config().picture_wait;
    match rtmp.until_stop(stream.wait_for_picture(limit)).await {
        Some(Ok(())) => {
            if sound.is_some() {
                stream.wait_for_aac().await;
            }
            Ok(Admitted {
                session,
                stream,
                guard,
            })
        }
        Some(Err(NoPicture::Ended)) => Err(not_found()),
        Some(Err(NoPicture::Because(words))) => Err(failed(words)),
        None => Err(super::stopping()),
    }
}

fn client(connection: &Connection) -> Client {
    let protocol = match connection.protocol() {
        PublishProtocol::Rtmps => ViewProtocol::Rtmps,
        PublishProtocol::Rtmpt => ViewProtocol::Rtmpt,
        PublishProtocol::Rtmpts => ViewProtocol::Rtmpts,
        _ => ViewProtocol::Rtmp,
    };
    Client {
        protocol,
        address: connection.address().ip(),
        origin: None,
    }
}

/// Answers the player and gives its socket to the hub.
pub(super) async fn run(rtmp: &Rtmp, connection: Connection, admitted: Admitted) {
    let Some((socket, place)) = connection.accept_play().await else {
        return;
    };
    let viewer = NewViewer {
        sink: socket::into_sink(socket),
        format: Format::Rtmp,
        selection: Selection::of(&admitted.session),
        head: Bytes::new(),
        stream: admitted.stream,
        start: None,
        control: None,
        guard: admitted.guard,
        watch_until: admitted.session.watch_until(),
        connection: Some(place),
        session: Some(admitted.session),
    };
    rtmp.viewing.streams.hub().add_viewer(viewer).await;
}
