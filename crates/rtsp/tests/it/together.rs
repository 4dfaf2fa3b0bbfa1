//! Our client plays from and records to our server.

use std::time::Duration;

use headworks_rtsp::{
    Client, Output, Packet, Start, auth, client, message,
    server::{self, Asked},
};
use proptest::prelude::*;

use crate::memory::{Pair, Pieces, Rules, Via, client_config, description};

const URL: &str = "rtsp://10.0.0.1:554/site/gate?x=1";

fn play(url: &str, login: Option<(&str, &str)>) -> impl FnOnce(std::time::Instant) -> Client {
    let config = client_config(url, login);
    |now| Client::play(config, now)
}

fn record(login: Option<(&str, &str)>) -> impl FnOnce(std::time::Instant) -> Client {
    let config = client_config(URL, login);
    |now| Client::record(config, now, description())
}

fn frame(channel: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = message::frame_header(channel, data.len())
        .expect("fits")
        .to_vec();
    frame.extend_from_slice(data);
    frame
}

#[test]
fn a_viewer_plays_over_tcp_on_the_servers_channels() {
    let mut pair = Pair::new(play(URL, None), Rules::default());
    pair.settle().unwrap();
    let starts = [0, 1].map(|track| Start {
        track,
        seq: Some(100),
        rtptime: Some(9000),
    });
    let path = |channels| client::Path::Tcp { channels };
    assert_eq!(
        pair.client_events,
        [
            client::Event::Described(description()),
            client::Event::SetUp {
                track: 0,
                path: path((10, 11)),
                ssrc: Some(0xabc)
            },
            client::Event::SetUp {
                track: 1,
                path: path((12, 13)),
                ssrc: Some(0xabc)
            },
            client::Event::Playing {
                starts: starts.to_vec()
            },
        ]
    );

    let media = [
        frame(10, b"video"),
        frame(13, b"report"),
        frame(77, b"stray"),
    ]
    .concat();
    pair.client.handle_input(pair.now, &media).unwrap();
    pair.client_events.clear();
    pair.settle().unwrap();
    let packet = |track, kind, data: &'static [u8]| client::Event::Packet {
        track,
        kind,
        data: data.into(),
    };
    assert_eq!(
        pair.client_events,
        [
            packet(0, Packet::Rtp, b"video"),
            packet(1, Packet::Rtcp, b"report")
        ]
    );
    assert_eq!(pair.client.stray_frames(), 1);
}

#[test]
fn a_viewer_plays_over_udp_and_falls_back_when_it_is_refused() {
    let mut pair = Pair::new(play(URL, None), Rules::default());
    pair.via = Via::Udp;
    pair.settle().unwrap();
    assert!(matches!(
        pair.client_events[1],
        client::Event::SetUp {
            track: 0,
            path: client::Path::Udp {
                client: (5000, 5001),
                server: Some((6000, 6001)),
                source: None
            },
            ..
        }
    ));
    assert!(matches!(
        pair.client_events[3],
        client::Event::Playing { .. }
    ));

    for (via, rules) in [
        (
            Via::Udp,
            Rules {
                udp: false,
                ..Rules::default()
            },
        ),
        (
            Via::Tcp,
            Rules {
                tcp: false,
                ..Rules::default()
            },
        ),
    ] {
        let mut pair = Pair::new(play(URL, None), rules);
        pair.via = via;
        pair.settle().unwrap();
        let refused = client::Event::TransportRefused {
            track: 0,
            tried: pair.via(0),
        };
        assert_eq!(pair.client_events[1], refused);
        pair.via = if via == Via::Udp { Via::Tcp } else { Via::Udp };
        let plan = [(0, pair.via(0)), (1, pair.via(1))];
        pair.client.setup(pair.now, &plan).unwrap();
        pair.settle().unwrap();
        assert!(matches!(
            pair.client_events[4],
            client::Event::Playing { .. }
        ));
    }
}

#[test]
fn a_session_half_set_up_is_given_up_before_the_other_transport() {
    let mut pair = Pair::new(play(URL, None), Rules::default());
    // The first track is let through by UDP, the second is not.
    pair.via = Via::Udp;
    while pair.server.session_id().is_none() {
        pair.settle_one_way();
    }
    pair.rules.udp = false;
    pair.settle().unwrap();
    let refused = client::Event::TransportRefused {
        track: 1,
        tried: pair.via(1),
    };
    assert_eq!(pair.client_events.last(), Some(&refused));
    let plan = [(0, client::Via::Tcp), (1, client::Via::Tcp)];
    pair.client.setup(pair.now, &plan).unwrap();
    pair.settle().unwrap();
    assert!(pair.server_events.contains(&server::Event::Teardown));
    assert!(matches!(
        pair.client_events.last(),
        Some(client::Event::Playing { .. })
    ));
}

