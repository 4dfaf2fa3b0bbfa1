//! Sound as Matroska (RFC 9559), for FFmpeg to read from a pipe.
//!
//! It carries G.711 and Opus alike, and each packet is whole as soon as it is there: FFmpeg reads
//! raw G.711 in pieces of an eighth of a second.

use bytes::{BufMut, Bytes};
use headworks_media::{AudioParameters, G711Law, opus};

/// EBML lengths of eight bytes (RFC 8794 §4) are good for everything; all ones: unknown.
const LENGTH_OF_EIGHT: u64 = 1 << 56;
const UNKNOWN_LENGTH: u64 = u64::MAX >> 7;

/// Timestamps count in this many nanoseconds.
const TICK: u64 = 1_000_000;

/// SimpleBlock of track 1, without lacing; a timestamp of 0 in its cluster (RFC 9559 §10.2).
const BLOCK: [u8; 4] = [0x81, 0, 0, 0x80];

/// What stands before the first packet; `None` for sound that is neither G.711 nor Opus.
pub(super) fn head(sound: &AudioParameters) -> Option<Vec<u8>> {
    let (codec, private): (&[u8], _) = match *sound {
        AudioParameters::G711 {
            law,
            clock_rate,
            channels,
        } => (b"A_MS/ACM", wave_format(law, clock_rate, channels)),
        AudioParameters::Opus { channels, .. } => (b"A_OPUS", opus::head(channels, 0)),
        AudioParameters::Aac { .. } => return None,
    };
    let audio = [
        element(0xb5, &f64::from(sound.clock_rate()).to_be_bytes()),
        element(0x9f, &[sound.channels()]),
    ];
    let track = [
        element(0xd7, &[1]),
        element(0x73c5, &[1]),
        // A sound.
        element(0x83, &[2]),
        element(0x86, codec),
        element(0x63a2, &private),
        element(0xe1, &audio.concat()),
    ];
    let ebml = [
        element(0x4282, b"matroska"),
        element(0x4287, &[4]),
        element(0x4285, &[2]),
    ];
    let mut head = element(0x1a45_dfa3, &ebml.concat());
    // The segment, which never ends.
    put_id(&mut head, 0x1853_8067);
    head.put_u64(LENGTH_OF_EIGHT | UNKNOWN_LENGTH);
    head.extend(element(
        0x1549_a966,
        &element(0x2a_d7b1, &TICK.to_be_bytes()),
    ));
    head.extend(element(0x1654_ae6b, &element(0xae, &track.concat())));
    Some(head)
}

/// A packet that plays at `milliseconds`: a cluster of its own, so that it waits for nothing.
pub(super) fn packet(milliseconds: u64, payload: &Bytes) -> Vec<u8> {
    let time = element(0xe7, &milliseconds.to_be_bytes());
    let block = element(0xa3, &[&BLOCK, &payload[..]].concat());
    element(0x1f43_b675, &[time, block].concat())
}

/// WAVEFORMATEX, as Matroska has G.711 from Microsoft.
fn wave_format(law: G711Law, rate: u32, channels: u8) -> Vec<u8> {
    let tag = match law {
        G711Law::A => 6,
        G711Law::Mu => 7,
    };
    let mut format = Vec::with_capacity(18);
    format.put_u16_le(tag);
    format.put_u16_le(channels.into());
    format.put_u32_le(rate);
    format.put_u32_le(rate * u32::from(channels));
    format.put_u16_le(channels.into());
    format.put_u16_le(8);
    format.put_u16_le(0);
    format
}

fn element(id: u32, body: &[u8]) -> Vec<u8> {
    let mut element = Vec::with_capacity(12 + body.len());
    put_id(&mut element, id);
    element.put_u64(LENGTH_OF_EIGHT | body.len() as u64);
    element.extend_from_slice(body);
    element
}

/// An id carries its length in itself, so that leading zeros are none of it.
fn put_id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    out.extend_from_slice(&bytes[zeros..]);
}
