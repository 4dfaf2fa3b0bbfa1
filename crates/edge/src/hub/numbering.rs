//! The numbers in RTP packets, given when a frame enters the ring.
//!
//! They are the stream's and not a viewer's: so all viewers share their packets, one that comes
//! late starts with the numbers of where it starts, and nothing has to be written before somebody
//! wants it.

use chrono::{DateTime, Utc};
use headworks_media::{AudioParameters, Frame, TrackKind, Tracks, VIDEO_CLOCK, rescale};
use headworks_rtp::{
    HEADER, Load, MAX_PACKET, Outgoing, payloads,
    rtcp::{self, SenderInfo},
    timestamp,
};

/// Between sender reports of a track (RFC 3550 §6.2), in 90 kHz …
const REPORT_EVERY: i64 = 5 * VIDEO_CLOCK as i64;

/// … and this early before a key frame: who starts there has to put sound and picture together.
const REPORT_AT_KEY: i64 = VIDEO_CLOCK as i64;

/// Who sends a track, and where its timestamps begin: at random (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sender {
    pub(super) ssrc: u32,
    pub(super) timestamp_offset: u32,
}

/// What a frame has to know for its RTP packets.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    /// The number of each track's next packet.
    sequences: [u16; 2],
    /// A sender report that goes out before the frame.
    pub(super) report: Option<Box<SenderInfo>>,
}

impl Numbers {
    /// The number of the track's next packet.
    pub(super) fn sequence(&self, track: TrackKind) -> u16 {
        self.sequences[place(track)]
    }

    /// What the headers of a frame of this track say.
    pub(super) fn outgoing(&self, track: TrackKind, sender: Sender) -> Outgoing {
        Outgoing {
            ssrc: sender.ssrc,
            sequence: self.sequence(track),
            timestamp_offset: sender.timestamp_offset,
        }
    }
}

/// Gives the numbers of one stream.
#[derive(Debug)]
pub(super) struct Numbering {
    senders: [Sender; 2],
    tracks: [Track; 2],
    /// The time of day at the time line's zero, anew for each session of the source.
    zero: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
struct Track {
    sequence: u16,
    packets: u32,
    octets: u32,
    /// The next frame carries a report.
    report_due: bool,
    /// When the last one went out, in 90 kHz.
    reported: Option<i64>,
}

impl Numbering {
    pub(super) fn new(mut random: impl FnMut() -> u32) -> Self {
        let mut sender = || Sender {
            ssrc: random(),
            timestamp_offset: random(),
        };
        let senders = [sender(), sender()];
        let mut track = || Track {
            sequence: random() as u16,
            ..Track::default()
        };
        Self {
            senders,
            tracks: [track(), track()],
            zero: None,
        }
    }

    pub(super) fn senders(&self) -> [Sender; 2] {
        self.senders
    }

    /// The source's clock has started anew: times of day are taken anew with the next frame.
    pub(super) fn restart(&mut self) {
        self.zero = None;
    }

    /// The numbers of a frame; `load` is what goes into its packets, if it has any.
    pub(super) fn next(
        &mut self,
        load: Option<Load<'_>>,
        tracks: &Tracks,
        now: DateTime<Utc>,
    ) -> Numbers {
        let mut numbers = Numbers {
            sequences: [self.tracks[0].sequence, self.tracks[1].sequence],
            report: None,
        };
        if let Some(load) = load {
            numbers.report = self.report(load.frame, tracks, now);
            let track = &mut self.tracks[place(load.frame.track)];
            for payload in payloads(load, tracks, MAX_PACKET - HEADER) {
                track.sequence = track.sequence.wrapping_add(1);
                track.packets = track.packets.wrapping_add(1);
                track.octets = track.octets.wrapping_add(payload.length() as u32);
            }
        }
        numbers
    }

