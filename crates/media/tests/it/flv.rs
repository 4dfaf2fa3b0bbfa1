//! FLV from FFmpeg and to FFmpeg.

use std::path::Path;

use bytes::Bytes;
use headworks_media::{Demuxed, flv};
use headworks_testkit::judge;

use crate::fixture::{AAC, ALAW, AV1, Fixture, Found, H264, H265, OPUS, Version, decodes};

/// Both times are whole milliseconds in FLV.
const ROUNDING: f64 = 0.0011;

fn demux(path: &Path) -> anyhow::Result<Found> {
    let mut reader = flv::Reader::default();
    let mut demuxer = flv::Demuxer::default();
    let mut events: Vec<Demuxed> = Vec::new();
    for piece in std::fs::read(path)?.chunks(1000) {
        reader.push(piece);
        while let Some(tag) = reader.poll()? {
            demuxer.push(tag.kind, tag.timestamp, &tag.body)?;
            events.extend(std::iter::from_fn(|| demuxer.poll()));
        }
    }
    demuxer.finish();
    events.extend(std::iter::from_fn(|| demuxer.poll()));
    Found::new(events)
}

fn mux(found: &Found) -> Vec<u8> {
    let mut file = flv::start(&found.tracks, found.frames[0].dts).to_vec();
    for frame in &found.frames {
        file.extend_from_slice(&flv::tag(frame, &found.tracks));
    }
    file
}

#[test]
fn h264_with_aac_both_ways() -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[H264, AAC], "mp4")?;
    let path = fixture.remux(Version::Debian, "mp4", "flv", &[])?;
    let found = demux(&path)?;
    assert!(
        found.pictures().any(|frame| frame.pts > frame.dts),
        "has B-frames"
    );
    assert_eq!(found.tracks.video.reorder_depth(), 2);
    assert!(found.lengths.iter().all(|length| *length == 1024));
    found.is_as_in(&path, 0.0001)?;
    found.is_as_in(&fixture.source("mp4"), ROUNDING)?;
    let ours = fixture.output("ours.flv", &mux(&found))?;
    // Nothing is rounded twice.
    found.is_as_in(&ours, 0.0001)?;
    let ours = ours.to_string_lossy();
    decodes(judge::decode(&ours, 10), &["h264", "aac"])?;
    decodes(judge::decode_modern(&ours, 10), &["h264", "aac"])
}

#[test]
fn g711_both_ways() -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[H264, ALAW], "flv")?;
    let path = fixture.source("flv");
    let found = demux(&path)?;
    found.is_as_in(&path, 0.0001)?;
    assert_eq!(found.lengths.iter().sum::<u32>(), 16_000);
    let ours = fixture.output("ours.flv", &mux(&found))?;
    decodes(
        judge::decode(&ours.to_string_lossy(), 10),
        &["h264", "pcm_alaw"],
    )
}

#[test]
fn enhanced_h265_both_ways() -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[H265, AAC], "mp4")?;
    let path = fixture.remux(Version::Modern, "mp4", "flv", &[])?;
    let found = demux(&path)?;
    assert!(
        found.pictures().any(|frame| frame.pts > frame.dts),
        "has B-frames"
    );
    found.is_as_in(&fixture.source("mp4"), ROUNDING)?;
    let ours = fixture.output("ours.flv", &mux(&found))?;
    decodes(
        judge::decode_modern(&ours.to_string_lossy(), 10),
        &["hevc", "aac"],
    )
}

#[test]
fn enhanced_av1_with_opus_both_ways() -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[AV1, OPUS], "mp4")?;
    let path = fixture.remux(Version::Modern, "mp4", "flv", &[])?;
    let found = demux(&path)?;
    assert_eq!(found.tracks.video.width(), 320);
    assert_eq!(found.tracks.video.height(), 180);
    assert!(found.lengths.iter().all(|length| *length == 960));
    found.is_as_in(&fixture.source("mp4"), ROUNDING)?;
    let ours = fixture.output("ours.flv", &mux(&found))?;
    let codecs = ["libdav1d", "opus"];
    let seen = judge::decode_modern(&ours.to_string_lossy(), 10)?;
    assert_eq!(seen.pictures(), 50, "{seen:?} {codecs:?}");
    Ok(())
}

#[test]
fn mp3_is_refused_by_name() -> anyhow::Result<()> {
    let mp3: &[&str] = &["-c:a", "libmp3lame", "-ar", "44100"];
    let fixture = Fixture::new(Version::Debian, &[H264, mp3], "flv")?;
    let error = demux(&fixture.source("flv")).expect_err("MP3");
    assert_eq!(
        error.to_string(),
        "sound in MP3 (FLV sound format 2) is not supported"
    );
    Ok(())
}

#[test]
fn a_damaged_file_never_panics() -> anyhow::Result<()> {
    let fixture = Fixture::new(Version::Debian, &[H264, AAC], "flv")?;
    let file = std::fs::read(fixture.source("flv"))?;
    // Every 97th byte of the bodies, another one each time.
    for first in 0..20 {
        let mut demuxer = flv::Demuxer::default();
        let mut reader = flv::Reader::default();
        reader.push(&file);
        while let Some(tag) = reader.poll()? {
            let mut body = tag.body.to_vec();
            for byte in body.iter_mut().skip(first).step_by(97) {
                *byte = byte.wrapping_mul(7).wrapping_add(first as u8);
            }
            body.truncate(body.len() - first % 3);
            let _ = demuxer.push(tag.kind, tag.timestamp, &Bytes::from(body));
            while demuxer.poll().is_some() {}
        }
    }
    Ok(())
}
