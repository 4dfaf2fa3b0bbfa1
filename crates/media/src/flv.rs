//! FLV writer (Adobe Flash Video File Format 10.1, annex E; H.265 by Enhanced RTMP v1).
//!
//! A tag is one allocation that every viewer shares. Its timestamp is the stream's own: viewers
//! of a running stream start at a high one, which players subtract by themselves.

use bytes::{BufMut, Bytes};

use crate::{AudioParameters, Frame, G711Law, TrackKind, Tracks, VIDEO_CLOCK, VideoCodec, rescale};

/// Tag types (§E.4.1).
const TAG_AUDIO: u8 = 8;
const TAG_VIDEO: u8 = 9;
const TAG_SCRIPT: u8 = 18;

/// VIDEODATA (§E.4.3.1): frame types in the upper, codec in the lower four bits.
const KEY_FRAME: u8 = 1 << 4;
const INTER_FRAME: u8 = 2 << 4;
const CODEC_AVC: u8 = 7;

/// Enhanced RTMP v1, "Defining Additional Video Codecs": the top bit says that a FourCC follows.
const EX_HEADER: u8 = 0x80;
const EX_SEQUENCE_START: u8 = 0;
const EX_CODED_FRAMES: u8 = 1;
const HEVC: &[u8; 4] = b"hvc1";

/// AUDIODATA (§E.4.2.1). AAC is always written as 44 kHz, 16 bit, stereo; decoders look into the
/// AudioSpecificConfig.
const SOUND_AAC: u8 = 0xaf;
const SOUND_16_BIT: u8 = 1 << 1;
const SOUND_STEREO: u8 = 1;

const TAG_HEADER: usize = 11;
const PREVIOUS_TAG_SIZE: usize = 4;
/// The longest header inside a tag: Enhanced RTMP with composition time.
const MAX_DATA_HEADER: usize = 8;

/// True if FLV has a sound format for it: G.711 is always 8 kHz there.
#[must_use]
pub fn carries(audio: &AudioParameters) -> bool {
    match audio {
        AudioParameters::Aac { .. } => true,
        AudioParameters::G711 {
            clock_rate,
            channels,
            ..
        } => *clock_rate == 8000 && *channels <= 2,
        AudioParameters::Opus { .. } => false,
    }
}

/// The start of a file: header, metadata and sequence headers, stamped like a frame at `dts` (90
/// kHz).
#[must_use]
pub fn start(tracks: &Tracks, dts: i64) -> Bytes {
    let mut out = Vec::new();
    let audio = tracks.audio.as_ref().is_some_and(carries);
    out.extend_from_slice(b"FLV\x01");
    out.push(if audio { 0b101 } else { 0b001 });
    out.put_u32(9);
    out.put_u32(0);
    let time = milliseconds(dts, VIDEO_CLOCK);
    // At any other time FFmpeg takes metadata for a track of subtitles.
    write_tag(&mut out, TAG_SCRIPT, 0, &[], &metadata(tracks));
    write_sequence_headers(&mut out, tracks, time);
    out.into()
}

/// The sequence headers alone, for viewers that have seen others before.
#[must_use]
pub fn sequence_headers(tracks: &Tracks, dts: i64) -> Bytes {
    let mut out = Vec::new();
    write_sequence_headers(&mut out, tracks, milliseconds(dts, VIDEO_CLOCK));
    out.into()
}

/// One frame; empty if FLV cannot carry it.
#[must_use]
pub fn tag(frame: &Frame, tracks: &Tracks) -> Bytes {
    let mut header = Vec::with_capacity(MAX_DATA_HEADER);
    let (kind, rate) = match (frame.track, &tracks.audio) {
        (TrackKind::Video, _) => {
            video_header(&mut header, frame, tracks.video.codec());
            (TAG_VIDEO, VIDEO_CLOCK)
        }
        (TrackKind::Audio, Some(audio)) if carries(audio) => {
            header.extend(sound_format(audio));
            if matches!(audio, AudioParameters::Aac { .. }) {
                header.push(1);
            }
            (TAG_AUDIO, audio.clock_rate())
        }
        (TrackKind::Audio, _) => return Bytes::new(),
    };
    let length = TAG_HEADER + header.len() + frame.payload.len() + PREVIOUS_TAG_SIZE;
    let mut out = Vec::with_capacity(length);
    let time = milliseconds(frame.dts, rate);
    write_tag(&mut out, kind, time, &header, &frame.payload);
    out.into()
}

