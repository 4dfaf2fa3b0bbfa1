//! The end that calls.

mod answer;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    Closed, Error, Handshake, Limits, Media, MediaKind, Output, Refusal, Url,
    amf::Value,
    command::command,
    link::{Link, Step},
    message::publishing_prefix,
    wire,
};

/// What a client does as it likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Bounds on what the server may send.
    pub limits: Limits,
    /// How long the server may take until the stream runs.
    pub setup_within: Duration,
    /// Codecs beyond those of FLV that are in the stream, as Enhanced RTMP's FourCCs. Without any,
    /// the server is not told of Enhanced RTMP: old ones have never seen it.
    pub codecs: Vec<String>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            setup_within: Duration::from_secs(10),
            codecs: Vec::new(),
        }
    }
}

/// What has happened on a connection to a server.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The server takes the stream, or gives it.
    Ready,
    /// The server has sent something that we play.
    Media(Media),
    /// The server has said no. Where it names another URL, that is the redirect.
    Refused(Refusal),
    /// The connection is over.
    Closed(Closed),
}

/// One connection from us to a server, for one stream.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    url: Url,
    purpose: Purpose,
    link: Link,
    state: State,
    /// What the server calls our stream.
    stream: u32,
    events: VecDeque<ClientEvent>,
    now: Instant,
    setup_by: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Publish,
    Play,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The handshake, then the answer to `connect`.
    Connecting,
    /// The answer to `createStream`.
    Creating,
    /// The answer to `publish` or `play`.
    Starting,
    Running,
    Closed,
}

/// The numbers of our calls.
mod transaction {
    pub(super) const CONNECT: f64 = 1.0;
    pub(super) const RELEASE_STREAM: f64 = 2.0;
    pub(super) const FC_PUBLISH: f64 = 3.0;
    pub(super) const CREATE_STREAM: f64 = 4.0;
    pub(super) const START: f64 = 5.0;
    pub(super) const FC_UNPUBLISH: f64 = 6.0;
}

impl Client {
    /// Publishes to `url`, from a connection's first byte on. `seed` fills the handshake, nothing
    /// secret.
    #[must_use]
    pub fn publish(now: Instant, url: Url, config: ClientConfig, seed: u64) -> Self {
        Self::new(now, Purpose::Publish, url, config, seed)
    }

    /// Plays `url`, from a connection's first byte on.
    #[must_use]
    pub fn play(now: Instant, url: Url, config: ClientConfig, seed: u64) -> Self {
        Self::new(now, Purpose::Play, url, config, seed)
    }

    fn new(now: Instant, purpose: Purpose, url: Url, config: ClientConfig, seed: u64) -> Self {
        Self {
            link: Link::new(now, config.limits.clone(), Handshake::client(seed)),
            url,
            purpose,
            state: State::Connecting,
            stream: 0,
            events: VecDeque::new(),
            now,
            setup_by: now + config.setup_within,
            config,
        }
    }

