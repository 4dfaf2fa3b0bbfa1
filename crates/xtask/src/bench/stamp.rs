//! When a picture left the source, written into the picture itself.
//!
//! A stamp overwrites the last bytes of a picture, so that it is read when the whole picture has
//! been read, and so that no size changes: not of messages, chunks, packets. It is there twice,
//! since one of them may lie across the border of two chunks or packets. It has no zeros, so it
//! looks like no start code. The picture's last macroblocks are lost with it; nobody decodes here.

const MARK: [u8; 8] = *b"\xf5hwstamp";
const KEY: u8 = b'K';
const OTHER: u8 = b'P';
const DIGITS: usize = 16;
const LENGTH: usize = MARK.len() + 1 + DIGITS;
/// Pictures have at least this many bytes: headers, then room for two stamps.
const SHORTEST: usize = 64 + 2 * LENGTH;

/// What a picture tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Nanoseconds of [`super::clock`].
    pub(super) at: u64,
    /// Decoding can begin with it.
    pub(super) is_key: bool,
}

impl Stamp {
    /// Writes it into a picture; false if that is too short.
    pub(super) fn write(self, picture: &mut [u8]) -> bool {
        if picture.len() < SHORTEST {
            return false;
        }
        let kind = if self.is_key { KEY } else { OTHER };
        let at = format!("{:0DIGITS$x}", self.at);
        let stamp = [&MARK[..], &[kind], at.as_bytes()].concat();
        let end = picture.len() - 2 * LENGTH;
        picture[end..].copy_from_slice(&stamp.repeat(2));
        true
    }

    fn read(bytes: &[u8; LENGTH]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MARK)?;
        let (kind, digits) = rest.split_first()?;
        Some(Self {
            at: u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?,
            is_key: *kind == KEY,
        })
    }
}

/// Finds stamps in the bytes of one viewer, whatever protocol they are in.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// The end of what was scanned, where a stamp may have begun.
    bytes: Vec<u8>,
    last: Option<Stamp>,
}

impl Scanner {
    /// Tells `found` of each picture whose end is in `bytes`, which follow what came before.
    pub(super) fn scan(&mut self, bytes: &[u8], mut found: impl FnMut(Stamp)) {
        self.bytes.extend_from_slice(bytes);
        let mut rest = &self.bytes[..];
        while let Some(at) = rest.iter().position(|byte| *byte == MARK[0]) {
            rest = &rest[at..];
            let Some(candidate) = rest.first_chunk::<LENGTH>() else {
                break;
            };
            match Stamp::read(candidate) {
                Some(stamp) => {
                    if self.last != Some(stamp) {
                        self.last = Some(stamp);
                        found(stamp);
                    }
                    rest = &rest[LENGTH..];
                }
                None => rest = &rest[1..],
            }
        }
        let scanned = self.bytes.len() - rest.len().min(LENGTH - 1);
        self.bytes.drain(..scanned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(at: u64, is_key: bool) -> Vec<u8> {
        let mut picture = vec![MARK[0]; 300];
        assert!(Stamp { at, is_key }.write(&mut picture));
        picture
    }

    #[test]
    fn a_stamp_is_found_wherever_the_stream_is_cut() {
        let stream = [picture(1, true), picture(u64::MAX, false)].concat();
        for cut in 0..stream.len() {
            let (mut scanner, mut found) = (Scanner::default(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                scanner.scan(part, |stamp| found.push((stamp.at, stamp.is_key)));
            }
            assert_eq!(found, [(1, true), (u64::MAX, false)], "cut at {cut}");
        }
    }

    #[test]
    fn one_header_anywhere_inside_hides_no_picture() {
        let picture = picture(7, true);
        for cut in 0..picture.len() {
            let (mut scanner, mut found) = (Scanner::default(), Vec::new());
            let stream = [&picture[..cut], &[0xc6; 18], &picture[cut..]].concat();
            scanner.scan(&stream, |stamp| found.push(stamp.at));
            assert_eq!(found, [7], "cut at {cut}");
        }
    }

    #[test]
    fn a_short_picture_is_left_alone() {
        let mut picture = vec![1; SHORTEST - 1];
        let stamp = Stamp {
            at: 1,
            is_key: true,
        };
        assert!(!stamp.write(&mut picture));
        assert_eq!(picture, vec![1; SHORTEST - 1]);
    }
}
