//! Headers of PES packets (§2.4.3.6, §2.4.3.7).

use bytes::BufMut;

/// Stream ids (table 2-22).
pub(super) const ID_PRIVATE_1: u8 = 0xbd;
pub(super) const ID_AUDIO: u8 = 0xc0;
pub(super) const ID_VIDEO: u8 = 0xe0;

/// Start code, stream id and length.
const FIXED: usize = 6;
/// The length of the header that all of ours have, before its timestamps.
const OPTIONAL: usize = 3;
const TIMESTAMP: usize = 5;

/// The whole length of a packet, if what has come of it says so already.
pub(super) fn length(packet: &[u8]) -> Option<usize> {
    match packet.get(4..FIXED)? {
        // Only pictures may leave it open.
        [0, 0] => None,
        length => Some(FIXED + usize::from(u16::from_be_bytes([length[0], length[1]]))),
    }
}

/// A whole packet: its times in 33 bits, and what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) pts: Option<u64>,
    pub(super) dts: Option<u64>,
    pub(super) data: &'a [u8],
}

/// `None` if it is not one.
pub(super) fn parse(packet: &[u8]) -> Option<Packet<'_>> {
    let [0, 0, 1, _, _, _, marker, flags, header_length, rest @ ..] = packet else {
        return None;
    };
    if marker >> 6 != 0b10 {
        return None;
    }
    let (header, data) = rest.split_at_checked((*header_length).into())?;
    let stamp = |at| header.get(at..at + TIMESTAMP).and_then(timestamp);
    Some(Packet {
        pts: if flags & 0x80 != 0 { stamp(0) } else { None },
        dts: if flags & 0xc0 == 0xc0 {
            stamp(TIMESTAMP)
        } else {
            None
        },
        data,
    })
}

/// 33 bits in three parts, with marker bits between them.
fn timestamp(bytes: &[u8]) -> Option<u64> {
    let [b0, b1, b2, b3, b4] = *bytes.first_chunk()?;
    let parts = [
        u64::from(b0 >> 1 & 7) << 30,
        u64::from(b1) << 22,
        u64::from(b2 >> 1) << 15,
        u64::from(b3) << 7,
        u64::from(b4 >> 1),
    ];
    Some(parts.iter().sum())
}

/// How long a header is.
pub(super) fn header_length(dts: i64, pts: i64) -> usize {
    let stamps = if dts == pts { 1 } else { 2 };
    FIXED + OPTIONAL + stamps * TIMESTAMP
}

/// Writes the header of a packet with so many bytes of data, which start with a frame.
pub(super) fn write_header(out: &mut Vec<u8>, id: u8, dts: i64, pts: i64, data: usize) {
    out.extend_from_slice(&[0, 0, 1, id]);
    let header = header_length(dts, pts);
    let length = header - FIXED + data;
    // Too long is written as open, which pictures may be.
    out.put_u16(u16::try_from(length).unwrap_or(0));
    out.push(0x84); // marker, data alignment
    let both = dts != pts;
    out.push(if both { 0xc0 } else { 0x80 });
    out.push((header - FIXED - OPTIONAL) as u8);
    write_timestamp(out, if both { 3 } else { 2 }, pts);
    if both {
        write_timestamp(out, 1, dts);
    }
}

fn write_timestamp(out: &mut Vec<u8>, prefix: u8, ticks: i64) {
    let part = |shift: u32, bits: u32| (ticks >> shift) as u64 & ((1 << bits) - 1);
    out.put_u8(prefix << 4 | (part(30, 3) as u8) << 1 | 1);
    out.put_u16((part(15, 15) as u16) << 1 | 1);
    out.put_u16((part(0, 15) as u16) << 1 | 1);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_read_back(dts in 0_i64..1 << 33, later in 0_i64..100_000, data in prop::collection::vec(any::<u8>(), 1..50)) {
            let pts = dts + later;
            let mut packet = Vec::new();
            write_header(&mut packet, ID_VIDEO, dts, pts, data.len());
            prop_assert_eq!(packet.len(), header_length(dts, pts));
            packet.extend_from_slice(&data);
            prop_assert_eq!(length(&packet), Some(packet.len()));
            let read = parse(&packet).expect("parses");
            prop_assert_eq!(read.pts, Some(pts as u64 & ((1 << 33) - 1)));
            prop_assert_eq!(read.dts.or(read.pts), Some(dts as u64));
            prop_assert_eq!(read.data, data);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = (length(&bytes), parse(&bytes));
            let _ = parse(&[&[0, 0, 1, 0xe0, 0, 0, 0x80][..], &bytes].concat());
        }
    }
}
