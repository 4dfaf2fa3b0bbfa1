//! Drives connections: HTTP/1.1, so many at once, and none that only sits there.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use headworks_bootstrap::{
    Tasks, Visitors,
    tls::HANDSHAKE,
    visitors::{Behind, Visit},
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use crate::pki::{Fingerprint, fingerprint};

/// Connections at once; more wait in the kernel's queue. Each edge has two or three.
const MAX_CONNECTIONS: usize = 20_000;

/// For a request's head, and between requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A request's head is no longer, bytes; hyper answers 431.
const MAX_HEAD: usize = 64 << 10;

/// The certificate that the client has shown, if any: an extension of each request. Only a listener
/// that asks for one gets any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerCertificate(pub(crate) Option<Fingerprint>);

/// What is served, and to whom.
pub(crate) struct Server {
    /// What logs call it.
    pub(crate) name: &'static str,
    pub(crate) router: Router,
    pub(crate) visitors: Visitors,
    /// Speaks TLS, if there is a configuration for it.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

impl Server {
    /// Serves on `listener` until `tasks` stops; requests that are under way then are answered.
    pub(crate) fn serve(self, listener: TcpListener, tasks: &Tasks) {
        let Self {
            name,
            router,
            visitors,
            tls,
        } = self;
        let stop = tasks.token();
        let tls = tls.map(TlsAcceptor::from);
        let each = move |socket: TcpStream, place| {
            let peer = socket.peer_addr().ok();
            let visit = peer.and_then(|peer| visitors.enter(peer.ip()));
            let behind = peer.and_then(|peer| visitors.behind(peer.ip()));
            let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
            let peer = Peer {
                address: peer,
                behind,
                shown: PeerCertificate(None),
            };
            welcome(socket, peer, (place, visit), tls, router, stop)
        };
        headworks_bootstrap::accept(name, listener, MAX_CONNECTIONS, tasks, each);
    }
}

/// Who is at the other end of a connection.
struct Peer {
    address: Option<SocketAddr>,
    behind: Option<Behind>,
    shown: PeerCertificate,
}

/// Does the handshake, if there is one to do.
async fn welcome(
    socket: TcpStream,
    mut peer: Peer,
    (_place, visit): (OwnedSemaphorePermit, Option<Visit>),
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    // Who has too many is not answered.
    let Some(_visit) = visit else {
        return;
    };
    let Some(tls) = tls else {
        return drive(socket, peer, router, stop).await;
    };
    match timeout(HANDSHAKE, tls.accept(socket)).await {
        Ok(Ok(socket)) => {
            let shown = socket.get_ref().1.peer_certificates();
            let shown = shown.and_then(<[_]>::first).map(|own| fingerprint(own));
            peer.shown = PeerCertificate(shown);
            Box::pin(drive(socket, peer, router, stop)).await;
        }
        Ok(Err(error)) => tracing::debug!(peer = ?peer.address, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(peer = ?peer.address, "TLS handshake took too long"),
    }
}

async fn drive(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    stop: CancellationToken,
) {
    let service = ServiceBuilder::new()
        .map_request(move |mut request: Request<Incoming>| {
            let extensions = request.extensions_mut();
            extensions.insert(peer.address);
            extensions.insert(peer.behind.clone());
            extensions.insert(peer.shown);
            request
        })
        .service(router);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service))
    );
    // How a connection ends says nothing that a request's own log line does not.
    tokio::select! {
        _ = &mut connection => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use headworks_bootstrap::{Clock, TrustedProxies};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn connect(tasks: &Tasks) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let router = Router::new().fallback(async || "ok");
        let server = Server {
            name: "test",
            router,
            visitors: Visitors::new(1, TrustedProxies::default(), Clock::system()),
            tls: None,
        };
        server.serve(listener, tasks);
        TcpStream::connect(address).await.expect("connects")
    }

    /// What the server says before it closes.
    async fn rest(client: &mut TcpStream) -> String {
        let mut text = String::new();
        let closes = client.read_to_string(&mut text);
        tokio::time::timeout(HEAD_TIMEOUT * 2, closes)
            .await
            .expect("is closed")
            .expect("reads");
        text
    }

    #[tokio::test]
    async fn one_address_has_no_more_connections_than_it_may() {
        let tasks = Tasks::new();
        let mut first = connect(&tasks).await;
        let address = first.peer_addr().expect("is connected");
        let mut second = TcpStream::connect(address).await.expect("connects");
        let mut nothing = Vec::new();
        let closed = second.read_to_end(&mut nothing).await;
        assert!(closed.is_err() || nothing.is_empty());
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        first.write_all(request).await.expect("writes");
        assert!(rest(&mut first).await.starts_with("HTTP/1.1 200 OK\r\n"));
        tasks.shutdown(HEAD_TIMEOUT).await;
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let tasks = Tasks::new();
        let mut client = connect(&tasks).await;
        let long = "a".repeat(2 * MAX_HEAD);
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n");
        // It may be closed before all is written.
        let _ = client.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains(" 200 "), "{answer}");
        tasks.shutdown(HEAD_TIMEOUT).await;
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_is_not_waited_for() {
        let tasks = Tasks::new();
        let mut client = connect(&tasks).await;
        let half = b"GET / HTTP/1.1\r\nHost: x\r\n";
        client.write_all(half).await.expect("writes");
        assert_eq!(rest(&mut client).await, "");
        tasks.shutdown(HEAD_TIMEOUT).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed() {
        let tasks = Tasks::new();
        let mut client = connect(&tasks).await;
        let whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        client.write_all(whole).await.expect("writes");
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        tasks.shutdown(HEAD_TIMEOUT).await;
    }
}
