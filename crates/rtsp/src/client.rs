//! The client's end of one connection.
//!
//! [`Client::play`] pulls a camera: OPTIONS, DESCRIBE, then the embedder chooses tracks and
//! transports by [`Client::setup`], SETUP of each, PLAY, keep-alive. [`Client::record`] pushes to
//! a server: OPTIONS, ANNOUNCE, `setup`, SETUP of each, RECORD, keep-alive.
//!
//! Cameras are forgiven much. There is one request on its way at a time until packets flow, so the
//! next answer is taken as its answer, whatever its `CSeq`. After that the only requests are
//! keep-alives: an answer to one never ends a session, whatever it says. A camera is dead when no
//! packets come, and that is for the embedder to see.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use url::Url;

use crate::{
    Output, Packet,
    auth::{Authenticator, Denied, Login},
    header::Pair,
    message::{self, Decoder, Limits, Message, Method, Request, Skipped},
    sdp::{self, Description},
};

mod event;
mod exchange;
mod keep_alive;
mod step;

pub use event::{Event, Path, Via};

use keep_alive::KeepAlive;

/// An answer without a length is complete when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(500);
/// How often a request is signed anew, for servers that never like the nonce.
const REPEATS: u32 = 3;
/// How long a goodbye waits for its answer.
const GOODBYE: Duration = Duration::from_secs(2);

/// Where a client goes and as whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// What to ask for. User name and password in it are ignored.
    pub url: Url,
    /// As whom, if the server asks.
    pub login: Option<Login>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// How long an answer may take.
    pub patience: Duration,
    /// What the server may send.
    pub limits: Limits,
    /// Random: for Digest.
    pub seed: u64,
}

