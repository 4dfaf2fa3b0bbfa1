//! Transcripts of clients: what each request is answered with, in each state.

use super::*;
use crate::{
    Packet, Start,
    auth::{self, Credentials},
    sdp::{Format, Kind, Media},
};

struct Talk {
    now: Instant,
    server: Server,
    events: Vec<Event>,
}

#[expect(clippy::disallowed_methods, reason = "the beginning of virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn description() -> Description {
    let mut description = Description::new("gate");
    let video = Format::new(96, "H264", 90_000);
    let audio = Format::new(8, "PCMA", 8000);
    description.media = vec![
        Media::new(Kind::Video, video).with_control("trackID=0"),
        Media::new(Kind::Audio, audio).with_control("trackID=1"),
    ];
    description
}

impl Talk {
    fn new() -> Self {
        let now = start();
        let lifetime = Duration::from_secs(60);
        let config = Config {
            realm: Realm::new("headworks", [0; 32], lifetime, now),
            name: "test".to_owned(),
            session_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(10),
            setup_timeout: Duration::from_secs(300),
            login_attempts: 3,
            limits: Limits::default(),
            seed: 1,
        };
        Self {
            now,
            server: Server::new(config, now),
            events: Vec::new(),
        }
    }

    /// The client says this; what is answered.
    fn hear(&mut self, text: &str) -> String {
        self.server
            .handle_input(self.now, text.replace('\n', "\r\n").as_bytes())
            .unwrap();
        self.drain()
    }

    /// As [`Self::hear`], with a number that is in the answer too.
    fn hear_numbered(&mut self, text: &str) -> String {
        let (line, rest) = text.split_once('\n').expect("has a first line");
        let answer = self.hear(&format!("{line}\nCSeq: 9\n{rest}"));
        assert!(answer.contains("\nCSeq: 9\n"), "{answer}");
        answer.replace("CSeq: 9\n", "")
    }

    fn drain(&mut self) -> String {
        let mut sent = String::new();
        loop {
            match self.server.poll_output() {
                Output::Send(bytes) => sent.push_str(std::str::from_utf8(&bytes).unwrap()),
                Output::Event(event) => self.events.push(event),
                Output::Wait(_) => return sent.replace("Server: test\r\n", "").replace('\r', ""),
            }
        }
    }

    fn describe(&mut self) -> String {
        assert_eq!(
            self.hear("DESCRIBE rtsp://h/gate?token=t RTSP/1.0\nCSeq: 2\n\n"),
            ""
        );
        self.server
            .accept_describe(self.now, &description())
            .unwrap();
        self.drain()
    }

    fn set_up(&mut self, track: u8) -> String {
        let request = format!(
            "SETUP rtsp://h/gate/trackID={track} RTSP/1.0\nCSeq: 3\nTransport: RTP/AVP/TCP;interleaved=0-1\n\n"
        );
        assert_eq!(self.hear(&request), "");
        let channels = (2 * track, 2 * track + 1);
        let grant = Grant::Tcp {
            channels,
            ssrc: Some(0xab),
        };
        self.server.accept_setup(self.now, grant).unwrap();
        self.drain()
    }

    fn session(&self) -> String {
        self.server.session_id().unwrap().to_owned()
    }

    fn playing() -> Self {
        let mut talk = Self::new();
        talk.describe();
        talk.set_up(0);
        talk.set_up(1);
        talk.hear("PLAY rtsp://h/gate/ RTSP/1.0\nCSeq: 4\n\n");
        talk.server.accept_play(talk.now, &[]).unwrap();
        talk.drain();
        talk
    }
}