#[test]
fn passwords_are_checked_by_every_scheme() {
    let odd = "p@ss:w/rd \"\\%41ü";
    for schemes in [
        auth::Schemes::Basic,
        auth::Schemes::Digest,
        auth::Schemes::DigestOrBasic,
    ] {
        let rules = Rules {
            password: Some(odd),
            schemes,
            ..Rules::default()
        };
        let mut pair = Pair::new(play(URL, Some(("admin", odd))), rules.clone());
        pair.settle().unwrap();
        assert!(matches!(
            pair.client_events.last(),
            Some(client::Event::Playing { .. })
        ));

        let mut wrong = Pair::new(play(URL, Some(("admin", "guess"))), rules.clone());
        let error = wrong.settle().unwrap_err();
        assert_eq!(error.to_string(), "wrong user name or password");

        let mut none = Pair::new(play(URL, None), rules);
        let error = none.settle().unwrap_err();
        assert_eq!(error.to_string(), "it asks for a user name and a password");
    }
}

#[test]
fn a_token_in_the_query_needs_no_password() {
    let rules = Rules {
        password: Some("t0ken"),
        ..Rules::default()
    };
    let mut pair = Pair::new(play("rtsp://10.0.0.1/gate?token=t0ken", None), rules);
    pair.settle().unwrap();
    assert!(matches!(
        pair.client_events.last(),
        Some(client::Event::Playing { .. })
    ));
    let server::Event::Describe(asked) = &pair.server_events[0] else {
        panic!("{:?}", pair.server_events);
    };
    let asked: &Asked = asked;
    assert_eq!(asked.secret("token").as_deref(), Some("t0ken"));
}

#[test]
fn keep_alives_hold_a_session_for_an_hour() {
    let rules = Rules {
        password: Some("secret"),
        schemes: auth::Schemes::Digest,
        ..Rules::default()
    };
    let mut pair = Pair::new(play(URL, Some(("admin", "secret"))), rules);
    pair.run_for(Duration::from_secs(3600)).unwrap();
    let kept = pair
        .server_events
        .iter()
        .filter(|e| **e == server::Event::KeepAlive)
        .count();
    assert_eq!(kept, 120);
    assert!(pair.server.session_id().is_some());
}

#[test]
fn silence_ends_a_session_and_reports_keep_it() {
    let mut pair = Pair::new(play(URL, None), Rules::default());
    pair.settle().unwrap();
    for _ in 0..5 {
        pair.now += Duration::from_secs(50);
        pair.server.handle_timeout(pair.now);
        pair.server.note_activity(pair.now);
    }
    assert!(pair.server.session_id().is_some());
    pair.now += Duration::from_secs(60);
    pair.server.handle_timeout(pair.now);
    assert_eq!(
        pair.server.poll_output(),
        Output::Event(server::Event::Timeout)
    );
    assert_eq!(pair.server.poll_output(), Output::Wait(None));
    assert!(pair.server.session_id().is_none());
}

#[test]
fn a_publisher_records_and_says_goodbye() {
    let rules = Rules {
        password: Some("key"),
        schemes: auth::Schemes::Basic,
        ..Rules::default()
    };
    let mut pair = Pair::new(record(Some(("", "key"))), rules);
    pair.settle().unwrap();
    assert_eq!(pair.client_events[0], client::Event::Announced);
    assert_eq!(pair.client_events.last(), Some(&client::Event::Recording));
    let announced = pair.server_events.iter().find_map(|event| match event {
        server::Event::Announce(_, description) => Some(description.clone()),
        _ => None,
    });
    assert_eq!(announced, Some(description()));
    pair.server
        .handle_input(pair.now, &frame(12, b"sound"))
        .unwrap();
    pair.settle().unwrap();
    let packet = server::Event::Packet {
        track: 1,
        kind: Packet::Rtp,
        data: "sound".into(),
    };
    assert_eq!(pair.server_events.last(), Some(&packet));

    pair.client.teardown(pair.now);
    pair.settle().unwrap();
    assert_eq!(pair.server_events.last(), Some(&server::Event::Teardown));
    assert_eq!(pair.client_events.last(), Some(&client::Event::Closed));
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same(
        sizes in prop::collection::vec(1_usize..400, 1..20),
        udp in any::<bool>(),
        publishes in any::<bool>(),
    ) {
        let rules = Rules { password: Some("secret"), ..Rules::default() };
        let login = Some(("admin", "secret"));
        let new = || match publishes {
            true => Pair::new(record(login), rules.clone()),
            false => Pair::new(play(URL, login), rules.clone()),
        };
        let (mut whole, mut split) = (new(), new());
        for pair in [&mut whole, &mut split] {
            pair.via = if udp { Via::Udp } else { Via::Tcp };
        }
        split.pieces = Pieces::new(sizes);
        whole.settle().unwrap();
        split.settle().unwrap();
        prop_assert_eq!(&whole.client_events, &split.client_events);
        prop_assert_eq!(&whole.server_events, &split.server_events);
        prop_assert!(whole.client_events.len() >= 4);
    }
}
