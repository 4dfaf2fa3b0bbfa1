//! What players rely on, tried on streams of all shapes.

use std::collections::HashMap;

use headworks_media::{AudioParameters, VideoCodec, VideoParameters};
use proptest::prelude::*;

use super::*;
use crate::multivariant;

const SECOND: i64 = VIDEO_CLOCK as i64;

fn config() -> Config {
    Config {
        segment: 2 * VIDEO_CLOCK,
        longest: 6 * VIDEO_CLOCK,
        listed: 4,
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

fn playlist(segmenter: &Segmenter) -> String {
    let window = segmenter.window().expect("a segment is complete");
    window.playlist().expect("a segment is complete")
}

#[test]
fn a_playlist_as_players_see_it() {
    let mut segmenter = start(0);
    push(&mut segmenter, 0, 126, 50);
    assert_eq!(
        playlist(&segmenter),
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:2\n\
         #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"init-0.mp4\"\n\
         #EXTINF:2.00000,\nseg-0.m4s\n#EXTINF:2.00000,\nseg-1.m4s\n"
    );
    let variants = multivariant(segmenter.window().expect("open"), "s/t/media.m3u8");
    let variants = variants.expect("a segment is complete");
    assert!(
        variants.contains("CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=640x360\ns/t/media.m3u8\n")
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
    assert_eq!(window.segment(0).expect("kept").chunks.len(), 3);
}

proptest! {
    #[test]
    fn what_players_rely_on(
        longest_gop in 0_i64..10 * SECOND,
        even in prop::option::of(900_i64..20_000),
        frames in prop::collection::vec((900_i64..20_000, 0_u8..40, 0_u8..200), 100..600),
    ) {
        let mut segmenter = start(longest_gop);
        let mut dts = 10 * SECOND;
        let mut target = None;
        let mut last_sequence = (0, 0);
        let mut durations: HashMap<u64, u32> = HashMap::new();
        let mut started = None;
        let mut sections = 0_i64;
        for (step, key, restart) in frames {
            if restart == 0 {
                if let (Some(begin), Some(last)) = (started.take(), segmenter.open.last()) {
                    sections += last + segmenter.open.usual_step() - begin;
                }
                segmenter.restart(tracks(30)).expect("restarts");
            }
            dts += even.unwrap_or(step);
            if key == 0 && started.is_none() {
                started = Some(dts);
            }
            segmenter.push(picture(dts, key == 0));
            let Some(window) = segmenter.window() else { continue };
            prop_assert_eq!(*target.get_or_insert(window.target), window.target);
            let mut listed = window.listed();
            let first = listed.next().expect("not empty");
            let sequence = (first.number, window.discontinuities);
            prop_assert!(sequence.0 >= last_sequence.0 && sequence.1 >= last_sequence.1);
            last_sequence = sequence;
            prop_assert!(window.segments.len() <= 2 * config().listed + 1);
            for segment in &window.segments {
                let rounded = (segment.duration + VIDEO_CLOCK / 2) / VIDEO_CLOCK;
                prop_assert!(rounded <= window.target, "{} > {}", segment.duration, window.target);
                prop_assert_eq!(segment.length, segment.chunks.iter().map(Bytes::len).sum::<usize>() as u64);
                prop_assert!(window.init(segment.init).is_some());
                durations.insert(segment.number, segment.duration);
            }
        }
        // All that is complete, and the open rest, is exactly the media time.
        if let (Some(begin), Some(open)) = (started, segmenter.open.start()) {
            sections += open - begin;
        }
        let sum: i64 = durations.values().map(|duration| i64::from(*duration)).sum();
        prop_assert!(if even.is_some() { sum == sections } else { sum <= sections }, "{sum} {sections}");
    }
}
