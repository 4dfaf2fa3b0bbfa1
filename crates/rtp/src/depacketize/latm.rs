//! AAC as `MP4A-LATM` without configuration in band (RFC 6416 §6.1): audio mux elements, each a
//! length and an access unit.

use bytes::{Bytes, BytesMut};

use super::{Output, Outputs, Sound};
use crate::Packet;

/// What may wait for its end.
const MAX_ELEMENTS: usize = 64 << 10;

/// Splits packets into access units.
#[derive(Debug)]
pub(crate) struct Latm {
    length: u32,
    timestamp: i64,
    part: BytesMut,
    /// The start of this timestamp's element is missing.
    is_headless: bool,
    damaged: u64,
}

impl Latm {
    pub(super) fn new(length: u32) -> Self {
        Self {
            length,
            timestamp: 0,
            part: BytesMut::new(),
            is_headless: false,
            damaged: 0,
        }
    }

    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    pub(super) fn push(&mut self, packet: &Packet, timestamp: i64, lost: bool, out: &mut Outputs) {
        let goes_on = self.timestamp == timestamp;
        self.timestamp = timestamp;
        if !self.part.is_empty() && (lost || !goes_on) {
            self.give_up();
        }
        // The marker ends the last fragment of an element (RFC 6416 §6.1).
        if self.is_headless && goes_on {
            self.is_headless = !packet.marker;
            return;
        }
        self.is_headless = false;
        if lost && !packet.marker {
            // Perhaps its first fragment, perhaps one from the middle.
            return self.give_up();
        }
        self.part.extend_from_slice(&packet.payload);
        if packet.marker {
            let elements = self.part.split().freeze();
            self.elements(elements, out);
        } else if self.part.len() > MAX_ELEMENTS {
            self.give_up();
        }
    }

    /// Gives what elements hold; nothing if they are not whole.
    fn elements(&mut self, mut elements: Bytes, out: &mut Outputs) {
        let mut payloads = Vec::new();
        while !elements.is_empty() {
            let Some(payload) = element(&mut elements) else {
                self.damaged += 1;
                return;
            };
            payloads.push(payload);
        }
        let sounds = payloads
            .into_iter()
            .zip(0_i64..)
            .map(|(payload, index)| Sound {
                timestamp: self.timestamp + index * i64::from(self.length),
                length: self.length,
                payload,
            });
        out.extend(sounds.map(Output::Sound));
    }

    fn give_up(&mut self) {
        self.part.clear();
        self.is_headless = true;
        self.damaged += 1;
    }
}

/// PayloadLengthInfo and PayloadMux (ISO/IEC 14496-3 §1.7.3.1).
fn element(bytes: &mut Bytes) -> Option<Bytes> {
    let more = bytes.iter().take_while(|byte| **byte == 255).count();
    let length = 255 * more + usize::from(*bytes.get(more)?);
    let end = (more + 1)
        .checked_add(length)
        .filter(|end| *end <= bytes.len())?;
    let element = bytes.split_to(end).split_off(more + 1);
    (!element.is_empty()).then_some(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(latm: &mut Latm, payload: &[u8], marker: bool, lost: bool) -> Vec<(i64, usize)> {
        let packet = Packet {
            marker,
            payload_type: 97,
            sequence: 0,
            timestamp: 0,
            ssrc: 0,
            payload: Bytes::copy_from_slice(payload),
        };
        let mut out = Outputs::new();
        latm.push(&packet, 5, lost, &mut out);
        out.into_iter()
            .map(|output| match output {
                Output::Sound(sound) => (sound.timestamp, sound.payload.len()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn elements_and_their_parts() {
        let mut latm = Latm::new(1024);
        let long = [&[255, 45][..], &[1; 300]].concat();
        assert_eq!(push(&mut latm, &long, true, false), [(5, 300)]);
        assert_eq!(
            push(&mut latm, &[2, 1, 1, 1, 9], true, false),
            [(5, 2), (1029, 1)]
        );
        assert_eq!(push(&mut latm, &long[..100], false, false), []);
        assert_eq!(push(&mut latm, &long[100..], true, false), [(5, 300)]);
        assert_eq!(push(&mut latm, &long[..100], false, false), []);
        assert_eq!(push(&mut latm, &[1, 7], true, true), [], "perhaps its end");
        assert_eq!(push(&mut latm, &[1, 7], true, true), [(5, 1)], "after loss");
        assert_eq!(push(&mut latm, &[9, 7], true, false), [], "cut off");
        assert_eq!(latm.damaged(), 2);
    }

    #[test]
    fn without_its_first_fragment_nothing_of_an_element_is_read() {
        let mut latm = Latm::new(1024);
        let long = [&[255, 45][..], &[1; 300]].concat();
        // What is left reads like 150 elements of one byte each.
        assert_eq!(push(&mut latm, &long[102..202], false, true), []);
        assert_eq!(push(&mut latm, &long[202..301], true, false), []);
        assert_eq!(latm.damaged(), 1);
        assert_eq!(push(&mut latm, &long, true, false), [(5, 300)]);
        // What is too long is not read from its middle either.
        let part = [2; 60_000];
        assert_eq!(push(&mut latm, &part, false, false), []);
        assert_eq!(push(&mut latm, &part, false, false), []);
        assert_eq!(push(&mut latm, &part[..4], false, false), []);
        assert_eq!(push(&mut latm, &part[..4], true, false), []);
        assert_eq!(push(&mut latm, &long, true, false), [(5, 300)]);
    }
}
