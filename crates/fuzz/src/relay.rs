//! What edges say to each other.

use headworks_edge::fuzzing::relay::{Reader, asked, told};

use crate::{
    input::{Budget, Input},
    sample,
};

/// No other message is as long as a frame.
const LONGEST: usize = (16 << 20) + 64;

fn read(bytes: &[u8], asks: bool) {
    let mut input = Input(bytes);
    let how = input.byte();
    let (mut reader, mut budget) = (Reader::default(), Budget::new());
    for piece in input.pieces(how) {
        budget.fed(piece.len());
        let Some(count) = reader.read(piece, asks) else {
            return;
        };
        (0..count).for_each(|_| budget.spend());
        assert!(reader.kept() <= LONGEST, "{} bytes", reader.kept());
    }
}

pub(crate) fn asks(bytes: &[u8]) {
    read(bytes, true);
}

pub(crate) fn ask_seeds() -> Vec<Vec<u8>> {
    vec![[&[0], &asked()[..]].concat(), [&[7], &asked()[..]].concat()]
}

pub(crate) fn tells(bytes: &[u8]) {
    read(bytes, false);
}

pub(crate) fn tell_seeds() -> Vec<Vec<u8>> {
    let streams = sample::streams();
    let said = streams
        .iter()
        .map(|tracks| told(tracks, &sample::frames(tracks)));
    let numbered = (0..).zip(said);
    numbered
        .map(|(how, said): (u8, _)| [&[how], &said[..]].concat())
        .collect()
}
