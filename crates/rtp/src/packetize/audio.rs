//! Sound: AAC as `mpeg4-generic` in mode AAC-hbr (RFC 3640 §3.3.6), and plain samples (RFC 3551).

use bytes::{BufMut, Bytes};

use super::Content;
use crate::{HEADER, MAX_PACKET};

/// An AU header of AAC-hbr has 13 bits for the size of the access unit.
const MAX_AAC: usize = (1 << 13) - 1;
/// An AU header: 13 bits of size, and 3 that say how many access units are left out before it.
const AU_HEADER: usize = 2;
/// AU-headers-length, and one AU header.
const AAC_HEADER: usize = 2 + AU_HEADER;
/// More than 40 ms have at any rate, and few enough for any player's table.
const MAX_UNITS: usize = 8;

/// More than a packet of 120 ms at the highest rate has (RFC 6716 §3.2), and a bound for what
/// goes into one datagram.
pub(super) const MAX_OPUS: usize = 8 * 1024;

/// One access unit of AAC, in as few packets as it takes.
#[derive(Debug, Clone)]
pub(super) struct Aac<'a> {
    header: [u8; AAC_HEADER],
    size: usize,
    rest: &'a [u8],
}

impl<'a> Aac<'a> {
    /// `None` if it is too long for its header.
    pub(super) fn new(unit: &'a [u8], limit: usize) -> Option<Self> {
        if unit.len() > MAX_AAC {
            return None;
        }
        // The headers of fragments tell the size of the whole (§3.2.3.1).
        let [high, low] = au_header(unit);
        Some(Self {
            header: [0, 16, high, low],
            size: limit - AAC_HEADER,
            rest: unit,
        })
    }

    pub(super) fn count(&self) -> u32 {
        self.rest.len().div_ceil(self.size) as u32
    }

    pub(super) fn next(&mut self) -> Option<Content<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (body, rest) = self.rest.split_at(self.size.min(self.rest.len()));
        self.rest = rest;
        Some(Content::Headed {
            head: self.header,
            length: AAC_HEADER,
            body,
        })
    }
}

/// True if access units of AAC, which follow each other without a hole, can leave in one packet of
/// [`MAX_PACKET`] bytes.
#[must_use]
pub fn aac_shares_packet<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let (mut count, mut length) = (0, HEADER + 2);
    units.into_iter().all(|unit| {
        count += 1;
        length += AU_HEADER + unit.len();
        !unit.is_empty() && count <= MAX_UNITS && length <= MAX_PACKET
    })
}

/// Whole access units of AAC, which follow each other (§3.2.3.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct AacUnits<'a> {
    pub(super) first: &'a [u8],
    pub(super) more: &'a [Bytes],
}

impl<'a> AacUnits<'a> {
    fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        std::iter::once(self.first).chain(self.more.iter().map(|unit| &unit[..]))
    }

    pub(super) fn length(self) -> usize {
        2 + self
            .iter()
            .map(|unit| AU_HEADER + unit.len())
            .sum::<usize>()
    }

    pub(super) fn write(self, out: &mut impl BufMut) {
        let headers = AU_HEADER * (1 + self.more.len());
        out.put_u16(headers as u16 * 8);
        self.iter().for_each(|unit| out.put_slice(&au_header(unit)));
        self.iter().for_each(|unit| out.put_slice(unit));
    }
}

/// Of an access unit before which none is left out.
fn au_header(unit: &[u8]) -> [u8; AU_HEADER] {
    ((unit.len() as u16) << 3).to_be_bytes()
}

/// Samples of one byte per channel, which can be cut anywhere between two of them.
#[derive(Debug, Clone)]
pub(super) struct Samples<'a> {
    channels: usize,
    size: usize,
    later: u32,
    rest: &'a [u8],
}

impl<'a> Samples<'a> {
    pub(super) fn new(samples: &'a [u8], channels: u8, limit: usize) -> Self {
        let channels = usize::from(channels.max(1));
        Self {
            channels,
            size: (limit / channels * channels).max(channels),
            later: 0,
            rest: samples,
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.rest.len().div_ceil(self.size) as u32
    }

    /// The next part, and how many samples come before it.
    pub(super) fn next(&mut self) -> Option<(&'a [u8], u32)> {
        if self.rest.is_empty() {
            return None;
        }
        let (part, rest) = self.rest.split_at(self.size.min(self.rest.len()));
        self.rest = rest;
        let later = self.later;
        self.later += (part.len() / self.channels) as u32;
        Some((part, later))
    }
}
