//! From a frame to the payloads of its packets, without copying it.
//!
//! How many there are follows from lengths alone, so that a frame can be numbered when it arrives
//! and be written when somebody asks for it. Both come from the same walk and always agree.

pub(crate) mod audio;
mod units;

use bytes::{BufMut, Bytes};
use headworks_media::{AudioParameters, Frame, TrackKind, Tracks};

use self::{
    audio::{Aac, AacUnits, Samples},
    units::{Aggregate, Pictures},
};
use crate::{packet::HEADER, write::packet_limit};

/// What packets are made of: a frame, and what leaves in the same packet.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// The frame.
    pub frame: &'a Frame,
    /// If it is AAC: access units that follow it without a hole, if all [share a packet].
    ///
    /// [share a packet]: crate::aac_shares_packet
    pub more: &'a [Bytes],
}

impl<'a> From<&'a Frame> for Load<'a> {
    fn from(frame: &'a Frame) -> Self {
        Self { frame, more: &[] }
    }
}

/// How many packets of at most `max_packet` bytes, headers included, carry the load. 0 if RTP
/// cannot carry it here.
#[must_use]
pub fn packet_count<'a>(load: impl Into<Load<'a>>, tracks: &'a Tracks, max_packet: usize) -> u32 {
    payloads(load, tracks, packet_limit(max_packet) - HEADER).left
}

/// The payloads of a load's packets, at most `max_payload` bytes each.
#[must_use]
pub fn payloads<'a>(
    load: impl Into<Load<'a>>,
    tracks: &'a Tracks,
    max_payload: usize,
) -> Payloads<'a> {
    let source = source(load.into(), tracks, max_payload);
    let left = match &source {
        Source::Nothing => 0,
        Source::Whole(_) | Source::AacPack(_) => 1,
        Source::Pictures(pictures) => pictures.count(),
        Source::Aac(aac) => aac.count(),
        Source::Samples(samples) => samples.count(),
    };
    Payloads { source, left }
}

fn source<'a>(load: Load<'a>, tracks: &'a Tracks, limit: usize) -> Source<'a> {
    let Load { frame, more } = load;
    let payload = &frame.payload[..];
    if payload.is_empty() {
        return Source::Nothing;
    }
    match (frame.track, &tracks.audio) {
        (TrackKind::Video, _) => Pictures::new(payload, frame.key, tracks.video.codec(), limit)
            .map_or(Source::Nothing, Source::Pictures),
        (TrackKind::Audio, None) => Source::Nothing,
        (TrackKind::Audio, Some(AudioParameters::Aac { .. })) if !more.is_empty() => {
            Source::AacPack(AacUnits {
                first: payload,
                more,
            })
        }
        (TrackKind::Audio, Some(AudioParameters::Aac { .. })) => {
            Aac::new(payload, limit).map_or(Source::Nothing, Source::Aac)
        }
        (TrackKind::Audio, Some(AudioParameters::G711 { channels, .. })) => {
            Source::Samples(Samples::new(payload, *channels, limit))
        }
        // RFC 7587 §4.2: one packet of Opus, never in parts. What is larger than `limit` leaves
        // its division to IP.
        (TrackKind::Audio, Some(AudioParameters::Opus { .. })) => {
            if payload.len() <= audio::MAX_OPUS {
                Source::Whole(payload)
            } else {
                Source::Nothing
            }
        }
    }
}

/// The payloads of one load, in sending order.
#[derive(Debug, Clone)]
pub struct Payloads<'a> {
    source: Source<'a>,
    left: u32,
}

#[derive(Debug, Clone)]
enum Source<'a> {
    Nothing,
    Whole(&'a [u8]),
    Pictures(Pictures<'a>),
    Aac(Aac<'a>),
    AacPack(AacUnits<'a>),
    Samples(Samples<'a>),
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Payload<'a>;

    fn next(&mut self) -> Option<Payload<'a>> {
        self.left = self.left.checked_sub(1)?;
        let last = self.left == 0;
        let (content, marker, later) = match &mut self.source {
            Source::Nothing => return None,
            // The marker starts a talk spurt (RFC 3551 §4.1, RFC 7587 §4.1); ours never pause.
            Source::Whole(bytes) => (Content::Whole(bytes), false, 0),
            Source::Samples(samples) => {
                let (part, later) = samples.next()?;
                (Content::Whole(part), false, later)
            }
            // The end of the access unit (RFC 6184 §5.1, RFC 7798 §4.1, RFC 3640 §3.1).
            Source::Pictures(pictures) => (pictures.next()?, last, 0),
            Source::Aac(aac) => (aac.next()?, last, 0),
            Source::AacPack(units) => (Content::AacPack(*units), true, 0),
        };
        Some(Payload {
            marker,
            later,
            content,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Payloads<'_> {}

/// What one packet carries.
#[derive(Debug, Clone)]
pub struct Payload<'a> {
    /// The packet's marker bit.
    pub marker: bool,
    /// By how many ticks the packet's timestamp is later than the frame's.
    pub later: u32,
    content: Content<'a>,
}

#[derive(Debug, Clone)]
enum Content<'a> {
    Whole(&'a [u8]),
    /// A part of a NAL unit or of AAC, with the first `length` bytes of `head` in front.
    Headed {
        head: [u8; 4],
        length: usize,
        body: &'a [u8],
    },
    Aggregate(Aggregate<'a>),
    AacPack(AacUnits<'a>),
}

impl Payload<'_> {
    /// How many bytes [`Self::write`] writes.
    #[must_use]
    pub fn length(&self) -> usize {
        match &self.content {
            Content::Whole(bytes) => bytes.len(),
            Content::Headed { length, body, .. } => length + body.len(),
            Content::Aggregate(aggregate) => aggregate.length(),
            Content::AacPack(units) => units.length(),
        }
    }

    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut impl BufMut) {
        match &self.content {
            Content::Whole(bytes) => out.put_slice(bytes),
            Content::Headed { head, length, body } => {
                out.put_slice(&head[..*length]);
                out.put_slice(body);
            }
            Content::Aggregate(aggregate) => aggregate.write(out),
            Content::AacPack(units) => units.write(out),
        }
    }
}
