//! AAC of the camera's own, which shares packets of RTP.

use headworks_media::TrackKind;

use super::*;
use crate::hub::entry::{Entry, Pack};

/// Samples of an access unit of AAC.
const UNIT: i64 = 1024;

fn world() -> World {
    let mut world = World::new(Config::default());
    world.publisher.start_session(testing::tracks_with_aac());
    world
}

impl World {
    fn picture(&mut self, key: bool) {
        let payload = testing::picture(0, key, 100).payload;
        self.publisher.video(self.pts, key, payload);
        self.pts += 3600;
    }

    fn unit(&mut self, number: i64) {
        let payload = Bytes::from(vec![number as u8; 200]);
        let stamp = self.publisher.audio(number * UNIT, UNIT as u32, payload);
        assert!(stamp.is_some(), "is taken");
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        let stream = self.stream();
        let ring = stream.ring();
        let numbers = ring.first()..ring.next();
        numbers
            .filter_map(|number| ring.get(number).cloned())
            .collect()
    }
}

/// `V` and `K` are pictures, `a` is sound alone, `2` two units in a packet, `.` the second of them.
fn shape(entries: &[Arc<Entry>]) -> String {
    let letter = |entry: &Arc<Entry>| match (&entry.pack, entry.frame.track) {
        (_, TrackKind::Video) if entry.is_key() => 'K',
        (_, TrackKind::Video) => 'V',
        (Pack::Alone, _) => 'a',
        (Pack::Leads(more), _) => char::from(b'1' + more.len() as u8),
        (Pack::Follows, _) => '.',
    };
    entries.iter().map(letter).collect()
}

#[tokio::test]
async fn sound_between_two_pictures_is_in_one_packet() {
    let mut world = world();
    world.picture(true);
    world.unit(0);
    world.unit(1);
    world.publisher.wake();
    assert_eq!(shape(&world.entries()), "K2.", "is told with the picture");
    world.unit(2);
    world.publisher.wake();
    assert_eq!(shape(&world.entries()), "K2.", "waits for the next picture");
    world.picture(true);
    world.unit(3);
    world.picture(false);
    world.unit(4);
    // A hole that is no jitter.
    world.unit(14);
    let stream = world.stream();
    world.stream().set_final(true);
    drop(world.publisher);
    let ring = stream.ring();
    let entries: Vec<_> = (0..ring.next())
        .filter_map(|number| ring.get(number).cloned())
        .collect();
    assert_eq!(shape(&entries), "K2.aKaVaa", "no packet crosses a picture");
}

#[tokio::test]
async fn packets_are_numbered_without_a_hole_and_every_other_format_has_each_unit() {
    let mut world = world();
    for picture in 0..50 {
        world.picture(picture % 10 == 0);
        for unit in (picture * 15 / 8)..((picture + 1) * 15 / 8) {
            world.unit(unit);
        }
        world.publisher.wake();
    }
    let entries = world.entries();
    let sound = entries
        .iter()
        .filter(|entry| entry.frame.track == TrackKind::Audio);
    let (mut next, mut units, mut packets) = (None, 0, 0);
    for entry in sound {
        units += 1;
        assert!(entry.wire(Format::Flv, Selection::All).is_some());
        let sequence = entry.numbers.sequence(TrackKind::Audio);
        let expected = *next.get_or_insert(sequence);
        assert_eq!(sequence, expected);
        let wires = [Format::RtpInterleaved, Format::RtpUdp]
            .map(|format| entry.wire(format, Selection::All).is_some());
        assert_eq!(wires, [entry.pack != Pack::Follows; 2]);
        if wires[0] {
            packets += 1;
            next = Some(expected.wrapping_add(1));
        }
    }
    assert_eq!((units, packets), (93, 50), "{}", shape(&entries));
}
