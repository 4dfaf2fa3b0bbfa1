//! Transcripts in the style of cameras, one for each thing that was seen in the field.

use super::*;
use crate::{Start, sdp::Kind};

const PATIENCE: Duration = Duration::from_secs(10);
const SDP: &str = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\n";

/// A client, and what a camera would say to it.
struct Talk {
    now: Instant,
    client: Client,
    events: Vec<Event>,
    sent: Vec<String>,
    /// Chosen for every track.
    via: Via,
}

#[expect(clippy::disallowed_methods, reason = "the beginning of virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn config(url: &str) -> Config {
    Config {
        url: Url::parse(url).unwrap(),
        login: Some(Login {
            username: "admin".to_owned(),
            password: "x".to_owned(),
        }),
        user_agent: "test".to_owned(),
        patience: PATIENCE,
        limits: Limits::default(),
        seed: 0,
    }
}

impl Talk {
    fn new(url: &str) -> Self {
        let now = start();
        let mut talk = Self {
            now,
            client: Client::play(config(url), now),
            events: Vec::new(),
            sent: Vec::new(),
            via: Via::Tcp,
        };
        talk.drain();
        talk
    }

    /// The camera says this.
    fn hear(&mut self, text: &str) -> Result<(), Error> {
        let result = self
            .client
            .handle_input(self.now, text.replace('\n', "\r\n").as_bytes());
        self.drain();
        result
    }

    /// Time passes.
    fn wait(&mut self, time: Duration) -> Result<(), Error> {
        self.now += time;
        let result = self.client.handle_timeout(self.now);
        self.drain();
        result
    }

    fn drain(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Send(bytes) => self.sent.push(String::from_utf8(bytes.to_vec()).unwrap()),
                Output::Wait(_) => return,
                Output::Event(event) => {
                    if let Event::Described(description) = &event {
                        let plan: Vec<_> = description
                            .media
                            .iter()
                            .enumerate()
                            .filter(|(_, media)| media.is_playable())
                            .map(|(track, _)| (track, self.via))
                            .collect();
                        self.client.setup(self.now, &plan).unwrap();
                    }
                    self.events.push(event);
                }
            }
        }
    }

    fn last(&self) -> &str {
        self.sent.last().unwrap()
    }

    /// Up to the description, whose answer has these headers.
    fn describe(&mut self, headers: &str, sdp: &str) {
        self.hear(
            "RTSP/1.0 200 OK\nCSeq: 1\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER\n\n",
        )
        .unwrap();
        let head = format!("RTSP/1.0 200 OK\nCSeq: 2\nContent-Type: application/sdp\n{headers}");
        let length = sdp.len();
        self.hear(&format!("{head}Content-Length: {length}\n\n"))
            .unwrap();
        self.client.handle_input(self.now, sdp.as_bytes()).unwrap();
        self.drain();
    }

    /// Plays one track over TCP.
    fn playing() -> Self {
        let mut talk = Self::new("rtsp://cam/live");
        talk.describe("", SDP);
        talk.hear("RTSP/1.0 200 OK\nCSeq: 3\nSession: 7;timeout=60\nTransport: RTP/AVP/TCP;interleaved=0-1\n\n").unwrap();
        talk.hear("RTSP/1.0 200 OK\nCSeq: 4\n\n").unwrap();
        assert_eq!(talk.events.last(), Some(&Event::Playing { starts: vec![] }));
        talk
    }
}

