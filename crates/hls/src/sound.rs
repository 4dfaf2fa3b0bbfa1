//! The sound of a stream on its way into parts.
//!
//! A part has sound and picture in one fragment, and players play only where they have both. So a
//! microphone that is silent for a while, or never says anything, must not stop the picture: where
//! sound has been missing for long enough, silence goes in its place.

use bytes::Bytes;
use headworks_media::{AudioParameters, Frame, TrackKind, Tracks, VIDEO_CLOCK, fmp4, rescale};

/// Sound that is further ahead of the picture than this waits for no picture: its clock is
/// another, and what waits has to be bounded. In 90 kHz.
const AHEAD: i64 = 5 * VIDEO_CLOCK as i64;

/// Sound that is so late is not waited for, in 90 kHz; more where it turns out that it does come …
const LATE: i64 = VIDEO_CLOCK as i64 / 2;
/// … but not more than this.
const TOO_LATE: i64 = 3 * VIDEO_CLOCK as i64;

/// Samples in a packet of AAC, and nearly those in one of Opus.
const PACKET: i64 = 1024;

/// The sound that goes into HLS: what fMP4 has an entry for. Everything that has to know whether
/// a stream has sound here asks this.
pub(crate) fn sound(tracks: &Tracks) -> Option<&AudioParameters> {
    tracks.audio.as_ref().filter(|audio| fmp4::carries(audio))
}

/// So much may wait, in packets and in bytes, if pictures do not come or time stands still. Ten
/// seconds of the shortest packets of Opus, and of sound of 3 Mbit/s.
const MAX_PACKETS: usize = 4096;
const MAX_BYTES: usize = 4 << 20;

/// Packets that wait for their part.
#[derive(Debug)]
pub(crate) struct Sound {
    packets: Vec<Frame>,
    bytes: usize,
    /// Ticks per second.
    rate: u32,
    /// How long a packet usually is.
    packet: i64,
    /// Packets are not shorter, whatever their times say.
    shortest: i64,
    /// A packet of silence, if we know one.
    silence: Option<Bytes>,
    /// How late sound may be, in 90 kHz.
    late: i64,
    /// Where what has been taken ends.
    end: Option<i64>,
    /// The end of silence that has been taken.
    filled: i64,
}

impl Sound {
    pub(crate) fn new(audio: &AudioParameters) -> Self {
        let rate = audio.clock_rate();
        let packet = match audio {
            AudioParameters::Aac { parsed, .. } => rescale(PACKET, parsed.sample_rate, rate),
            _ => PACKET,
        };
        Self {
            packets: Vec::new(),
            bytes: 0,
            rate,
            packet: packet.max(1),
            // The shortest of Opus have 120 samples.
            shortest: (packet / 16).max(1),
            silence: silence(audio),
            late: LATE,
            end: None,
            filled: i64::MIN,
        }
    }

    /// Takes the next packet. One that begins where silence has been put is dropped, and those
    /// behind it are waited for longer. One for which there is no room is dropped too.
    pub(crate) fn push(&mut self, frame: Frame) {
        if frame.dts < self.filled {
            let more = rescale(self.filled - frame.dts, self.rate, VIDEO_CLOCK);
            self.late = self.late.max((LATE + more).min(TOO_LATE));
            return;
        }
        if let Some(last) = self.packets.last() {
            let length = frame.dts - last.dts;
            // Longer ones are gaps.
            if (self.shortest..2 * self.packet).contains(&length) {
                self.packet = length;
            }
        }
        let bytes = self.bytes + frame.payload.len();
        if self.packets.len() < MAX_PACKETS && bytes <= MAX_BYTES {
            self.bytes = bytes;
            self.packets.push(frame);
        }
    }

    /// Gives the packets that start before `cut`, and where the last one ends. `from` and `to` is
    /// what the pictures last that they go with. All three are in 90 kHz.
    pub(crate) fn take(&mut self, cut: i64, from: i64, to: i64) -> (Vec<Frame>, i64) {
        let rate = self.rate;
        let time = |frame: &Frame| rescale(frame.dts, rate, VIDEO_CLOCK);
        let runs_away = |last: &Frame| time(last) > cut.saturating_add(AHEAD);
        let later = if self.packets.last().is_some_and(runs_away) {
            self.packets.len()
        } else {
            self.packets.partition_point(|frame| time(frame) < cut)
        };
        let rest = self.packets.split_off(later);
        let due = std::mem::replace(&mut self.packets, rest);
        self.bytes -= due.iter().map(|frame| frame.payload.len()).sum::<usize>();
        let mut taken = Vec::with_capacity(due.len());
        let mut end = self.end.unwrap_or_else(|| rescale(from, VIDEO_CLOCK, rate));
        for frame in due {
            self.fill(&mut taken, &mut end, frame.dts);
            end = frame.dts + self.packet;
            taken.push(frame);
        }
        let next = self.packets.first().map(|frame| frame.dts);
        let waited_for = rescale(to.saturating_sub(self.late), VIDEO_CLOCK, rate);
        self.fill(&mut taken, &mut end, next.unwrap_or(waited_for));
        // What is left of a gap lengthens the packet before it: decoders like that better than a
        // hole.
        if let Some(next) = next.filter(|_| !taken.is_empty()) {
            end = next;
        }
        self.end = Some(end);
        (taken, end)
    }

