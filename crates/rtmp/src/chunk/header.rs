//! Chunk headers, read without consuming them: an incomplete one is read again when more is there.

use super::EXTENDED;

/// The basic header (§5.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Basic {
    /// Which of the four message headers follows.
    pub(super) format: u8,
    /// The chunk stream.
    pub(super) id: u32,
    /// How many bytes it has.
    pub(super) length: usize,
}

impl Basic {
    /// None if it is not complete.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let (id, length) = match first & 0x3f {
            0 => (64 + u32::from(*bytes.get(1)?), 2),
            1 => {
                let low = u32::from(*bytes.get(1)?);
                (64 + low + 256 * u32::from(*bytes.get(2)?), 3)
            }
            id => (id.into(), 1),
        };
        Some(Self {
            format: first >> 6,
            id,
            length,
        })
    }

    /// How long the message header is (§5.3.1.2).
    pub(super) fn message_header_length(self) -> usize {
        [11, 7, 3, 0][usize::from(self.format)]
    }
}

/// The message header of the formats 0, 1 and 2; what a format lacks is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageHeader {
    /// The field before a possible extended timestamp.
    pub(super) time: u32,
    /// Length and type.
    pub(super) shape: Option<(usize, u8)>,
    /// The message stream, little-endian of all things.
    pub(super) stream: Option<u32>,
}

impl MessageHeader {
    /// `bytes` are as long as the format says.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (time, rest) = bytes.split_first_chunk::<3>()?;
        let shape = rest
            .split_first_chunk::<4>()
            .map(|(&[a, b, c, kind], _)| (big_endian([a, b, c]) as usize, kind));
        let stream = rest.get(4..8).and_then(|bytes| bytes.try_into().ok());
        Some(Self {
            time: big_endian(*time),
            shape,
            stream: stream.map(u32::from_le_bytes),
        })
    }

    pub(super) fn is_extended(&self) -> bool {
        self.time == EXTENDED
    }
}

fn big_endian([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}
