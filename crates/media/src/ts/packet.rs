//! One cell of 188 bytes (§2.4.3.2, §2.4.3.4).

use super::{CELL, CELL_PAYLOAD, SYNC};

/// What a cell says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) pid: u16,
    /// A table or a PES packet begins in it.
    pub(super) starts: bool,
    pub(super) counter: u8,
    /// The counter does not go on from the one before, and that is no loss.
    pub(super) discontinuity: bool,
    pub(super) random_access: bool,
    /// Empty where it carries only an adaptation field.
    pub(super) payload: &'a [u8],
}

/// `None` for a damaged or scrambled cell.
pub(super) fn parse(cell: &[u8; CELL]) -> Option<Cell<'_>> {
    let [sync, high, low, control, rest @ ..] = cell;
    let is_damaged = *sync != SYNC || high & 0x80 != 0;
    let is_scrambled = control & 0xc0 != 0;
    if is_damaged || is_scrambled {
        return None;
    }
    let (mut flags, mut payload) = (0, &rest[..]);
    if control & 0x20 != 0 {
        let length = usize::from(payload[0]);
        let (field, behind) = payload[1..].split_at_checked(length)?;
        flags = field.first().copied().unwrap_or(0);
        payload = behind;
    }
    if control & 0x10 == 0 {
        payload = &[];
    }
    Some(Cell {
        pid: u16::from(high & 0x1f) << 8 | u16::from(*low),
        starts: high & 0x40 != 0,
        counter: control & 0xf,
        discontinuity: flags & 0x80 != 0,
        random_access: flags & 0x40 != 0,
        payload,
    })
}

/// What the adaptation field of the first cell of a packet says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Adaptation {
    pub(super) random_access: bool,
    /// The clock, 90 kHz.
    pub(super) pcr: Option<i64>,
}

impl Adaptation {
    /// With the byte that tells its length; 0 if there is nothing to say.
    pub(super) fn length(self) -> usize {
        match self {
            Self { pcr: Some(_), .. } => 8,
            Self {
                random_access: true,
                ..
            } => 2,
            _ => 0,
        }
    }

    /// Stretched to `length`, which is at least its own.
    fn write(self, out: &mut Vec<u8>, length: usize) {
        let end = out.len() + length;
        out.push(length as u8 - 1);
        if length > 1 {
            let access = if self.random_access { 0x40 } else { 0 };
            out.push(access | if self.pcr.is_some() { 0x10 } else { 0 });
        }
        if let Some(pcr) = self.pcr {
            // 33 bits of 90 kHz, six reserved, nine of 27 MHz (§2.4.3.5).
            let base = pcr as u64 & ((1 << 33) - 1);
            out.extend_from_slice(&(base << 15 | 0x7e00).to_be_bytes()[2..]);
        }
        out.resize(end, 0xff);
    }
}

/// Writes one packet into cells. Its length has to be known before: the last cell is filled up in
/// front of the payload.
pub(super) struct CellWriter<'a> {
    out: &'a mut Vec<u8>,
    pid: u16,
    counter: &'a mut u8,
    adaptation: Option<Adaptation>,
    /// Of the whole packet.
    left: usize,
    /// Of this cell.
    room: usize,
}

impl<'a> CellWriter<'a> {
    pub(super) fn new(
        out: &'a mut Vec<u8>,
        pid: u16,
        counter: &'a mut u8,
        adaptation: Adaptation,
        length: usize,
    ) -> Self {
        Self {
            out,
            pid,
            counter,
            adaptation: Some(adaptation),
            left: length,
            room: 0,
        }
    }

    /// How many bytes a packet of `length` takes.
    pub(super) fn size(adaptation: Adaptation, length: usize) -> usize {
        (length + adaptation.length()).div_ceil(CELL_PAYLOAD) * CELL
    }

    pub(super) fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.room == 0 {
                self.open();
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.room));
            self.out.extend_from_slice(now);
            self.room -= now.len();
            self.left -= now.len();
            bytes = later;
        }
    }

    fn open(&mut self) {
        let first = self.adaptation.is_some();
        let adaptation = self.adaptation.take().unwrap_or_default();
        self.room = self.left.min(CELL_PAYLOAD - adaptation.length());
        let field = CELL_PAYLOAD - self.room;
        write_header(self.out, self.pid, first, field > 0, true, *self.counter);
        *self.counter = (*self.counter + 1) & 0xf;
        if field > 0 {
            adaptation.write(self.out, field);
        }
    }
}

/// A cell that carries nothing but the clock. Its counter stays (§2.4.3.3).
pub(super) fn write_clock(out: &mut Vec<u8>, pid: u16, next_counter: u8, pcr: i64) {
    let last = next_counter.wrapping_sub(1) & 0xf;
    write_header(out, pid, false, true, false, last);
    let clock = Adaptation {
        random_access: false,
        pcr: Some(pcr),
    };
    clock.write(out, CELL_PAYLOAD);
}

fn write_header(
    out: &mut Vec<u8>,
    pid: u16,
    starts: bool,
    adaptation: bool,
    payload: bool,
    counter: u8,
) {
    let start = if starts { 0x40 } else { 0 };
    let field = if adaptation { 0x20 } else { 0 };
    let content = if payload { 0x10 } else { 0 };
    out.push(SYNC);
    out.push(start | (pid >> 8) as u8);
    out.push(pid as u8);
    out.push(field | content | counter);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packets_of_any_length_read_back(length in 1_usize..1000, random_access: bool, pcr in prop::option::of(0_i64..1 << 33)) {
            let content: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let adaptation = Adaptation { random_access, pcr };
            let (mut out, mut counter) = (Vec::new(), 14);
            let mut writer = CellWriter::new(&mut out, 0x1234 & 0x1fff, &mut counter, adaptation, length);
            for piece in content.chunks(77) {
                writer.put(piece);
            }
            prop_assert_eq!(out.len(), CellWriter::size(adaptation, length));
            let mut read = Vec::new();
            for (index, cell) in out.as_chunks::<CELL>().0.iter().enumerate() {
                let cell = parse(cell).expect("parses");
                prop_assert_eq!(cell.starts, index == 0);
                prop_assert_eq!(cell.random_access, index == 0 && random_access);
                prop_assert_eq!(usize::from(cell.counter), (14 + index) & 0xf);
                read.extend_from_slice(cell.payload);
            }
            prop_assert_eq!(read, content);
        }

        #[test]
        fn garbage_never_panics(mut cell in prop::collection::vec(any::<u8>(), CELL)) {
            cell[0] = SYNC;
            let cell: [u8; CELL] = cell.try_into().expect("has the length");
            let _ = parse(&cell);
        }
    }
}
