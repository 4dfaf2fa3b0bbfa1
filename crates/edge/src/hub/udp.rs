//! Sends datagrams: each run of them to many viewers with one system call (`sendmmsg`), and many
//! of them to each viewer at once where the kernel can cut them (`UDP_SEGMENT`).

use std::{
    io::{self, IoSlice},
    iter,
    net::SocketAddr,
    os::fd::AsRawFd as _,
    sync::Arc,
};

use headworks_media::TrackKind;
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg},
};
use tokio::net::UdpSocket;

use super::wire::Datagrams;

/// So many viewers are served with one system call. More save nothing that can be measured.
const MOST_AT_ONCE: usize = 64;

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

/// How datagrams went to a viewer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) bytes: u64,
    /// Some found no room.
    pub(super) lost: bool,
    /// There is no way to it.
    pub(super) broken: bool,
}

/// Where a run goes for one of the viewers.
struct Target<'a> {
    viewer: usize,
    socket: &'a UdpSocket,
    address: SocketAddr,
}

/// Sends each of `runs` to each viewer that asked for its track; never waits. A viewer gets
/// nothing behind a run that it did not get.
pub(super) fn send<'a>(
    runs: impl Iterator<Item = &'a Datagrams>,
    viewers: &[&UdpSink],
) -> Vec<Sent> {
    let mut sent = vec![Sent::default(); viewers.len()];
    for run in runs {
        let well = |viewer: &usize| !sent[*viewer].lost && !sent[*viewer].broken;
        let numbered = viewers.iter().enumerate();
        let targets: Vec<_> = numbered
            .filter(|(viewer, _)| well(viewer))
            .filter_map(|(viewer, sink)| sink.target(viewer, run))
            .collect();
        for targets in targets.chunk_by(|a, b| std::ptr::eq(a.socket, b.socket)) {
            for targets in targets.chunks(MOST_AT_ONCE) {
                send_run(run, targets, &mut sent);
            }
        }
    }
    sent
}

impl UdpSink {
    fn target(&self, viewer: usize, run: &Datagrams) -> Option<Target<'_>> {
        let peer = match run.track {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        };
        let peer = peer.as_ref()?;
        let (socket, address) = match run.is_control {
            true => (&self.rtcp, peer.rtcp),
            false => (&self.rtp, peer.rtp),
        };
        Some(Target {
            viewer,
            socket,
            address,
        })
    }
}

impl Sent {
    fn note(&mut self, result: io::Result<usize>) {
        match result {
            Ok(count) => self.bytes += count as u64,
            Err(error) if is_loss(&error) => self.lost = true,
            Err(_) => self.broken = true,
        }
    }
}

/// Sends a run to targets that share a socket.
fn send_run(run: &Datagrams, targets: &[Target<'_>], sent: &mut [Sent]) {
    let cut = u16::try_from(run.segment).unwrap_or(u16::MAX);
    let cut = (run.bytes.len() > run.segment).then_some(&cut);
    let mut rest = targets;
    while let [first, others @ ..] = rest {
        match send_once(&run.bytes, cut, rest) {
            Ok(count) => {
                let (taken, more) = rest.split_at(count.clamp(1, rest.len()));
                for target in taken {
                    sent[target.viewer].note(Ok(run.bytes.len()));
                }
                rest = more;
            }
            // It is the first that failed: otherwise those before it would be told.
            Err(error) => {
                let result = match is_refused(&error) && cut.is_some() {
                    true => send_each(run, first),
                    false => Err(error),
                };
                sent[first.viewer].note(result);
                rest = others;
            }
        }
    }
}

/// Without help of the kernel.
fn send_each(run: &Datagrams, target: &Target<'_>) -> io::Result<usize> {
    let mut each = run.bytes.chunks(run.segment.max(1));
    each.try_fold(0, |sum, one| {
        send_once(one, None, std::slice::from_ref(target))?;
        Ok(sum + one.len())
    })
}

/// One system call; returns how many have got it, which is at least one. The kernel cuts the bytes
/// into datagrams of length `cut`. tokio is not asked whether the socket is ready: nobody waits for
/// it, and it knows only after the first failure.
fn send_once(bytes: &[u8], cut: Option<&u16>, targets: &[Target<'_>]) -> io::Result<usize> {
    let Some(first) = targets.first() else {
        return Ok(0);
    };
    let addresses: Vec<_> = targets
        .iter()
        .map(|target| Some(SockaddrStorage::from(target.address)))
        .collect();
    let mut headers = MultiHeaders::preallocate(targets.len(), cut.map(|_| cmsg_space!(u16)));
    let slices = [IoSlice::new(bytes)];
    let cut = cut.map(ControlMessage::UdpGsoSegments);
    let sent = sendmmsg(
        first.socket.as_raw_fd(),
        &mut headers,
        iter::repeat(&slices),
        &addresses,
        cut.as_slice(),
        MsgFlags::MSG_DONTWAIT,
    )?;
    Ok(sent.count())
}

/// The kernel had no room, or the viewer's machine says that nobody listens: it may again.
fn is_loss(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::ConnectionRefused];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(Errno::ENOBUFS as i32)
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
