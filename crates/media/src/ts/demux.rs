//! Bytes in, frames out.
//!
//! Not mpeg2ts-reader: it tells neither where a frame can be joined (random_access_indicator) nor
//! where in the input a byte stands, and leaves it to others to find the cells.

use std::collections::VecDeque;

use super::{
    CELL, PAT_PID, SYNC,
    packet::{self, Cell},
    psi::{self, Sections},
};
use crate::{Demuxed, Error, demux::Assembler};

mod program;
mod stream;

use program::Program;

/// So much that is no cell, and it is something else.
const MAX_GARBAGE: usize = 64 << 10;

/// What was lost on the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Bytes that were no cell.
    pub skipped: u64,
    /// Cells that were damaged or scrambled.
    pub damaged: u64,
    /// Where the counter of a stream did not go on.
    pub gaps: u64,
    /// Frames that were left out, since something of them was lost.
    pub frames: u64,
}

/// Understands an MPEG-TS stream: of its first program the first picture and the first sound.
///
/// Losses are counted and left out. What is [`poll`](Self::poll)ed as an error tells why a stream
/// is not carried; whether to go on is the caller's decision.
#[derive(Debug, Default)]
pub struct Demuxer {
    /// Less than two cells, or what is not yet known to be cells.
    buffer: Vec<u8>,
    /// Where the cell that is being read begins.
    offset: u64,
    in_sync: bool,
    garbage: usize,
    pat: Sections,
    pmt: Sections,
    pmt_pid: Option<u16>,
    program: Program,
    output: Output,
}

/// What comes out.
#[derive(Debug, Default)]
struct Output {
    assembler: Assembler,
    errors: VecDeque<Error>,
    losses: Losses,
}

impl Demuxer {
    /// Takes the next bytes; [`poll`](Self::poll) then has to be called until there is nothing
    /// more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while let Some(cell) = buffer[at..].first_chunk::<CELL>() {
            if cell[0] != SYNC || !self.in_sync && !is_cell(&buffer[at..]) {
                // Needs the byte behind the cell to decide.
                if cell[0] == SYNC && buffer.len() == at + CELL {
                    break;
                }
                self.skip(&buffer[at..]);
                at += 1;
                self.offset += 1;
            } else {
                self.in_sync = true;
                self.garbage = 0;
                self.cell(cell);
                at += CELL;
                self.offset += CELL as u64;
            }
        }
        self.buffer = buffer;
        self.buffer.drain(..at);
    }

    /// What has been found; to be called until it gives `None`.
    pub fn poll(&mut self) -> Option<Result<Demuxed, Error>> {
        match self.output.errors.pop_front() {
            Some(error) => Some(Err(error)),
            None => self.output.assembler.next().map(Ok),
        }
    }

    /// Nothing follows. The last frames come out now.
    pub fn finish(&mut self) {
        if let Some(cell) = self.buffer.first_chunk::<CELL>().copied() {
            self.cell(&cell);
        }
        self.program.finish(&mut self.output);
        self.output.assembler.finish();
    }

    /// What was lost so far.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.output.losses
    }

    /// Goes on byte by byte until cells begin again.
    fn skip(&mut self, rest: &[u8]) {
        self.in_sync = false;
        self.garbage += 1;
        self.output.losses.skipped += 1;
        if self.garbage.is_multiple_of(MAX_GARBAGE) {
            let start = rest[..16].escape_ascii();
            self.output.errors.push_back(Error::Malformed {
                container: "MPEG-TS",
                part: "cell",
                offset: self.offset,
                reason: format!("no cells in {MAX_GARBAGE} bytes, which go on as {start}"),
            });
        }
    }

    fn cell(&mut self, cell: &[u8; CELL]) {
        let Some(cell) = packet::parse(cell) else {
            self.output.losses.damaged += 1;
            return;
        };
        match cell.pid {
            PAT_PID => self.take_pat(&cell),
            pid if Some(pid) == self.pmt_pid => self.take_pmt(&cell),
            _ => self.program.take(&cell, &mut self.output),
        }
    }

    fn take_pat(&mut self, cell: &Cell<'_>) {
        let mut found = None;
        self.pat.push(cell.starts, cell.payload, |section| {
            found = found.or(psi::parse_pat(section));
        });
        if found.is_some() && found != self.pmt_pid {
            self.pmt_pid = found;
            self.pmt = Sections::default();
        }
    }

    fn take_pmt(&mut self, cell: &Cell<'_>) {
        let Self {
            pmt,
            program,
            output,
            offset,
            ..
        } = self;
        pmt.push(cell.starts, cell.payload, |section| {
            program.describe(section, *offset, output);
        });
    }
}

/// True if a cell is followed by another.
fn is_cell(bytes: &[u8]) -> bool {
    bytes.get(CELL) == Some(&SYNC)
}

#[cfg(test)]
mod tests;
