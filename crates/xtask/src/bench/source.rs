//! The one source of a run: publishes a clip in a loop, in real time, to every server at once.
//!
//! All of them get the same messages at the same moment. Each picture is stamped just before it is
//! written to a server.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::AsRawFd as _,
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use headworks_rtmp::{Client, ClientConfig, ClientEvent, Output, Url};
use headworks_testkit::wait_until;
use nix::sys::socket::{MsgFlags, recv};
use serde_json::json;

use super::{
    clip::{Clip, Tag},
    clock,
    stamp::Stamp,
};

/// A server that takes nothing for this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody who gets the stream.
enum Target {
    /// A server, over RTMP.
    Rtmp {
        client: Box<Client>,
        socket: TcpStream,
    },
    /// A bare loop, which takes the tags of FLV as they are.
    Flv(TcpStream),
}

/// The process: publishes `clip` to `targets` until it is killed.
pub(super) fn run(clip: &str, targets: &[&str]) -> anyhow::Result<()> {
    let mut clip = Clip::read(Path::new(clip))?;
    let mut targets = targets
        .iter()
        .map(|target| Target::begin(target))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for target in &mut targets {
        for header in &clip.headers {
            target.send(header, 0)?;
        }
    }
    println!("{}", json!({"publishes": targets.len()}));
    let start = clock::now();
    let mut repeated = 0;
    loop {
        for tag in &mut clip.tags {
            let timestamp = repeated * Clip::LENGTH + tag.timestamp;
            let due = start + Duration::from_millis(timestamp.into());
            thread::sleep(due.saturating_duration_since(clock::now()));
            for target in &mut targets {
                stamp(tag)?;
                target.send(tag, timestamp)?;
            }
        }
        repeated += 1;
    }
}

fn stamp(tag: &mut Tag) -> anyhow::Result<()> {
    let stamp = Stamp {
        at: clock::nanoseconds()?,
        is_key: tag.is_key(),
    };
    if tag.is_picture() {
        stamp.write(&mut tag.payload);
    }
    Ok(())
}

impl Target {
    /// Connects. A server may not yet know of a stream key that was made just now.
    fn begin(target: &str) -> anyhow::Result<Self> {
        let mut last = None;
        let begun = wait_until("the server takes the stream", PATIENCE, || {
            Self::connect(target)
                .map_err(|error| last = Some(error))
                .ok()
        });
        begun.map_err(|late| last.unwrap_or(late))
    }

    fn connect(target: &str) -> anyhow::Result<Self> {
        if let Some(address) = target.strip_prefix("flv://") {
            return Ok(Self::Flv(connect(address)?));
        }
        let url = Url::parse(target)?;
        let mut socket = connect(&format!("{}:{}", url.host, url.port))?;
        let client = Client::publish(clock::now(), url, ClientConfig::default(), 1);
        let mut client = Box::new(client);
        loop {
            match client.poll_output() {
                Output::Send(bytes) => socket.write_all(&bytes)?,
                Output::Event(ClientEvent::Ready) => return Ok(Self::Rtmp { client, socket }),
                Output::Event(event) => bail!("{event:?}"),
                Output::Close => bail!("it was closed"),
                Output::Wait(_) => {
                    let mut buffer = [0; 4096];
                    let count = socket.read(&mut buffer)?;
                    client.handle_input(clock::now(), Bytes::copy_from_slice(&buffer[..count]));
                }
            }
        }
    }

    fn send(&mut self, tag: &Tag, timestamp: u32) -> anyhow::Result<()> {
        match self {
            Self::Flv(socket) => socket.write_all(&tag.write(timestamp))?,
            Self::Rtmp { client, socket } => {
                answer(client, socket)?;
                let message = client
                    .media(tag.kind, timestamp, &[&tag.payload])
                    .context("the server has ended the stream")?;
                socket.write_all(&message)?;
            }
        }
        Ok(())
    }
}

fn connect(address: &str) -> anyhow::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Reads what a server has sent meanwhile, such as acknowledgements, and answers it.
fn answer(client: &mut Client, socket: &mut TcpStream) -> anyhow::Result<()> {
    let mut buffer = [0; 4096];
    match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
        Ok(0) => bail!("the server has closed the connection"),
        Ok(count) => client.handle_input(clock::now(), Bytes::copy_from_slice(&buffer[..count])),
        Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error).context("read what the server says"),
    }
    loop {
        match client.poll_output() {
            Output::Send(bytes) => socket.write_all(&bytes)?,
            Output::Event(event) => bail!("the server says {event:?}"),
            Output::Close => bail!("the server ends the stream"),
            Output::Wait(_) => return Ok(()),
        }
    }
}
