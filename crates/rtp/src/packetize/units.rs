//! Pictures of H.264 (RFC 6184, packetization mode 1) and H.265 (RFC 7798): NAL units that fit go
//! together as far as they fit, those that do not are cut into fragments of equal size.

use bytes::BufMut;
use headworks_media::{VideoCodec, nal::NalFormat};

use super::Content;
use crate::nal::{Payloads as _, parameter_sets};

/// In front of each NAL unit inside a frame.
const LENGTH: usize = 4;
/// In front of each NAL unit inside an aggregate.
const SIZE: usize = 2;

/// FU header (RFC 6184 §5.8, RFC 7798 §4.4.3).
const START: u8 = 1 << 7;
const END: u8 = 1 << 6;

/// The NAL units of a picture: parameter sets, then what the frame holds. Ends where lengths stop
/// making sense.
#[derive(Debug, Clone)]
struct Units<'a> {
    format: NalFormat,
    sets: [&'a [u8]; 3],
    rest: &'a [u8],
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(set) = self.sets.iter_mut().find(|set| !set.is_empty()) {
            return Some(std::mem::take(set));
        }
        loop {
            let (length, rest) = self.rest.split_first_chunk::<LENGTH>()?;
            let (unit, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            self.rest = rest;
            // A unit without content tells a decoder nothing.
            if unit.len() > self.format.header() {
                return Some(unit);
            }
        }
    }
}

/// Payloads of one picture.
#[derive(Debug, Clone)]
pub(super) struct Pictures<'a> {
    units: Units<'a>,
    limit: usize,
    fragments: Option<Fragments<'a>>,
}

/// NAL units that travel in the same way.
#[derive(Debug)]
enum Group<'a> {
    One(&'a [u8]),
    Several(Aggregate<'a>),
    Parts(Fragments<'a>),
}

impl<'a> Pictures<'a> {
    /// `None` if RTP has no format for it here.
    pub(super) fn new(
        payload: &'a [u8],
        key: bool,
        codec: &'a VideoCodec,
        limit: usize,
    ) -> Option<Self> {
        let (format, sets) = parameter_sets(codec)?;
        // Whoever joins late finds them here, whatever SDP has told.
        let sets = if key {
            sets.map(|set| &set[..])
        } else {
            [&[][..]; 3]
        };
        // Parameter sets shorter than their headers are none.
        let sets = sets.map(|set| {
            if set.len() > format.header() {
                set
            } else {
                &[]
            }
        });
        Some(Self {
            units: Units {
                format,
                sets,
                rest: payload,
            },
            limit,
            fragments: None,
        })
    }

    /// How many payloads are left.
    pub(super) fn count(&self) -> u32 {
        let mut rest = self.clone();
        let mut count = rest.fragments.take().map_or(0, |parts| parts.count());
        while let Some(group) = rest.group() {
            count += match group {
                Group::One(_) | Group::Several(_) => 1,
                Group::Parts(fragments) => fragments.count(),
            };
        }
        count
    }

    /// The next payload.
    pub(super) fn next(&mut self) -> Option<Content<'a>> {
        if let Some(fragment) = self.fragments.as_mut().and_then(Fragments::next) {
            return Some(fragment);
        }
        match self.group()? {
            Group::One(unit) => Some(Content::Whole(unit)),
            Group::Several(aggregate) => Some(Content::Aggregate(aggregate)),
            Group::Parts(fragments) => self.fragments.insert(fragments).next(),
        }
    }

    fn group(&mut self) -> Option<Group<'a>> {
        let start = self.units.clone();
        let first = self.units.next()?;
        let format = self.units.format;
        if first.len() > self.limit {
            return Some(Group::Parts(Fragments::new(format, first, self.limit)));
        }
        let mut length = format.header() + SIZE + first.len();
        let mut count = 1;
        loop {
            let mut ahead = self.units.clone();
            match ahead.next() {
                Some(next) if length + SIZE + next.len() <= self.limit => {
                    length += SIZE + next.len();
                    count += 1;
                    self.units = ahead;
                }
                _ => break,
            }
        }
        Some(if count == 1 {
            Group::One(first)
        } else {
            Group::Several(Aggregate {
                units: start,
                count,
                length,
            })
        })
    }
}

/// Several NAL units in one payload (RFC 6184 §5.7.1, RFC 7798 §4.4.2).
#[derive(Debug, Clone)]
pub(super) struct Aggregate<'a> {
    /// The first `count` of these.
    units: Units<'a>,
    count: usize,
    length: usize,
}

impl<'a> Aggregate<'a> {
    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn write(&self, out: &mut impl BufMut) {
        let format = self.units.format;
        out.put_slice(&self.header()[..format.header()]);
        for unit in self.units() {
            out.put_u16(unit.len() as u16);
            out.put_slice(unit);
        }
    }

    fn units(&self) -> impl Iterator<Item = &'a [u8]> {
        self.units.clone().take(self.count)
    }

    /// As important as the most important NAL unit in it, and of the lowest layer.
    fn header(&self) -> [u8; 2] {
        let kind = self.units.format.aggregation();
        match self.units.format {
            NalFormat::H264 => {
                let forbidden = self.units().fold(0, |all, unit| all | unit[0] & 0x80);
                let nri = self.units().map(|unit| unit[0] & 0x60).max();
                [forbidden | nri.unwrap_or(0) | kind, 0]
            }
            NalFormat::H265 => {
                let forbidden = self.units().fold(0, |all, unit| all | unit[0] & 0x80);
                let layer = |unit: &[u8]| (unit[0] & 1) << 5 | unit[1] >> 3;
                let layer = self.units().map(layer).min().unwrap_or(0);
                let temporal = self.units().map(|unit| unit[1] & 7).min().unwrap_or(1);
                [forbidden | kind << 1 | layer >> 5, layer << 3 | temporal]
            }
        }
    }
}

/// One NAL unit in several payloads, all but the last of the same length.
#[derive(Debug, Clone)]
struct Fragments<'a> {
    format: NalFormat,
    /// The NAL unit's header under the type of fragments.
    header: [u8; 2],
    kind: u8,
    first: bool,
    size: usize,
    rest: &'a [u8],
}

impl<'a> Fragments<'a> {
    /// `unit` is longer than `limit`.
    fn new(format: NalFormat, unit: &'a [u8], limit: usize) -> Self {
        Self {
            format,
            header: format.with_type(unit, format.fragmentation()),
            kind: format.unit_type(unit[0]),
            first: true,
            size: limit - format.fragment_header(),
            rest: &unit[format.header()..],
        }
    }

    fn count(&self) -> u32 {
        self.rest.len().div_ceil(self.size) as u32
    }

    fn next(&mut self) -> Option<Content<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (body, rest) = self.rest.split_at(self.size.min(self.rest.len()));
        self.rest = rest;
        let start = if std::mem::take(&mut self.first) {
            START
        } else {
            0
        };
        let end = if rest.is_empty() { END } else { 0 };
        let fu = start | end | self.kind;
        let head = match self.format {
            NalFormat::H264 => [self.header[0], fu, 0, 0],
            NalFormat::H265 => [self.header[0], self.header[1], fu, 0],
        };
        Some(Content::Headed {
            head,
            length: self.format.fragment_header(),
            body,
        })
    }
}
