//! FLV, over HTTP and in a WebSocket.

use bytes::{BufMut, Bytes};
use headworks_media::flv;

use crate::hub::{
    entry::{Description, Entry},
    format::Sound,
    wire::Wire,
};

/// RFC 6455 §5.2: a whole binary message in one frame.
const FINAL_BINARY: u8 = 0x82;

pub(super) fn start(description: &Description) -> Wire {
    flv::start(description.tracks_for(Sound::Aac), description.dts()).into()
}

pub(super) fn headers(description: &Description) -> Wire {
    flv::sequence_headers(description.tracks_for(Sound::Aac), description.dts()).into()
}

pub(super) fn frame(entry: &Entry) -> Wire {
    flv::tag(&entry.frame, entry.description.tracks_for(Sound::Aac)).into()
}

/// As one WebSocket message. A server's frames are not masked (RFC 6455 §5.1), so that all viewers
/// can share them.
pub(super) fn in_messages(wire: &Wire) -> Wire {
    if wire.is_empty() {
        return Wire::default();
    }
    let mut header = Vec::with_capacity(10);
    header.push(FINAL_BINARY);
    match wire.len() {
        length @ ..=125 => header.push(length as u8),
        length @ ..=0xffff => {
            header.push(126);
            header.put_u16(length as u16);
        }
        length => {
            header.push(127);
            header.put_u64(length as u64);
        }
    }
    let mut slices = vec![Bytes::from(header)];
    slices.extend_from_slice(wire.slices());
    Wire::of(slices)
}
