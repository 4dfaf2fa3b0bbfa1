//! What viewers fetch: init segments, media segments and their parts.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use headworks_media::{AudioParameters, Error, Tracks, fmp4};

use crate::sound::sound;

/// An init segment: what decoders need before the media segments that name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// Names it in URLs; rises.
    pub number: u64,
    /// `ftyp` and `moov`.
    pub bytes: Bytes,
    /// What `CODECS` says (RFC 6381).
    pub codecs: String,
    /// Width and height in pixels.
    pub size: (u32, u32),
}

impl Init {
    pub(crate) fn new(number: u64, tracks: &Tracks) -> Result<Self, Error> {
        let mut codecs = tracks.video.codec_string().to_owned();
        if let Some(audio) = sound(tracks).and_then(AudioParameters::codec_string) {
            codecs.push(',');
            codecs.push_str(&audio);
        }
        Ok(Self {
            number,
            bytes: fmp4::init_segment(tracks)?,
            codecs,
            size: (tracks.video.width(), tracks.video.height()),
        })
    }
}

/// A partial segment (§4.4.4.9): one fragment with some frames of both tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How long it is, in 90 kHz.
    pub duration: u32,
    /// True if decoding can start in it.
    pub independent: bool,
    /// How many bytes it has.
    pub length: u64,
    /// The bytes: a header, then the frames' own.
    pub chunks: Vec<Bytes>,
}

/// One media segment. Its bytes are those of its parts, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its media sequence number, which also names it in URLs.
    pub number: u64,
    /// The init segment that it needs.
    pub init: u64,
    /// How long it is, in 90 kHz; 0 while it is being built.
    pub duration: u32,
    /// When it was, if somebody has told the time.
    pub date: Option<DateTime<Utc>>,
    /// True if it does not continue the one before it.
    pub discontinuity: bool,
    /// True if it starts with a key frame.
    pub independent: bool,
    /// How many pictures it has.
    pub pictures: u32,
    /// Where parts are not wanted, it has one.
    pub parts: Vec<Arc<Part>>,
}

impl Segment {
    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.parts.iter().map(|part| part.length).sum()
    }

    /// Its bytes.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().flat_map(|part| &part.chunks)
    }

    /// How much of it is there, in 90 kHz.
    pub(crate) fn so_far(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.duration)).sum()
    }
}
