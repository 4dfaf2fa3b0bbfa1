//! Conversations in RTSP's own words.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpStream, UdpSocket},
};

use headworks_testkit::tool;

use super::world::{AAC, H264, LIMIT, TCP, World, camera, publish};

/// A client that says what it is told to.
pub(super) struct Client {
    socket: TcpStream,
    waiting: Vec<u8>,
    count: u32,
    session: String,
}

/// What has come.
#[derive(Debug)]
enum Came {
    Answer(String),
    Frame(u8),
    End,
}

impl Client {
    pub(super) fn connect(world: &World) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", world.port())).expect("connects");
        socket.set_read_timeout(Some(LIMIT)).expect("is set");
        Self {
            socket,
            waiting: Vec::new(),
            count: 0,
            session: String::new(),
        }
    }

    /// Asks, and gives the answer; frames in between are passed over.
    pub(super) fn ask(&mut self, method: &str, url: &str, more: &str) -> String {
        self.send(method, url, more, "")
    }

    /// As [`Self::ask`], with a body.
    pub(super) fn send(&mut self, method: &str, url: &str, more: &str, body: &str) -> String {
        self.count += 1;
        let (count, session) = (self.count, &self.session);
        let text = format!("{method} {url} RTSP/1.0\r\nCSeq: {count}\r\n{session}{more}\r\n{body}");
        self.socket.write_all(text.as_bytes()).expect("writes");
        loop {
            match self.next() {
                Came::Answer(answer) => return answer,
                Came::Frame(_) => {}
                Came::End => panic!("the connection ended instead of an answer to {method}"),
            }
        }
    }

    fn next(&mut self) -> Came {
        loop {
            if let Some((came, length)) = whole(&self.waiting) {
                self.waiting.drain(..length);
                return came;
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => return Came::End,
                Ok(count) => self.waiting.extend_from_slice(&buffer[..count]),
                // It was closed with something unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Came::End,
                Err(error) => panic!("nothing comes in time: {error}"),
            }
        }
    }

    /// DESCRIBE and one SETUP.
    fn set_up(&mut self, world: &World, transport: &str) -> String {
        self.set_up_of(world, &world.play_url("rtsp", "x"), transport)
    }

    fn set_up_of(&mut self, world: &World, url: &str, transport: &str) -> String {
        let described = self.ask("DESCRIBE", url, "");
        assert!(described.starts_with("RTSP/1.0 200"), "{described}");
        let base = format!("rtsp://127.0.0.1:{}/live/{}", world.port(), camera());
        let transport = format!("Transport: {transport}\r\n");
        let answer = self.ask("SETUP", &format!("{base}/streamid=0"), &transport);
        if let Some(line) = answer.lines().find(|line| line.starts_with("Session:")) {
            self.session = format!("{}\r\n", line.split(';').next().expect("has an id"));
        }
        answer
    }
}

fn whole(bytes: &[u8]) -> Option<(Came, usize)> {
    if let [b'$', channel, high, low, ..] = bytes {
        let length = 4 + usize::from(u16::from_be_bytes([*high, *low]));
        return (bytes.len() >= length).then_some((Came::Frame(*channel), length));
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let length = end + length.map_or(0, |length| length.parse().expect("a number"));
    let text = || String::from_utf8_lossy(&bytes[..length]).into_owned();
    (bytes.len() >= length).then(|| (Came::Answer(text()), length))
}

const INTERLEAVED: &str = "RTP/AVP/TCP;unicast;interleaved=4-5";

#[test]
fn a_viewer_pauses_goes_on_and_leaves() {
    let world = World::new();
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &world.publish_url("rtsp"));
    world.wait_for_live();
    let url = world.url("rtsp", "/");
    let mut client = Client::connect(&world);
    let answer = client.set_up(&world, INTERLEAVED);
    assert!(answer.contains("interleaved=0-1"), "{answer}");
    let answer = client.ask("PLAY", &url, "");
    assert!(
        answer.contains("RTP-Info: url=") && answer.contains("seq="),
        "{answer}"
    );
    // Only pictures were set up.
    for _ in 0..20 {
        let came = client.next();
        assert!(matches!(came, Came::Frame(0 | 1)), "{came:?}");
    }
    assert_eq!(world.report().viewers, 1);
    let answer = client.ask("PAUSE", &url, "");
    assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
    // Behind the answer to PAUSE the frame that was under way may come, and no other.
    let answer = client.ask("GET_PARAMETER", &url, "");
    assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
    let answer = client.ask("PLAY", &url, "");
    assert!(answer.contains("RTP-Info: url="), "{answer}");
    assert!(matches!(client.next(), Came::Frame(_)));
    let answer = client.ask("TEARDOWN", &url, "");
    assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
    world.wait_for("its end", |report| report.viewers == 0);
    // The connection is as good as new.
    client.session.clear();
    client.set_up(&world, INTERLEAVED);
    client.ask("PLAY", &url, "");
    assert!(matches!(client.next(), Came::Frame(_)));
    world.stop();
}

