//! Sound through a real FFmpeg, and back through another: what is heard when.

use std::{fs, process::Command, time::Duration};

use headworks_media::{AudioSpecificConfig, G711Law, Tracks, ts};
use headworks_testkit::{Deadline, tool};
use headworks_types::CameraId;
use tokio::task::yield_now;
use uuid::Uuid;

use super::*;
use crate::{
    ffmpeg,
    hub::{self, Hub, ViewerGuard, testing},
    ingest::Feed,
};

const LIMIT: Duration = Duration::from_secs(60);

/// How far sound may be from where it belongs, in ticks of the AAC: 15 ms.
const CLOSE: u64 = 15 * AAC_RATE as u64 / 1000;

/// Where the stream's time line begins.
const START: i64 = 10 * AAC_RATE as i64;

struct World {
    hub: Hub,
    feed: Feed,
    tasks: Tasks,
}

impl World {
    fn new() -> Self {
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let hub = Hub::new(hub::Config::default(), clock.clone(), tasks.clone());
        let ffmpeg = Ffmpeg::new(ffmpeg::Config::default(), tasks.clone());
        let sound = Sound::new(ffmpeg, clock.clone(), tasks.clone());
        let publisher = hub.publish(camera());
        let feed = Feed::new(publisher, sound, "gate", clock, LIMIT);
        Self { hub, feed, tasks }
    }

    fn watch(&self) -> ViewerGuard {
        self.feed.stream().add_viewer()
    }

    /// Flushes until there is AAC up to this stamp; returns all of it.
    async fn aac_until(&mut self, stamp: i64) -> Vec<(i64, Bytes)> {
        let deadline = Deadline::after(LIMIT);
        loop {
            self.feed.flush();
            let aac = self.hub.aac(camera());
            if aac.last().is_some_and(|(last, _)| *last >= stamp) {
                return aac;
            }
            let status = self.feed.stream().status();
            assert!(!deadline.has_passed(), "no AAC comes: {status:?}");
            yield_now().await;
        }
    }

    /// Twenty milliseconds of G.711 at 8 kHz that play at `index`.
    fn packet(&mut self, index: i64, law: G711Law, loud: bool) {
        let (silence, high, low) = match law {
            G711Law::A => (0xd5, 0xaa, 0x2a),
            G711Law::Mu => (0xff, 0x80, 0x00),
        };
        // A square wave of 1 kHz.
        let sample = |at: usize| match (loud, at / 4 % 2) {
            (false, _) => silence,
            (true, 0) => high,
            (true, _) => low,
        };
        let payload = (0..160).map(sample).collect();
        self.feed.audio(index * 160, 160, payload);
    }
}

fn camera() -> CameraId {
    Uuid::from_u128(1).into()
}

fn tracks(law: G711Law) -> std::sync::Arc<Tracks> {
    let mut tracks = Tracks::clone(&testing::tracks());
    tracks.audio = Some(AudioParameters::G711 {
        law,
        clock_rate: 8000,
        channels: 1,
    });
    tracks.into()
}

/// The stamps at which it gets loud, as FFmpeg decodes it.
fn onsets(aac: &[(i64, Bytes)]) -> Vec<i64> {
    let config = AudioSpecificConfig::parse(&[0x11, 0x88]).expect("parses");
    let mut file = Vec::new();
    for (_, payload) in aac {
        file.extend(config.adts_header(payload.len()).expect("has one"));
        file.extend_from_slice(payload);
    }
    let directory = tempfile::tempdir().expect("makes one");
    let path = directory.path().join("sound.aac");
    fs::write(&path, file).expect("writes");
    let decoded = Command::new(tool::FFMPEG)
        .args(["-v", "error", "-xerror", "-i"])
        .arg(&path)
        .args(["-f", "s16le", "-ac", "1", "pipe:1"])
        .output()
        .expect("runs");
    assert!(decoded.status.success() && decoded.stderr.is_empty());
    let samples = decoded.stdout.chunks_exact(2);
    let loud: Vec<_> = samples
        .map(|sample| i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs() > 14_000)
        .collect();
    assert_eq!(loud.len(), aac.len() * 1024);
    let quiet_before = |at: usize| loud[at.saturating_sub(2000)..at].iter().all(|loud| !loud);
    let starts = (0..loud.len()).filter(|at| loud[*at] && quiet_before(*at));
    starts
        .map(|at| aac[at / 1024].0 + (at % 1024) as i64)
        .collect()
}

fn is_close(found: i64, expected: i64) {
    assert!(
        found.abs_diff(expected) <= CLOSE,
        "{found} for {expected}: {} ms",
        (found - expected) * 1000 / i64::from(AAC_RATE)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_plays_when_the_camera_has_played_it_also_behind_a_gap() {
    for law in [G711Law::A, G711Law::Mu] {
        let mut world = World::new();
        world.feed.tracks(tracks(law));
        world.feed.video(0, true, Bytes::from_static(b"picture"));
        for index in 0..100 {
            world.packet(index, law, (50..60).contains(&index));
        }
        // The first viewer comes late, and hears what is buffered.
        let _viewer = world.watch();
        let aac = world.aac_until(START + 80 * 960).await;
        assert!(aac[0].0 - START < 2 * FRAME, "from the beginning");
        // A second is missing, and it gets loud 200 ms behind it.
        for index in 150..250 {
            world.packet(index, law, (160..170).contains(&index));
        }
        let aac = world.aac_until(START + 230 * 960).await;
        let found = onsets(&aac);
        assert_eq!(found.len(), 2, "{found:?}");
        is_close(found[0], START + 50 * 960);
        is_close(found[1], START + 160 * 960);
        world.tasks.shutdown(LIMIT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_plays_when_its_picture_is_shown() {
    let directory = tempfile::tempdir().expect("makes one");
    let path = directory.path().join("opus.ts");
    let made = Command::new(tool::FFMPEG)
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .args(["testsrc=s=160x120:r=25:d=4", "-f", "lavfi", "-i"])
        .arg("aevalsrc=if(between(t\\,2\\,2.5)\\,sin(2*PI*440*t)\\,0):s=48000:d=4")
        .args(["-c:v", "libx264", "-tune", "zerolatency"])
        .args(["-c:a", "libopus", "-strict", "-2", "-f", "mpegts"])
        .arg(&path)
        .status()
        .expect("runs");
    assert!(made.success());
    let mut world = World::new();
    let mut demuxer = ts::Demuxer::default();
    demuxer.push(&fs::read(&path).expect("reads"));
    demuxer.finish();
    while let Some(found) = demuxer.poll() {
        world.feed.take(found.expect("is MPEG-TS"));
    }
    let _viewer = world.watch();
    let aac = world.aac_until(START + 3 * i64::from(AAC_RATE)).await;
    let found = onsets(&aac);
    assert_eq!(found.len(), 1, "{found:?}");
    is_close(found[0], START + 2 * i64::from(AAC_RATE));
    world.tasks.shutdown(LIMIT).await;
}
