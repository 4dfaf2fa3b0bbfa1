//! RTMP inside HTTP requests, on the ports of RTMP.
//!
//! A session is one end of a socket pair: its requests write to it and read from it. The other end
//! is a client like any other, so that publishing and playing know nothing of HTTP. A session that
//! nobody asks for any more is forgotten, and its client is gone.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream},
    http::{Method, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use headworks_bootstrap::Clock;
use headworks_rtmp::tunnel::{self, Call, Delivery, Session};
use headworks_types::PublishProtocol;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::RngExt as _;
use tokio::{
    io::{AsyncReadExt as _, split},
    net::UnixStream,
    sync::{Semaphore, watch},
    time::{Instant, error::Elapsed, sleep_until, timeout},
};
use tokio_util::either::Either;

use super::Rtmp;
use crate::{http::client_address, socket::Incoming, visitors::Place};

/// Sessions at once: more than one address may have, by far.
const MAX_TUNNELS: usize = 10_000;

/// A client that asks for nothing for this long is gone.
const IDLE: Duration = Duration::from_secs(30);

/// For a request's head, for each piece of its body, and between requests of a connection.
const REQUEST: Duration = Duration::from_secs(30);

/// How long a request for news is kept while there are none; the client then asks at once again.
const NEWS_WITHIN: Duration = Duration::from_millis(200);

/// The most in one answer. What does not fit stays in the socket pair, as in any slow client's.
const ANSWER: usize = 256 << 10;

/// The sessions that are open. Clones share them.
#[derive(Clone)]
pub(super) struct Tunnels {
    open: Arc<Mutex<HashMap<String, Arc<Tunnel>>>>,
    places: Arc<Semaphore>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            open: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_TUNNELS)),
        }
    }
}

impl Tunnels {
    /// Of the sessions that are open.
    #[cfg(test)]
    pub(super) fn ids(&self) -> Vec<String> {
        self.open().keys().cloned().collect()
    }