#[test]
fn a_viewer_in_datagrams_gets_packets_and_a_goodbye() {
    let world = World::new();
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &world.publish_url("rtsp"));
    world.wait_for_live();
    let sockets = ["rtp", "rtcp"].map(|_| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
        socket.set_read_timeout(Some(LIMIT)).expect("is set");
        socket
    });
    let [rtp, rtcp] = sockets.each_ref().map(|socket| {
        let address = socket.local_addr().expect("is bound");
        address.port()
    });
    let mut client = Client::connect(&world);
    let answer = client.set_up(&world, &format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}"));
    assert!(answer.contains("server_port="), "{answer}");
    client.ask("PLAY", &world.url("rtsp", "/"), "");
    let mut buffer = [0; 2048];
    for _ in 0..5 {
        let count = sockets[0].recv(&mut buffer).expect("comes in time");
        assert!(count > 12 && buffer[0] == 0x80);
    }
    world.stop_camera();
    let is_bye = |packet: &[u8]| packet.windows(2).any(|two| two == [0x81, 203]);
    while {
        let count = sockets[1].recv(&mut buffer).expect("comes in time");
        !is_bye(&buffer[..count])
    } {}
    assert!(matches!(client.next(), Came::End));
    world.stop();
}

#[test]
fn who_sets_up_and_never_plays_has_no_more_time_than_a_viewer() {
    let world = World::new();
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &world.publish_url("rtsp"));
    world.wait_for_live();
    let mut client = Client::connect(&world);
    let answer = client.set_up_of(&world, &world.brief_url(3), INTERLEAVED);
    assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
    assert_eq!(world.report().viewers, 1);
    // Its session would last a minute without a word.
    while !matches!(client.next(), Came::End) {}
    world.wait_for("its end", |report| report.viewers == 0);
    world.stop();
}

#[test]
fn a_viewer_takes_its_leave_of_a_camera_that_is_over() {
    let world = World::new();
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &world.publish_url("rtsp"));
    world.wait_for_live();
    let url = world.url("rtsp", "/");
    let mut client = Client::connect(&world);
    client.set_up(&world, INTERLEAVED);
    client.ask("PLAY", &url, "");
    assert!(matches!(client.next(), Came::Frame(_)));
    world.stop_camera();
    for method in ["PAUSE", "TEARDOWN"] {
        let answer = client.ask(method, &url, "");
        assert!(answer.starts_with("RTSP/1.0 200"), "{method}: {answer}");
    }
    assert!(matches!(client.next(), Came::End));
    world.stop();
}

#[test]
fn who_may_not_watch_is_told_why() {
    let world = World::new();
    let mut client = Client::connect(&world);
    let answer = client.ask("DESCRIBE", &world.url("rtsp", ""), "");
    assert!(answer.starts_with("RTSP/1.0 401"), "{answer}");
    assert!(
        answer.contains("WWW-Authenticate: Basic realm="),
        "{answer}"
    );
    let answer = client.ask("DESCRIBE", &world.url("rtsp", "?token=guess"), "");
    assert!(
        answer.starts_with("RTSP/1.0 401 this is not a playback token"),
        "{answer}"
    );
    let other = world.play_url("rtsp", "x").replace("0001?", "0002?");
    let answer = client.ask("DESCRIBE", &other, "");
    assert!(
        answer.starts_with("RTSP/1.0 403 this token is not for this camera"),
        "{answer}"
    );
    let answer = client.ask("SETUP", &other, "Transport: RTP/AVP/TCP\r\n");
    assert!(answer.starts_with("RTSP/1.0 403"), "{answer}");
    let answer = client.ask("PLAY", &other, "");
    assert!(answer.starts_with("RTSP/1.0 454"), "{answer}");
    // As much as is passed over, and some. It may be closed in the middle.
    let _ = client
        .socket
        .write_all(&b"\x16\x03\x01\x02\x00".repeat(16 << 10));
    while !matches!(client.next(), Came::End) {}
    world.stop();
}

#[test]
fn who_may_not_hear_is_told_of_no_sound_and_sets_none_up() {
    let world = World::new();
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &world.publish_url("rtsp"));
    world.wait_for_live();
    let url = world.silent_url("x");
    let sound = format!("{}/streamid=1", world.url("rtsp", ""));
    let transport = format!("Transport: {INTERLEAVED}\r\n");
    let mut client = Client::connect(&world);
    let described = client.ask("DESCRIBE", &url, "");
    assert!(described.contains("m=video"), "{described}");
    assert!(!described.contains("m=audio"), "{described}");
    let answer = client.ask("SETUP", &sound, &transport);
    assert!(answer.starts_with("RTSP/1.0 4"), "{answer}");

    let mut client = Client::connect(&world);
    let answer = client.set_up_of(&world, &url, INTERLEAVED);
    assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
    // A look with a better token does not change what the session may have.
    let described = client.ask("DESCRIBE", &world.play_url("rtsp", "x"), "");
    assert!(described.contains("m=audio"), "{described}");
    let answer = client.ask("SETUP", &sound, &transport);
    assert!(answer.starts_with("RTSP/1.0 4"), "{answer}");
    client.ask("PLAY", &world.url("rtsp", "/"), "");
    for _ in 0..60 {
        let came = client.next();
        assert!(matches!(came, Came::Frame(0 | 1)), "{came:?}");
    }
    world.stop();
}
