//! Every row of the table.

use super::{
    Clip, Part, Row,
    play::{GstSource, Viewer},
    publish::{
        Ffmpeg::{Debian, Modern},
        Publisher,
    },
    pull::Server,
    push::Target,
};
use crate::WebPlayer;

const FFMPEG: &str = "FFmpeg 5.1";
const FFMPEG_MODERN: &str = "FFmpeg 9";
const GSTREAMER: &str = "GStreamer 1.22";
const GSTREAMER_OBS: &str = "GStreamer 1.22, librtmp";
const PLAYBIN: &str = "GStreamer 1.22, playbin";
const HEADWORKS: &str = "another Headworks";
const VLC: &str = "VLC 3";
const PERL: &str = "rtsp-server-perl";
const NGINX_RTMP: &str = "nginx-rtmp";
const CHROMIUM_HLS: &str = "Chromium, hls.js";
const CHROMIUM_FLV: &str = "Chromium, mpegts.js";

/// The table: first what comes in, then what goes out.
#[must_use]
pub fn rows() -> Vec<Row> {
    [publish(), pull(), play_ffmpeg(), play_others(), push()].concat()
}

fn row(
    peer: &'static str,
    [protocol, transport]: [&'static str; 2],
    clip: Clip,
    part: Part,
) -> Row {
    Row {
        peer,
        protocol,
        transport,
        clip,
        quick: false,
        part,
    }
}

impl Row {
    fn quick(self) -> Self {
        Self {
            quick: true,
            ..self
        }
    }
}

fn publish() -> Vec<Row> {
    let rtmp = |scheme: &'static str, transport, clip| {
        let part = Part::Publish(Publisher::FfmpegRtmp(Debian, scheme));
        row(FFMPEG, [scheme, transport], clip, part)
    };
    let modern = |clip| {
        let part = Part::Publish(Publisher::FfmpegRtmp(Modern, "rtmp"));
        row(FFMPEG_MODERN, ["rtmp, enhanced", "tcp"], clip, part)
    };
    let rtsp = |scheme: &'static str, transport: &'static str, clip| {
        let part = Part::Publish(Publisher::FfmpegRtsp(Debian, scheme, transport));
        row(FFMPEG, [scheme, transport], clip, part)
    };
    let modern_rtmp = |scheme: &'static str, transport| {
        let part = Part::Publish(Publisher::FfmpegRtmp(Modern, scheme));
        row(FFMPEG_MODERN, [scheme, transport], Clip::H265_B, part)
    };
    let modern_rtsp = |scheme: &'static str, transport: &'static str, clip| {
        let part = Part::Publish(Publisher::FfmpegRtsp(Modern, scheme, transport));
        row(FFMPEG_MODERN, [scheme, transport], clip, part)
    };
    let gst = |protocol, publisher, clip| row(GSTREAMER, protocol, clip, Part::Publish(publisher));
    let obs = |peer, publisher| {
        let part = Part::Publish(publisher);
        row(peer, ["rtmp, server and key", "tcp"], Clip::H264_B, part)
    };
    vec![
        rtmp("rtmp", "tcp", Clip::H264),
        rtmp("rtmp", "tcp", Clip::H264_B).quick(),
        rtmp("rtmps", "tls", Clip::H264_B),
        rtmp("rtmpt", "http", Clip::H264_B),
        rtmp("rtmpts", "https", Clip::H264_B),
        modern(Clip::H264_B),
        modern(Clip::H265_B).quick(),
        modern(Clip::AV1_OPUS),
        modern_rtmp("rtmps", "tls"),
        modern_rtmp("rtmpt", "http"),
        obs(FFMPEG, Publisher::FfmpegObs),
        obs(GSTREAMER_OBS, Publisher::GstObs),
        rtsp("rtsp", "tcp", Clip::H264),
        rtsp("rtsp", "tcp", Clip::H264_B),
        rtsp("rtsp", "tcp", Clip::H264_G711).quick(),
        rtsp("rtsp", "tcp", Clip::H264_OPUS),
        rtsp("rtsp", "tcp", Clip::H265_B),
        rtsp("rtsp", "udp", Clip::H264_B),
        rtsp("rtsp", "udp", Clip::H265_B),
        rtsp("rtsps", "tcp", Clip::H264_B),
        modern_rtsp("rtsp", "tcp", Clip::H264_B),
        modern_rtsp("rtsp", "tcp", Clip::H265_B),
        modern_rtsp("rtsp", "udp", Clip::H265_B),
        modern_rtsp("rtsps", "tcp", Clip::H265_B),
        gst(["rtmp", "tcp"], Publisher::GstRtmp, Clip::H264_B),
        gst(["rtsp", "tcp"], Publisher::GstRtsp("tcp"), Clip::H264_B),
        gst(["rtsp", "udp"], Publisher::GstRtsp("udp"), Clip::H264_B),
        gst(["rtsp", "tcp"], Publisher::GstRtsp("tcp"), Clip::H265_B),
    ]
}

