use std::time::Duration;

use bytes::Bytes;
use headworks_rtmp::{
    Client, ClientEvent, Closed, Error, Event, Limits, Media, MediaKind, Output, Refusal, Server,
    ServerConfig, code, wire,
};
use proptest::prelude::*;

use crate::pair::{Pair, epoch, url};

fn metadata() -> Bytes {
    Bytes::from_static(b"\x02\0\x0aonMetaData\x08\0\0\0\0\0\0\x09")
}

/// Up to the wish to publish.
fn publishing(config: ServerConfig) -> Pair {
    let mut pair = Pair::new(config, Client::publish, url("live/cam?key=secret"));
    assert!(matches!(pair.server_event(), Event::Connect(connect) if connect.app == "live"));
    pair
}

fn accepted(mut pair: Pair) -> Pair {
    let Event::Publish(publish) = pair.server_event() else {
        panic!("no wish to publish");
    };
    assert_eq!(
        (&*publish.target.app, &*publish.target.name),
        ("live", "cam")
    );
    assert_eq!(
        publish.target.query.parameter("key").as_deref(),
        Some("secret")
    );
    pair.quiet();
    pair.server.accept_publish(pair.now);
    assert_eq!(pair.client_event(), ClientEvent::Ready);
    pair
}

fn playing() -> Pair {
    let mut pair = Pair::new(ServerConfig::default(), Client::play, url("live/cam"));
    pair.server_event();
    assert!(matches!(pair.server_event(), Event::Play(play) if play.target.name == "cam"));
    pair.server.accept_play(pair.now);
    assert_eq!(pair.client_event(), ClientEvent::Ready);
    // Flash's permission to read samples.
    assert!(
        matches!(pair.client_event(), ClientEvent::Media(media) if media.kind == MediaKind::Data)
    );
    pair
}

