//! How the bytes of the fuzzer become what an embedder would pass on.

use std::time::Instant;

/// Where virtual time begins.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can only be made from this one"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// Reads small numbers and records off the front of an input. At the end there are zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// Up to so many bytes.
    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A record behind its length of two bytes; `None` at the end.
    pub(crate) fn record(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let length = u16::from_be_bytes([self.byte(), self.byte()]);
        Some(self.take(length.into()))
    }

    /// What is left, cut into pieces as a socket might: `how` chooses their size.
    pub(crate) fn pieces(self, how: u8) -> std::slice::Chunks<'a, u8> {
        const SIZES: [usize; 8] = [usize::MAX, 1460, 188, 97, 16, 7, 2, 1];
        // The smallest sizes would only be slow where there is much.
        let least = self.0.len() / 4096;
        self.0.chunks(SIZES[usize::from(how & 7)].max(least).max(1))
    }
}

/// Appends a record that [`Input::record`] reads.
pub(crate) fn put_record(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    out.extend((bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// How many outputs the input so far can explain. More of them are an endless loop, or a small
/// message that makes much work.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    /// Beyond what input explains: greetings, timeouts, ends.
    const FREE: usize = 256;
    const PER_BYTE: usize = 4;

    pub(crate) fn new() -> Self {
        Self { left: Self::FREE }
    }

    /// So many bytes were passed on.
    pub(crate) fn fed(&mut self, bytes: usize) {
        self.left += Self::PER_BYTE * bytes;
    }

    /// Something came out.
    pub(crate) fn spend(&mut self) {
        assert!(self.left > 0, "more outputs than the input can explain");
        self.left -= 1;
    }
}
