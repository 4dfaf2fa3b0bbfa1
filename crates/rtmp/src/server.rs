//! The end that is called.

mod answer;
mod command;
mod connect;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    Closed, Error, Handshake, Limits, Media, Output, Refusal, Target,
    link::{Link, Step},
};
pub use connect::Connect;

/// What a server does as it likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Bounds on what the peer may send.
    pub limits: Limits,
    /// How long the peer may take until it has asked to publish or to play.
    pub setup_within: Duration,
    /// After how much silence a publisher is pinged.
    pub ping_after: Duration,
    /// After how much silence a publisher is given up.
    pub silent_within: Duration,
    /// Ask the embedder about `connect` as well, before a stream is named.
    pub ask_connect: bool,
    /// Codecs beyond those of FLV that publishers may send, as Enhanced RTMP's FourCCs.
    pub codecs: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            setup_within: Duration::from_secs(10),
            ping_after: Duration::from_secs(10),
            silent_within: Duration::from_secs(30),
            ask_connect: false,
            codecs: ["avc1", "hvc1", "av01", "mp4a", "Opus"]
                .map(str::to_owned)
                .into(),
        }
    }
}

/// What has happened on a connection to a server.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The peer has named the application. Already answered, unless
    /// [`ServerConfig::ask_connect`] is set: then [`Server::accept_connect`] or
    /// [`Server::refuse`] is waited for.
    Connect(Connect),
    /// The peer wants to publish; [`Server::accept_publish`] or [`Server::refuse`] is waited for.
    Publish(Publish),
    /// The peer wants to play; [`Server::accept_play`] or [`Server::refuse`] is waited for.
    Play(Play),
    /// The publisher has sent something.
    Media(Media),
    /// The peer has ended its stream and may begin another one.
    Stopped,
    /// The connection is over; a stream that was running is as well.
    Closed(Closed),
}

/// A wish to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The message stream.
    pub stream: u32,
    /// What it publishes.
    pub target: Target,
    /// `live`, `record`, `append`, or what else it sent.
    pub kind: String,
}

/// A wish to play. From where and for how long (RTMP 1.0 §7.2.2.1) is left out: all is live here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    /// The message stream.
    pub stream: u32,
    /// What it plays.
    pub target: Target,
}

/// One connection to a server, from its first byte on. The crate's documentation has the contract.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    link: Link,
    state: State,
    connect: Option<Connect>,
    events: VecDeque<Event>,
    now: Instant,
    /// When the peer must have named a stream.
    setup_by: Instant,
    heard: Instant,
    pinged: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// No stream yet, or none any more.
    Idle,
    /// The embedder decides.
    Asking(Asked),
    Publishing,
    Playing,
    Closed,
}

#[derive(Debug, Clone, PartialEq)]
enum Asked {
    /// With the transaction to answer.
    Connect(f64),
    Publish {
        name: String,
    },
    Play,
}

impl Server {
    /// Begins at the connection's first byte. `seed` fills the handshake, nothing secret.
    #[must_use]
    pub fn new(now: Instant, config: ServerConfig, seed: u64) -> Self {
        Self {
            link: Link::new(now, config.limits.for_strangers(), Handshake::server(seed)),
            state: State::Idle,
            connect: None,
            events: VecDeque::new(),
            now,
            setup_by: now + config.setup_within,
            heard: now,
            pinged: false,
            config,
        }
    }

    /// Takes bytes from the peer. Messages that lie in one piece in `input` share its memory.
    pub fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.now = now;
        if self.state == State::Closed || input.is_empty() {
            return;
        }
        (self.heard, self.pinged) = (now, false);
        if let Err(error) = self.link.receive(input) {
            self.close(Closed::Failed(error));
        }
    }

    /// Is to be called when the time of [`Output::Wait`] has come; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let (what, limit) = match self.state {
            State::Publishing if !self.pinged && now < self.heard + self.config.silent_within => {
                self.pinged = true;
                self.link.send_ping(0);
                return;
            }
            State::Publishing => ("media or an answer to a ping", self.config.silent_within),
            _ => ("a wish to publish or to play", self.config.setup_within),
        };
        self.close(Closed::Failed(Error::Timeout { what, limit }));
    }

    /// The peer has closed the connection.
    pub fn handle_close(&mut self, now: Instant) {
        self.now = now;
        self.close(Closed::Peer(None));
    }

    /// What is to be done next. To be called until it is [`Output::Wait`] or [`Output::Close`].
    pub fn poll_output(&mut self) -> Output<Event> {
        loop {
            if let Some(bytes) = self.link.sending() {
                return Output::Send(bytes);
            }
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            match self.state {
                State::Closed => return Output::Close,
                State::Asking(_) => return Output::Wait(None),
                State::Idle | State::Publishing | State::Playing => {}
            }
            match self.link.step(self.now) {
                Ok(Step::Nothing) => return Output::Wait(self.deadline()),
                Ok(step) => self.take(step),
                Err(error) => self.close(Closed::Failed(error)),
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Idle => Some(self.setup_by),
            State::Publishing if self.pinged => Some(self.heard + self.config.silent_within),
            State::Publishing => {
                Some(self.heard + self.config.ping_after.min(self.config.silent_within))
            }
            State::Asking(_) | State::Playing | State::Closed => None,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Media(media) if self.state == State::Publishing => {
                self.events.push_back(Event::Media(media));
            }
            Step::Command(stream, command) => {
                if let Err(error) = self.take_command(stream, &command) {
                    self.close(Closed::Failed(error));
                }
            }
            Step::Nothing | Step::Again | Step::Shaken | Step::Media(_) | Step::StreamEof => {}
        }
    }

    fn close(&mut self, why: Closed) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.link.stop();
            self.events.push_back(Event::Closed(why));
        }
    }

    /// Turns the peer away, or throws it out: it is told why, and the connection is closed.
    pub fn refuse(&mut self, now: Instant, refusal: &Refusal) {
        self.now = now;
        self.answer_refusal(refusal);
        self.close(Closed::Local);
    }
}
