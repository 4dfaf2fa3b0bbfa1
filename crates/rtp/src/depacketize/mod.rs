//! From the payloads of packets, in order, to pictures and packets of sound.

mod aac;
mod latm;
mod picture;
mod plain;
mod unit;

use std::collections::VecDeque;

use bytes::Bytes;
use headworks_media::{AudioParameters, VideoParameters, nal::NalFormat, rescale};

use self::{aac::Aac, latm::Latm, picture::Pictures};
use crate::{Codec, Media, Packet};

/// The largest picture that is taken, bytes. A key frame of 8K video has about a quarter.
pub const MAX_PICTURE: usize = 8 << 20;

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// When it is shown, in ticks of the track's clock since the session's start.
    pub timestamp: i64,
    /// True if decoding can start here.
    pub key: bool,
    /// True if something is missing between the picture before and this one, or if it is the
    /// first. What follows a gap may refer to what is missing, up to the next key frame.
    pub gap: bool,
    /// As in [`headworks_media::Frame::payload`].
    pub payload: Bytes,
}

/// One packet of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// When it plays, in ticks of the track's clock since the session's start.
    pub timestamp: i64,
    /// How long it plays, in the same unit.
    pub length: u32,
    /// As in [`headworks_media::Frame::payload`].
    pub payload: Bytes,
}

/// What comes out of payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Picture(Picture),
    Sound(Sound),
    /// Of the pictures that follow.
    Parameters(Box<VideoParameters>),
    /// Parameter sets that cannot be used.
    BadParameters(headworks_media::Error),
}

/// Where outputs go.
pub(crate) type Outputs = VecDeque<Output>;

/// Puts frames together.
#[derive(Debug)]
pub(crate) enum Depacketizer {
    Pictures(Box<Pictures>),
    Aac(Aac),
    Latm(Latm),
    Plain(AudioParameters),
}

impl Depacketizer {
    pub(crate) fn new(media: &Media) -> Self {
        let pictures = |format, known: &Option<VideoParameters>| {
            let pictures = Pictures::new(format, known.as_ref(), media.clock_rate);
            Self::Pictures(Box::new(pictures))
        };
        match &media.codec {
            Codec::H264(known) => pictures(NalFormat::H264, known),
            Codec::H265(known) => pictures(NalFormat::H265, known),
            Codec::Aac(parameters, headers) => {
                Self::Aac(Aac::new(*headers, aac_length(parameters)))
            }
            Codec::Latm(parameters) => Self::Latm(Latm::new(aac_length(parameters))),
            Codec::Plain(parameters) => Self::Plain(parameters.clone()),
        }
    }

    /// Takes the next packet. `lost` says that packets before it are missing.
    pub(crate) fn push(&mut self, packet: &Packet, timestamp: i64, lost: bool, out: &mut Outputs) {
        match self {
            Self::Pictures(pictures) => pictures.push(packet, timestamp, lost, out),
            Self::Aac(aac) => aac.push(packet, timestamp, lost, out),
            Self::Latm(latm) => latm.push(packet, timestamp, lost, out),
            Self::Plain(parameters) => {
                if let Some(length) = plain::length(parameters, &packet.payload) {
                    out.push_back(Output::Sound(Sound {
                        timestamp,
                        length,
                        payload: packet.payload.clone(),
                    }));
                }
            }
        }
    }

    /// How many frames were not passed on because parts of them were missing or made no sense.
    pub(crate) fn damaged(&self) -> u64 {
        match self {
            Self::Pictures(pictures) => pictures.damaged(),
            Self::Aac(aac) => aac.damaged(),
            Self::Latm(latm) => latm.damaged(),
            Self::Plain(_) => 0,
        }
    }
}

/// How long one access unit of AAC plays, in ticks of the track's clock.
fn aac_length(parameters: &AudioParameters) -> u32 {
    match parameters {
        AudioParameters::Aac {
            parsed, clock_rate, ..
        } => rescale(parsed.frame_length.into(), parsed.sample_rate, *clock_rate) as u32,
        _ => 0,
    }
}
