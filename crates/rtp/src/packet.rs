//! The RTP header (RFC 3550 §5.1).

use bytes::Bytes;

use crate::Error;

/// How long our own headers are: no contributing sources, no extension.
pub const HEADER: usize = 12;

const VERSION: u8 = 2 << 6;
const PADDING: u8 = 1 << 5;
const EXTENSION: u8 = 1 << 4;
const MARKER: u8 = 1 << 7;

/// One packet that came in. The payload shares the memory of what was parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The marker bit; what it means is up to the payload format.
    pub marker: bool,
    /// The payload type: which format, as SDP has told.
    pub payload_type: u8,
    /// Rises by one from packet to packet, and wraps.
    pub sequence: u16,
    /// In ticks of the format's clock, from a random start, and wraps.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// What is left without header, extension and padding.
    pub payload: Bytes,
}

impl Packet {
    /// Parses one packet.
    pub fn parse(bytes: &Bytes) -> Result<Self, Error> {
        let error = |offset, reason| Error::packet("RTP packet", bytes, offset, reason);
        let Some((head, _)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(error(bytes.len(), "a header has 12 bytes"));
        };
        if head[0] & 0xc0 != VERSION {
            return Err(error(0, "the version is 2"));
        }
        let mut start = HEADER + 4 * usize::from(head[0] & 0x0f);
        if head[0] & EXTENSION != 0 {
            let Some(&[_, _, high, low]) = bytes.get(start..start + 4) else {
                return Err(error(start, "an extension has 4 bytes"));
            };
            start += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        // A padding of no bytes is what some cameras write when they mean none.
        let padding = match bytes.last() {
            Some(count) if head[0] & PADDING != 0 => usize::from(*count),
            _ => 0,
        };
        let end = bytes.len().saturating_sub(padding);
        if start > end {
            return Err(error(start, "extension and padding fit into the packet"));
        }
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Ok(Self {
            marker: head[1] & MARKER != 0,
            payload_type: head[1] & !MARKER,
            sequence: u16::from_be_bytes([head[2], head[3]]),
            timestamp: word(4),
            ssrc: word(8),
            payload: bytes.slice(start..end),
        })
    }
}

/// Our header.
pub(crate) fn header(
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
) -> [u8; HEADER] {
    let mut head = [0; HEADER];
    head[0] = VERSION;
    head[1] = payload_type & !MARKER | if marker { MARKER } else { 0 };
    head[2..4].copy_from_slice(&sequence.to_be_bytes());
    head[4..8].copy_from_slice(&timestamp.to_be_bytes());
    head[8..].copy_from_slice(&ssrc.to_be_bytes());
    head
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn contributing_sources_extension_and_padding_are_taken_off() {
        let mut bytes = header(true, 96, 7, 8, 9).to_vec();
        bytes[0] |= PADDING | EXTENSION | 1;
        bytes.extend([0, 0, 0, 1]);
        bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        bytes.extend(b"payload\0\0\x03");
        let packet = Packet::parse(&bytes.clone().into()).expect("parses");
        assert_eq!(&packet.payload[..], b"payload");
        assert_eq!((packet.marker, packet.payload_type), (true, 96));
        assert_eq!((packet.sequence, packet.timestamp, packet.ssrc), (7, 8, 9));
        *bytes.last_mut().expect("has bytes") = 200;
        let error = Packet::parse(&bytes.into()).expect_err("is refused");
        assert_eq!(
            error.to_string(),
            "bad RTP packet of 34 bytes at byte 24: extension and padding fit into the packet"
        );
    }

    #[test]
    fn a_padding_of_no_bytes_is_none() {
        let mut bytes = header(false, 0, 0, 0, 0).to_vec();
        bytes[0] |= PADDING;
        bytes.extend([5, 0]);
        assert_eq!(
            Packet::parse(&bytes.into()).expect("parses").payload[..],
            [5, 0]
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes: Vec<u8>) {
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x3f | VERSION;
            }
            let _ = Packet::parse(&bytes.into());
        }

        #[test]
        fn what_is_written_is_read(marker: bool, payload_type in 0_u8..128, sequence: u16, timestamp: u32, ssrc: u32) {
            let bytes = header(marker, payload_type, sequence, timestamp, ssrc).to_vec();
            let expected = Packet { marker, payload_type, sequence, timestamp, ssrc, payload: Bytes::new() };
            prop_assert_eq!(Packet::parse(&bytes.into()), Ok(expected));
        }
    }
}
