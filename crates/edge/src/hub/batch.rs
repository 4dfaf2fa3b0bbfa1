//! What is due for viewers at one place of a stream.

use std::sync::Arc;

use super::{
    entry::Entry,
    format::{Format, Selection},
    wire::{Datagrams, Vectors, Wire},
};

/// How far a viewer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The number of the next frame.
    pub(super) next: u64,
    /// The number of the description that it knows; 0 for none.
    pub(super) description: u64,
    /// The series of that description.
    pub(super) series: u64,
}

/// Something to write, and where a viewer stands once it is written.
pub(super) struct Piece {
    pub(super) wire: Arc<Wire>,
    pub(super) after: Position,
}

/// Pieces in order, none of them empty. Made once for all viewers that stand at its beginning.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) pieces: Vec<Piece>,
    /// Where a viewer stands once everything is written.
    pub(super) end: Position,
    /// How many bytes it is.
    pub(super) length: usize,
    /// True if viewers cannot follow what comes behind it.
    pub(super) is_last: bool,
}

impl Batch {
    /// Takes the pieces of `entries`, which follow each other, for viewers that stand at `from`:
    /// headers where they do not know a frame's description, then the frame.
    pub(super) fn fill(
        &mut self,
        from: Position,
        entries: &[Arc<Entry>],
        format: Format,
        selection: Selection,
    ) {
        self.clear();
        let mut at = from;
        for entry in entries {
            if let Some(wire) = entry.wire(format, selection) {
                let description = &entry.description;
                if description.number != at.description {
                    if at.description != 0
                        && at.series != description.series
                        && format.is_described_once()
                    {
                        self.is_last = true;
                        break;
                    }
                    let headers = match at.description {
                        0 => description.seen_with(selection).start(format),
                        _ => description.seen_with(selection).headers(format),
                    };
                    at.description = description.number;
                    at.series = description.series;
                    self.push(headers, at);
                }
                at.next += 1;
                self.push(wire, at);
            } else {
                at.next += 1;
            }
        }
        self.end = at;
    }

    /// Lets go of all wire bytes.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.length = 0;
        self.is_last = false;
    }

    /// For one vectored write.
    pub(super) fn vectors(&self) -> Vectors<'_> {
        Vectors::new(self.pieces.iter().flat_map(|piece| piece.wire.slices()))
    }

    /// For who gets datagrams.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Datagrams> {
        self.pieces.iter().flat_map(|piece| piece.wire.runs())
    }

    fn push(&mut self, wire: &Arc<Wire>, after: Position) {
        if !wire.is_empty() {
            self.length += wire.len();
            self.pieces.push(Piece {
                wire: Arc::clone(wire),
                after,
            });
        }
    }
}
