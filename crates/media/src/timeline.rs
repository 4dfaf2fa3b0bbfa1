//! One unbroken time line for a stream, however often its source starts anew.
//!
//! Viewers and recordings stay through reconnects, so time must go on: the first picture of a
//! session follows the last one before it. Both tracks of a session share one shift, which keeps
//! sound and picture together. Jumps inside a session (a camera sets its clock) are closed in the
//! same way, track by track.

use crate::{AudioClock, Reorder, VIDEO_CLOCK, rescale};

/// Where a stream's time starts: decoding times reach back before the first picture is shown, and
/// containers cannot write negative ones.
const ORIGIN: i64 = 10 * VIDEO_CLOCK as i64;

/// One picture later, where nothing else is known.
const STEP: i64 = 3600;

/// Timestamps may go back by this much (B-frames) …
const BACK: i64 = 2 * VIDEO_CLOCK as i64;
/// … and forward by this much (loss, dynamic frame rates) before it counts as a jump.
const AHEAD: i64 = 10 * VIDEO_CLOCK as i64;
/// Sound further than this from the picture that arrives with it has a wrong offset.
const APART: i64 = 3 * VIDEO_CLOCK as i64;

/// When a picture is decoded and shown, on the stream's time line in 90 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Decoding time.
    pub dts: i64,
    /// Presentation time.
    pub pts: i64,
}

/// Maps the timestamps of a stream's sessions onto its time line.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The end of everything stamped so far, 90 kHz.
    end: i64,
    reorder: Reorder,
    video: Option<Shift>,
    audio: Option<Audio>,
}

#[derive(Debug, Clone, Copy)]
struct Shift {
    by: i64,
    last_input: i64,
    last_output: i64,
}

#[derive(Debug, Clone)]
struct Audio {
    clock_rate: u32,
    clock: AudioClock,
    shift: Option<Shift>,
    correction: i64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            end: ORIGIN,
            reorder: Reorder::new(0),
            video: None,
            audio: None,
        }
    }
}

impl Timeline {
    /// The source starts anew, with these properties.
    pub fn restart(&mut self, reorder_depth: usize, audio_clock_rate: Option<u32>) {
        self.reorder.restart(reorder_depth);
        self.video = None;
        self.audio = audio_clock_rate.map(|clock_rate| {
            let mut clock = AudioClock::new(clock_rate);
            // Nothing may play before the end of what has been played.
            clock.stamp(rescale(self.end, VIDEO_CLOCK, clock_rate), 0);
            Audio {
                clock_rate,
                clock,
                shift: None,
                correction: 0,
            }
        });
    }

    /// The end of everything stamped so far, 90 kHz.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Something else was put on the time line up to here, 90 kHz; a later session follows it.
    pub fn advance(&mut self, end: i64) {
        self.end = self.end.max(end);
    }

    /// Parameter sets have changed within the session.
    pub fn set_reorder_depth(&mut self, depth: usize) {
        self.reorder.restart(depth);
    }

    /// Stamps the next picture in decoding order, which the session shows at `pts`.
    pub fn video(&mut self, pts: i64) -> Stamp {
        let known = self
            .video
            .filter(|shift| (-BACK..=AHEAD).contains(&pts.saturating_sub(shift.last_input)));
        let by = match known {
            Some(shift) => shift.by,
            None => {
                if self.video.is_some() {
                    self.reorder.restart(self.reorder.depth());
                }
                self.end
                    .saturating_add(self.reorder.lead())
                    .saturating_sub(pts)
            }
        };
        let output = pts.saturating_add(by);
        let dts = self.reorder.dts(output);
        let stamp = Stamp {
            dts,
            pts: output.max(dts),
        };
        self.video = Some(Shift {
            by,
            last_input: pts,
            last_output: stamp.pts,
        });
        self.end = self.end.max(dts + STEP);
        stamp
    }

    /// Stamps the next picture in decoding order of a source that carries both of its times. Where
    /// there are both, none is guessed.
    pub fn video_with_dts(&mut self, dts: i64, pts: i64) -> Stamp {
        let composition = pts.saturating_sub(dts).clamp(0, BACK);
        let known = self
            .video
            .filter(|shift| (-BACK..=AHEAD).contains(&dts.saturating_sub(shift.last_input)));
        let by = match known {
            Some(shift) => shift.by,
            None => self.end.saturating_sub(dts),
        };
        let dts_out = self.reorder.rise(dts.saturating_add(by));
        let stamp = Stamp {
            dts: dts_out,
            pts: dts_out.saturating_add(composition),
        };
        self.video = Some(Shift {
            by,
            last_input: dts,
            last_output: stamp.pts,
        });
        self.end = self.end.max(dts_out.saturating_add(STEP));
        stamp
    }

