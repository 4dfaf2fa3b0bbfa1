//! Reads the body of a tag, and says where it could not.

use super::TagKind;
use crate::Error;

/// A position in a body.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    kind: TagKind,
    body: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(kind: TagKind, body: &'a [u8]) -> Self {
        Self { kind, body, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.body.len()
    }

    /// The next `length` bytes, which hold `what`.
    pub(super) fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], Error> {
        let left = &self.body[self.at..];
        let Some(taken) = left.get(..length) else {
            let left = left.len();
            return Err(self.error(format!("{what} of {length} bytes, and {left} are left")));
        };
        self.at += length;
        Ok(taken)
    }

    /// A big-endian number of so many bytes, at most four.
    pub(super) fn number(&mut self, bytes: usize, what: &str) -> Result<usize, Error> {
        let bytes = self.take(bytes, what)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    pub(super) fn byte(&mut self, what: &str) -> Result<u8, Error> {
        Ok(self.take(1, what)?[0])
    }

    pub(super) fn four_cc(&mut self) -> Result<[u8; 4], Error> {
        let bytes = self.take(4, "FourCC")?;
        Ok([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// An error here.
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::Malformed {
            container: "FLV",
            part: self.kind.name(),
            offset: self.at as u64,
            reason: reason.into(),
        }
    }
}
