//! The headers of Enhanced RTMP v2, which audio and video share in all but some numbers ("Enhanced
//! Audio", "Enhanced Video").

use super::{EX_CODED_FRAMES, EX_SEQUENCE_START, TagKind, cursor::Cursor};
use crate::Error;

/// What a packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketType {
    SequenceStart,
    /// With a composition time where the codec has one.
    CodedFrames,
    /// Without a composition time.
    CodedFramesX,
    /// The end of a sequence, colours, channel layouts: what no decoder needs.
    Other,
}

/// A packet behind its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) packet_type: PacketType,
    pub(super) codec: [u8; 4],
    /// Where its data stands in the body.
    pub(super) start: usize,
    pub(super) end: usize,
}

const CODED_FRAMES_X: u8 = 3;
const VIDEO_METADATA: u8 = 4;
const AUDIO_MULTITRACK: u8 = 5;
const VIDEO_MULTITRACK: u8 = 6;
/// Modifiers before the header proper, a timestamp in nanoseconds say.
const MOD_EX: u8 = 7;

/// AvMultitrackType.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

/// A frame type of video that holds no picture.
const COMMAND: u8 = 5;

/// Reads the header of `body`, whose first byte says that it is an extended one. Of several tracks
/// only number 0 is given. `None` if there is no such, or nothing to decode.
pub(super) fn parse(kind: TagKind, body: &[u8]) -> Result<Option<Packet>, Error> {
    let mut cursor = Cursor::new(kind, body);
    let first = cursor.byte("header")?;
    let mut number = first & 0xf;
    while number == MOD_EX {
        let mut size = cursor.number(1, "size of a modifier")? + 1;
        if size == 256 {
            size = cursor.number(2, "size of a modifier")? + 1;
        }
        cursor.take(size, "modifier")?;
        number = cursor.byte("type of a modifier")? & 0xf;
    }
    let video = kind == TagKind::Video;
    if video && (number == VIDEO_METADATA || first >> 4 & 7 == COMMAND) {
        return Ok(None);
    }
    let multitrack = if video {
        VIDEO_MULTITRACK
    } else {
        AUDIO_MULTITRACK
    };
    if number == multitrack {
        return first_track(cursor, video, body.len());
    }
    let codec = cursor.four_cc()?;
    Ok(Some(Packet {
        packet_type: packet_type(number, video),
        codec,
        start: cursor.at(),
        end: body.len(),
    }))
}

fn packet_type(number: u8, video: bool) -> PacketType {
    match number {
        EX_SEQUENCE_START => PacketType::SequenceStart,
        EX_CODED_FRAMES => PacketType::CodedFrames,
        CODED_FRAMES_X if video => PacketType::CodedFramesX,
        _ => PacketType::Other,
    }
}

fn first_track(
    mut cursor: Cursor<'_>,
    video: bool,
    length: usize,
) -> Result<Option<Packet>, Error> {
    let types = cursor.byte("multitrack type")?;
    let (multitrack, number) = (types >> 4, types & 0xf);
    if multitrack > MANY_TRACKS_MANY_CODECS {
        return Err(cursor.error(format!("multitrack type {multitrack} is unknown")));
    }
    let shared = match multitrack {
        MANY_TRACKS_MANY_CODECS => None,
        _ => Some(cursor.four_cc()?),
    };
    while !cursor.is_at_end() {
        let codec = match shared {
            Some(codec) => codec,
            None => cursor.four_cc()?,
        };
        let id = cursor.byte("track id")?;
        let size = match multitrack {
            ONE_TRACK => length - cursor.at(),
            _ => cursor.number(3, "size of a track")?,
        };
        let start = cursor.at();
        cursor.take(size, "track")?;
        if id == 0 {
            return Ok(Some(Packet {
                packet_type: packet_type(number, video),
                codec,
                start,
                end: start + size,
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_of_one_track() {
        let packet = parse(TagKind::Video, b"\x91hvc1\0\0\0data").expect("parses");
        let expected = Packet {
            packet_type: PacketType::CodedFrames,
            codec: *b"hvc1",
            start: 5,
            end: 12,
        };
        assert_eq!(packet, Some(expected));
        // Metadata and commands hold no picture.
        assert_eq!(parse(TagKind::Video, b"\x94hvc1"), Ok(None));
        assert_eq!(parse(TagKind::Video, b"\xd1\0"), Ok(None));
        // A timestamp in nanoseconds stands before.
        let modified = parse(TagKind::Audio, b"\x97\x02\0\0\x07\x01Opus\xfc").expect("parses");
        assert_eq!(
            modified.map(|packet| (packet.codec, packet.start)),
            Some((*b"Opus", 10))
        );
        assert_eq!(
            parse(TagKind::Video, b"\x91hv")
                .expect_err("short")
                .to_string(),
            "bad FLV, video tag at byte 1: FourCC of 4 bytes, and 2 are left"
        );
    }

    #[test]
    fn of_several_tracks_the_first_is_taken() {
        let many = b"\x96\x11avc1\x01\0\0\x02xx\0\0\0\x03yyy";
        let packet = parse(TagKind::Video, many)
            .expect("parses")
            .expect("has track 0");
        assert_eq!(&many[packet.start..packet.end], b"yyy");
        let codecs = b"\x95\x20mp4a\x01\0\0\x01xOpus\0\0\0\x01y";
        let packet = parse(TagKind::Audio, codecs)
            .expect("parses")
            .expect("has track 0");
        assert_eq!(
            (packet.codec, packet.packet_type),
            (*b"Opus", PacketType::SequenceStart)
        );
        assert_eq!(parse(TagKind::Video, b"\x96\x01avc1\x01rest"), Ok(None));
        assert!(parse(TagKind::Video, b"\x96\x11avc1\x01\0\0\x09xx").is_err());
    }

    proptest! {
        #[test]
        fn what_is_found_lies_in_the_body(first in 0x80_u8..0xf8, mut body: Vec<u8>) {
            body.insert(0, first);
            for kind in [TagKind::Video, TagKind::Audio] {
                if let Ok(Some(packet)) = parse(kind, &body) {
                    prop_assert!(packet.start <= packet.end && packet.end <= body.len());
                }
            }
        }
    }
}
