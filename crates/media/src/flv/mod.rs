//! FLV, which RTMP carries too (Adobe Flash Video File Format 10.1, annex E; Enhanced RTMP v2 for
//! H.265, AV1 and Opus).
//!
//! A *tag* is a header, a *body* and a length. RTMP has headers of its own and carries only the
//! bodies, so that both directions are split there: [`tag`] and [`body_header`] write,
//! [`Reader`] finds the tags of a byte stream, and [`Demuxer`] understands their bodies.

mod cursor;
mod demux;
mod extended;
mod reader;
mod records;
mod write;

pub use demux::Demuxer;
pub use reader::{Reader, Tag};
pub use write::{
    body_header, carries, metadata_body, milliseconds, sequence_bodies, sequence_headers, start,
    tag, tag_header,
};

/// What a tag is (§E.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Metadata.
    Script,
}

impl TagKind {
    /// The tag type, which is also the message type of RTMP.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }

    /// The inverse of [`number`](Self::number).
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Audio, Self::Video, Self::Script]
            .into_iter()
            .find(|kind| kind.number() == number)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio tag",
            Self::Video => "video tag",
            Self::Script => "script tag",
        }
    }
}

const TAG_HEADER: usize = 11;
const PREVIOUS_TAG_SIZE: usize = 4;

/// VIDEODATA (§E.4.3.1): frame types in bits 4 to 6, codec in the lower four bits.
const KEY_FRAME: u8 = 1 << 4;
const INTER_FRAME: u8 = 2 << 4;
const CODEC_AVC: u8 = 7;
/// What Chinese encoders and CDNs have used for H.265 since before Enhanced RTMP.
const CODEC_HEVC: u8 = 12;

/// "Enhanced Video": the top bit says that a packet type and a FourCC follow.
const EX_VIDEO: u8 = 0x80;
/// "Enhanced Audio": sound format 9 says the same.
const EX_AUDIO: u8 = SOUND_EXTENDED << 4;
const EX_SEQUENCE_START: u8 = 0;
const EX_CODED_FRAMES: u8 = 1;

const AVC: [u8; 4] = *b"avc1";
const HEVC: [u8; 4] = *b"hvc1";
const AV1: [u8; 4] = *b"av01";
const MP4A: [u8; 4] = *b"mp4a";
const OPUS: [u8; 4] = *b"Opus";

/// AUDIODATA (§E.4.2.1): the format in the upper four bits.
const SOUND_ALAW: u8 = 7;
const SOUND_MULAW: u8 = 8;
const SOUND_EXTENDED: u8 = 9;
const SOUND_AAC: u8 = 10;

/// AVCPacketType and AACPacketType.
const SEQUENCE_HEADER: u8 = 0;
const CODED: u8 = 1;
