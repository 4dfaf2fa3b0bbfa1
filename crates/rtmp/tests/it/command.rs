//! What clients send that are none of ours: Flash, FMLE, and those that get it wrong.

use std::time::Instant;

use bytes::Bytes;
use headworks_rtmp::{
    Closed, Error, Event, Limits, Media, MediaKind, Message, Output, Refusal, Server, ServerConfig,
    amf::{self, Value},
    chunk::Reader,
    code, wire,
};

use crate::pair::epoch;

const COMMAND: u8 = 20;
const COMMAND_AMF3: u8 = 17;

/// A server, and a client that sends what it likes.
struct Raw {
    now: Instant,
    server: Server,
    reader: Reader,
    events: Vec<Event>,
}

impl Raw {
    fn new() -> Self {
        let now = epoch();
        let mut raw = Self {
            now,
            server: Server::new(now, ServerConfig::default(), 1),
            reader: Reader::new(Limits::default(), 0),
            events: Vec::new(),
        };
        raw.reader
            .set_chunk_size(wire::CHUNK_SIZE as u32)
            .expect("a size");
        let mut hello = vec![0; 3073];
        hello[0] = 3;
        raw.server.handle_input(now, hello.into());
        assert!(matches!(raw.server.poll_output(), Output::Send(bytes) if bytes.len() == 3073));
        raw.message(1, &(wire::CHUNK_SIZE as u32).to_be_bytes());
        raw
    }

    fn connected() -> Self {
        let mut raw = Self::new();
        raw.call(
            "connect",
            1.0,
            &[Value::object([("app", Value::string("live"))])],
        );
        raw.events.clear();
        raw
    }

    fn publishing() -> Self {
        let mut raw = Self::connected();
        raw.call("publish", 5.0, &[Value::Null, Value::string("cam")]);
        raw.server.accept_publish(raw.now);
        raw.drain();
        raw.events.clear();
        raw
    }

    fn message(&mut self, kind: u8, payload: &[u8]) -> Vec<Message> {
        let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
        let mut bytes = vec![3, 0, 0, 0];
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&[kind, 1, 0, 0, 0]);
        bytes.extend_from_slice(payload);
        self.server.handle_input(self.now, bytes.into());
        self.drain()
    }

    fn drain(&mut self) -> Vec<Message> {
        let mut answers = Vec::new();
        loop {
            match self.server.poll_output() {
                Output::Send(mut bytes) => {
                    let message = self
                        .reader
                        .next(&mut bytes)
                        .expect("chunks")
                        .expect("a message");
                    assert!(bytes.is_empty());
                    answers.push(message);
                }
                Output::Event(event) => self.events.push(event),
                Output::Wait(_) | Output::Close => return answers,
            }
        }
    }

    /// The commands that come back.
    fn call(&mut self, name: &str, transaction: f64, arguments: &[Value]) -> Vec<Vec<Value>> {
        let answers = self.message(COMMAND, &encode(name, transaction, arguments));
        let commands = answers.into_iter().filter(|answer| answer.kind == COMMAND);
        let values = |answer: Message| amf::read_all(&answer.payload, amf::Limits::default());
        commands
            .map(values)
            .collect::<Result<_, _>>()
            .expect("values")
    }

    fn failure(&self) -> String {
        match self.events.last() {
            Some(Event::Closed(Closed::Failed(error))) => error.to_string(),
            event => panic!("{event:?}"),
        }
    }
}

fn encode(name: &str, transaction: f64, arguments: &[Value]) -> Vec<u8> {
    let mut payload = Vec::new();
    amf::write_string(&mut payload, name);
    amf::write(&mut payload, &Value::Number(transaction));
    for argument in arguments {
        amf::write(&mut payload, argument);
    }
    payload
}

fn result(transaction: f64, value: Value) -> Vec<Value> {
    vec![
        Value::string("_result"),
        Value::Number(transaction),
        Value::Null,
        value,
    ]
}

