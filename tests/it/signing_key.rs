//! Signing keys take turns, and no viewer is refused; a revoked one is worth nothing, at once.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use headworks_testkit::{http, wait_until};
use headworks_types::{CameraId, PlaybackTokenCreate, SigningKeyState};

use crate::{
    parts::Cluster,
    scene::{Api, SOON, camera},
    session::{AT_ONCE, watch_to_the_end},
};

/// Longer than all rotations.
const ALL: Duration = Duration::from_secs(120);

/// A URL with a token that was signed just now; none while there is no controller.
fn fresh(api: &Api, camera: CameraId) -> Option<String> {
    let ask = PlaybackTokenCreate {
        expires_in_seconds: 600,
        watch_seconds: 3600,
        ..PlaybackTokenCreate::for_cameras(vec![camera])
    };
    let token = api.attempt(api.client.playback_token_issue(&ask)).ok()?;
    let urls = token.cameras.into_iter().find_map(|camera| camera.urls)?;
    Some(urls.flv.to_string())
}

fn opens(url: &str) -> u16 {
    let answer = http::send("GET", url, &[], b"");
    answer.expect("answers").status
}

/// Opens the camera with the newest token and with the `first` one, again and again until `stop`;
/// says how often, and how that went where it did not go well.
fn come_and_go(api: &Api, camera: CameraId, first: &str, stop: &AtomicBool) -> (usize, Vec<u16>) {
    let mut newest = first.to_owned();
    let (mut count, mut bad) = (0, Vec::new());
    wait_until("all rotations are done", ALL, || {
        newest = fresh(api, camera).unwrap_or_else(|| newest.clone());
        for url in [&newest, first] {
            count += 1;
            bad.extend(Some(opens(url)).filter(|status| *status != 200));
        }
        stop.load(Ordering::SeqCst).then_some(())
    })
    .expect("they are");
    (count, bad)
}

/// Makes a key and waits until it signs; returns the one that did before.
fn rotate(cluster: &mut Cluster, meanwhile: impl FnOnce(&mut Cluster)) -> String {
    let keys = |cluster: &Cluster| {
        let api = &cluster.api;
        let listed = api.attempt(api.client.signing_key_list());
        listed.map(|keys| keys.items).unwrap_or_default()
    };
    let all = keys(cluster);
    let signs = all.iter().find(|key| key.state == SigningKeyState::Active);
    let before = signs.expect("one signs").kid.clone();
    let next = cluster.api.call(cluster.api.client.signing_key_rotate());
    assert_eq!(next.state, SigningKeyState::Pending);
    meanwhile(cluster);
    wait_until("the new key signs", SOON, || {
        let state = |kid: &str| {
            keys(cluster)
                .iter()
                .find(|key| key.kid == kid)
                .map(|key| key.state)
        };
        let signs = state(&next.kid) == Some(SigningKeyState::Active);
        (signs && state(&before) == Some(SigningKeyState::Retiring)).then_some(())
    })
    .expect("it does");
    before
}

#[test]
fn no_viewer_is_refused_while_keys_rotate_and_a_revoked_key_opens_nothing() {
    let camera = camera();
    let mut cluster = Cluster::start();
    let _edge = cluster.edge("edge-1");
    cluster.wait_until_ready(1);
    let id = cluster.api.add_live(&camera);
    let viewers = Api::new(cluster.api.client.base(), &cluster.admin_key);
    let first = fresh(&viewers, id).expect("is issued");
    let stop = AtomicBool::new(false);

    let (second, url) = thread::scope(|scope| {
        let coming = scope.spawn(|| come_and_go(&viewers, id, &first, &stop));
        rotate(&mut cluster, |cluster| {
            cluster.controller.kill();
            cluster.restart();
        });
        let url = fresh(&cluster.api, id).expect("is issued");
        let second = rotate(&mut cluster, |_| {});
        stop.store(true, Ordering::SeqCst);
        let (count, bad) = coming.join().expect("comes and goes");
        assert!(count >= 200, "{count}");
        assert!(bad.is_empty(), "of {count} were refused: {bad:?}");
        (second, url)
    });

    assert_eq!(opens(&url), 200, "a key that signs no more still opens");
    let api = &cluster.api;
    let took = watch_to_the_end(&url, || {
        let revoked = api.call(api.client.signing_key_revoke(&second));
        assert_eq!(revoked.state, SigningKeyState::Revoked);
    });
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(opens(&url), 401, "its tokens open nothing");
    let next = fresh(api, id).expect("is issued");
    assert_eq!(opens(&next), 200, "the key that signs is another");
}
