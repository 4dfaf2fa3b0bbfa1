//! Pictures of H.264 (RFC 6184, packetization modes 0 and 1) and H.265 (RFC 7798).
//!
//! A picture ends with the marker bit, as it should, or where the timestamp changes, for cameras
//! that never set the bit. Those that set it on every NAL unit are found out, and then only the
//! timestamp counts. A picture of which something is missing is dropped as a whole.

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes};
use headworks_media::{
    VideoParameters,
    nal::{NalFormat, NalTrack, split_at_start_codes, without_trailing_zeros},
};

use super::{MAX_PICTURE, Output, Outputs, Picture, unit};
use crate::{
    Packet,
    depacketize::unit::Kind,
    nal::{Payloads as _, parameter_sets},
};

/// More slices than any level allows for one picture (ITU-T H.265 table A.8: 600).
const MAX_UNITS: usize = 1024;

/// In front of each NAL unit inside a frame.
const LENGTH: usize = 4;

/// A source without an IDR picture for so long, in seconds, has none: its recovery points are
/// where viewers can start.
const NO_KEY: i64 = 10;

/// FU header (RFC 6184 §5.8, RFC 7798 §4.4.3).
const START: u8 = 1 << 7;
const END: u8 = 1 << 6;

/// Puts the pictures of one track together.
#[derive(Debug)]
pub(crate) struct Pictures {
    format: NalFormat,
    clock_rate: i64,
    /// Has the parameter sets.
    track: NalTrack,
    current: Current,
    /// When the last key frame was shown.
    key: Option<i64>,
    /// Something is missing in front of the next picture.
    gap: bool,
    /// The camera sets the marker within pictures.
    marker_lies: bool,
    damaged: u64,
}

/// The picture that is being put together.
#[derive(Debug, Default)]
struct Current {
    timestamp: Option<i64>,
    bytes: Vec<u8>,
    units: usize,
    /// Where the NAL unit starts of which fragments are missing.
    fragment: Option<usize>,
    slices: usize,
    key_slices: usize,
    recovery: Option<u32>,
    /// Something is missing or made no sense.
    damaged: bool,
    /// Packets before its first one are missing, perhaps its own.
    head_lost: bool,
    /// A marker ended a picture of the same timestamp.
    continued: bool,
}

impl Pictures {
    pub(super) fn new(format: NalFormat, known: Option<&VideoParameters>, clock_rate: u32) -> Self {
        Self {
            format,
            clock_rate: i64::from(clock_rate),
            track: track(format, known),
            current: Current {
                head_lost: true,
                ..Current::default()
            },
            key: None,
            gap: true,
            marker_lies: false,
            damaged: 0,
        }
    }

    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    pub(super) fn push(&mut self, packet: &Packet, timestamp: i64, lost: bool, out: &mut Outputs) {
        if lost {
            self.gap = true;
            self.current.drop_fragment();
            self.current.damaged |= !self.current.is_empty();
            self.current.head_lost = true;
        }
        if self.current.timestamp != Some(timestamp) {
            let head_lost = lost || self.current.is_empty() && self.current.head_lost;
            self.finish(out);
            self.current.timestamp = Some(timestamp);
            self.current.head_lost = head_lost;
            self.current.continued = false;
        }
        self.payload(&packet.payload);
        let has_picture = self.current.slices > 0 || self.current.damaged;
        if packet.marker && has_picture && !self.marker_lies {
            self.finish(out);
            self.current.timestamp = Some(timestamp);
            self.current.continued = true;
        }
    }

    fn payload(&mut self, payload: &Bytes) {
        let format = self.format;
        if payload.len() <= format.header() {
            return;
        }
        let kind = format.unit_type(payload[0]);
        if kind == format.fragmentation() {
            return self.fragment(payload);
        }
        self.close_fragment();
        let body = &payload[format.header()..];
        match (format, kind) {
            (_, kind) if kind == format.aggregation() => self.aggregate(body),
            // STAP-B: a decoding order number of two bytes, then as STAP-A (RFC 6184 §5.7.1).
            (NalFormat::H264, 25) => self.aggregate(body.get(2..).unwrap_or_default()),
            // MTAP and FU-B are for interleaving, PACI (RFC 7798 §4.4.4) for nobody.
            (NalFormat::H264, 26 | 27 | 29) | (NalFormat::H265, 50) => self.current.damaged = true,
            _ => self.unit(payload),
        }
    }

    /// RFC 6184 §5.7.1, RFC 7798 §4.4.2: sizes of two bytes and NAL units.
    fn aggregate(&mut self, mut rest: &[u8]) {
        while let Some((size, after)) = rest.split_first_chunk::<2>() {
            let Some((unit, after)) = after.split_at_checked(u16::from_be_bytes(*size).into())
            else {
                self.current.damaged = true;
                return;
            };
            self.unit(unit);
            rest = after;
        }
    }

