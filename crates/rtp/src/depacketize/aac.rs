//! AAC as `mpeg4-generic` (RFC 3640): several access units in a packet, or one in several.

use bytes::{Bytes, BytesMut};
use headworks_media::{aac::AdtsHeader, bits::Bits};

use super::{Output, Outputs, Sound};
use crate::{AuHeaders, Packet};

/// More than an access unit of 48 channels has (ISO/IEC 14496-3: 6144 bits per channel).
const MAX_UNIT: usize = 64 << 10;

/// Further than any interleaving goes, in access units.
const MAX_INDEX: u32 = 1 << 12;

/// Splits packets into access units.
#[derive(Debug)]
pub(crate) struct Aac {
    headers: AuHeaders,
    length: u32,
    /// An access unit of which the end is missing.
    part: Option<Part>,
    damaged: u64,
}

#[derive(Debug)]
struct Part {
    timestamp: i64,
    /// Packets before its first are missing, perhaps its own.
    head_lost: bool,
    size: usize,
    bytes: BytesMut,
}

/// What an AU header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    size: usize,
    /// How many access units later than the packet's first it is.
    index: u32,
}

impl Aac {
    pub(super) fn new(headers: AuHeaders, length: u32) -> Self {
        Self {
            headers,
            length,
            part: None,
            damaged: 0,
        }
    }

    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    pub(super) fn push(&mut self, packet: &Packet, timestamp: i64, lost: bool, out: &mut Outputs) {
        if self
            .part
            .as_ref()
            .is_some_and(|part| lost || part.timestamp != timestamp)
        {
            self.part = None;
            self.damaged += 1;
        }
        let Some((headers, mut data)) = self.split(&packet.payload) else {
            self.damaged += 1;
            return;
        };
        if let [header] = headers[..]
            && (self.part.is_some() || header.size > data.len())
        {
            let part = self.part.take().unwrap_or_else(|| Part {
                timestamp,
                head_lost: lost,
                size: header.size,
                bytes: BytesMut::new(),
            });
            return self.fragment(part, &data, packet.marker, out);
        }
        if self.part.take().is_some() {
            self.damaged += 1;
        }
        for header in headers {
            if header.size > data.len() || header.index > MAX_INDEX {
                self.damaged += 1;
                return;
            }
            let later = i64::from(header.index) * i64::from(self.length);
            let timestamp = timestamp.saturating_add(later);
            self.emit(timestamp, data.split_to(header.size), out);
        }
    }

    /// Adds to an access unit, the headers of which tell the size of the whole (§3.2.3.1).
    fn fragment(&mut self, mut part: Part, data: &[u8], last: bool, out: &mut Outputs) {
        part.bytes.extend_from_slice(data);
        let complete = part.bytes.len() >= part.size;
        if part.bytes.len() > MAX_UNIT || last && !complete && part.head_lost {
            self.damaged += 1;
        } else if last || complete {
            // Cameras that write a size that is too large mean what they have sent.
            part.bytes.truncate(part.size);
            self.emit(part.timestamp, part.bytes.freeze(), out);
        } else {
            self.part = Some(part);
        }
    }

    fn emit(&self, timestamp: i64, unit: Bytes, out: &mut Outputs) {
        let payload = without_adts(unit);
        if !payload.is_empty() {
            out.push_back(Output::Sound(Sound {
                timestamp,
                length: self.length,
                payload,
            }));
        }
    }

    /// The AU headers of a payload, and what they describe (§3.2.1).
    fn split(&self, payload: &Bytes) -> Option<(Vec<Header>, Bytes)> {
        let ([high, low], _) = payload.split_first_chunk::<2>()?;
        let told = usize::from(u16::from_be_bytes([*high, *low]));
        let first = usize::from(self.headers.size) + usize::from(self.headers.index);
        // Cameras that count bytes here tell less than one header has.
        let bits = if told < first { told * 8 } else { told };
        let section = payload.get(2..2 + bits.div_ceil(8));
        match section.and_then(|section| self.parse(section, bits)) {
            Some(headers) => Some((headers, payload.slice(2 + bits.div_ceil(8)..))),
            // A length that makes no sense: one access unit behind one header.
            None => {
                let data = payload.get(2 + first.div_ceil(8)..)?;
                let header = Header {
                    size: data.len(),
                    index: 0,
                };
                Some((vec![header], payload.slice_ref(data)))
            }
        }
    }

