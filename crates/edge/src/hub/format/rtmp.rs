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
