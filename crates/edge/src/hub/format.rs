//! The ways in which a stream can be written to viewers.
//!
//! This is the only place of the hub that tells formats apart: shards, groups and viewers handle
//! [`Wire`] and know no protocol. Adding a format is adding a variant, and a file beside [`flv`].

mod flv;
mod rtmp;
mod rtp;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headworks_media::{TrackKind, VideoCodec};

use super::{
    Leave, Stream,
    config::Flush,
    entry::{Description, Entry},
    wire::Wire,
};
use crate::session::Session;

/// How a viewer wants its stream written. All viewers of a stream and format share their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// An FLV file without end.
    Flv,
    /// The same, each tag in a binary message of a WebSocket (RFC 6455).
    FlvWebSocket,
    /// RTMP messages on message stream 1, for who was told our chunk size.
    Rtmp,
    /// MPEG-TS.
    Ts,
    /// RTP and RTCP in an RTSP connection: pictures on channels 0 and 1, sound on 2 and 3.
    RtpInterleaved,
    /// RTP and RTCP in datagrams.
    RtpUdp,
}

/// Which sound a viewer gets where the camera's own is not AAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sound {
    /// The camera's own.
    Original,
    /// AAC: the camera's own, or what stands in for it.
    Aac,
}

/// Which tracks a viewer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Selection {
    /// All that there are.
    All,
    /// Pictures only, or sound only.
    Only(TrackKind),
}

impl Selection {
    /// What a viewer may have, with the sound or without.
    pub(crate) fn of(session: &Session) -> Self {
        if session.about().sound {
            Self::All
        } else {
            Self::Only(TrackKind::Video)
        }
    }

    pub(crate) fn has(self, track: TrackKind) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only == track,
        }
    }

    /// `sound`, if it has any.
    pub(crate) fn sound(self, sound: Sound) -> Option<Sound> {
        self.has(TrackKind::Audio).then_some(sound)
    }
}

/// One for those who get the sound, and one for those who do not.
#[derive(Debug, Clone, Default)]
pub(super) struct ByHearing<T> {
    hearing: T,
    deaf: T,
}

impl<T> ByHearing<T> {
    /// The same of something else.
    pub(super) fn map<U>(&self, map: impl Fn(&T) -> U) -> ByHearing<U> {
        ByHearing {
            hearing: map(&self.hearing),
            deaf: map(&self.deaf),
        }
    }

    /// That of those who get these tracks.
    pub(super) fn of(&self, selection: Selection) -> &T {
        if selection.has(TrackKind::Audio) {
            &self.hearing
        } else {
            &self.deaf
        }
    }
}

impl Format {
    /// How many there are.
    pub(super) const COUNT: usize = 6;

    /// All of them.
    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Flv,
        Self::FlvWebSocket,
        Self::Rtmp,
        Self::Ts,
        Self::RtpInterleaved,
        Self::RtpUdp,
    ];

    /// How many wire forms a frame can have.
    pub(super) const FORMS: usize = Self::COUNT + 1;

    /// The place of a frame's wire form among all. Pictures are the same bytes with sound and
    /// without, but in MPEG-TS: there they carry the tables, which name all tracks.
    pub(super) fn form(self, selection: Selection) -> usize {
        if self == Self::Ts && !selection.has(TrackKind::Audio) {
            Self::COUNT
        } else {
            self.index()
        }
    }

    /// Its place in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// What metrics and logs call it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Flv => "flv",
            Self::FlvWebSocket => "flv_websocket",
            Self::Rtmp => "rtmp",
            Self::Ts => "ts",
            Self::RtpInterleaved => "rtp_interleaved",
            Self::RtpUdp => "rtp_udp",
        }
    }

    /// Which sound its viewers get.
    pub(crate) fn sound(self) -> Sound {
        match self {
            Self::Flv | Self::FlvWebSocket | Self::Rtmp | Self::Ts => Sound::Aac,
            Self::RtpInterleaved | Self::RtpUdp => Sound::Original,
        }
    }

    /// True if its viewers are told only once, and elsewhere, what there is.
    pub(super) fn is_described_once(self) -> bool {
        matches!(self, Self::RtpInterleaved | Self::RtpUdp)
    }

    /// How long a frame may wait for the next one.
    pub(super) fn flush(self, flush: &Flush) -> Duration {
        match self {
            Self::Flv | Self::FlvWebSocket => flush.flv,
            Self::Rtmp => flush.rtmp,
            Self::Ts => flush.ts,
            Self::RtpInterleaved | Self::RtpUdp => flush.rtsp,
        }
    }

    /// Does what cannot be done for one frame alone, before `entries` are written, which follow
    /// each other from number `first` on.
    pub(super) fn prepare(
        self,
        stream: &Stream,
        selection: Selection,
        first: u64,
        entries: &[Arc<Entry>],
    ) {
        if self == Self::Ts {
            stream.prepare_transport(selection, first, entries);
        }
    }

    /// Why it cannot carry the picture, if that is so.
    pub(crate) fn refuses(self, description: &Description) -> Option<&'static str> {
        match (self, description.tracks.video.codec()) {
            (Self::Ts, VideoCodec::Av1 { .. }) => Some("MPEG-TS cannot carry AV1"),
            (Self::RtpInterleaved | Self::RtpUdp, VideoCodec::Av1 { .. }) => {
                Some("AV1 is not sent by RTSP here")
            }
            _ => None,
        }
    }

    /// What a viewer gets before its first frame.
    pub(super) fn start(self, description: &Description) -> Wire {
        match self {
            Self::Flv => flv::start(description),
            Self::FlvWebSocket => flv::in_messages(&flv::start(description)),
            Self::Rtmp => rtmp::start(description),
            // Tables stand before each key frame.
            Self::Ts | Self::RtpInterleaved | Self::RtpUdp => Wire::default(),
        }
    }

    /// What a viewer gets when nothing follows; it may be nothing.
    pub(super) fn end(self, leave: Leave) -> Bytes {
        match self {
            Self::Rtmp => headworks_rtmp::wire::end(),
            Self::FlvWebSocket => flv::close(leave),
            _ => Bytes::new(),
        }
    }

    /// What a viewer gets when a frame of this description follows one of another.
    pub(super) fn headers(self, description: &Description) -> Wire {
        match self {
            Self::Flv => flv::headers(description),
            Self::FlvWebSocket => flv::in_messages(&flv::headers(description)),
            Self::Rtmp => rtmp::headers(description),
            // Parameter sets stand before each key frame.
            Self::Ts | Self::RtpInterleaved | Self::RtpUdp => Wire::default(),
        }
    }

    /// One frame; empty if the format cannot carry it.
    pub(super) fn frame(self, entry: &Entry) -> Wire {
        match self {
            Self::Flv => flv::frame(entry),
            Self::FlvWebSocket => flv::in_messages(&flv::frame(entry)),
            Self::Rtmp => rtmp::frame(entry),
            // Written in order by `prepare`.
            Self::Ts => Wire::default(),
            Self::RtpInterleaved => rtp::in_stream(entry),
            Self::RtpUdp => rtp::in_datagrams(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_own_place() {
        for (index, format) in Format::ALL.into_iter().enumerate() {
            assert_eq!(format.index(), index);
        }
    }
}
