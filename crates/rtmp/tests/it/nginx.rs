//! Our client publishes to nginx-rtmp and plays from it.

use std::{fs, time::Duration};

use anyhow::{Context, bail};
use headworks_rtmp::{Client, ClientEvent, Closed, Media, MediaKind, code, wire};
use headworks_testkit::{RtmpServer, judge, tool};

use crate::{
    foreign::{AAC, H264, PICTURES, publish, recorded},
    socket::Calling,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Where to publish and play.
fn url(nginx: &RtmpServer, app: &str) -> String {
    nginx.url(app, "cam?auth_key=1")
}

#[test]
fn nginx_records_what_is_published_and_refuses_a_second_publisher() -> anyhow::Result<()> {
    let media = recorded(tool::FFMPEG, &[H264, AAC])?.media;
    let nginx = RtmpServer::start()?;
    let mut calling = Calling::connect(&url(&nginx, "live"), Client::publish)?;
    assert_eq!(calling.event()?, ClientEvent::Ready);
    // So bytes that were made for our own viewers would do as well.
    assert_eq!(calling.client.stream(), Some(wire::STREAM));
    let mut second = Calling::connect(&url(&nginx, "live"), Client::publish)?;
    match second.event()? {
        ClientEvent::Refused(refusal) => assert_eq!(refusal.code, code::PUBLISH_BAD_NAME),
        event => bail!("{event:?}"),
    }
    for media in &media {
        calling.publish(media)?;
    }
    calling.finish()?;
    let file = nginx.recording("cam");
    let seen = judge::decode(&file.display().to_string(), 4)?;
    assert_eq!(seen.errors, Vec::<String>::new());
    assert_eq!(seen.codecs(), ["h264", "aac"]);
    assert_eq!(seen.pictures(), PICTURES);
    Ok(())
}

#[test]
fn what_nginx_plays_is_what_was_published() -> anyhow::Result<()> {
    let nginx = RtmpServer::start()?;
    let mut calling = Calling::connect(&url(&nginx, "live"), Client::play)?;
    assert_eq!(calling.event()?, ClientEvent::Ready);
    let mut publisher = publish(tool::FFMPEG, &["-re"], &[H264, AAC], &url(&nginx, "live"))?;
    let mut media = Vec::new();
    loop {
        match calling.event()? {
            ClientEvent::Media(one) => media.push(one),
            ClientEvent::Closed(Closed::Peer(Some(_))) => break,
            event => bail!("{event:?}"),
        }
    }
    publisher.wait(PATIENCE).context("ffmpeg does not end")?;
    let file = nginx.recording("played");
    fs::write(&file, flv(&media))?;
    let seen = judge::decode(&file.display().to_string(), 4)?;
    assert_eq!(seen.errors, Vec::<String>::new());
    assert_eq!(seen.codecs(), ["h264", "aac"]);
    assert_eq!(seen.pictures(), PICTURES);
    Ok(())
}

#[test]
fn an_unknown_application_is_an_end_and_not_a_wait() -> anyhow::Result<()> {
    let nginx = RtmpServer::start()?;
    let mut calling = Calling::connect(&url(&nginx, "other"), Client::publish)?;
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