    fn parse(&self, section: &[u8], bits: usize) -> Option<Vec<Header>> {
        let mut reader = Bits::new(section);
        let mut headers = Vec::new();
        let mut index = 0_u32;
        while reader.position() < bits {
            // Padding to a byte is not a header.
            let delta = if headers.is_empty() {
                self.headers.index
            } else {
                self.headers.index_delta
            };
            if bits - reader.position() < usize::from(self.headers.size) + usize::from(delta) {
                break;
            }
            let size = reader.take(self.headers.size.into())? as usize;
            let delta = reader.take(delta.into())?;
            if !headers.is_empty() {
                index = index.checked_add(delta)?.checked_add(1)?;
            }
            headers.push(Header { size, index });
        }
        (!headers.is_empty()).then_some(headers)
    }
}

/// Some cameras leave the header of ADTS (ISO/IEC 14496-3 §1.A.2.2) in front.
fn without_adts(mut unit: Bytes) -> Bytes {
    match AdtsHeader::parse(&unit) {
        Some(header) if header.frame_length == unit.len() => unit.split_off(header.length),
        _ => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: AuHeaders = AuHeaders {
        size: 13,
        index: 3,
        index_delta: 3,
    };

    fn push(aac: &mut Aac, payload: &[u8], marker: bool, lost: bool) -> Vec<(i64, Vec<u8>)> {
        let packet = Packet {
            marker,
            payload_type: 97,
            sequence: 0,
            timestamp: 0,
            ssrc: 0,
            payload: Bytes::copy_from_slice(payload),
        };
        let mut out = Outputs::new();
        aac.push(&packet, 100, lost, &mut out);
        out.into_iter()
            .map(|output| match output {
                Output::Sound(sound) => (sound.timestamp, sound.payload.to_vec()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn several_in_a_packet() {
        let mut aac = Aac::new(USUAL, 1024);
        let found = push(
            &mut aac,
            &[0, 32, 0, 2 << 3, 0, 3 << 3, 1, 2, 3, 4, 5],
            true,
            false,
        );
        assert_eq!(found, [(100, vec![1, 2]), (1124, vec![3, 4, 5])]);
        // The second is cut off.
        let found = push(
            &mut aac,
            &[0, 32, 0, 2 << 3, 0, 3 << 3, 1, 2, 3, 4],
            true,
            false,
        );
        assert_eq!(found, [(100, vec![1, 2])]);
        assert_eq!(aac.damaged(), 1);
    }

    #[test]
    fn one_in_several_packets() {
        let mut aac = Aac::new(USUAL, 1024);
        let head = [0, 16, 0, 5 << 3];
        let part = |data: &[u8]| [&head[..], data].concat();
        assert_eq!(push(&mut aac, &part(&[1, 2]), false, false), []);
        assert_eq!(
            push(&mut aac, &part(&[3, 4, 5]), true, false),
            [(100, vec![1, 2, 3, 4, 5])]
        );
        assert_eq!(push(&mut aac, &part(&[1, 2]), false, false), []);
        assert_eq!(
            push(&mut aac, &part(&[5]), true, true),
            [],
            "the start is lost"
        );
        assert_eq!(aac.damaged(), 2);
    }

    #[test]
    fn low_bit_rate_headers() {
        let bits = AuHeaders {
            size: 6,
            index: 2,
            index_delta: 2,
        };
        let mut aac = Aac::new(bits, 960);
        let found = push(&mut aac, &[0, 16, 1 << 2, 2 << 2 | 1, 7, 8, 9], true, false);
        assert_eq!(found, [(100, vec![7]), (100 + 2 * 960, vec![8, 9])]);
    }

    #[test]
    fn cameras_that_write_wrong_headers() {
        let mut aac = Aac::new(USUAL, 1024);
        // The length of the headers in bytes.
        assert_eq!(
            push(&mut aac, &[0, 2, 0, 2 << 3, 8, 9], true, false),
            [(100, vec![8, 9])]
        );
        // A length that is longer than the packet.
        assert_eq!(
            push(&mut aac, &[9, 9, 0, 2 << 3, 8, 9], true, false),
            [(100, vec![8, 9])]
        );
        // A size that is too large, and the marker says that nothing follows.
        assert_eq!(
            push(&mut aac, &[0, 16, 0, 9 << 3, 8, 9], true, false),
            [(100, vec![8, 9])]
        );
        // ADTS inside.
        let adts = [0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 7, 8];
        let packet = [&[0, 16, 0, 9 << 3][..], &adts].concat();
        assert_eq!(push(&mut aac, &packet, true, false), [(100, vec![7, 8])]);
    }

    #[test]
    fn an_index_that_is_beyond_all_time_is_damage() {
        let headers = AuHeaders {
            size: 8,
            index: 0,
            index_delta: 32,
        };
        let mut aac = Aac::new(headers, u32::MAX);
        let payload = [0, 48, 1, 1, 0xff, 0xff, 0xff, 0xf0, 7, 8];
        assert_eq!(push(&mut aac, &payload, true, false), [(100, vec![7])]);
        assert_eq!(aac.damaged(), 1);
    }
}
