//! MPEG-TS from FFmpeg and to FFmpeg.

use std::path::Path;

use headworks_media::{Demuxed, aac::AdtsReader, ts};
use headworks_testkit::judge;

use crate::fixture::{AAC, AV1, Fixture, Found, H264, H265, OPUS, Version, decodes};

/// As exact as ffprobe's six digits.
const EXACT: f64 = 0.000_02;

fn demux(stream: &[u8]) -> anyhow::Result<Found> {
    let mut demuxer = ts::Demuxer::default();
    let mut events: Vec<Demuxed> = Vec::new();
    for piece in stream.chunks(1000) {
        demuxer.push(piece);
        while let Some(event) = demuxer.poll() {
            events.push(event?);
        }
    }
    demuxer.finish();
    while let Some(event) = demuxer.poll() {
        events.push(event?);
    }
    assert_eq!(demuxer.losses(), ts::Losses::default());
    Found::new(events)
}

fn read(path: &Path) -> anyhow::Result<Found> {
    demux(&std::fs::read(path)?)
}

fn mux(found: &Found) -> anyhow::Result<Vec<u8>> {
    let mut muxer = ts::Muxer::new((*found.tracks).clone())?;
    Ok(found
        .frames
        .iter()
        .flat_map(|frame| muxer.write(frame))
        .collect())
}

fn both_ways(video: &[&str], audio: &[&str], codecs: &[&str]) -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[video, audio], "mp4")?;
    let path = fixture.remux(Version::Debian, "mp4", "ts", &[])?;
    let found = read(&path)?;
    assert!(
        found.pictures().any(|frame| frame.pts > frame.dts),
        "has B-frames"
    );
    found.is_as_in(&path, EXACT)?;
    let ours = fixture.output("ours.ts", &mux(&found)?)?;
    found.is_as_in(&ours, EXACT)?;
    let again = read(&ours)?;
    assert!(again.pictures().eq(found.pictures()) && again.sounds().eq(found.sounds()));
    let ours = ours.to_string_lossy();
    decodes(judge::decode(&ours, 10), codecs)?;
    decodes(judge::decode_modern(&ours, 10), codecs)
}

#[test]
fn h264_with_aac_both_ways() -> anyhow::Result<()> {
    both_ways(H264, AAC, &["h264", "aac"])
}

#[test]
fn h265_with_aac_both_ways() -> anyhow::Result<()> {
    both_ways(H265, AAC, &["hevc", "aac"])
}

#[test]
fn h264_with_opus_both_ways() -> anyhow::Result<()> {
    both_ways(H264, OPUS, &["h264", "opus"])
}

#[test]
fn a_viewer_may_join_at_any_key_frame() -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[H264, AAC], "ts")?;
    let found = read(&fixture.source("ts"))?;
    let mut muxer = ts::Muxer::new((*found.tracks).clone())?;
    let mut tail = Vec::new();
    for frame in &found.frames {
        let cells = muxer.write(frame);
        let second_key = frame.key && frame.payload.len() > 1000 && frame.dts > 90_000 * 2;
        if second_key || !tail.is_empty() {
            tail.extend_from_slice(&cells);
        }
    }
    let ours = fixture.output("tail.ts", &tail)?;
    let seen = judge::decode(&ours.to_string_lossy(), 10)?;
    assert!(seen.errors.is_empty(), "{:?}", seen.errors);
    assert_eq!(seen.pictures(), 25);
    Ok(())
}

#[test]
fn latm_and_av1_are_refused_by_name() -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[H264, AAC], "mp4")?;
    let latm = ["-mpegts_flags", "latm"];
    let path = fixture.remux(Version::Debian, "mp4", "ts", &latm)?;
    assert_eq!(
        read(&path).expect_err("LATM").to_string(),
        "sound in AAC in LATM is not supported"
    );
    let fixture = Fixture::new(Version::Debian, &[AV1, AAC], "mp4")?;
    let path = fixture.remux(Version::Modern, "mp4", "ts", &[])?;
    let error = read(&path).expect_err("AV1").to_string();
    assert!(
        error.contains("AV1") || error.contains("no picture"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_lossy_stream_is_carried_in_part() -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[H264, AAC], "ts")?;
    let stream = std::fs::read(fixture.source("ts"))?;
    for first in [40, 77, 123] {
        let mut demuxer = ts::Demuxer::default();
        let mut pictures = 0;
        for (index, cell) in stream.chunks(ts::CELL).enumerate() {
            if index < 20 || index % first != 0 {
                demuxer.push(cell);
            }
            while let Some(event) = demuxer.poll() {
                pictures += usize::from(matches!(event?, Demuxed::Video { .. }));
            }
        }
        let losses = demuxer.losses();
        assert!(losses.gaps > 0 && losses.frames > 0, "{losses:?}");
        assert!(pictures > 5, "{pictures} and {losses:?}");
    }
    Ok(())
}

#[test]
fn adts_from_a_child_is_read() -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[H264, AAC], "mp4")?;
    let path = fixture.remux(Version::Debian, "mp4", "adts", &["-vn", "-f", "adts"])?;
    let mut reader = AdtsReader::default();
    let mut units = Vec::new();
    for piece in std::fs::read(path)?.chunks(100) {
        reader.push(piece);
        units.extend(std::iter::from_fn(|| reader.poll()));
    }
    let as_in_mp4 = crate::fixture::packets(&fixture.source("mp4"), "a")?.len();
    assert_eq!((units.len(), reader.skipped()), (as_in_mp4, 0));
    assert_eq!(units[0].config, [0x11, 0x88], "48 kHz, mono");
    Ok(())
}
