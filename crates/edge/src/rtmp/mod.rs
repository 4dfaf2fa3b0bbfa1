//! RTMP: takes publishers and players, plain, over TLS and over HTTP.
//!
//! [`connection`] drives the engine of `headworks-rtmp` with a socket; [`publish`] gives what comes
//! to the camera's feed, [`play`] hands the socket over to a writer shard of the hub. A client whose
//! first byte is that of an HTTP request speaks RTMPT ([`tunnel`]): it needs no port of its own.

mod connection;
mod play;
mod publish;
#[cfg(test)]
mod tests;
mod tunnel;

use std::time::Duration;

use bytes::BytesMut;
use headworks_bootstrap::{Clock, Tasks};
use headworks_rtmp::{Event, Refusal, Target, code};
use headworks_types::{CameraId, PublishProtocol};
use tokio::{io::AsyncReadExt as _, net::TcpListener, time::timeout};
use url::Url;

use crate::{
    elsewhere::{self, Base, Secret},
    ingest::Ingests,
    socket::Incoming,
    tls::Acceptor,
    viewing::Viewing,
    visitors::Visitors,
};
use connection::Connection;
use tunnel::Tunnels;

/// Connections at once, players included; more wait in the kernel's queue.
pub(crate) const MAX_CONNECTIONS: usize = 20_000;

/// From accepting a connection to its first bytes.
const FIRST_BYTES: Duration = Duration::from_secs(10);

/// The only application there is, as in `/live/…` of the other protocols.
const APPLICATION: &str = "live";

/// What connections share.
#[derive(Clone)]
pub(crate) struct Rtmp {
    viewing: Viewing,
    ingests: Ingests,
    visitors: Visitors,
    tunnels: Tunnels,
    clock: Clock,
    tasks: Tasks,
}

impl Rtmp {
    pub(crate) fn new(
        viewing: Viewing,
        ingests: Ingests,
        visitors: Visitors,
        clock: Clock,
        tasks: Tasks,
    ) -> Self {
        Self {
            viewing,
            ingests,
            visitors,
            tunnels: Tunnels::default(),
            clock,
            tasks,
        }
    }

    /// Serves `listener` until the edge stops; with TLS if there is an acceptor.
    pub(crate) fn serve(&self, listener: TcpListener, tls: Option<Acceptor>) {
        let rtmp = self.clone();
        let name = if tls.is_some() { "rtmps" } else { "rtmp" };
        let drive = move |socket, place| {
            let (rtmp, tls) = (rtmp.clone(), tls.clone());
            async move {
                let welcome = Incoming::welcome(socket, place, &rtmp.visitors, tls.as_ref());
                let Some(Some(incoming)) = rtmp.until_stop(welcome).await else {
                    return;
                };
                let protocol = match tls {
                    Some(_) => PublishProtocol::Rtmps,
                    None => PublishProtocol::Rtmp,
                };
                rtmp.drive(incoming, protocol).await;
            }
        };
        headworks_bootstrap::accept(name, listener, MAX_CONNECTIONS, &self.tasks, drive);
    }

    /// Serves one client that comes by `protocol`, or by its form over HTTP.
    async fn drive(&self, mut incoming: Incoming, protocol: PublishProtocol) {
        let mut first = BytesMut::new();
        let read = timeout(FIRST_BYTES, incoming.socket.read_buf(&mut first));
        let Some(Ok(Ok(1..))) = self.until_stop(read).await else {
            return;
        };
        // RTMP begins with 3, its encrypted kin with 6 or 8; HTTP with the name of a method.
        if first[0].is_ascii_uppercase() {
            self.until_stop(tunnel::serve(self, incoming, first.freeze(), protocol))
                .await;
        } else {
            self.speak(incoming, first, protocol).await;
        }
    }

    /// Serves one client of whom `first` has been read, until it leaves or its socket is the hub's.
    async fn speak(&self, incoming: Incoming, first: BytesMut, protocol: PublishProtocol) {
        let mut connection = Connection::new(incoming, first, protocol, self.clock.clone());
        loop {
            let event = match self.until_stop(connection.event()).await {
                Some(event) => event,
                None => {
                    connection.refuse(&stopping());
                    // What is left is to tell it.
                    connection.event().await
                }
            };
            match event {
                Event::Publish(wish) => {
                    if let Some(closed) = publish::run(self, &mut connection, &wish.target).await {
                        return connection.close(&closed).await;
                    }
                }
                Event::Play(wish) => match play::admit(self, &connection, &wish.target).await {
                    Ok(admitted) => return play::run(self, connection, admitted).await,
                    Err(refusal) => connection.refuse(&refusal),
                },
                Event::Connect(_) | Event::Media(_) | Event::Stopped => {}
                Event::Closed(closed) => return connection.close(&closed).await,
            }
        }
    }

    /// `None` if the edge stops before.
    async fn until_stop<F: Future>(&self, future: F) -> Option<F::Output> {
        self.tasks.token().run_until_cancelled(future).await
    }
}

/// What everybody is told when the edge stops.
fn stopping() -> Refusal {
    Refusal::new(code::CONNECT_CLOSED, "this edge stops")
}

/// The addresses of edges for those who come by this.
fn base(protocol: PublishProtocol) -> Base {
    match protocol {
        PublishProtocol::Rtmps | PublishProtocol::Rtmpts => |advertise| advertise.rtmps.as_ref(),
        _ => |advertise| advertise.rtmp.as_ref(),
    }
}

/// True if another edge has sent the client.
fn is_marked(target: &Target) -> bool {
    target.query.parameter(elsewhere::MARK).is_some()
}

/// The client should go to the edge at `base`, by the same protocol, for the same.
fn go_to(base: &Url, protocol: PublishProtocol, target: &Target, secret: Secret<'_>) -> Refusal {
    let mut base = base.clone();
    if matches!(protocol, PublishProtocol::Rtmpt | PublishProtocol::Rtmpts) {
        // RTMP's own port takes it, too.
        let port = base.port().or((base.scheme() == "rtmp").then_some(1935));
        let _ = base.set_port(port);
        let _ = base.set_scheme(protocol.as_str());
    }
    let path = format!("{}/{}", target.app, target.name);
    let url = elsewhere::address(&base, &path, Some(target.query.as_str()), secret);
    Refusal::redirect(url)
}

/// The camera that a client names. `None` for what cannot be one.
fn camera(target: &Target) -> Option<CameraId> {
    let name = target.name.parse().ok()?;
    (target.app == APPLICATION).then_some(name)
}
