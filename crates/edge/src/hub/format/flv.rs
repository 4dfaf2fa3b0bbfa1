//! FLV, over HTTP and in a WebSocket.

use bytes::{BufMut, Bytes};
use headworks_media::{
    TrackKind, VIDEO_CLOCK,
    flv::{self, TagKind},
};

use crate::hub::{
    Leave,
    entry::{Description, Entry},
    format::Sound,
    wire::Wire,
};

const TAG_HEADER: usize = 11;

/// RFC 6455 §5.2: a whole binary message in one frame.
const FINAL_BINARY: u8 = 0x82;

/// A close frame with a status (RFC 6455 §7.4.1), for who does not know yet that it is over.
pub(super) fn close(leave: Leave) -> Bytes {
    let status: u16 = match leave {
        Leave::Gone | Leave::Asked => return Bytes::new(),
        Leave::StreamEnded | Leave::Changed => 1000,
        Leave::Stopping => 1001,
        Leave::Slow | Leave::WatchOver | Leave::Over(_) => 1008,
    };
    let [high, low] = status.to_be_bytes();
    Bytes::copy_from_slice(&[0x88, 2, high, low])
}

pub(super) fn start(description: &Description) -> Wire {
    flv::start(description.tracks_for(Sound::Aac), description.dts()).into()
}

pub(super) fn headers(description: &Description) -> Wire {
    flv::sequence_headers(description.tracks_for(Sound::Aac), description.dts()).into()
}

/// A tag (Adobe FLV 10.1, §E.4.1) around the frame's own memory.
pub(super) fn frame(entry: &Entry) -> Wire {
    let Some(body) = Body::of(entry) else {
        return Wire::default();
    };
    let size = body.header.len() + entry.frame.payload.len();
    let mut header = Vec::with_capacity(TAG_HEADER + body.header.len());
    flv::tag_header(&mut header, body.kind, body.time, size);
    header.extend_from_slice(&body.header);
    let trailer = (TAG_HEADER + size) as u32;
    Wire::framed(&header, &entry.frame.payload, &trailer.to_be_bytes())
}

/// What FLV and RTMP have in common of a frame.
pub(super) struct Body {
    pub(super) kind: TagKind,
    /// In milliseconds; wraps at 2³², as RTMP has it.
    pub(super) time: u32,
    /// What stands before the frame's payload.
    pub(super) header: Vec<u8>,
}

impl Body {
    /// `None` if FLV cannot carry it.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        // Whoever looks at the sound settles what it is; pictures can do without.
        let sound = match entry.frame.track {
            TrackKind::Video => Sound::Original,
            TrackKind::Audio => Sound::Aac,
        };
        let tracks = entry.description.tracks_for(sound);
        let mut header = Vec::with_capacity(8);
        let kind = flv::body_header(&entry.frame, tracks, &mut header)?;
        let rate = match &tracks.audio {
            Some(audio) if entry.frame.track == TrackKind::Audio => audio.clock_rate(),
            _ => VIDEO_CLOCK,
        };
        Some(Self {
            kind,
            time: flv::milliseconds(entry.frame.dts, rate),
            header,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::testing;

    #[test]
    fn tags_are_those_of_the_writer() {
        for frame in [
            testing::picture(0x0102_0304 * 90, true, 100),
            testing::picture(0xf102_0304 * 90, true, 100),
            testing::picture(3600, false, 100_000),
            testing::sound(160),
        ] {
            let entry = testing::entry(frame.clone());
            let tracks = entry.description.tracks_for(Sound::Aac);
            let wire = super::frame(&entry);
            assert_eq!(wire.slices().concat(), flv::tag(&frame, tracks));
        }
    }

    #[test]
    fn messages_tell_their_length_in_three_ways() {
        for (length, header) in [
            (125, &[0x82, 125][..]),
            (126, &[0x82, 126, 0, 126]),
            (0xffff, &[0x82, 126, 0xff, 0xff]),
            (0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let message = in_messages(&Bytes::from(vec![7; length]).into());
            let joined = message.slices().concat();
            assert!(joined.starts_with(header));
            assert_eq!(joined.len(), header.len() + length);
        }
        assert!(in_messages(&Wire::default()).is_empty());
    }
}
