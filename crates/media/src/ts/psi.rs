//! Tables: which program there is and what it consists of (§2.4.4).

use bytes::BufMut;

use super::{EXTENSION, EXTENSION_OPUS, REGISTRATION};

const PAT: u8 = 0;
const PMT: u8 = 2;

/// The longest section of these tables: 1021 bytes behind its three (§2.4.4.3).
const MAX_SECTION: usize = 1024;
/// From the table id to the last section number.
const SECTION_HEADER: usize = 8;
const CRC: usize = 4;

/// Puts the sections of one PID together.
#[derive(Debug, Default)]
pub(super) struct Sections {
    buffer: Vec<u8>,
}

impl Sections {
    /// Takes the payload of a cell and gives each section that is complete and undamaged.
    pub(super) fn push(&mut self, starts: bool, payload: &[u8], mut found: impl FnMut(&[u8])) {
        if !starts {
            if !self.buffer.is_empty() {
                self.take(payload, &mut found);
            }
            return;
        }
        // The pointer field tells where the next section begins; the last may end before.
        let Some((pointer, rest)) = payload.split_first() else {
            return;
        };
        let Some((before, new)) = rest.split_at_checked((*pointer).into()) else {
            self.buffer.clear();
            return;
        };
        if !self.buffer.is_empty() {
            self.take(before, &mut found);
        }
        self.buffer.clear();
        self.take(new, &mut found);
    }

    fn take(&mut self, bytes: &[u8], found: &mut impl FnMut(&[u8])) {
        self.buffer.extend_from_slice(bytes);
        // Stuffing behind the last section is 0xff, which is no table id.
        while let [id, high, low, ..] = *self.buffer
            && id != 0xff
        {
            let length = 3 + (usize::from(high & 0xf) << 8 | usize::from(low));
            if length > MAX_SECTION {
                break;
            }
            let Some(section) = self.buffer.get(..length) else {
                return;
            };
            // A checksum over all, itself included, is 0.
            if length >= SECTION_HEADER + CRC && crc(section) == 0 {
                found(section);
            }
            self.buffer.drain(..length);
        }
        // A header that is not yet complete may go on in the next cell.
        if self.buffer.len() >= 3 || self.buffer.first() == Some(&0xff) {
            self.buffer.clear();
        }
    }
}

/// What stands between header and checksum, if it is this table and valid now.
fn body(section: &[u8], table: u8) -> Option<&[u8]> {
    let is_current = section.get(5)? & 1 != 0;
    if section[0] != table || !is_current {
        return None;
    }
    section.get(SECTION_HEADER..section.len().checked_sub(CRC)?)
}

/// Where the table of the first program is (§2.4.4.4). Program 0 is the network's.
pub(super) fn parse_pat(section: &[u8]) -> Option<u16> {
    let (entries, _) = body(section, PAT)?.as_chunks::<4>();
    entries
        .iter()
        .find(|entry| entry[..2] != [0, 0])
        .map(|entry| pid(entry[2], entry[3]))
}

/// One stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stream<'a> {
    pub(super) stream_type: u8,
    pub(super) pid: u16,
    descriptors: &'a [u8],
}

impl<'a> Stream<'a> {
    fn descriptors(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.descriptors;
        std::iter::from_fn(move || {
            let [tag, length, behind @ ..] = rest else {
                return None;
            };
            let (content, behind) = behind.split_at_checked((*length).into())?;
            rest = behind;
            Some((*tag, content))
        })
    }

    /// Who has registered what it holds (§2.6.8).
    pub(super) fn registration(self) -> Option<[u8; 4]> {
        self.descriptors()
            .find(|(tag, _)| *tag == REGISTRATION)
            .and_then(|(_, content)| content.first_chunk().copied())
    }

    /// True if it has a descriptor with this tag.
    pub(super) fn has(self, tag: u8) -> bool {
        self.descriptors().any(|(other, _)| other == tag)
    }

    /// The channels of Opus.
    pub(super) fn opus_channels(self) -> Option<u8> {
        self.descriptors()
            .find_map(|(tag, content)| match (tag, content) {
                (EXTENSION, [EXTENSION_OPUS, channels, ..]) => Some(*channels),
                _ => None,
            })
    }
}