#[test]
fn a_viewer_from_the_first_to_the_last_word() {
    let mut talk = Talk::new();
    assert_eq!(
        talk.hear("OPTIONS rtsp://h/gate RTSP/1.0\nCSeq: 1\n\n"),
        "RTSP/1.0 200 OK\nCSeq: 1\nPublic: OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER\n\n"
    );
    let described = talk.describe();
    let body = description().to_string();
    assert_eq!(
        described,
        format!(
            "RTSP/1.0 200 OK\nCSeq: 2\nContent-Base: rtsp://h/gate/\nContent-Type: application/sdp\nCache-Control: no-cache\nContent-Length: {}\n\n{}",
            body.len(),
            body.replace('\r', "")
        )
    );
    let set_up = talk.set_up(1);
    let session = talk.session();
    assert_eq!(
        set_up,
        format!(
            "RTSP/1.0 200 OK\nCSeq: 3\nSession: {session};timeout=60\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=000000AB\n\n"
        )
    );
    talk.set_up(0);
    assert_eq!(talk.session(), session);
    talk.hear(&format!(
        "PLAY rtsp://h/gate/ RTSP/1.0\nCSeq: 4\nSession: {session}\nRange: npt=0.000-\n\n"
    ));
    let play = Event::Play {
        tracks: vec![0, 1],
        range: Some("npt=0.000-".to_owned()),
    };
    assert_eq!(talk.events.last(), Some(&play));
    let starts = [(0, 7), (1, 9)].map(|(track, seq)| Start {
        track,
        seq: Some(seq),
        rtptime: Some(5),
    });
    talk.server.accept_play(talk.now, &starts).unwrap();
    assert_eq!(
        talk.drain(),
        format!(
            "RTSP/1.0 200 OK\nCSeq: 4\nSession: {session};timeout=60\nRange: npt=now-\nRTP-Info: url=rtsp://h/gate/trackID=0;seq=7;rtptime=5,url=rtsp://h/gate/trackID=1;seq=9;rtptime=5\n\n"
        )
    );
    let alive = format!("RTSP/1.0 200 OK\nCSeq: 5\nSession: {session};timeout=60\n\n");
    assert_eq!(
        talk.hear(&format!(
            "GET_PARAMETER rtsp://h/gate RTSP/1.0\nCSeq: 5\nSession: {session}\n\n"
        )),
        alive
    );
    assert_eq!(talk.events.last(), Some(&Event::KeepAlive));
    talk.hear("$\x03\0\x04rtcp");
    let packet = Event::Packet {
        track: 1,
        kind: Packet::Rtcp,
        data: "rtcp".into(),
    };
    assert_eq!(talk.events.last(), Some(&packet));
    assert_eq!(
        talk.hear("PAUSE rtsp://h/gate RTSP/1.0\nCSeq: 5\n\n"),
        alive
    );
    assert_eq!(talk.events.last(), Some(&Event::Pause));
    assert_eq!(
        talk.hear("TEARDOWN rtsp://h/gate/ RTSP/1.0\nCSeq: 6\n\n"),
        "RTSP/1.0 200 OK\nCSeq: 6\n\n"
    );
    assert_eq!(talk.events.last(), Some(&Event::Teardown));
    assert_eq!(talk.server.session_id(), None);
}

