//! The measure: a loop that writes each message to each socket, and does nothing else.
//!
//! It receives one HTTP-FLV stream and forwards every FLV tag with one `write` per viewer, from one
//! thread, without a ring, a shard, a token or a clock. A server cannot do less per message, only
//! write less often.

use std::{
    io::{ErrorKind, Read, Write},
    net::Ipv4Addr,
};

use anyhow::{Context, bail, ensure};
use headworks_testkit::http;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use serde_json::json;

const SOURCE: Token = Token(0);
const LISTENER: Token = Token(1);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: video/x-flv\r\n\r\n";
/// Header of an FLV file with the size of the tag before the first (Adobe FLV 10.1, E.2 and E.3).
const FILE_HEADER: usize = 13;
/// Header of a tag, and the size behind it (E.4.1).
const TAG_HEADER: usize = 11;
const TAG_TRAILER: usize = 4;

/// The process: forwards `url` to whoever connects, until it is killed.
pub(super) fn run(url: &str) -> anyhow::Result<()> {
    let answer = http::send("GET", url, &[], b"")?;
    ensure!(answer.status == 200, "HTTP {}", answer.status);
    let chunked = answer
        .headers
        .iter()
        .any(|(name, _)| name == "transfer-encoding");
    ensure!(
        !chunked,
        "the stream comes in chunks, which this loop does not take apart"
    );
    let source = answer.into_stream();
    let mut tags = Tags {
        bytes: source.buffer().to_vec(),
        started: false,
    };
    let source = source.into_inner();
    source.set_nonblocking(true)?;
    let mut source = TcpStream::from_std(source);
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut source, SOURCE, Interest::READABLE)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", json!({"port": listener.local_addr()?.port()}));

    let mut viewers: Vec<TcpStream> = Vec::new();
    let mut events = Events::with_capacity(8);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &mut viewers)?;
                continue;
            }
            loop {
                match source.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => tags.bytes.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("read the source"),
                }
            }
            while let Some(tag) = tags.next() {
                forward(&tag, &mut viewers)?;
            }
        }
    }
}

fn accept(listener: &TcpListener, viewers: &mut Vec<TcpStream>) -> anyhow::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut viewer, _)) => {
                viewer.set_nodelay(true)?;
                viewer.write_all(ANSWER)?;
                viewers.push(viewer);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("accept a viewer"),
        }
    }
}

/// One write per viewer. Whoever is gone is dropped; nobody may fall behind.
fn forward(tag: &[u8], viewers: &mut Vec<TcpStream>) -> anyhow::Result<()> {
    let mut behind = false;
    viewers.retain_mut(|viewer| match viewer.write(tag) {
        Ok(count) => {
            behind |= count < tag.len();
            true
        }
        Err(error) => {
            behind |= error.kind() == ErrorKind::WouldBlock;
            false
        }
    });
    if behind {
        bail!("a viewer does not keep up, so the measure means nothing");
    }
    Ok(())
}

/// Cuts the stream into tags.
struct Tags {
    bytes: Vec<u8>,
    started: bool,
}

impl Tags {
    fn next(&mut self) -> Option<Vec<u8>> {
        if !self.started {
            if self.bytes.len() < FILE_HEADER {
                return None;
            }
            self.bytes.drain(..FILE_HEADER);
            self.started = true;
        }
        let size = self.bytes.get(1..4)?;
        let size = usize::from(size[0]) << 16 | usize::from(size[1]) << 8 | usize::from(size[2]);
        let length = TAG_HEADER + size + TAG_TRAILER;
        (self.bytes.len() >= length).then(|| self.bytes.drain(..length).collect())
    }
}
