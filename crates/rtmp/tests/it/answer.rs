//! What servers answer to our client, and what it makes of it.

use std::time::Instant;

use bytes::Bytes;
use headworks_rtmp::{
    Client, ClientConfig, ClientEvent, Closed, Limits, MediaKind, Output, Refusal,
    amf::{self, Value},
    chunk::Reader,
    wire,
};

use crate::pair::{epoch, url};

/// A client, and a server that says what it likes.
struct Raw {
    now: Instant,
    client: Client,
    reader: Reader,
    events: Vec<ClientEvent>,
}

impl Raw {
    fn new(client: impl FnOnce(Instant, headworks_rtmp::Url, ClientConfig, u64) -> Client) -> Self {
        let now = epoch();
        let mut raw = Self {
            now,
            client: client(now, url("live/cam?key=secret"), ClientConfig::default(), 1),
            reader: Reader::new(Limits::default(), 0),
            events: Vec::new(),
        };
        raw.reader
            .set_chunk_size(wire::CHUNK_SIZE as u32)
            .expect("a size");
        assert!(matches!(raw.client.poll_output(), Output::Send(bytes) if bytes.len() == 1537));
        let mut hello = vec![0; 3073];
        hello[0] = 3;
        raw.client.handle_input(now, hello.into());
        assert!(matches!(raw.client.poll_output(), Output::Send(bytes) if bytes.len() == 1536));
        assert_eq!(raw.calls()[0][0], Value::string("connect"));
        raw
    }

    /// The commands that the client sends.
    fn calls(&mut self) -> Vec<Vec<Value>> {
        let mut calls = Vec::new();
        loop {
            match self.client.poll_output() {
                Output::Send(mut bytes) => {
                    let message = self
                        .reader
                        .next(&mut bytes)
                        .expect("chunks")
                        .expect("a message");
                    if message.kind == 20 {
                        calls.push(
                            amf::read_all(&message.payload, amf::Limits::default())
                                .expect("values"),
                        );
                    }
                }
                Output::Event(event) => self.events.push(event),
                Output::Wait(_) | Output::Close => return calls,
            }
        }
    }

    fn say(&mut self, name: &str, transaction: f64, arguments: &[Value]) -> Vec<Vec<Value>> {
        let mut payload = Vec::new();
        amf::write_string(&mut payload, name);
        amf::write(&mut payload, &Value::Number(transaction));
        for argument in arguments {
            amf::write(&mut payload, argument);
        }
        // In chunks of 128 bytes, which is what both ends begin with.
        let mut bytes = vec![
            3,
            0,
            0,
            0,
            0,
            (payload.len() >> 8) as u8,
            payload.len() as u8,
            20,
            0,
            0,
            0,
            0,
        ];
        let chunks: Vec<_> = payload.chunks(128).collect();
        bytes.extend_from_slice(&chunks.join(&0xc3));
        self.client.handle_input(self.now, bytes.into());
        self.calls()
    }

    fn status(&mut self, values: &Value) {
        self.say("onStatus", 0.0, &[Value::Null, values.clone()]);
    }

    /// Up to the call that begins the stream.
    fn starting(
        client: impl FnOnce(Instant, headworks_rtmp::Url, ClientConfig, u64) -> Client,
    ) -> Self {
        let mut raw = Self::new(client);
        raw.say("_result", 1.0, &[Value::Null, Value::Null]);
        let calls = raw.say("_result", 4.0, &[Value::Null, Value::Number(7.0)]);
        assert_eq!(calls[0][3], Value::string("cam?key=secret"));
        raw
    }

    fn refusal(&self) -> &Refusal {
        match &self.events[..] {
            [
                ClientEvent::Refused(refusal),
                ClientEvent::Closed(Closed::Peer(None)),
            ] => refusal,
            events => panic!("{events:?}"),
        }
    }
}

fn error(code: &str, description: &str) -> Value {
    Value::object([
        ("level", Value::string("error")),
        ("code", Value::string(code)),
        ("description", Value::string(description)),
    ])
}

