//! Drives connections: HTTP/1.1, so many at once, and none that only sits there.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use headworks_bootstrap::{Tasks, tls::HANDSHAKE};
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

/// The certificate that the client has shown, if any: an extension of each request. Only a listener
/// that asks for one gets any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerCertificate(pub(crate) Option<Fingerprint>);

/// Serves `router` on `listener` until `tasks` stops, over TLS if there is a configuration for it;
/// requests that are under way then are answered.
pub(crate) fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    tasks: &Tasks,
) {
    let stop = tasks.token();
    let tls = tls.map(TlsAcceptor::from);
    headworks_bootstrap::accept(listener, MAX_CONNECTIONS, tasks, move |socket, place| {
        welcome(socket, place, tls.clone(), router.clone(), stop.clone())
    });
}

/// Does the handshake, if there is one to do.
async fn welcome(
    socket: TcpStream,
    _place: OwnedSemaphorePermit,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) {
    let peer = socket.peer_addr().ok();
    let Some(tls) = tls else {
        return drive(socket, peer, PeerCertificate(None), router, stop).await;
    };
    match timeout(HANDSHAKE, tls.accept(socket)).await {
        Ok(Ok(socket)) => {
            let shown = socket.get_ref().1.peer_certificates();
            let shown = shown.and_then(<[_]>::first).map(|own| fingerprint(own));
            Box::pin(drive(socket, peer, PeerCertificate(shown), router, stop)).await;
        }
        Ok(Err(error)) => tracing::debug!(?peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(?peer, "TLS handshake took too long"),
    }
}

async fn drive(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Option<SocketAddr>,
    shown: PeerCertificate,
    router: Router,
    stop: CancellationToken,
) {
    let service = ServiceBuilder::new()
        .map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(shown);
            request
        })
        .service(router);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn connect(tasks: &Tasks) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let router = Router::new().fallback(async || "ok");
        serve(listener, router, None, tasks);
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