fn video_header(out: &mut Vec<u8>, frame: &Frame, codec: &VideoCodec) {
    let frame_type = if frame.key { KEY_FRAME } else { INTER_FRAME };
    // Both times are rounded before they are subtracted, so that pts does not drift against dts.
    let composition = rescale(frame.pts, VIDEO_CLOCK, 1000) - rescale(frame.dts, VIDEO_CLOCK, 1000);
    match codec {
        VideoCodec::H264 { .. } => out.extend_from_slice(&[frame_type | CODEC_AVC, 1]),
        VideoCodec::H265 { .. } => {
            out.push(EX_HEADER | frame_type | EX_CODED_FRAMES);
            out.extend_from_slice(HEVC);
        }
    }
    out.extend_from_slice(&(composition as i32).to_be_bytes()[1..]);
}

/// `None` for what [`carries`] says no to.
fn sound_format(audio: &AudioParameters) -> Option<u8> {
    match audio {
        AudioParameters::Aac { .. } => Some(SOUND_AAC),
        AudioParameters::G711 { law, channels, .. } => {
            let format = match law {
                G711Law::A => 7 << 4,
                G711Law::Mu => 8 << 4,
            };
            Some(format | SOUND_16_BIT | if *channels == 2 { SOUND_STEREO } else { 0 })
        }
        AudioParameters::Opus { .. } => None,
    }
}

fn write_sequence_headers(out: &mut Vec<u8>, tracks: &Tracks, time: u32) {
    let record = tracks.video.configuration();
    match tracks.video.codec() {
        VideoCodec::H264 { .. } => {
            write_tag(
                out,
                TAG_VIDEO,
                time,
                &[KEY_FRAME | CODEC_AVC, 0, 0, 0, 0],
                &record,
            );
        }
        VideoCodec::H265 { .. } => {
            let first = EX_HEADER | KEY_FRAME | EX_SEQUENCE_START;
            let header = [first, HEVC[0], HEVC[1], HEVC[2], HEVC[3]];
            write_tag(out, TAG_VIDEO, time, &header, &record);
        }
    }
    if let Some(AudioParameters::Aac { config, .. }) = &tracks.audio {
        write_tag(out, TAG_AUDIO, time, &[SOUND_AAC, 0], config);
    }
}

/// §E.4.1. The data is `header` and `payload`.
fn write_tag(out: &mut Vec<u8>, kind: u8, time: u32, header: &[u8], payload: &[u8]) {
    let size = header.len() + payload.len();
    out.reserve_exact(TAG_HEADER + size + PREVIOUS_TAG_SIZE);
    out.put_u8(kind);
    out.put_uint(size as u64, 3);
    out.put_uint(u64::from(time & 0xff_ffff), 3);
    out.put_u8((time >> 24) as u8);
    out.put_uint(0, 3);
    out.extend_from_slice(header);
    out.extend_from_slice(payload);
    out.put_u32((TAG_HEADER + size) as u32);
}

/// Wraps at 2³¹ (after 24.8 days), not 2³²: players in JavaScript read the field as signed.
fn milliseconds(ticks: i64, rate: u32) -> u32 {
    (rescale(ticks, rate, 1000) & 0x7fff_ffff) as u32
}