fn kinds() -> impl Strategy<Value = MediaKind> {
    prop_oneof![
        Just(MediaKind::Audio),
        Just(MediaKind::Video),
        Just(MediaKind::Data)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_published_arrives_and_what_is_played_too(
        messages in prop::collection::vec(
            (kinds(), any::<u32>(), prop_oneof![0_usize..300, 65_000_usize..140_000]),
            1..6,
        ),
        steps in prop::collection::vec(prop_oneof![1_usize..40, 1000_usize..9000], 1..8),
    ) {
        let media: Vec<_> = messages
            .into_iter()
            .map(|(kind, timestamp, length)| Media {
                kind,
                timestamp,
                payload: (0..length).map(|n| n as u8).collect(),
            })
            .collect();
        let mut publish = accepted(publishing(ServerConfig::default()).in_steps(steps.clone()));
        let mut play = playing().in_steps(steps);
        for sent in &media {
            let pieces = sent.payload.split_at(sent.payload.len() / 3);
            let bytes = publish.client.media(sent.kind, sent.timestamp, &[pieces.0, pieces.1]);
            publish.to_server.extend(&bytes.unwrap());
            prop_assert_eq!(publish.server_event(), Event::Media(sent.clone()));
            play.to_client.extend(&wire::message(sent.kind, sent.timestamp, &sent.payload));
            prop_assert_eq!(play.client_event(), ClientEvent::Media(sent.clone()));
        }
        publish.client.finish(publish.now);
        prop_assert_eq!(publish.server_event(), Event::Stopped);
        play.server.finish_play(play.now);
        let end = loop {
            match play.client_event() {
                ClientEvent::Media(media) => prop_assert!(false, "late {:?}", media),
                event => break event,
            }
        };
        prop_assert!(matches!(end, ClientEvent::Closed(Closed::Peer(Some(_)))));
    }

    #[test]
    fn garbage_after_the_handshake_does_not_panic(
        garbage in prop::collection::vec(prop_oneof![0_u8..24, any::<u8>()], 0..500),
        kind in 0_u8..24,
        step in 1_usize..600,
    ) {
        // A whole message of the kind, then anything.
        let mut bytes = vec![3, 0, 0, 0, 0, 0, garbage.len().min(100) as u8, kind, 0, 0, 0, 0];
        bytes.extend_from_slice(&garbage);
        for mut pair in [
            publishing(ServerConfig::default()),
            accepted(publishing(ServerConfig::default())),
            playing(),
        ] {
            for part in bytes.chunks(step) {
                pair.server.handle_input(pair.now, Bytes::copy_from_slice(part));
                pair.client.handle_input(pair.now, Bytes::copy_from_slice(part));
                drain(&mut pair);
            }
        }
    }
}

fn drain(pair: &mut Pair) {
    while !matches!(pair.server.poll_output(), Output::Wait(_) | Output::Close) {}
    while !matches!(pair.client.poll_output(), Output::Wait(_) | Output::Close) {}
}

#[test]
fn metadata_is_marked_for_the_server_and_arrives_without_the_mark() {
    let mut pair = accepted(publishing(ServerConfig::default()));
    let bytes = pair
        .client
        .media(MediaKind::Data, 0, &[&metadata()])
        .unwrap();
    assert!(bytes.windows(13).any(|bytes| bytes == b"@setDataFrame"));
    pair.to_server.extend(&bytes);
    assert!(matches!(pair.server_event(), Event::Media(media) if media.payload == metadata()));
}

#[test]
fn a_refused_publisher_is_told_why_before_the_connection_ends() {
    let mut pair = publishing(ServerConfig::default());
    assert!(matches!(pair.server_event(), Event::Publish(_)));
    let refusal = Refusal::new(code::PUBLISH_BAD_NAME, "the key is revoked");
    pair.server.refuse(pair.now, &refusal);
    assert_eq!(pair.client_event(), ClientEvent::Refused(refusal));
    assert_eq!(pair.client_event(), ClientEvent::Closed(Closed::Peer(None)));
    assert_eq!(pair.server_event(), Event::Closed(Closed::Local));
    assert!(pair.server_closed && pair.client_closed);
}

#[test]
fn a_player_is_sent_elsewhere() {
    let mut pair = Pair::new(ServerConfig::default(), Client::play, url("live/cam"));
    pair.server_event();
    pair.server_event();
    let refusal = Refusal::redirect("rtmp://other/live/cam?token=t");
    pair.server.refuse(pair.now, &refusal);
    assert_eq!(pair.client_event(), ClientEvent::Refused(refusal));
}

#[test]
fn a_connection_is_refused_before_a_stream_is_named_if_so_configured() {
    let mut pair = publishing(ServerConfig {
        ask_connect: true,
        ..ServerConfig::default()
    });
    pair.quiet();
    let refusal = Refusal::new(code::CONNECT_REJECTED, "no such application");
    pair.server.refuse(pair.now, &refusal);
    assert_eq!(pair.client_event(), ClientEvent::Refused(refusal));

    let mut pair = publishing(ServerConfig {
        ask_connect: true,
        ..ServerConfig::default()
    });
    pair.server.accept_connect(pair.now);
    accepted(pair);
}

#[test]
fn a_publisher_whose_key_is_revoked_is_told() {
    let mut pair = accepted(publishing(ServerConfig::default()));
    let refusal = Refusal::new(code::PUBLISH_DENIED, "the key was revoked");
    pair.server.refuse(pair.now, &refusal);
    assert_eq!(pair.client_event(), ClientEvent::Refused(refusal));
}

#[test]
fn a_publisher_may_stop_and_a_slow_one_is_not_waited_for() {
    let mut pair = accepted(publishing(ServerConfig::default()));
    pair.client.finish(pair.now);
    assert_eq!(pair.server_event(), Event::Stopped);
    assert_eq!(pair.client_event(), ClientEvent::Closed(Closed::Local));
    pair.later(Duration::from_secs(10));
    assert!(matches!(
        pair.server_event(),
        Event::Closed(Closed::Failed(Error::Timeout { .. }))
    ));
}

#[test]
fn whoever_says_nothing_is_closed_in_time_on_both_ends() {
    let now = epoch();
    let config = ServerConfig::default();
    let mut server = Server::new(now, config.clone(), 0);
    assert_eq!(
        server.poll_output(),
        Output::Wait(Some(now + config.setup_within))
    );
    server.handle_timeout(now + config.setup_within / 2);
    assert_eq!(
        server.poll_output(),
        Output::Wait(Some(now + config.setup_within))
    );
    server.handle_timeout(now + config.setup_within);
    let Output::Event(Event::Closed(Closed::Failed(error))) = server.poll_output() else {
        panic!("still open");
    };
    assert_eq!(
        error.to_string(),
        "a wish to publish or to play did not come within 10s"
    );
    assert_eq!(server.poll_output(), Output::Close);

    let mut pair = publishing(config);
    assert!(matches!(pair.server_event(), Event::Publish(_)));
    pair.quiet();
    assert_eq!(
        pair.server_wait, None,
        "the embedder has the time that it needs"
    );
    pair.later(Duration::from_secs(10));
    assert!(matches!(
        pair.client_event(),
        ClientEvent::Closed(Closed::Failed(Error::Timeout { .. }))
    ));
}

#[test]
fn a_silent_publisher_is_pinged_and_lives_as_long_as_it_answers() {
    let mut pair = accepted(publishing(ServerConfig::default()));
    for _ in 0..5 {
        pair.quiet();
        assert_eq!(pair.server_wait, Some(pair.now + Duration::from_secs(10)));
        pair.later(Duration::from_secs(10));
    }
    pair.quiet();
    // Now its answers get lost.
    pair.later(Duration::from_secs(10));
    assert!(matches!(pair.server.poll_output(), Output::Send(_)));
    pair.quiet();
    assert_eq!(pair.server_wait, Some(pair.now + Duration::from_secs(20)));
    pair.later(Duration::from_secs(20));
    assert!(matches!(
        pair.server_event(),
        Event::Closed(Closed::Failed(Error::Timeout { .. }))
    ));
}

#[test]
fn input_is_acknowledged_in_time() {
    let mut pair = accepted(publishing(ServerConfig::default()));
    pair.quiet();
    let payload = vec![0; 1 << 20];
    let mut acknowledged = 0;
    for _ in 0..5 {
        let message = pair.client.media(MediaKind::Video, 0, &[&payload]).unwrap();
        pair.server.handle_input(pair.now, message);
        loop {
            match pair.server.poll_output() {
                Output::Send(bytes) => {
                    assert_eq!(bytes[..8], [2, 0, 0, 0, 0, 0, 4, 3]);
                    acknowledged = u32::from_be_bytes(bytes[12..].try_into().unwrap());
                }
                Output::Event(_) => {}
                Output::Wait(_) => break,
                Output::Close => panic!("closed"),
            }
        }
    }
    assert!((4 << 20..6 << 20).contains(&acknowledged), "{acknowledged}");
}

/// A command that is not answered, as a client's.
fn idle_command() -> Bytes {
    let payload = b"\x02\0\x04seek\0\0\0\0\0\0\0\0\0";
    let mut bytes = vec![3, 0, 0, 0, 0, 0, payload.len() as u8, 20, 0, 0, 0, 0];
    bytes.extend_from_slice(payload);
    bytes.into()
}

#[test]
fn commands_without_end_are_a_reason_to_close() {
    let mut pair = accepted(publishing(ServerConfig::default()));
    let send = |pair: &mut Pair, count: u32| {
        for _ in 0..count {
            pair.server.handle_input(pair.now, idle_command());
            drain(pair);
        }
        pair.server.poll_output()
    };
    for _ in 0..5 {
        assert!(matches!(send(&mut pair, 40), Output::Wait(_)));
        pair.later(Duration::from_secs(5));
    }
    assert_eq!(send(&mut pair, 65), Output::Close);
}

#[test]
fn what_is_sent_before_an_answer_is_kept_up_to_a_limit() {
    let mut pair = publishing(ServerConfig {
        limits: Limits {
            held_input: 1000,
            ..Limits::default()
        },
        ..ServerConfig::default()
    });
    assert!(matches!(pair.server_event(), Event::Publish(_)));
    pair.quiet();
    let early = wire::message(MediaKind::Audio, 5, &[7; 400]);
    pair.server.handle_input(pair.now, early.clone());
    pair.server.handle_input(pair.now, early.clone());
    pair.server.accept_publish(pair.now);
    for _ in 0..2 {
        assert!(
            matches!(pair.server_event(), Event::Media(media) if media.payload[..] == [7; 400])
        );
    }
    let mut pair = publishing(ServerConfig {
        limits: Limits {
            held_input: 1000,
            ..Limits::default()
        },
        ..ServerConfig::default()
    });
    assert!(matches!(pair.server_event(), Event::Publish(_)));
    pair.quiet();
    for _ in 0..3 {
        pair.server.handle_input(pair.now, early.clone());
    }
    assert!(matches!(
        pair.server_event(),
        Event::Closed(Closed::Failed(Error::Limit { limit: 1000, .. }))
    ));
}

/// The first chunk of a message, on a chunk stream of its own, behind Set Chunk Size.
fn begin(chunk_stream: u8, length: usize, kind: u8) -> Vec<u8> {
    let [.., high, middle, low] = (length as u32).to_be_bytes();
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 128];
    bytes.extend_from_slice(&[chunk_stream, 0, 0, 0, high, middle, low, kind, 1, 0, 0, 0]);
    bytes.resize(bytes.len() + 128, 7);
    bytes
}

