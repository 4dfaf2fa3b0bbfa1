//! Low-Latency HLS, judged by a browser, by FFmpeg, and by a parser that knows the rules.

use std::time::Duration;

use headworks_testkit::{
    Audio, Browser, Camera, CameraOptions, Facts, Player, WebPlayer, http, judge, wait_until,
};

use crate::scene::{SOON, Scene};

/// 25 pictures a second with sound, and a key frame every two seconds.
fn camera() -> Camera {
    Camera::start(CameraOptions {
        audio: Audio::Aac,
        fps: 25,
        key_frame_every: 50,
        ..CameraOptions::default()
    })
    .expect("starts")
}

fn text(url: &str) -> String {
    let answer = http::get(url).and_then(http::Answer::ok);
    let body = answer
        .unwrap_or_else(|error| panic!("{url}: {error:#}"))
        .body;
    String::from_utf8(body).expect("is text")
}

fn is_close(facts: &Facts) -> bool {
    facts.latency.is_some_and(|latency| latency < 2.0)
}

/// What hls.js could not mend by itself. What it mends depends on how busy the machine is.
fn complaints(facts: &Facts) -> Vec<&str> {
    let errors = facts.errors.iter().map(String::as_str);
    errors.filter(|error| error.contains("fatal")).collect()
}

/// A browser is a heavy thing on a busy machine.
const BROWSER: Duration = Duration::from_secs(90);

#[test]
fn a_browser_plays_within_two_seconds_and_through_a_restart_of_the_camera() {
    let mut camera = camera();
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let urls = up.api.urls(id);
    let mut browser = Browser::start(WebPlayer::Hls, urls.hls.as_str()).expect("starts");
    let plays = browser
        .wait_for(BROWSER, |facts| facts.pictures > 25 && facts.time > 0.0)
        .expect("plays");
    assert_eq!((plays.width, plays.height), (320, 240));
    let on = browser
        .wait_for(BROWSER, |facts| {
            facts.time > plays.time + 10.0 && is_close(facts)
        })
        .expect("plays on, less than two seconds behind");
    assert!(on.parts > 20 && on.sound_bytes > 0, "{on:?}");
    assert_eq!(complaints(&on), Vec::<&str>::new());

    camera.restart().expect("starts again");
    let after = browser
        .wait_for_time(Duration::from_secs(10), BROWSER)
        .expect("plays on after the camera came back");
    assert!(after.pictures > on.pictures + 100, "{on:?} {after:?}");
    let again = browser
        .wait_for(BROWSER, is_close)
        .expect("it is as close as before");
    assert_eq!(complaints(&again), Vec::<&str>::new());
}

#[test]
fn a_browser_plays_on_when_the_sound_stops() {
    let camera = Camera::start(CameraOptions {
        audio: Audio::AacThatStops,
        ..CameraOptions::default()
    })
    .expect("starts");
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let urls = up.api.urls(id);
    let mut browser = Browser::start(WebPlayer::Hls, urls.hls.as_str()).expect("starts");
    let plays = browser
        .wait_for_time(Duration::from_secs(10), BROWSER)
        .expect("plays longer than there is sound");
    assert!(plays.sound_bytes > 0, "silence is sound: {plays:?}");
    assert_eq!(complaints(&plays), Vec::<&str>::new());
}

#[test]
fn ffmpeg_decodes_every_frame_through_a_restart_of_the_camera() {
    let mut camera = camera();
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let urls = up.api.urls(id);
    let mut player = Player::start(urls.hls.as_str()).expect("starts");
    player.wait_for_pictures(50, SOON).expect("plays");
    camera.restart().expect("starts again");
    player.wait_for_pictures(250, SOON).expect("plays on");
    let seen = player.seen();
    assert_eq!(seen.codecs(), ["h264", "aac"]);
    assert_eq!(seen.errors, Vec::<String>::new());
}

#[test]
fn playlists_keep_the_rules() {
    let camera = camera();
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let urls = up.api.urls(id);
    let main = text(urls.hls.as_str());
    assert_eq!(judge::playlist(&main).expect("is good").variants, 1);
    let base = format!("{}/live/{id}", up.headworks.http());
    let media = format!("{base}/{}", main.lines().last().expect("has a child"));
    // Long enough for segments and parts to leave, playlist after playlist.
    let mut next = 0;
    let mut count = 0;
    wait_until("an update that skips something", 2 * SOON, || {
        let playlist = text(&format!("{media}?_HLS_msn={next}&_HLS_skip=YES"));
        let found = judge::playlist(&playlist).expect("is good");
        let last = playlist
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("seg-"));
        let last = last
            .and_then(|line| line.strip_suffix(".m4s"))
            .expect("a segment");
        next = last.parse::<u64>().expect("a number") + 1;
        count += 1;
        assert!(found.parts > 4 && found.hints == 1, "{found:?}\n{playlist}");
        (found.skipped > 0).then_some(())
    })
    .expect("comes");
    assert!(count > 3, "one segment at a time");
    let plain = judge::playlist(&text(&format!("{media}?ll=0"))).expect("is good");
    assert_eq!((plain.parts, plain.hints), (0, 0));
    assert!(plain.segments >= 6, "{plain:?}");
}
