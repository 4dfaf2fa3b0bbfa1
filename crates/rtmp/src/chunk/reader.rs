//! Chunks to messages.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    DEFAULT_CHUNK_SIZE,
    header::{Basic, MessageHeader},
};
use crate::{Error, Limits, Message, message::kind};

/// No message is longer, so no chunk is.
const MAX_CHUNK_SIZE: u32 = 0xff_ffff;
/// Messages of the chunk protocol itself have 4 or 5 bytes, user control messages up to 14.
const MAX_CONTROL_LENGTH: usize = 64;

/// Puts messages together. A message that lies in one piece in the input is a slice of it; any
/// other one is copied once, into a buffer of its size.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    /// The chunk that is being read: the index of its stream and how many bytes are missing.
    current: Option<(usize, usize)>,
    /// Announced bytes of incomplete messages.
    partial: usize,
    offset: u64,
}

/// What a header may leave out because the one before had it (§5.3.1.2).
#[derive(Debug)]
struct ChunkStream {
    id: u32,
    kind: u8,
    stream: u32,
    length: usize,
    timestamp: u32,
    delta: u32,
    /// What the last extended timestamp field said, where there was one.
    extended: Option<u32>,
    partial: Option<BytesMut>,
}

/// A whole chunk header.
struct Header {
    basic: Basic,
    message: Option<MessageHeader>,
    extended: Option<u32>,
    length: usize,
}

impl Reader {
    /// Starts after the handshake, which was `offset` bytes long.
    #[must_use]
    pub fn new(limits: Limits, offset: u64) -> Self {
        Self {
            limits,
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            current: None,
            partial: 0,
            offset,
        }
    }

    /// Other bounds, for messages that begin from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many bytes were read, from the start of the connection.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next message. None if it is not complete: what `input` still holds (part of a header,
    /// under 20 bytes) is to be passed again with more behind it.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Message>, Error> {
        loop {
            let chunk = match self.current.take() {
                Some(current) => Some(current),
                None => self.begin_chunk(input)?,
            };
            let Some((index, missing)) = chunk else {
                return Ok(None);
            };
            let part = self.take(input, missing.min(input.len()));
            if part.len() < missing {
                self.current = Some((index, missing - part.len()));
            }
            let message = self.add(index, part)?;
            if message.is_some() || self.current.is_some() {
                return Ok(message);
            }
        }
    }

    /// Adds to the message of a chunk stream, and gives it when it is complete.
    fn add(&mut self, index: usize, part: Bytes) -> Result<Option<Message>, Error> {
        let chunk = &mut self.streams[index];
        let Some(partial) = &mut chunk.partial else {
            if part.len() == chunk.length {
                return Ok(Some(chunk.message(part)));
            }
            self.partial += chunk.length;
            let mut partial = BytesMut::with_capacity(chunk.length);
            partial.extend_from_slice(&part);
            chunk.partial = Some(partial);
            let (value, limit) = (self.partial, self.limits.partial_length);
            if value > limit {
                return Err(self.too_much("incomplete messages of", value, limit));
            }
            return Ok(None);
        };
        partial.extend_from_slice(&part);
        if partial.len() < chunk.length {
            return Ok(None);
        }
        self.partial -= chunk.length;
        let payload = chunk.partial.take().unwrap_or_default().freeze();
        Ok(Some(chunk.message(payload)))
    }

    /// The peer's Set Chunk Size (§5.4.1).
    pub fn set_chunk_size(&mut self, size: u32) -> Result<(), Error> {
        if size == 0 || size > i32::MAX as u32 {
            return Err(self.malformed("chunk size must be from 1 to 2147483647"));
        }
        self.chunk_size = size.min(MAX_CHUNK_SIZE) as usize;
        Ok(())
    }

    /// The peer's Abort (§5.4.2): it will not complete this message.
    pub fn abort(&mut self, id: u32) {
        if let Some(index) = self.streams.iter().position(|chunk| chunk.id == id)
            && self.streams[index].partial.take().is_some()
        {
            self.partial -= self.streams[index].length;
        }
    }

    /// Reads a header. Gives the chunk's stream and its length; none if it is not complete.
    fn begin_chunk(&mut self, input: &mut Bytes) -> Result<Option<(usize, usize)>, Error> {
        let Some(basic) = Basic::read(input) else {
            return Ok(None);
        };
        let known = self.streams.iter().position(|chunk| chunk.id == basic.id);
        if known.is_none() && basic.format != 0 {
            return Err(self.malformed("a chunk stream begins without a full header"));
        }
        let Some(header) = Header::read(basic, known.map(|index| &self.streams[index]), input)
        else {
            return Ok(None);
        };
        let index = match known {
            Some(index) => index,
            None => self.open(basic.id)?,
        };
        self.check(index, &header)?;
        self.streams[index].apply(&header);
        self.take(input, header.length);
        let chunk = &self.streams[index];
        let got = chunk.partial.as_ref().map_or(0, BytesMut::len);
        Ok(Some((index, (chunk.length - got).min(self.chunk_size))))
    }

    fn open(&mut self, id: u32) -> Result<usize, Error> {
        let limit = self.limits.chunk_streams;
        if self.streams.len() == limit {
            return Err(self.too_much("chunk streams:", limit + 1, limit));
        }
        self.streams.push(ChunkStream::new(id));
        Ok(self.streams.len() - 1)
    }

    fn check(&self, index: usize, header: &Header) -> Result<(), Error> {
        if header.message.is_some() && self.streams[index].partial.is_some() {
            return Err(self.malformed("a message begins inside another of its chunk stream"));
        }
        let Some((length, kind)) = header.message.and_then(|message| message.shape) else {
            return Ok(());
        };
        let (what, limit) = match kind {
            kind::VIDEO | kind::AGGREGATE => ("video message of", self.limits.video_length),
            kind::AUDIO => ("audio message of", self.limits.audio_length),
            1..=6 => ("control message of", MAX_CONTROL_LENGTH),
            _ => ("command or data message of", self.limits.command_length),
        };
        if length > limit {
            return Err(self.too_much(what, length, limit));
        }
        Ok(())
    }

    fn take(&mut self, input: &mut Bytes, length: usize) -> Bytes {
        self.offset += length as u64;
        if length == 0 {
            return Bytes::new();
        }
        input.split_to(length)
    }

    pub(crate) fn malformed(&self, what: &'static str) -> Error {
        Error::Malformed {
            offset: self.offset,
            what,
        }
    }

    fn too_much(&self, what: &'static str, value: usize, limit: usize) -> Error {
        Error::Limit {
            offset: self.offset,
            what,
            value: value as u64,
            limit: limit as u64,
        }
    }
}