    /// Takes bytes from the server. Messages that lie in one piece in `input` share its memory.
    pub fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.now = now;
        if self.state == State::Closed || input.is_empty() {
            return;
        }
        if let Err(error) = self.link.receive(input) {
            self.close(Closed::Failed(error));
        }
    }

    /// Is to be called when the time of [`Output::Wait`] has come; earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.close(Closed::Failed(Error::Timeout {
                what: match self.state {
                    State::Connecting => "the handshake and an answer to connect",
                    State::Creating => "an answer to createStream",
                    _ => "an answer to publish or play",
                },
                limit: self.config.setup_within,
            }));
        }
    }

    /// The server has closed the connection.
    pub fn handle_close(&mut self, now: Instant) {
        self.now = now;
        self.close(Closed::Peer(None));
    }

    /// What is to be done next. To be called until it is [`Output::Wait`] or [`Output::Close`].
    pub fn poll_output(&mut self) -> Output<ClientEvent> {
        loop {
            if let Some(bytes) = self.link.sending() {
                return Output::Send(bytes);
            }
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            if self.state == State::Closed {
                return Output::Close;
            }
            match self.link.step(self.now) {
                Ok(Step::Nothing) => return Output::Wait(self.deadline()),
                Ok(step) => self.take(step),
                Err(error) => self.close(Closed::Failed(error)),
            }
        }
    }

    /// The message stream that the server gave us, once it runs. Where it is [`wire::STREAM`],
    /// bytes of [`wire::message`] that were made for others can be written as they are.
    #[must_use]
    pub fn stream(&self) -> Option<u32> {
        (self.state == State::Running).then_some(self.stream)
    }

    /// The bytes of a media message for this server, whose payload are the `pieces`; none while no
    /// publication runs. The embedder writes them after all that it was told to send before.
    /// `onMetaData` gets the `@setDataFrame` that servers expect.
    #[must_use]
    pub fn media(&self, kind: MediaKind, timestamp: u32, pieces: &[&[u8]]) -> Option<Bytes> {
        if self.purpose != Purpose::Publish {
            return None;
        }
        let stream = self.stream()?;
        let first = pieces.first().copied().unwrap_or_default();
        let mut all = vec![publishing_prefix(kind, first)];
        all.extend_from_slice(pieces);
        Some(wire::write(kind.message_kind(), timestamp, stream, &all))
    }

    /// Ends the stream as servers expect it, and closes the connection.
    pub fn finish(&mut self, now: Instant) {
        self.now = now;
        if matches!(self.state, State::Starting | State::Running) {
            if self.purpose == Purpose::Publish {
                let name = Value::string(self.url.bare_name());
                self.call(
                    "FCUnpublish",
                    transaction::FC_UNPUBLISH,
                    &[Value::Null, name],
                );
            }
            let stream = Value::Number(self.stream.into());
            self.call("deleteStream", 0.0, &[Value::Null, stream]);
        }
        self.close(Closed::Local);
    }

    fn deadline(&self) -> Option<Instant> {
        let is_setup = !matches!(self.state, State::Running | State::Closed);
        is_setup.then_some(self.setup_by)
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Shaken => self.connect(),
            Step::Command(_, command) => self.take_command(&command),
            Step::Media(media) if self.purpose == Purpose::Play => self.take_media(media),
            Step::StreamEof if self.purpose == Purpose::Play => {
                self.close(Closed::Peer(Some("the stream has ended".to_owned())));
            }
            Step::Nothing | Step::Again | Step::Media(_) | Step::StreamEof => {}
        }
    }

    fn take_media(&mut self, media: Media) {
        match self.state {
            // Some servers say nothing before the first frame.
            State::Starting => self.run(),
            State::Running => {}
            State::Connecting | State::Creating | State::Closed => return,
        }
        self.events.push_back(ClientEvent::Media(media));
    }

    fn run(&mut self) {
        self.state = State::Running;
        self.events.push_back(ClientEvent::Ready);
    }

    fn connect(&mut self) {
        self.link.announce();
        let object = self.introduction();
        self.call("connect", transaction::CONNECT, &[object]);
    }

    /// §7.2.1.1. Servers look at how encoders and players call themselves.
    fn introduction(&self) -> Value {
        let mut values = vec![("app", Value::string(&*self.url.app))];
        match self.purpose {
            Purpose::Publish => values.extend([
                ("type", Value::string("nonprivate")),
                (
                    "flashVer",
                    Value::string("FMLE/3.0 (compatible; Headworks)"),
                ),
            ]),
            Purpose::Play => values.extend([
                ("flashVer", Value::string("LNX 9,0,124,2")),
                ("fpad", Value::Boolean(false)),
                ("capabilities", Value::Number(15.0)),
                ("audioCodecs", Value::Number(4071.0)),
                ("videoCodecs", Value::Number(252.0)),
                ("videoFunction", Value::Number(1.0)),
            ]),
        }
        values.push(("tcUrl", Value::string(self.url.tc_url())));
        if !self.config.codecs.is_empty() {
            let codecs = self.config.codecs.iter().map(Value::string).collect();
            values.push(("fourCcList", Value::StrictArray(codecs)));
        }
        let values = values.into_iter();
        Value::Object(
            values
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    fn create(&mut self) {
        self.state = State::Creating;
        if self.purpose == Purpose::Publish {
            let name = Value::string(&*self.url.name);
            let named = [Value::Null, name];
            self.call("releaseStream", transaction::RELEASE_STREAM, &named);
            self.call("FCPublish", transaction::FC_PUBLISH, &named);
        }
        self.call("createStream", transaction::CREATE_STREAM, &[Value::Null]);
    }

    fn start(&mut self, stream: u32) {
        const BUFFER_MILLISECONDS: u32 = 3000;
        /// Live, or else a recording.
        const LIVE: f64 = -2000.0;
        self.state = State::Starting;
        self.stream = stream;
        let name = Value::string(&*self.url.name);
        let (call, argument) = match self.purpose {
            Purpose::Publish => ("publish", Value::string("live")),
            Purpose::Play => ("play", Value::Number(LIVE)),
        };
        let arguments = [Value::Null, name, argument];
        self.link
            .send(command(stream, call, transaction::START, &arguments));
        if self.purpose == Purpose::Play {
            self.link.send_buffer_length(stream, BUFFER_MILLISECONDS);
        }
    }

    fn call(&mut self, name: &str, transaction: f64, arguments: &[Value]) {
        self.link.send(command(0, name, transaction, arguments));
    }

    fn close(&mut self, why: Closed) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.link.stop();
            self.events.push_back(ClientEvent::Closed(why));
        }
    }
}
