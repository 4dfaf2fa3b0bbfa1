//! Fragmented MP4 to FFmpeg.

use headworks_media::{
    Demuxed, Frame, flv,
    fmp4::{self, AUDIO_TRACK, Run, Sample, VIDEO_TRACK},
};
use headworks_testkit::judge;

use crate::fixture::{AAC, AV1, Fixture, Found, H264, OPUS, Version};

/// One fragment of everything.
fn mux(found: &Found) -> anyhow::Result<Vec<u8>> {
    let pictures: Vec<_> = found.pictures().collect();
    let sounds: Vec<_> = found.sounds().collect();
    let (picture_samples, sound_samples) = (samples(&pictures), samples(&sounds));
    let mut file = fmp4::init_segment(&found.tracks)?.to_vec();
    let runs = [
        Run {
            track: VIDEO_TRACK,
            base: pictures[0].dts,
            samples: &picture_samples,
        },
        Run {
            track: AUDIO_TRACK,
            base: sounds[0].dts,
            samples: &sound_samples,
        },
    ];
    file.extend_from_slice(&fmp4::fragment_header(1, &runs));
    for frame in pictures.iter().chain(&sounds) {
        file.extend_from_slice(&frame.payload);
    }
    Ok(file)
}

fn samples(frames: &[&Frame]) -> Vec<Sample> {
    let mut samples: Vec<_> = frames
        .windows(2)
        .map(|pair| sample(pair[0], (pair[1].dts - pair[0].dts) as u32))
        .collect();
    samples.extend(frames.last().map(|last| sample(last, 960)));
    samples
}

fn sample(frame: &Frame, duration: u32) -> Sample {
    Sample {
        duration,
        size: frame.payload.len() as u32,
        key: frame.key,
        composition: (frame.pts - frame.dts) as i32,
    }
}

fn demux(path: &std::path::Path) -> anyhow::Result<Found> {
    let mut reader = flv::Reader::default();
    reader.push(&std::fs::read(path)?);
    let mut demuxer = flv::Demuxer::default();
    while let Some(tag) = reader.poll()? {
        demuxer.push(tag.kind, tag.timestamp, &tag.body)?;
    }
    let events: Vec<Demuxed> = std::iter::from_fn(|| demuxer.poll()).collect();
    Found::new(events)
}

#[test]
fn av1_and_opus_decode() -> anyhow::Result<()> {
    for (video, audio) in [(AV1, OPUS), (H264, OPUS), (AV1, AAC)] {
        let fixture = Fixture::new(Version::Debian, &[video, audio], "mp4")?;
        let path = fixture.remux(Version::Modern, "mp4", "flv", &[])?;
        let ours = fixture.output("ours.mp4", &mux(&demux(&path)?)?)?;
        let ours = ours.to_string_lossy();
        for seen in [judge::decode(&ours, 10)?, judge::decode_modern(&ours, 10)?] {
            assert!(seen.errors.is_empty(), "{:?}", seen.errors);
            assert_eq!(seen.pictures(), 50, "{seen:?}");
            assert_eq!(seen.tracks.len(), 2, "{seen:?}");
        }
    }
    Ok(())
}
