//! What the embedder answers.

use std::time::Instant;

use bytes::Bytes;

use super::{Asked, Server, State};
use crate::{
    Closed, MediaKind, Refusal,
    amf::{self, Value},
    command::{command, information, status},
    wire::{self, STREAM},
};

impl Server {
    /// The answer yes to [`super::Event::Connect`], where it was asked for.
    pub fn accept_connect(&mut self, now: Instant) {
        self.now = now;
        if let State::Asking(Asked::Connect(transaction)) = self.state {
            self.state = State::Idle;
            self.answer_connect(transaction);
        }
    }

    pub(super) fn answer_connect(&mut self, transaction: f64) {
        let Some(connect) = &self.connect else {
            return;
        };
        let answer = connect.answer(&self.config.codecs);
        self.link.announce();
        self.link.limit_peer();
        self.link.send(command(0, "_result", transaction, &answer));
    }

    /// The answer yes to [`super::Event::Publish`].
    pub fn accept_publish(&mut self, now: Instant) {
        self.now = now;
        if let State::Asking(Asked::Publish { name }) = &self.state {
            let description = format!("{name} is now published.");
            self.state = State::Publishing;
            self.link.set_limits(&self.config.limits);
            (self.heard, self.pinged) = (now, false);
            self.link.send_stream_begin(STREAM);
            self.status("status", "NetStream.Publish.Start", &description);
        }
    }

    /// The answer yes to [`super::Event::Play`]. After what [`Server::poll_output`] then gives, the
    /// embedder writes [`wire::message`]s; what comes later goes between two of them.
    pub fn accept_play(&mut self, now: Instant) {
        self.now = now;
        if self.state == State::Asking(Asked::Play) {
            self.state = State::Playing;
            self.link.send_stream_begin(STREAM);
            self.status("status", "NetStream.Play.Reset", "Playing and resetting.");
            self.status("status", "NetStream.Play.Start", "Started playing.");
            self.link.send(sample_access());
        }
    }

    /// The stream that is played has ended: the player is told so, and the connection is closed.
    pub fn finish_play(&mut self, now: Instant) {
        self.now = now;
        if self.state == State::Playing {
            self.link.send(wire::end());
        }
        self.close(Closed::Local);
    }

    pub(super) fn answer_refusal(&mut self, refusal: &Refusal) {
        if self.connect.is_none() {
            // It has not asked for anything yet, and may be in the middle of the handshake.
            return;
        }
        let mut status = information("error", &refusal.code, &refusal.description);
        if let (Some(url), Value::Object(values)) = (&refusal.redirect, &mut status) {
            let redirect = [
                ("code", Value::Number(302.0)),
                ("redirect", Value::string(url)),
            ];
            values.push(("ex".to_owned(), Value::object(redirect)));
        }
        let (stream, name, transaction) = match self.state {
            State::Closed => return,
            State::Asking(Asked::Connect(transaction)) => (0, "_error", transaction),
            State::Idle => (0, "onStatus", 0.0),
            State::Asking(_) | State::Publishing | State::Playing => (STREAM, "onStatus", 0.0),
        };
        self.link
            .send(command(stream, name, transaction, &[Value::Null, status]));
    }

    fn status(&mut self, level: &str, code: &str, description: &str) {
        self.link.send(status(level, code, description));
    }
}

/// Lets Flash Player read what it plays.
fn sample_access() -> Bytes {
    let mut payload = Vec::new();
    amf::write_string(&mut payload, "|RtmpSampleAccess");
    amf::write(&mut payload, &Value::Boolean(true));
    amf::write(&mut payload, &Value::Boolean(true));
    wire::message(MediaKind::Data, 0, &payload)
}
