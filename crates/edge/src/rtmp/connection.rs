//! One client: its socket and its engine.

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use headworks_bootstrap::Clock;
use headworks_rtmp::{Closed, Event, Output, Refusal, Server, ServerConfig};
use headworks_types::PublishProtocol;
use rand::RngExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    socket::{Incoming, Socket, make_room},
    visitors::Place,
};

/// A client that takes an answer no sooner is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// A publisher that is silent for [`PING_AFTER`] is asked whether it lives, and given up after
/// [`SILENT`]: an encoder whose network has changed comes back by another connection, and finds
/// its place taken until then.
const PING_AFTER: Duration = Duration::from_secs(3);
const SILENT: Duration = Duration::from_secs(8);

/// How long somebody who was turned away may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// A client's connection.
pub(super) struct Connection {
    socket: Socket,
    address: SocketAddr,
    protocol: PublishProtocol,
    place: Place,
    server: Server,
    buffer: BytesMut,
    clock: Clock,
    /// A write has failed; there may still be something to read.
    is_deaf: bool,
}

/// What a client's connection has to say.
pub(super) enum Heard {
    /// Something has happened.
    Event(Event),
    /// Nothing more for the moment; [`Connection::wait`] comes next.
    Nothing(Option<Instant>),
}

impl Connection {
    /// A client of whom `first` has been read.
    pub(super) fn new(
        incoming: Incoming,
        first: BytesMut,
        protocol: PublishProtocol,
        clock: Clock,
    ) -> Self {
        let now = clock.monotonic().into_std();
        let seed = rand::rng().random();
        let config = ServerConfig {
            ping_after: PING_AFTER,
            silent_within: SILENT,
            ..ServerConfig::default()
        };
        let mut server = Server::new(now, config, seed);
        server.handle_input(now, first.freeze());
        Self {
            socket: incoming.socket,
            address: incoming.address,
            protocol,
            place: incoming.place,
            server,
            buffer: BytesMut::new(),
            clock,
            is_deaf: false,
        }
    }

    /// From where the client comes.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// By what the client comes.
    pub(super) fn protocol(&self) -> PublishProtocol {
        self.protocol
    }

    /// The next event, however long it takes. The last one is [`Event::Closed`].
    pub(super) async fn event(&mut self) -> Event {
        loop {
            match self.poll().await {
                Heard::Event(event) => return event,
                Heard::Nothing(deadline) => {
                    self.wait(deadline).await;
                }
            }
        }
    }

    /// Does what the engine wants, up to the next event.
    pub(super) async fn poll(&mut self) -> Heard {
        loop {
            match self.server.poll_output() {
                Output::Send(bytes) => self.write(&bytes).await,
                Output::Event(event) => return Heard::Event(event),
                Output::Wait(deadline) => return Heard::Nothing(deadline.map(Instant::from_std)),
                // Comes only behind the last event, and whoever gets that one stops.
                Output::Close => return Heard::Event(Event::Closed(Closed::Local)),
            }
        }
    }

    /// Waits for bytes of the client, or for the engine's deadline; gives how many bytes have come.
    /// Losing the future loses nothing.
    pub(super) async fn wait(&mut self, deadline: Option<Instant>) -> usize {
        make_room(&mut self.buffer);
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let read = tokio::select! {
            read = self.socket.read_buf(&mut self.buffer) => Some(read),
            () = due => None,
        };
        let now = self.now();
        match read {
            None => self.server.handle_timeout(now),
            Some(Ok(0) | Err(_)) => self.server.handle_close(now),
            Some(Ok(count)) => {
                let input = self.buffer.split().freeze();
                self.server.handle_input(now, input);
                return count;
            }
        }
        0
    }

    /// The publisher may publish.
    pub(super) fn accept_publish(&mut self) {
        self.server.accept_publish(self.now());
    }

    /// The player may play. Gives the socket and its place in the listener, once all answers are
    /// written; `None` if the player has gone.
    pub(super) async fn accept_play(mut self) -> Option<(Socket, Place)> {
        self.server.accept_play(self.now());
        let is_here = matches!(self.poll().await, Heard::Nothing(_)) && !self.is_deaf;
        is_here.then_some((self.socket, self.place))
    }

    /// Turns the client away, or throws it out.
    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        self.server.refuse(self.now(), refusal);
    }

    fn now(&self) -> std::time::Instant {
        self.clock.monotonic().into_std()
    }

    async fn write(&mut self, bytes: &Bytes) {
        if self.is_deaf {
            return;
        }
        let written = timeout(WRITE_WITHIN, self.socket.write_all(bytes)).await;
        self.is_deaf = !matches!(written, Ok(Ok(())));
    }

    /// The connection is over. A client that still sends is listened to for a moment: closing a
    /// socket with unread input resets the connection, and what it was told last is lost with it.
    pub(super) async fn close(mut self, why: &Closed) {
        if let Closed::Failed(error) = why {
            tracing::debug!(address = %self.address, %error, "RTMP connection ended");
        }
        if *why == Closed::Local && !self.is_deaf {
            let rest = async {
                self.socket.shutdown().await?;
                make_room(&mut self.buffer);
                while self.socket.read_buf(&mut self.buffer).await? > 0 {
                    self.buffer.clear();
                }
                std::io::Result::Ok(())
            };
            let _ = timeout(LINGER, rest).await;
        }
    }
}
