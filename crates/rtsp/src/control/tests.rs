use super::*;

#[test]
fn controls_are_joined_as_cameras_expect() {
    for (base, control, url) in [
        ("rtsp://h/a/", Some("trackID=1"), "rtsp://h/a/trackID=1"),
        ("rtsp://h/a", Some("trackID=1"), "rtsp://h/a/trackID=1"),
        (
            "rtsp://h/a?channel=1&subtype=0",
            Some("trackID=1"),
            "rtsp://h/a?channel=1&subtype=0/trackID=1",
        ),
        ("rtsp://h:8554/a/b", Some("/c/d"), "rtsp://h:8554/c/d"),
        (
            "rtsp://h/a",
            Some("rtsp://10.0.0.1/x/"),
            "rtsp://10.0.0.1/x/",
        ),
        ("rtsp://h/a/", Some("?track=1"), "rtsp://h/a?track=1"),
        ("rtsp://h/a/", Some("*"), "rtsp://h/a/"),
        ("rtsp://h/a/", Some(" "), "rtsp://h/a/"),
        ("rtsp://h/a/", None, "rtsp://h/a/"),
    ] {
        assert_eq!(resolve(base, control), url);
    }
}

#[test]
fn bases_may_be_missing_relative_or_wrong() {
    let asked = Url::parse("rtsp://h:554/a/b?c").unwrap();
    for (told, expected) in [
        (None, "rtsp://h:554/a/b?c"),
        (Some(" "), "rtsp://h:554/a/b?c"),
        (Some("rtsp://0.0.0.0/a/b/"), "rtsp://0.0.0.0/a/b/"),
        (Some("/x/"), "rtsp://h:554/x/"),
        (Some("x/"), "rtsp://h:554/a/x/"),
    ] {
        assert_eq!(base(&asked, told), expected);
    }
}

#[test]
fn tracks_are_found_however_players_join() {
    let controls = ["trackID=0", "rtsp://elsewhere/live/trackID=1", "*", ""].map(str::to_owned);
    for (url, path, track) in [
        ("rtsp://h/live", "/live", None),
        ("rtsp://h/live/", "/live", None),
        ("rtsp://h/live/trackID=0", "/live", Some(0)),
        ("rtsp://h/live/trackID=1/", "/live", Some(1)),
        ("rtsp://h/live/trackID=0?token=a", "/live", Some(0)),
        ("rtsp://h/live?token=a/trackID=1", "/live", Some(1)),
        ("rtsp://h/live?trackID=1", "/live", Some(1)),
        ("rtsp://h/live/xtrackID=0", "/live/xtrackID=0", None),
        ("/live/trackID=0", "/live", Some(0)),
        ("rtsp://h", "", None),
    ] {
        assert_eq!(locate(url, &controls), (path, track), "{url}");
    }
}

#[test]
fn a_tracks_name_is_taken_off() {
    for (url, without) in [
        ("rtsp://h/a/trackID=1", "rtsp://h/a"),
        ("rtsp://h/a?t=x/streamid=0/", "rtsp://h/a?t=x"),
        ("rtsp://h/a?t=1", "rtsp://h/a?t=1"),
        ("rtsp://h/a", "rtsp://h/a"),
    ] {
        assert_eq!(without_track(url), without);
    }
}