    /// RFC 6184 §5.8, RFC 7798 §4.4.3.
    fn fragment(&mut self, payload: &[u8]) {
        let header = self.format.header();
        let Some(fu) = payload.get(header) else {
            return;
        };
        if fu & START != 0 {
            self.close_fragment();
            let kind = match self.format {
                NalFormat::H264 => fu & 0x1f,
                NalFormat::H265 => fu & 0x3f,
            };
            let nal = self.format.with_type(payload, kind);
            self.current.fragment = Some(self.current.bytes.len());
            self.current.bytes.put_u32(0);
            self.current.bytes.extend_from_slice(&nal[..header]);
        } else if self.current.fragment.is_none() {
            // Its start is missing.
            self.current.damaged = true;
            return;
        }
        if self.current.bytes.len() + payload.len() > MAX_PICTURE {
            self.current.drop_fragment();
            self.current.damaged = true;
            return;
        }
        self.current.bytes.extend_from_slice(&payload[header + 1..]);
        if fu & END != 0 {
            self.close_fragment();
        }
    }

    /// The fragments up to here are the whole NAL unit: nothing is missing between packets, and
    /// some cameras forget to mark the last.
    fn close_fragment(&mut self) {
        let Some(start) = self.current.fragment.take() else {
            return;
        };
        let unit = &self.current.bytes[start + LENGTH..];
        if unit.len() <= self.format.header() {
            self.current.bytes.truncate(start);
        } else if unit::may_hide_others(self.format, unit) {
            let unit = self.current.bytes.split_off(start + LENGTH);
            self.current.bytes.truncate(start);
            self.unit(&unit);
        } else {
            let length = without_trailing_zeros(unit).len();
            let kind = unit::kind(self.format, unit);
            self.current.bytes.truncate(start + LENGTH + length);
            self.current.bytes[start..start + LENGTH]
                .copy_from_slice(&(length as u32).to_be_bytes());
            self.note(kind);
        }
    }

    /// A whole NAL unit, or several with start codes between them.
    fn unit(&mut self, bytes: &[u8]) {
        if bytes.len() > self.format.header() && !unit::may_hide_others(self.format, bytes) {
            return self.single(bytes);
        }
        for unit in split_at_start_codes(bytes) {
            self.single(unit);
        }
    }

    fn single(&mut self, bytes: &[u8]) {
        let unit = without_trailing_zeros(bytes);
        if unit.len() <= self.format.header() {
            return;
        }
        let kind = unit::kind(self.format, unit);
        match kind {
            Kind::Useless => return,
            Kind::ParameterSet => match self.track.keep(unit) {
                Ok(true) => return,
                // Further ones stay in the picture; a decoder's configuration has no place.
                Ok(false) => {}
                Err(_) => {
                    self.current.damaged = true;
                    return;
                }
            },
            Kind::Other => {
                let recovery = unit::recovery_point(self.format, unit);
                self.current.recovery = self.current.recovery.or(recovery);
            }
            Kind::Slice { .. } => {}
        }
        if self.current.bytes.len() + LENGTH + unit.len() > MAX_PICTURE {
            self.current.damaged = true;
            return;
        }
        self.current.bytes.put_u32(unit.len() as u32);
        self.current.bytes.extend_from_slice(unit);
        self.note(kind);
    }

    /// A NAL unit has been added.
    fn note(&mut self, kind: Kind) {
        let current = &mut self.current;
        current.units += 1;
        current.damaged |= current.units > MAX_UNITS;
        let Kind::Slice { key, first } = kind else {
            return;
        };
        if current.slices == 0 && !first {
            current.damaged |= current.head_lost || current.continued;
            if current.continued && !current.head_lost {
                self.marker_lies = true;
            }
        }
        current.slices += 1;
        current.key_slices += usize::from(key);
    }

    /// The picture is complete, as far as it goes.
    fn finish(&mut self, out: &mut Outputs) {
        self.close_fragment();
        let current = &mut self.current;
        if current.damaged {
            self.damaged += 1;
            self.gap = true;
        } else if current.slices > 0
            && let Some(timestamp) = current.timestamp
        {
            let without_key = self
                .key
                .is_none_or(|key| timestamp.saturating_sub(key) > NO_KEY * self.clock_rate);
            let recovers = current
                .recovery
                .is_some_and(|after| after == 0 || without_key);
            let key = current.key_slices == current.slices || recovers;
            if key {
                self.key = Some(timestamp);
            }
            tell(&mut self.track, out);
            out.push_back(Output::Picture(Picture {
                timestamp,
                key,
                gap: std::mem::take(&mut self.gap),
                // A copy, since pictures are kept: they should not hold the memory of larger ones.
                payload: Bytes::copy_from_slice(&current.bytes),
            }));
        }
        let mut bytes = std::mem::take(&mut current.bytes);
        bytes.clear();
        *current = Current {
            bytes,
            ..Current::default()
        };
    }
}

fn track(format: NalFormat, known: Option<&VideoParameters>) -> NalTrack {
    let mut track = NalTrack::new(format);
    if let Some((_, sets)) = known.and_then(|known| parameter_sets(known.codec())) {
        let sets = sets.into_iter().filter(|set| !set.is_empty());
        // They have been parsed before.
        let _ = track.configure(sets.map(|set| &set[..]));
        track.take_changed();
    }
    track
}

/// Says if the parameters are others than before.
fn tell(track: &mut NalTrack, out: &mut Outputs) {
    if let Err(error) = track.settle() {
        out.push_back(Output::BadParameters(error));
    } else if let Some(parameters) = track.take_changed() {
        out.push_back(Output::Parameters(Box::new(parameters.clone())));
    }
}

impl Current {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.slices == 0 && !self.damaged
    }

    fn drop_fragment(&mut self) {
        if let Some(start) = self.fragment.take() {
            self.bytes.truncate(start);
            self.damaged = true;
        }
    }
}
