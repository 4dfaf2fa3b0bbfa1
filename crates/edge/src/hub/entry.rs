//! A frame in the ring and what it is made of, with their wire forms.

use std::{
    mem::{Discriminant, discriminant},
    sync::{Arc, OnceLock},
};

use headworks_media::{AudioParameters, Frame, TrackKind, Tracks, VideoCodec};

use super::{
    format::{Format, Selection, Sound},
    numbering::{self, Numbers, Sender},
    wire::Wire,
};

/// One wire form for each format, each written when the first viewer needs it.
#[derive(Debug, Default)]
pub(super) struct Forms([OnceLock<Arc<Wire>>; Format::COUNT]);

impl Forms {
    fn get(&self, format: Format, write: impl FnOnce() -> Wire) -> &Arc<Wire> {
        self.0[format.index()].get_or_init(|| Arc::new(write()))
    }
}

/// What a run of frames is made of. Changes with the camera's parameters.
#[derive(Debug)]
pub(crate) struct Description {
    /// The camera's own tracks.
    pub(crate) tracks: Arc<Tracks>,
    /// Tells descriptions of a stream apart; from 1.
    pub(crate) number: u64,
    /// Rises when codecs or tracks change. Who was told only once what there is, as RTSP does it,
    /// cannot follow.
    pub(crate) series: u64,
    /// When the first frame with it is decoded.
    dts: i64,
    /// The tracks with AAC in place of the camera's own sound, while somebody makes it.
    with_aac: Option<Arc<Tracks>>,
    senders: [Sender; 2],
    start: Forms,
    headers: Forms,
}

impl Description {
    /// The first of a stream.
    pub(super) fn first(tracks: Arc<Tracks>, senders: [Sender; 2]) -> Self {
        Self {
            tracks,
            number: 1,
            series: 1,
            dts: 0,
            with_aac: None,
            senders,
            start: Forms::default(),
            headers: Forms::default(),
        }
    }

    /// One that follows this.
    pub(super) fn next(&self, tracks: &Arc<Tracks>) -> Self {
        let changed = kinds(tracks) != kinds(&self.tracks);
        Self {
            number: self.number + 1,
            series: self.series + u64::from(changed),
            ..Self::first(Arc::clone(tracks), self.senders)
        }
    }

    /// With AAC in place of the camera's own sound.
    pub(super) fn with_aac(mut self, aac: Option<&AudioParameters>) -> Self {
        self.with_aac = aac.map(|aac| {
            Arc::new(Tracks {
                audio: Some(aac.clone()),
                ..Tracks::clone(&self.tracks)
            })
        });
        self
    }

    /// For frames from this time on.
    pub(super) fn at(mut self, dts: i64) -> Self {
        self.dts = dts;
        self
    }

    /// True if it describes these.
    pub(super) fn is(&self, tracks: &Arc<Tracks>, aac: Option<&AudioParameters>) -> bool {
        let same = Arc::ptr_eq(&self.tracks, tracks) || self.tracks == *tracks;
        let with_aac = self.with_aac.as_ref();
        same && with_aac.and_then(|tracks| tracks.audio.as_ref()) == aac
    }

    /// The tracks as one sees them who gets this sound.
    pub(crate) fn tracks_for(&self, sound: Sound) -> &Arc<Tracks> {
        match (sound, &self.with_aac) {
            (Sound::Aac, Some(tracks)) => tracks,
            _ => &self.tracks,
        }
    }

    pub(super) fn dts(&self) -> i64 {
        self.dts
    }

    /// Who sends a track by RTP.
    pub(super) fn sender(&self, track: TrackKind) -> Sender {
        self.senders[numbering::place(track)]
    }

    /// What a viewer gets before its first frame.
    pub(super) fn start(&self, format: Format) -> &Arc<Wire> {
        self.start.get(format, || format.start(self))
    }

    /// What a viewer gets when this description follows another.
    pub(super) fn headers(&self, format: Format) -> &Arc<Wire> {
        self.headers.get(format, || format.headers(self))
    }
}

/// What a session description says of tracks that later frames do not repeat.
fn kinds(tracks: &Tracks) -> (Discriminant<VideoCodec>, Option<&AudioParameters>) {
    (discriminant(tracks.video.codec()), tracks.audio.as_ref())
}

/// A frame in the ring, and its wire forms. They go with it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The frame.
    pub(crate) frame: Frame,
    /// What it is made of.
    pub(crate) description: Arc<Description>,
    /// True if it starts a session of the source.
    pub(crate) starts_session: bool,
    /// Sound that is only for those who want this kind; everything else is for everyone.
    pub(super) only_for: Option<Sound>,
    /// For its RTP packets.
    pub(super) numbers: Numbers,
    pub(super) forms: Forms,
}

impl Entry {
    /// True if viewers can start here.
    pub(crate) fn is_key(&self) -> bool {
        self.frame.track == TrackKind::Video && self.frame.key
    }

    /// True if it is for one who gets this sound.
    pub(crate) fn is_for(&self, sound: Sound) -> bool {
        self.only_for.is_none_or(|only| only == sound)
    }

    /// Keeps a form that could not be written from the frame alone.
    pub(super) fn put(&self, format: Format, wire: Wire) {
        self.forms.get(format, || wire);
    }

    /// Its bytes for a viewer with these tracks; `None` if it gets nothing of it.
    pub(super) fn wire(&self, format: Format, selection: Selection) -> Option<&Arc<Wire>> {
        if !selection.has(self.frame.track) || !self.is_for(format.sound()) {
            return None;
        }
        let wire = self.forms.get(format, || format.frame(self));
        (!wire.is_empty()).then_some(wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::testing;

    #[test]
    fn wire_bytes_are_written_once() {
        let entry = testing::entry(testing::picture(0, true, 100));
        let wire = |format| entry.wire(format, Selection::All).expect("has a form");
        entry.put(Format::Ts, bytes::Bytes::from_static(b"cells").into());
        for format in Format::ALL {
            assert!(Arc::ptr_eq(wire(format), wire(format)));
            let start = entry.description.start(format);
            assert!(Arc::ptr_eq(start, entry.description.start(format)));
        }
    }

    #[test]
    fn tracks_and_sounds_are_chosen_frame_by_frame() {
        let frame = testing::sound(0);
        let description = testing::entry(frame.clone()).description;
        let entry = |only_for| testing::entry_of(frame.clone(), Arc::clone(&description), only_for);
        let gets = |only_for, selection| entry(only_for).wire(Format::Flv, selection).is_some();
        assert!(gets(None, Selection::All));
        assert!(gets(None, Selection::Only(TrackKind::Audio)));
        assert!(!gets(None, Selection::Only(TrackKind::Video)));
        assert!(gets(Some(Sound::Aac), Selection::All));
        assert!(!gets(Some(Sound::Original), Selection::All));
    }
}
