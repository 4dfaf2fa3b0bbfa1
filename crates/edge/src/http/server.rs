//! Drives connections. What is no HTTP, or has too long a head, is answered by hyper with a bare
//! status (400, 414, 431); everything behind that has a problem as its body.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use axum::{Router, body::Body};
use headworks_bootstrap::Tasks;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::takeover::{Socket, Takeover};
use crate::visitors::{Place, Visitors};

/// Connections at once, viewers included; more wait in the kernel's queue.
pub(crate) const MAX_CONNECTIONS: usize = 20_000;

/// For a request's head, and between requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// When the edge stops, requests that are under way get this long.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// Serves `router` on `listener` until `tasks` stops.
pub(crate) fn serve(listener: TcpListener, router: Router, visitors: Visitors, tasks: &Tasks) {
    let stop = tasks.token();
    headworks_bootstrap::accept(
        "http",
        listener,
        MAX_CONNECTIONS,
        tasks,
        move |socket, place| {
            let (router, visitors, stop) = (router.clone(), visitors.clone(), stop.clone());
            async move {
                let Ok(address) = socket.peer_addr() else {
                    return;
                };
                if let Some(visit) = visitors.enter(address.ip()) {
                    drive(socket, Place::new(place, visit), router, stop).await;
                }
            }
        },
    );
}

/// Serves one connection until it ends or a handler takes its socket.
async fn drive(socket: TcpStream, place: Place, router: Router, stop: CancellationToken) {
    let takeover = Takeover::default();
    let offered = takeover.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(offered.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(Socket::new(socket, takeover.clone()), service);
    // Ends with what is to be done with the socket, if it is still of use.
    let mut served =
        poll_fn(
            |context| match Pin::new(&mut connection).poll_without_shutdown(context) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => takeover
                    .take()
                    .map_or(Poll::Pending, |next| Poll::Ready(Some(next))),
            },
        );
    let next = tokio::select! {
        next = &mut served => next,
        () = stop.cancelled() => {
            drop(served);
            Pin::new(&mut connection).graceful_shutdown();
            let _ = timeout(LAST_REQUESTS, connection).await;
            return;
        }
    };
    if let Some(next) = next {
        next(connection.into_parts().io.into_inner(), place).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn nobody_takes_all_places_alone() {
        let tasks = Tasks::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().fallback(async || "ok");
        serve(
            listener,
            router,
            Visitors::new(1, headworks_bootstrap::Clock::system()),
            &tasks,
        );
        let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        let mut first = TcpStream::connect(address).await.expect("connects");
        first.write_all(request).await.expect("writes");
        let mut answer = [0; 12];
        first.read_exact(&mut answer).await.expect("is answered");
        assert_eq!(&answer, b"HTTP/1.1 200");
        let mut second = TcpStream::connect(address).await.expect("connects");
        let mut nothing = Vec::new();
        // Closed or reset, as the kernel likes.
        let _ = timeout(LIMIT, second.read_to_end(&mut nothing))
            .await
            .expect("is closed");
        assert!(nothing.is_empty());
        tasks.shutdown(LIMIT).await;
    }
}