#[test]
fn only_who_may_publish_may_send_what_publishers_do() {
    const COMMAND: usize = 256 << 10;
    let limit_of = |pair: &mut Pair, bytes: &[u8]| {
        pair.to_server.extend(bytes);
        match pair.server_event() {
            Event::Closed(Closed::Failed(Error::Limit { limit, .. })) => limit,
            event => panic!("{event:?}"),
        }
    };
    // Audio, video, an aggregate, a command.
    for kind in [8, 9, 22, 20] {
        let mut pair = playing();
        let limit = limit_of(&mut pair, &begin(9, COMMAND + 1, kind));
        assert_eq!(limit, COMMAND as u64, "{kind}");
    }
    // Nor may they be many.
    let mut pair = playing();
    let parts: Vec<u8> = (9..12).flat_map(|id| begin(id, COMMAND, 9)).collect();
    assert_eq!(limit_of(&mut pair, &parts), 2 * COMMAND as u64);
    // A publisher may.
    let mut pair = accepted(publishing(ServerConfig::default()));
    let parts: Vec<u8> = (9..12).flat_map(|id| begin(id, COMMAND, 9)).collect();
    pair.to_server.extend(parts);
    pair.to_server.extend(begin(13, 8 << 20, 9));
    pair.quiet();
}

#[test]
fn an_aggregate_message_is_taken_apart() {
    let mut pair = accepted(publishing(ServerConfig::default()));
    let tags = b"\x09\0\0\x01\0\0\x05\0\0\0\0v\0\0\0\x0c\x08\0\0\x02\0\0\x08\0\0\0\0ab\0\0\0\x0d";
    let mut message = vec![5, 0, 0, 100, 0, 0, tags.len() as u8, 22, 1, 0, 0, 0];
    message.extend_from_slice(tags);
    pair.to_server.extend(&message);
    let mut media = || match pair.server_event() {
        Event::Media(media) => (media.kind, media.timestamp, media.payload.to_vec()),
        event => panic!("{event:?}"),
    };
    assert_eq!(media(), (MediaKind::Video, 100, b"v".to_vec()));
    // The server's events come together.
    assert_eq!(media(), (MediaKind::Audio, 103, b"ab".to_vec()));
}
