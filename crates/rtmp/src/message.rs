//! Messages (RTMP 1.0 §5.4, §7.1): what chunks carry.

use bytes::Bytes;

/// Message types.
pub(crate) mod kind {
    pub(crate) const SET_CHUNK_SIZE: u8 = 1;
    pub(crate) const ABORT: u8 = 2;
    pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const WINDOW_SIZE: u8 = 5;
    pub(crate) const PEER_BANDWIDTH: u8 = 6;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF3: u8 = 15;
    pub(crate) const COMMAND_AMF3: u8 = 17;
    pub(crate) const DATA: u8 = 18;
    pub(crate) const COMMAND: u8 = 20;
    pub(crate) const AGGREGATE: u8 = 22;
}

/// One message, put together from its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type (§7.1).
    pub kind: u8,
    /// Milliseconds, modulo 2³².
    pub timestamp: u32,
    /// The message stream that it belongs to.
    pub stream: u32,
    /// Its content.
    pub payload: Bytes,
}

/// What a media message carries: one FLV tag's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// FLV's AUDIODATA.
    Audio,
    /// FLV's VIDEODATA.
    Video,
    /// FLV's SCRIPTDATA: AMF0, a name first (`onMetaData`).
    Data,
}

impl MediaKind {
    pub(crate) fn of(message_kind: u8) -> Option<Self> {
        match message_kind {
            kind::AUDIO => Some(Self::Audio),
            kind::VIDEO => Some(Self::Video),
            kind::DATA | kind::DATA_AMF3 => Some(Self::Data),
            _ => None,
        }
    }

    /// Also FLV's tag type.
    pub(crate) fn message_kind(self) -> u8 {
        match self {
            Self::Audio => kind::AUDIO,
            Self::Video => kind::VIDEO,
            Self::Data => kind::DATA,
        }
    }
}

/// A frame, a sequence header or metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What it carries.
    pub kind: MediaKind,
    /// Decoding time in milliseconds, modulo 2³².
    pub timestamp: u32,
    /// The FLV tag's data. Where it came in one piece it shares the memory of the input.
    pub payload: Bytes,
}

/// An AMF0 string in front of metadata that tells a server to keep it.
const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";
const ON_META_DATA: &[u8] = b"\x02\x00\x0aonMetaData";

impl Media {
    /// None if `message` is something else.
    pub(crate) fn of(message: Message) -> Option<Self> {
        let kind = MediaKind::of(message.kind)?;
        let mut payload = message.payload;
        if kind == MediaKind::Data {
            // The AMF3 form is AMF0 after one byte (§7.1.2).
            if message.kind == kind::DATA_AMF3 && payload.first() == Some(&0) {
                payload = payload.slice(1..);
            }
            if payload.starts_with(SET_DATA_FRAME) {
                payload = payload.slice(SET_DATA_FRAME.len()..);
            }
        }
        Some(Self {
            kind,
            timestamp: message.timestamp,
            payload,
        })
    }
}

/// What a publisher puts in front of this payload.
pub(crate) fn publishing_prefix(kind: MediaKind, payload: &[u8]) -> &'static [u8] {
    if kind == MediaKind::Data && payload.starts_with(ON_META_DATA) {
        SET_DATA_FRAME
    } else {
        b""
    }
}