fn pull() -> Vec<Row> {
    let rtsp =
        |peer, transport, clip, server| row(peer, ["rtsp", transport], clip, Part::Serve(server));
    let gst =
        |transport: &'static str, clip| rtsp(GSTREAMER, transport, clip, Server::Gst(transport));
    let vlc = |transport: &'static str, clip| rtsp(VLC, transport, clip, Server::Vlc(transport));
    let perl = |clip| rtsp(PERL, "udp", clip, Server::Perl);
    let hls = |clip, kind: &'static str| {
        let part = Part::Serve(Server::NginxHls(kind));
        row("nginx, FFmpeg 9", ["hls", kind], clip, part)
    };
    let headworks = |protocol, clip, scheme: &'static str| {
        let part = Part::Serve(Server::Headworks(scheme));
        row(HEADWORKS, protocol, clip, part)
    };
    let file = |clip| row("a file", ["file", "file"], clip, Part::Serve(Server::File));
    let rtmp = ["rtmp", "tcp"];
    let flv = ["http-flv", "http"];
    let tls = Part::Serve(Server::GstTls);
    vec![
        gst("tcp", Clip::H264),
        gst("tcp", Clip::H264_B),
        gst("tcp", Clip::H264_G711),
        gst("tcp", Clip::H264_SILENT),
        gst("tcp", Clip::H265_B),
        gst("tcp", Clip::H265_G711),
        gst("udp", Clip::H264_B).quick(),
        gst("udp", Clip::H264_G711),
        gst("udp", Clip::H265_B),
        row(GSTREAMER, ["rtsps", "tcp"], Clip::H264_B, tls),
        vlc("tcp", Clip::H264_B),
        vlc("udp", Clip::H264_B),
        vlc("tcp", Clip::H265_B),
        perl(Clip::H264),
        row(NGINX_RTMP, rtmp, Clip::H264, Part::Serve(Server::NginxRtmp)),
        row(
            NGINX_RTMP,
            rtmp,
            Clip::H264_B,
            Part::Serve(Server::NginxRtmp),
        ),
        row(
            FFMPEG_MODERN,
            flv,
            Clip::H264_B,
            Part::Serve(Server::FfmpegFlv),
        ),
        row(
            FFMPEG_MODERN,
            flv,
            Clip::H265_B,
            Part::Serve(Server::FfmpegFlv),
        ),
        row(
            NGINX_RTMP,
            ["rtmps", "tls"],
            Clip::H264_B,
            Part::Serve(Server::NginxRtmps),
        ),
        row(
            "nginx, FFmpeg 9",
            ["http-flv", "https"],
            Clip::H264_B,
            Part::Serve(Server::NginxFlv),
        ),
        row(
            "nginx, FFmpeg 9",
            ["hls", "https"],
            Clip::H264_B,
            Part::Serve(Server::NginxHlsTls("mpegts")),
        ),
        headworks(["rtmp", "tcp"], Clip::H264_B, "rtmp"),
        headworks(["rtmp", "tcp"], Clip::H265_B, "rtmp"),
        headworks(flv, Clip::H264_B, "flv"),
        headworks(flv, Clip::H265_B, "flv"),
        headworks(["hls", "http"], Clip::H264_B, "hls"),
        headworks(["hls", "http"], Clip::H265_B, "hls"),
        headworks(["rtsp", "tcp"], Clip::H264_B, "rtsp"),
        headworks(["rtsp", "tcp"], Clip::H265_B, "rtsp"),
        hls(Clip::H264_B, "mpegts"),
        hls(Clip::H264_B, "fmp4"),
        hls(Clip::H265_B, "fmp4"),
        file(Clip::H264_B),
        file(Clip::H265_G711),
    ]
}

