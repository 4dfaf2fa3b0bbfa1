//! A client and a server joined by two pipes, under virtual time.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use headworks_rtmp::{Client, ClientConfig, ClientEvent, Event, Output, Server, ServerConfig, Url};

/// Where virtual time begins.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can only be made from this one"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

pub(crate) fn url(path: &str) -> Url {
    Url::parse(&format!("rtmp://edge/{path}")).expect("a URL")
}

/// The two ends, and what is on its way between them.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) to_server: VecDeque<u8>,
    pub(crate) to_client: VecDeque<u8>,
    /// How many bytes arrive at once, in turn.
    steps: Vec<usize>,
    turn: usize,
    pub(crate) server_events: VecDeque<Event>,
    pub(crate) client_events: VecDeque<ClientEvent>,
    pub(crate) server_wait: Option<Instant>,
    pub(crate) client_wait: Option<Instant>,
    pub(crate) server_closed: bool,
    pub(crate) client_closed: bool,
}

impl Pair {
    pub(crate) fn new(
        config: ServerConfig,
        client: impl FnOnce(Instant, Url, ClientConfig, u64) -> Client,
        url: Url,
    ) -> Self {
        let now = epoch();
        Self {
            now,
            server: Server::new(now, config, 1),
            client: client(now, url, ClientConfig::default(), 2),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            steps: vec![1 << 20],
            turn: 0,
            server_events: VecDeque::new(),
            client_events: VecDeque::new(),
            server_wait: None,
            client_wait: None,
            server_closed: false,
            client_closed: false,
        }
    }

    pub(crate) fn in_steps(mut self, steps: Vec<usize>) -> Self {
        self.steps = steps;
        self
    }

    /// Lets everything arrive that is on its way, until `enough` or nothing happens.
    fn run(&mut self, enough: impl Fn(&Self) -> bool) {
        loop {
            self.poll();
            if enough(self) || self.to_server.is_empty() && self.to_client.is_empty() {
                return;
            }
            let step = self.steps[self.turn % self.steps.len()];
            self.turn += 1;
            let part = take(&mut self.to_server, step);
            self.server.handle_input(self.now, part);
            let part = take(&mut self.to_client, step);
            self.client.handle_input(self.now, part);
        }
    }

    fn poll(&mut self) {
        loop {
            match self.server.poll_output() {
                Output::Send(bytes) => self.to_client.extend(&bytes),
                Output::Event(event) => self.server_events.push_back(event),
                Output::Wait(until) => break self.server_wait = until,
                Output::Close => break self.server_closed = true,
            }
        }
        loop {
            match self.client.poll_output() {
                Output::Send(bytes) => self.to_server.extend(&bytes),
                Output::Event(event) => self.client_events.push_back(event),
                Output::Wait(until) => break self.client_wait = until,
                Output::Close => break self.client_closed = true,
            }
        }
    }

    pub(crate) fn server_event(&mut self) -> Event {
        self.run(|pair| !pair.server_events.is_empty());
        match self.server_events.pop_front() {
            Some(event) => event,
            None => panic!(
                "nothing at the server, at the client {:?}",
                self.client_events
            ),
        }
    }

    pub(crate) fn client_event(&mut self) -> ClientEvent {
        self.run(|pair| !pair.client_events.is_empty());
        match self.client_events.pop_front() {
            Some(event) => event,
            None => panic!(
                "nothing at the client, at the server {:?}",
                self.server_events
            ),
        }
    }

    /// Fails if anything happens.
    pub(crate) fn quiet(&mut self) {
        self.run(|_| false);
        assert_eq!(self.server_events, []);
        assert_eq!(self.client_events, []);
    }

    pub(crate) fn later(&mut self, by: Duration) {
        self.now += by;
        self.server.handle_timeout(self.now);
        self.client.handle_timeout(self.now);
    }
}

fn take(pipe: &mut VecDeque<u8>, step: usize) -> Bytes {
    pipe.drain(..step.min(pipe.len())).collect()
}