    /// Stamps the next packet of sound, of `length` samples, which the session plays at
    /// `timestamp`. `None` if it has to be dropped: it comes before the session's first picture
    /// or overlaps what has been played.
    pub fn audio(&mut self, timestamp: i64, length: u32) -> Option<i64> {
        let video = self.video?;
        let audio = self.audio.as_mut()?;
        let rate = audio.clock_rate;
        let limit = |ticks| rescale(ticks, VIDEO_CLOCK, rate);
        let shown = limit(video.last_output);
        let by = match audio.shift {
            Some(shift)
                if (limit(-BACK)..=limit(AHEAD))
                    .contains(&timestamp.saturating_sub(shift.last_input)) =>
            {
                shift.by
            }
            Some(_) => shown.saturating_sub(timestamp),
            None => {
                let by = limit(video.by).saturating_add(audio.correction);
                let apart = timestamp.saturating_add(by).saturating_sub(shown);
                if apart.saturating_abs() > limit(APART) {
                    shown.saturating_sub(timestamp)
                } else {
                    by
                }
            }
        };
        let output = timestamp.saturating_add(by);
        audio.shift = Some(Shift {
            by,
            last_input: timestamp,
            last_output: output,
        });
        let stamp = audio.clock.stamp(output, length)?;
        let end = rescale(stamp + i64::from(length), rate, VIDEO_CLOCK);
        self.end = self.end.max(end);
        Some(stamp)
    }

    /// Moves the sound of this session by so many of its ticks against the picture, when the
    /// source has told their real relation (RTCP sender reports, RFC 3550 §6.4.1).
    pub fn correct_audio(&mut self, ticks: i64) {
        if let Some(audio) = &mut self.audio {
            audio.correction = ticks;
            audio.shift = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn started() -> Timeline {
        let mut timeline = Timeline::default();
        timeline.restart(0, Some(8000));
        timeline
    }

    #[test]
    fn a_reconnect_goes_on_where_the_last_session_ended() {
        let mut timeline = started();
        assert_eq!(
            timeline.audio(5, 160),
            None,
            "sound before the first picture"
        );
        let first = timeline.video(1_000_000);
        assert_eq!(timeline.video(1_003_600).dts, first.dts + 3600);
        timeline.restart(2, Some(8000));
        let second = timeline.video(77);
        assert_eq!(second.dts, first.dts + 7200);
        assert_eq!(second.pts, second.dts + 7200);
    }

    #[test]
    fn tracks_of_a_session_keep_their_relation() {
        let mut timeline = started();
        let picture = timeline.video(90_000);
        // Half a second after the picture, in a clock of 8 kHz.
        let sound = timeline.audio(12_000, 160).expect("kept");
        assert_eq!(rescale(sound, 8000, VIDEO_CLOCK), picture.pts + 45_000);
        // A sender report says that it really is a quarter of a second.
        timeline.correct_audio(2000);
        assert_eq!(timeline.audio(12_160, 160), Some(sound + 160 + 2000));
    }

    #[test]
    fn sound_with_an_absurd_offset_follows_its_arrival() {
        let mut timeline = started();
        let picture = timeline.video(0);
        let sound = timeline.audio(8000 * 3600, 160).expect("kept");
        assert_eq!(rescale(sound, 8000, VIDEO_CLOCK), picture.pts);
    }

    #[test]
    fn a_clock_that_is_set_leaves_no_hole() {
        let mut timeline = started();
        let before = timeline.video(500_000);
        let after = timeline.video(500_000 + 86_400 * 90_000);
        assert_eq!(after.dts, before.dts + STEP);
        let back = timeline.video(0);
        assert_eq!(back.dts, after.dts + STEP);
    }

    #[test]
    fn both_times_of_a_source_are_kept() {
        let mut timeline = Timeline::default();
        timeline.restart(2, None);
        let first = timeline.video_with_dts(1000, 8200);
        assert_eq!(first.pts - first.dts, 7200);
        let second = timeline.video_with_dts(4600, 4600);
        assert_eq!((second.dts - first.dts, second.pts - second.dts), (3600, 0));
        // The source starts anew from zero; time goes on.
        timeline.restart(2, None);
        let third = timeline.video_with_dts(0, 3600);
        assert_eq!(
            (third.dts - second.dts, third.pts - third.dts),
            (3600, 3600)
        );
    }

    proptest! {
        #[test]
        fn time_only_goes_forward(events in prop::collection::vec((0_u8..8, any::<i64>(), 0_i64..20_000), 1..200)) {
            let mut timeline = started();
            let (mut now, mut picture, mut sound) = (0_i64, i64::MIN, i64::MIN);
            for (kind, wild, step) in events {
                now += step;
                match kind {
                    0 => timeline.restart(step as usize % 4, Some(8000)),
                    5 => {
                        let stamp = timeline.video_with_dts(now, now.saturating_add(wild >> 30));
                        prop_assert!(stamp.dts > picture && stamp.pts >= stamp.dts && stamp.dts >= 0);
                        picture = stamp.dts;
                    }
                    1..=3 => {
                        let input = if kind == 1 { wild >> 20 } else { now };
                        let stamp = timeline.video(input);
                        prop_assert!(stamp.dts > picture && stamp.pts >= stamp.dts && stamp.dts >= 0);
                        picture = stamp.dts;
                    }
                    _ => {
                        let input = if kind == 4 { wild >> 20 } else { rescale(now, VIDEO_CLOCK, 8000) };
                        if let Some(stamp) = timeline.audio(input, 160) {
                            prop_assert!(stamp >= sound && stamp >= 0);
                            sound = stamp + 160;
                        }
                    }
                }
            }
        }
    }
}
