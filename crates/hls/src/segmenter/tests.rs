//! Playlists as players see them, and streams of awkward shapes.

mod property;

use headworks_media::{AudioParameters, VideoCodec, VideoParameters};

use super::*;
use crate::{Flavor, multivariant};

const SECOND: i64 = VIDEO_CLOCK as i64;

fn config() -> Config {
    Config {
        segment: 2 * VIDEO_CLOCK,
        longest: 6 * VIDEO_CLOCK,
        listed: 4,
        part: None,
        limits: Limits::default(),
    }
}

/// Parts of about a quarter of a second.
fn low_latency() -> Config {
    Config {
        part: Some(VIDEO_CLOCK / 4),
        ..config()
    }
}

fn tracks(level: u8) -> Arc<Tracks> {
    let mut sps = *b"\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96";
    sps[3] = level;
    let codec = VideoCodec::H264 {
        sps: Bytes::copy_from_slice(&sps),
        pps: Bytes::from_static(&[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0]),
    };
    Arc::new(Tracks {
        video: VideoParameters::new(codec).expect("parses"),
        audio: AudioParameters::aac(Bytes::from_static(&[0x11, 0x90]), 48_000).ok(),
    })
}

fn picture(dts: i64, key: bool) -> Frame {
    Frame {
        track: TrackKind::Video,
        dts,
        pts: dts,
        key,
        payload: Bytes::from_static(&[1; 100]),
    }
}

fn start(longest_gop: i64) -> Segmenter {
    Segmenter::new(config(), tracks(30), longest_gop).expect("starts")
}

/// Pushes `count` pictures of 25 per second with a key frame every `gop`.
fn push(segmenter: &mut Segmenter, from: i64, count: i64, gop: i64) {
    for index in from..from + count {
        segmenter.push(picture(10 * SECOND + index * 3600, index % gop == 0));
    }
}

fn text(segmenter: &Segmenter, flavor: Flavor) -> String {
    let window = segmenter.window().expect("a segment is complete");
    window.playlist(flavor)
}

fn playlist(segmenter: &Segmenter) -> String {
    text(segmenter, Flavor::Plain)
}

#[test]
fn a_playlist_as_players_see_it() {
    let mut segmenter = start(0);
    push(&mut segmenter, 0, 126, 50);
    assert_eq!(
        playlist(&segmenter),
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:2\n\
         #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"init-0.mp4\"\n\
         #EXTINF:2.00000,\nseg-0.m4s\n#EXTINF:2.00000,\nseg-1.m4s\n"
    );
    let variants = multivariant(segmenter.window().expect("open"), "s/t/media.m3u8");
    assert!(
        variants.contains(
            "CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=25.000\n\
             s/t/media.m3u8\n"
        ),
        "{variants}"
    );
}

#[test]
fn segments_of_short_gops_do_not_outgrow_the_target() {
    // Two GOPs of 1.5 s would round to 3 s.
    let mut segmenter = start(SECOND * 3 / 2);
    for index in 0..400 {
        segmenter.push(picture(index * 3000, index % 45 == 0));
    }
    let window = segmenter.window().expect("open");
    assert_eq!(window.target, 2);
    assert!(
        window
            .segments
            .iter()
            .all(|s| s.duration == 135_000 && s.independent)
    );
}

#[test]
fn a_gop_that_gets_longer_than_the_target_is_cut_and_no_longer_called_independent() {
    let mut segmenter = start(0);
    push(&mut segmenter, 0, 101, 50);
    push(&mut segmenter, 101, 149, 1_000_000);
    let text = playlist(&segmenter);
    assert!(!text.contains("INDEPENDENT"), "{text}");
    assert!(text.contains("#EXT-X-TARGETDURATION:2\n"), "{text}");
    push(&mut segmenter, 250, 600, 50);
    assert!(playlist(&segmenter).contains("INDEPENDENT"));
}

#[test]
fn a_restart_marks_a_discontinuity_and_new_parameters_bring_a_new_init() {
    let mut segmenter = start(0);
    push(&mut segmenter, 0, 76, 50);
    assert!(segmenter.restart(tracks(30)).expect("restarts"));
    push(&mut segmenter, 100, 51, 50);
    let text = playlist(&segmenter);
    assert!(
        text.contains("seg-1.m4s\n#EXT-X-DISCONTINUITY\n#EXTINF:2.00000,\nseg-2.m4s\n"),
        "{text}"
    );
    assert_eq!(text.matches("EXT-X-MAP").count(), 1);
    segmenter.restart(tracks(31)).expect("restarts");
    push(&mut segmenter, 200, 51, 50);
    let text = playlist(&segmenter);
    assert!(
        text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-1.mp4\"\n"),
        "{text}"
    );
    push(&mut segmenter, 251, 1000, 50);
    let text = playlist(&segmenter);
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:2\n"), "{text}");
    assert!(segmenter.window().expect("open").init(0).is_none());
}