fn play_ffmpeg() -> Vec<Row> {
    let mut rows = Vec::new();
    for (peer, ffmpeg, clip) in [
        (FFMPEG, Debian, Clip::H264_B),
        (FFMPEG_MODERN, Modern, Clip::H265_B),
    ] {
        for (protocol, transport, scheme) in [
            ("rtmp", "tcp", "rtmp"),
            ("rtmps", "tls", "rtmps"),
            ("rtmpt", "http", "rtmpt"),
            ("rtmpts", "https", "rtmpts"),
            ("http-flv", "http", "flv"),
            ("hls", "http", "hls"),
            ("mpeg-ts", "http", "ts"),
        ] {
            let part = Part::Play(Viewer::Ffmpeg(ffmpeg, scheme));
            rows.push(row(peer, [protocol, transport], clip, part));
        }
        for [scheme, transport] in [["rtsp", "tcp"], ["rtsp", "udp"], ["rtsps", "tcp"]] {
            let part = Part::Play(Viewer::FfmpegRtsp(ffmpeg, scheme, transport));
            let row = row(peer, [scheme, transport], clip, part);
            rows.push(Row {
                quick: transport == "udp" && clip == Clip::H264_B,
                ..row
            });
        }
    }
    let modern = |protocol, clip, scheme| {
        let part = Part::Play(Viewer::Ffmpeg(Modern, scheme));
        row(FFMPEG_MODERN, protocol, clip, part)
    };
    rows.extend([
        modern(["http-flv", "http"], Clip::AV1_OPUS, "flv"),
        modern(["rtmp", "tcp"], Clip::AV1_OPUS, "rtmp"),
        modern(["hls", "http"], Clip::AV1_OPUS, "hls"),
        modern(["hls", "http"], Clip::H264_G711, "hls"),
        modern(["rtmp", "tcp"], Clip::H264_G711, "rtmp"),
        modern(["mpeg-ts", "http"], Clip::H264_OPUS, "ts"),
        modern(["hls", "http"], Clip::H264_B, "hls").quick(),
    ]);
    rows
}

