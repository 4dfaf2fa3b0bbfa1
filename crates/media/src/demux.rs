//! What the demuxers of FLV and MPEG-TS find, in one form.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use crate::{AudioParameters, Tracks, VIDEO_CLOCK, VideoParameters};

/// Sound that is due but has not come holds back the first pictures by this much …
const SOUND_WAIT: i64 = VIDEO_CLOCK as i64 / 2;
/// … and by no more than this many, whatever their timestamps say, …
const MAX_WAITING: usize = 64;
/// … and no more than about this many bytes.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// One thing that a demuxer has found. Times are the source's own: they may jump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demuxed {
    /// The parameters of the stream, before its first frame and whenever they change. Sound that
    /// is announced is waited for, so that it is in the first of these. A later one that does not
    /// [go on](Tracks::goes_on_from) from the one before is a new session for a [`Timeline`].
    ///
    /// [`Timeline`]: crate::Timeline
    Tracks(Arc<Tracks>),
    /// A picture.
    Video {
        /// When it is decoded, 90 kHz.
        dts: i64,
        /// When it is shown, 90 kHz. Broken sources say a time before `dts`.
        pts: i64,
        /// True if decoding can start here.
        key: bool,
        /// As in [`Frame::payload`](crate::Frame::payload).
        payload: Bytes,
    },
    /// A packet of sound.
    Audio {
        /// When it is heard, in the clock of the track.
        timestamp: i64,
        /// How long it is, in the same unit.
        length: u32,
        /// As in [`Frame::payload`](crate::Frame::payload).
        payload: Bytes,
    },
}

/// Holds back frames until the tracks are known, and tells when they change.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    video: Option<VideoParameters>,
    audio: Option<AudioParameters>,
    /// The container says whether there is sound.
    expects_audio: Option<bool>,
    announced: Option<Arc<Tracks>>,
    /// Pictures before the first announcement.
    waiting: Vec<Demuxed>,
    waiting_since: Option<i64>,
    /// The bytes of their payloads.
    waiting_bytes: usize,
    ready: VecDeque<Demuxed>,
}

impl Assembler {
    pub(crate) fn next(&mut self) -> Option<Demuxed> {
        self.ready.pop_front()
    }

    pub(crate) fn expect_audio(&mut self, expected: bool) {
        self.expects_audio = Some(expected);
    }

    pub(crate) fn audio(&self) -> Option<&AudioParameters> {
        self.audio.as_ref()
    }

    pub(crate) fn set_video(&mut self, video: &VideoParameters) {
        if self.video.as_ref() != Some(video) {
            self.video = Some(video.clone());
            self.change();
        }
    }

    pub(crate) fn set_audio(&mut self, audio: AudioParameters) {
        if self.audio.as_ref() != Some(&audio) {
            self.audio = Some(audio);
            self.change();
        }
    }

    /// A picture; dropped as long as nobody knows how to decode it.
    pub(crate) fn picture(&mut self, dts: i64, pts: i64, key: bool, payload: Bytes) {
        if self.video.is_none() {
            return;
        }
        let length = payload.len();
        let picture = Demuxed::Video {
            dts,
            pts,
            key,
            payload,
        };
        if self.announced.is_some() {
            self.ready.push_back(picture);
            return;
        }
        self.waiting.push(picture);
        let since = *self.waiting_since.get_or_insert(dts);
        self.waiting_bytes += length;
        let late = dts.saturating_sub(since) >= SOUND_WAIT;
        let full = self.waiting.len() >= MAX_WAITING || self.waiting_bytes >= MAX_WAITING_BYTES;
        if late || full || self.audio.is_some() || self.expects_audio == Some(false) {
            self.announce();
        }
    }

    /// A packet of sound; dropped before the first picture, like its decoder would do.
    pub(crate) fn sound(&mut self, timestamp: i64, length: u32, payload: Bytes) {
        if self.announced.is_none() && !self.waiting.is_empty() {
            self.announce();
        }
        if self.announced.is_some() {
            self.ready.push_back(Demuxed::Audio {
                timestamp,
                length,
                payload,
            });
        }
    }

    /// Nothing follows: what waits for sound waits in vain.
    pub(crate) fn finish(&mut self) {
        if self.announced.is_none() && !self.waiting.is_empty() {
            self.announce();
        }
    }

    /// Before the first announcement there is nobody to tell.
    fn change(&mut self) {
        if self.announced.is_some() {
            self.announce();
        }
    }

    fn announce(&mut self) {
        if let Some(video) = self.video.clone() {
            let tracks = Arc::new(Tracks {
                video,
                audio: self.audio.clone(),
            });
            self.announced = Some(Arc::clone(&tracks));
            self.ready.push_back(Demuxed::Tracks(tracks));
            self.ready.extend(self.waiting.drain(..));
            self.waiting_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::tests::{aac, h264};

    fn drain(assembler: &mut Assembler) -> String {
        std::iter::from_fn(|| assembler.next())
            .map(|event| match event {
                Demuxed::Tracks(tracks) if tracks.audio.is_some() => 'T',
                Demuxed::Tracks(_) => 't',
                Demuxed::Video { .. } => 'v',
                Demuxed::Audio { .. } => 'a',
            })
            .collect()
    }

    fn picture(assembler: &mut Assembler, dts: i64) {
        assembler.picture(dts, dts, true, Bytes::new());
    }

    #[test]
    fn the_first_pictures_wait_for_sound_that_is_due() {
        let mut assembler = Assembler::default();
        picture(&mut assembler, 0);
        assert_eq!(drain(&mut assembler), "", "nobody can decode it");
        assembler.set_video(&h264());
        assembler.sound(0, 1024, Bytes::new());
        picture(&mut assembler, 0);
        picture(&mut assembler, 3600);
        assert_eq!(drain(&mut assembler), "");
        assembler.set_audio(aac());
        assembler.sound(0, 1024, Bytes::new());
        picture(&mut assembler, 7200);
        assert_eq!(drain(&mut assembler), "Tvvav");
    }

    #[test]
    fn sound_that_never_comes_is_waited_for_half_a_second() {
        let mut assembler = Assembler::default();
        assembler.set_video(&h264());
        for dts in [0, 22_500, 45_000, 67_500] {
            picture(&mut assembler, dts);
        }
        assert_eq!(drain(&mut assembler), "tvvvv");
        assembler.set_audio(aac());
        assembler.set_audio(aac());
        assert_eq!(drain(&mut assembler), "T");
        let mut still = Assembler::default();
        still.set_video(&h264());
        for _ in 0..MAX_WAITING {
            picture(&mut still, 5);
        }
        assert_eq!(drain(&mut still).len(), 1 + MAX_WAITING);
    }

    #[test]
    fn large_pictures_do_not_pile_up_while_sound_is_waited_for() {
        let mut assembler = Assembler::default();
        assembler.set_video(&h264());
        let payload = Bytes::from(vec![0; MAX_WAITING_BYTES / 4]);
        for _ in 0..3 {
            assembler.picture(5, 5, true, payload.clone());
        }
        assert_eq!(drain(&mut assembler), "");
        assembler.picture(5, 5, true, payload);
        assert_eq!(drain(&mut assembler), "tvvvv");
    }

    #[test]
    fn without_sound_nothing_waits() {
        let mut assembler = Assembler::default();
        assembler.expect_audio(false);
        assembler.set_video(&h264());
        picture(&mut assembler, 0);
        assert_eq!(drain(&mut assembler), "tv");
    }
}
