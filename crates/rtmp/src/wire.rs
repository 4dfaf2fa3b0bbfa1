//! Messages to chunks, once for all viewers.
//!
//! A message is written with a full header and an absolute timestamp, on message stream
//! [`STREAM`], in chunks of [`CHUNK_SIZE`]: nothing in it depends on who reads it or on what was
//! written before. Both [`crate::Server`] and [`crate::Client`] announce that chunk size before
//! they announce anything else, and the server gives every client that stream. So the bytes of one
//! [`message`] go to every viewer, and also to every server that gave our client that stream.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{MediaKind, chunk::EXTENDED, command::status, link::STREAM_EOF, message::kind};

/// The size of the chunks that we write. A message up to it has one header.
pub const CHUNK_SIZE: usize = 65536;

/// The one message stream of a connection to our server.
pub const STREAM: u32 = 1;

/// A full header with extended timestamp.
const MAX_HEADER: usize = 16;

/// Chunk streams (§5.3.1.1), and 2 for the protocol's own messages.
const CONTROL: u8 = 2;
const COMMAND: u8 = 3;
const AUDIO: u8 = 4;
const DATA: u8 = 5;
const VIDEO: u8 = 6;

/// One media message in one allocation of its exact size.
#[must_use]
pub fn message(kind: MediaKind, timestamp: u32, payload: &[u8]) -> Bytes {
    message_of(kind, timestamp, &[payload])
}

/// The same from a payload in several pieces, such as FLV's header and the frame behind it.
#[must_use]
pub fn message_of(kind: MediaKind, timestamp: u32, pieces: &[&[u8]]) -> Bytes {
    write(kind.message_kind(), timestamp, STREAM, pieces)
}

/// The same without a copy of the payload: headers and slices of `payload` in turn, for one
/// vectored write. `prefix` comes before the payload, such as FLV's header; it is short.
#[must_use]
pub fn pieces(kind: MediaKind, timestamp: u32, prefix: &[u8], payload: &Bytes) -> Vec<Bytes> {
    let length = prefix.len() + payload.len();
    let head = Head::new(kind.message_kind(), timestamp, STREAM, length);
    let next = Bytes::copy_from_slice(head.next());
    let mut out = vec![Bytes::from([head.first(), prefix].concat())];
    let mut rest = payload.clone();
    let mut room = CHUNK_SIZE.saturating_sub(prefix.len());
    while !rest.is_empty() {
        if room == 0 {
            out.push(next.clone());
            room = CHUNK_SIZE;
        }
        let now = rest.split_to(rest.len().min(room));
        room -= now.len();
        out.push(now);
    }
    out
}

/// What tells a player that nothing follows. Goes between two messages, like all that is not media;
/// then the connection is closed.
#[must_use]
pub fn end() -> Bytes {
    let ended = status(
        "status",
        "NetStream.Play.UnpublishNotify",
        "The stream has ended.",
    );
    let stopped = status("status", "NetStream.Play.Stop", "Stopped playing.");
    let messages = [user_control(STREAM_EOF, &[STREAM]), ended, stopped];
    messages.concat().into()
}

/// A user control message (§7.1.7).
pub(crate) fn user_control(event: u16, values: &[u32]) -> Bytes {
    let mut payload = event.to_be_bytes().to_vec();
    payload.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    control(kind::USER_CONTROL, &payload)
}

pub(crate) fn control(kind: u8, payload: &[u8]) -> Bytes {
    write(kind, 0, 0, &[payload])
}

pub(crate) fn command(stream: u32, payload: &[u8]) -> Bytes {
    write(kind::COMMAND, 0, stream, &[payload])
}

