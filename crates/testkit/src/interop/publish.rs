//! Peers that publish a clip to us, or to somebody whom we pull.

use std::{path::Path, process::Command};

use super::{Clip, Lab, program};
use crate::{Process, Signal, tool};

/// Who publishes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publisher {
    /// FFmpeg over the RTMP family; the scheme decides how.
    FfmpegRtmp(Ffmpeg, &'static str),
    /// FFmpeg over RTSP: `rtsp` or `rtsps`, and `tcp` or `udp`.
    FfmpegRtsp(Ffmpeg, &'static str, &'static str),
    /// FFmpeg, with server and stream key apart, as OBS has them.
    FfmpegObs,
    /// GStreamer's `rtmp2sink`.
    GstRtmp,
    /// GStreamer's `rtmpsink`: librtmp, which OBS publishes with, with server and key apart.
    GstObs,
    /// GStreamer's `rtspclientsink`, over `tcp` or `udp`.
    GstRtsp(&'static str),
}

/// Where to publish.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) url: String,
    /// The two fields of OBS; RTMP only.
    pub(super) server: String,
    pub(super) stream_key: String,
}

impl Address {
    /// Of a server that asks for nothing.
    pub(super) fn open(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            server: String::new(),
            stream_key: String::new(),
        }
    }
}

/// Which FFmpeg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ffmpeg {
    /// Debian's.
    Debian,
    /// The newer one.
    Modern,
}

impl Ffmpeg {
    /// The program, which trusts the lab's certificate.
    pub(super) fn command(self, lab: &Lab) -> anyhow::Result<Command> {
        let mut command = match self {
            Self::Debian => Command::new(tool::FFMPEG),
            Self::Modern => Command::new(tool::modern_ffmpeg()?),
        };
        // The newer one checks certificates unless it is told not to.
        command.env("SSL_CERT_FILE", &lab.tls().certificate);
        Ok(command)
    }

    /// Sends `file` on in its own time, without coding it anew.
    pub(super) fn copy(self, lab: &Lab, file: &Path, output: &[&str]) -> anyhow::Result<Process> {
        let mut command = self.command(lab)?;
        command
            .args(["-nostdin", "-hide_banner", "-nostats"])
            .args(["-loglevel", "level+info", "-re", "-i"])
            .arg(file)
            .args(["-map", "0", "-c", "copy"])
            .args(output);
        Process::spawn(command, Signal::Kill, |_, _| {})
    }
}

impl Publisher {
    /// Who publishes what others shall play.
    pub(super) fn usual(clip: Clip) -> Self {
        if clip == Clip::H264 || clip == Clip::H264_B {
            Self::FfmpegRtmp(Ffmpeg::Debian, "rtmp")
        } else if clip == Clip::H265_B || clip == Clip::AV1_OPUS {
            Self::FfmpegRtmp(Ffmpeg::Modern, "rtmp")
        } else {
            Self::FfmpegRtsp(Ffmpeg::Debian, "rtsp", "tcp")
        }
    }

    /// The URL's scheme.
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::FfmpegRtmp(_, scheme) | Self::FfmpegRtsp(_, scheme, _) => scheme,
            Self::FfmpegObs | Self::GstRtmp | Self::GstObs => "rtmp",
            Self::GstRtsp(_) => "rtsp",
        }
    }

    /// Starts publishing `file`, in its own time.
    pub(super) fn start(
        self,
        lab: &Lab,
        clip: Clip,
        file: &Path,
        address: &Address,
    ) -> anyhow::Result<Process> {
        let url = &*address.url;
        let sound = clip.gst_sound_parser();
        match self {
            Self::FfmpegRtmp(ffmpeg, _) => ffmpeg.copy(lab, file, &["-f", "flv", url]),
            Self::FfmpegRtsp(ffmpeg, _, transport) => {
                let output = ["-f", "rtsp", "-rtsp_transport", transport, url];
                ffmpeg.copy(lab, file, &output)
            }
            Self::FfmpegObs => {
                let Address {
                    server, stream_key, ..
                } = address;
                let key = ["-rtmp_app", "live", "-rtmp_playpath", stream_key];
                let output = ["-rtmp_tcurl", server, "-f", "flv", server];
                Ffmpeg::Debian.copy(lab, file, &[&key[..], &output].concat())
            }
            Self::GstRtmp => gst_flv(clip, file, &format!("rtmp2sink sync=true location={url}")),
            Self::GstObs => {
                // librtmp takes what follows the address as options.
                let Address {
                    server, stream_key, ..
                } = address;
                let location = format!("\"{server} playpath={stream_key} live=1\"");
                gst_flv(
                    clip,
                    file,
                    &format!("rtmpsink sync=true location={location}"),
                )
            }
            Self::GstRtsp(transport) => {
                let sink = format!("rtspclientsink name=m protocols={transport} location={url}");
                gst_copy(file, clip.gst_parser(), sound, &sink)
            }
        }
    }
}

/// GStreamer that sends FLV into `sink`.
fn gst_flv(clip: Clip, file: &Path, sink: &str) -> anyhow::Result<Process> {
    // FLV needs the decoding times, which Matroska does not have.
    let picture = format!("{} ! h264timestamper", clip.gst_parser());
    let sink = format!("flvmux name=m streamable=true ! {sink}");
    gst_copy(file, &picture, clip.gst_sound_parser(), &sink)
}

/// GStreamer that does the same; `sink` has an element `m` that takes both tracks.
fn gst_copy(
    file: &Path,
    picture: &str,
    sound: Option<&str>,
    sink: &str,
) -> anyhow::Result<Process> {
    let sound = sound.map_or_else(String::new, |parser| {
        format!("d.audio_0 ! queue ! {parser} ! m.")
    });
    let command = program::gst(&format!(
        "filesrc location={} ! matroskademux name=d {sink} \
         d.video_0 ! queue ! {picture} ! m. {sound}",
        file.display(),
    ));
    Process::spawn(command, Signal::Kill, |_, _| {})
}
