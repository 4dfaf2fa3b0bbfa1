//! The RTP of one track of a push: numbers of its own, and reports about them (RFC 3550 §6.4.1).

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use headworks_media::{AudioParameters, Frame, TrackKind, Tracks, VIDEO_CLOCK, rescale};
use headworks_rtp::{
    HEADER, MAX_PACKET, Outgoing, datagrams,
    rtcp::{self, SenderInfo},
    timestamp,
};

/// Between reports, in 90 kHz.
const REPORT_EVERY: i64 = 5 * VIDEO_CLOCK as i64;

/// Writes the packets of one track.
pub(super) struct Sender {
    ssrc: u32,
    sequence: u16,
    offset: u32,
    packets: u32,
    octets: u32,
    /// When the last report went out, in 90 kHz.
    reported: Option<i64>,
}

impl Sender {
    pub(super) fn new() -> Self {
        Self {
            ssrc: rand::random(),
            sequence: rand::random(),
            offset: rand::random(),
            packets: 0,
            octets: 0,
            reported: None,
        }
    }

    /// The packets of a frame.
    pub(super) fn packets(&mut self, frame: &Frame, tracks: &Tracks) -> Vec<Bytes> {
        let head = Outgoing {
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp_offset: self.offset,
        };
        let runs = datagrams(frame, tracks, MAX_PACKET, head);
        let packets: Vec<_> = runs.iter().flat_map(headworks_rtp::Run::packets).collect();
        let count = packets.len() as u32;
        self.sequence = self.sequence.wrapping_add(count as u16);
        self.packets = self.packets.wrapping_add(count);
        let octets: usize = packets.iter().map(|packet| packet.len() - HEADER).sum();
        self.octets = self.octets.wrapping_add(octets as u32);
        packets
    }

    /// A report that goes out before this frame, if one is due. `zero` is the time of day at the
    /// time line's zero; both tracks have the same `name`.
    pub(super) fn report(
        &mut self,
        frame: &Frame,
        tracks: &Tracks,
        zero: DateTime<Utc>,
        name: &str,
    ) -> Option<Bytes> {
        let rate = match (frame.track, &tracks.audio) {
            (TrackKind::Audio, Some(audio)) => AudioParameters::clock_rate(audio),
            _ => VIDEO_CLOCK,
        };
        let decoded = rescale(frame.dts, rate, VIDEO_CLOCK);
        if self
            .reported
            .is_some_and(|last| decoded - last < REPORT_EVERY)
        {
            return None;
        }
        self.reported = Some(decoded);
        let shown = zero + TimeDelta::microseconds(rescale(frame.pts, rate, 1_000_000));
        let since_1970 = (shown - DateTime::UNIX_EPOCH).to_std().unwrap_or_default();
        let info = SenderInfo {
            ntp: rtcp::ntp(since_1970),
            timestamp: timestamp(frame.pts, self.offset),
            packets: self.packets,
            octets: self.octets,
        };
        Some(rtcp::sender_report(self.ssrc, name, info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::testing;

    #[test]
    fn packets_are_numbered_and_reported_on() {
        let tracks = testing::tracks_with_sound();
        let mut sender = Sender::new();
        let report = |sender: &mut Sender, dts| {
            let frame = testing::picture(dts, true, 5000);
            let bytes = sender.report(&frame, &tracks, DateTime::UNIX_EPOCH, "name")?;
            match rtcp::parse(&bytes).expect("parses").into_iter().next() {
                Some(rtcp::Report::Sender { info, .. }) => Some(info),
                other => panic!("{other:?}"),
            }
        };
        let first = report(&mut sender, 0).expect("comes with the first frame");
        assert_eq!((first.packets, first.octets), (0, 0));
        let mut last = None;
        for dts in [0, 3600] {
            for packet in sender.packets(&testing::picture(dts, true, 5000), &tracks) {
                let sequence = u16::from_be_bytes([packet[2], packet[3]]);
                let expected = last.map(|last: u16| last.wrapping_add(1));
                assert_eq!(expected.unwrap_or(sequence), sequence);
                last = Some(sequence);
            }
        }
        assert!(report(&mut sender, REPORT_EVERY - 1).is_none());
        let second = report(&mut sender, REPORT_EVERY).expect("is due");
        assert!(second.packets >= 8 && second.octets >= 10_000, "{second:?}");
        let five_seconds = 5 << 32;
        assert_eq!(second.ntp - first.ntp, five_seconds);
    }
}
