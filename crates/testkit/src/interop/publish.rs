//! Peers that publish a clip to us, or to somebody whom we pull.

use std::{path::Path, process::Command};

use super::{Clip, program};
use crate::{Process, Signal, tool};

/// Who publishes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publisher {
    /// FFmpeg over the RTMP family; the scheme decides how.
    FfmpegRtmp(Ffmpeg, &'static str),
    /// FFmpeg over RTSP: `rtsp` or `rtsps`, and `tcp` or `udp`.
    FfmpegRtsp(Ffmpeg, &'static str, &'static str),
    /// GStreamer's `rtmp2sink`.
    GstRtmp,
    /// GStreamer's `rtspclientsink`, over `tcp` or `udp`.
    GstRtsp(&'static str),
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
    pub(super) fn path(self) -> anyhow::Result<std::path::PathBuf> {
        match self {
            Self::Debian => Ok(tool::FFMPEG.into()),
            Self::Modern => tool::modern_ffmpeg(),
        }
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
            Self::GstRtmp => "rtmp",
            Self::GstRtsp(_) => "rtsp",
        }
    }

    /// Starts publishing `file`, in its own time.
    pub(super) fn start(self, clip: Clip, file: &Path, url: &str) -> anyhow::Result<Process> {
        let command = match self {
            Self::FfmpegRtmp(ffmpeg, _) => ffmpeg_copy(ffmpeg, file, &["-f", "flv", url])?,
            Self::FfmpegRtsp(ffmpeg, _, transport) => ffmpeg_copy(
                ffmpeg,
                file,
                &["-f", "rtsp", "-rtsp_transport", transport, url],
            )?,
            // FLV needs the decoding times, which Matroska does not have.
            Self::GstRtmp => gst_copy(
                file,
                &format!("{} ! h264timestamper", clip.gst_parser()),
                clip.gst_sound_parser(),
                &format!("flvmux name=m streamable=true ! rtmp2sink sync=true location={url}"),
            ),
            Self::GstRtsp(transport) => gst_copy(
                file,
                clip.gst_parser(),
                clip.gst_sound_parser(),
                &format!("rtspclientsink name=m protocols={transport} location={url}"),
            ),
        };
        Process::spawn(command, Signal::Kill, |_, _| {})
    }
}

/// FFmpeg that sends `file` on in its own time, without coding it anew.
pub(super) fn ffmpeg_copy(ffmpeg: Ffmpeg, file: &Path, output: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(ffmpeg.path()?);
    command
        .args(["-nostdin", "-hide_banner", "-nostats"])
        .args(["-loglevel", "level+info", "-re", "-i"])
        .arg(file)
        .args(["-map", "0", "-c", "copy"])
        .args(output);
    Ok(command)
}

/// GStreamer with the same; `sink` has an element `m` that takes both tracks.
fn gst_copy(file: &Path, picture: &str, sound: Option<&str>, sink: &str) -> Command {
    let sound = sound.map_or_else(String::new, |parser| {
        format!("d.audio_0 ! queue ! {parser} ! m.")
    });
    program::gst(&format!(
        "filesrc location={} ! matroskademux name=d {sink} \
         d.video_0 ! queue ! {picture} ! m. {sound}",
        file.display(),
    ))
}
