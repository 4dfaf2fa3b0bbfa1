//! A client's byte stream, whatever it is wrapped into outside.

use std::net::SocketAddr;

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
        let Some(visit) = visitors.enter(address.ip()) else {
            tracing::debug!(%address, "connection refused: its address has too many");
            return None;
        };
        let socket = match tls {
            None => Either::Left(socket),
            Some(tls) => {
                let accepted = tls.accept(socket).await;
                let plain = accepted
                    .inspect_err(|error| tracing::debug!(%address, %error, "TLS handshake failed"));
                Either::Right(plain.ok()?.socket)
            }
        };
        Some(Self {
            socket,
            address,
            place: Place::new(place, visit),
        })
    }
}

/// Gives the socket to a writer shard, which also reads it.
pub(crate) fn into_sink(socket: Socket) -> Sink {
    match socket {
        Either::Left(tcp) => tcp.into(),
        Either::Right(unix) => unix.into(),
    }
}
