//! The RTSP connection: a socket, perhaps in TLS, and the engine that speaks.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::BytesMut;
use headworks_bootstrap::Clock;
use headworks_rtsp::{
    Client, Output,
    auth::{Denied, Login},
    client::{self, Event, Via},
    message::Limits,
};
use headworks_types::Transport;
use rand::RngExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use url::Url;

use super::Session;
use crate::ingest::{failure::Failure, source::dial};

/// Read at once; the key frames of large pictures have more.
const READ: usize = 64 << 10;

/// A camera that takes a request or a report no sooner is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

const RTSP_PORT: u16 = 554;
const RTSPS_PORT: u16 = 322;

/// A connection with a camera. Dropping it says goodbye.
pub(super) struct Connection {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    local: SocketAddr,
    peer: SocketAddr,
    client: Client,
    buffer: BytesMut,
    clock: Clock,
    deadline: Option<Instant>,
}

impl Connection {
    pub(super) async fn open(session: &Session<'_>, url: &Url) -> Result<Self, Failure> {
        let (is_secure, usual_port) = match url.scheme() {
            "rtsps" => (true, RTSPS_PORT),
            _ => (false, RTSP_PORT),
        };
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port().unwrap_or(usual_port);
        let tcp = dial::tcp(session.gate, host, port).await?;
        let failure = |error: io::Error| Failure::of(&error);
        let (local, peer) = (
            tcp.local_addr().map_err(failure)?,
            tcp.peer_addr().map_err(failure)?,
        );
        let stream = if is_secure {
            Either::Right(Box::new(dial::tls(tcp, host, session.tls_verify).await?))
        } else {
            Either::Left(tcp)
        };
        let is_there = url.host() == session.url.host();
        let login = session.credentials.filter(|_| is_there);
        let config = client::Config {
            url: url.clone(),
            // A login goes to no other host than the one that it was given for.
            login: login.map(|known| Login {
                username: known.username.clone(),
                password: known.password.expose().to_owned(),
            }),
            user_agent: concat!("Headworks/", env!("CARGO_PKG_VERSION")).to_owned(),
            patience: session.config.connect_timeout,
            limits: Limits::default(),
            seed: rand::rng().random(),
        };
        let clock = session.clock.clone();
        Ok(Self {
            stream,
            local,
            peer,
            client: Client::play(config, clock.monotonic().into_std()),
            buffer: BytesMut::new(),
            clock,
            deadline: None,
        })
    }

    /// Our own address, as the camera sees it if there is no NAT between.
    pub(super) fn local(&self) -> IpAddr {
        self.local.ip()
    }

    /// The camera's address.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer.ip()
    }

    /// What is secret in this connection does not go beside it in the clear.
    pub(super) fn may_use(&self, transport: Transport) -> bool {
        transport == Transport::Tcp || matches!(self.stream, Either::Left(_))
    }

    pub(super) fn setup(&mut self, plan: &[(usize, Via)]) -> Result<(), Failure> {
        Ok(self.client.setup(self.now(), plan)?)
    }

    /// The next event, however long it takes.
    pub(super) async fn event(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.poll().await? {
                return Ok(event);
            }
            self.read().await?;
        }
    }

    /// Writes what the engine wants, up to the next event.
    pub(super) async fn poll(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            match self.client.poll_output() {
                Output::Send(bytes) => self.write(&bytes).await?,
                Output::Event(event) => return Ok(Some(event)),
                Output::Wait(deadline) => {
                    self.deadline = deadline.map(Instant::from_std);
                    return Ok(None);
                }
            }
        }
    }

    /// Waits for bytes of the camera, or for the engine's deadline. True if there may be many
    /// more. Losing the future loses nothing.
    pub(super) async fn read(&mut self) -> Result<bool, Failure> {
        self.buffer.clear();
        self.buffer.reserve(READ);
        let deadline = self.deadline;
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let read = tokio::select! {
            read = self.stream.read_buf(&mut self.buffer) => Some(read),
            () = due => None,
        };
        let now = self.now();
        match read {
            None => self.client.handle_timeout(now)?,
            Some(Ok(0)) => self.client.handle_close(now)?,
            Some(Ok(_)) => self.client.handle_input(now, &self.buffer)?,
            Some(Err(error)) => return Err(Failure::of(&error)),
        }
        Ok(self.buffer.len() >= READ / 2)
    }

    /// Writes between two messages.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_WITHIN, write).await {
            Ok(written) => written.map_err(|error| Failure::of(&error)),
            Err(_) => Err(Failure::Timeout(WRITE_WITHIN)),
        }
    }

    fn now(&self) -> std::time::Instant {
        self.clock.monotonic().into_std()
    }
}

/// Many cameras keep a session whose connection has gone, and have few: they are told, as far as
/// that needs no waiting.
impl Drop for Connection {
    fn drop(&mut self) {
        self.client.teardown(self.clock.monotonic().into_std());
        if let Either::Left(tcp) = &self.stream {
            while let Output::Send(bytes) = self.client.poll_output() {
                let _ = tcp.try_write(&bytes);
            }
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        tracing::debug!(%error, "RTSP session failed");
        match error {
            client::Error::Denied(Denied::PasswordWanted) => Self::NoCredentials,
            client::Error::Denied(Denied::WrongPassword) => Self::WrongCredentials,
            client::Error::NotFound { .. } => Self::NoSuchPath,
            client::Error::Refused { status: 403, .. } => Self::Forbidden,
            client::Error::Refused { status, reason, .. } => Self::Status(status, reason),
            client::Error::NoAnswer { patience, .. } => Self::Timeout(patience),
            client::Error::Closed { .. } => Self::Closed,
            client::Error::BadCall => Self::Internal,
            other => Self::Protocol(other.to_string()),
        }
    }
}
