//! Follows a stream frame by frame, for somebody who sends it on alone.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Sound, Start, Stream, entry::Entry, stream::Progress};

/// Reads a stream from a key frame on. One that is slower than the stream jumps to a key frame.
pub(crate) struct Reader {
    stream: Arc<Stream>,
    progress: watch::Receiver<Progress>,
    sound: Sound,
    /// The number of the next frame.
    next: u64,
    needs_key: bool,
    jumps: u64,
}

impl Reader {
    /// Reads from `start` on, with this sound.
    pub(crate) fn new(stream: Arc<Stream>, sound: Sound, start: &Start) -> Self {
        Self {
            progress: stream.progress(),
            stream,
            sound,
            next: start.number,
            needs_key: true,
            jumps: 0,
        }
    }

    /// Reads what is relayed, from the newest key frame on, or from the first that comes.
    pub(crate) fn newest(stream: Arc<Stream>) -> Self {
        let next = {
            let ring = stream.ring();
            ring.newest_key().unwrap_or(ring.next())
        };
        Self {
            progress: stream.progress(),
            stream,
            sound: Sound::Original,
            next,
            needs_key: true,
            jumps: 0,
        }
    }

    /// Goes on with what another edge had before: with the frame of this place in its incarnation,
    /// in the middle of pictures too. `None` if that is not here any more, or never was.
    pub(crate) fn resume(stream: Arc<Stream>, incarnation: u64, sequence: u64) -> Option<Self> {
        let next = {
            let ring = stream.ring();
            let mut places = (ring.first()..ring.next()).rev();
            let is_before = |number: &u64| {
                let source = ring.get(*number).map(|entry| entry.source);
                source.is_some_and(|source| {
                    source.incarnation == incarnation && source.sequence < sequence
                })
            };
            let newest = places.find(is_before)?;
            let source = ring.get(newest)?.source;
            // The one behind it, which may be still to come.
            (source.sequence + 1 == sequence).then_some(newest + 1)?
        };
        Some(Self {
            progress: stream.progress(),
            stream,
            sound: Sound::Original,
            next,
            needs_key: false,
            jumps: 0,
        })
    }

    /// How often it has fallen behind.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Waits for the next frame; `None` if the stream has ended. Losing the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Arc<Entry>> {
        loop {
            let ended = self.progress.borrow_and_update().ended;
            if let Some(entry) = self.take() {
                return Some(entry);
            }
            if ended || self.progress.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The next frame, if it is there.
    fn take(&mut self) -> Option<Arc<Entry>> {
        let ring = self.stream.ring();
        if self.next < ring.first() {
            self.next = ring.newest_key().unwrap_or(ring.next());
            self.needs_key = true;
            self.jumps += 1;
            self.stream.counters.jumps.inc();
        }
        if self.needs_key {
            let Some(key) = ring.key_from(self.next) else {
                self.next = ring.next();
                return None;
            };
            self.next = key;
            self.needs_key = false;
        }
        loop {
            let entry = ring.get(self.next)?;
            self.next += 1;
            if entry.is_for(self.sound) && !entry.is_past {
                return Some(Arc::clone(entry));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use headworks_bootstrap::{Clock, Tasks};
    use headworks_types::CameraId;
    use uuid::Uuid;

    use super::*;
    use crate::hub::{Config, Hub, testing};

    const CAMERA: u128 = 1;

    #[tokio::test]
    async fn a_reader_gets_each_frame_and_jumps_when_it_is_too_slow() {
        let config = Config {
            buffer_frames: 8,
            ..Config::default()
        };
        let hub = Hub::new(config, Clock::system(), Tasks::new());
        let mut publisher = hub.publish(CameraId::from(Uuid::from_u128(CAMERA)));
        publisher.start_session(testing::tracks());
        let mut push = |number: i64| {
            let key = number % 4 == 0;
            let payload = testing::picture(0, key, 100).payload;
            publisher.video(number * 3600, key, payload);
        };
        (0..3).for_each(&mut push);
        let stream = hub.stream(CameraId::from(Uuid::from_u128(CAMERA)));
        let stream = stream.expect("is there");
        let start = stream.start().expect("has a key frame");
        let mut reader = Reader::new(stream, Sound::Original, &start);
        let keys = |reader: &mut Reader| {
            let next = || reader.next().now_or_never().flatten();
            let frames = std::iter::from_fn(next);
            frames.map(|entry| entry.is_key()).collect::<Vec<_>>()
        };
        assert_eq!(keys(&mut reader), [true, false, false]);
        assert_eq!(reader.jumps(), 0);
        (3..40).for_each(&mut push);
        let after = keys(&mut reader);
        assert_eq!(after, [true, false, false, false], "from a key frame on");
        assert_eq!(reader.jumps(), 1);
        drop(publisher);
        assert!(reader.next().await.is_none(), "the stream has ended");
    }
}
