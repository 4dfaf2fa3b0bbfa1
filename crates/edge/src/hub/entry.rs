//! A frame in the ring and what it is made of, with their wire forms.

use std::{
    mem::{Discriminant, discriminant},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use headworks_media::{
    AudioParameters, Frame, TrackKind, Tracks, VIDEO_CLOCK, VideoCodec, rescale,
};
use headworks_rtp::Load;

use super::{
    format::{Format, Selection, Sound},
    numbering::{self, Numbers, Sender},
    relayed::Source,
    wire::Wire,
};

/// Samples per second of the AAC that stands in, which every player takes, and ticks of its stamps.
pub(crate) const AAC_RATE: u32 = 48_000;

/// Wire forms, each written when the first viewer needs it.
#[derive(Debug)]
pub(super) struct Forms<const COUNT: usize>([OnceLock<Arc<Wire>>; COUNT]);

impl<const COUNT: usize> Default for Forms<COUNT> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; COUNT])
    }
}

impl<const COUNT: usize> Forms<COUNT> {
    fn get(&self, place: usize, write: impl FnOnce() -> Wire) -> &Arc<Wire> {
        self.0[place].get_or_init(|| Arc::new(write()))
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
    /// The tracks as those see them who take no other sound than AAC. Who looks first, or says
    /// first what stands in for the camera's own sound, settles it: what somebody was told cannot
    /// change any more.
    for_aac: OnceLock<Arc<Tracks>>,
    /// The same without its sound.
    silent: OnceLock<Arc<Self>>,
    senders: [Sender; 2],
    start: Forms<{ Format::COUNT }>,
    headers: Forms<{ Format::COUNT }>,
}

impl Description {
    /// The first of a stream.
    pub(super) fn first(tracks: Arc<Tracks>, senders: [Sender; 2]) -> Self {
        let for_aac = OnceLock::new();
        if !needs_aac(&tracks) {
            for_aac.get_or_init(|| Arc::clone(&tracks));
        }
        Self {
            tracks,
            number: 1,
            series: 1,
            dts: 0,
            for_aac,
            silent: OnceLock::new(),
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

    /// Says which AAC stands in for a sound that is none, if any does. False if somebody has been
    /// told otherwise.
    pub(super) fn stand_in(&self, aac: Option<&AudioParameters>) -> bool {
        if !needs_aac(&self.tracks) {
            return true;
        }
        let told = match aac {
            Some(_) => Some(self.for_aac.get_or_init(|| self.with_sound(aac))),
            None => self.for_aac.get(),
        };
        told.is_none_or(|tracks| tracks.audio.as_ref() == aac)
    }

    fn with_sound(&self, audio: Option<&AudioParameters>) -> Arc<Tracks> {
        Arc::new(Tracks {
            audio: audio.cloned(),
            ..Tracks::clone(&self.tracks)
        })
    }

    /// For frames from this time on.
    pub(super) fn at(mut self, dts: i64) -> Self {
        self.dts = dts;
        self
    }

    /// True if it describes these.
    pub(super) fn is(&self, tracks: &Arc<Tracks>, aac: Option<&AudioParameters>) -> bool {
        (Arc::ptr_eq(&self.tracks, tracks) || self.tracks == *tracks) && self.stand_in(aac)
    }

    /// The tracks as one sees them who gets this sound. Where no AAC stands in, who takes nothing
    /// else gets pictures only.
    pub(crate) fn tracks_for(&self, sound: Sound) -> &Arc<Tracks> {
        match sound {
            Sound::Original => &self.tracks,
            Sound::Aac => self.for_aac.get_or_init(|| self.with_sound(None)),
        }
    }

    /// As those see it who get these tracks: who gets no sound is not told that there is any.
    pub(crate) fn seen_with(self: &Arc<Self>, selection: Selection) -> &Arc<Self> {
        if self.tracks.audio.is_none() || selection.has(TrackKind::Audio) {
            return self;
        }
        self.silent.get_or_init(|| {
            Arc::new(Self {
                number: self.number,
                series: self.series,
                dts: self.dts,
                ..Self::first(self.with_sound(None), self.senders)
            })
        })
    }

    /// The tracks as HLS has them. A playlist's codecs hold for all of it (§4.4.6.2 of the draft),
    /// and browsers cannot take a track that comes later: so AAC has its place from the beginning,
    /// also while it is still to come.
    pub(super) fn tracks_for_hls(&self) -> Arc<Tracks> {
        let known = self.for_aac.get().filter(|known| known.audio.is_some());
        if let Some(known) = known {
            return Arc::clone(known);
        }
        match self.tracks.audio.as_ref().and_then(expected_aac) {
            Some(aac) => self.with_sound(Some(&aac)),
            None => Arc::clone(self.tracks_for(Sound::Aac)),
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
        self.start.get(format.index(), || format.start(self))
    }

    /// What a viewer gets when this description follows another.
    pub(super) fn headers(&self, format: Format) -> &Arc<Wire> {
        self.headers.get(format.index(), || format.headers(self))
    }
}

/// What stands in for a sound once it is made: AAC-LC with as many channels. `None` for AAC itself,
/// and for more channels than cameras have.
fn expected_aac(sound: &AudioParameters) -> Option<AudioParameters> {
    let config: [u8; 2] = match (sound, sound.channels()) {
        (AudioParameters::Aac { .. }, _) => return None,
        (_, 1) => [0x11, 0x88],
        (_, 2) => [0x11, 0x90],
        _ => return None,
    };
    AudioParameters::aac(Bytes::copy_from_slice(&config), AAC_RATE).ok()
}

/// True if there is sound, and it is not AAC.
pub(super) fn needs_aac(tracks: &Tracks) -> bool {
    let audio = tracks.audio.as_ref();
    audio.is_some_and(|audio| !matches!(audio, AudioParameters::Aac { .. }))
}

/// What a session description says of tracks that later frames do not repeat.
fn kinds(tracks: &Tracks) -> (Discriminant<VideoCodec>, Option<&AudioParameters>) {
    (discriminant(tracks.video.codec()), tracks.audio.as_ref())
}

/// Whether a frame shares a packet with others where a packet can hold several (AAC in RTP).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Pack {
    /// It has its own packets.
    #[default]
    Alone,
    /// These follow it in the same packet.
    Leads(Box<[Bytes]>),
    /// It is in the packet of one before it.
    Follows,
}

impl Pack {
    /// What goes into the packets of `frame`; `None` if it has none.
    pub(super) fn load<'a>(&'a self, frame: &'a Frame) -> Option<Load<'a>> {
        match self {
            Self::Alone => Some(Load::from(frame)),
            Self::Leads(more) => Some(Load { frame, more }),
            Self::Follows => None,
        }
    }
}

/// A frame in the ring, and its wire forms. They go with it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The frame.
    pub(crate) frame: Frame,
    /// What it is made of.
    pub(crate) description: Arc<Description>,
    /// From where it is.
    pub(crate) source: Source,
    /// True if it starts a session of the source.
    pub(crate) starts_session: bool,
    /// Sound that is only for those who want this kind; everything else is for everyone.
    pub(super) only_for: Option<Sound>,
    /// Sound from before the newest key frame, and so of use only to who reads the whole past.
    pub(super) is_past: bool,
    /// How its RTP packets relate to those of its neighbours.
    pub(super) pack: Pack,
    /// For its RTP packets.
    pub(super) numbers: Numbers,
    pub(super) forms: Forms<{ Format::FORMS }>,
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

    /// When it is decoded, in 90 kHz.
    pub(crate) fn time(&self) -> i64 {
        let audio = self
            .description
            .tracks_for(self.only_for.unwrap_or(Sound::Original));
        match (self.frame.track, &audio.audio) {
            (TrackKind::Audio, Some(audio)) => {
                rescale(self.frame.dts, audio.clock_rate(), VIDEO_CLOCK)
            }
            _ => self.frame.dts,
        }
    }

    /// Keeps a form that could not be written from the frame alone.
    pub(super) fn put(&self, format: Format, selection: Selection, wire: Wire) {
        self.forms.get(format.form(selection), || wire);
    }

    /// Its bytes for a viewer with these tracks; `None` if it gets nothing of it.
    pub(super) fn wire(&self, format: Format, selection: Selection) -> Option<&Arc<Wire>> {
        if !selection.has(self.frame.track) || !self.is_for(format.sound()) || self.is_past {
            return None;
        }
        let place = format.form(selection);
        let wire = self.forms.get(place, || format.frame(self));
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
        entry.put(
            Format::Ts,
            Selection::All,
            Bytes::from_static(b"cells").into(),
        );
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

    #[test]
    fn what_stands_in_can_be_told_until_somebody_has_looked() {
        let aac = testing::aac();
        let first = || Description::first(testing::tracks_with_sound(), [Sender::default(); 2]);
        let told = first();
        assert!(told.is(&told.tracks, None), "nobody knows yet");
        assert!(told.stand_in(Some(&aac)));
        assert_eq!(told.tracks_for(Sound::Aac).audio, Some(aac.clone()));
        assert!(!told.is(&told.tracks, None), "it was told");
        let looked = first();
        assert_eq!(looked.tracks_for(Sound::Aac).audio, None);
        assert!(looked.is(&looked.tracks, None));
        assert!(
            !looked.is(&looked.tracks, Some(&aac)),
            "he has to be told anew"
        );
        assert_eq!(looked.tracks_for(Sound::Original), &looked.tracks);
    }

    #[test]
    fn sound_of_the_past_is_not_for_viewers_who_start_at_a_key_frame() {
        let mut entry = testing::entry_of(
            testing::sound(16_000),
            Arc::new(testing::description()),
            Some(Sound::Aac),
        );
        assert!(entry.wire(Format::Flv, Selection::All).is_some());
        assert_eq!(entry.time(), 30_000, "counts in the clock of the AAC");
        entry.is_past = true;
        assert!(entry.wire(Format::Flv, Selection::All).is_none());
    }
}