    fn report(
        &mut self,
        frame: &Frame,
        tracks: &Tracks,
        now: DateTime<Utc>,
    ) -> Option<Box<SenderInfo>> {
        let rate = match frame.track {
            TrackKind::Video => VIDEO_CLOCK,
            TrackKind::Audio => tracks.audio.as_ref().map_or(0, AudioParameters::clock_rate),
        };
        let decoded = rescale(frame.dts, rate, VIDEO_CLOCK);
        let fresh = self.zero.is_none();
        let zero = *self.zero.get_or_insert_with(|| now - span(decoded));
        let [video, _] = &self.tracks;
        let old = |track: &Track, age| track.reported.is_none_or(|last| decoded - last >= age);
        if frame.track == TrackKind::Video && frame.key && (fresh || old(video, REPORT_AT_KEY)) {
            for track in &mut self.tracks {
                track.report_due = true;
            }
        }
        let place = place(frame.track);
        let track = &mut self.tracks[place];
        if !track.report_due
            && track
                .reported
                .is_some_and(|last| decoded - last < REPORT_EVERY)
        {
            return None;
        }
        track.report_due = false;
        track.reported = Some(decoded);
        Some(Box::new(SenderInfo {
            ntp: ntp(zero + span(rescale(frame.pts, rate, VIDEO_CLOCK))),
            timestamp: timestamp(frame.pts, self.senders[place].timestamp_offset),
            packets: track.packets,
            octets: track.octets,
        }))
    }
}

/// Where a track's numbers stand.
pub(super) fn place(track: TrackKind) -> usize {
    match track {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
    }
}

/// A time span, from 90 kHz.
fn span(ticks: i64) -> chrono::Duration {
    chrono::Duration::microseconds(rescale(ticks, VIDEO_CLOCK, 1_000_000))
}

fn ntp(time: DateTime<Utc>) -> u64 {
    let since = time.signed_duration_since(DateTime::UNIX_EPOCH);
    rtcp::ntp(since.to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use headworks_rtp::packet_count;

    use super::*;
    use crate::hub::testing;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;
    const NTP_TO_UNIX: u64 = 2_208_988_800;

    fn numbering() -> Numbering {
        Numbering::new(|| 0x0101_fffe)
    }

    #[test]
    fn each_track_counts_its_packets_and_wraps() {
        let tracks = testing::tracks_with_sound();
        let mut numbering = numbering();
        let picture = testing::picture(0, true, 5000);
        let count = packet_count(&picture, &tracks, MAX_PACKET) as u16;
        assert!(count > 3);
        let first = numbering.next(Some((&picture).into()), &tracks, NOW);
        let second = numbering.next(Some((&testing::sound(0)).into()), &tracks, NOW);
        let left_out = numbering.next(None, &tracks, NOW);
        let third = numbering.next(Some((&testing::sound(320)).into()), &tracks, NOW);
        assert_eq!(first.sequences, [0xfffe, 0xfffe]);
        assert_eq!(second.sequences, [count - 2, 0xfffe]);
        assert_eq!(left_out.sequences, third.sequences);
        assert_eq!(third.sequences, [count - 2, 0xffff]);
    }

    #[test]
    fn both_tracks_report_on_one_clock_where_viewers_can_start_and_every_five_seconds() {
        let tracks = testing::tracks_with_sound();
        let mut numbering = numbering();
        let mut reports = Vec::new();
        // A key frame every 12 s, 25 pictures a second; a packet of sound with each.
        for index in 0..350 {
            let picture = testing::picture(90_000 + index * 3600, index % 300 == 0, 100);
            let sound = testing::sound(8000 + index * 320);
            let second = |numbers: Numbers| numbers.report.map(|report| report.ntp);
            let picture = second(numbering.next(Some((&picture).into()), &tracks, NOW));
            let sound = second(numbering.next(Some((&sound).into()), &tracks, NOW));
            assert_eq!(picture, sound, "shown and heard together");
            reports.extend(picture.map(|ntp| (index, ntp)));
        }
        let start = NTP_TO_UNIX << 32;
        let expected = [0, 125, 250, 300].map(|index| (index, start + ((index as u64) << 32) / 25));
        for (report, expected) in reports.iter().zip(expected) {
            assert_eq!(report.0, expected.0);
            assert!(
                report.1.abs_diff(expected.1) < 1 << 20,
                "within a millisecond"
            );
        }
        assert_eq!(reports.len(), 4);
    }

    #[test]
    fn a_new_session_takes_the_time_of_day_anew() {
        let tracks = testing::tracks();
        let mut numbering = numbering();
        let first = numbering.next(Some((&testing::picture(0, true, 10)).into()), &tracks, NOW);
        assert_eq!(first.report.expect("reports").ntp, NTP_TO_UNIX << 32);
        numbering.restart();
        let later = NOW + chrono::Duration::seconds(3600);
        let next = numbering.next(
            Some((&testing::picture(3600, true, 10)).into()),
            &tracks,
            later,
        );
        let report = next.report.expect("reports");
        assert_eq!(report.ntp, (NTP_TO_UNIX + 3600) << 32);
        assert_eq!((report.packets > 0, report.octets > 10), (true, true));
    }
}
