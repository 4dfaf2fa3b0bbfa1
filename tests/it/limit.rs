//! How many sessions a token or a user may have counts over all edges.

use std::{
    io::{BufReader, Read},
    net::TcpStream,
    time::Duration,
};

use headworks_testkit::{Camera, Launch, http, wait_until};
use headworks_types::{
    Action, CameraId, CameraState, Credentials, GrantCreate, GrantObject, PlaybackToken,
    PlaybackTokenCreate, Principal, Secret, User, UserUpdate,
};

use crate::{
    parts::Cluster,
    scene::{Api, SOON, camera, pulled},
    session::{AT_ONCE, alice, read_to_the_end, sessions, watch_to_the_end},
};

/// How soon a session beyond a limit ends that was opened on another edge than the rest.
const EVERYWHERE: Duration = Duration::from_secs(4);

/// The camera, on the edge of this site.
fn at(api: &Api, camera: &Camera, site: &str) -> CameraId {
    let mut create = pulled(&camera.url());
    create.name = site.to_owned();
    create.placement.site = Some(site.to_owned());
    create.credentials = camera.login().map(|login| Credentials {
        username: login.username.clone(),
        password: Secret::new(&*login.password),
    });
    let id = api.call(api.client.camera_create(&create)).id;
    api.wait_for_state(id, CameraState::Live);
    id
}

fn token(api: &Api, user: &User, cameras: [CameraId; 2], max: Option<u32>) -> PlaybackToken {
    api.call(api.client.playback_token_issue(&PlaybackTokenCreate {
        user_id: Some(user.id),
        max_sessions: max,
        ..PlaybackTokenCreate::for_cameras(cameras.to_vec())
    }))
}

fn url(token: &PlaybackToken, camera: CameraId) -> String {
    let mut of = token.cameras.iter().filter(|of| of.camera_id == camera);
    let urls = of.next().and_then(|of| of.urls.as_ref());
    urls.expect("the camera is on a node").flv.to_string()
}

/// A viewer who watches until he is dropped.
fn watch(url: &str) -> BufReader<TcpStream> {
    let answer = http::send("GET", url, &[], b"").expect("answers");
    assert_eq!(answer.status, 200, "{url}");
    answer.into_stream()
}

fn wait_for_sessions(api: &Api, count: usize) {
    wait_until("the sessions are listed", SOON, || {
        (sessions(api).len() == count).then_some(())
    })
    .expect("they are");
}

#[test]
fn sessions_beyond_a_limit_end_wherever_they_are() {
    let camera = camera();
    let cluster = Cluster::start();
    let edge = |site: &str| {
        let launch = Launch::default().env("HEADWORKS__EDGE__SITE", site);
        cluster.edge_with(site, launch)
    };
    let _edges = [edge("lyon"), edge("oslo")];
    cluster.wait_until_ready(2);
    let api = &cluster.api;
    let (here, there) = (at(api, &camera, "lyon"), at(api, &camera, "oslo"));
    let (user, _) = alice(api, here);
    api.call(api.client.grant_create(&GrantCreate::allow(
        Principal::User { id: user.id },
        GrantObject::Camera { id: there },
        vec![Action::CameraViewLive],
    )));

    // A token that somebody has passed on.
    let shared = token(api, &user, [here, there], Some(2));
    let mut first = [watch(&url(&shared, here)), watch(&url(&shared, here))];
    wait_for_sessions(api, 2);
    let more = http::get(&url(&shared, here)).expect("answers");
    assert_eq!(more.status, 429, "the edge itself counts at once");
    let took = watch_to_the_end(&url(&shared, there), || {});
    assert!(took < EVERYWHERE, "{took:?}");
    wait_for_sessions(api, 2);
    let mut media = [0; 20_000];
    for viewer in &mut first {
        viewer.read_exact(&mut media).expect("goes on");
    }

    // Tokens of one user, one after the other, and each without a limit.
    let one = UserUpdate {
        max_sessions: Some(Some(1)),
        ..UserUpdate::default()
    };
    let [mut stays, goes] = first;
    drop(goes);
    wait_for_sessions(api, 1);
    api.call(api.client.user_update(user.id, &one));
    let own = token(api, &user, [here, there], None);
    let took = watch_to_the_end(&url(&own, there), || {});
    assert!(took < EVERYWHERE, "{took:?}");
    stays.read_exact(&mut media).expect("goes on");

    // Who is ended by a call makes room for another.
    wait_for_sessions(api, 1);
    api.call(api.client.session_end(sessions(api)[0].id));
    let took = read_to_the_end(stays);
    assert!(took < AT_ONCE, "{took:?}");
    wait_for_sessions(api, 0);
    let mut next = watch(&url(&own, there));
    wait_for_sessions(api, 1);
    next.read_exact(&mut media).expect("goes on");
}
