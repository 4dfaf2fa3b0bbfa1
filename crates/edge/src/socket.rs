//! A client's byte stream, whatever it is wrapped into outside.

use std::net::SocketAddr;

use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use crate::{hub::Sink, visitors::Place};

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

/// Gives the socket to a writer shard, which also reads it.
pub(crate) fn into_sink(socket: Socket) -> Sink {
    match socket {
        Either::Left(tcp) => tcp.into(),
        Either::Right(unix) => unix.into(),
    }
}