#[test]
fn what_cannot_be_in_a_session_is_refused() {
    let sdp = "m=video 0 RTP/AVP 96";
    let announce = format!(
        "ANNOUNCE rtsp://h/x RTSP/1.0\nContent-Type: application/sdp\nContent-Length: 20\n\n{sdp}"
    );
    for (request, answer) in [
        (
            "PLAY rtsp://h/gate RTSP/1.0\nSession: 12\n\n",
            "454 Session Not Found",
        ),
        (
            "PLAY rtsp://h/gate/trackID=0 RTSP/1.0\n\n",
            "460 Only Aggregate Operation Allowed",
        ),
        (
            "RECORD rtsp://h/gate RTSP/1.0\n\n",
            "455 Method Not Valid In This State",
        ),
        (
            "TEARDOWN rtsp://h/gate/trackID=0 RTSP/1.0\n\n",
            "460 Only Aggregate Operation Allowed",
        ),
        (
            "SETUP rtsp://h/gate/trackID=0 RTSP/1.0\nTransport: RTP/AVP/TCP\n\n",
            "455 Method Not Valid In This State",
        ),
        (
            "SETUP rtsp://h/gate RTSP/1.0\nTransport: RTP/AVP/TCP\n\n",
            "459 Aggregate Operation Not Allowed",
        ),
        (
            "SETUP rtsp://h/other/trackID=0 RTSP/1.0\nTransport: RTP/AVP/TCP\n\n",
            "459 Aggregate Operation Not Allowed",
        ),
        (&announce, "455 Method Not Valid In This State"),
        (
            "OPTIONS * RTSP/1.0\nRequire: a\nRequire: b\n\n",
            "551 Option Not Supported\nUnsupported: a, b",
        ),
        ("REDIRECT * RTSP/1.0\n\n", "405 Method Not Allowed"),
        ("FLY * RTSP/1.0\n\n", "501 Not Implemented"),
        (
            "SET_PARAMETER * RTSP/1.0\nContent-Length: 3\n\na:1",
            "451 Parameter Not Understood",
        ),
        (
            "DESCRIBE rtsp://h/gate RTSP/1.0\nAccept: text/html\n\n",
            "406 Not Acceptable",
        ),
        (
            "DESCRIBE http://h/gate RTSP/1.0\n\n",
            "400 Bad Request: not an RTSP URL",
        ),
        ("DESCRIBE * RTSP/1.0\n\n", "400 Bad Request: not a URL"),
    ] {
        let mut talk = Talk::playing();
        let sent = talk.hear_numbered(request);
        assert!(
            sent.starts_with(&format!("RTSP/1.0 {answer}\n")),
            "{request}{sent}"
        );
        assert!(talk.server.session_id().is_some());
    }
}

#[test]
fn what_cannot_be_without_a_session_is_refused() {
    for (request, answer) in [
        ("PLAY rtsp://h/gate RTSP/1.0\n\n", "454 Session Not Found"),
        ("PAUSE rtsp://h/gate RTSP/1.0\n\n", "454 Session Not Found"),
        (
            "SETUP rtsp://h/gate RTSP/1.0\nTransport: RTP/AVP/TCP\n\n",
            "459 Aggregate Operation Not Allowed",
        ),
        (
            "SETUP rtsp://h/gate/trackID=0 RTSP/1.0\n\n",
            "400 Bad Request: no Transport",
        ),
        (
            "SETUP rtsp://h/gate/trackID=0 RTSP/1.0\nTransport: RTP/AVP;multicast\n\n",
            "461 Unsupported Transport",
        ),
        (
            "SETUP rtsp://h/gate/trackID=0 RTSP/1.0\nTransport: RTP/AVP;client_port=0-1\n\n",
            "461 Unsupported Transport",
        ),
        (
            "SETUP rtsp://h/gate/trackID=0 RTSP/1.0\nTransport: RTP/SAVP/TCP\n\n",
            "461 Unsupported Transport",
        ),
        (
            "SETUP rtsp://h/gate/trackID=0 RTSP/1.0\nTransport: RTP/AVP/TCP;mode=record\n\n",
            "455 Method Not Valid In This State",
        ),
        (
            "ANNOUNCE rtsp://h/x RTSP/1.0\nContent-Type: text/plain\n\n",
            "415 Unsupported Media Type",
        ),
        (
            "ANNOUNCE rtsp://h/x RTSP/1.0\n\n",
            "400 Bad Request: expected a session description, found no m= line in 0 bytes: \"\"",
        ),
    ] {
        let mut talk = Talk::new();
        talk.describe();
        let sent = talk.hear_numbered(request);
        assert!(
            sent.starts_with(&format!("RTSP/1.0 {answer}\n")),
            "{request}{sent}"
        );
    }
}

