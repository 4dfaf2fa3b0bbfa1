//! Drives connections. What is no HTTP, or has too long a head, is answered by hyper with a bare
//! status (400, 414, 431); everything behind that has a problem as its body.

use std::{
    future::{poll_fn, ready},
    net::IpAddr,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures::future::Either;
use headworks_bootstrap::Tasks;
use headworks_types::ProblemCode;
use hyper::{Request, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::{
    problem::Refusal,
    takeover::{Socket, Takeover},
};
use crate::{socket::Incoming, tls::Acceptor, visitors::Visitors};

/// Connections at once, viewers included; more wait in the kernel's queue.
pub(crate) const MAX_CONNECTIONS: usize = 20_000;

/// For a request's head, and between requests of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// When the edge stops, requests that are under way get this long.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// Who asks, whatever proxies are between: an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// What is served, and to whom.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) router: Router,
    /// Who is counted, and who comes for others.
    pub(crate) visitors: Visitors,
}

impl Server {
    /// Serves on `listener` until `tasks` stops; over TLS, if there is an acceptor.
    pub(crate) fn serve(self, listener: TcpListener, tls: Option<Acceptor>, tasks: &Tasks) {
        let name = if tls.is_some() { "https" } else { "http" };
        let stop = tasks.token();
        let each = move |socket, place| {
            let (server, tls, stop) = (self.clone(), tls.clone(), stop.clone());
            async move {
                let welcome = Incoming::welcome(socket, place, &server.visitors, tls.as_ref());
                if let Some(incoming) = welcome.await {
                    drive(incoming, server, stop).await;
                }
            }
        };
        headworks_bootstrap::accept(name, listener, MAX_CONNECTIONS, tasks, each);
    }

    #[cfg(test)]
    pub(crate) fn testing(router: Router, visitors: Visitors) -> Self {
        Self { router, visitors }
    }

    /// Whom the request comes from, if this is who is connected.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        ClientAddress(client_address(&self.visitors, peer, headers))
    }
}

/// Whom a request with these headers comes from, if this is who is connected.
pub(crate) fn client_address(visitors: &Visitors, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let forwarded = headers.get_all("x-forwarded-for").iter();
    visitors.client(peer, forwarded.map(HeaderValue::as_bytes))
}

/// Serves one connection until it ends or a handler takes its socket.
async fn drive(incoming: Incoming, server: Server, stop: CancellationToken) {
    let Incoming {
        socket,
        address,
        place,
    } = incoming;
    let takeover = Takeover::default();
    let offered = takeover.clone();
    let behind = server.visitors.behind(address.ip());
    let place = place.with(behind.clone());
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        let client = server.client(address.ip(), request.headers());
        let span = tracing::debug_span!("request", client.address = %client.0);
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(offered.clone());
        let welcome = behind.as_ref().is_none_or(|behind| behind.is_of(client.0));
        let answer = if welcome {
            Either::Left(server.router.clone().oneshot(request.map(Body::new)))
        } else {
            Either::Right(ready(Ok(too_many())))
        };
        answer.instrument(span)
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

/// The answer to a client that has all its connections already; this one ends with it.
fn too_many() -> Response {
    let refusal = Refusal::new(ProblemCode::TooManyRequests);
    let mut answer = refusal.into_response();
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use headworks_bootstrap::{Clock, TrustedProxies};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A server that says who asks, with one connection for each address.
    async fn serve(proxies: &str, tasks: &Tasks) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let proxies: TrustedProxies = serde_json::from_value(proxies.into()).expect("parses");
        let who = async |Extension(client): Extension<ClientAddress>| client.0.to_string();
        let server = Server {
            router: Router::new().fallback(who),
            visitors: Visitors::new(1, proxies, Clock::system()),
        };
        server.serve(listener, None, tasks);
        address
    }

    /// What the server says before it closes; the connection stays while this is kept.
    async fn ask(address: std::net::SocketAddr) -> (String, TcpStream) {
        let mut client = TcpStream::connect(address).await.expect("connects");
        let answer = ask_again(&mut client, b"203.0.113.9").await;
        (answer, client)
    }

    /// The same on a connection that there is, for whom a proxy has written down.
    async fn ask_again(client: &mut TcpStream, forwarded: &[u8]) -> String {
        let head: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: ";
        // Refused connections may be reset while this is written.
        let _ = client
            .write_all(&[head, forwarded, b"\r\n\r\n"].concat())
            .await;
        let mut answer = vec![0; 4096];
        let read = timeout(LIMIT, client.read(&mut answer)).await;
        answer.truncate(read.expect("is answered or closed").unwrap_or_default());
        String::from_utf8(answer).expect("is text")
    }

    #[tokio::test]
    async fn nobody_takes_all_places_alone() {
        let tasks = Tasks::new();
        let address = serve("", &tasks).await;
        let (first, _stays) = ask(address).await;
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        assert!(first.ends_with("127.0.0.1"), "nobody may say who it is");
        let (second, _) = ask(address).await;
        assert_eq!(second, "");
        tasks.shutdown(LIMIT).await;
    }

    #[tokio::test]
    async fn a_trusted_proxy_has_any_number_of_connections_and_its_clients_have_not() {
        let tasks = Tasks::new();
        let address = serve("127.0.0.0/8", &tasks).await;
        let (first, mut stays) = ask(address).await;
        assert!(first.ends_with("203.0.113.9"), "{first}");
        let (second, mut closed) = ask(address).await;
        assert!(second.starts_with("HTTP/1.1 429"), "{second}");
        assert_eq!(ask_again(&mut closed, b"203.0.113.9").await, "");
        // The proxy's connection is another client's now, whatever that one writes before.
        let other = ask_again(&mut stays, b"\xff, 203.0.113.10").await;
        assert!(other.ends_with("203.0.113.10"), "{other}");
        let (third, _too) = ask(address).await;
        assert!(third.ends_with("203.0.113.9"), "{third}");
        tasks.shutdown(LIMIT).await;
    }
}
