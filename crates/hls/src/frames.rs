//! Frames that wait for their part.

use bytes::Bytes;
use headworks_media::{AudioParameters, Frame, TrackKind, VIDEO_CLOCK, fmp4, rescale};

use fmp4::{Run, Sample};

/// Sound that is further ahead of the picture than this waits for no picture: its clock is
/// another, and what waits has to be bounded.
const AHEAD: i64 = 5 * VIDEO_CLOCK as i64;

/// A packet of AAC has so many samples. What a packet's duration is before a second one has come.
const PACKET: i64 = 1024;

/// Collects frames in decoding order, and gives away those before a time. Sound goes by its time,
/// not by when it came; sound that comes late goes with the next part.
#[derive(Debug)]
pub(crate) struct Frames {
    video: Vec<Frame>,
    audio: Vec<Frame>,
    /// Ticks per second of the sound.
    rate: u32,
    /// How long a packet of sound usually is.
    packet: i64,
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
            audio: Vec::new(),
            rate: sound.map_or(0, AudioParameters::clock_rate),
            packet: PACKET,
        }
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        match frame.track {
            TrackKind::Video => self.video.push(frame),
            TrackKind::Audio if self.rate == 0 => {}
            TrackKind::Audio => {
                if let Some(last) = self.audio.last() {
                    self.packet = frame.dts - last.dts;
                }
                self.audio.push(frame);
            }
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
    /// if there is only one.
    pub(crate) fn cut_for(&self, limit: i64) -> Option<i64> {
        let start = self.start()?;
        let short = self
            .video
            .partition_point(|frame| frame.dts - start <= limit);
        let next = self.video.get(short.saturating_sub(1).max(1))?;
        Some(next.dts)
    }

    /// How many pictures wait.
    pub(crate) fn pictures(&self) -> usize {
        self.video.len()
    }

    /// Takes what is decoded before `end`, when the next picture is.
    pub(crate) fn take_until(&mut self, end: i64) -> Taken {
        let later = self.video.partition_point(|frame| frame.dts < end);
        let rest = self.video.split_off(later);
        let video = std::mem::replace(&mut self.video, rest);
        let time = |frame: &Frame| rescale(frame.dts, self.rate, VIDEO_CLOCK);
        let runs_away = |last: &Frame| time(last) > end.saturating_add(AHEAD);
        let later = if self.audio.last().is_some_and(runs_away) {
            self.audio.len()
        } else {
            self.audio.partition_point(|frame| time(frame) < end)
        };
        let rest = self.audio.split_off(later);
        let audio = std::mem::replace(&mut self.audio, rest);
        // A gap that is known lengthens the packet before it: decoders like that better than a hole.
        let next = self.audio.first().map(|frame| frame.dts);
        let audio_end = next.or(audio.last().map(|frame| frame.dts + self.packet));
        Taken {
            video,
            end,
            audio,
            audio_end: audio_end.unwrap_or(0),
        }
    }

    /// Takes everything; the last picture ends at `end`.
    pub(crate) fn take_all(&mut self, end: i64) -> Taken {
        let all = self.take_until(i64::MAX);
        Taken { end, ..all }
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

    fn times(frames: &[Frame]) -> Vec<i64> {
        frames.iter().map(|frame| frame.dts).collect()
    }

    /// Pictures every 100 ms from 0, sound of 8 kHz every 128 ms.
    fn collected() -> Frames {
        let sound = AudioParameters::aac(Bytes::from_static(&[0x15, 0x88]), 8000).expect("parses");
        let mut frames = Frames::new(Some(&sound));
        for index in 0..4 {
            frames.push(frame(TrackKind::Video, index * 9000));
            frames.push(frame(TrackKind::Audio, index * 1024));
        }
        frames
    }

    #[test]
    fn sound_goes_by_its_time() {
        let mut frames = collected();
        let first = frames.take_until(18_000);
        assert_eq!(times(&first.video), [0, 9000]);
        assert_eq!(times(&first.audio), [0, 1024], "0 and 128 ms");
        assert_eq!(first.audio_end, 2048, "until the next, which is known");
        let second = frames.take_until(27_000);
        assert_eq!(times(&second.audio), [2048], "256 ms; 384 ms is later");
        let rest = frames.take_all(36_000);
        assert_eq!(times(&rest.audio), [3072]);
        assert_eq!((rest.end, rest.audio_end), (36_000, 4096));
    }

    #[test]
    fn sound_that_runs_away_does_not_pile_up() {
        let mut frames = collected();
        frames.push(frame(TrackKind::Audio, 8000 * 60));
        let taken = frames.take_until(9000);
        assert_eq!(taken.audio.len(), 5);
        assert!(frames.audio.is_empty());
    }

    #[test]
    fn without_a_track_sound_is_ignored() {
        let mut frames = Frames::new(None);
        frames.push(frame(TrackKind::Video, 0));
        frames.push(frame(TrackKind::Audio, 0));
        assert_eq!(frames.take_all(9000).write(1).len(), 2);
    }
}