fn play_others() -> Vec<Row> {
    let gst = |protocol, clip, source, scheme| {
        let part = Part::Play(Viewer::Gst(source, scheme));
        row(GSTREAMER, protocol, clip, part)
    };
    let playbin =
        |protocol, clip, scheme| row(PLAYBIN, protocol, clip, Part::Play(Viewer::Playbin(scheme)));
    let vlc = |protocol, scheme| row(VLC, protocol, Clip::H264_B, Part::Play(Viewer::Vlc(scheme)));
    let web = |peer, protocol, clip, player, scheme| {
        let part = Part::Play(Viewer::Browser(player, scheme));
        row(peer, protocol, clip, part)
    };
    let rtmpdump = |protocol, scheme| {
        let part = Part::Play(Viewer::Rtmpdump(scheme));
        row("rtmpdump", protocol, Clip::H264_B, part)
    };
    let http = |protocol| [protocol, "http"];
    let (hls, flv) = (WebPlayer::Hls, WebPlayer::Mpegts);
    vec![
        gst(["rtsp", "tcp"], Clip::H264_B, GstSource::RtspTcp, "rtsp"),
        gst(["rtsp", "udp"], Clip::H264_B, GstSource::RtspUdp, "rtsp"),
        gst(["rtsp", "tcp"], Clip::H265_B, GstSource::RtspTcp, "rtsp"),
        gst(["rtsp", "tcp"], Clip::H264_G711, GstSource::RtspTcp, "rtsp"),
        gst(["rtsps", "tcp"], Clip::H264_B, GstSource::RtspTcp, "rtsps"),
        gst(["rtmp", "tcp"], Clip::H264_B, GstSource::Rtmp, "rtmp"),
        gst(http("http-flv"), Clip::H264_B, GstSource::Http, "flv"),
        gst(http("mpeg-ts"), Clip::H264_B, GstSource::Http, "ts"),
        gst(http("mpeg-ts"), Clip::H265_B, GstSource::Http, "ts"),
        gst(http("hls"), Clip::H264_B, GstSource::Hls, "hls"),
        playbin(["rtsp", "udp"], Clip::H264_B, "rtsp"),
        playbin(["rtsp", "udp"], Clip::H265_B, "rtsp"),
        playbin(["rtmp", "tcp"], Clip::H264_B, "rtmp"),
        playbin(http("http-flv"), Clip::H264_B, "flv"),
        playbin(http("hls"), Clip::H264_B, "hls"),
        playbin(http("mpeg-ts"), Clip::H264_B, "ts"),
        vlc(["rtsp", "tcp"], "rtsp"),
        vlc(["rtmp", "tcp"], "rtmp"),
        vlc(http("http-flv"), "flv"),
        vlc(http("hls"), "hls"),
        vlc(http("mpeg-ts"), "ts"),
        rtmpdump(["rtmp", "tcp"], "rtmp").quick(),
        rtmpdump(["rtmpt", "http"], "rtmpt"),
        rtmpdump(["rtmps", "tls"], "rtmps"),
        web(CHROMIUM_HLS, http("hls"), Clip::H264_B, hls, "hls"),
        web(CHROMIUM_HLS, http("hls"), Clip::H264_G711, hls, "hls"),
        web(CHROMIUM_FLV, http("http-flv"), Clip::H264_B, flv, "flv").quick(),
        web(
            CHROMIUM_FLV,
            ["ws-flv", "websocket"],
            Clip::H264_B,
            flv,
            "flv_ws",
        ),
    ]
}

fn push() -> Vec<Row> {
    let push = |peer, protocol, clip, target| row(peer, protocol, clip, Part::Push(target));
    let (rtmp, rtsp) = (["rtmp", "tcp"], ["rtsp", "tcp"]);
    let (rtmps, rtsps) = (["rtmps", "tls"], ["rtsps", "tcp"]);
    vec![
        push(NGINX_RTMP, rtmp, Clip::H264, Target::NginxRtmp),
        push(NGINX_RTMP, rtmp, Clip::H264_B, Target::NginxRtmp),
        push(NGINX_RTMP, rtmps, Clip::H264_B, Target::NginxRtmps),
        push(
            "nginx, FFmpeg 9",
            rtmps,
            Clip::H265_B,
            Target::FfmpegRtmps(Modern),
        ),
        push(
            "nginx, FFmpeg 5.1",
            rtsps,
            Clip::H264_B,
            Target::FfmpegRtsps(Debian),
        ),
        push(
            "nginx, FFmpeg 9",
            rtsps,
            Clip::H265_B,
            Target::FfmpegRtsps(Modern),
        ),
        push(FFMPEG, rtmp, Clip::H264_B, Target::FfmpegRtmp(Debian)),
        push(
            FFMPEG_MODERN,
            rtmp,
            Clip::H265_B,
            Target::FfmpegRtmp(Modern),
        ),
        push(FFMPEG, rtsp, Clip::H264_B, Target::FfmpegRtsp(Debian)),
        push(
            FFMPEG_MODERN,
            rtsp,
            Clip::H265_B,
            Target::FfmpegRtsp(Modern),
        ),
        push(PERL, ["rtsp", "udp"], Clip::H264, Target::Perl),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names: BTreeSet<_> = rows().iter().map(Row::name).collect();
        assert_eq!(names.len(), rows().len());
    }
}
