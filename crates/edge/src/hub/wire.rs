//! Bytes as they go out, written once for all viewers of a format.

use std::{io::IoSlice, slice};

use bytes::Bytes;
use headworks_media::TrackKind;

/// A shorter payload is copied behind its header: with 200 viewers of 1 kB a write of three slices
/// costs 3 % more than one of one, with 10 kB nothing that can be measured.
pub(super) const SHARE_FROM: usize = 4096;

/// What one frame, or what comes before it, is on the wire. It can be sent to a viewer or left
/// out, but not cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wire {
    content: Content,
    length: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    /// For a byte stream.
    One(Bytes),
    /// For a byte stream, one behind the other.
    Many(Box<[Bytes]>),
    Datagrams(Box<[Datagrams]>),
}

/// Datagrams that go out together: all but the last have the same length.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Datagrams {
    /// Whose they are.
    pub(super) track: TrackKind,
    /// RTCP, which has a port of its own.
    pub(super) is_control: bool,
    /// The length of each; the last may be shorter.
    pub(super) segment: usize,
    /// One behind the other.
    pub(super) bytes: Bytes,
}

impl Default for Content {
    fn default() -> Self {
        Self::One(Bytes::new())
    }
}

impl Wire {
    /// These slices, one behind the other.
    pub(super) fn of(slices: Vec<Bytes>) -> Self {
        let length = slices.iter().map(Bytes::len).sum();
        Self {
            content: Content::Many(slices.into()),
            length,
        }
    }

    /// For who gets datagrams.
    pub(super) fn datagrams(datagrams: Vec<Datagrams>) -> Self {
        let length = datagrams.iter().map(|run| run.bytes.len()).sum();
        Self {
            content: Content::Datagrams(datagrams.into()),
            length,
        }
    }

    /// A payload between a header and a trailer. The payload is shared with everybody who has it,
    /// unless it is short.
    pub(super) fn framed(header: &[u8], payload: &Bytes, trailer: &[u8]) -> Self {
        if payload.len() < SHARE_FROM {
            return Bytes::from([header, payload, trailer].concat()).into();
        }
        // One allocation for what is not the payload.
        let around = Bytes::from([header, trailer].concat());
        Self::of(vec![
            around.slice(..header.len()),
            payload.clone(),
            around.slice(header.len()..),
        ])
    }

    /// What goes into a byte stream.
    pub(super) fn slices(&self) -> &[Bytes] {
        match &self.content {
            Content::One(one) => slice::from_ref(one),
            Content::Many(many) => many,
            Content::Datagrams(_) => &[],
        }
    }

    /// What goes out in datagrams.
    pub(super) fn runs(&self) -> &[Datagrams] {
        match &self.content {
            Content::Datagrams(runs) => runs,
            Content::One(_) | Content::Many(_) => &[],
        }
    }

    /// How many bytes.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl From<Bytes> for Wire {
    fn from(bytes: Bytes) -> Self {
        Self {
            length: bytes.len(),
            content: Content::One(bytes),
        }
    }
}

/// The most slices in one system call.
const MOST_SLICES: usize = 64;

/// Slices for one vectored write, as many as one system call takes.
pub(super) struct Vectors<'a> {
    slices: [IoSlice<'a>; MOST_SLICES],
    count: usize,
}

impl<'a> Vectors<'a> {
    pub(super) fn new(bytes: impl Iterator<Item = &'a Bytes>) -> Self {
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(bytes) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        Self { slices, count }
    }

    pub(super) fn as_slice(&self) -> &[IoSlice<'a>] {
        &self.slices[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_payload_is_shared_and_a_short_one_is_not() {
        for (length, slices) in [(0, 1), (SHARE_FROM - 1, 1), (SHARE_FROM, 3)] {
            let payload = Bytes::from(vec![7; length]);
            let wire = Wire::framed(b"head", &payload, b"tail");
            assert_eq!(wire.slices().len(), slices);
            assert_eq!(wire.len(), length + 8);
            let joined = wire.slices().concat();
            assert_eq!(joined[..4], *b"head");
            assert_eq!(joined[4..4 + length], payload);
            assert_eq!(joined[4 + length..], *b"tail");
        }
    }

    #[test]
    fn one_call_takes_so_many_slices_and_not_more() {
        let many = [Bytes::from_static(b"x"), Bytes::from_static(b"y")];
        let vectors = Vectors::new(many.iter().cycle());
        assert_eq!(vectors.as_slice().len(), MOST_SLICES);
    }
}
