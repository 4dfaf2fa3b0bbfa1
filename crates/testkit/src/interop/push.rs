//! Peers that we push to.

use anyhow::Context;
use serde_json::json;

use super::{
    Lab, Outcome, Row, play,
    program::free_port,
    publish::Ffmpeg,
    pull::{nginx_rtmp, perl},
    watch::watch,
};

/// Who is pushed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// nginx with its RTMP module; FFmpeg plays from it.
    NginxRtmp,
    /// The RTSP server in Perl, over UDP; FFmpeg plays from it.
    Perl,
    /// FFmpeg that listens for RTMP.
    FfmpegRtmp(Ffmpeg),
    /// FFmpeg that listens for RTSP, over `tcp`.
    FfmpegRtsp(Ffmpeg),
}

impl Target {
    /// Lets the camera be pushed, and says what came.
    pub(super) fn watch(self, lab: &Lab, camera: &str, row: &Row) -> anyhow::Result<Outcome> {
        let seconds = lab.seconds();
        let push = |url: &str, transport: Option<&str>| {
            let mut body = json!({"name": "interop", "url": url});
            if let Some(transport) = transport {
                body["transport"] = json!(transport);
            }
            let path = format!("/v1/cameras/{camera}/restreams");
            let restream = lab.call("POST", &path, Some(&body))?;
            let id = restream.and_then(|restream| Some(restream["id"].as_str()?.to_owned()));
            id.context("the new restream has an id")
        };
        let judge = |ffmpeg: Ffmpeg, options: &[&str], url: &str| {
            let input = play::input(options, url);
            Ok(row.judge(&watch(ffmpeg.command(lab)?, &input, seconds)?, seconds))
        };
        match self {
            Self::NginxRtmp => {
                let (url, _server) = nginx_rtmp(lab)?;
                push(&url, None)?;
                judge(Ffmpeg::Modern, &[], &url)
            }
            Self::Perl => {
                let server = perl()?;
                // It answers 404 to who plays before.
                lab.wait_for_restream(&push(&server.publish, Some("udp"))?)?;
                judge(Ffmpeg::Debian, &["-rtsp_transport", "udp"], &server.play)
            }
            Self::FfmpegRtmp(ffmpeg) => {
                let url = format!("rtmp://127.0.0.1:{}/live/cam", free_port()?);
                push(&url, None)?;
                judge(ffmpeg, &["-listen", "1"], &url)
            }
            Self::FfmpegRtsp(ffmpeg) => {
                let url = format!("rtsp://127.0.0.1:{}/live", free_port()?);
                push(&url, Some("tcp"))?;
                let listen = ["-rtsp_flags", "listen", "-listen_timeout", "30"];
                judge(ffmpeg, &listen, &url)
            }
        }
    }
}
