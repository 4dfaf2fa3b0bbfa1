//! The engines on real sockets, blocking, one thread each.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use headworks_rtmp::{
    Client, ClientConfig, ClientEvent, Closed, Event, Media, Output, Refusal, Server, ServerConfig,
    Target, Url, wire,
};
use headworks_testkit::{Stopwatch, wait_until};

use crate::pair::epoch;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("no waiting");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

struct Clock(Instant, Stopwatch);

impl Clock {
    fn start() -> Self {
        Self(epoch(), Stopwatch::start())
    }

    fn now(&self) -> Instant {
        self.0 + self.1.elapsed()
    }
}

/// A socket that gives up after a while.
struct Socket {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Socket {
    fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: BytesMut::new(),
        })
    }

    fn accept(listener: &TcpListener) -> anyhow::Result<Self> {
        let accepted = wait_until("a caller", PATIENCE, || listener.accept().ok());
        Self::new(accepted?.0)
    }

    fn connect(url: &Url) -> anyhow::Result<Self> {
        Self::new(TcpStream::connect((&*url.host, url.port))?)
    }

    /// Empty at the end.
    fn read(&mut self) -> anyhow::Result<Bytes> {
        self.buffer.resize(16 << 10, 0);
        match self.stream.read(&mut self.buffer) {
            Ok(length) => Ok(self.buffer.split_to(length).freeze()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(Bytes::new()),
            Err(error) => Err(error).context("read"),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).context("write")
    }

    /// Waits for the peer's end, so that what was written is not lost to a reset.
    fn close(mut self) -> anyhow::Result<()> {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        while !self.read()?.is_empty() {}
        Ok(())
    }
}

/// A server on one connection.
struct Serving {
    server: Server,
    socket: Socket,
    clock: Clock,
}

impl Serving {
    fn accept(listener: &TcpListener) -> anyhow::Result<Self> {
        let socket = Socket::accept(listener)?;
        let clock = Clock::start();
        Ok(Self {
            server: Server::new(clock.now(), ServerConfig::default(), 1),
            socket,
            clock,
        })
    }

    fn event(&mut self) -> anyhow::Result<Event> {
        loop {
            match self.server.poll_output() {
                // A publisher that has closed its end has perhaps sent more than was read.
                Output::Send(bytes) => drop(self.socket.write(&bytes)),
                Output::Event(event) => return Ok(event),
                Output::Close => bail!("closed"),
                Output::Wait(_) => {
                    let input = self.socket.read()?;
                    let now = self.clock.now();
                    if input.is_empty() {
                        self.server.handle_close(now);
                    } else {
                        self.server.handle_input(now, input);
                    }
                }
            }
        }
    }

    /// Writes what there is to be written without waiting for the peer.
    fn flush(&mut self) -> anyhow::Result<()> {
        while let Output::Send(bytes) = self.server.poll_output() {
            self.socket.write(&bytes)?;
        }
        Ok(())
    }
}

/// What a publisher sent, to its end.
pub(crate) struct Recording {
    pub(crate) target: Target,
    pub(crate) codecs: Vec<String>,
    pub(crate) media: Vec<Media>,
    /// Whether it said that it ends.
    pub(crate) stopped: bool,
}

/// Accepts one publisher.
pub(crate) fn record(listener: &TcpListener) -> anyhow::Result<Recording> {
    let mut serving = Serving::accept(listener)?;
    let Event::Connect(connect) = serving.event()? else {
        bail!("no connect first");
    };
    let Event::Publish(publish) = serving.event()? else {
        bail!("no wish to publish");
    };
    serving.server.accept_publish(serving.clock.now());
    let mut recording = Recording {
        target: publish.target,
        codecs: connect.codecs,
        media: Vec::new(),
        stopped: false,
    };
    loop {
        match serving.event()? {
            Event::Media(media) => recording.media.push(media),
            Event::Stopped => recording.stopped = true,
            Event::Closed(Closed::Peer(_)) => return Ok(recording),
            event => bail!("{event:?}"),
        }
    }
}

/// Accepts one player and sends it all of `media`.
pub(crate) fn replay(listener: &TcpListener, media: &[Media]) -> anyhow::Result<Target> {
    let mut serving = Serving::accept(listener)?;
    let target = loop {
        match serving.event()? {
            Event::Play(play) => break play.target,
            Event::Connect(_) => {}
            event => bail!("{event:?}"),
        }
    };
    serving.server.accept_play(serving.clock.now());
    serving.flush()?;
    for media in media {
        let bytes = wire::message(media.kind, media.timestamp, &media.payload);
        if serving.socket.write(&bytes).is_err() {
            // A player that has seen enough.
            return Ok(target);
        }
    }
    serving.server.finish_play(serving.clock.now());
    serving.flush()?;
    serving.socket.close()?;
    Ok(target)
}

/// Turns one caller away, whatever it wants.
pub(crate) fn refuse(listener: &TcpListener, refusal: &Refusal) -> anyhow::Result<()> {
    let mut serving = Serving::accept(listener)?;
    while let Event::Connect(_) = serving.event()? {}
    serving.server.refuse(serving.clock.now(), refusal);
    serving.flush()?;
    serving.socket.close()
}

/// A client on one connection.
pub(crate) struct Calling {
    pub(crate) client: Client,
    socket: Socket,
    clock: Clock,
}

impl Calling {
    pub(crate) fn connect(
        url: &str,
        client: impl FnOnce(Instant, Url, ClientConfig, u64) -> Client,
    ) -> anyhow::Result<Self> {
        let url = Url::parse(url)?;
        let socket = Socket::connect(&url)?;
        let clock = Clock::start();
        Ok(Self {
            client: client(clock.now(), url, ClientConfig::default(), 1),
            socket,
            clock,
        })
    }

    pub(crate) fn event(&mut self) -> anyhow::Result<ClientEvent> {
        loop {
            match self.client.poll_output() {
                Output::Send(bytes) => self.socket.write(&bytes)?,
                Output::Event(event) => return Ok(event),
                Output::Close => bail!("closed"),
                Output::Wait(_) => {
                    let input = self.socket.read()?;
                    let now = self.clock.now();
                    if input.is_empty() {
                        self.client.handle_close(now);
                    } else {
                        self.client.handle_input(now, input);
                    }
                }
            }
        }
    }

    pub(crate) fn publish(&mut self, media: &Media) -> anyhow::Result<()> {
        let bytes = self
            .client
            .media(media.kind, media.timestamp, &[&media.payload])
            .context("not running")?;
        self.socket.write(&bytes)
    }

    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.client.finish(self.clock.now());
        while let Output::Send(bytes) = self.client.poll_output() {
            self.socket.write(&bytes)?;
        }
        self.socket.close()
    }
}
