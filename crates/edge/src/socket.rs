//! A client's byte stream, whatever it is wrapped into outside.

use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::{
    net::{TcpStream, UnixStream},
    sync::OwnedSemaphorePermit,
};
use tokio_util::either::Either;

use crate::{
    hub::Sink,
    tls::Acceptor,
    visitors::{Place, Visitors},
};

/// The client's own connection, or one end of a pair whose other end is wrapped into TLS or HTTP.
pub(crate) type Socket = Either<TcpStream, UnixStream>;

/// A client that has come in.
pub(crate) struct Incoming {
    /// What it says, and hears.
    pub(crate) socket: Socket,
    /// From where.
    pub(crate) address: SocketAddr,
    /// Its place among the connections that the listener takes.
    pub(crate) place: Place,
}

impl Incoming {
    /// Counts a client and does the handshake, if there is an acceptor. `None` for one that has
    /// gone already, or that has enough connections.
    pub(crate) async fn welcome(
        socket: TcpStream,
        place: OwnedSemaphorePermit,
        visitors: &Visitors,
        tls: Option<&Acceptor>,
    ) -> Option<Self> {
        let peer = socket.peer_addr().ok()?;
        let address = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let visit = visitors.enter(address.ip())?;
        let socket = match tls {
            None => Either::Left(socket),
            Some(tls) => {
                let accepted = tls.accept(socket).await;
                let plain = accepted
                    .inspect_err(|error| tracing::debug!(%address, %error, "TLS handshake failed"));
                Either::Right(plain.ok()?)
            }
        };
        Some(Self {
            socket,
            address,
            place: Place::new(place, visit),
        })
    }
}

/// What is allocated for input at once.
const BLOCK: usize = 64 << 10;

/// Less room than this is not worth a system call.
const LEAST: usize = 8 << 10;

/// Makes room for the next read. Frames that are kept keep the block that they were read into, so
/// a block is filled to its end: what is kept is about what has come.
pub(crate) fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < LEAST {
        buffer.reserve(BLOCK);
    }
}

/// Gives the socket to a writer shard, which also reads it.
pub(crate) fn into_sink(socket: Socket) -> Sink {
    match socket {
        Either::Left(tcp) => tcp.into(),
        Either::Right(unix) => unix.into(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    #[test]
    fn small_reads_share_a_block() {
        let mut buffer = BytesMut::new();
        let mut kept = Vec::new();
        for _ in 0..50 {
            make_room(&mut buffer);
            buffer.put_bytes(1, 1000);
            kept.push(buffer.split().freeze());
        }
        let (first, last) = (kept[0].as_ptr() as usize, kept[49].as_ptr() as usize);
        assert_eq!(last - first, 49_000);
        for _ in 0..50 {
            make_room(&mut buffer);
            assert!(buffer.capacity() >= LEAST);
            buffer.put_bytes(1, 1000);
            kept.push(buffer.split().freeze());
        }
    }
}
