//! Frames that wait for their part.

use bytes::Bytes;
use headworks_media::{AudioParameters, Frame, TrackKind, fmp4};

use fmp4::{Run, Sample};

use crate::sound::Sound;

/// Collects frames in decoding order, and gives away those before a time. Sound goes by its time,
/// not by when it came; sound that comes late goes with the next part.
#[derive(Debug)]
pub(crate) struct Frames {
    video: Vec<Frame>,
    /// Of the pictures.
    bytes: u64,
    sound: Option<Sound>,
}

/// The frames of a part.
#[derive(Debug)]
pub(crate) struct Taken {
    video: Vec<Frame>,
    /// Where the last picture ends.
    end: i64,
    audio: Vec<Frame>,
    /// Where the last packet of sound ends.
    audio_end: i64,
}

impl Frames {
    /// Ignores sound where there is to be none.
    pub(crate) fn new(sound: Option<&AudioParameters>) -> Self {
        Self {
            video: Vec::new(),
            bytes: 0,
            sound: sound.map(Sound::new),
        }
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        match (frame.track, &mut self.sound) {
            (TrackKind::Video, _) => {
                self.bytes += frame.payload.len() as u64;
                self.video.push(frame);
            }
            (TrackKind::Audio, Some(sound)) => sound.push(frame),
            (TrackKind::Audio, None) => {}
        }
    }

    /// When its first picture is decoded.
    pub(crate) fn start(&self) -> Option<i64> {
        self.video.first().map(|frame| frame.dts)
    }

    /// When its last picture is decoded.
    pub(crate) fn last(&self) -> Option<i64> {
        self.video.last().map(|frame| frame.dts)
    }

    /// Where to cut so that what is before is not longer than `limit`, if pictures allow it; `None`
    /// if there is only one, or all have the same time.
    pub(crate) fn cut_for(&self, limit: i64) -> Option<i64> {
        let start = self.start()?;
        let short = self
            .video
            .partition_point(|frame| frame.dts - start <= limit);
        let later = self.video.partition_point(|frame| frame.dts <= start);
        let next = self.video.get(short.saturating_sub(1).max(later))?;
        Some(next.dts)
    }

    /// How many pictures wait.
    pub(crate) fn pictures(&self) -> usize {
        self.video.len()
    }

    /// How many bytes these have.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes what is decoded before `end`, when the next picture is.
    pub(crate) fn take_until(&mut self, end: i64) -> Taken {
        let count = self.video.partition_point(|frame| frame.dts < end);
        self.take(count, end, end)
    }

    /// Takes all pictures, the last of which ends at `end`, and the sound before that.
    pub(crate) fn take_pictures(&mut self, end: i64) -> Taken {
        self.take(self.video.len(), end, end)
    }

    /// Takes everything; the last picture ends at `end`.
    pub(crate) fn take_all(&mut self, end: i64) -> Taken {
        self.take(self.video.len(), i64::MAX, end)
    }

    /// Takes `count` pictures, and the sound before `cut`.
    fn take(&mut self, count: usize, cut: i64, end: i64) -> Taken {
        let rest = self.video.split_off(count);
        let video = std::mem::replace(&mut self.video, rest);
        self.bytes -= video.iter().map(|f| f.payload.len() as u64).sum::<u64>();
        let from = video.first().map_or(end, |frame| frame.dts);
        let (audio, audio_end) = match &mut self.sound {
            Some(sound) => sound.take(cut, from, end),
            None => (Vec::new(), 0),
        };
        Taken {
            video,
            end,
            audio,
            audio_end,
        }
    }
}

impl Taken {
    /// When its first picture is decoded.
    pub(crate) fn start(&self) -> i64 {
        self.video.first().map_or(self.end, |frame| frame.dts)
    }

    /// How long it is, in 90 kHz.
    pub(crate) fn length(&self) -> i64 {
        self.end - self.start()
    }

    pub(crate) fn pictures(&self) -> usize {
        self.video.len()
    }

    /// True if decoding can start in it.
    pub(crate) fn has_key(&self) -> bool {
        self.video.iter().any(|frame| frame.key)
    }

    /// Writes it as a fragment.
    pub(crate) fn write(self, sequence: u32) -> Vec<Bytes> {
        let video = samples(&self.video, self.end);
        let audio = samples(&self.audio, self.audio_end);
        let runs: Vec<_> = [
            (fmp4::VIDEO_TRACK, &self.video, &video),
            (fmp4::AUDIO_TRACK, &self.audio, &audio),
        ]
        .into_iter()
        .filter_map(|(track, frames, samples)| {
            Some(Run {
                track,
                base: frames.first()?.dts,
                samples,
            })
        })
        .collect();
        let mut chunks = vec![fmp4::fragment_header(sequence, &runs)];
        let frames = self.video.into_iter().chain(self.audio);
        chunks.extend(frames.map(|frame| frame.payload));
        chunks
    }
}

/// `end` is where the last frame's duration ends.
fn samples(frames: &[Frame], end: i64) -> Vec<Sample> {
    let ends = frames.iter().skip(1).map(|frame| frame.dts).chain([end]);
    frames
        .iter()
        .zip(ends)
        .map(|(frame, end)| Sample {
            duration: u32::try_from(end - frame.dts).unwrap_or(0),
            size: frame.payload.len() as u32,
            key: frame.key,
            composition: (frame.pts - frame.dts).clamp(i32::MIN.into(), i32::MAX.into()) as i32,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(track: TrackKind, dts: i64) -> Frame {
        Frame {
            track,
            dts,
            pts: dts,
            key: true,
            payload: Bytes::from_static(b"x"),
        }
    }

    #[test]
    fn pictures_of_one_time_are_not_cut_apart() {
        let mut frames = Frames::new(None);
        for dts in [5, 5, 5, 9000] {
            frames.push(frame(TrackKind::Video, dts));
        }
        assert_eq!(frames.cut_for(100), Some(9000));
        assert_eq!(frames.take_until(9000).pictures(), 3);
        assert_eq!((frames.bytes(), frames.cut_for(100)), (1, None));
        frames.push(frame(TrackKind::Video, 9000));
        assert_eq!(frames.cut_for(100), None);
        assert_eq!(frames.take_until(9000).pictures(), 0);
        assert_eq!(frames.take_pictures(9000).pictures(), 2);
    }

    #[test]
    fn without_a_track_sound_is_ignored() {
        let mut frames = Frames::new(None);
        frames.push(frame(TrackKind::Video, 0));
        frames.push(frame(TrackKind::Audio, 0));
        assert_eq!(frames.take_all(9000).write(1).len(), 2);
    }
}
