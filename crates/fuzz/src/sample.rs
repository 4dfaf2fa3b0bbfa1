//! A stream to begin with: tracks as encoders make them, and frames that look like theirs.

use bytes::{BufMut, Bytes};
use headworks_media::{
    AudioParameters, Frame, G711Law, TrackKind, Tracks, VideoCodec, VideoParameters,
};

pub(crate) fn hex(text: &str) -> Bytes {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

/// x264, High profile, 640x360, two B-frames.
pub(crate) fn h264() -> VideoParameters {
    VideoParameters::new(VideoCodec::H264 {
        sps: hex("6764001eacd940a02ff97011000003000100000300320f162d96"),
        pps: hex("68ebe3cb22c0"),
    })
    .expect("parses")
}

/// x265, Main profile, 1280x720.
pub(crate) fn h265() -> VideoParameters {
    VideoParameters::new(VideoCodec::H265 {
        vps: hex("40010c01ffff01600000030090000003000003005d959809"),
        sps: hex(
            "42010101600000030090000003000003005da00280802d165959a4932bc05a020000030002000003003210",
        ),
        pps: hex("4401c172b46240"),
    })
    .expect("parses")
}

/// SVT-AV1, Main profile, 320x180.
pub(crate) fn av1() -> VideoParameters {
    VideoParameters::new(VideoCodec::Av1 {
        sequence_header: hex("0a0b000000043cfecc02f80040"),
    })
    .expect("parses")
}

pub(crate) fn aac() -> AudioParameters {
    AudioParameters::aac(Bytes::from_static(&[0x11, 0x90]), 48_000).expect("parses")
}

pub(crate) fn g711() -> AudioParameters {
    AudioParameters::G711 {
        law: G711Law::A,
        clock_rate: 8000,
        channels: 1,
    }
}

pub(crate) fn opus() -> AudioParameters {
    AudioParameters::Opus {
        channels: 2,
        pre_skip: 312,
    }
}

/// All pairs that seeds are made of.
pub(crate) fn streams() -> Vec<Tracks> {
    let audio = [Some(aac()), Some(opus()), Some(g711()), None];
    let all = [h264(), h265(), av1()].into_iter().flat_map(|video| {
        let audio = audio.clone();
        audio.map(|audio| Tracks {
            video: video.clone(),
            audio,
        })
    });
    all.collect()
}

/// A few frames of a stream, sound between pictures, with a second key frame.
pub(crate) fn frames(tracks: &Tracks) -> Vec<Frame> {
    let mut frames = Vec::new();
    for number in 0..6_i64 {
        let key = number % 4 == 0;
        frames.push(picture(tracks, key, number * 3600));
        if let Some(audio) = &tracks.audio {
            let rate = i64::from(audio.clock_rate());
            frames.push(sound(audio, number * rate / 25));
        }
    }
    frames
}

fn picture(tracks: &Tracks, key: bool, dts: i64) -> Frame {
    let header: &[u8] = match (tracks.video.codec(), key) {
        (VideoCodec::H264 { .. }, true) => &[0x65, 0x88],
        (VideoCodec::H264 { .. }, false) => &[0x41, 0x9a],
        (VideoCodec::H265 { .. }, true) => &[19 << 1, 1, 0xaf],
        (VideoCodec::H265 { .. }, false) => &[1 << 1, 1, 0xd0],
        // A frame OBU with a size of 20 bytes.
        (VideoCodec::Av1 { .. }, true) => &[0x32, 20, 0x10],
        (VideoCodec::Av1 { .. }, false) => &[0x32, 20, 0x30],
    };
    let mut unit = header.to_vec();
    unit.resize(22, 0x55);
    let mut payload = Vec::new();
    if !matches!(tracks.video.codec(), VideoCodec::Av1 { .. }) {
        payload.put_u32(unit.len() as u32);
    }
    payload.extend(unit);
    Frame {
        track: TrackKind::Video,
        dts,
        pts: dts + 3600,
        key,
        payload: payload.into(),
    }
}

fn sound(audio: &AudioParameters, dts: i64) -> Frame {
    let payload: &[u8] = match audio {
        AudioParameters::Aac { .. } => &[0x21, 0x10, 4, 0x60, 0x8c, 0x1c],
        AudioParameters::Opus { .. } => &[0xfc, 0xff, 0xfe],
        AudioParameters::G711 { .. } => &[0xd5; 40],
    };
    Frame {
        track: TrackKind::Audio,
        dts,
        pts: dts,
        key: true,
        payload: Bytes::from_static(payload),
    }
}
