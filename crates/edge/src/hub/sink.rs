//! Where a viewer's bytes go.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll},
};

use tokio::net::{TcpStream, UnixStream};

use super::udp::UdpSink;

/// A viewer's socket. It is shared where somebody else reads from it; only the shard writes.
pub(crate) enum Sink {
    /// The viewer's own connection.
    Tcp(Arc<TcpStream>),
    /// One end of a pair whose other end is wrapped into something else, such as TLS.
    Unix(Arc<UnixStream>),
    /// Datagrams; for [`Format::RtpUdp`](super::Format::RtpUdp).
    Udp(Box<UdpSink>),
}

impl From<TcpStream> for Sink {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(Arc::new(socket))
    }
}

impl From<UnixStream> for Sink {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(Arc::new(socket))
    }
}

impl Sink {
    /// Frames go out when they are due, not when a segment is full.
    pub(super) fn prepare(&self) {
        if let Self::Tcp(socket) = self {
            // Failing only costs delay.
            let _ = socket.set_nodelay(true);
        }
    }

    /// One system call; never waits.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            // Cheaper than a vector of one.
            (Self::Tcp(socket), [only]) => socket.try_write(only),
            (Self::Unix(socket), [only]) => socket.try_write(only),
            (Self::Tcp(socket), _) => socket.try_write_vectored(slices),
            (Self::Unix(socket), _) => socket.try_write_vectored(slices),
            (Self::Udp(_), _) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Ready when it takes more, or has an error for the next write.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(socket) => socket.poll_write_ready(context).map(drop),
            Self::Unix(socket) => socket.poll_write_ready(context).map(drop),
            // Never blocked: what finds no room is lost.
            Self::Udp(_) => Poll::Ready(()),
        }
    }

    /// Whatever a viewer says is read and forgotten, a bounded amount at a time. False if it has
    /// gone.
    pub(super) fn discard_input(&self) -> bool {
        let mut scratch = [0; 1024];
        let read = match self {
            Self::Tcp(socket) => socket.try_read(&mut scratch),
            Self::Unix(socket) => socket.try_read(&mut scratch),
            Self::Udp(_) => return true,
        };
        match read {
            Ok(count) => count > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