/// Some players keep the address and skip DESCRIBE.
#[test]
fn a_setup_without_a_description_asks_for_one() {
    let setup = |track| {
        format!(
            "SETUP rtsp://h/gate?token=t/{track} RTSP/1.0\nCSeq: 1\nTransport: RTP/AVP;unicast;client_port=8-9\n\n"
        )
    };
    let mut talk = Talk::new();
    talk.hear(&setup("trackID=1"));
    let Some(Event::Describe(asked)) = talk.events.last() else {
        panic!("{:?}", talk.events);
    };
    assert_eq!(asked.url.as_str(), "rtsp://h/gate?token=t");
    talk.server
        .accept_describe(talk.now, &description())
        .unwrap();
    assert_eq!(talk.drain(), "");
    let offers = vec![Offer::Udp { client: (8, 9) }];
    assert_eq!(
        talk.events.last(),
        Some(&Event::Setup(Setup {
            track: 1,
            record: false,
            offers
        }))
    );

    let mut talk = Talk::new();
    talk.hear(&setup("other=1/more"));
    talk.server
        .accept_describe(talk.now, &description())
        .unwrap();
    assert_eq!(
        talk.drain(),
        "RTSP/1.0 459 Aggregate Operation Not Allowed\nCSeq: 1\n\n"
    );

    let mut talk = Talk::new();
    talk.hear("SETUP rtsp://h/gate/trackID=9 RTSP/1.0\nCSeq: 1\nTransport: RTP/AVP/TCP\n\n");
    talk.server
        .accept_describe(talk.now, &description())
        .unwrap();
    assert_eq!(talk.drain(), "RTSP/1.0 404 Not Found\nCSeq: 1\n\n");
}

#[test]
fn secrets_come_in_three_ways() {
    let asked = |url: &str, headers: &str| {
        let mut talk = Talk::new();
        talk.hear(&format!("DESCRIBE {url} RTSP/1.0\nCSeq: 1\n{headers}\n"));
        match talk.events.remove(0) {
            Event::Describe(asked) => asked,
            other => panic!("{other:?}"),
        }
    };
    let basic = "Authorization: Basic YW55OmszeQ==\n"; // any:k3y
    let only_name = "Authorization: Basic azN5Og==\n"; // k3y:
    for (url, headers, secret) in [
        ("rtsp://h/a?x=1&key=k3y", "", Some("k3y")),
        ("rtsp://h/a?key=%6b3y", basic, Some("k3y")),
        ("rtsp://h/a", basic, Some("k3y")),
        ("rtsp://h/a", only_name, Some("k3y")),
        ("rtsp://any:k%33y@h/a", "", Some("k3y")),
        ("/a?key=k3y", "", Some("k3y")),
        ("rtsp://h/a", "", None),
        ("rtsp://h/a", "Authorization: Basic !\n", None),
        ("rtsp://h/a", "Authorization: Digest username=\"a\"\n", None),
    ] {
        let asked = asked(url, headers);
        assert_eq!(asked.secret("key").as_deref(), secret, "{url} {headers}");
        // Nor is it printed.
        assert!(!format!("{asked:?}").contains("k3y"));
        assert_eq!((asked.url.username(), asked.url.path()), ("", "/a"));
    }
}

#[test]
fn wrong_passwords_are_counted_and_stale_nonces_are_not() {
    let mut talk = Talk::new();
    let request = "DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\nAuthorization: Basic YTpi\n\n";
    talk.hear("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\n\n");
    talk.server
        .challenge(talk.now, auth::Schemes::Basic, false)
        .unwrap();
    assert_eq!(
        talk.drain(),
        "RTSP/1.0 401 Unauthorized\nCSeq: 1\nWWW-Authenticate: Basic realm=\"headworks\"\n\n"
    );
    for stale in [false, true, true, false] {
        talk.hear(request);
        talk.server
            .challenge(talk.now, auth::Schemes::Basic, stale)
            .unwrap();
    }
    talk.hear(request);
    let error = talk.server.challenge(talk.now, auth::Schemes::Basic, false);
    assert_eq!(error, Err(Error::TooManyLogins { attempts: 3 }));
    assert!(talk.drain().starts_with("RTSP/1.0 401"));
    assert_eq!(talk.server.poll_output(), Output::Wait(None));
}

