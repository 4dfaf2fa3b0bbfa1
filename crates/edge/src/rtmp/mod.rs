//! RTMP: takes publishers and players, plain, over TLS and over HTTP.
//!
//! [`connection`] drives the engine of `headworks-rtmp` with a socket; [`publish`] gives what comes
//! to the camera's feed, [`play`] hands the socket over to a writer shard of the hub.

mod connection;
mod play;
mod publish;

use headworks_bootstrap::{Clock, Tasks};
use headworks_rtmp::Event;
use headworks_types::CameraId;
use tokio::net::TcpListener;
use tokio_util::either::Either;

use crate::{access::Access, hub::Hub, ingest::Ingests, socket::Incoming};
use connection::Connection;

/// Connections at once, players included; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 20_000;

/// The only application there is, as in `/live/…` of the other protocols.
const APPLICATION: &str = "live";

/// What connections share.
#[derive(Clone)]
pub(crate) struct Rtmp {
    pub(crate) hub: Hub,
    pub(crate) ingests: Ingests,
    pub(crate) access: Access,
    pub(crate) clock: Clock,
}

impl Rtmp {
    /// Serves `listener` until `tasks` stops.
    pub(crate) fn serve(&self, listener: TcpListener, tasks: &Tasks) {
        let (rtmp, stop) = (self.clone(), tasks.token());
        headworks_bootstrap::accept(listener, MAX_CONNECTIONS, tasks, move |socket, place| {
            let (rtmp, stop) = (rtmp.clone(), stop.clone());
            async move {
                // Without an address it has gone already.
                let Ok(address) = socket.peer_addr() else {
                    return;
                };
                let incoming = Incoming {
                    socket: Either::Left(socket),
                    address,
                    place,
                };
                stop.run_until_cancelled(rtmp.drive(incoming)).await;
            }
        });
    }

    /// Serves one client, until it leaves or its socket is the hub's.
    pub(crate) async fn drive(&self, incoming: Incoming) {
        let mut connection = Connection::new(incoming, self.clock.clone());
        loop {
            match connection.event().await {
                Event::Publish(wish) => {
                    if let Some(closed) = publish::run(self, &mut connection, &wish.target).await {
                        return connection.farewell(&closed);
                    }
                }
                Event::Play(wish) => match play::admit(self, &wish.target).await {
                    Ok(admitted) => return play::run(self, connection, admitted).await,
                    Err(refusal) => connection.refuse(&refusal),
                },
                Event::Connect(_) | Event::Media(_) | Event::Stopped => {}
                Event::Closed(closed) => return connection.farewell(&closed),
            }
        }
    }
}

/// The camera that a client names. `None` for what cannot be one.
fn camera(target: &headworks_rtmp::Target) -> Option<CameraId> {
    let name = target.name.parse().ok()?;
    (target.app == APPLICATION).then_some(name)
}