impl Header {
    /// None if it is not complete in `input`.
    fn read(basic: Basic, known: Option<&ChunkStream>, input: &[u8]) -> Option<Self> {
        let start = basic.length + basic.message_header_length();
        let message = MessageHeader::read(input.get(basic.length..start)?);
        let rest = &input[start..];
        let extended = match message {
            Some(message) if message.is_extended() => Some(read_u32(rest)?),
            Some(_) => None,
            None => repeated(known?, rest)?,
        };
        Some(Self {
            basic,
            message,
            extended,
            length: start + if extended.is_some() { 4 } else { 0 },
        })
    }
}

/// Whether a format 3 header repeats the extended timestamp. By §5.3.1.3 it does; FFmpeg does, OBS
/// up to 2023 does not. So the field is there if the bytes are those of the last one.
fn repeated(chunk: &ChunkStream, rest: &[u8]) -> Option<Option<u32>> {
    let Some(last) = chunk.extended else {
        return Some(None);
    };
    let expected = last.to_be_bytes();
    let there = rest.len().min(expected.len());
    if rest[..there] != expected[..there] {
        return Some(None);
    }
    (there == expected.len()).then_some(Some(last))
}

fn read_u32(mut bytes: &[u8]) -> Option<u32> {
    bytes.try_get_u32().ok()
}

impl ChunkStream {
    fn new(id: u32) -> Self {
        Self {
            id,
            kind: 0,
            stream: 0,
            length: 0,
            timestamp: 0,
            delta: 0,
            extended: None,
            partial: None,
        }
    }

    fn apply(&mut self, header: &Header) {
        let Some(message) = &header.message else {
            // A message that begins with format 3 is as much later as the one before it was, and
            // after an absolute time by that time itself (§5.3.1.2.4): FFmpeg relies on it.
            if self.partial.is_none() {
                self.timestamp = self.timestamp.wrapping_add(self.delta);
            }
            return;
        };
        self.extended = header.extended;
        self.delta = header.extended.unwrap_or(message.time);
        self.timestamp = if header.basic.format == 0 {
            self.delta
        } else {
            self.timestamp.wrapping_add(self.delta)
        };
        if let Some((length, kind)) = message.shape {
            (self.length, self.kind) = (length, kind);
        }
        if let Some(stream) = message.stream {
            self.stream = stream;
        }
    }

    fn message(&self, payload: Bytes) -> Message {
        Message {
            kind: self.kind,
            timestamp: self.timestamp,
            stream: self.stream,
            payload,
        }
    }
}

#[cfg(test)]
mod tests;
