//! Small streams for the hub's tests.

use std::sync::Arc;

use bytes::Bytes;
use headworks_media::{
    AudioParameters, Frame, G711Law, TrackKind, Tracks, VideoCodec, VideoParameters,
};

use super::{
    entry::{Description, Entry, Forms, Pack},
    format::Sound,
    numbering::{Numbers, Sender},
    relayed::Source,
};

/// H.264, 640x360, without sound and B-frames.
pub(crate) fn tracks() -> Arc<Tracks> {
    let sps = b"\x67\x42\xc0\x0d\xd9\x01\x51\x9e\x22\x6c\x04\x40\x00\x00\x03\x00\x40\x00\x00\x0c\x83\xc5\x0a\x92";
    let codec = VideoCodec::H264 {
        sps: Bytes::from_static(sps),
        pps: Bytes::from_static(b"\x68\xcb\x83\xcb\x20"),
    };
    Arc::new(Tracks {
        video: VideoParameters::new(codec).expect("parses"),
        audio: None,
    })
}

/// The same with G.711 at 8 kHz.
pub(crate) fn tracks_with_sound() -> Arc<Tracks> {
    let mut tracks = Tracks::clone(&tracks());
    tracks.audio = Some(AudioParameters::G711 {
        law: G711Law::A,
        clock_rate: 8000,
        channels: 1,
    });
    Arc::new(tracks)
}

/// The same with AAC of its own.
pub(crate) fn tracks_with_aac() -> Arc<Tracks> {
    let mut tracks = Tracks::clone(&tracks());
    tracks.audio = Some(aac());
    Arc::new(tracks)
}

/// AAC as it stands in: 48 kHz, mono.
pub(crate) fn aac() -> AudioParameters {
    AudioParameters::aac(Bytes::from_static(&[0x11, 0x88]), 48_000).expect("parses")
}

/// A frame in a ring, of a camera with sound.
pub(crate) fn entry(frame: Frame) -> Entry {
    let description = Arc::new(description());
    entry_of(frame, description, None)
}

/// The same with a description and for whom it is.
pub(crate) fn entry_of(
    frame: Frame,
    description: Arc<Description>,
    only_for: Option<Sound>,
) -> Entry {
    Entry {
        frame,
        description,
        source: Source::default(),
        starts_session: false,
        only_for,
        is_past: false,
        pack: Pack::Alone,
        numbers: Numbers::default(),
        forms: Forms::default(),
    }
}

/// Describes pictures and G.711, for which AAC stands in.
pub(crate) fn description() -> Description {
    let description = Description::first(tracks_with_sound(), [Sender::default(); 2]);
    assert!(description.stand_in(Some(&aac())));
    description
}

/// A packet of G.711.
pub(crate) fn sound(dts: i64) -> Frame {
    Frame {
        track: TrackKind::Audio,
        dts,
        pts: dts,
        key: true,
        payload: vec![0x55; 160].into(),
    }
}

/// A picture of `size` bytes: one NAL unit.
pub(crate) fn picture(dts: i64, key: bool, size: usize) -> Frame {
    let mut payload = vec![7; size];
    if let Some((length, unit)) = payload.split_first_chunk_mut::<4>() {
        *length = (unit.len() as u32).to_be_bytes();
        if let Some(header) = unit.first_mut() {
            *header = if key { 0x65 } else { 0x41 };
        }
    }
    Frame {
        track: TrackKind::Video,
        dts,
        pts: dts,
        key,
        payload: payload.into(),
    }
}