#[test]
fn an_old_nonce_is_told_to_be_stale() {
    let mut talk = Talk::new();
    talk.hear("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\n\n");
    talk.server
        .challenge(talk.now, auth::Schemes::Digest, false)
        .unwrap();
    let asked = talk.drain();
    let challenges = asked
        .lines()
        .filter_map(|line| line.strip_prefix("WWW-Authenticate: "));
    let login = auth::Login {
        username: "a".to_owned(),
        password: "b".to_owned(),
    };
    let mut client = auth::Authenticator::new(Some(login), 1);
    client.challenged(challenges).unwrap();
    let signed = client.authorize("DESCRIBE", "rtsp://h/a").unwrap();
    for (after, verdict) in [(0, Verdict::Right), (61, Verdict::Stale)] {
        talk.now += Duration::from_secs(after);
        talk.hear(&format!(
            "DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 2\nAuthorization: {signed}\n\n"
        ));
        let Some(Event::Describe(Asked {
            credentials: Some(Credentials::Digest(digest)),
            ..
        })) = talk.events.last()
        else {
            panic!("{:?}", talk.events);
        };
        assert_eq!(talk.server.verify(talk.now, digest, "b"), verdict);
        assert_eq!(talk.server.verify(talk.now, digest, "c"), Verdict::Wrong);
        talk.server
            .challenge(talk.now, auth::Schemes::Digest, verdict == Verdict::Stale)
            .unwrap();
        assert_eq!(
            talk.drain().contains("stale=true"),
            verdict == Verdict::Stale
        );
    }
}

#[test]
fn the_embedders_no_and_elsewhere() {
    let mut talk = Talk::new();
    talk.hear("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\n\n");
    talk.server
        .refuse(talk.now, 453, Some("Too many viewers"))
        .unwrap();
    assert_eq!(talk.drain(), "RTSP/1.0 453 Too many viewers\nCSeq: 1\n\n");
    talk.hear("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 2\n\n");
    talk.server
        .redirect(talk.now, &url::Url::parse("rtsp://b/a").unwrap())
        .unwrap();
    assert_eq!(
        talk.drain(),
        "RTSP/1.0 302 Moved Temporarily\nCSeq: 2\nLocation: rtsp://b/a\n\n"
    );
    let error = talk.server.refuse(talk.now, 404, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "refuse answers nothing: no such request waits"
    );
}

#[test]
fn requests_wait_for_the_one_before_them_but_not_without_end() {
    let mut talk = Talk::new();
    talk.hear("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\n\nOPTIONS * RTSP/1.0\nCSeq: 2\n\n");
    assert_eq!(talk.events.len(), 1);
    talk.server.refuse(talk.now, 404, None).unwrap();
    assert!(
        talk.drain()
            .starts_with("RTSP/1.0 404 Not Found\nCSeq: 1\n\nRTSP/1.0 200 OK\nCSeq: 2\n")
    );
    talk.hear("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 3\n\n");
    let flood = talk
        .server
        .handle_input(talk.now, &vec![b'$'; WAITING + 1])
        .unwrap_err();
    assert_eq!(
        flood.to_string(),
        "262145 bytes after a DESCRIBE that is not answered yet, expected at most 262144"
    );
}

#[test]
fn no_deadline_runs_while_the_embedder_decides() {
    let mut talk = Talk::new();
    talk.hear("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\n\n");
    assert_eq!(talk.server.poll_output(), Output::Wait(None));
    talk.now += Duration::from_secs(100);
    talk.server.handle_timeout(talk.now);
    assert_eq!(talk.events.len(), 1);
    talk.server.refuse(talk.now, 503, None).unwrap();
    assert!(talk.drain().starts_with("RTSP/1.0 503 Service Unavailable"));
    let idle = talk.now + Duration::from_secs(10);
    assert_eq!(talk.server.poll_output(), Output::Wait(Some(idle)));
}

#[test]
fn a_request_without_a_number_is_told_so() {
    let mut talk = Talk::new();
    assert_eq!(
        talk.hear("OPTIONS * RTSP/1.0\n\n"),
        "RTSP/1.0 400 Bad Request: no CSeq\n\n"
    );
    let answer = talk.hear("OPTIONS * RTSP/1.0\nCSeq: 2\n\n");
    assert!(answer.starts_with("RTSP/1.0 200 OK\nCSeq: 2\n"), "{answer}");
}

