//! Who watches, by every protocol at once; and whoever may not any more is thrown out.

use std::{io::Read, time::Duration};

use headworks_client::Client;
use headworks_testkit::{Deadline, Player, http, wait_until};
use headworks_types::{
    Action, CameraId, Grant, GrantCreate, GrantObject, PlaybackTokenCreate, PlaybackUrls,
    Principal, Session, User, UserUpdate, ViewProtocol,
};

use crate::scene::{Api, SOON, Scene, camera};

/// How soon a session ends, from the call that ends it.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(2);

pub(crate) fn sessions(api: &Api) -> Vec<Session> {
    api.call(api.client.session_list().all())
}

/// The user `alice`, who may watch the camera.
pub(crate) fn alice(api: &Api, camera: CameraId) -> (User, Grant) {
    let (user, [grant]) = alice_who_may(api, camera, [Action::CameraViewLive]);
    (user, grant)
}

/// The user `alice`, with a grant for each of these actions on the camera.
pub(crate) fn alice_who_may<const COUNT: usize>(
    api: &Api,
    camera: CameraId,
    actions: [Action; COUNT],
) -> (User, [Grant; COUNT]) {
    let user = serde_json::from_value(serde_json::json!({"name": "alice"}));
    let user = api.call(api.client.user_create(&user.expect("parses")));
    let principal = Principal::User { id: user.id };
    let grants = actions.map(|action| {
        let object = GrantObject::Camera { id: camera };
        let grant = GrantCreate::allow(principal, object, vec![action]);
        api.call(api.client.grant_create(&grant))
    });
    (user, grants)
}

/// The addresses of the camera with a token for the user.
pub(crate) fn urls_for(api: &Api, user: &User, camera: CameraId) -> PlaybackUrls {
    let token = api.call(api.client.playback_token_issue(&PlaybackTokenCreate {
        user_id: Some(user.id),
        ..PlaybackTokenCreate::for_cameras(vec![camera])
    }));
    let urls = token.cameras.into_iter().find_map(|camera| camera.urls);
    urls.expect("the camera is on a node")
}

/// Reads an endless answer until it ends, and says how long that took.
pub(crate) fn watch_to_the_end(url: &str, ended: impl FnOnce()) -> Duration {
    let answer = http::send("GET", url, &[], b"").expect("answers");
    assert_eq!(answer.status, 200, "{url}");
    let mut stream = answer.into_stream();
    let mut buffer = [0; 16 << 10];
    assert!(stream.read(&mut buffer).expect("media") > 0);
    ended();
    read_to_the_end(stream)
}

/// Reads an answer until it ends, and says how long that took.
pub(crate) fn read_to_the_end(mut stream: impl Read) -> Duration {
    let mut buffer = [0; 16 << 10];
    let deadline = Deadline::after(SOON);
    while !deadline.has_passed() && stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    SOON - deadline.left()
}

fn wait_for_sessions(api: &Api, count: usize) -> Vec<Session> {
    let found = wait_until("the sessions are listed", SOON, || {
        let now = sessions(api);
        (now.len() == count).then_some(now)
    });
    found.unwrap_or_else(|error| panic!("{error}: {:#?}", sessions(api)))
}

#[test]
fn every_protocol_is_listed_with_its_numbers_and_ended_by_a_call() {
    let gate = camera();
    let up = Scene::up();
    let api = &up.api;
    let id = api.add_live(&gate);
    let (alice, _grant) = alice(api, id);
    let urls = urls_for(api, &alice, id);
    let rtsp = urls.rtsp.as_ref().expect("has RTSP");
    let watched = [
        (ViewProtocol::Hls, urls.hls.to_string()),
        (ViewProtocol::Flv, urls.flv.to_string()),
        (ViewProtocol::Ts, urls.ts.to_string()),
        (
            ViewProtocol::Rtmp,
            urls.rtmp.as_ref().expect("has RTMP").to_string(),
        ),
        (ViewProtocol::Rtsp, format!("{rtsp}&tcp")),
    ];
    let mut players: Vec<_> = watched
        .iter()
        .map(|(_, url)| Player::start(url).expect("starts"))
        .collect();
    for player in &mut players {
        player.wait_for_pictures(5, SOON).expect("plays");
    }
    let listed = wait_for_sessions(api, watched.len());
    let mut protocols: Vec<_> = listed.iter().map(|session| session.protocol).collect();
    protocols.sort();
    assert_eq!(protocols, watched.clone().map(|(protocol, _)| protocol));
    for session in &listed {
        assert_eq!(session.subject, alice.id.to_string());
        assert_eq!(session.camera_id, id);
        assert!(session.address.is_loopback());
    }
    wait_until("all have been sent something", SOON, || {
        let all = sessions(api);
        (all.len() == watched.len() && all.iter().all(|s| s.bytes_sent > 10_000)).then_some(())
    })
    .expect("bytes are counted");
    let only = api.call(api.client.session_list().of_user(alice.id).all());
    assert_eq!(only.len(), watched.len());
    for session in listed {
        api.call(api.client.session_end(session.id));
    }
    for (player, (protocol, _)) in players.iter_mut().zip(&watched) {
        let ended = wait_until("the player ends", SOON, || {
            player.seen().ended.then_some(())
        });
        assert!(ended.is_ok(), "{protocol:?} plays on");
    }
    wait_for_sessions(api, 0);
}

#[test]
fn whoever_may_not_any_more_is_thrown_out_within_two_seconds() {
    let gate = camera();
    let up = Scene::up();
    let api = &up.api;
    let id = api.add_live(&gate);
    let call = |end: &dyn Fn(&Client, &User, &Grant, &Session)| {
        let (user, grant) = alice(api, id);
        let urls = urls_for(api, &user, id);
        let took = watch_to_the_end(urls.flv.as_str(), || {
            let session = wait_for_sessions(api, 1).remove(0);
            end(&api.client, &user, &grant, &session);
        });
        assert!(took < AT_ONCE, "{took:?}");
        wait_for_sessions(api, 0);
        urls
    };
    call(&|client, _, _, session| {
        api.call(client.session_end(session.id));
    });
    let urls = call(&|client, user, _, _| {
        let disabled = UserUpdate {
            enabled: Some(false),
            ..UserUpdate::default()
        };
        api.call(client.user_update(user.id, &disabled));
    });
    let replayed = http::get(urls.hls.as_str()).expect("answers");
    assert_eq!(replayed.status, 401, "the token is worth nothing any more");
    let urls = call(&|client, _, grant, _| {
        api.call(client.grant_delete(grant.id));
    });
    let replayed = http::get(urls.hls.as_str()).expect("answers");
    assert_eq!(replayed.status, 401);
    call(&|client, user, _, _| {
        api.call(client.user_revoke_sessions(user.id));
    });
}
