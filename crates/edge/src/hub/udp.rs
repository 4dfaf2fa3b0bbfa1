//! Sends datagrams, many with one system call where the kernel can cut them (`UDP_SEGMENT`).

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::AsRawFd as _,
    sync::Arc,
};

use headworks_media::TrackKind;
use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg},
};
use tokio::net::UdpSocket;

use super::wire::Datagrams;

/// A viewer that gets datagrams. Viewers share the sockets, and tell each other apart by their own
/// ports.
pub(crate) struct UdpSink {
    /// Sends RTP.
    pub(crate) rtp: Arc<UdpSocket>,
    /// Sends RTCP.
    pub(crate) rtcp: Arc<UdpSocket>,
    /// Where pictures go, if it wants them; an address of the sockets' own family.
    pub(crate) video: Option<UdpPeer>,
    /// Where sound goes, if it wants it.
    pub(crate) audio: Option<UdpPeer>,
}

/// Where a viewer receives a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UdpPeer {
    /// RTP.
    pub(crate) rtp: SocketAddr,
    /// RTCP.
    pub(crate) rtcp: SocketAddr,
}

impl UdpSink {
    /// Sends a run of datagrams; never waits. What the viewer did not ask for is not sent.
    pub(super) fn send(&self, datagrams: &Datagrams) -> io::Result<usize> {
        let peer = match datagrams.track {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        };
        let Some(peer) = peer else { return Ok(0) };
        let (socket, address) = match datagrams.is_control {
            true => (&self.rtcp, peer.rtcp),
            false => (&self.rtp, peer.rtp),
        };
        let address = SockaddrStorage::from(address);
        let segment = datagrams.segment;
        if datagrams.bytes.len() <= segment {
            return send(socket, &datagrams.bytes, None, &address);
        }
        let cut = u16::try_from(segment).unwrap_or(u16::MAX);
        match send(socket, &datagrams.bytes, Some(&cut), &address) {
            Err(error) if is_refused(&error) => {
                let mut each = datagrams.bytes.chunks(segment.max(1));
                each.try_fold(0, |sum, one| Ok(sum + send(socket, one, None, &address)?))
            }
            sent => sent,
        }
    }
}

/// One system call. The kernel cuts the bytes into datagrams of length `cut`. tokio is not asked
/// whether the socket is ready: nobody waits for it, and it knows only after the first failure.
fn send(
    socket: &UdpSocket,
    bytes: &[u8],
    cut: Option<&u16>,
    address: &SockaddrStorage,
) -> io::Result<usize> {
    let slices = [IoSlice::new(bytes)];
    let cut = cut.map(ControlMessage::UdpGsoSegments);
    let flags = MsgFlags::MSG_DONTWAIT;
    let sent = sendmsg(
        socket.as_raw_fd(),
        &slices,
        cut.as_slice(),
        flags,
        Some(address),
    );
    Ok(sent?)
}

/// Kernels before 4.18, devices without checksums of their own, and paths whose MTU is below the
/// size of a segment cannot cut.
fn is_refused(error: &io::Error) -> bool {
    let refusals = [
        Errno::EIO,
        Errno::EINVAL,
        Errno::EOPNOTSUPP,
        Errno::EMSGSIZE,
    ];
    let number = error.raw_os_error();
    refusals.iter().any(|errno| number == Some(*errno as i32))
}
