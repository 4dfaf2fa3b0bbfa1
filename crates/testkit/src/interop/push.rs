//! Peers that we push to.

use anyhow::Context;
use serde_json::json;

use super::{
    Lab, Outcome, Row, play,
    program::free_port,
    publish::Ffmpeg,
    pull::{nginx_rtmp, perl, tls_front},
    watch::watch,
};

/// How FFmpeg listens for a publisher.
const RTMP: [&str; 2] = ["-listen", "1"];
const RTSP: [&str; 4] = ["-rtsp_flags", "listen", "-listen_timeout", "30"];

/// Who is pushed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// nginx with its RTMP module; FFmpeg plays from it.
    NginxRtmp,
    /// The same over TLS; FFmpeg plays from its plain door.
    NginxRtmps,
    /// The RTSP server in Perl, over UDP; FFmpeg plays from it.
    Perl,
    /// FFmpeg that listens for RTMP.
    FfmpegRtmp(Ffmpeg),
    /// The same behind nginx, which speaks TLS.
    FfmpegRtmps(Ffmpeg),
    /// FFmpeg that listens for RTSP, over `tcp`.
    FfmpegRtsp(Ffmpeg),
    /// The same behind nginx, which speaks TLS.
    FfmpegRtsps(Ffmpeg),
}

impl Target {
    /// Lets the camera be pushed, and says what came.
    pub(super) fn watch(self, lab: &Lab, camera: &str, row: &Row) -> anyhow::Result<Outcome> {
        let seconds = lab.seconds();
        let push = |url: &str, transport: Option<&str>| {
            // The lab's certificate is its own authority, which nobody knows.
            let mut body = json!({"name": "interop", "url": url, "tls_verify": false});
            if let Some(transport) = transport {
                body["transport"] = json!(transport);
            }
            let path = format!("/v1/cameras/{camera}/restreams");
            let restream = lab.here.call("POST", &path, Some(&body))?;
            let id = restream.and_then(|restream| Some(restream["id"].as_str()?.to_owned()));
            id.context("the new restream has an id")
        };
        let judge = |ffmpeg: Ffmpeg, options: &[&str], url: &str| {
            let input = play::input(options, url);
            Ok(row.judge(&watch(ffmpeg.command(lab)?, &input, seconds)?, seconds))
        };
        match self {
            Self::NginxRtmp => {
                let server = nginx_rtmp(lab)?;
                push(&server.url, None)?;
                judge(Ffmpeg::Modern, &[], &server.url)
            }
            Self::NginxRtmps => {
                let server = nginx_rtmp(lab)?;
                push(&server.tls_url, None)?;
                judge(Ffmpeg::Modern, &[], &server.url)
            }
            Self::Perl => {
                let server = perl()?;
                // It answers 404 to who plays before.
                lab.here
                    .wait_for_restream(&push(&server.publish, Some("udp"))?)?;
                judge(Ffmpeg::Debian, &["-rtsp_transport", "udp"], &server.play)
            }
            Self::FfmpegRtmp(ffmpeg) => {
                let url = format!("rtmp://127.0.0.1:{}/live/cam", free_port()?);
                push(&url, None)?;
                judge(ffmpeg, &RTMP, &url)
            }
            Self::FfmpegRtmps(ffmpeg) => {
                let port = free_port()?;
                let (encrypted, _front) = tls_front(lab, port)?;
                push(&format!("rtmps://127.0.0.1:{encrypted}/live/cam"), None)?;
                judge(ffmpeg, &RTMP, &format!("rtmp://127.0.0.1:{port}/live/cam"))
            }
            Self::FfmpegRtsp(ffmpeg) => {
                let url = format!("rtsp://127.0.0.1:{}/live", free_port()?);
                push(&url, Some("tcp"))?;
                judge(ffmpeg, &RTSP, &url)
            }
            Self::FfmpegRtsps(ffmpeg) => {
                let port = free_port()?;
                let (encrypted, _front) = tls_front(lab, port)?;
                push(&format!("rtsps://127.0.0.1:{encrypted}/live"), Some("tcp"))?;
                judge(ffmpeg, &RTSP, &format!("rtsp://127.0.0.1:{port}/live"))
            }
        }
    }
}