pub(crate) fn write(kind: u8, timestamp: u32, stream: u32, pieces: &[&[u8]]) -> Bytes {
    let length = pieces.iter().map(|piece| piece.len()).sum();
    let head = Head::new(kind, timestamp, stream, length);
    let more = length.saturating_sub(1) / CHUNK_SIZE;
    let mut out = BytesMut::with_capacity(head.first().len() + length + more * head.next().len());
    out.extend_from_slice(head.first());
    let mut room = CHUNK_SIZE;
    for mut piece in pieces.iter().copied() {
        while !piece.is_empty() {
            if room == 0 {
                out.extend_from_slice(head.next());
                room = CHUNK_SIZE;
            }
            let (now, later) = piece.split_at(piece.len().min(room));
            out.extend_from_slice(now);
            room -= now.len();
            piece = later;
        }
    }
    out.freeze()
}

/// The headers of one message: format 0, then format 3, which repeats an extended timestamp.
struct Head {
    first: [u8; MAX_HEADER],
    first_length: usize,
    next: [u8; 5],
    next_length: usize,
}

impl Head {
    fn new(kind: u8, timestamp: u32, stream: u32, length: usize) -> Self {
        let chunk_stream = match kind {
            1..=6 => CONTROL,
            kind::AUDIO => AUDIO,
            kind::VIDEO => VIDEO,
            kind::DATA => DATA,
            _ => COMMAND,
        };
        let mut first = [0; MAX_HEADER];
        let mut next = [0; 5];
        let mut out = &mut first[..];
        out.put_u8(chunk_stream);
        out.put_uint(timestamp.min(EXTENDED).into(), 3);
        out.put_uint(length as u64, 3);
        out.put_u8(kind);
        out.put_u32_le(stream);
        out.put_u32(timestamp);
        next[0] = 3 << 6 | chunk_stream;
        next[1..].copy_from_slice(&timestamp.to_be_bytes());
        let extended = timestamp >= EXTENDED;
        Self {
            first,
            first_length: if extended { MAX_HEADER } else { MAX_HEADER - 4 },
            next,
            next_length: if extended { 5 } else { 1 },
        }
    }

    fn first(&self) -> &[u8] {
        &self.first[..self.first_length]
    }

    fn next(&self) -> &[u8] {
        &self.next[..self.next_length]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Limits, chunk::Reader};

    #[test]
    fn a_short_message_to_the_byte() {
        assert_eq!(
            message(MediaKind::Video, 0x01_02_03, b"ab")[..],
            [6, 1, 2, 3, 0, 0, 2, 9, 1, 0, 0, 0, b'a', b'b']
        );
        assert_eq!(
            message(MediaKind::Audio, 0x0100_0000, b"a")[..],
            [
                4, 0xff, 0xff, 0xff, 0, 0, 1, 8, 1, 0, 0, 0, 1, 0, 0, 0, b'a'
            ]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_written_is_read(
            timestamp in prop_oneof![any::<u32>(), 0xff_fffd_u32..0x100_0002],
            length in prop_oneof![0_usize..200, 65_530_usize..65_540, 131_070_usize..131_075],
            cut in 0.0..1.0,
        ) {
            let payload: Bytes = (0..length).map(|n| n as u8).collect();
            let whole = message(MediaKind::Video, timestamp, &payload);
            let at = (payload.len() as f64 * cut) as usize;
            let halves = message_of(MediaKind::Video, timestamp, &[&payload[..at], &payload[at..]]);
            prop_assert_eq!(&whole, &halves);
            let prefix = &payload[..at.min(8)];
            let parts = pieces(MediaKind::Video, timestamp, prefix, &payload.slice(prefix.len()..));
            prop_assert_eq!(&whole[..], parts.concat());
            let mut reader = Reader::new(Limits::default(), 0);
            reader.set_chunk_size(CHUNK_SIZE as u32).unwrap();
            let mut input = whole;
            let read = reader.next(&mut input).unwrap().unwrap();
            prop_assert_eq!((read.timestamp, read.stream, read.kind), (timestamp, STREAM, 9));
            prop_assert_eq!(read.payload, payload);
            prop_assert!(input.is_empty());
        }
    }
}