#[test]
fn servers_that_know_no_courtesy_calls_are_published_to_on_their_own_stream() {
    let mut raw = Raw::new(Client::publish);
    let calls = raw.say("_result", 1.0, &[Value::Null, Value::Null]);
    let names: Vec<_> = calls.iter().filter_map(|call| call[0].as_str()).collect();
    assert_eq!(names, ["releaseStream", "FCPublish", "createStream"]);
    raw.say(
        "_error",
        2.0,
        &[Value::Null, error("NetConnection.Call.Failed", "no")],
    );
    raw.say("_error", 3.0, &[Value::Null]);
    raw.say("_result", 4.0, &[Value::Null, Value::Number(7.0)]);
    assert_eq!(raw.client.media(MediaKind::Audio, 0, &[b"early"]), None);
    raw.status(&Value::object([(
        "code",
        Value::string("NetStream.Publish.Start"),
    )]));
    assert_eq!(raw.events, [ClientEvent::Ready]);
    assert_eq!(raw.client.stream(), Some(7));
    let bytes = raw
        .client
        .media(MediaKind::Audio, 1, &[b"a", b"b"])
        .unwrap();
    assert_eq!(bytes[..], [4, 0, 0, 1, 0, 0, 2, 8, 7, 0, 0, 0, b'a', b'b']);
}

#[test]
fn refusals_come_with_code_and_description() {
    let mut raw = Raw::new(Client::publish);
    raw.say(
        "_error",
        1.0,
        &[
            Value::Null,
            error("NetConnection.Connect.InvalidApp", "no such app"),
        ],
    );
    assert_eq!(
        raw.refusal(),
        &Refusal::new("NetConnection.Connect.InvalidApp", "no such app")
    );

    let mut raw = Raw::starting(Client::publish);
    raw.status(&error("NetStream.Publish.Denied", "bad\nkey"));
    assert_eq!(
        raw.refusal(),
        &Refusal::new("NetStream.Publish.Denied", "badkey")
    );

    let mut raw = Raw::starting(Client::play);
    raw.status(&Value::object([(
        "code",
        Value::string("NetStream.Play.StreamNotFound"),
    )]));
    assert_eq!(raw.refusal().code, "NetStream.Play.StreamNotFound");

    let mut raw = Raw::starting(Client::play);
    raw.say("_error", 5.0, &[Value::Null]);
    assert_eq!(raw.refusal().code, "NetConnection.Connect.Rejected");
}

#[test]
fn a_redirect_names_the_other_url() {
    let mut raw = Raw::new(Client::play);
    let mut answer = error("NetConnection.Connect.Rejected", "elsewhere");
    if let Value::Object(values) = &mut answer {
        let redirect = [
            ("code", Value::Number(302.0)),
            ("redirect", Value::string("rtmp://other/live")),
        ];
        values.push(("ex".to_owned(), Value::object(redirect)));
    }
    raw.say("_error", 1.0, &[Value::Null, answer]);
    assert_eq!(raw.refusal().redirect.as_deref(), Some("rtmp://other/live"));
}

#[test]
fn a_challenge_is_explained() {
    for (method, name) in [("adobe", "Adobe's"), ("llnw", "Limelight's")] {
        let mut raw = Raw::new(Client::publish);
        let text =
            format!("[ AccessManager.Reject ] : [ code=403 need auth; authmod={method} ] : ");
        raw.say(
            "_error",
            1.0,
            &[Value::Null, error("NetConnection.Connect.Rejected", &text)],
        );
        let description = &raw.refusal().description;
        assert!(
            description.contains(name) && description.contains(&text),
            "{description}"
        );
    }
}

#[test]
fn a_played_stream_may_begin_without_words_and_ends_with_one() {
    for end in ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"] {
        let mut raw = Raw::starting(Client::play);
        let frame = Bytes::from_static(&[6, 0, 0, 9, 0, 0, 1, 9, 7, 0, 0, 0, b'v']);
        raw.client.handle_input(raw.now, frame);
        raw.calls();
        assert!(matches!(
            raw.events[..],
            [ClientEvent::Ready, ClientEvent::Media(_)]
        ));
        raw.status(&Value::object([("code", Value::string(end))]));
        assert_eq!(
            raw.events[2..],
            [ClientEvent::Closed(Closed::Peer(Some(end.to_owned())))]
        );
    }
}

#[test]
fn bandwidth_checks_are_answered() {
    let answer = Raw::starting(Client::publish).say("_onbwcheck", 9.0, &[Value::Null]);
    assert_eq!(
        answer[0][..2],
        [Value::string("_result"), Value::Number(9.0)]
    );
}