    fn find(&self, id: &str) -> Option<Arc<Tunnel>> {
        self.open().get(id).cloned()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Tunnel>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session.
struct Tunnel {
    /// Our end of the pair.
    pipe: UnixStream,
    /// Held while a request is served: one after the other.
    session: tokio::sync::Mutex<Session>,
    /// When it was asked for last; `None` once it is over.
    asked: watch::Sender<Option<Instant>>,
    clock: Clock,
}

/// The body of a request. It has to be read to its end, or hyper gives the connection up.
struct Input(BodyDataStream);

impl Input {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let next = timeout(REQUEST, self.0.next()).await.map_err(late)?;
        next.transpose().map_err(io::Error::other)
    }

    async fn discard(&mut self) -> io::Result<()> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

fn late(_: Elapsed) -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Why a request is not served.
enum Trouble {
    /// There is nothing under this path.
    NotFound,
    /// The session cannot go on.
    Broken(String),
    /// There is no room for one more.
    Full,
}

impl From<tunnel::Error> for Trouble {
    fn from(error: tunnel::Error) -> Self {
        match error {
            tunnel::Error::Path => Self::NotFound,
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Answers the requests of one connection, of which `first` has been read.
pub(super) async fn serve(
    rtmp: &Rtmp,
    incoming: Incoming,
    first: Bytes,
    protocol: PublishProtocol,
) {
    let _place = incoming.place;
    let address = incoming.address;
    let protocol = match protocol {
        PublishProtocol::Rtmps => PublishProtocol::Rtmpts,
        _ => PublishProtocol::Rtmpt,
    };
    let service = service_fn(async |request: Request<hyper::body::Incoming>| {
        let client = client_address(&rtmp.visitors, address.ip(), request.headers());
        let caller = Caller {
            rtmp,
            address: (client, address.port()).into(),
            protocol,
        };
        Ok::<_, Infallible>(caller.answer(request.map(Body::new)).await)
    });
    let (read, write) = split(incoming.socket);
    let socket = tokio::io::join(io::Cursor::new(first).chain(read), write);
    let served = http1::Builder::new()
        // librtmp looks for `Content-Length` as it is written here.
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%address, %error, "RTMPT connection ended");
    }
}

/// Who asks.
struct Caller<'a> {
    rtmp: &'a Rtmp,
    address: SocketAddr,
    protocol: PublishProtocol,
}

impl Caller<'_> {
    async fn answer(&self, request: Request<Body>) -> Response {
        if request.method() != Method::POST {
            let words = "this port speaks RTMP, and RTMPT by POST\n";
            return (StatusCode::METHOD_NOT_ALLOWED, words).into_response();
        }
        let (head, body) = request.into_parts();
        match self.serve(head.uri.path(), body.into_data_stream()).await {
            Ok(answer) => ([(header::CONTENT_TYPE, tunnel::CONTENT_TYPE)], answer).into_response(),
            Err(Trouble::NotFound) => StatusCode::NOT_FOUND.into_response(),
            Err(Trouble::Broken(words)) => {
                tracing::debug!(address = %self.address, error = words, "RTMPT session ended");
                (StatusCode::BAD_REQUEST, words).into_response()
            }
            Err(Trouble::Full) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }

    async fn serve(&self, path: &str, body: BodyDataStream) -> Result<Bytes, Trouble> {
        let mut body = Input(body);
        let (call, body) = match tunnel::request(path)? {
            tunnel::Request::Ident => return Err(Trouble::NotFound),
            tunnel::Request::Open => {
                body.discard().await?;
                return self.open();
            }
            tunnel::Request::Send(call) => (call, Some(body)),
            tunnel::Request::Idle(call) => {
                body.discard().await?;
                (call, None)
            }
            tunnel::Request::Close(call) => {
                body.discard().await?;
                let tunnel = self.rtmp.tunnels.find(call.session);
                tunnel.ok_or(Trouble::NotFound)?.close();
                return Ok(Bytes::from_static(&[0]));
            }
        };
        let tunnel = self.rtmp.tunnels.find(call.session);
        let tunnel = tunnel.ok_or(Trouble::NotFound)?;
        let answer = tunnel.take(call, body).await;
        if answer.is_err() {
            tunnel.close();
        }
        answer
    }

    /// A new session, whose client is one like any other.
    fn open(&self) -> Result<Bytes, Trouble> {
        let rtmp = self.rtmp.clone();
        let place = Arc::clone(&rtmp.tunnels.places).try_acquire_owned();
        let visit = rtmp.visitors.enter(self.address.ip());
        let (Ok(place), Some(visit)) = (place, visit) else {
            return Err(Trouble::Full);
        };
        let (pipe, socket) = UnixStream::pair()?;
        let tunnel = Arc::new(Tunnel {
            pipe,
            session: tokio::sync::Mutex::new(Session::new(ANSWER)),
            asked: watch::Sender::new(Some(rtmp.clock.monotonic())),
            clock: rtmp.clock.clone(),
        });
        let id = format!("{:032x}", rand::rng().random::<u128>());
        rtmp.tunnels.open().insert(id.clone(), Arc::clone(&tunnel));
        let answer = Bytes::from(format!("{id}\n"));
        let incoming = Incoming {
            socket: Either::Right(socket),
            address: self.address,
            place: Place::of_another(),
        };
        let protocol = self.protocol;
        self.rtmp.tasks.spawn("RTMPT session", async move {
            // Its place is free when nothing of it is left.
            let place = Place::new(place, visit);
            let forget = async {
                rtmp.until_stop(tunnel.abandoned()).await;
                rtmp.tunnels.open().remove(&id);
                drop((tunnel, place));
            };
            // A player's socket goes to the hub, and its session stays.
            tokio::join!(rtmp.speak(incoming, BytesMut::new(), protocol), forget);
        });
        Ok(answer)
    }
}

impl Tunnel {
    /// Serves one request of the session.
    async fn take(&self, call: Call<'_>, body: Option<Input>) -> Result<Bytes, Trouble> {
        let mut session = self.session.lock().await;
        self.touch();
        if let Delivery::Repeated(answer) = session.request(call.sequence)? {
            if let Some(mut body) = body {
                body.discard().await?;
            }
            return Ok(answer);
        }
        match body {
            Some(body) => self.pass_on(body).await?,
            None => self.wait_for_news().await,
        }
        let is_open = self.collect(&mut session)?;
        self.touch();
        if !is_open && !session.has_bytes() {
            return Err(Trouble::NotFound);
        }
        Ok(session.answer())
    }

    /// Gives the body to our end as it comes.
    async fn pass_on(&self, mut body: Input) -> io::Result<()> {
        while let Some(mut piece) = body.next().await? {
            while !piece.is_empty() {
                let writable = timeout(REQUEST, self.pipe.writable());
                writable.await.map_err(late)??;
                match self.pipe.try_write(&piece) {
                    Ok(count) => drop(piece.split_to(count)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // It has ended; why is still to be read.
                    Err(_) => return body.discard().await,
                }
            }
        }
        Ok(())
    }

    async fn wait_for_news(&self) {
        let _ = timeout(NEWS_WITHIN, self.pipe.readable()).await;
    }

    /// Collects what there is for the client. False if nothing will follow.
    fn collect(&self, session: &mut Session) -> Result<bool, Trouble> {
        let mut buffer = BytesMut::zeroed(16 << 10);
        let mut room = ANSWER;
        while room > 0 {
            let most = room.min(buffer.len());
            match self.pipe.try_read(&mut buffer[..most]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    session.push(&buffer[..count])?;
                    room -= count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn touch(&self) {
        let now = self.clock.monotonic();
        self.asked.send_if_modified(|asked| {
            if let Some(asked) = asked {
                *asked = now;
            }
            false
        });
    }

    fn close(&self) {
        self.asked.send_replace(None);
    }

    /// Until nobody has asked for it for some time, or it is over.
    async fn abandoned(&self) {
        let mut asked = self.asked.subscribe();
        loop {
            let Some(last) = *asked.borrow_and_update() else {
                return;
            };
            tokio::select! {
                () = sleep_until(last + IDLE) => {
                    if *asked.borrow() == Some(last) {
                        return;
                    }
                }
                // The sender is ours.
                _ = asked.changed() => {}
            }
        }
    }
}
