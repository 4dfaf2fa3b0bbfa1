//! FFmpeg decodes our packets and finds exactly what was put in.

use std::{fs, net::UdpSocket, path::Path, process::Command, time::Duration};

use anyhow::{Context, ensure};
use headworks_media::{Frame, TrackKind};
use headworks_rtp::{
    Format, MAX_PACKET, Outgoing, datagrams, packet_count,
    rtcp::{self, SenderInfo},
    timestamp,
};
use headworks_testkit::{Process, Signal, tool};

use crate::{
    network,
    source::{self, Source},
};

const CNAME: &str = "headworks";

/// One track on its way out.
struct Track {
    kind: TrackKind,
    format: Format,
    port: u16,
    head: Outgoing,
}

impl Track {
    fn new(kind: TrackKind, format: Format) -> anyhow::Result<Self> {
        // The ports are FFmpeg's as soon as we let go of them.
        let [first, _] = network::pair()?;
        Ok(Self {
            kind,
            format,
            port: first.local_addr()?.port(),
            head: Outgoing {
                ssrc: 0x1234_0000 + kind as u32,
                sequence: 65_500,
                timestamp_offset: u32::MAX - 50_000,
            },
        })
    }

    fn sdp(&self) -> String {
        let Format {
            payload_type,
            rtpmap,
            fmtp,
        } = &self.format;
        let media = match self.kind {
            TrackKind::Video => "video",
            TrackKind::Audio => "audio",
        };
        let mut lines = format!(
            "m={media} {} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {rtpmap}\r\n",
            self.port
        );
        if let Some(fmtp) = fmtp {
            lines += &format!("a=fmtp:{payload_type} {fmtp}\r\n");
        }
        lines
    }

    fn report(&self, socket: &UdpSocket) -> anyhow::Result<()> {
        let info = SenderInfo {
            ntp: rtcp::ntp(Duration::from_secs(1_800_000_000)),
            timestamp: timestamp(0, self.head.timestamp_offset),
            packets: 0,
            octets: 0,
        };
        let report = rtcp::sender_report(self.head.ssrc, CNAME, info);
        network::send(socket, self.port + 1, &report)
    }

    fn frame(
        &mut self,
        socket: &UdpSocket,
        frame: &Frame,
        source: &Source,
        max_packet: usize,
    ) -> anyhow::Result<()> {
        for run in datagrams(frame, &source.tracks, max_packet, self.head) {
            for packet in run.packets() {
                network::send(socket, self.port, &packet)?;
            }
        }
        let count = packet_count(frame, &source.tracks, max_packet);
        self.head.sequence = self.head.sequence.wrapping_add(count as u16);
        Ok(())
    }
}

/// Sends the source to an FFmpeg that decodes the picture and copies the sound; compares both with
/// what it makes of the file.
fn plays(source: &Source, max_packet: usize) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let audio = source.tracks.audio.as_ref().context("has sound")?;
    let mut tracks = [
        Track::new(TrackKind::Video, Format::video(&source.tracks.video)?)?,
        Track::new(TrackKind::Audio, Format::audio(audio))?,
    ];
    let mut sdp =
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n".to_owned();
    sdp.extend(tracks.iter().map(Track::sdp));
    let path = directory.path().join("stream.sdp");
    fs::write(&path, sdp)?;
    let mut command = Command::new(tool::FFMPEG);
    command.args(["-v", "warning", "-protocol_whitelist", "file,udp,rtp", "-i"]);
    let mut ffmpeg = Process::spawn(
        judge(command, &path, directory.path(), "received"),
        Signal::Kill,
        |_, _| {},
    )?;
    for track in &tracks {
        network::wait_until_open(track.port)?;
        network::wait_until_open(track.port + 1)?;
    }
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for track in &tracks {
        track.report(&socket)?;
    }
    for frame in &source.frames {
        let track = tracks.iter_mut().find(|track| track.kind == frame.track);
        track
            .context("has its track")?
            .frame(&socket, frame, source, max_packet)?;
    }
    // FFmpeg takes reports first: what was sent before them has to be read before.
    for track in &tracks {
        network::wait_until_read(track.port, 0)?;
    }
    for track in &tracks {
        network::send(&socket, track.port + 1, &rtcp::bye(track.head.ssrc, CNAME))?;
    }
    let status = ffmpeg
        .wait(Duration::from_secs(60))
        .context("FFmpeg ends")?;
    ensure!(status.success(), "{status}: {}", ffmpeg.tail());
    let complaints: String = ffmpeg.tail();
    ensure!(complaints.is_empty(), "FFmpeg complains: {complaints}");
    let mut command = Command::new(tool::FFMPEG);
    command.args(["-v", "error", "-ignore_editlist", "1", "-i"]);
    source::run(&mut judge(
        command,
        &source.path,
        directory.path(),
        "expected",
    ))?;
    for track in ["video", "audio"] {
        let hashes = |name: &str| hashes(&directory.path().join(format!("{name}.{track}")));
        let (received, expected) = (hashes("received")?, hashes("expected")?);
        ensure!(expected.len() > 15, "{} frames of {track}", expected.len());
        assert_eq!(received, expected, "{track}");
    }
    Ok(())
}

/// Writes hashes of decoded pictures and of undecoded sound, and decodes the sound too.
fn judge(mut command: Command, input: &Path, directory: &Path, name: &str) -> Command {
    command
        .arg(input)
        .args([
            "-map",
            "0:v",
            "-fps_mode",
            "passthrough",
            "-f",
            "framemd5",
            "-y",
        ])
        .arg(directory.join(format!("{name}.video")))
        .args(["-map", "0:a", "-c", "copy", "-f", "framemd5", "-y"])
        .arg(directory.join(format!("{name}.audio")))
        .args(["-map", "0:a", "-f", "null", "-"]);
    command
}

/// The hashes of frames; behind them stand those of what is not in the packets themselves.
fn hashes(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines
        .filter_map(|line| Some(line.split(',').nth(5)?.trim().to_owned()))
        .collect())
}

#[test]
fn h264_with_b_frames_and_aac() -> anyhow::Result<()> {
    let source = Source::make(source::H264, source::AAC)?;
    plays(&source, MAX_PACKET)?;
    // Fragments of sound too.
    plays(&source, 200)
}

#[test]
fn h264_with_slices_and_g711() -> anyhow::Result<()> {
    plays(
        &Source::make(source::H264_SLICES, source::ALAW)?,
        MAX_PACKET,
    )
}

#[test]
fn h265_with_b_frames_and_opus() -> anyhow::Result<()> {
    let source = Source::make(source::H265, source::OPUS)?;
    plays(&source, MAX_PACKET)?;
    plays(&source, 300)
}
