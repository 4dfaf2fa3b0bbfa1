//! Where other edges come for cameras. Only nodes get in that the directory knows; everybody else is
//! refused before anything of theirs is read.

use std::{sync::Arc, time::Duration};

use headworks_bootstrap::{TrustedProxies, tls::HANDSHAKE, visitors::Visitors};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Relays, Shared, serve};

/// Connections at once: one for each camera and each edge that has it from here.
pub(crate) const MAX_CONNECTIONS: usize = 10_000;

/// Of these, so many of one address that have not shown yet who they are.
const MAX_STRANGERS: usize = 256;

/// How long a connection is kept open that is told to end.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

impl Relays {
    /// Lets other edges in until this one stops, and not before it knows who it is itself.
    pub(crate) fn serve(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.0);
        let tasks = shared.tasks.clone();
        let stop = tasks.token();
        let doors = tasks.clone();
        tasks.spawn("relay listener", async move {
            if stop.run_until_cancelled(shared.tls.known()).await.is_none() {
                return;
            }
            let proxies = TrustedProxies::default();
            let strangers = Visitors::new(MAX_STRANGERS, proxies, shared.clock.clone());
            let drive = move |socket, place| {
                let (shared, strangers) = (Arc::clone(&shared), strangers.clone());
                let stop = stop.clone();
                async move {
                    drive(&shared, &strangers, socket, &stop).await;
                    drop(place);
                }
            };
            headworks_bootstrap::accept("relay", listener, MAX_CONNECTIONS, &doors, drive);
        });
    }
}

async fn drive(
    shared: &Arc<Shared>,
    strangers: &Visitors,
    socket: TcpStream,
    stop: &CancellationToken,
) {
    let Ok(address) = socket.peer_addr() else {
        return;
    };
    let Some(visit) = strangers.enter(address.ip().to_canonical()) else {
        shared.counters.refused.inc();
        return;
    };
    let shake = timeout(HANDSHAKE, shared.tls.accept(socket));
    let (node, stream) = match stop.run_until_cancelled(shake).await {
        Some(Ok(Ok(accepted))) => accepted,
        Some(Ok(Err(error))) => {
            shared.counters.refused.inc();
            tracing::debug!(%address, %error, "not let in as another edge");
            return;
        }
        Some(Err(_)) | None => {
            shared.counters.refused.inc();
            return;
        }
    };
    drop(visit);
    let why = serve::Guest::new(shared, node, stream).serve(stop).await;
    tracing::debug!(%address, peer.id = %node, reason = %why, "relay connection ended");
}
