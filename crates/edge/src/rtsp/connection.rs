//! One client: its socket and its engine.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use bytes::{Bytes, BytesMut};
use headworks_bootstrap::Clock;
use headworks_rtsp::{
    Output, Server,
    auth::Realm,
    message::Limits,
    server::{self, Event},
};
use rand::RngExt as _;
use tokio::{
    net::{TcpStream, UnixStream},
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::either::Either;

use crate::{
    hub::{Leave, Sink, ViewerHandle},
    socket::{Incoming, Socket},
    visitors::Place,
};

/// Read at once; the key frames of large pictures have more.
const READ: usize = 64 << 10;

/// A client that takes an answer no sooner is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// How long a viewer may take to get what is left of a frame.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// How long a session lives without a sign of life.
const SESSION: Duration = Duration::from_secs(60);

/// How long a connection lives without a session and without a request.
const IDLE: Duration = Duration::from_secs(30);

/// How long a connection may take to set a session up, or to leave after one. Cameras are waited
/// for meanwhile.
const SETUP: Duration = Duration::from_secs(60);

/// How many wrong passwords end the connection.
const LOGINS: u32 = 3;

/// A client's connection.
pub(super) struct Connection {
    socket: Duplex,
    address: SocketAddr,
    server: Server,
    buffer: BytesMut,
    deadline: Option<Instant>,
    clock: Clock,
    /// Why it is over, once everything is written.
    over: Option<String>,
    viewer: Option<Viewer>,
    _place: Place,
}

/// The hub's viewer of this client.
struct Viewer {
    handle: ViewerHandle,
    /// It writes to the connection's own socket, so nobody else may.
    has_socket: bool,
}

/// A socket that one task reads and another may write.
enum Duplex {
    Tcp(Arc<TcpStream>),
    Unix(Arc<UnixStream>),
}

impl Connection {
    pub(super) fn new(incoming: Incoming, realm: &Realm, clock: Clock) -> Self {
        let config = server::Config {
            realm: realm.clone(),
            name: concat!("Headworks/", env!("CARGO_PKG_VERSION")).to_owned(),
            session_timeout: SESSION,
            idle_timeout: IDLE,
            setup_timeout: SETUP,
            login_attempts: LOGINS,
            limits: Limits::default(),
            seed: rand::rng().random(),
        };
        Self {
            socket: Duplex::new(incoming.socket),
            address: incoming.address,
            server: Server::new(config, clock.monotonic().into_std()),
            buffer: BytesMut::new(),
            deadline: None,
            clock,
            over: None,
            viewer: None,
            _place: incoming.place,
        }
    }

    /// From where the client comes.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// True if what is said here is said in TLS.
    pub(super) fn is_secure(&self) -> bool {
        matches!(self.socket, Duplex::Unix(_))
    }

    /// Where a viewer of this connection is written to.
    pub(super) fn sink(&self) -> Sink {
        match &self.socket {
            Duplex::Tcp(tcp) => Sink::Tcp(Arc::clone(tcp)),
            Duplex::Unix(unix) => Sink::Unix(Arc::clone(unix)),
        }
    }

    /// True while a session is set up.
    pub(super) fn has_session(&self) -> bool {
        self.server.session_id().is_some()
    }

    /// Lets the engine answer. What it makes of it is written by [`Self::poll`].
    pub(super) fn act(
        &mut self,
        action: impl FnOnce(&mut Server, StdInstant) -> Result<(), server::Error>,
    ) {
        let now = self.clock.monotonic().into_std();
        if let Err(error) = action(&mut self.server, now) {
            self.over.get_or_insert(error.to_string());
        }
    }

    /// Writes what the engine wants, up to the next event. `None`: nothing more for the moment, and
    /// [`Self::wait`] comes next. Fails when the connection is over, and says why.
    pub(super) async fn poll(&mut self) -> Result<Option<Event>, String> {
        loop {
            match self.server.poll_output() {
                Output::Send(bytes) => self.write(bytes).await,
                Output::Event(event) => return Ok(Some(event)),
                Output::Wait(deadline) => {
                    self.deadline = deadline.map(Instant::from_std);
                    return self.over.take().map_or(Ok(None), Err);
                }
            }
        }
    }

    /// Writes the answer that the engine has just made, and not yet what may be behind it.
    pub(super) async fn write_answer(&mut self) {
        if let Output::Send(bytes) = self.server.poll_output() {
            self.write(bytes).await;
        }
    }

    /// Waits for bytes of the client, or for the engine's deadline, and takes them.
    pub(super) async fn wait(&mut self) {
        self.ready().await;
        self.take_in().await;
    }

    /// Waits until [`Self::take_in`] has something to do.
    pub(super) async fn ready(&self) {
        let due = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.socket.readable() => {}
            () = due => {}
        }
    }

    /// Takes what has come, at most so much at once; gives how many bytes that is.
    pub(super) async fn take_in(&mut self) -> usize {
        self.buffer.clear();
        self.buffer.reserve(READ);
        let read = self.socket.try_read(&mut self.buffer);
        let now = self.clock.monotonic().into_std();
        match read {
            Ok(0) => self.over = Some("it closed the connection".to_owned()),
            Ok(count) => {
                if let Err(error) = self.server.handle_input(now, &self.buffer) {
                    tracing::debug!(address = %self.address, %error, "bad RTSP");
                    self.over = Some(error.to_string());
                }
                // Who sends as fast as it can lets others have their turn.
                if count >= READ / 2 {
                    yield_now().await;
                }
                return count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.server.handle_timeout(now);
            }
            Err(error) => self.over = Some(error.to_string()),
        }
        0
    }

    /// The client has shown elsewhere that it is alive.
    pub(super) fn note_activity(&mut self) {
        let now = self.clock.monotonic().into_std();
        self.server.note_activity(now);
    }

    /// From now on `handle` steers the viewer of this client.
    pub(super) fn set_viewer(&mut self, handle: ViewerHandle, has_socket: bool) {
        self.viewer = Some(Viewer { handle, has_socket });
    }

    /// Steers the viewer, if there is one.
    pub(super) fn viewer(&self) -> Option<&ViewerHandle> {
        self.viewer.as_ref().map(|viewer| &viewer.handle)
    }

    /// Waits until the hub has closed the viewer, for ever if there is none.
    pub(super) async fn viewer_left(&self) -> Leave {
        match self.viewer() {
            Some(handle) => handle.left().await,
            None => std::future::pending().await,
        }
    }

    /// The hub has closed the viewer: the socket is ours again, and so are the answers that the
    /// viewer has not taken.
    pub(super) async fn forget_viewer(&mut self) {
        let Some(viewer) = self.viewer.take() else {
            return;
        };
        for answer in viewer.handle.take_back() {
            self.write(answer).await;
        }
    }

    /// Ends the viewer. Its answers are written before.
    pub(super) async fn end_viewer(&mut self) {
        let Some(handle) = self.viewer() else {
            return;
        };
        handle.end();
        if timeout(LEAVE_WITHIN, handle.left()).await.is_ok() {
            self.forget_viewer().await;
        } else {
            self.viewer = None;
            self.over = Some("it takes nothing".to_owned());
        }
    }

    /// Writes between two messages.
    pub(super) async fn write(&mut self, bytes: Bytes) {
        let failed = match &self.viewer {
            Some(viewer) if viewer.has_socket => {
                let sent = viewer.handle.send(bytes);
                sent.err().map(|error| error.to_string())
            }
            _ => match timeout(WRITE_WITHIN, self.socket.write_all(&bytes)).await {
                Ok(written) => written.err().map(|error| error.to_string()),
                Err(_) => Some("it takes nothing".to_owned()),
            },
        };
        if let Some(why) = failed {
            self.over.get_or_insert(why);
        }
    }
}

impl Duplex {
    fn new(socket: Socket) -> Self {
        match socket {
            Either::Left(tcp) => Self::Tcp(Arc::new(tcp)),
            Either::Right(unix) => Self::Unix(Arc::new(unix)),
        }
    }

    /// Also when it has an error for the next read.
    async fn readable(&self) {
        let _ = match self {
            Self::Tcp(tcp) => tcp.readable().await,
            Self::Unix(unix) => unix.readable().await,
        };
    }

    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.try_read_buf(buffer),
            Self::Unix(unix) => unix.try_read_buf(buffer),
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self {
                Self::Tcp(tcp) => {
                    tcp.writable().await?;
                    tcp.try_write(bytes)
                }
                Self::Unix(unix) => {
                    unix.writable().await?;
                    unix.try_write(bytes)
                }
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
