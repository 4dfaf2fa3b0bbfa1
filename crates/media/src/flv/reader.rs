//! A byte stream in, its tags out.

use bytes::{Buf, Bytes, BytesMut};

use super::{PREVIOUS_TAG_SIZE, TAG_HEADER, TagKind};
use crate::Error;

/// The header of a file (§E.2), and the first PreviousTagSize.
const FILE_HEADER: usize = 9;
/// No header says more than its own length; some are padded.
const MAX_FILE_HEADER: usize = 1 << 10;
/// The largest tag that is taken: a key frame of 8K at the highest quality has less.
const MAX_TAG: usize = 15 << 20;

/// One tag of a byte stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it is.
    pub kind: TagKind,
    /// In milliseconds.
    pub timestamp: u32,
    /// What [`Demuxer::push`](super::Demuxer::push) takes.
    pub body: Bytes,
}

/// Finds the tags of an FLV file or an HTTP-FLV answer, however it is cut into pieces.
///
/// An error is the end: nothing behind it can be told apart.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    /// How many bytes have left the buffer.
    offset: u64,
    header_is_read: bool,
    failed: Option<Error>,
}

impl Reader {
    /// For tags without the header of a file, as in RTMP's aggregate messages.
    #[must_use]
    pub fn without_header() -> Self {
        Self {
            header_is_read: true,
            ..Self::default()
        }
    }

    /// Takes the next bytes. What is kept is at most one tag and these bytes, if [`poll`] is
    /// called until it gives `None` after each call.
    ///
    /// [`poll`]: Self::poll
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next tag; `None` if more bytes are needed for it.
    pub fn poll(&mut self) -> Result<Option<Tag>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.read();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        result
    }

    /// How many bytes have been read as tags; what was pushed beyond is the start of another.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn read(&mut self) -> Result<Option<Tag>, Error> {
        if !self.header_is_read && !self.read_header()? {
            return Ok(None);
        }
        while let Some(header) = self.buffer.first_chunk::<TAG_HEADER>() {
            // §E.4.1. The upper bits of the type are reserved, and one says that it is encrypted.
            let (kind, size) = (
                header[0],
                u32::from_be_bytes([0, header[1], header[2], header[3]]),
            );
            let timestamp = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
            let size = size as usize;
            if kind & 0x20 != 0 {
                return Err(self.error("tag", "it is encrypted"));
            }
            if size > MAX_TAG {
                return Err(self.error("tag", format!("{size} bytes, more than {MAX_TAG}")));
            }
            let kind = kind & 0x1f;
            let known = TagKind::from_number(kind);
            if known.is_none() && header[8..] != [0, 0, 0] {
                return Err(self.error("tag", format!("type {kind} is unknown")));
            }
            let whole = TAG_HEADER + size + PREVIOUS_TAG_SIZE;
            if self.buffer.len() < whole {
                // One allocation for what is known to come.
                self.buffer.reserve(whole - self.buffer.len());
                return Ok(None);
            }
            self.check_length(size)?;
            let tag = self.buffer.split_to(whole).freeze();
            self.offset += whole as u64;
            if let Some(kind) = known {
                let body = tag.slice(TAG_HEADER..TAG_HEADER + size);
                return Ok(Some(Tag {
                    kind,
                    timestamp,
                    body,
                }));
            }
        }
        Ok(None)
    }

    /// The length behind the tag repeats the one before it. Some servers write 0.
    fn check_length(&self, size: usize) -> Result<(), Error> {
        let expected = TAG_HEADER + size;
        let mut behind = &self.buffer[expected..];
        let found = behind.get_u32() as usize;
        if found != expected && found != 0 && found != size {
            let reason = format!("the length behind it is {found} instead of {expected}");
            return Err(self.error("tag", reason));
        }
        Ok(())
    }

    /// §E.2. True when it is behind us.
    fn read_header(&mut self) -> Result<bool, Error> {
        let seen = &self.buffer[..self.buffer.len().min(3)];
        if !b"FLV".starts_with(seen) {
            return Err(self.error("header", describe(&self.buffer)));
        }
        let Some(header) = self.buffer.first_chunk::<FILE_HEADER>() else {
            return Ok(false);
        };
        let [_, _, _, version, _, length @ ..] = *header;
        if version != 1 {
            return Err(self.error("header", format!("version {version} is unknown")));
        }
        let length = u32::from_be_bytes(length) as usize;
        if !(FILE_HEADER..=MAX_FILE_HEADER).contains(&length) {
            return Err(self.error("header", format!("a length of {length} bytes")));
        }
        let whole = length + PREVIOUS_TAG_SIZE;
        if self.buffer.len() < whole {
            return Ok(false);
        }
        self.buffer.advance(whole);
        self.offset += whole as u64;
        self.header_is_read = true;
        Ok(true)
    }

    fn error(&self, part: &'static str, reason: impl Into<String>) -> Error {
        Error::Malformed {
            container: "FLV",
            part,
            offset: self.offset,
            reason: reason.into(),
        }
    }
}

