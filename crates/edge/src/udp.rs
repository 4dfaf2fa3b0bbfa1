//! UDP for RTP: sockets in pairs, and memory for what comes.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use nix::sys::socket::{
    setsockopt,
    sockopt::{RcvBuf, SndBuf},
};
use tokio::net::UdpSocket;

/// A key frame arrives as fast as the network carries it. The kernel gives less if it must.
const KERNEL_BUFFER: usize = 4 << 20;

/// How often an even port with a free one behind it is looked for.
const ATTEMPTS: usize = 64;

/// Memory for packets, taken in pieces.
const PIECE: usize = 256 << 10;

/// No packet is larger.
const MAX_PACKET: usize = 64 << 10;

/// Sockets for RTP and RTCP; ports that follow each other (RFC 3550 §11).
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
}

impl Pair {
    /// Opens them at an address. Port 0 takes two free ones.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        if address.port() != 0 {
            return Self::at(address).await;
        }
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..ATTEMPTS {
            let free = UdpSocket::bind(address).await?;
            if free.local_addr()?.port().is_multiple_of(2) {
                match Self::beside(free).await {
                    Ok(pair) => return Ok(pair),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    async fn at(address: SocketAddr) -> io::Result<Self> {
        let rtp = match UdpSocket::bind(address).await {
            // `[::]` on a machine without IPv6.
            Err(error) if address.ip() == IpAddr::from([0; 16]) && is_no_ipv6(&error) => {
                UdpSocket::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
            }
            other => other,
        };
        Self::beside(rtp?).await
    }

    async fn beside(rtp: UdpSocket) -> io::Result<Self> {
        let mut second = rtp.local_addr()?;
        let port = second.port().checked_add(1);
        second.set_port(port.ok_or(io::ErrorKind::AddrNotAvailable)?);
        let rtcp = UdpSocket::bind(second).await?;
        let _ = setsockopt(&rtp, RcvBuf, &KERNEL_BUFFER);
        let _ = setsockopt(&rtp, SndBuf, &KERNEL_BUFFER);
        Ok(Self { rtp, rtcp })
    }

    /// Their ports.
    pub(crate) fn ports(&self) -> (u16, u16) {
        let port = |socket: &UdpSocket| socket.local_addr().map_or(0, |address| address.port());
        (port(&self.rtp), port(&self.rtcp))
    }
}

fn is_no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Memory that packets share, so that not each of them costs an allocation.
#[derive(Debug, Default)]
pub(crate) struct Memory(BytesMut);

impl Memory {
    /// The next packet of a socket and where it comes from; never waits.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<(Bytes, SocketAddr)> {
        if self.0.capacity() < MAX_PACKET {
            self.0 = BytesMut::with_capacity(PIECE);
        }
        let (_, from) = socket.try_recv_buf_from(&mut self.0)?;
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        Ok((self.0.split().freeze(), from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ports_follow_each_other() {
        let pair = Pair::bind(([127, 0, 0, 1], 0).into()).await;
        let (rtp, rtcp) = pair.expect("binds").ports();
        assert_eq!((rtp % 2, rtcp), (0, rtp + 1));
    }

    #[tokio::test]
    async fn packets_come_one_by_one() {
        let Pair { rtp, rtcp } = Pair::bind(([127, 0, 0, 1], 0).into()).await.expect("binds");
        let to = rtcp.local_addr().expect("is bound");
        let mut memory = Memory::default();
        for text in ["one", "", "three"] {
            rtp.send_to(text.as_bytes(), to).await.expect("sends");
            rtcp.readable().await.expect("is readable");
            let (bytes, from) = memory.receive(&rtcp).expect("has come");
            assert_eq!(
                (&bytes[..], from),
                (text.as_bytes(), rtp.local_addr().expect("is bound"))
            );
        }
        let error = memory.receive(&rtcp).expect_err("nothing more");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
