//! Our client publishes to nginx-rtmp and plays from it.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use headworks_rtmp::{Client, ClientEvent, Closed, Media, MediaKind, code, wire};
use headworks_testkit::{Process, Signal, judge, tool, wait_until};
use tempfile::TempDir;

use crate::{
    foreign::{AAC, H264, PICTURES, publish, recorded},
    socket::Calling,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running nginx. It ends when this is dropped.
struct Nginx {
    directory: TempDir,
    port: u16,
    process: Process,
}

impl Nginx {
    fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        // nginx cannot choose a port by itself.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let path = directory.path().display();
        let file = directory.path().join("nginx.conf");
        fs::write(
            &file,
            format!(
                "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
                daemon off; master_process off; worker_processes 1; user root;
                pid {path}/nginx.pid; error_log stderr info;
                events {{ worker_connections 64; }}
                rtmp {{ server {{ listen 127.0.0.1:{port};
                    application live {{ live on; record all; record_path {path}; }}
                }} }}"
            ),
        )?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&file);
        let process = Process::spawn(command, Signal::Kill, |_, _| {})?;
        let nginx = Self {
            directory,
            port,
            process,
        };
        wait_until("nginx", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .with_context(|| nginx.process.tail())?;
        Ok(nginx)
    }

    fn url(&self, app: &str) -> String {
        format!("rtmp://127.0.0.1:{}/{app}/cam?auth_key=1", self.port)
    }
}

#[test]
fn nginx_records_what_is_published_and_refuses_a_second_publisher() -> anyhow::Result<()> {
    let media = recorded(tool::FFMPEG, &[H264, AAC])?.media;
    let nginx = Nginx::start()?;
    let mut calling = Calling::connect(&nginx.url("live"), Client::publish)?;
    assert_eq!(calling.event()?, ClientEvent::Ready);
    // So bytes that were made for our own viewers would do as well.
    assert_eq!(calling.client.stream(), Some(wire::STREAM));
    let mut second = Calling::connect(&nginx.url("live"), Client::publish)?;
    match second.event()? {
        ClientEvent::Refused(refusal) => assert_eq!(refusal.code, code::PUBLISH_BAD_NAME),
        event => bail!("{event:?}"),
    }
    for media in &media {
        calling.publish(media)?;
    }
    calling.finish()?;
    let file = nginx.directory.path().join("cam.flv");
    let seen = judge::decode(&file.display().to_string(), 4)?;
    assert_eq!(seen.errors, Vec::<String>::new());
    assert_eq!(seen.codecs(), ["h264", "aac"]);
    assert_eq!(seen.pictures(), PICTURES);
    Ok(())
}

#[test]
fn what_nginx_plays_is_what_was_published() -> anyhow::Result<()> {
    let nginx = Nginx::start()?;
    let mut calling = Calling::connect(&nginx.url("live"), Client::play)?;
    assert_eq!(calling.event()?, ClientEvent::Ready);
    let mut publisher = publish(tool::FFMPEG, &["-re"], &[H264, AAC], &nginx.url("live"))?;
    let mut media = Vec::new();
    loop {
        match calling.event()? {
            ClientEvent::Media(one) => media.push(one),
            ClientEvent::Closed(Closed::Peer(Some(_))) => break,
            event => bail!("{event:?}"),
        }
    }
    publisher.wait(PATIENCE).context("ffmpeg does not end")?;
    let file = nginx.directory.path().join("played.flv");
    fs::write(&file, flv(&media))?;
    let seen = judge::decode(&file.display().to_string(), 4)?;
    assert_eq!(seen.errors, Vec::<String>::new());
    assert_eq!(seen.codecs(), ["h264", "aac"]);
    assert_eq!(seen.pictures(), PICTURES);
    Ok(())
}

#[test]
fn an_unknown_application_is_an_end_and_not_a_wait() -> anyhow::Result<()> {
    let nginx = Nginx::start()?;
    let mut calling = Calling::connect(&nginx.url("other"), Client::publish)?;
    assert_eq!(calling.event()?, ClientEvent::Closed(Closed::Peer(None)));
    Ok(())
}

/// A file of these messages (FLV 10.1 §E.2, §E.4.1).
fn flv(media: &[Media]) -> Vec<u8> {
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for media in media {
        let kind = match media.kind {
            MediaKind::Audio => 8,
            MediaKind::Video => 9,
            MediaKind::Data => 18,
        };
        let size = media.payload.len() as u32;
        let [high, time @ ..] = media.timestamp.to_be_bytes();
        file.push(kind);
        file.extend_from_slice(&size.to_be_bytes()[1..]);
        file.extend_from_slice(&time);
        file.extend_from_slice(&[high, 0, 0, 0]);
        file.extend_from_slice(&media.payload);
        file.extend_from_slice(&(size + 11).to_be_bytes());
    }
    file
}
