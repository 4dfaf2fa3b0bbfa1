//! FFmpeg and rtmpdump speak RTMP through HTTP, to a server of a few lines around the tunnel.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use headworks_rtmp::{
    Event, Media, MediaKind, Output, Server, ServerConfig,
    tunnel::{CONTENT_TYPE, Call, Delivery, Request, Session, request},
    wire,
};
use headworks_testkit::{Process, Signal, judge, tool, wait_until};

use crate::{
    foreign::{AAC, H264, PICTURES, publish, recorded},
    pair::epoch,
    socket::listen,
};

const PATIENCE: Duration = Duration::from_secs(60);
const ID: &str = "session-1";
/// How much a player gets in one answer.
const ANSWER: usize = 256 << 10;

/// One session: a publisher's, or a player's that gets `to_play`.
struct Tunnel {
    session: Session,
    server: Server,
    to_play: VecDeque<Media>,
    is_playing: bool,
    media: Vec<Media>,
    requests: u32,
    is_over: bool,
}

impl Tunnel {
    fn new(to_play: &[Media]) -> Self {
        Self {
            session: Session::new(8 << 20),
            server: Server::new(epoch(), ServerConfig::default(), 1),
            to_play: to_play.iter().cloned().collect(),
            is_playing: false,
            media: Vec::new(),
            requests: 0,
            is_over: false,
        }
    }

    /// The answer to one request.
    fn answer(&mut self, path: &str, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let (call, is_input) = match request(path)? {
            Request::Ident => bail!("nobody here asks for it"),
            Request::Open => return Ok(format!("{ID}\n").into_bytes()),
            Request::Send(call) => (call, true),
            Request::Idle(call) => (call, false),
            Request::Close(call) => {
                self.is_over = true;
                (call, false)
            }
        };
        let Call { session, sequence } = call;
        assert_eq!(session, ID);
        assert_eq!(self.session.request(sequence)?, Delivery::New);
        self.requests += 1;
        if is_input {
            self.server.handle_input(epoch(), body.into());
        }
        self.poll()?;
        Ok(self.session.answer().into())
    }

    fn poll(&mut self) -> anyhow::Result<()> {
        loop {
            match self.server.poll_output() {
                Output::Send(bytes) => self.session.push(&bytes)?,
                Output::Event(Event::Publish(_)) => self.server.accept_publish(epoch()),
                Output::Event(Event::Play(_)) => {
                    self.server.accept_play(epoch());
                    self.is_playing = true;
                }
                Output::Event(Event::Media(media)) => self.media.push(media),
                Output::Event(_) => {}
                Output::Wait(_) if self.is_playing => return self.play(),
                Output::Wait(_) | Output::Close => return Ok(()),
            }
        }
    }

    fn play(&mut self) -> anyhow::Result<()> {
        let mut length = 0;
        while length < ANSWER {
            let Some(media) = self.to_play.pop_front() else {
                self.is_playing = false;
                self.server.finish_play(epoch());
                return self.poll();
            };
            let message = wire::message(media.kind, media.timestamp, &media.payload);
            length += message.len();
            self.session.push(&message)?;
        }
        Ok(())
    }

    /// Serves connections, one after the other, until the session is closed.
    fn serve(mut self, listener: &TcpListener) -> anyhow::Result<Self> {
        while !self.is_over {
            let accepted = wait_until("a caller", PATIENCE, || listener.accept().ok());
            let stream = accepted?.0;
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut reader = BufReader::new(&stream);
            while let Some((path, body)) = read_request(&mut reader)? {
                let answer = self.answer(&path, body)?;
                if write_answer(&stream, &answer).is_err() {
                    break;
                }
            }
            // A player that has all it wants may not say so.
            self.is_over |= self.to_play.is_empty() && self.media.is_empty();
        }
        Ok(self)
    }
}

/// None at the end.
fn read_request(reader: &mut impl BufRead) -> anyhow::Result<Option<(String, Vec<u8>)>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
            result => result?,
        };
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_ascii_lowercase());
    }
    let path = lines[0].split(' ').nth(1).context("no path")?.to_owned();
    assert!(lines[0].starts_with("post "), "{lines:?}");
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length:"))
        .context("no length")?;
    let mut body = vec![0; length.trim().parse()?];
    reader.read_exact(&mut body)?;
    Ok(Some((path, body)))
}

fn write_answer(mut stream: &TcpStream, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\nConnection: \
         Keep-Alive\r\nCache-Control: no-cache\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())
}

fn url(port: u16) -> String {
    format!("rtmpt://127.0.0.1:{port}/live/cam")
}

#[test]
fn ffmpeg_publishes_through_http() -> anyhow::Result<()> {
    let (listener, port) = listen();
    let mut process = publish(tool::FFMPEG, &[], &[H264, AAC], &url(port))?;
    let tunnel = Tunnel::new(&[]).serve(&listener);
    let tunnel = tunnel.with_context(|| process.tail())?;
    process.wait(PATIENCE).context("ffmpeg does not end")?;
    let video = tunnel
        .media
        .iter()
        .filter(|media| media.kind == MediaKind::Video);
    let video = video.count() as u64;
    // With a sequence header and an end of sequence.
    assert_eq!(video, PICTURES + 2, "{}", process.tail());
    assert!(tunnel.requests > 5);
    Ok(())
}

#[test]
fn ffmpeg_and_rtmpdump_play_through_http() -> anyhow::Result<()> {
    let media = recorded(tool::FFMPEG, &[H264, AAC])?.media;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("dump.flv").display().to_string();
    for is_dump in [false, true] {
        let (listener, port) = listen();
        let seen = thread::scope(|scope| {
            let server = scope.spawn(|| Tunnel::new(&media).serve(&listener));
            let input = if is_dump {
                let mut command = Command::new("rtmpdump");
                command.args(["--live", "--rtmp", &url(port), "--flv", &file]);
                let mut process = Process::spawn(command, Signal::Kill, |_, _| {})?;
                process.wait(PATIENCE).context("rtmpdump does not end")?;
                file.clone()
            } else {
                url(port)
            };
            let seen = judge::decode(&input, 4)?;
            server.join().expect("no panic")?;
            anyhow::Ok(seen)
        })?;
        assert_eq!(seen.errors, Vec::<String>::new());
        assert_eq!(seen.codecs(), ["h264", "aac"]);
        assert_eq!(seen.pictures(), PICTURES);
    }
    Ok(())
}