    /// Puts silence from `end` to `until` and moves `end`, if a whole packet goes between. What is
    /// taken at once does not get longer by it than sound may run away.
    fn fill(&mut self, taken: &mut Vec<Frame>, end: &mut i64, until: i64) {
        let Some(silence) = &self.silence else { return };
        let most = rescale(2 * AHEAD, VIDEO_CLOCK, self.rate) / self.packet;
        let most = most.saturating_sub(taken.len() as i64).max(0);
        let count = (until.saturating_sub(*end) / self.packet).min(most);
        for _ in 0..count {
            taken.push(Frame {
                track: TrackKind::Audio,
                dts: *end,
                pts: *end,
                key: true,
                payload: silence.clone(),
            });
            *end += self.packet;
            self.filled = *end;
        }
    }
}

/// A packet of silence, as FFmpeg's encoder writes it. AAC-LC of one or two channels, which is
/// what cameras have; it is the same at all rates.
fn silence(audio: &AudioParameters) -> Option<Bytes> {
    match audio {
        AudioParameters::Aac { parsed, .. } if parsed.object_type == 2 => match parsed.channels {
            1 => Some(Bytes::from_static(&[0x01, 0x18, 0x20, 0x07])),
            2 => Some(Bytes::from_static(&[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c])),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = VIDEO_CLOCK as i64;

    /// 8 kHz: a packet is 128 ms or 11520 ticks of the picture.
    fn sound() -> Sound {
        let audio = AudioParameters::aac(Bytes::from_static(&[0x15, 0x88]), 8000);
        Sound::new(&audio.expect("parses"))
    }

    fn packet(dts: i64) -> Frame {
        Frame {
            track: TrackKind::Audio,
            dts,
            pts: dts,
            key: true,
            payload: Bytes::from_static(b"sound"),
        }
    }

    fn times((taken, end): (Vec<Frame>, i64)) -> (Vec<i64>, i64) {
        (taken.iter().map(|frame| frame.dts).collect(), end)
    }

    #[test]
    fn it_goes_by_its_time() {
        let mut sound = sound();
        (0..4).for_each(|index| sound.push(packet(index * 1024)));
        assert_eq!(times(sound.take(18_000, 0, 18_000)), (vec![0, 1024], 2048));
        let second = times(sound.take(27_000, 18_000, 27_000));
        assert_eq!(second, (vec![2048], 3072), "256 ms; 384 ms is later");
        let rest = times(sound.take(i64::MAX, 27_000, 36_000));
        assert_eq!(rest, (vec![3072], 4096));
    }

    #[test]
    fn sound_that_runs_away_does_not_pile_up() {
        let mut sound = sound();
        (0..4).for_each(|index| sound.push(packet(index * 1024)));
        sound.push(packet(8000 * 600));
        let (taken, _) = sound.take(9000, 0, 9000);
        assert!(sound.packets.is_empty());
        assert!(taken.len() < 100, "nor does the silence before it");
    }

    #[test]
    fn gaps_between_packets_of_no_length_do_not_become_endless_silence() {
        let mut sound = sound();
        for index in 0..20 {
            sound.push(packet(index));
        }
        for gap in 1..20 {
            sound.push(packet(gap * 8000 * 10));
        }
        let (taken, _) = sound.take(9000, 0, 9000);
        assert_eq!(taken.len(), 20 + 19 + (2 * 5 * 8000 / 1024 - 20) as usize);
    }

    #[test]
    fn what_waits_is_bounded_if_no_picture_comes() {
        let mut still = sound();
        for _ in 0..MAX_PACKETS + 1 {
            still.push(packet(7));
        }
        assert_eq!(still.packets.len(), MAX_PACKETS);
        assert_eq!(still.take(9000, 0, 9000).0.len(), MAX_PACKETS);
        let mut fat = sound();
        for _ in 0..5 {
            fat.push(Frame {
                payload: vec![0; MAX_BYTES / 4].into(),
                ..packet(7)
            });
        }
        assert_eq!(fat.packets.len(), 4);
        fat.take(9000, 0, 9000);
        assert_eq!(fat.bytes, 0);
    }

    #[test]
    fn silence_goes_where_sound_is_missing() {
        let mut sound = sound();
        for half in 0..4 {
            let (from, to) = (half * SECOND / 2, (half + 1) * SECOND / 2);
            let (taken, end) = sound.take(to, from, to);
            // It may still come for half a second.
            assert_eq!(end, from * 8000 / SECOND / 1024 * 1024);
            assert_eq!(taken.len(), [0, 3, 4, 4][half as usize], "{half}");
            assert!(taken.iter().all(|frame| frame.payload.len() == 4));
        }
        // It comes at 2.2 s, after silence until 1.408 s.
        sound.push(packet(17_600));
        let (taken, end) = sound.take(5 * SECOND / 2, 2 * SECOND, 5 * SECOND / 2);
        assert_eq!(taken.len(), 6 + 1);
        assert_eq!((taken[6].dts, end), (17_600, 17_600 + 1024));
    }

    #[test]
    fn sound_that_is_always_late_is_waited_for_when_that_is_known() {
        let mut sound = sound();
        let mut heard = 0;
        for index in 0..40 {
            // It is 1.28 s late.
            sound.push(packet((index - 10) * 1024));
            let (from, to) = (index * 11_520, (index + 1) * 11_520);
            let (taken, _) = sound.take(to, from, to);
            assert!(
                taken
                    .windows(2)
                    .all(|pair| pair[0].dts + 1024 == pair[1].dts)
            );
            heard += taken
                .iter()
                .filter(|frame| frame.payload.len() == 5)
                .count();
        }
        assert!(heard > 25, "{heard}");
    }

    #[test]
    fn where_we_know_no_silence_a_gap_belongs_to_the_packet_before_it() {
        let mut sound = sound();
        sound.silence = None;
        sound.push(packet(0));
        sound.push(packet(8000));
        assert_eq!(times(sound.take(9000, 0, 9000)), (vec![0], 8000));
        assert_eq!(times(sound.take(18_000, 9000, 18_000)), (vec![], 8000));
    }
}