#[test]
fn an_encoder_gets_all_the_answers_that_it_waits_for() {
    let mut raw = Raw::connected();
    let cam = [Value::Null, Value::string("cam?key=secret")];
    assert_eq!(
        raw.call("releaseStream", 2.0, &cam),
        [result(2.0, Value::Undefined)]
    );
    let answers = raw.call("FCPublish", 3.0, &cam);
    assert_eq!(answers[0][0], Value::string("onFCPublish"));
    assert_eq!(
        answers[0][3].get("description"),
        Some(&Value::string("cam"))
    );
    assert_eq!(answers[1], result(3.0, Value::Undefined));
    assert_eq!(
        raw.call("createStream", 4.0, &[Value::Null]),
        [result(4.0, Value::Number(1.0))]
    );
    assert_eq!(
        raw.call(
            "publish",
            5.0,
            &[cam[0].clone(), cam[1].clone(), Value::string("record")]
        ),
        Vec::<Vec<_>>::new()
    );
    let Some(Event::Publish(publish)) = raw.events.pop() else {
        panic!("no wish to publish");
    };
    assert_eq!(publish.kind, "record");
    raw.server.accept_publish(raw.now);
    let answers = raw.drain();
    // Stream begin, then the status.
    assert_eq!(answers[0].payload[..], [0, 0, 0, 0, 0, 1]);
    assert_eq!(answers[1].stream, 1);
    let answers = raw.call("FCUnpublish", 6.0, &cam);
    assert_eq!(answers[0][0], Value::string("onFCUnpublish"));
    raw.call("deleteStream", 7.0, &[Value::Null, Value::Number(1.0)]);
    assert_eq!(raw.events, [Event::Stopped]);
}

#[test]
fn a_player_s_calls_are_answered_or_ignored() {
    let mut raw = Raw::connected();
    let cam = [Value::Null, Value::string("cam")];
    assert_eq!(
        raw.call("getStreamLength", 2.0, &cam),
        [result(2.0, Value::Number(0.0))]
    );
    assert_eq!(
        raw.call("_checkbw", 3.0, &[Value::Null]),
        [result(3.0, Value::Undefined)]
    );
    assert_eq!(
        raw.call("FCSubscribe", 4.0, &cam)[0][0],
        Value::string("onFCSubscribe")
    );
    let unknown = raw.call("whatever", 5.0, &[Value::Null]);
    assert_eq!(unknown[0][0], Value::string("_error"));
    assert_eq!(
        raw.call("whatever", 0.0, &[Value::Null]),
        Vec::<Vec<_>>::new()
    );
    raw.call("play", 0.0, &cam);
    raw.server.accept_play(raw.now);
    raw.drain();
    for ignored in ["pause", "seek", "receiveVideo"] {
        assert_eq!(raw.call(ignored, 0.0, &[Value::Null]), Vec::<Vec<_>>::new());
    }
    raw.call("closeStream", 0.0, &[Value::Null]);
    assert!(matches!(raw.events[..], [Event::Play(_), Event::Stopped]));
}

#[test]
fn flash_speaks_amf3_in_name_only() {
    let mut raw = Raw::new();
    let object = Value::object([
        ("app", Value::string("live")),
        ("objectEncoding", Value::Number(3.0)),
    ]);
    let answer = raw.call("connect", 1.0, &[object]);
    assert_eq!(
        answer[0][3].get("objectEncoding"),
        Some(&Value::Number(3.0))
    );
    let publish = encode("publish", 0.0, &[Value::Null, Value::string("cam")]);
    raw.message(COMMAND_AMF3, &[&[0], &publish[..]].concat());
    raw.server.accept_publish(raw.now);
    raw.drain();
    raw.message(15, b"\0\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData");
    raw.call("publish", 0.0, &[Value::Null, Value::Boolean(false)]);
    let metadata = Media {
        kind: MediaKind::Data,
        timestamp: 0,
        payload: Bytes::from_static(b"\x02\0\x0aonMetaData"),
    };
    assert_eq!(raw.events[2..], [Event::Media(metadata), Event::Stopped]);
}