fn first_line(request: &str) -> &str {
    request.lines().next().unwrap()
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn requests_have_what_they_need() {
    let mut talk = Talk::new("rtsp://admin:secret@cam:8554/live?a=b#c");
    talk.describe("Content-Base: rtsp://cam:8554/live/\n", SDP);
    talk.hear("RTSP/1.0 200 OK\nCSeq: 3\nSession: 7 ; timeout = 20\nTransport: RTP/AVP/TCP;interleaved=0-1\n\n").unwrap();
    let lines: Vec<_> = talk
        .sent
        .iter()
        .map(|request| first_line(request))
        .collect();
    assert_eq!(
        lines,
        [
            "OPTIONS rtsp://cam:8554/live?a=b RTSP/1.0",
            "DESCRIBE rtsp://cam:8554/live?a=b RTSP/1.0",
            "SETUP rtsp://cam:8554/live/trackID=1 RTSP/1.0",
            "PLAY rtsp://cam:8554/live/ RTSP/1.0",
        ]
    );
    assert_eq!(header(&talk.sent[1], "Accept"), Some("application/sdp"));
    assert_eq!(
        header(&talk.sent[2], "Transport"),
        Some("RTP/AVP/TCP;unicast;interleaved=0-1")
    );
    assert_eq!(header(talk.last(), "Session"), Some("7"));
    assert_eq!(header(talk.last(), "CSeq"), Some("4"));
    talk.hear("RTSP/1.0 200 OK\nCSeq: 4\nRTP-Info: url=rtsp://cam:8554/live/trackID=1;seq=9;rtptime=8\n\n").unwrap();
    let start = Start {
        track: 0,
        seq: Some(9),
        rtptime: Some(8),
    };
    assert_eq!(
        talk.events.last(),
        Some(&Event::Playing {
            starts: vec![start]
        })
    );
    // Half of the timeout.
    assert_eq!(
        talk.client.poll_output(),
        Output::Wait(Some(talk.now + Duration::from_secs(10)))
    );
    talk.wait(Duration::from_secs(10)).unwrap();
    assert_eq!(
        first_line(talk.last()),
        "GET_PARAMETER rtsp://cam:8554/live/ RTSP/1.0"
    );
    assert_eq!(header(talk.last(), "Session"), Some("7"));
}

/// A Dahua: the base has a query, and controls are joined behind it.
#[test]
fn a_base_with_a_query() {
    let mut talk = Talk::new("rtsp://cam/cam/realmonitor?channel=1&subtype=0");
    talk.describe(
        "Content-Base: rtsp://cam/cam/realmonitor?channel=1&subtype=0/\n",
        SDP,
    );
    assert_eq!(
        first_line(talk.last()),
        "SETUP rtsp://cam/cam/realmonitor?channel=1&subtype=0/trackID=1 RTSP/1.0"
    );
}

/// A cheap one: no Content-Base, no controls, no rtpmap, one track only.
#[test]
fn a_description_with_nothing_in_it() {
    let mut talk = Talk::new("rtsp://cam/11");
    talk.describe("", "m=video 0 RTP/AVP 26\n");
    assert_eq!(first_line(talk.last()), "SETUP rtsp://cam/11 RTSP/1.0");
    // And no Transport in the answer.
    talk.hear("RTSP/1.0 200 OK\nSession: 1\n\n").unwrap();
    let path = Path::Tcp { channels: (0, 1) };
    assert_eq!(
        talk.events.last(),
        Some(&Event::SetUp {
            track: 0,
            path,
            ssrc: None
        })
    );
    assert_eq!(first_line(talk.last()), "PLAY rtsp://cam/11 RTSP/1.0");
}

/// An ONVIF camera with metadata and a back channel.
#[test]
fn a_back_channel_is_told_from_the_tracks() {
    let mut talk = Talk::new("rtsp://cam/live");
    let sdp = format!(
        "{SDP}m=audio 0 RTP/AVP 0\na=control:trackID=2\na=recvonly\nm=audio 0 RTP/AVP 0\na=control:back\na=sendonly\n"
    );
    talk.describe("Content-Base: /live/\n", &sdp);
    talk.hear("RTSP/1.0 200 OK\nSession: 1\n\n").unwrap();
    assert_eq!(
        first_line(talk.last()),
        "SETUP rtsp://cam/live/trackID=2 RTSP/1.0"
    );
    talk.hear("RTSP/1.0 200 OK\nSession: 1\n\n").unwrap();
    assert_eq!(first_line(talk.last()), "PLAY rtsp://cam/live/ RTSP/1.0");
    let Event::Described(description) = &talk.events[0] else {
        panic!("{:?}", talk.events);
    };
    assert_eq!(description.media[2].kind, Kind::Audio);
}

/// A camera that forgets Content-Length: silence ends the description.
#[test]
fn a_description_without_a_length() {
    let mut talk = Talk::new("rtsp://cam/live");
    talk.hear("RTSP/1.0 200 OK\nCSeq: 1\n\n").unwrap();
    talk.hear(&format!(
        "RTSP/1.0 200 OK\nContent-Type: application/sdp\n\n{}",
        SDP.replace('\r', "")
    ))
    .unwrap();
    assert_eq!(talk.events, []);
    let quiet = talk.now + QUIET;
    assert_eq!(talk.client.poll_output(), Output::Wait(Some(quiet)));
    talk.wait(QUIET).unwrap();
    assert_eq!(
        first_line(talk.last()),
        "SETUP rtsp://cam/live/trackID=1 RTSP/1.0"
    );
}

/// The end of the connection also ends it.
#[test]
fn a_description_that_ends_with_the_connection() {
    let mut talk = Talk::new("rtsp://cam/live");
    talk.hear("RTSP/1.0 200 OK\n\n").unwrap();
    talk.hear("RTSP/1.0 200 OK\nContent-Type: application/sdp\n\nm=video 0 RTP/AVP 96\n")
        .unwrap();
    let error = talk.client.handle_close(talk.now).unwrap_err();
    talk.client.poll_output();
    assert_eq!(
        error.to_string(),
        "the connection was closed after the description"
    );
}

/// Sends frames on other channels than it was asked for, and packets before the answer to PLAY.
#[test]
fn channels_of_the_cameras_choice() {
    let mut talk = Talk::new("rtsp://cam/live");
    talk.describe("", SDP);
    talk.hear("RTSP/1.0 200 OK\nSession: 1\nTransport: RTP/AVP/TCP;unicast;interleaved=6-7;ssrc=00000001\n\n").unwrap();
    talk.hear("$\x06\0\x04abcd$\0\0\x04lostRTSP/1.0 200 OK\nCSeq: 4\n\n")
        .unwrap();
    let packet = Event::Packet {
        track: 0,
        kind: Packet::Rtp,
        data: "abcd".into(),
    };
    assert_eq!(
        talk.events[2..],
        [packet, Event::Playing { starts: vec![] }]
    );
    assert_eq!(talk.client.stray_frames(), 1);
}

/// Says `interleaved=0-1` for every track, and sends as proposed.
#[test]
fn the_same_channels_for_every_track() {
    let mut talk = Talk::new("rtsp://cam/live");
    talk.describe("", &format!("{SDP}m=audio 0 RTP/AVP 0\na=control:2\n"));
    for _ in 0..2 {
        talk.hear("RTSP/1.0 200 OK\nSession: 1\nTransport: RTP/AVP/TCP;interleaved=0-1\n\n")
            .unwrap();
    }
    talk.hear("$\x02\0\x04abcd").unwrap();
    let packet = Event::Packet {
        track: 1,
        kind: Packet::Rtp,
        data: "abcd".into(),
    };
    assert_eq!(talk.events.last(), Some(&packet));
}

/// Never likes a nonce, and says each time that the password was right.
#[test]
fn nonces_that_are_always_stale() {
    let mut talk = Talk::new("rtsp://cam/live");
    let mut ask = |nonce: u32| {
        let head = "RTSP/1.0 401 Unauthorized\nWWW-Authenticate: Digest realm=\"r\", stale=true";
        talk.hear(&format!("{head}, nonce=\"{nonce}\"\n\n"))
    };
    for nonce in 0..REPEATS {
        ask(nonce).unwrap();
    }
    let error = ask(REPEATS).unwrap_err();
    assert_eq!(error, Error::Denied(Denied::WrongPassword));
}

/// UDP without `server_port` and `source`; an answer in TCP to a question in UDP.
#[test]
fn datagrams_from_nowhere() {
    let mut talk = Talk::new("rtsp://cam/live");
    talk.via = Via::Udp {
        client: (5000, 5001),
    };
    talk.describe("", SDP);
    assert_eq!(
        header(talk.last(), "Transport"),
        Some("RTP/AVP;unicast;client_port=5000-5001")
    );
    talk.hear(
        "RTSP/1.0 200 OK\nSession: 1\nTransport: RTP/AVP/UDP;unicast;client_port=5000-5001\n\n",
    )
    .unwrap();
    let path = Path::Udp {
        client: (5000, 5001),
        server: None,
        source: None,
    };
    assert_eq!(
        talk.events.last(),
        Some(&Event::SetUp {
            track: 0,
            path,
            ssrc: None
        })
    );

    let mut talk = Talk::new("rtsp://cam/live");
    talk.via = Via::Udp {
        client: (5000, 5001),
    };
    talk.describe("", SDP);
    talk.hear("RTSP/1.0 200 OK\nSession: 1\nTransport: RTP/AVP/TCP;interleaved=0-1\n\n")
        .unwrap();
    let refused = Event::TransportRefused {
        track: 0,
        tried: talk.via,
    };
    assert_eq!(talk.events.last(), Some(&refused));
}

/// live555 in some firmwares: another session identifier in each answer.
#[test]
fn the_first_session_identifier_stays() {
    let mut talk = Talk::new("rtsp://cam/live");
    talk.describe(
        "",
        &format!("{SDP}m=audio 0 RTP/AVP 0\na=control:trackID=2\n"),
    );
    talk.hear("RTSP/1.0 200 OK\nSession: first one;timeout=30\n\n")
        .unwrap();
    assert_eq!(header(talk.last(), "Session"), Some("first one"));
    talk.hear("RTSP/1.0 200 OK\nSession: second\n\n").unwrap();
    assert_eq!(header(talk.last(), "Session"), Some("first one"));
    talk.hear("RTSP/1.0 200 OK\nSession: third\n\n").unwrap();
    talk.wait(Duration::from_secs(15)).unwrap();
    assert_eq!(header(talk.last(), "Session"), Some("first one"));
}

/// rtsp-server-perl: names a session in its first answer, and knows no TEARDOWN before SETUP.
#[test]
fn a_session_that_nobody_has_begun_is_not_given_up() {
    let mut talk = Talk::new("rtsp://cam/live");
    talk.hear("RTSP/1.0 200 OK\nCSeq: 1\nSession: 9\n\n")
        .unwrap();
    let length = SDP.len();
    let head = format!("RTSP/1.0 200 OK\nCSeq: 2\nSession: 9\nContent-Length: {length}\n\n");
    talk.hear(&head).unwrap();
    talk.client.handle_input(talk.now, SDP.as_bytes()).unwrap();
    talk.drain();
    assert!(talk.last().starts_with("SETUP "), "{}", talk.last());
    assert_eq!(header(talk.last(), "Session"), Some("9"));
}

/// A Tapo: says SET_PARAMETER in Public, refuses with 400 and the CSeq before. Others: no CSeq,
/// 401, 454, 551, an answer that nobody asked for, or none at all.
#[test]
fn no_answer_to_a_keep_alive_ends_a_session() {
    let mut talk = Talk::playing();
    for answer in [
        "RTSP/1.0 400 Bad Request\nCSeq: 4\n\n",
        "RTSP/1.0 200 OK\n\n",
        "RTSP/1.0 200 OK\nCSeq: 999\n\n",
        "RTSP/1.0 454 Session Not Found\nCSeq: x\n\n",
        "RTSP/1.0 401 Unauthorized\n\n",
        "RTSP/1.0 551 Option not supported\n\nRTSP/1.0 551 Option not supported\n\n",
        "\0\0\0",
        "",
    ] {
        talk.wait(Duration::from_secs(30)).unwrap();
        talk.hear(answer).unwrap();
    }
    // Whoever refuses GET_PARAMETER gets OPTIONS.
    let sent: Vec<_> = talk.sent[4..]
        .iter()
        .map(|request| first_line(request))
        .collect();
    assert_eq!(sent[0], "GET_PARAMETER rtsp://cam/live RTSP/1.0");
    assert_eq!(sent[1..], ["OPTIONS rtsp://cam/live RTSP/1.0"; 7]);
    let packet = b"$\0\0\x0c\x80\x60\0\x01\0\0\0\0\0\0\0\x01";
    talk.client.handle_input(talk.now, packet).unwrap();
    talk.drain();
    assert!(matches!(
        talk.events.last(),
        Some(Event::Packet { track: 0, .. })
    ));
    assert_eq!(talk.client.skipped().bytes, 3);
}

/// A nonce that lives shorter than the stream: the keep-alive is signed again, at once and once.
#[test]
fn a_keep_alive_with_a_stale_nonce() {
    let mut talk = Talk::playing();
    talk.wait(Duration::from_secs(30)).unwrap();
    let ask = "RTSP/1.0 401 Unauthorized\nWWW-Authenticate: Digest realm=\"r\", nonce=\"2\"\n\n";
    talk.hear(ask).unwrap();
    assert!(
        header(talk.last(), "Authorization")
            .unwrap()
            .contains("nonce=\"2\"")
    );
    let count = talk.sent.len();
    talk.hear(&ask.replace("\"2\"", "\"3\"")).unwrap();
    assert_eq!(talk.sent.len(), count);
    talk.wait(Duration::from_secs(30)).unwrap();
    assert_eq!(talk.sent.len(), count + 1);
}

/// A Hikvision: Digest and Basic, a new nonce for each request, no `stale`.
#[test]
fn a_nonce_for_each_request() {
    let ask = |nonce: u32| {
        format!(
            "RTSP/1.0 401 Unauthorized\nWWW-Authenticate: Digest realm=\"IP Camera\", nonce=\"{nonce}\", stale=\"FALSE\"\nWWW-Authenticate: Basic realm=\"/\"\n\n"
        )
    };
    let mut talk = Talk::new("rtsp://cam/live");
    talk.hear(&ask(1)).unwrap();
    talk.hear("RTSP/1.0 200 OK\n\n").unwrap();
    talk.hear(&ask(2)).unwrap();
    let signed = header(talk.last(), "Authorization").unwrap();
    assert!(
        signed.contains("nonce=\"2\"") && signed.contains("uri=\"rtsp://cam/live\""),
        "{signed}"
    );
    let error = talk.hear(&ask(3)).unwrap_err();
    assert_eq!(error.to_string(), "wrong user name or password");
}

#[test]
fn who_does_not_know_options_is_asked_for_the_rest() {
    for answer in [
        "RTSP/1.0 405 Method Not Allowed\n\n",
        "RTSP/1.0 501 Not Implemented\nCSeq: 1\n\n",
        "RTSP/1.0 404 Not Found\n\n",
    ] {
        let mut talk = Talk::new("rtsp://cam/live");
        talk.hear(answer).unwrap();
        assert_eq!(first_line(talk.last()), "DESCRIBE rtsp://cam/live RTSP/1.0");
    }
}

#[test]
fn errors_are_words_for_people() {
    for (answer, words) in [
        (
            "HTTP/1.1 404 Not Found\n\n",
            "not RTSP: looks like HTTP (\"HTTP/1.1 404 Not Found\\r\\n\\r\\n\")",
        ),
        (
            "RTSP/1.0 200 OK\n\nRTSP/1.0 404 Not Found\n\n",
            "there is nothing at rtsp://cam/live",
        ),
        (
            "RTSP/1.0 200 OK\n\nRTSP/1.0 403 Forbidden\n\n",
            "DESCRIBE was refused: 403 Forbidden",
        ),
        (
            "RTSP/1.0 200 OK\n\nRTSP/1.0 301 Moved\n\n",
            "DESCRIBE was refused: 301 Moved",
        ),
        (
            "RTSP/1.0 200 OK\n\nRTSP/1.0 200 OK\n\n",
            "the answer to DESCRIBE: expected a session description, found no m= line in 0 bytes: \"\"",
        ),
        (
            "RTSP/1.0 401 Unauthorized\n\n",
            "it asks for a password in no way that is known here: ",
        ),
    ] {
        let error = Talk::new("rtsp://cam/live").hear(answer).unwrap_err();
        assert_eq!(error.to_string(), words);
    }
    let mut talk = Talk::new("rtsp://cam/live");
    assert_eq!(
        talk.wait(PATIENCE).unwrap_err().to_string(),
        "no answer to OPTIONS within 10 s"
    );
    let mut talk = Talk::new("rtsp://cam/live");
    let error = talk.client.handle_close(talk.now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the connection was closed before the answer to OPTIONS"
    );
    let mut talk = Talk::playing();
    let error = talk.client.handle_close(talk.now).unwrap_err();
    assert_eq!(error.to_string(), "the connection was closed while playing");
    let mut talk = Talk::new("rtsp://cam/live");
    talk.describe("", SDP);
    let error = talk.hear("RTSP/1.0 200 OK\n\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the answer to SETUP of track 0 lacks a Session"
    );
    let mut talk = Talk::playing();
    assert_eq!(
        talk.client.setup(talk.now, &[(0, Via::Tcp)]),
        Err(Error::BadCall)
    );
}

#[test]
fn redirects_are_told_not_followed() {
    for (location, url) in [
        ("rtsp://10.0.0.9:554/x", "rtsp://10.0.0.9:554/x"),
        ("/other", "rtsp://cam/other"),
    ] {
        let mut talk = Talk::new("rtsp://cam/live");
        talk.hear("RTSP/1.0 200 OK\n\n").unwrap();
        talk.hear(&format!("RTSP/1.0 302 Moved\nLocation: {location}\n\n"))
            .unwrap();
        assert_eq!(talk.events, [Event::Redirect(Url::parse(url).unwrap())]);
        assert_eq!(talk.client.poll_output(), Output::Wait(None));
    }
    // While it plays.
    let mut talk = Talk::playing();
    talk.hear("REDIRECT rtsp://cam/live RTSP/1.0\nCSeq: 1\nLocation: rtsp://b/\n\n")
        .unwrap();
    assert_eq!(talk.last(), "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n");
    assert_eq!(
        talk.events.last(),
        Some(&Event::Redirect(Url::parse("rtsp://b/").unwrap()))
    );
}

#[test]
fn requests_of_the_server_are_answered() {
    let mut talk = Talk::playing();
    for (request, status) in [
        ("OPTIONS * RTSP/1.0\nCSeq: 8\n\n", 200),
        ("SETUP rtsp://x RTSP/1.0\nCSeq: 9\n\n", 501),
    ] {
        talk.hear(request).unwrap();
        assert!(talk.last().starts_with(&format!("RTSP/1.0 {status}")));
    }
}

#[test]
fn a_goodbye_waits_for_its_answer_but_not_long() {
    let mut talk = Talk::playing();
    talk.client.teardown(talk.now);
    talk.drain();
    assert_eq!(first_line(talk.last()), "TEARDOWN rtsp://cam/live RTSP/1.0");
    talk.wait(GOODBYE).unwrap();
    assert_eq!(talk.events.last(), Some(&Event::Closed));
    // Before there is a session, there is nothing to say.
    let mut talk = Talk::new("rtsp://cam/live");
    talk.client.teardown(talk.now);
    talk.drain();
    assert_eq!((talk.events.len(), talk.sent.len()), (1, 1));
}