#[test]
fn a_successor_goes_on_with_the_numbers() {
    let mut first = start(0);
    push(&mut first, 0, 200, 50);
    let mut second = Segmenter::resume(config(), tracks(30), 0, first.position()).expect("starts");
    push(&mut second, 500, 51, 50);
    let text = playlist(&second);
    assert!(
        text.contains("#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-DISCONTINUITY\n"),
        "{text}"
    );
    assert!(text.contains("init-1.mp4"), "{text}");
}

#[test]
fn sound_before_the_first_picture_is_ignored() {
    let mut segmenter = start(0);
    let sound = Frame {
        track: TrackKind::Audio,
        ..picture(0, true)
    };
    assert!(!segmenter.push(sound.clone()));
    segmenter.push(picture(0, true));
    segmenter.push(sound);
    assert!(segmenter.push(picture(2 * SECOND, true)));
    let window = segmenter.window().expect("open");
    let chunks = window.segment(0).expect("kept").chunks();
    assert_eq!(chunks.filter(|chunk| chunk.len() == 100).count(), 2);
}

#[test]
fn a_low_latency_playlist_as_players_see_it() {
    let mut segmenter = Segmenter::new(low_latency(), tracks(30), 0).expect("starts");
    segmenter.set_wall(10 * SECOND, DateTime::UNIX_EPOCH);
    push(&mut segmenter, 0, 65, 50);
    let all = text(&segmenter, Flavor::LowLatency);
    let (head, rest) = all.split_once("#EXT-X-PART:").expect("has parts");
    assert_eq!(
        head,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:2\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.79500,HOLD-BACK=6,\
         CAN-SKIP-UNTIL=12\n#EXT-X-PART-INF:PART-TARGET=0.26500\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-MAP:URI=\"init-0.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n"
    );
    assert!(
        rest.starts_with("DURATION=0.24000,URI=\"part-0-0.m4s\",INDEPENDENT=YES\n"),
        "{rest}"
    );
    assert!(
        rest.ends_with(
            "#EXT-X-PART:DURATION=0.08000,URI=\"part-0-8.m4s\"\n#EXTINF:2.00000,\nseg-0.m4s\n\
             #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:02.000Z\n\
             #EXT-X-PART:DURATION=0.24000,URI=\"part-1-0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.24000,URI=\"part-1-1.m4s\"\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-1-2.m4s\"\n"
        ),
        "{rest}"
    );
    let plain = playlist(&segmenter);
    assert!(!plain.contains("PART") && !plain.contains("SERVER-CONTROL"));
    assert!(plain.ends_with("#EXTINF:2.00000,\nseg-0.m4s\n"), "{plain}");
}

#[test]
fn old_parts_leave_the_playlist_and_stay_fetchable() {
    let mut segmenter = Segmenter::new(low_latency(), tracks(30), 0).expect("starts");
    push(&mut segmenter, 0, 210, 50);
    let all = text(&segmenter, Flavor::LowLatency);
    assert!(
        !all.contains("part-1-"),
        "more than 6 s from the end: {all}"
    );
    assert!(all.contains("part-2-0.m4s"), "{all}");
    let window = segmenter.window().expect("open");
    assert!(window.part(0, 0).is_some() && window.part(0, 9).is_none());
}

#[test]
fn an_update_skips_what_is_older_than_the_boundary() {
    let config = Config {
        listed: 10,
        ..low_latency()
    };
    let mut segmenter = Segmenter::new(config, tracks(30), 0).expect("starts");
    push(&mut segmenter, 0, 301, 50);
    let delta = text(&segmenter, Flavor::Delta);
    assert_eq!(delta, text(&segmenter, Flavor::LowLatency), "12 s, all new");
    push(&mut segmenter, 301, 100, 50);
    let delta = text(&segmenter, Flavor::Delta);
    assert!(delta.starts_with("#EXTM3U\n#EXT-X-VERSION:9\n"), "{delta}");
    assert!(
        delta.contains(
            "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:2.00000,\nseg-2.m4s\n"
        ),
        "{delta}"
    );
    assert!(!delta.contains("EXT-X-MAP"), "the skipped ones had it");
}

#[test]
fn requests_that_wait_are_answered_by_what_they_name_or_what_follows_it() {
    let mut segmenter = Segmenter::new(low_latency(), tracks(30), 0).expect("starts");
    // Nine parts and two of the next segment.
    push(&mut segmenter, 0, 65, 50);
    let window = segmenter.window().expect("open");
    assert_eq!(window.next_part(), Some((1, 2)));
    for (segment, part, there) in [
        (0, None, true),
        (1, None, false),
        (0, Some(8), true),
        (0, Some(9), true),
        (0, Some(1000), true),
        (1, Some(1), true),
        (1, Some(2), false),
        (2, Some(0), false),
    ] {
        assert_eq!(window.has(segment, part), there, "{segment} {part:?}");
    }
    // 3 / 0.265 parts ahead, and two segments.
    for (segment, part, far) in [
        (2, None, false),
        (3, None, true),
        (u64::MAX, Some(0), true),
        (0, Some(1000), false),
        (1, Some(13), false),
        (1, Some(14), true),
        (2, Some(11), false),
        (2, Some(12), true),
    ] {
        assert_eq!(window.is_too_far(segment, part), far, "{segment} {part:?}");
    }
    push(&mut segmenter, 65, 36, 50);
    let window = segmenter.window().expect("open");
    assert_eq!(window.next_part(), Some((2, 0)));
    assert!(
        !window.has(1, Some(9)),
        "that is the first part of segment 2"
    );
}

