//! Drives connections: HTTP/1.1, so many at once, and none that only sits there.

use std::{pin::pin, time::Duration};

use axum::{Router, extract::Request};
use headworks_bootstrap::{Tasks, Visitors, visitors::Visit};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

/// Connections at once; more wait in the kernel's queue. Each edge has two or three.
const MAX_CONNECTIONS: usize = 20_000;

/// For a request's head, and between requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A request's head is no longer, bytes; hyper answers 431.
const MAX_HEAD: usize = 64 << 10;

/// Serves `router` on `listener` until `tasks` stops; requests that are under way then are
/// answered.
pub(crate) fn serve(listener: TcpListener, router: Router, visitors: Visitors, tasks: &Tasks) {
    let stop = tasks.token();
    headworks_bootstrap::accept(
        "controller",
        listener,
        MAX_CONNECTIONS,
        tasks,
        move |socket, place| {
            let visit = socket.peer_addr().ok();
            let visit = visit.and_then(|peer| visitors.enter(peer.ip()));
            drive(socket, (place, visit), router.clone(), stop.clone())
        },
    );
}

async fn drive(
    socket: TcpStream,
    (_place, visit): (OwnedSemaphorePermit, Option<Visit>),
    router: Router,
    stop: CancellationToken,
) {
    // Who has too many is not answered.
    let Some(_visit) = visit else {
        return;
    };
    let peer = socket.peer_addr().ok();
    let service = ServiceBuilder::new()
        .map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn connect(tasks: &Tasks) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let router = Router::new().fallback(async || "ok");
        serve(
            listener,
            router,
            Visitors::new(1, headworks_bootstrap::Clock::system()),
            tasks,
        );
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