#[test]
fn enhanced_rtmp_is_spoken_with_those_who_speak_it() {
    let connect = |object| {
        Raw::new()
            .call("connect", 1.0, &[object])
            .remove(0)
            .remove(2)
    };
    let old = connect(Value::object([("app", Value::string("live"))]));
    assert_eq!(old.get("fourCcList"), None);
    let list = Value::StrictArray(vec![Value::string("hvc1")]);
    let first = connect(Value::object([("fourCcList", list)]));
    assert!(
        matches!(first.get("fourCcList"), Some(Value::StrictArray(list)) if list.contains(&Value::string("hvc1")))
    );
    assert_eq!(first.get("capsEx"), None);
    let second = connect(Value::object([("capsEx", Value::Number(15.0))]));
    assert_eq!(second.get("capsEx"), Some(&Value::Number(0.0)));
    let map = second.get("videoFourCcInfoMap").unwrap();
    assert_eq!(map.get("av01"), Some(&Value::Number(4.0)));
    assert_eq!(map.get("Opus"), None);
}

#[test]
fn pings_are_answered() {
    let answers = Raw::new().message(4, &[0, 6, 1, 2, 3, 4]);
    assert_eq!(answers[0].payload[..], [0, 7, 1, 2, 3, 4]);
}

#[test]
fn commands_out_of_place_are_named_with_their_place() {
    let mut raw = Raw::new();
    raw.call("play", 1.0, &[Value::Null, Value::string("cam")]);
    assert_eq!(
        raw.failure(),
        "byte 3124: command \"play\" comes before connect"
    );

    let mut raw = Raw::connected();
    raw.call("connect", 1.0, &[Value::Null]);
    assert!(raw.failure().ends_with("command \"connect\" comes twice"));

    let mut raw = Raw::connected();
    raw.call("publish", 1.0, &[Value::Null]);
    assert!(
        raw.failure()
            .ends_with("command \"publish\" names no stream")
    );

    let mut raw = Raw::publishing();
    raw.call("play", 1.0, &[Value::Null, Value::string("cam")]);
    assert!(raw.failure().ends_with("comes while a stream is running"));

    let mut raw = Raw::connected();
    raw.message(COMMAND, &[2, 0, 9, b'x']);
    assert!(
        raw.failure()
            .ends_with("AMF at 3: 9 more bytes expected, 1 left")
    );
}

#[test]
fn control_messages_that_are_none() {
    for (kind, payload) in [
        (1, &[0, 0, 0, 0][..]),
        (1, &[0]),
        (2, &[]),
        (4, &[0]),
        (5, &[1]),
    ] {
        let mut raw = Raw::new();
        raw.message(kind, payload);
        assert!(
            matches!(
                raw.events[..],
                [Event::Closed(Closed::Failed(Error::Malformed { .. }))]
            ),
            "{kind}: {:?}",
            raw.events
        );
    }
}

#[test]
fn media_is_heard_only_of_a_publisher() {
    let mut raw = Raw::connected();
    raw.message(9, b"too early");
    assert_eq!(raw.events, []);
    let mut raw = Raw::publishing();
    raw.message(9, b"frame");
    assert!(matches!(&raw.events[..], [Event::Media(media)] if media.payload == "frame"));
}

#[test]
fn debug_shows_no_key() {
    let mut raw = Raw::new();
    let object = Value::object([
        ("app", Value::string("live?key=secret")),
        ("tcUrl", Value::string("rtmp://edge/live?key=secret")),
    ]);
    raw.call("connect", 1.0, &[object]);
    raw.call("play", 0.0, &[Value::Null, Value::string("cam?key=secret")]);
    assert_eq!(raw.events.len(), 2);
    assert!(!format!("{:?} {:?}", raw.events, raw.server).contains("secret"));
    let redirect = Refusal::redirect("rtmp://other/live/cam?key=secret");
    assert!(!format!("{redirect:?}").contains("secret"));
}

#[test]
fn who_has_not_connected_is_closed_without_words() {
    let now = epoch();
    let mut server = Server::new(now, ServerConfig::default(), 1);
    server.refuse(
        now,
        &Refusal::new(code::CONNECT_CLOSED, "the server goes away"),
    );
    assert_eq!(
        server.poll_output(),
        Output::Event(Event::Closed(Closed::Local))
    );
    assert_eq!(server.poll_output(), Output::Close);
}