/// What the program consists of (§2.4.4.8).
pub(super) fn parse_pmt(section: &[u8]) -> Option<Vec<Stream<'_>>> {
    let [_, _, high, low, rest @ ..] = body(section, PMT)? else {
        return None;
    };
    let (_, mut rest) = rest.split_at_checked(usize::from(pid(*high, *low) & 0xfff))?;
    let mut streams = Vec::new();
    while let [stream_type, high, low, length_high, length_low, behind @ ..] = rest {
        let length = pid(*length_high, *length_low) & 0xfff;
        let (descriptors, behind) = behind.split_at_checked(length.into())?;
        streams.push(Stream {
            stream_type: *stream_type,
            pid: pid(*high, *low),
            descriptors,
        });
        rest = behind;
    }
    Some(streams)
}

/// Thirteen bits.
fn pid(high: u8, low: u8) -> u16 {
    u16::from(high & 0x1f) << 8 | u16::from(low)
}

/// The table of one program, as the payload of a cell.
pub(super) fn write_pat(pmt_pid: u16) -> Vec<u8> {
    let mut entries = Vec::new();
    entries.put_u16(1);
    entries.put_u16(0xe000 | pmt_pid);
    write_section(PAT, 0, &entries)
}

/// A stream of ours: type, PID and descriptors.
pub(super) type OwnStream = (u8, u16, Vec<u8>);

/// What the program consists of, as the payload of a cell.
pub(super) fn write_pmt(version: u8, pcr_pid: u16, streams: &[OwnStream]) -> Vec<u8> {
    let mut entries = Vec::new();
    entries.put_u16(0xe000 | pcr_pid);
    entries.put_u16(0xf000);
    for (stream_type, pid, descriptors) in streams {
        entries.put_u8(*stream_type);
        entries.put_u16(0xe000 | pid);
        entries.put_u16(0xf000 | descriptors.len() as u16);
        entries.extend_from_slice(descriptors);
    }
    write_section(PMT, version, &entries)
}

/// The first of our programs and streams has number 1.
fn write_section(table: u8, version: u8, entries: &[u8]) -> Vec<u8> {
    let mut out = vec![0, table]; // pointer field
    out.put_u16(0xb000 | (SECTION_HEADER - 3 + entries.len() + CRC) as u16);
    out.put_u16(1);
    out.put_u8(0xc1 | (version & 0x1f) << 1);
    out.put_u16(0);
    out.extend_from_slice(entries);
    let checksum = crc(&out[1..]);
    out.put_u32(checksum);
    out
}

/// Annex A: polynomial 0x04c11db7, nothing reflected, begins with ones.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sections(payload: &[u8], cut: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut sections = Sections::default();
        for (index, piece) in payload.chunks(cut).enumerate() {
            sections.push(index == 0, piece, |section| found.push(section.to_vec()));
        }
        found
    }

    #[test]
    fn tables_read_back_however_they_are_cut() {
        let registration = b"\x05\x04HEVC".to_vec();
        let mut pmt = write_pmt(
            3,
            256,
            &[(0x24, 256, registration), (0x0f, 257, Vec::new())],
        );
        pmt.resize(184, 0xff);
        for cut in [2, 5, 20, 184] {
            let found = sections(&pmt, cut);
            assert_eq!(found.len(), 1);
            let streams = parse_pmt(&found[0]).expect("parses");
            assert_eq!((streams[0].stream_type, streams[0].pid), (0x24, 256));
            assert_eq!(streams[0].registration(), Some(*b"HEVC"));
            assert_eq!((streams[1].stream_type, streams[1].pid), (0x0f, 257));
            assert_eq!(parse_pat(&found[0]), None);
        }
        let pat = sections(&write_pat(4096), 184);
        assert_eq!(parse_pat(&pat[0]), Some(4096));
    }

    #[test]
    fn damage_is_found() {
        let mut pat = write_pat(4096);
        pat[11] ^= 1;
        assert!(sections(&pat, 184).is_empty());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(payloads in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..184)), 1..20)) {
            let mut sections = Sections::default();
            for (starts, payload) in payloads {
                sections.push(starts, &payload, |_| {});
                prop_assert!(sections.buffer.len() <= MAX_SECTION + 184);
            }
        }

        #[test]
        fn damaged_tables_never_panic(at in 0_usize..40, value: u8) {
            let mut pmt = write_pmt(0, 256, &[(0x24, 256, b"\x05\x04HEVC".to_vec()), (6, 257, vec![0x7f, 2, 0x80, 2])]);
            let at = at % pmt.len();
            pmt[at] = value;
            if let Some(streams) = parse_pmt(&pmt[1..]) {
                for stream in streams {
                    let _ = (stream.registration(), stream.opus_channels());
                }
            }
            let _ = parse_pat(&pmt[1..]);
        }
    }
}
