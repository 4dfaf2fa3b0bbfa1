//! We understand what GStreamer's payloaders make, which also have modes that FFmpeg lacks.

use std::process::Command;

use anyhow::{Context, ensure};
use bytes::Bytes;
use headworks_rtp::{Codec, Event, Media};

use crate::{
    receive::{is_picture_of, is_sound_of, media_of_sdp, receive},
    source::{self, Source},
};

/// Debian's, which has GStreamer's bindings.
const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/gstreamer.py");

/// One track of the source through these elements.
fn sent(source: &Source, elements: &str) -> anyhow::Result<(Media, Vec<Event>)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("packets");
    let mut command = Command::new(PYTHON);
    command
        .arg(SCRIPT)
        .arg(&source.path)
        .arg(elements)
        .arg(&path);
    let sdp = source::run(&mut command)?;
    let datagrams = packets(&mut std::fs::read(&path)?.into())?;
    let media = media_of_sdp(&sdp).with_context(|| sdp.clone())?;
    Ok((media.clone(), receive(&media, &datagrams)?))
}

/// Packets behind their lengths (RFC 4571 §2).
fn packets(bytes: &mut Bytes) -> anyhow::Result<Vec<Bytes>> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        ensure!(bytes.len() >= 2, "a length");
        let length = bytes.split_to(2);
        packets.push(bytes.split_to(usize::from(u16::from_be_bytes([length[0], length[1]]))));
    }
    Ok(packets)
}

#[test]
fn h264_in_all_modes() -> anyhow::Result<()> {
    for video in [source::H264, source::H264_SLICES] {
        let source = Source::make(video, source::AAC)?;
        for mode in ["none", "zero-latency", "max-stap"] {
            for mtu in [1400, 200] {
                let elements = format!(
                    "demux.video_0 ! queue ! h264parse ! rtph264pay config-interval=-1 aggregate-mode={mode} mtu={mtu}"
                );
                let (_, events) = sent(&source, &elements)?;
                is_picture_of(&events, &source).with_context(|| elements.clone())?;
            }
        }
    }
    Ok(())
}

#[test]
fn h265_in_all_modes() -> anyhow::Result<()> {
    let source = Source::make(source::H265, source::OPUS)?;
    for mode in ["none", "zero-latency", "max"] {
        for mtu in [1400, 200] {
            let elements = format!(
                "demux.video_0 ! queue ! h265parse ! rtph265pay config-interval=-1 aggregate-mode={mode} mtu={mtu}"
            );
            let (_, events) = sent(&source, &elements)?;
            is_picture_of(&events, &source).with_context(|| elements.clone())?;
        }
    }
    Ok(())
}

#[test]
fn aac_in_both_formats() -> anyhow::Result<()> {
    let source = Source::make(source::H264, source::AAC)?;
    for payloader in ["rtpmp4gpay", "rtpmp4apay"] {
        for mtu in [1400, 200] {
            let elements = format!("demux.audio_0 ! queue ! aacparse ! {payloader} mtu={mtu}");
            let (_, events) = sent(&source, &elements)?;
            is_sound_of(&events, &source).with_context(|| elements.clone())?;
        }
    }
    Ok(())
}

#[test]
fn opus_and_g711() -> anyhow::Result<()> {
    for (audio, payloader) in [(source::OPUS, "rtpopuspay"), (source::ALAW, "rtppcmapay")] {
        let source = Source::make(source::H264, audio)?;
        let (media, events) = sent(&source, &format!("demux.audio_0 ! queue ! {payloader}"))?;
        ensure!(matches!(media.codec, Codec::Plain(_)), "{media:?}");
        is_sound_of(&events, &source).with_context(|| payloader)?;
    }
    Ok(())
}
