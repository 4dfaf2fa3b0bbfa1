//! Peers that play what we serve.

use std::{
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    Lab, Outcome, Row, Sound,
    program::{self, not_as_root},
    publish::Ffmpeg,
    verdict::{Unable, with_words},
    watch::{self, Watched, watch},
};
use crate::{Browser, Process, Signal, WebPlayer, process::lock, wait_until};

/// A browser takes its time to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who plays, and what. The text is the address to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Viewer {
    /// FFmpeg.
    Ffmpeg(Ffmpeg, &'static str),
    /// FFmpeg over RTSP or RTSPS; `tcp` or `udp`.
    FfmpegRtsp(Ffmpeg, &'static str, &'static str),
    /// GStreamer. It decodes; what it has decoded is then looked at.
    Gst(GstSource, &'static str),
    /// GStreamer's `playbin`, which finds out by itself what to do with the address. GStreamer
    /// also looks at what it shows.
    Playbin(&'static str),
    /// VLC, which passes on what it has taken apart.
    Vlc(&'static str),
    /// rtmpdump, which passes on what it gets.
    Rtmpdump(&'static str),
    /// Chromium.
    Browser(WebPlayer, &'static str),
}

/// How GStreamer gets at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GstSource {
    /// `rtspsrc` over TCP, or TLS.
    RtspTcp,
    /// `rtspsrc` over UDP.
    RtspUdp,
    /// `rtmp2src`.
    Rtmp,
    /// `souphttpsrc`.
    Http,
    /// `hlsdemux` behind `souphttpsrc`, as `playbin` chooses.
    Hls,
}

/// The words by which FFmpeg opens `url`.
pub(super) fn input(options: &[&str], url: &str) -> Vec<String> {
    let words = [options, &["-i", url]].concat();
    words.into_iter().map(str::to_owned).collect()
}

impl Viewer {
    /// True if what it gives us is decoded already.
    pub(super) fn decodes(self) -> bool {
        matches!(self, Self::Gst(..) | Self::Playbin(_) | Self::Browser(..))
    }

    /// True if its clock goes by the times of arrival.
    pub(super) fn goes_by_arrival(self) -> bool {
        self == Self::Playbin("rtsp")
    }

    /// Plays the camera and says what came.
    pub(super) fn watch(self, lab: &Lab, camera: &str, row: &Row) -> anyhow::Result<Outcome> {
        let seconds = lab.seconds();
        let url = |scheme: &str| lab.here.play_url(camera, scheme);
        let judge = |ffmpeg: Ffmpeg, input: &[String]| {
            Ok(row.judge(&watch(ffmpeg.command(lab)?, input, seconds)?, seconds))
        };
        match self {
            Self::Ffmpeg(Ffmpeg::Modern, "rtmpts") => Err(Unable(
                "FFmpeg 9 opens RTMPTS with https and goes on with http, which it then refuses",
            )
            .into()),
            Self::Ffmpeg(ffmpeg, scheme) => judge(ffmpeg, &input(&[], &url(scheme)?)),
            Self::FfmpegRtsp(ffmpeg, scheme, transport) => judge(
                ffmpeg,
                &input(&["-rtsp_transport", transport], &url(scheme)?),
            ),
            Self::Gst(source, scheme) => {
                let url = url(scheme)?;
                let sound = row.clip.sound != Sound::None;
                tapped(lab, row, |pipe| Ok(source.command(&url, sound, pipe)))
            }
            Self::Playbin(scheme) => playbin(lab, row, &url(scheme)?),
            Self::Vlc(scheme) => {
                let url = url(scheme)?;
                tapped(lab, row, |pipe| vlc(&url, pipe))
            }
            Self::Rtmpdump(scheme) => {
                let url = url(scheme)?;
                tapped(lab, row, |pipe| {
                    let mut command = Command::new("rtmpdump");
                    command.args(["--live", "--rtmp", &url, "--flv"]).arg(pipe);
                    Ok(command)
                })
            }
            Self::Browser(player, scheme) => {
                let mut browser = Browser::start(player, &url(scheme)?)?;
                browser.wait_for(PATIENCE, |facts| facts.time > 0.0 && facts.pictures > 0)?;
                let length = Duration::from_secs(seconds.into());
                let facts = browser.wait_for_time(length, PATIENCE + length)?;
                Ok(Outcome::of_browser(&facts, row.clip, seconds))
            }
        }
    }
}

/// Until the clock of `rtspsrc` goes with the sender's, in seconds. It takes the times of arrival for
/// it, and the first pictures arrive at once.
const CLOCK: f64 = 1.0;

/// Lets `playbin` play until there is enough, in its own time.
fn playbin(lab: &Lab, row: &Row, url: &str) -> anyhow::Result<Outcome> {
    let mut command = Command::new("gst-launch-1.0");
    command
        .args(["--messages", "playbin", &format!("uri={url}")])
        .arg(
            "video-sink=videoconvert ! video/x-raw,format=I420 ! videoanalyse ! fakesink sync=true",
        )
        // `level` counts samples; `audiorate` makes them as many as the sound's own times say, as
        // what drives loudspeakers does.
        .arg(
            "audio-sink=audioconvert ! audiorate tolerance=10000000 \
             ! level interval=10000000 ! fakesink sync=true",
        )
        .env("GST_REGISTRY_FORK", "no");
    let seen = Arc::new(Mutex::new(Watched::default()));
    let writer = Arc::clone(&seen);
    let mut player = Process::spawn(command, Signal::Kill, move |_, line| {
        lock(&writer).take_gst(line);
    })?;
    let length = f64::from(lab.seconds()) + CLOCK;
    let limit = watch::PATIENCE + Duration::from_secs(lab.seconds().into());
    let end = wait_until("enough of it", limit, || {
        let enough = lock(&seen).picture_seconds() >= length;
        (enough || player.try_wait().is_some()).then_some(())
    });
    end.map_err(|error| with_words(error, &player.tail()))?;
    player.kill();
    let mut seen = lock(&seen).clone();
    seen.forget(CLOCK);
    Ok(row.judge(&seen, lab.seconds()))
}

/// Lets a player write into a pipe, and judges what comes out of it.
fn tapped(
    lab: &Lab,
    row: &Row,
    player: impl FnOnce(&Path) -> anyhow::Result<Command>,
) -> anyhow::Result<Outcome> {
    let pipe = lab.path(".pipe");
    program::make_pipe(&pipe)?;
    let player = Process::spawn(player(&pipe)?, Signal::Kill, |_, _| {})?;
    let input = input(&[], &pipe.display().to_string());
    let seen = watch(Ffmpeg::Modern.command(lab)?, &input, lab.seconds())
        .map_err(|error| with_words(error, &player.tail()))?;
    Ok(row.judge(&seen, lab.seconds()))
}

impl GstSource {
    fn command(self, url: &str, sound: bool, pipe: &Path) -> Command {
        // With RTP's own times, not those of arrival, which are as uneven as this machine is busy.
        let rtsp = "rtspsrc name=d buffer-mode=none tls-validation-flags=0";
        let source = match self {
            Self::RtspTcp => format!("{rtsp} protocols=tcp location={url}"),
            Self::RtspUdp => format!("{rtsp} protocols=udp location={url}"),
            Self::Rtmp => format!("rtmp2src location={url} ! decodebin name=d"),
            Self::Http => format!("souphttpsrc location={url} is-live=true ! decodebin name=d"),
            Self::Hls => format!("uridecodebin name=d uri={url}"),
        };
        let track = |media: &str| match self {
            Self::RtspTcp | Self::RtspUdp => {
                format!("d. ! application/x-rtp,media={media} ! queue ! decodebin")
            }
            Self::Rtmp | Self::Http | Self::Hls => "d. ! queue".to_owned(),
        };
        let picture = track("video");
        let sound = if sound {
            let track = track("audio");
            format!("{track} ! audioconvert ! audio/x-raw,format=S16LE ! m.")
        } else {
            String::new()
        };
        program::gst(&format!(
            "{source} matroskamux name=m streamable=true ! filesink location={} \
             {picture} ! videoconvert ! video/x-raw,format=I420 ! m. {sound}",
            pipe.display()
        ))
    }
}

fn vlc(url: &str, pipe: &Path) -> anyhow::Result<Command> {
    if url.starts_with("rtsp") {
        return Err(Unable("Debian builds VLC without live555, its RTSP client").into());
    }
    let mut command = not_as_root("vlc")?;
    let output = format!("#std{{access=file,mux=ts,dst={}}}", pipe.display());
    command.args(["-I", "dummy", "--sout", &output, url, "vlc://quit"]);
    Ok(command)
}
