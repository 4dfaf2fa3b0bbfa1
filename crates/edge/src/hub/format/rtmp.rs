//! RTMP messages, as they go to players and to other servers.

use bytes::Bytes;
use headworks_media::{
    VIDEO_CLOCK,
    flv::{self, TagKind},
};
use headworks_rtmp::{
    MediaKind,
    wire::{message, message_of, pieces},
};

use super::flv::Body;
use crate::hub::{
    entry::{Description, Entry},
    format::Sound,
    wire::{SHARE_FROM, Wire},
};

pub(super) fn start(description: &Description) -> Wire {
    let metadata = flv::metadata_body(description.tracks_for(Sound::Aac));
    let mut messages = vec![message(MediaKind::Data, time(description), &metadata)];
    messages.extend(configuration(description));
    Bytes::from(messages.concat()).into()
}

pub(super) fn headers(description: &Description) -> Wire {
    Bytes::from(configuration(description).collect::<Vec<_>>().concat()).into()
}

pub(super) fn frame(entry: &Entry) -> Wire {
    let Some(body) = Body::of(entry) else {
        return Wire::default();
    };
    let (kind, payload) = (media_kind(body.kind), &entry.frame.payload);
    if payload.len() < SHARE_FROM {
        return message_of(kind, body.time, &[&body.header, payload]).into();
    }
    Wire::of(pieces(kind, body.time, &body.header, payload))
}

fn configuration(description: &Description) -> impl Iterator<Item = Bytes> {
    let time = time(description);
    flv::sequence_bodies(description.tracks_for(Sound::Aac))
        .map(move |(kind, body)| message(media_kind(kind), time, &body))
}

fn time(description: &Description) -> u32 {
    flv::milliseconds(description.dts(), VIDEO_CLOCK)
}

fn media_kind(tag: TagKind) -> MediaKind {
    match tag {
        TagKind::Audio => MediaKind::Audio,
        TagKind::Video => MediaKind::Video,
        TagKind::Script => MediaKind::Data,
    }
}

#[cfg(test)]
mod tests {
    use headworks_media::Frame;

    use crate::hub::testing;

    /// The timestamp of the message (RTMP 1.0 §5.3.1.2), which is extended above 2²⁴.
    fn time_of(frame: Frame) -> u32 {
        let bytes = super::frame(&testing::entry(frame)).slices().concat();
        assert_eq!(bytes[1..4], [0xff; 3]);
        u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])
    }

    #[test]
    fn time_has_all_of_its_32_bits() {
        assert_eq!(time_of(testing::picture((1 << 31) * 90, true, 10)), 1 << 31);
        assert_eq!(
            time_of(testing::picture(((1 << 32) - 1) * 90, true, 10)),
            u32::MAX
        );
    }
}