#[test]
fn two_lengths_of_one_body_are_refused() {
    let request = |first: &str, second: &str| {
        format!(
            "SET_PARAMETER * RTSP/1.0\nCSeq: 1\nContent-Length: {first}\nContent-Length: {second}\n\na:1"
        )
    };
    let mut talk = Talk::new();
    let same = talk.hear(&request("3", " 3"));
    assert!(same.starts_with("RTSP/1.0 451 "), "{same}");
    let input = request("3", "0").replace('\n', "\r\n");
    let refused = talk.server.handle_input(talk.now, input.as_bytes());
    assert!(refused.is_err());
    let answer = talk.drain();
    let why = "expected a number of bytes as Content-Length, found \"3 and 0\"";
    assert!(
        answer.starts_with("RTSP/1.0 400 Bad Request: byte "),
        "{answer}"
    );
    assert!(answer.contains(why), "{answer}");
}

#[test]
fn connections_that_say_nothing_end() {
    let mut talk = Talk::new();
    let idle = talk.now + Duration::from_secs(10);
    assert_eq!(talk.server.poll_output(), Output::Wait(Some(idle)));
    // Half a request is no sign of life.
    talk.now += Duration::from_secs(9);
    talk.hear("OPTIONS * RTSP/1.0\n");
    talk.server.handle_timeout(idle);
    assert_eq!(talk.server.poll_output(), Output::Event(Event::Timeout));

    let mut talk = Talk::new();
    let error = talk
        .server
        .handle_input(talk.now, b"GET / HTTP/1.1\r\n\r\n")
        .unwrap_err();
    assert!(error.to_string().starts_with("not RTSP: looks like HTTP"));
    assert_eq!(
        talk.drain(),
        "RTSP/1.0 400 Bad Request: not RTSP: looks like HTTP (\"GET / HTTP/1.1\\r\\n\\r\\n\")\n\n"
    );

    // RFC 7826 has the same first words.
    let mut talk = Talk::new();
    let error = talk
        .server
        .handle_input(talk.now, b"OPTIONS * RTSP/2.0\r\n")
        .unwrap_err();
    assert!(error.to_string().contains("RTSP 2.0"), "{error}");
    assert_eq!(talk.drain(), "RTSP/1.0 505 RTSP Version Not Supported\n\n");
}

/// Asks for options every nine seconds, until the connection ends.
fn lifetime_without_a_session(talk: &mut Talk) -> u64 {
    let begin = talk.now;
    talk.events.clear();
    loop {
        let due = talk.now + Duration::from_secs(9);
        match talk.server.poll_output() {
            Output::Wait(Some(deadline)) if deadline <= due => {
                talk.server.handle_timeout(deadline);
                talk.drain();
                assert_eq!(talk.events, [Event::Timeout]);
                return (deadline - begin).as_secs();
            }
            output => assert!(matches!(output, Output::Wait(Some(_))), "{output:?}"),
        }
        talk.now = due;
        talk.hear("OPTIONS * RTSP/1.0\nCSeq: 1\n\n");
    }
}

#[test]
fn connections_that_set_up_nothing_end() {
    let mut talk = Talk::new();
    talk.describe();
    assert_eq!(lifetime_without_a_session(&mut talk), 300);

    let mut talk = Talk::playing();
    talk.now += Duration::from_secs(59);
    talk.hear("OPTIONS * RTSP/1.0\nCSeq: 5\n\n");
    talk.now += Duration::from_secs(59);
    talk.hear("TEARDOWN rtsp://h/gate/ RTSP/1.0\nCSeq: 6\n\n");
    assert_eq!(lifetime_without_a_session(&mut talk), 300);

    // Without a pause in which somebody could look at the deadline.
    let mut talk = Talk::new();
    talk.now += Duration::from_secs(300);
    assert_eq!(talk.hear("OPTIONS * RTSP/1.0\nCSeq: 1\n\n"), "");
    assert_eq!(talk.events, [Event::Timeout]);
}
