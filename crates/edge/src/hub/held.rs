//! Sound that waits for the next picture. Nobody is told of it earlier anyway, and AAC that leaves
//! together can share a packet of RTP: each packet to each viewer costs.

use std::mem;

use headworks_media::Frame;
use headworks_rtp::aac_shares_packet;

use super::entry::Pack;

/// Frames of AAC that go into one packet.
#[derive(Debug, Default)]
pub(super) struct HeldSound {
    frames: Vec<Frame>,
    /// Where the next one has to begin.
    end: i64,
}

impl HeldSound {
    /// False if those that are held have to go before it.
    pub(super) fn fits(&self, frame: &Frame) -> bool {
        let all = self.frames.iter().chain([frame]);
        self.frames.is_empty()
            || frame.pts == self.end && aac_shares_packet(all.map(|frame| &frame.payload[..]))
    }

    /// Keeps one that fits and has `length` ticks.
    pub(super) fn push(&mut self, frame: Frame, length: u32) {
        self.end = frame.pts + i64::from(length);
        self.frames.push(frame);
    }

    /// Lets go of all.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Frame, Pack)> + use<> {
        let frames = mem::take(&mut self.frames);
        let more: Box<[_]> = frames
            .iter()
            .skip(1)
            .map(|frame| frame.payload.clone())
            .collect();
        let mut first = Some(if more.is_empty() {
            Pack::Alone
        } else {
            Pack::Leads(more)
        });
        let packed = move |frame| (frame, first.take().unwrap_or(Pack::Follows));
        frames.into_iter().map(packed)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::hub::testing;

    fn frame(pts: i64, length: usize) -> Frame {
        Frame {
            payload: Bytes::from(vec![7; length]),
            ..testing::sound(pts)
        }
    }

    #[test]
    fn what_follows_without_a_hole_shares_a_packet() {
        let mut held = HeldSound::default();
        assert!(held.take().next().is_none());
        held.push(frame(0, 300), 1024);
        assert!(!held.fits(&frame(1025, 300)), "a hole");
        assert!(!held.fits(&frame(1024, 1200)), "too long");
        assert!(held.fits(&frame(1024, 200)));
        held.push(frame(1024, 200), 1024);
        let packs: Vec<_> = held.take().map(|(frame, pack)| (frame.pts, pack)).collect();
        let more = Pack::Leads([Bytes::from(vec![7; 200])].into());
        assert_eq!(packs, [(0, more), (1024, Pack::Follows)]);
        // One that is longer than a packet stays alone.
        assert!(held.fits(&frame(5000, 3000)));
        held.push(frame(5000, 3000), 1024);
        assert!(!held.fits(&frame(6024, 10)));
        let packs: Vec<_> = held.take().map(|(_, pack)| pack).collect();
        assert_eq!(packs, [Pack::Alone]);
    }
}