#[test]
fn a_part_target_fits_the_pictures() {
    let of = |rate: i64| part_target(VIDEO_CLOCK / 4, SECOND / rate) / 90;
    assert_eq!(
        [of(30), of(25), of(15), of(10), of(6), of(2)],
        [257, 265, 221, 221, 367, 551]
    );
}

#[test]
fn a_picture_every_three_seconds_is_a_segment_and_a_part() {
    let mut segmenter = Segmenter::new(low_latency(), tracks(30), 0).expect("starts");
    for index in 0..5 {
        segmenter.push(picture(10 * SECOND + index * 3 * SECOND, true));
    }
    let all = text(&segmenter, Flavor::LowLatency);
    assert!(all.contains("TARGETDURATION:3\n"), "{all}");
    assert!(all.contains("PART-TARGET=3.00000\n"), "{all}");
    assert!(
        all.contains("DURATION=3.00000,URI=\"part-3-0.m4s\",INDEPENDENT=YES\n#EXTINF:3.00000,\n"),
        "{all}"
    );
}

#[test]
fn a_picture_that_lasts_too_long_gets_a_part_of_its_own() {
    let mut segmenter = Segmenter::new(low_latency(), tracks(30), 0).expect("starts");
    push(&mut segmenter, 0, 53, 50);
    // Two pictures wait; the second lasts 1.04 s.
    segmenter.push(picture(10 * SECOND + 52 * 3600 + SECOND, false));
    let all = text(&segmenter, Flavor::LowLatency);
    assert!(
        all.contains(
            "DURATION=0.08000,URI=\"part-1-0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.26500,URI=\"part-1-1.m4s\"\n"
        ),
        "{all}"
    );
}

#[test]
fn a_short_segment_does_not_say_how_many_bits_the_stream_has() {
    let mut segmenter = start(0);
    push(&mut segmenter, 0, 101, 50);
    let rates = text_of(&segmenter);
    // A key frame and nothing else, 40 ms long.
    segmenter.restart(tracks(30)).expect("restarts");
    segmenter.push(Frame {
        payload: vec![1; 100_000].into(),
        ..picture(10 * SECOND + 101 * 3600, true)
    });
    segmenter.restart(tracks(30)).expect("restarts");
    let bandwidth = |text: &str| {
        let (_, rest) = text.split_once(":BANDWIDTH=").expect("has it");
        let (number, _) = rest.split_once(',').expect("more follows");
        number.parse::<u64>().expect("a number")
    };
    let after = bandwidth(&text_of(&segmenter));
    assert!(after < 20 * bandwidth(&rates), "{after}");
}

fn text_of(segmenter: &Segmenter) -> String {
    multivariant(segmenter.window().expect("open"), "index.m3u8")
}

#[test]
fn segments_that_are_too_large_together_leave_from_the_front() {
    let mut segmenter = start(0);
    segmenter.config.limits.window = 12_000;
    // 50 pictures of 100 bytes, and what is written around them.
    push(&mut segmenter, 0, 101, 50);
    segmenter.restart(tracks(30)).expect("restarts");
    push(&mut segmenter, 101, 301, 50);
    let window = segmenter.window().expect("open");
    assert_eq!(window.segments.len(), 1);
    assert_eq!(window.discontinuities, 1, "one has left the playlist");
    assert!(text(&segmenter, Flavor::Plain).contains("DISCONTINUITY-SEQUENCE:1\n"));
}

#[test]
fn time_of_day_follows_the_world_over_a_restart() {
    let mut segmenter = Segmenter::new(low_latency(), tracks(30), 0).expect("starts");
    segmenter.set_wall(10 * SECOND, DateTime::UNIX_EPOCH);
    push(&mut segmenter, 0, 60, 50);
    segmenter.restart(tracks(30)).expect("restarts");
    segmenter.set_wall(
        10 * SECOND + 100 * 3600,
        DateTime::UNIX_EPOCH + TimeDelta::minutes(5),
    );
    push(&mut segmenter, 100, 10, 50);
    let all = text(&segmenter, Flavor::LowLatency);
    assert!(
        all.contains(
            "seg-1.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:05:00.000Z\n\
             #EXT-X-PART:"
        ),
        "{all}"
    );
}

#[test]
fn a_successor_uses_no_number_of_which_a_part_is_out() {
    let mut first = Segmenter::new(low_latency(), tracks(30), 0).expect("starts");
    push(&mut first, 0, 60, 50);
    assert_eq!(first.window().and_then(Window::next_part), Some((1, 1)));
    assert_eq!(first.position().sequence, 2);
    let plain = start(0).position();
    assert_eq!(plain.sequence, 0);
}
