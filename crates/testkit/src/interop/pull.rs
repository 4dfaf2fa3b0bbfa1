//! Peers that are pulled.

use std::{fs, net::TcpStream, path::Path, process::Command, time::Duration};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    Clip, Lab,
    program::{free_port, not_as_root},
    publish::{Address, Ffmpeg, Publisher},
};
use crate::{Camera, CameraOptions, Process, Signal, wait_until};

/// Until a server listens, and has something to serve.
const START: Duration = Duration::from_secs(30);

/// Who is pulled, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// GStreamer's RTSP server, over `tcp` or `udp`.
    Gst(&'static str),
    /// The same over TLS.
    GstTls,
    /// VLC's RTSP server, over `tcp` or `udp`.
    Vlc(&'static str),
    /// The RTSP server in Perl, over UDP. FFmpeg publishes to it.
    Perl,
    /// nginx with its RTMP module. FFmpeg publishes to it.
    NginxRtmp,
    /// The same over TLS.
    NginxRtmps,
    /// FFmpeg's own HTTP server, with FLV.
    FfmpegFlv,
    /// The same with nginx before it, which speaks TLS.
    NginxFlv,
    /// HLS that FFmpeg writes and nginx serves; the text is FFmpeg's `hls_segment_type`.
    NginxHls(&'static str),
    /// The same over TLS.
    NginxHlsTls(&'static str),
    /// Another Headworks, with a token of its own; the text is the address to ask for. FFmpeg
    /// publishes to it.
    Headworks(&'static str),
    /// Nobody: the file lies beside Headworks.
    File,
}

/// What Headworks is told, and what must live on meanwhile.
type Served = (Value, Vec<Process>);

impl Server {
    /// Starts to serve `file`.
    pub(super) fn start(self, lab: &Lab, clip: Clip, file: &Path) -> anyhow::Result<Served> {
        match self {
            Self::Gst(transport) => gst(clip, file, transport, None),
            Self::GstTls => gst(clip, file, "tcp", Some(&lab.tls().both)),
            Self::Vlc(transport) => vlc(file, transport),
            Self::Perl => perl_with(lab, clip, file),
            Self::NginxRtmp => nginx_rtmp_with(lab, clip, file, false),
            Self::NginxRtmps => nginx_rtmp_with(lab, clip, file, true),
            Self::FfmpegFlv => ffmpeg_flv(lab, file, false),
            Self::NginxFlv => ffmpeg_flv(lab, file, true),
            Self::NginxHls(kind) => nginx_hls(lab, file, kind, false),
            Self::NginxHlsTls(kind) => nginx_hls(lab, file, kind, true),
            Self::Headworks(scheme) => headworks(lab, clip, file, scheme),
            Self::File => {
                let name = file.file_name().and_then(|name| name.to_str());
                Ok((json!({"type": "file", "path": name}), Vec::new()))
            }
        }
    }
}

/// The lab's certificate is its own authority, which nobody knows.
fn pull(url: &str) -> Value {
    let mut source = json!({"type": "pull", "url": url});
    if ["rtsps:", "rtmps:", "https:"]
        .iter()
        .any(|tls| url.starts_with(tls))
    {
        source["tls_verify"] = json!(false);
    }
    source
}

fn listening(process: &Process, port: u16) -> anyhow::Result<()> {
    wait_until("a listener", START, || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    })
    .with_context(|| process.tail())
    .map(drop)
}

fn gst(
    clip: Clip,
    file: &Path,
    transport: &str,
    certificate: Option<&Path>,
) -> anyhow::Result<Served> {
    let camera = Camera::start(CameraOptions {
        launch: Some(clip.gst_payloaders(file)),
        certificate: certificate.map(Path::to_owned),
        ..CameraOptions::default()
    })?;
    let mut source = pull(&camera.url());
    source["transport"] = json!(transport);
    Ok((source, vec![camera.into_process()]))
}

fn vlc(file: &Path, transport: &str) -> anyhow::Result<Served> {
    let port = free_port()?;
    let mut command = not_as_root("vlc")?;
    let output = format!("#rtp{{sdp=rtsp://127.0.0.1:{port}/live}}");
    command
        .args(["-I", "dummy", "--sout", &output, "--sout-all"])
        .arg(file);
    let process = Process::spawn(command, Signal::Kill, |_, _| {})?;
    listening(&process, port)?;
    let mut source = pull(&format!("rtsp://127.0.0.1:{port}/live"));
    source["transport"] = json!(transport);
    Ok((source, vec![process]))
}

/// The RTSP server in Perl, with its two doors.
pub(super) struct Perl {
    pub(super) publish: String,
    pub(super) play: String,
    process: Process,
}

/// Starts the RTSP server in Perl.
pub(super) fn perl() -> anyhow::Result<Perl> {
    let (players, publishers, media) = (free_port()?, free_port()?, free_port()?);
    let mut command = Command::new("rtsp-server-perl");
    command
        .arg(format!("--clientport={players}"))
        .arg(format!("--serverport={publishers}"))
        .arg(format!("--rtp_start_port={media}"));
    let process = Process::spawn(command, Signal::Kill, |_, _| {})?;
    listening(&process, publishers)?;
    Ok(Perl {
        publish: format!("rtsp://127.0.0.1:{publishers}/live"),
        play: format!("rtsp://127.0.0.1:{players}/live"),
        process,
    })
}

fn perl_with(lab: &Lab, clip: Clip, file: &Path) -> anyhow::Result<Served> {
    let server = perl()?;
    let publisher = Publisher::FfmpegRtsp(Ffmpeg::Debian, "rtsp", "udp");
    let publisher = publisher.start(lab, clip, file, &Address::open(&server.publish))?;
    let mut source = pull(&server.play);
    source["transport"] = json!("udp");
    Ok((source, vec![publisher, server.process]))
}

/// Starts nginx with these parts of a configuration file, and waits until it listens on `port`.
fn nginx(lab: &Lab, port: u16, configuration: &str) -> anyhow::Result<Process> {
    let process = start_nginx(lab, configuration)?;
    listening(&process, port)?;
    Ok(process)
}

fn start_nginx(lab: &Lab, configuration: &str) -> anyhow::Result<Process> {
    let directory = lab.path(".nginx");
    fs::create_dir(&directory)?;
    let path = directory.display();
    let file = directory.join("nginx.conf");
    fs::write(
        &file,
        format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
            load_module /usr/lib/nginx/modules/ngx_stream_module.so;
            daemon off; master_process off; worker_processes 1;
            pid {path}/nginx.pid; error_log stderr info;
            events {{ worker_connections 64; }}
            {configuration}"
        ),
    )?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&directory).arg("-c").arg(&file);
    Process::spawn(command, Signal::Kill, |_, _| {})
}

/// Where a stream has its place at nginx with RTMP.
pub(super) struct NginxRtmp {
    pub(super) url: String,
    /// The same place, over TLS.
    pub(super) tls_url: String,
    process: Process,
}

/// Starts nginx with RTMP.
pub(super) fn nginx_rtmp(lab: &Lab) -> anyhow::Result<NginxRtmp> {
    let (port, encrypted) = (free_port()?, free_port()?);
    let application = "application live { live on; }";
    let front = front(lab, encrypted, port);
    let process = nginx(
        lab,
        port,
        &format!("rtmp {{ server {{ listen 127.0.0.1:{port}; {application} }} }} {front}"),
    )?;
    let url = |scheme, port| format!("{scheme}://127.0.0.1:{port}/live/cam");
    Ok(NginxRtmp {
        url: url("rtmp", port),
        tls_url: url("rtmps", encrypted),
        process,
    })
}

/// What lets nginx speak TLS at a port and pass on what is in it to another.
fn front(lab: &Lab, encrypted: u16, port: u16) -> String {
    let certificate = certificate(lab);
    format!(
        "stream {{ server {{ listen 127.0.0.1:{encrypted} ssl; {certificate}
        proxy_pass 127.0.0.1:{port}; }} }}"
    )
}