/// What it looks like that is not FLV.
fn describe(bytes: &[u8]) -> String {
    let text = bytes.trim_ascii_start();
    let like = match text {
        [b'<', ..] => "looks like HTML or XML",
        [b'{' | b'[', ..] => "looks like JSON",
        _ if text.starts_with(b"#EXTM3U") => "looks like an HLS playlist",
        [0x47, ..] => "looks like MPEG-TS",
        _ if bytes.get(4..8) == Some(b"ftyp") => "looks like MP4",
        _ => "it does not begin with FLV",
    };
    let start = &bytes[..bytes.len().min(16)];
    format!("not FLV: {like} ({})", start.escape_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Tracks, flv,
        parameters::tests::{aac, h264},
    };

    fn read_all(reader: &mut Reader) -> Result<Vec<Tag>, Error> {
        let mut tags = Vec::new();
        while let Some(tag) = reader.poll()? {
            tags.push(tag);
        }
        Ok(tags)
    }

    fn error_of(bytes: &[u8]) -> String {
        let mut reader = Reader::default();
        reader.push(bytes);
        read_all(&mut reader).expect_err("not FLV").to_string()
    }

    #[test]
    fn tags_are_found_however_they_are_cut() {
        let tracks = Tracks {
            video: h264(),
            audio: Some(aac()),
        };
        // A timestamp that needs its upper byte.
        let file = flv::start(&tracks, 0x0102_0304 * 90);
        for size in [1, 2, 7, 1000] {
            let mut reader = Reader::default();
            let mut tags = Vec::new();
            for piece in file.chunks(size) {
                reader.push(piece);
                tags.extend(read_all(&mut reader).expect("reads"));
            }
            let kinds: Vec<_> = tags.iter().map(|tag| (tag.kind, tag.timestamp)).collect();
            let time = 0x0102_0304;
            assert_eq!(
                kinds,
                [
                    (TagKind::Script, 0),
                    (TagKind::Video, time),
                    (TagKind::Audio, time)
                ]
            );
            assert_eq!(tags[2].body[..], [0xaf, 0, 0x11, 0x90]);
            assert_eq!(reader.offset(), file.len() as u64);
            let mut headless = Reader::without_header();
            headless.push(&file[13..]);
            assert_eq!(read_all(&mut headless), Ok(tags));
        }
    }

    #[test]
    fn what_is_not_flv_is_named() {
        assert_eq!(
            error_of(b"<!doctype html>"),
            "bad FLV, header at byte 0: not FLV: looks like HTML or XML (<!doctype html>)"
        );
        assert!(error_of(b"#EXTM3U\n").contains("looks like an HLS playlist"));
        assert!(error_of(b"FLV\x02\x05\0\0\0\x09").contains("version 2"));
        assert!(error_of(b"FLV\x01\x05\xff\0\0\x09").contains("a length of"));
    }

    #[test]
    fn broken_tags_are_located() {
        let start = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
        let with = |tag: &[u8]| error_of(&[start, tag].concat());
        assert_eq!(
            with(b"\x09\xff\xff\xff\0\0\0\0\0\0\0"),
            "bad FLV, tag at byte 13: 16777215 bytes, more than 15728640"
        );
        assert!(with(b"\x09\0\0\x01\0\0\0\0\0\0\0x\0\0\0\x63").contains("instead of 12"));
        assert!(with(b"\x29\0\0\x01\0\0\0\0\0\0\0x\0\0\0\x0c").contains("encrypted"));
        assert!(with(b"\x55\0\0\x01\0\0\0\0\x01\x02\x03x").contains("type 21"));
    }

    #[test]
    fn after_an_error_nothing_is_kept() {
        let mut reader = Reader::default();
        reader.push(b"nonsense");
        let first = reader.poll();
        reader.push(&[0; 1000]);
        assert_eq!(reader.poll(), first);
        assert!(reader.buffer.is_empty());
    }

    /// A tag that is right, or has a length that is not, or is noise.
    fn tag() -> impl Strategy<Value = Vec<u8>> {
        let body = prop::collection::vec(any::<u8>(), 0..40);
        (
            prop_oneof![Just(8_u8), Just(9), Just(18), any::<u8>()],
            body,
            any::<u32>(),
            0..4_u32,
        )
            .prop_map(|(kind, body, time, off)| {
                let mut tag = vec![kind, 0, 0, body.len() as u8];
                tag.extend_from_slice(&time.to_be_bytes());
                tag.extend_from_slice(&[0, 0, 0]);
                tag.extend_from_slice(&body);
                let length = (tag.len() as u32).saturating_sub(off / 3);
                tag.extend_from_slice(&length.to_be_bytes());
                tag
            })
    }

    proptest! {
        #[test]
        fn garbage_behind_a_good_header_never_panics(
            tags in prop::collection::vec(tag(), 0..6),
            rest: Vec<u8>,
            size in 1_usize..64,
        ) {
            let start = *b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
            let file = [&start[..], &tags.concat(), &rest].concat();
            let mut reader = Reader::default();
            let mut found = 0;
            for piece in file.chunks(size) {
                reader.push(piece);
                let Ok(tags) = read_all(&mut reader) else { break };
                found += tags.len();
            }
            prop_assert!(found <= tags.len() + rest.len() / TAG_HEADER);
            prop_assert!(reader.offset() <= file.len() as u64);
        }
    }
}
