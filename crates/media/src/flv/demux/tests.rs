use proptest::prelude::*;

use super::*;
use crate::{
    Frame, Tracks, flv,
    parameters::tests::{aac, av1, h264, h265},
};

fn drain(demuxer: &mut Demuxer) -> Vec<Demuxed> {
    std::iter::from_fn(|| demuxer.poll()).collect()
}

fn push(demuxer: &mut Demuxer, kind: TagKind, time: u32, body: &[u8]) -> Result<(), Error> {
    demuxer.push(kind, time, &Bytes::copy_from_slice(body))
}

/// What a demuxer makes of our own file of `frames`.
fn round_trip(tracks: &Tracks, frames: &[Frame]) -> Vec<Demuxed> {
    let mut reader = flv::Reader::default();
    reader.push(&flv::start(tracks, 0));
    for frame in frames {
        reader.push(&flv::tag(frame, tracks));
    }
    let mut demuxer = Demuxer::default();
    while let Some(tag) = reader.poll().expect("reads") {
        demuxer
            .push(tag.kind, tag.timestamp, &tag.body)
            .expect("understands");
    }
    demuxer.finish();
    drain(&mut demuxer)
}

/// Two pictures and a packet of sound, at whole milliseconds.
fn frames(picture: &'static [u8], composition: i64, rate: i64, sound: &'static [u8]) -> [Frame; 3] {
    let video = |dts: i64, key| Frame {
        track: TrackKind::Video,
        dts,
        pts: dts + composition,
        key,
        payload: Bytes::from_static(picture),
    };
    [
        video(90_000, true),
        Frame {
            track: TrackKind::Audio,
            dts: rate,
            pts: rate,
            key: true,
            payload: Bytes::from_static(sound),
        },
        video(93_600, false),
    ]
}

fn events(tracks: &Tracks, frames: &[Frame], length: u32) -> Vec<Demuxed> {
    let mut events = vec![Demuxed::Tracks(tracks.clone().into())];
    events.extend(frames.iter().map(|frame| match frame.track {
        TrackKind::Video => Demuxed::Video {
            dts: frame.dts,
            pts: frame.pts,
            key: frame.key,
            payload: frame.payload.clone(),
        },
        TrackKind::Audio => Demuxed::Audio {
            timestamp: frame.dts,
            length,
            payload: frame.payload.clone(),
        },
    }));
    events
}

#[test]
fn what_we_write_reads_back() {
    const H264: &[u8] = &[0, 0, 0, 2, 0x41, 7];
    const H265: &[u8] = &[0, 0, 0, 3, 0x02, 1, 7];
    const AV1: &[u8] = &[0x32, 2, 1, 2];
    let opus = AudioParameters::Opus {
        channels: 2,
        pre_skip: 312,
    };
    let g711 = AudioParameters::G711 {
        law: G711Law::A,
        clock_rate: 8000,
        channels: 1,
    };
    for (video, picture, composition) in
        [(h264(), H264, 7200), (h265(), H265, 3600), (av1(), AV1, 0)]
    {
        for (audio, length) in [(aac(), 1024), (opus.clone(), 960), (g711.clone(), 2)] {
            let rate = audio.clock_rate().into();
            let frames = frames(picture, composition, rate, &[0xfc, 0xaa]);
            let tracks = Tracks {
                video: video.clone(),
                audio: Some(audio),
            };
            assert_eq!(
                round_trip(&tracks, &frames),
                events(&tracks, &frames, length)
            );
        }
        let tracks = Tracks { video, audio: None };
        let [first, _, last] = frames(picture, composition, 1, &[]);
        let frames = [first, last];
        assert_eq!(round_trip(&tracks, &frames), events(&tracks, &frames, 0));
    }
}

#[test]
fn the_old_number_of_hevc_is_understood() {
    let mut demuxer = Demuxer::default();
    let record = [&[0x1c, 0, 0, 0, 0][..], &h265().configuration()].concat();
    push(&mut demuxer, TagKind::Video, 0, &record).expect("understands");
    // Shown one millisecond before it is decoded: the time has a sign.
    let picture = [0x1c, 1, 0xff, 0xff, 0xff, 0, 0, 0, 3, 0x26, 1, 7];
    push(&mut demuxer, TagKind::Video, 10, &picture).expect("understands");
    demuxer.finish();
    let found = drain(&mut demuxer);
    assert!(matches!(&found[0], Demuxed::Tracks(tracks) if tracks.video == h265()));
    assert!(matches!(
        found[1],
        Demuxed::Video {
            dts: 900,
            pts: 810,
            key: true,
            ..
        }
    ));
}

#[test]
fn parameter_sets_in_band_change_the_tracks() {
    let mut demuxer = Demuxer::default();
    let tracks = Tracks {
        video: h264(),
        audio: None,
    };
    push(
        &mut demuxer,
        TagKind::Script,
        0,
        &flv::metadata_body(&tracks),
    )
    .expect("understands");
    for (kind, body) in flv::sequence_bodies(&tracks) {
        demuxer.push(kind, 0, &body).expect("understands");
    }
    push(
        &mut demuxer,
        TagKind::Video,
        0,
        &[0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65],
    )
    .expect("understands");
    assert_eq!(drain(&mut demuxer).len(), 2);
    let VideoCodec::H264 { sps, .. } = h264().codec().clone() else {
        panic!("it is H.264");
    };
    let mut sps = sps.to_vec();
    sps[3] = 31;
    let body = [
        &[0x17, 1, 0, 0, 0, 0, 0, 0, sps.len() as u8][..],
        &sps,
        &[0, 0, 0, 1, 0x65],
    ]
    .concat();
    push(&mut demuxer, TagKind::Video, 40, &body).expect("understands");
    let found = drain(&mut demuxer);
    assert!(
        matches!(&found[0], Demuxed::Tracks(tracks) if tracks.video.codec_string() == "avc1.64001f")
    );
    let Demuxed::Video { payload, .. } = &found[1] else {
        panic!("then the picture: {found:?}");
    };
    assert_eq!(payload[..], [0, 0, 0, 1, 0x65]);
}

