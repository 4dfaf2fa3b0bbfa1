//! Sound: AAC as `mpeg4-generic` in mode AAC-hbr (RFC 3640 §3.3.6), and plain samples (RFC 3551).

use super::Content;

/// An AU header of AAC-hbr has 13 bits for the size of the access unit.
const MAX_AAC: usize = (1 << 13) - 1;
/// AU-headers-length, and one AU header of 13 bits of size and 3 of index.
const AAC_HEADER: usize = 4;

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
        let [high, low] = ((unit.len() as u16) << 3).to_be_bytes();
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
