//! We understand what FFmpeg sends, in every form that it knows.

use std::process::Command;

use anyhow::Context;
use headworks_rtp::{Codec, Event, Media};
use headworks_testkit::tool;

use crate::{
    network::{self, Collector},
    receive::{is_picture_of, is_sound_of, media_of_sdp, receive},
    source::{self, Source},
};

/// One track of the source as FFmpeg sends it, in real time.
fn sent(
    source: &Source,
    track: &str,
    packet_size: usize,
    flags: &str,
) -> anyhow::Result<(Media, Vec<Event>)> {
    let [rtp, rtcp] = network::pair()?;
    let (rtp_port, rtcp_port) = (rtp.local_addr()?.port(), rtcp.local_addr()?.port());
    let collector = Collector::start(rtp)?;
    let mut command = Command::new(tool::FFMPEG);
    command
        .args(["-v", "error", "-re", "-i"])
        .arg(&source.path)
        .args([
            "-map",
            &format!("0:{track}"),
            "-c",
            "copy",
            "-rtpflags",
            flags,
            "-f",
            "rtp",
        ])
        .arg(format!(
            "rtp://127.0.0.1:{rtp_port}?rtcpport={rtcp_port}&pkt_size={packet_size}"
        ));
    let sdp = source::run(&mut command)?;
    let datagrams = collector.finish()?;
    let media = media_of_sdp(&sdp).with_context(|| sdp.clone())?;
    let events = receive(&media, &datagrams)?;
    Ok((media, events))
}

#[test]
fn h264_with_b_frames() -> anyhow::Result<()> {
    let source = Source::make(source::H264, source::AAC)?;
    for packet_size in [1472, 200] {
        let (media, events) = sent(&source, "v", packet_size, "0")?;
        assert_eq!(media.codec, Codec::H264(Some(source.tracks.video.clone())));
        is_picture_of(&events, &source)?;
    }
    Ok(())
}

#[test]
fn h264_with_slices() -> anyhow::Result<()> {
    let source = Source::make(source::H264_SLICES, source::AAC)?;
    // Aggregates, and single NAL units.
    for (packet_size, flags) in [(8000, "0"), (1472, "h264_mode0")] {
        let (_, events) = sent(&source, "v", packet_size, flags)?;
        is_picture_of(&events, &source)?;
    }
    Ok(())
}

#[test]
fn h265_with_b_frames() -> anyhow::Result<()> {
    let source = Source::make(source::H265, source::OPUS)?;
    for packet_size in [1472, 200, 8000] {
        let (media, events) = sent(&source, "v", packet_size, "0")?;
        assert_eq!(media.codec, Codec::H265(Some(source.tracks.video.clone())));
        is_picture_of(&events, &source)?;
    }
    Ok(())
}

#[test]
fn aac_in_both_formats() -> anyhow::Result<()> {
    let source = Source::make(source::H264, source::AAC)?;
    for (packet_size, flags) in [(1472, "0"), (200, "0"), (1472, "latm"), (200, "latm")] {
        let (media, events) = sent(&source, "a", packet_size, flags)?;
        let is_latm = matches!(media.codec, Codec::Latm(_));
        assert_eq!(is_latm, flags == "latm");
        is_sound_of(&events, &source).with_context(|| format!("{flags} {packet_size}"))?;
    }
    Ok(())
}

#[test]
fn opus_and_g711() -> anyhow::Result<()> {
    for audio in [source::OPUS, source::ALAW] {
        let source = Source::make(source::H264, audio)?;
        let (media, events) = sent(&source, "a", 1472, "0")?;
        assert_eq!(
            Some(media.codec),
            source.tracks.audio.clone().map(Codec::Plain)
        );
        is_sound_of(&events, &source)?;
    }
    Ok(())
}
