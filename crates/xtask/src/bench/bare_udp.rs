//! The measure for UDP: a loop that sends each frame's packets to each viewer with one `sendmmsg`,
//! and does nothing else.
//!
//! The packets are those that the RTSP viewers get: it plays the camera from the edge once, over
//! TCP. All packets of a picture (to the marker bit, RFC 6184 §5.1) are one batch, each packet of
//! sound is one. It sends from one thread and from one socket that is not connected, as the edge
//! does. RTCP is left out.

use std::{
    io::{BufRead, BufReader, ErrorKind, IoSlice, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream as StdStream, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use anyhow::{Context, ensure};
use headworks_testkit::Stopwatch;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use serde_json::json;

use super::rtsp::{ALIVE, Dialogue, Transport};

const SOURCE: Token = Token(0);
const LISTENER: Token = Token(1);
/// Viewers have this token and those behind it.
const FIRST_VIEWER: usize = 2;
const PATIENCE: Duration = Duration::from_secs(10);
/// The edge gives up who is silent for a minute.
const SAY_ALIVE: Duration = Duration::from_secs(15);

/// Channels of pictures and of sound.
const VIDEO: u8 = 0;
const AUDIO: u8 = 2;

/// Somebody who gets packets as long as this connection is there.
struct Viewer {
    token: Token,
    connection: TcpStream,
    video: SockaddrIn,
    audio: SockaddrIn,
}

/// The process: sends what `url` gives to whoever connects and names two ports.
pub(super) fn run(url: &str) -> anyhow::Result<()> {
    let (mut source, mut bytes) = play(url)?;
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut source, SOURCE, Interest::READABLE)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", json!({"port": listener.local_addr()?.port()}));

    let mut viewers = Vec::new();
    let mut last = FIRST_VIEWER;
    let mut picture = Vec::new();
    let mut said_alive = Stopwatch::start();
    let mut events = Events::with_capacity(256);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                SOURCE => {
                    if !read(&mut source, &mut buffer, &mut bytes)? {
                        return Ok(());
                    }
                    forward(&mut bytes, &mut picture, &socket, &viewers)?;
                    if said_alive.elapsed() >= SAY_ALIVE {
                        source.write_all(&ALIVE)?;
                        said_alive = Stopwatch::start();
                    }
                }
                LISTENER => accept(&poll, &listener, &mut viewers, &mut last)?,
                token => viewers.retain(|viewer: &Viewer| viewer.token != token),
            }
        }
    }
}

/// Plays `url`; the bytes are what came already.
fn play(url: &str) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let host = url.strip_prefix("rtsp://").context("an rtsp:// URL")?;
    let host = host.split('/').next().unwrap_or_default();
    let mut source = StdStream::connect(host)?;
    source.set_read_timeout(Some(PATIENCE))?;
    let (mut dialogue, first) = Dialogue::start(url, Transport::Tcp);
    source.write_all(&first)?;
    let mut buffer = [0; 4096];
    while !dialogue.is_done() {
        let count = source.read(&mut buffer)?;
        ensure!(count > 0, "the edge closes the connection");
        let send = dialogue.input(&buffer[..count])?;
        source.write_all(&send)?;
    }
    source.set_nonblocking(true)?;
    Ok((TcpStream::from_std(source), dialogue.rest()))
}

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

/// Viewers name the ports of picture and sound on one line.
fn accept(
    poll: &Poll,
    listener: &TcpListener,
    viewers: &mut Vec<Viewer>,
    last: &mut usize,
) -> anyhow::Result<()> {
    loop {
        let connection = match listener.accept() {
            Ok((connection, _)) => StdStream::from(connection),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("accept a viewer"),
        };
        connection.set_nonblocking(false)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(&connection).read_line(&mut line)?;
        let (video, audio) = line.trim().split_once(' ').context("two ports")?;
        let address = |port: &str| -> anyhow::Result<SockaddrIn> {
            Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.parse()?).into())
        };
        connection.set_nonblocking(true)?;
        *last += 1;
        let mut viewer = Viewer {
            token: Token(*last),
            connection: TcpStream::from_std(connection),
            video: address(video)?,
            audio: address(audio)?,
        };
        poll.registry()
            .register(&mut viewer.connection, viewer.token, Interest::READABLE)?;
        viewers.push(viewer);
    }
}

/// Sends all whole frames of `bytes`. `picture` has the packets of one that is not yet whole.
fn forward(
    bytes: &mut Vec<u8>,
    picture: &mut Vec<Vec<u8>>,
    socket: &UdpSocket,
    viewers: &[Viewer],
) -> anyhow::Result<()> {
    while let Some((channel, packet)) = next_packet(bytes) {
        match channel {
            AUDIO => send(&[packet], socket, viewers.iter().map(|viewer| viewer.audio))?,
            VIDEO => {
                let is_last = packet.get(1).is_some_and(|byte| byte & 0x80 != 0);
                picture.push(packet);
                if is_last {
                    send(picture, socket, viewers.iter().map(|viewer| viewer.video))?;
                    picture.clear();
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// RFC 2326 §10.12.
fn next_packet(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let head: &[u8; 4] = bytes.first_chunk()?;
    let (channel, length) = (head[1], u16::from_be_bytes([head[2], head[3]]));
    let end = head.len() + usize::from(length);
    if bytes.len() < end {
        return None;
    }
    let packet = bytes.drain(..end).skip(4).collect();
    Some((channel, packet))
}

/// One system call for each viewer.
fn send(
    packets: &[Vec<u8>],
    socket: &UdpSocket,
    viewers: impl Iterator<Item = SockaddrIn>,
) -> anyhow::Result<()> {
    let slices: Vec<_> = packets
        .iter()
        .map(|packet| [IoSlice::new(packet)])
        .collect();
    let mut headers = MultiHeaders::preallocate(slices.len(), None);
    for viewer in viewers {
        let to = vec![Some(viewer); slices.len()];
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &slices,
            &to,
            [],
            MsgFlags::empty(),
        )
        .context("sendmmsg")?;
        ensure!(sent.count() == slices.len(), "not all packets were sent");
    }
    Ok(())
}