/// `onMetaData` in AMF0 (§E.5), with what players use: size and codecs.
fn metadata(tracks: &Tracks) -> Vec<u8> {
    let mut values = vec![
        ("width", f64::from(tracks.video.width())),
        ("height", f64::from(tracks.video.height())),
        (
            "videocodecid",
            match tracks.video.codec() {
                VideoCodec::H264 { .. } => f64::from(CODEC_AVC),
                VideoCodec::H265 { .. } => f64::from(u32::from_be_bytes(*HEVC)),
            },
        ),
    ];
    if let Some(audio) = tracks.audio.as_ref().filter(|audio| carries(audio))
        && let Some(format) = sound_format(audio)
    {
        values.push(("audiocodecid", f64::from(format >> 4)));
        values.push(("audiosamplerate", f64::from(audio.clock_rate())));
    }
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.put_u16(text.len() as u16);
        out.extend_from_slice(text.as_bytes());
    };
    out.put_u8(2); // string
    text(&mut out, "onMetaData");
    out.put_u8(8); // ECMA array
    out.put_u32(values.len() as u32);
    for (name, value) in values {
        text(&mut out, name);
        out.put_u8(0); // number
        out.put_f64(value);
    }
    out.extend_from_slice(&[0, 0, 9]); // end of object
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::tests::{aac, h264, h265};

    fn frame(track: TrackKind, dts: i64, pts: i64) -> Frame {
        Frame {
            track,
            dts,
            pts,
            key: true,
            payload: Bytes::from_static(&[0xde, 0xad]),
        }
    }

    #[test]
    fn an_avc_tag() {
        let tracks = Tracks {
            video: h264(),
            audio: None,
        };
        // 0x01020304 ms, shown 80 ms later.
        let dts = 0x0102_0304 * 90;
        let tag = tag(&frame(TrackKind::Video, dts, dts + 7200), &tracks);
        assert_eq!(
            tag[..],
            [
                9, 0, 0, 7, 2, 3, 4, 1, 0, 0, 0, // tag header: 7 bytes at 0x01020304
                0x17, 1, 0, 0, 80, // key frame, NAL units, composition time
                0xde, 0xad, //
                0, 0, 0, 18,
            ]
        );
    }

    #[test]
    fn an_enhanced_hevc_tag() {
        let tracks = Tracks {
            video: h265(),
            audio: None,
        };
        let tag = tag(&frame(TrackKind::Video, 900, 900), &tracks);
        assert_eq!(
            tag[11..],
            [
                0x91, b'h', b'v', b'c', b'1', 0, 0, 0, 0xde, 0xad, 0, 0, 0, 21
            ]
        );
    }

    #[test]
    fn sound_tags() {
        let sound = |audio| {
            let tracks = Tracks {
                video: h264(),
                audio: Some(audio),
            };
            tag(&frame(TrackKind::Audio, 16_000, 16_000), &tracks)
        };
        let g711 = |law, clock_rate| AudioParameters::G711 {
            law,
            clock_rate,
            channels: 1,
        };
        assert_eq!(sound(aac())[11..15], [0xaf, 1, 0xde, 0xad]);
        assert_eq!(
            sound(g711(G711Law::A, 8000))[..14],
            [8, 0, 0, 3, 0, 7, 0xd0, 0, 0, 0, 0, 0x72, 0xde, 0xad]
        );
        assert_eq!(sound(g711(G711Law::Mu, 8000))[11], 0x82);
        assert!(sound(g711(G711Law::Mu, 16_000)).is_empty());
    }

    #[test]
    fn a_file_starts_with_header_metadata_and_sequence_headers() {
        let tracks = Tracks {
            video: h264(),
            audio: Some(aac()),
        };
        let start = start(&tracks, 0);
        assert_eq!(start[..13], *b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
        let mut kinds = Vec::new();
        let mut rest = &start[13..];
        while !rest.is_empty() {
            let size = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
            kinds.push((rest[0], rest[12 - usize::from(rest[0] == 18)]));
            let tail = &rest[11 + size..];
            assert_eq!(tail[..4], (11 + size as u32).to_be_bytes());
            rest = &tail[4..];
        }
        assert_eq!(kinds, [(18, 2), (9, 0), (8, 0)]);
    }

    #[test]
    fn time_stays_positive_for_signed_readers() {
        assert_eq!(milliseconds((1 << 31) * 90, VIDEO_CLOCK), 0);
        assert_eq!(milliseconds(((1 << 31) - 1) * 90, VIDEO_CLOCK), 0x7fff_ffff);
    }
}
