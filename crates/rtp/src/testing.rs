//! Tracks and frames for tests.

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

pub(crate) fn tracks(video: VideoParameters, audio: AudioParameters) -> Tracks {
    Tracks {
        video,
        audio: Some(audio),
    }
}

/// A picture of slices of these lengths, which look like the slices of an encoder: the first says
/// so, none ends with a zero or holds a start code. `key` makes them those of an IDR picture.
pub(crate) fn picture(tracks: &Tracks, lengths: &[usize], key: bool, pts: i64) -> Frame {
    let mut payload = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        payload.put_u32(*length as u32);
        let start = payload.len();
        let header: &[u8] = match (tracks.video.codec(), key) {
            (VideoCodec::H265 { .. }, true) => &[19 << 1, 1],
            (VideoCodec::H265 { .. }, false) => &[1 << 1, 1],
            (_, true) => &[0x65],
            (_, false) => &[0x41],
        };
        payload.extend(header);
        payload.push(if index == 0 { 0x81 } else { 0x41 });
        payload.extend((0..*length).map(|at| (at as i64 + pts / 3600) as u8 | 1));
        payload.truncate(start + length);
    }
    Frame {
        track: TrackKind::Video,
        dts: pts,
        pts,
        key,
        payload: payload.into(),
    }
}

/// A packet of sound of this length.
pub(crate) fn sound(length: usize, pts: i64) -> Frame {
    Frame {
        track: TrackKind::Audio,
        dts: pts,
        pts,
        key: true,
        payload: (0..length).map(|at| at as u8).collect(),
    }
}

/// Where virtual time starts.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to make an Instant"
)]
pub(crate) fn origin() -> std::time::Instant {
    std::time::Instant::now()
}