/// nginx's words for the lab's certificate.
fn certificate(lab: &Lab) -> String {
    let tls = lab.tls();
    let (certificate, key) = (tls.certificate.display(), tls.key.display());
    format!("ssl_certificate {certificate}; ssl_certificate_key {key};")
}

/// Starts nginx to speak TLS in front of what listens, or soon will, at `port`; gives its own port.
pub(super) fn tls_front(lab: &Lab, port: u16) -> anyhow::Result<(u16, Process)> {
    let encrypted = free_port()?;
    // Not to be tried out: what is behind it takes one connection only.
    let process = start_nginx(lab, &front(lab, encrypted, port))?;
    Ok((encrypted, process))
}

fn nginx_rtmp_with(lab: &Lab, clip: Clip, file: &Path, tls: bool) -> anyhow::Result<Served> {
    let server = nginx_rtmp(lab)?;
    let address = Address::open(&server.url);
    let publisher = Publisher::FfmpegRtmp(Ffmpeg::Debian, "rtmp");
    let publisher = publisher.start(lab, clip, file, &address)?;
    let url = if tls { &server.tls_url } else { &server.url };
    Ok((pull(url), vec![publisher, server.process]))
}

fn ffmpeg_flv(lab: &Lab, file: &Path, tls: bool) -> anyhow::Result<Served> {
    let port = free_port()?;
    let url = format!("http://127.0.0.1:{port}/live.flv");
    let output = ["-f", "flv", "-listen", "1", &url];
    let process = Ffmpeg::Modern.copy(lab, file, &output)?;
    if !tls {
        return Ok((pull(&url), vec![process]));
    }
    let (encrypted, front) = tls_front(lab, port)?;
    let url = format!("https://127.0.0.1:{encrypted}/live.flv");
    Ok((pull(&url), vec![process, front]))
}

fn headworks(lab: &Lab, clip: Clip, file: &Path, scheme: &str) -> anyhow::Result<Served> {
    let there = lab.there()?;
    let published = lab.published_at(&there, Publisher::usual(clip), clip, file)?;
    let url = there.play_url(&published.id, scheme)?;
    Ok((pull(&url), published.peers))
}

fn nginx_hls(lab: &Lab, file: &Path, kind: &str, tls: bool) -> anyhow::Result<Served> {
    let root = lab.path(".hls");
    fs::create_dir(&root)?;
    let playlist = root.join("index.m3u8");
    let output = playlist.display().to_string();
    let writer = Ffmpeg::Modern.copy(
        lab,
        file,
        &[
            "-f",
            "hls",
            "-hls_time",
            "1",
            "-hls_list_size",
            "6",
            "-hls_flags",
            "delete_segments",
            "-hls_segment_type",
            kind,
            &output,
        ],
    )?;
    let port = free_port()?;
    let path = root.display();
    let (scheme, ssl, certificate) = match tls {
        true => ("https", "ssl", certificate(lab)),
        false => ("http", "", String::new()),
    };
    let server = nginx(
        lab,
        port,
        &format!(
            "http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p;
            fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
            types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4 m4s; }}
            server {{ listen 127.0.0.1:{port} {ssl}; {certificate} root {path}; }} }}"
        ),
    )?;
    wait_until("a playlist", START, || playlist.exists().then_some(()))
        .with_context(|| writer.tail())?;
    let url = format!("{scheme}://127.0.0.1:{port}/index.m3u8");
    Ok((pull(&url), vec![writer, server]))
}