#[test]
fn an_av1_configuration_may_come_with_the_first_picture() {
    let mut demuxer = Demuxer::default();
    let VideoCodec::Av1 { sequence_header } = av1().codec().clone() else {
        panic!("it is AV1");
    };
    push(&mut demuxer, TagKind::Video, 0, b"\x90av01\x81\0\0\0").expect("understands");
    let body = [&b"\x91av01\x12\0"[..], &sequence_header, &[0x32, 1, 7]].concat();
    push(&mut demuxer, TagKind::Video, 0, &body).expect("understands");
    demuxer.finish();
    let found = drain(&mut demuxer);
    assert!(matches!(&found[0], Demuxed::Tracks(tracks) if tracks.video == av1()));
    let Demuxed::Video { payload, .. } = &found[1] else {
        panic!("then the picture: {found:?}");
    };
    assert_eq!(payload[..], body[7..], "without its delimiter");
}

#[test]
fn what_is_not_supported_is_named() {
    let error = |kind, body: &[u8]| {
        push(&mut Demuxer::default(), kind, 0, body)
            .expect_err("not supported")
            .to_string()
    };
    assert_eq!(
        error(TagKind::Audio, &[0x2f, 0xff, 0xfb]),
        "sound in MP3 (FLV sound format 2) is not supported"
    );
    assert_eq!(
        error(TagKind::Video, &[0x12, 0]),
        "a picture in Sorenson H.263 (FLV codec 2) is not supported"
    );
    assert_eq!(
        error(TagKind::Video, b"\x91vp09\0"),
        "a picture in FourCC vp09 is not supported"
    );
    assert_eq!(
        error(TagKind::Audio, b"\x91.mp3\0"),
        "sound in FourCC .mp3 is not supported"
    );
    assert_eq!(
        error(TagKind::Video, &[0x17, 0, 0, 0, 0, 2]),
        "bad FLV, video tag at byte 5: avcC of version 2"
    );
    assert_eq!(
        error(
            TagKind::Video,
            &[0x17, 0, 0, 0, 0, 1, 100, 0, 30, 0xff, 0xe1, 0, 9, 0x67]
        ),
        "bad FLV, video tag at byte 13: SPS of 9 bytes, and 1 are left"
    );
}

#[test]
fn timestamps_wrap() {
    let mut clock = Clock::default();
    assert_eq!(clock.unwrap(u32::MAX), i64::from(u32::MAX));
    assert_eq!(clock.unwrap(39), i64::from(u32::MAX) + 40);
    assert_eq!(clock.unwrap(19), i64::from(u32::MAX) + 20);
}

#[test]
fn empty_bodies_mean_nothing() {
    let mut demuxer = Demuxer::default();
    for kind in [TagKind::Audio, TagKind::Video, TagKind::Script] {
        assert_eq!(push(&mut demuxer, kind, 0, &[]), Ok(()));
    }
}

fn bodies() -> Vec<(TagKind, Bytes)> {
    let mut bodies = Vec::new();
    let opus = AudioParameters::Opus {
        channels: 2,
        pre_skip: 312,
    };
    for (video, picture) in [
        (h264(), &[0, 0, 0, 2, 0x65, 7][..]),
        (h265(), &[0, 0, 0, 3, 0x26, 1, 7]),
        (av1(), &[0x32, 2, 1, 2]),
    ] {
        for audio in [aac(), opus.clone()] {
            let tracks = Tracks {
                video: video.clone(),
                audio: Some(audio),
            };
            bodies.push((TagKind::Script, flv::metadata_body(&tracks)));
            bodies.extend(flv::sequence_bodies(&tracks));
            for frame in frames(picture, 0, 48_000, &[0xfc, 1]) {
                let mut body = Vec::new();
                let kind = flv::body_header(&frame, &tracks, &mut body).expect("carried");
                body.extend_from_slice(&frame.payload);
                bodies.push((kind, body.into()));
            }
        }
    }
    bodies
}

proptest! {
    #[test]
    fn damaged_streams_never_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..30), cut: prop::sample::Index) {
        let mut bodies: Vec<_> = bodies().into_iter().map(|(kind, body)| (kind, body.to_vec())).collect();
        for (tag, at, value) in damage {
            let body = &mut bodies[tag.index(36)].1;
            let at = at.index(body.len());
            body[at] = value;
        }
        let short = cut.index(bodies.len());
        let length = bodies[short].1.len();
        bodies[short].1.truncate(cut.index(length));
        let mut demuxer = Demuxer::default();
        for (time, (kind, body)) in bodies.iter().enumerate() {
            let _ = push(&mut demuxer, *kind, time as u32 * 1000, body);
            drain(&mut demuxer);
        }
    }

    #[test]
    fn garbage_never_panics(tags in prop::collection::vec((0_u8..3, any::<u32>(), any::<Vec<u8>>()), 1..20)) {
        let mut demuxer = Demuxer::default();
        let mut reader = flv::Reader::default();
        reader.push(b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
        for (kind, time, body) in tags {
            let kind = [TagKind::Audio, TagKind::Video, TagKind::Script][usize::from(kind)];
            let _ = push(&mut demuxer, kind, time, &body);
            reader.push(&body);
            let _ = reader.poll();
        }
        drain(&mut demuxer);
    }
}