/// Why a connection has come to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What came is not RTSP.
    #[error(transparent)]
    Message(#[from] message::Error),
    /// The password.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// 404.
    #[error("there is nothing at {url}")]
    NotFound {
        /// What was asked for, without the query: some cameras want passwords in it.
        url: String,
    },
    /// Any other refusal.
    #[error("{method} was refused: {status} {reason}")]
    Refused {
        /// What was asked.
        method: String,
        /// The status code.
        status: u16,
        /// The server's words.
        reason: String,
    },
    /// The answer took too long.
    #[error("no answer to {method} within {} s", patience.as_secs_f32())]
    NoAnswer {
        /// What was asked.
        method: String,
        /// How long we have waited.
        patience: Duration,
    },
    /// The answer to DESCRIBE cannot be used.
    #[error("the answer to DESCRIBE: {0}")]
    Description(#[from] sdp::Error),
    /// SETUP was accepted without what is needed to go on.
    #[error("the answer to SETUP of track {track} lacks {lacks}")]
    BadSetup {
        /// Index into the description's media.
        track: usize,
        /// What is not there.
        lacks: &'static str,
    },
    /// The server has closed the connection.
    #[error("the connection was closed {during}")]
    Closed {
        /// `before the answer to PLAY` say.
        during: String,
    },
    /// A mistake of the embedder.
    #[error("setup was called when no description is there, or for a track that it does not have")]
    BadCall,
}

/// The client's end of one connection.
#[derive(Debug)]
pub struct Client {
    config: Config,
    decoder: Decoder,
    authenticator: Authenticator,
    outputs: VecDeque<Output<Event>>,
    step: Step,
    cseq: u32,
    /// The request that is on its way, unsigned.
    asked: Option<Asked>,
    description: Description,
    recording: bool,
    /// What controls the whole.
    aggregate: String,
    /// What controls each media.
    controls: Vec<String>,
    /// What shall be set up.
    plan: Vec<(usize, Via)>,
    /// What is set up, with its channels.
    tracks: Vec<(usize, Option<Pair<u8>>)>,
    session: Option<String>,
    /// True once a SETUP has been answered well. Some servers name a session before that.
    begun: bool,
    keep_alive: KeepAlive,
    /// When input last came.
    heard: Instant,
    stray_frames: u64,
}

#[derive(Debug)]
struct Asked {
    request: Request,
    deadline: Instant,
    /// How often it has been signed anew.
    repeats: u32,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Options,
    /// DESCRIBE or ANNOUNCE.
    Describe,
    /// The embedder has to choose.
    Choose,
    /// The session so far is being given up, to begin with another transport.
    Reset,
    /// SETUP of an entry of the plan.
    Setup(usize),
    /// PLAY or RECORD.
    Start,
    Running,
    Closing,
    Ended,
}

impl Client {
    /// Pulls what is at the URL. The connection has just been made.
    #[must_use]
    pub fn play(config: Config, now: Instant) -> Self {
        Self::new(config, now, Description::default(), false)
    }

    /// Pushes what `description` describes to the URL. Every media of it needs a `control`
    /// (`streamid=0` say). The connection has just been made.
    #[must_use]
    pub fn record(config: Config, now: Instant, description: Description) -> Self {
        Self::new(config, now, description, true)
    }

    fn new(mut config: Config, now: Instant, description: Description, recording: bool) -> Self {
        // They fail only for URLs without a host, which have none.
        let _ = config.url.set_username("");
        let _ = config.url.set_password(None);
        config.url.set_fragment(None);
        let mut client = Self {
            decoder: Decoder::new(config.limits),
            authenticator: Authenticator::new(config.login.take(), config.seed),
            outputs: VecDeque::new(),
            step: Step::Options,
            cseq: 0,
            asked: None,
            description,
            recording,
            aggregate: config.url.to_string(),
            controls: Vec::new(),
            plan: Vec::new(),
            tracks: Vec::new(),
            session: None,
            begun: false,
            keep_alive: KeepAlive::default(),
            heard: now,
            stray_frames: 0,
            config,
        };
        client.ask(now, Request::new(Method::Options, client.aggregate.clone()));
        client
    }

    /// Sets up these tracks, in this order, then plays or records. Answers `Described`,
    /// `Announced` and `TransportRefused`.
    pub fn setup(&mut self, now: Instant, plan: &[(usize, Via)]) -> Result<(), Error> {
        let known = |(track, _): &(usize, Via)| *track < self.controls.len();
        // There are 256 channels.
        let fits = !plan.is_empty() && plan.len() <= 128 && plan.iter().all(known);
        if self.step != Step::Choose || !fits {
            return Err(Error::BadCall);
        }
        self.plan = plan.to_vec();
        self.begin_setup(now);
        Ok(())
    }

    /// Says goodbye. `Closed` follows, at the latest after two seconds; who has no time for that
    /// writes what `poll_output` has and closes the connection.
    pub fn teardown(&mut self, now: Instant) {
        if self.step == Step::Ended || self.step == Step::Closing {
            return;
        }
        if self.session.is_none() {
            self.end(Event::Closed);
            return;
        }
        self.step = Step::Closing;
        self.ask(now, Request::new(Method::Teardown, self.aggregate.clone()));
        if let Some(asked) = &mut self.asked {
            asked.deadline = now + GOODBYE;
        }
    }

    /// Takes what was read.
    pub fn handle_input(&mut self, now: Instant, input: &[u8]) -> Result<(), Error> {
        if self.step == Step::Ended {
            return Ok(());
        }
        self.heard = now;
        self.decoder.feed(input);
        while self.step != Step::Ended {
            match self.decoder.next_message() {
                Ok(None) => break,
                Ok(Some(message)) => self.take(now, message)?,
                Err(error) => return self.fail(error.into()),
            }
        }
        Ok(())
    }

    /// Looks whether the deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.step == Step::Ended {
            return Ok(());
        }
        if self.decoder.is_open_ended()
            && now >= self.heard + QUIET
            && let Some(message) = self.decoder.finish_body()
        {
            self.take(now, message)?;
        }
        if let Some(asked) = &self.asked
            && now >= asked.deadline
        {
            return self.no_answer();
        }
        if self.step == Step::Running && self.keep_alive.is_due(now) {
            self.send_keep_alive(now);
        }
        Ok(())
    }

    /// The server has closed the connection.
    pub fn handle_close(&mut self, now: Instant) -> Result<(), Error> {
        if let Some(message) = self.decoder.finish_body() {
            self.take(now, message)?;
        }
        match self.step {
            Step::Ended => Ok(()),
            Step::Closing => {
                self.end(Event::Closed);
                Ok(())
            }
            _ => {
                let during = match (&self.asked, self.step) {
                    (Some(asked), _) => format!("before the answer to {}", asked.request.method),
                    (None, Step::Choose) => "after the description".to_owned(),
                    (None, _) if self.recording => "while recording".to_owned(),
                    (None, _) => "while playing".to_owned(),
                };
                self.fail(Error::Closed { during })
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output<Event> {
        self.outputs
            .pop_front()
            .unwrap_or_else(|| Output::Wait(self.deadline()))
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
        if self.step == Step::Ended {
            return None;
        }
        let quiet = self.decoder.is_open_ended().then(|| self.heard + QUIET);
        let answer = self.asked.as_ref().map(|asked| asked.deadline);
        let running = self.step == Step::Running;
        let keep_alive = running.then(|| self.keep_alive.due()).flatten();
        [quiet, answer, keep_alive].into_iter().flatten().min()
    }

    fn take(&mut self, now: Instant, message: Message) -> Result<(), Error> {
        match message {
            Message::Response(response) => self.take_response(now, &response),
            Message::Request(request) => {
                self.take_request(&request);
                Ok(())
            }
            Message::Interleaved { channel, data } => {
                match self.track_of(channel) {
                    Some((track, kind)) => self.event(Event::Packet { track, kind, data }),
                    None => self.stray_frames += 1,
                }
                Ok(())
            }
        }
    }

    fn track_of(&self, channel: u8) -> Option<(usize, Packet)> {
        self.tracks
            .iter()
            .find_map(|(track, channels)| match channels {
                Some((rtp, _)) if *rtp == channel => Some((*track, Packet::Rtp)),
                Some((_, rtcp)) if *rtcp == channel => Some((*track, Packet::Rtcp)),
                _ => None,
            })
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn end(&mut self, event: Event) {
        self.step = Step::Ended;
        self.asked = None;
        self.event(event);
    }

    fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.step = Step::Ended;
        self.asked = None;
        Err(error)
    }
}

#[cfg(test)]
mod tests;
