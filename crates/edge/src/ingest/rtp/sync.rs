//! How sound relates to the picture, from RTCP sender reports.
//!
//! The RTP clocks of a session's tracks start at random values. RTSP's RTP-Info says where both
//! start, but some servers leave it out and some get it wrong. A sender report (RFC 3550 §6.4.1)
//! pairs a track's RTP time with the camera's wall clock; one of each track gives their relation.

use headworks_media::TrackKind;

/// Closer is taken for jitter of the reports.
const TOLERANCE: f64 = 0.03;
/// Further is taken for a camera whose clock is wrong.
const ABSURD: f64 = 10.0;

/// When a track's session time was zero, in seconds of the camera's wall clock.
#[derive(Debug, Default)]
pub(super) struct Sync {
    video: Option<f64>,
    audio: Option<f64>,
    /// By how much the sound has been moved already.
    applied: f64,
    done: bool,
}

impl Sync {
    /// Takes a report: the wall clock (NTP format, 32.32 bits) and the session time in seconds
    /// that belongs to it. Returns by how many seconds the sound is later than thought so far;
    /// once, when both tracks have reported.
    pub(super) fn report(&mut self, track: TrackKind, wall: u64, elapsed: f64) -> Option<f64> {
        if self.done || wall == 0 {
            return None;
        }
        // Seconds of the NTP era fit into the 53 bits of a double with microseconds to spare.
        let start = wall as f64 / f64::from(u32::MAX) - elapsed;
        match track {
            TrackKind::Video => self.video = Some(start),
            TrackKind::Audio => self.audio = Some(start),
        }
        let later = self.audio? - self.video?;
        self.done = true;
        let correction = later - self.applied;
        if !(TOLERANCE..ABSURD).contains(&correction.abs()) {
            return None;
        }
        self.applied = later;
        Some(correction)
    }

    /// The sender has started a track anew: its reports are waited for again.
    pub(super) fn restart(&mut self, track: TrackKind) {
        match track {
            TrackKind::Video => self.video = None,
            TrackKind::Audio => self.audio = None,
        }
        self.done = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 0xe8a0_0000;

    #[test]
    fn one_report_of_each_track_tells_the_relation_once() {
        let mut sync = Sync::default();
        assert_eq!(sync.report(TrackKind::Video, NOON << 32, 5.0), None);
        let later = sync.report(TrackKind::Audio, (NOON << 32) + (1 << 31), 5.0);
        assert!(
            later.is_some_and(|later| (later - 0.5).abs() < 0.001),
            "{later:?}"
        );
        assert_eq!(sync.report(TrackKind::Audio, NOON << 32, 9.0), None);
    }

    #[test]
    fn after_a_restart_only_the_difference_is_corrected() {
        let mut sync = Sync::default();
        sync.report(TrackKind::Video, NOON << 32, 5.0);
        sync.report(TrackKind::Audio, (NOON << 32) + (1 << 31), 5.0);
        sync.restart(TrackKind::Audio);
        let later = sync.report(TrackKind::Audio, (NOON + 1) << 32, 5.25);
        assert!(
            later.is_some_and(|later| (later - 0.25).abs() < 0.001),
            "{later:?}"
        );
    }

    #[test]
    fn jitter_and_absurd_clocks_change_nothing() {
        for audio in [NOON << 32, (NOON + 3600) << 32] {
            let mut sync = Sync::default();
            sync.report(TrackKind::Video, NOON << 32, 5.01);
            assert_eq!(sync.report(TrackKind::Audio, audio, 5.0), None);
        }
    }
}
