//! One viewer and its sockets.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, TcpStream as StdStream, UdpSocket as StdUdp},
    os::fd::{AsRawFd as _, RawFd},
};

use anyhow::{Context, bail};
use mio::{Interest, Registry, Token, net::TcpStream, net::UdpSocket};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv, setsockopt, sockopt},
};

use super::{Protocol, opening::Opening};
use crate::bench::{
    clock,
    stamp::{Scanner, Stamp},
};

/// Sockets of one viewer: the connection, then the packets of picture and sound.
pub(super) const SOCKETS: usize = 3;
/// The connection.
const CONNECTION: usize = 0;
const VIDEO: usize = 1;

/// A key frame of 8 Mbit/s, and more.
const RECEIVE_BUFFER: usize = 2 << 20;
const PORT_TRIES: usize = 100;

pub(super) struct Viewer {
    connection: TcpStream,
    packets: Vec<UdpSocket>,
    /// RTCP comes here; nobody reads it.
    _reports: Vec<StdUdp>,
    opening: Option<Opening>,
    /// Looks at every picture, not just at the first.
    is_reader: bool,
    scanner: Scanner,
    began: u64,
    pub(super) received: u64,
    /// How long the first key frame took, ns.
    pub(super) join: Option<u64>,
    /// Of pictures, ns.
    pub(super) delays: Vec<u64>,
}

impl Viewer {
    /// Connects and says its first words. Its sockets have the tokens from `token` on.
    pub(super) fn connect(
        protocol: Protocol,
        url: &str,
        is_reader: bool,
        registry: &Registry,
        token: usize,
    ) -> anyhow::Result<Self> {
        let ports = match protocol {
            Protocol::RtspUdp | Protocol::BareUdp => Ports::bind()?,
            Protocol::Flv | Protocol::Rtmp | Protocol::RtspTcp => Ports::default(),
        };
        let (opening, host, first) = Opening::new(protocol, url, ports.numbers)?;
        let began = clock::nanoseconds()?;
        let mut connection = StdStream::connect(host)?;
        connection.write_all(&first)?;
        connection.set_nonblocking(true)?;
        let mut viewer = Self {
            connection: TcpStream::from_std(connection),
            packets: ports.rtp.into_iter().map(UdpSocket::from_std).collect(),
            _reports: ports.rtcp,
            opening: Some(opening),
            is_reader,
            scanner: Scanner::default(),
            began,
            received: 0,
            join: None,
            delays: Vec::new(),
        };
        registry.register(
            &mut viewer.connection,
            Token(token + CONNECTION),
            Interest::READABLE,
        )?;
        for (index, socket) in viewer.packets.iter_mut().enumerate() {
            registry.register(socket, Token(token + VIDEO + index), Interest::READABLE)?;
        }
        Ok(viewer)
    }

    /// Reads all that is there on one of its sockets.
    pub(super) fn read(&mut self, socket: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        match socket {
            CONNECTION => self.read_connection(buffer),
            _ => self.read_packets(socket - VIDEO, buffer),
        }
    }

    fn read_connection(&mut self, buffer: &mut [u8]) -> anyhow::Result<()> {
        let socket = self.connection.as_raw_fd();
        loop {
            let looks = self.looks();
            let flags = match looks {
                true => MsgFlags::empty(),
                false => MsgFlags::MSG_TRUNC,
            };
            let Some(count) = receive(socket, buffer, flags)? else {
                return Ok(());
            };
            if count == 0 {
                bail!("the server has closed the connection");
            }
            self.received += count as u64;
            if looks {
                self.scan(&buffer[..count])?;
            }
            if let Some(opening) = &mut self.opening {
                let (send, plays) = opening.input(&buffer[..count])?;
                self.connection.write_all(&send)?;
                if plays {
                    self.opening = None;
                }
            }
        }
    }

    fn read_packets(&mut self, index: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        let socket = self.packets[index].as_raw_fd();
        loop {
            // Sound has no stamps.
            let looks = index == 0 && (self.is_reader || self.join.is_none());
            let (room, flags) = match looks {
                true => (buffer.len(), MsgFlags::empty()),
                false => (0, MsgFlags::MSG_TRUNC),
            };
            let Some(count) = receive(socket, &mut buffer[..room], flags)? else {
                return Ok(());
            };
            self.received += count as u64;
            if looks {
                self.scan(&buffer[..count])?;
            }
        }
    }

    fn looks(&self) -> bool {
        self.opening.is_some()
            || (self.packets.is_empty() && (self.is_reader || self.join.is_none()))
    }

    fn scan(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let now = clock::nanoseconds()?;
        let Self {
            scanner,
            join,
            delays,
            ..
        } = self;
        scanner.scan(bytes, |Stamp { at, is_key }| {
            delays.push(now.saturating_sub(at));
            if is_key && join.is_none() {
                *join = Some(now.saturating_sub(self.began));
            }
        });
        Ok(())
    }
}

/// How many bytes came; `None` if nothing is there.
fn receive(socket: RawFd, buffer: &mut [u8], flags: MsgFlags) -> anyhow::Result<Option<usize>> {
    loop {
        match recv(socket, buffer, flags) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(io::Error::from(error)).context("a viewer reads"),
        }
    }
}

/// Ports for RTP and RTCP of two tracks: even ones and those behind them.
#[derive(Default)]
struct Ports {
    rtp: Vec<StdUdp>,
    rtcp: Vec<StdUdp>,
    numbers: [u16; 2],
}

impl Ports {
    fn bind() -> anyhow::Result<Self> {
        let mut ports = Self::default();
        for track in 0..2 {
            let (rtp, rtcp) = (0..PORT_TRIES)
                .find_map(|_| pair())
                .context("no two free ports side by side")?;
            ports.numbers[track] = rtp.local_addr()?.port();
            ports.rtp.push(rtp);
            ports.rtcp.push(rtcp);
        }
        Ok(ports)
    }
}

fn pair() -> Option<(StdUdp, StdUdp)> {
    let rtp = StdUdp::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let port = rtp.local_addr().ok()?.port();
    if !port.is_multiple_of(2) {
        return None;
    }
    let rtcp = StdUdp::bind((Ipv4Addr::LOCALHOST, port + 1)).ok()?;
    rtp.set_nonblocking(true).ok()?;
    // Beyond the usual limit if we are root, else as far as allowed.
    let forced = setsockopt(&rtp, sockopt::RcvBufForce, &RECEIVE_BUFFER);
    forced
        .or_else(|_| setsockopt(&rtp, sockopt::RcvBuf, &RECEIVE_BUFFER))
        .ok()?;
    Some((rtp, rtcp))
}
