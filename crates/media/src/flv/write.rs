//! Writes FLV.
//!
//! A tag is one allocation that every viewer shares. Its timestamp is the stream's own: viewers
//! of a running stream start at a high one, which players subtract by themselves.

use bytes::{BufMut, Bytes};

use super::{
    AV1, CODEC_AVC, CODED, EX_AUDIO, EX_CODED_FRAMES, EX_SEQUENCE_START, EX_VIDEO, HEVC,
    INTER_FRAME, KEY_FRAME, OPUS, PREVIOUS_TAG_SIZE, SEQUENCE_HEADER, SOUND_AAC, SOUND_ALAW,
    SOUND_MULAW, TAG_HEADER, TagKind,
};
use crate::{
    AudioParameters, Frame, G711Law, TrackKind, Tracks, VIDEO_CLOCK, VideoCodec, opus, rescale,
};

/// AAC is always written as 44 kHz, 16 bit, stereo; decoders look into the AudioSpecificConfig.
const AAC: u8 = SOUND_AAC << 4 | 0b1111;
const SOUND_16_BIT: u8 = 1 << 1;
const SOUND_STEREO: u8 = 1;

/// The longest header of a body: Enhanced RTMP with composition time.
const MAX_BODY_HEADER: usize = 8;

/// True if FLV has a sound format for it: G.711 is always 8 kHz there.
#[must_use]
pub fn carries(audio: &AudioParameters) -> bool {
    match audio {
        AudioParameters::Aac { .. } | AudioParameters::Opus { .. } => true,
        AudioParameters::G711 {
            clock_rate,
            channels,
            ..
        } => *clock_rate == 8000 && *channels <= 2,
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
    // At any other time FFmpeg takes metadata for a track of subtitles.
    write_tag(&mut out, TagKind::Script, 0, &[], &metadata_body(tracks));
    write_sequence_headers(&mut out, tracks, dts);
    out.into()
}

/// The sequence headers alone, for viewers that have seen others before.
#[must_use]
pub fn sequence_headers(tracks: &Tracks, dts: i64) -> Bytes {
    let mut out = Vec::new();
    write_sequence_headers(&mut out, tracks, dts);
    out.into()
}

fn write_sequence_headers(out: &mut Vec<u8>, tracks: &Tracks, dts: i64) {
    let time = milliseconds(dts, VIDEO_CLOCK);
    for (kind, body) in sequence_bodies(tracks) {
        write_tag(out, kind, time, &[], &body);
    }
}

/// One frame; empty if FLV cannot carry it.
#[must_use]
pub fn tag(frame: &Frame, tracks: &Tracks) -> Bytes {
    let mut header = Vec::with_capacity(MAX_BODY_HEADER);
    let Some(kind) = body_header(frame, tracks, &mut header) else {
        return Bytes::new();
    };
    let rate = match &tracks.audio {
        Some(audio) if kind == TagKind::Audio => audio.clock_rate(),
        _ => VIDEO_CLOCK,
    };
    let time = milliseconds(frame.dts, rate);
    let mut out = Vec::new();
    write_tag(&mut out, kind, time, &header, &frame.payload);
    out.into()
}

/// Appends what stands before the payload in the body of the frame's tag (at most 8 bytes); the
/// body is that and the payload as it is. `None`, and nothing appended, if FLV cannot carry it.
pub fn body_header(frame: &Frame, tracks: &Tracks, out: &mut Vec<u8>) -> Option<TagKind> {
    match frame.track {
        TrackKind::Video => {
            video_header(out, frame, tracks.video.codec());
            Some(TagKind::Video)
        }
        TrackKind::Audio => {
            let audio = tracks.audio.as_ref().filter(|audio| carries(audio))?;
            sound_header(out, audio);
            Some(TagKind::Audio)
        }
    }
}

fn video_header(out: &mut Vec<u8>, frame: &Frame, codec: &VideoCodec) {
    let frame_type = if frame.key { KEY_FRAME } else { INTER_FRAME };
    match codec {
        VideoCodec::H264 { .. } => out.extend_from_slice(&[frame_type | CODEC_AVC, CODED]),
        VideoCodec::H265 { .. } => {
            out.push(EX_VIDEO | frame_type | EX_CODED_FRAMES);
            out.extend_from_slice(&HEVC);
        }
        VideoCodec::Av1 { .. } => {
            out.push(EX_VIDEO | frame_type | EX_CODED_FRAMES);
            out.extend_from_slice(&AV1);
            // It has no composition time.
            return;
        }
    }
    // Both times are rounded before they are subtracted, so that pts does not drift against dts.
    let composition = rescale(frame.pts, VIDEO_CLOCK, 1000) - rescale(frame.dts, VIDEO_CLOCK, 1000);
    out.extend_from_slice(&(composition as i32).to_be_bytes()[1..]);
}

fn sound_header(out: &mut Vec<u8>, audio: &AudioParameters) {
    match audio {
        AudioParameters::Aac { .. } => out.extend_from_slice(&[AAC, CODED]),
        AudioParameters::G711 { law, channels, .. } => {
            let stereo = if *channels == 2 { SOUND_STEREO } else { 0 };
            out.push(g711_format(*law) << 4 | SOUND_16_BIT | stereo);
        }
        AudioParameters::Opus { .. } => {
            out.push(EX_AUDIO | EX_CODED_FRAMES);
            out.extend_from_slice(&OPUS);
        }
    }
}

fn g711_format(law: G711Law) -> u8 {
    match law {
        G711Law::A => SOUND_ALAW,
        G711Law::Mu => SOUND_MULAW,
    }
}

/// The bodies that configure decoders: of the picture, and of the sound where it needs one.
pub fn sequence_bodies(tracks: &Tracks) -> impl Iterator<Item = (TagKind, Bytes)> {
    let picture = (TagKind::Video, video_sequence_body(tracks));
    let sound = tracks.audio.as_ref().and_then(sound_sequence_body);
    std::iter::once(picture).chain(sound.map(|body| (TagKind::Audio, body)))
}

fn video_sequence_body(tracks: &Tracks) -> Bytes {
    let mut body = Vec::new();
    let first = EX_VIDEO | KEY_FRAME | EX_SEQUENCE_START;
    match tracks.video.codec() {
        VideoCodec::H264 { .. } => {
            body.extend_from_slice(&[KEY_FRAME | CODEC_AVC, SEQUENCE_HEADER, 0, 0, 0]);
        }
        VideoCodec::H265 { .. } => {
            body.push(first);
            body.extend_from_slice(&HEVC);
        }
        VideoCodec::Av1 { .. } => {
            body.push(first);
            body.extend_from_slice(&AV1);
        }
    }
    body.extend_from_slice(&tracks.video.configuration());
    body.into()
}

fn sound_sequence_body(audio: &AudioParameters) -> Option<Bytes> {
    let mut body = Vec::new();
    match audio {
        AudioParameters::Aac { config, .. } => {
            body.extend_from_slice(&[AAC, SEQUENCE_HEADER]);
            body.extend_from_slice(config);
        }
        AudioParameters::Opus { channels, pre_skip } => {
            body.push(EX_AUDIO | EX_SEQUENCE_START);
            body.extend_from_slice(&OPUS);
            body.extend_from_slice(&opus::head(*channels, *pre_skip));
        }
        AudioParameters::G711 { .. } => return None,
    }
    Some(body.into())
}

/// §E.4.1. The body is `header` and `payload`.
fn write_tag(out: &mut Vec<u8>, kind: TagKind, time: u32, header: &[u8], payload: &[u8]) {
    let size = header.len() + payload.len();
    out.reserve_exact(TAG_HEADER + size + PREVIOUS_TAG_SIZE);
    tag_header(out, kind, time, size);
    out.extend_from_slice(header);
    out.extend_from_slice(payload);
    out.put_u32((TAG_HEADER + size) as u32);
}

/// Appends the header of a tag with a body of `size` bytes (§E.4.1). Its timestamp wraps at 2³¹
/// (after 24.8 days), not 2³²: players in JavaScript read the field as signed.
pub fn tag_header(out: &mut Vec<u8>, kind: TagKind, time: u32, size: usize) {
    out.put_u8(kind.number());
    out.put_uint(size as u64, 3);
    out.put_uint(u64::from(time & 0xff_ffff), 3);
    out.put_u8((time >> 24) as u8 & 0x7f);
    out.put_uint(0, 3);
}

/// The time of a message, from ticks of a clock of `rate`. Wraps at 2³² (after 49.7 days), as
/// RTMP has it (RTMP 1.0 §5).
#[must_use]
pub fn milliseconds(ticks: i64, rate: u32) -> u32 {
    rescale(ticks, rate, 1000) as u32
}

/// `onMetaData` in AMF0 (§E.5), with what players use: size and codecs.
#[must_use]
pub fn metadata_body(tracks: &Tracks) -> Bytes {
    let four_cc = |code| f64::from(u32::from_be_bytes(code));
    let mut values = vec![
        ("width", f64::from(tracks.video.width())),
        ("height", f64::from(tracks.video.height())),
        (
            "videocodecid",
            match tracks.video.codec() {
                VideoCodec::H264 { .. } => f64::from(CODEC_AVC),
                VideoCodec::H265 { .. } => four_cc(HEVC),
                VideoCodec::Av1 { .. } => four_cc(AV1),
            },
        ),
    ];
    if let Some(audio) = tracks.audio.as_ref().filter(|audio| carries(audio)) {
        let codec = match audio {
            AudioParameters::Aac { .. } => f64::from(SOUND_AAC),
            AudioParameters::G711 { law, .. } => f64::from(g711_format(*law)),
            AudioParameters::Opus { .. } => four_cc(OPUS),
        };
        values.push(("audiocodecid", codec));
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
    out.into()
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
        let written = |dts| {
            let tracks = Tracks {
                video: h264(),
                audio: None,
            };
            let tag = tag(&frame(TrackKind::Video, dts, dts), &tracks);
            u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]])
        };
        assert_eq!(written((1 << 31) * 90), 0);
        assert_eq!(written(((1 << 31) - 1) * 90), 0x7fff_ffff);
        assert_eq!(milliseconds((1 << 31) * 90, VIDEO_CLOCK), 1 << 31, "RTMP's");
        assert_eq!(milliseconds((1 << 32) * 90, VIDEO_CLOCK), 0);
    }
}
