//! The server's end of one connection.
//!
//! The client asks by events, the embedder answers by actions; what needs no decision (OPTIONS,
//! keep-alive, PAUSE, TEARDOWN, wrong states, unknown methods and options) is answered here. There
//! is one session at a time on a connection, and it ends with it.
//!
//! Who may do what is the embedder's decision, and it is asked once for each presentation: by
//! `Describe` or `Announce`. What follows on the same connection for the same presentation is
//! allowed by that answer. Players send credentials only after a 401, so an `Asked` without any is
//! answered by [`Server::challenge`].
//!
//! While the embedder decides, no deadline runs: to bound its decisions is its own business.
//!
//! The embedder chooses the channels of interleaved tracks, so that all viewers can share the
//! frames' bytes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    Output,
    auth::{Digest, Realm, Verdict},
    header::Pair,
    message::{self, Decoder, Limits, Message, Request, Response, Skipped},
    sdp::Description,
};

mod action;
mod event;
mod request;

pub use event::{Asked, Event, Grant, Offer, Setup};

/// How many bytes may wait while the embedder decides.
const WAITING: usize = 256 << 10;

/// How a server behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// What passwords are for; shared by all connections.
    pub realm: Realm,
    /// The `Server` header.
    pub name: String,
    /// How long a session lives without a sign of life. Clients are told.
    pub session_timeout: Duration,
    /// How long a connection lives without a session and without a request.
    pub idle_timeout: Duration,
    /// How long a connection may be without a session, whatever it asks: until the first SETUP that
    /// is granted, and again after TEARDOWN. What the embedder's decisions take counts.
    pub setup_timeout: Duration,
    /// How many wrong passwords end the connection.
    pub login_attempts: u32,
    /// What a client may send.
    pub limits: Limits,
    /// Random: makes session identifiers that nobody guesses.
    pub seed: u64,
}

/// Why a connection has to end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What came is not RTSP.
    #[error(transparent)]
    Message(#[from] message::Error),
    /// The password was wrong too often.
    #[error("{attempts} wrong passwords on one connection")]
    TooManyLogins {
        /// How often.
        attempts: u32,
    },
    /// The client sends on while its request waits for the embedder's decision.
    #[error("{bytes} bytes after a {method} that is not answered yet, expected at most {WAITING}")]
    Flood {
        /// What waits.
        method: String,
        /// How much.
        bytes: usize,
    },
    /// A mistake of the embedder: nothing is asked that this would answer.
    #[error("{action} answers nothing: no such request waits")]
    NotAsked {
        /// The action.
        action: &'static str,
    },
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct Server {
    config: Config,
    decoder: Decoder,
    outputs: VecDeque<Output<Event>>,
    heard: Instant,
    /// When there has to be a session.
    setup_by: Instant,
    waiting: Option<Waiting>,
    presentation: Option<Presentation>,
    session: Option<Session>,
    sessions: u32,
    wrong_logins: u32,
    stray_frames: u64,
    ended: bool,
}

/// A request that the embedder has to decide.
#[derive(Debug)]
struct Waiting {
    request: Request,
    about: About,
}

#[derive(Debug)]
enum About {
    Describe,
    /// A SETUP of what has not been described.
    DescribeToSetup,
    Announce(Description),
    Setup {
        track: usize,
        record: bool,
    },
    Play,
    Record,
}

/// What was described or announced.
#[derive(Debug)]
struct Presentation {
    /// The URL without its query: tokens stay out of the URLs that we hand out.
    base: String,
    /// One for each media.
    controls: Vec<String>,
    announced: bool,
}

#[derive(Debug)]
struct Session {
    id: String,
    /// In the order of the description.
    tracks: Vec<(usize, Option<Pair<u8>>)>,
    state: State,
}

/// RFC 2326 appendix A.2; *Init* is to have no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Playing,
    Recording,
}

impl Server {
    /// A connection has been accepted.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            decoder: Decoder::new(config.limits),
            setup_by: now + config.setup_timeout,
            config,
            outputs: VecDeque::new(),
            heard: now,
            waiting: None,
            presentation: None,
            session: None,
            sessions: 0,
            wrong_logins: 0,
            stray_frames: 0,
            ended: false,
        }
    }

    /// Takes what was read.
    pub fn handle_input(&mut self, now: Instant, input: &[u8]) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        // Who always has something to say leaves no time to look for this.
        if self.session.is_none() && now >= self.setup_by {
            self.handle_timeout(now);
        }
        self.decoder.feed(input);
        self.go_on(now)
    }

    /// Looks whether the deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.ended = true;
            self.session = None;
            self.event(Event::Timeout);
        }
    }

    /// The client has shown elsewhere that it is alive, by RTCP over UDP say.
    pub fn note_activity(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output<Event> {
        self.outputs
            .pop_front()
            .unwrap_or_else(|| Output::Wait(self.deadline()))
    }

    /// Whether `digest` proves `password` for the request that waits. If it is
    /// [`Verdict::Stale`], challenge again and say so.
    #[must_use]
    pub fn verify(&self, now: Instant, digest: &Digest, password: &str) -> Verdict {
        match &self.waiting {
            Some(Waiting { request, .. }) => {
                let action = (request.method.as_str(), &*request.url);
                self.config.realm.verify(now, digest, action, password)
            }
            None => Verdict::Wrong,
        }
    }

    /// The session's identifier, while there is one.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.session.as_ref().map(|session| &*session.id)
    }

    /// Garbage that was passed over.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.decoder.skipped()
    }

    /// Frames on channels that nobody has set up.
    #[must_use]
    pub fn stray_frames(&self) -> u64 {
        self.stray_frames
    }

    fn deadline(&self) -> Option<Instant> {
        // A client that waits for us is not silent.
        if self.ended || self.waiting.is_some() {
            return None;
        }
        Some(match self.session {
            Some(_) => self.heard + self.config.session_timeout,
            None => (self.heard + self.config.idle_timeout).min(self.setup_by),
        })
    }

    /// Works on what has come, until the embedder has to decide.
    fn go_on(&mut self, now: Instant) -> Result<(), Error> {
        while self.waiting.is_none() && !self.ended {
            match self.decoder.next_message() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    self.heard = now;
                    self.take(message);
                }
                Err(error) => {
                    self.ended = true;
                    let mut response = Response::new(error.status());
                    if response.status == 400 {
                        response.reason = format!("{}: {error}", response.reason);
                    }
                    self.send(&response, None);
                    return Err(error.into());
                }
            }
        }
        match &self.waiting {
            Some(waiting) if self.decoder.buffered() > WAITING => {
                self.ended = true;
                Err(Error::Flood {
                    method: waiting.request.method.to_string(),
                    bytes: self.decoder.buffered(),
                })
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Request(request) => self.take_request(&request),
            // We ask nothing.
            Message::Response(_) => {}
            Message::Interleaved { channel, data } => match self.track_of(channel) {
                Some((track, kind)) => self.event(Event::Packet { track, kind, data }),
                None => self.stray_frames += 1,
            },
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Sends an answer to `request`.
    fn send(&mut self, response: &Response, request: Option<&Request>) {
        let mut full = Response::new(response.status);
        full.reason.clone_from(&response.reason);
        if let Some(cseq) = request.and_then(|request| request.headers.get("CSeq")) {
            full.headers.push("CSeq", cseq);
        }
        full.headers.push("Server", &*self.config.name);
        for (name, value) in response.headers.iter() {
            full.headers.push(name, value);
        }
        full.body = response.body.clone();
        self.outputs.push_back(Output::Send(full.encode()));
    }
}

#[cfg(test)]
mod tests;
