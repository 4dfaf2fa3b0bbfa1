//! The measure for TCP: a loop that writes each message to each socket, and does nothing else.
//!
//! It takes the tags of FLV from the source and forwards each with one `write` per viewer, from one
//! thread, without a ring, a shard, a token or a clock. A server cannot do less per message, only
//! write less often.

use std::{
    io::{ErrorKind, Read, Write},
    net::Ipv4Addr,
};

use anyhow::Context;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use serde_json::json;

use super::clip::tag_length;

const SOURCES: Token = Token(0);
const VIEWERS: Token = Token(1);
const SOURCE: Token = Token(2);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: video/x-flv\r\n\r\n";

/// What a socket did not take is kept, up to this; then the viewer is closed.
const MOST_BEHIND: usize = 16 << 20;

struct Viewer {
    socket: TcpStream,
    /// Mostly empty.
    rest: Vec<u8>,
}

/// The process: forwards what a source sends to whoever connects, until it is killed.
pub(super) fn run() -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let sources = listen(&poll, SOURCES)?;
    let listener = listen(&poll, VIEWERS)?;
    println!(
        "{}",
        json!({"source": sources.local_addr()?.port(), "port": listener.local_addr()?.port()})
    );

    let (mut source, mut viewers) = (None, Vec::new());
    let mut events = Events::with_capacity(8);
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                VIEWERS => accept(&listener, &mut viewers)?,
                SOURCES => {
                    let (mut socket, _) = sources.accept()?;
                    poll.registry()
                        .register(&mut socket, SOURCE, Interest::READABLE)?;
                    source = Some(socket);
                }
                _ => {
                    let Some(source) = &mut source else { continue };
                    if !read(source, &mut buffer, &mut bytes)? {
                        return Ok(());
                    }
                    while let Some(length) = tag_length(&bytes) {
                        viewers.retain_mut(|viewer: &mut Viewer| viewer.forward(&bytes[..length]));
                        bytes.drain(..length);
                    }
                }
            }
        }
    }
}

fn listen(poll: &Poll, token: Token) -> anyhow::Result<TcpListener> {
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    poll.registry()
        .register(&mut listener, token, Interest::READABLE)?;
    Ok(listener)
}

/// Reads what is there; false at the end.
fn read(source: &mut TcpStream, buffer: &mut [u8], bytes: &mut Vec<u8>) -> anyhow::Result<bool> {
    loop {
        match source.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error).context("read the source"),
        }
    }
}

fn accept(listener: &TcpListener, viewers: &mut Vec<Viewer>) -> anyhow::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut socket, _)) => {
                socket.set_nodelay(true)?;
                socket.write_all(ANSWER)?;
                viewers.push(Viewer {
                    socket,
                    rest: Vec::new(),
                });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("accept a viewer"),
        }
    }
}

impl Viewer {
    /// One write. False if it is gone, or has fallen behind for good.
    fn forward(&mut self, tag: &[u8]) -> bool {
        if self.rest.is_empty() {
            return match write(&mut self.socket, tag) {
                Some(count) => {
                    self.rest.extend_from_slice(&tag[count..]);
                    true
                }
                None => false,
            };
        }
        self.rest.extend_from_slice(tag);
        match write(&mut self.socket, &self.rest) {
            Some(count) => {
                self.rest.drain(..count);
                self.rest.len() <= MOST_BEHIND
            }
            None => false,
        }
    }
}

/// How much the socket took; `None` if it is gone.
fn write(socket: &mut TcpStream, bytes: &[u8]) -> Option<usize> {
    match socket.write(bytes) {
        Ok(count) => Some(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}
