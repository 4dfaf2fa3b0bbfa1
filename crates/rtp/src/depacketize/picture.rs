//! Pictures of H.264 (RFC 6184, packetization modes 0 and 1) and H.265 (RFC 7798).
//!
//! A picture ends with the marker bit, as it should, or where the timestamp changes, for cameras
//! that never set the bit. Those that set it on every NAL unit are found out, and then only the
//! timestamp counts. A picture of which something is missing is dropped as a whole.

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes};
use headworks_media::VideoParameters;

use super::{MAX_PICTURE, Output, Outputs, Picture, sets::Sets, unit};
use crate::{Packet, depacketize::unit::Kind, nal::Syntax};

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
    syntax: Syntax,
    clock_rate: i64,
    sets: Sets,
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
    pub(super) fn new(syntax: Syntax, known: Option<VideoParameters>, clock_rate: u32) -> Self {
        Self {
            syntax,
            clock_rate: i64::from(clock_rate),
            sets: Sets::new(known),
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
        let syntax = self.syntax;
        if payload.len() <= syntax.header() {
            return;
        }
        let kind = syntax.kind(payload[0]);
        if kind == syntax.fragmentation() {
            return self.fragment(payload);
        }
        self.close_fragment();
        let body = &payload[syntax.header()..];
        match (syntax, kind) {
            (_, kind) if kind == syntax.aggregation() => self.aggregate(body),
            // STAP-B: a decoding order number of two bytes, then as STAP-A (RFC 6184 §5.7.1).
            (Syntax::H264, 25) => self.aggregate(body.get(2..).unwrap_or_default()),
            // MTAP and FU-B are for interleaving, PACI (RFC 7798 §4.4.4) for nobody.
            (Syntax::H264, 26 | 27 | 29) | (Syntax::H265, 50) => self.current.damaged = true,
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
        let header = self.syntax.header();
        let Some(fu) = payload.get(header) else {
            return;
        };
        if fu & START != 0 {
            self.close_fragment();
            let kind = match self.syntax {
                Syntax::H264 => fu & 0x1f,
                Syntax::H265 => fu & 0x3f,
            };
            let nal = self.syntax.with_kind(payload, kind);
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
        if unit.len() <= self.syntax.header() {
            self.current.bytes.truncate(start);
        } else if unit::may_hide_others(self.syntax, unit) {
            let unit = self.current.bytes.split_off(start + LENGTH);
            self.current.bytes.truncate(start);
            self.unit(&unit);
        } else {
            let length = unit::without_trailing_zeros(unit).len();
            let kind = unit::kind(self.syntax, unit);
            self.current.bytes.truncate(start + LENGTH + length);
            self.current.bytes[start..start + LENGTH]
                .copy_from_slice(&(length as u32).to_be_bytes());
            self.note(kind);
        }
    }

    /// A whole NAL unit, or several with start codes between them.
    fn unit(&mut self, bytes: &[u8]) {
        if bytes.len() > self.syntax.header() && !unit::may_hide_others(self.syntax, bytes) {
            return self.single(bytes);
        }
        for unit in unit::split_at_start_codes(bytes) {
            self.single(unit);
        }
    }

    fn single(&mut self, bytes: &[u8]) {
        let unit = unit::without_trailing_zeros(bytes);
        if unit.len() <= self.syntax.header() {
            return;
        }
        let kind = unit::kind(self.syntax, unit);
        match kind {
            Kind::Useless => return,
            Kind::ParameterSet(place) if self.sets.take(place, unit) => return,
            Kind::Other => {
                let recovery = unit::recovery_point(self.syntax, unit);
                self.current.recovery = self.current.recovery.or(recovery);
            }
            Kind::Slice { .. } | Kind::ParameterSet(_) => {}
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
            self.sets.tell(self.syntax, out);
            out.push_back(Output::Picture(Picture {
                timestamp,
                key,
                gap: std::mem::take(&mut self.gap),
                // A copy, since pictures are kept: they should not hold the memory of larger ones.
                payload: Bytes::copy_from_slice(&current.bytes),
            }));
        }
        self.sets.next_picture();
        let mut bytes = std::mem::take(&mut current.bytes);
        bytes.clear();
        *current = Current {
            bytes,
            ..Current::default()
        };
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
