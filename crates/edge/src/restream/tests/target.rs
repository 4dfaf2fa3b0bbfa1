//! Somebody else's RTMP server, as simple as it gets.

use std::time::Duration;

use headworks_bootstrap::Clock;
use headworks_rtmp::{Event, MediaKind, Output, Server, ServerConfig, code};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use url::Url;

const SOON: Duration = Duration::from_secs(20);

/// Takes what is published, one connection after the other.
pub(super) struct Target {
    listener: TcpListener,
}

/// One connection of a publisher.
pub(super) struct Connection {
    stream: TcpStream,
    server: Server,
    clock: Clock,
    /// The name that it publishes, with its query.
    pub(super) name: String,
    /// The kinds of the messages that have come.
    pub(super) media: Vec<MediaKind>,
    /// Their times, in milliseconds.
    pub(super) times: Vec<u32>,
}

/// How a connection goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    Media,
    /// It has ended, in order or cut off.
    Closed,
    Reset,
}

impl Target {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self {
            listener: listener.expect("a free port"),
        }
    }

    pub(super) fn url(&self) -> Url {
        let address = self.listener.local_addr().expect("is bound");
        format!("rtmp://{address}/live/gate")
            .parse()
            .expect("parses")
    }

    /// The next publisher, once it has been let in.
    pub(super) async fn publisher(&self) -> Connection {
        let accept = self.listener.accept();
        let (stream, _) = timeout(SOON, accept)
            .await
            .expect("one comes")
            .expect("accepts");
        let clock = Clock::system();
        let mut connection = Connection {
            stream,
            server: Server::new(clock.monotonic().into_std(), ServerConfig::default(), 1),
            clock,
            name: String::new(),
            media: Vec::new(),
            times: Vec::new(),
        };
        while connection.name.is_empty() {
            let came = connection.step().await;
            assert!(
                came == Came::Media || !connection.name.is_empty(),
                "{came:?}"
            );
        }
        connection
    }

    /// True if nobody has come.
    pub(super) fn is_alone(&self) -> bool {
        use futures::FutureExt as _;
        self.listener.accept().now_or_never().is_none()
    }
}

impl Connection {
    /// Waits until so many messages have come.
    pub(super) async fn wait_for_media(&mut self, count: usize) {
        while self.media.len() < count {
            assert_eq!(self.step().await, Came::Media);
        }
    }

    /// Waits for its end.
    pub(super) async fn end(&mut self) -> Came {
        loop {
            let came = self.step().await;
            if came != Came::Media {
                return came;
            }
        }
    }

    async fn step(&mut self) -> Came {
        let mut buffer = [0; 4096];
        let read = timeout(SOON, self.stream.read(&mut buffer)).await;
        let count = match read.expect("something comes") {
            Ok(0) => return Came::Closed,
            Ok(count) => count,
            Err(_) => return Came::Reset,
        };
        let now = self.clock.monotonic().into_std();
        let input = bytes::Bytes::copy_from_slice(&buffer[..count]);
        self.server.handle_input(now, input);
        loop {
            match self.server.poll_output() {
                Output::Send(bytes) => {
                    // Who has closed already does not hear it.
                    let _ = self.stream.write_all(&bytes).await;
                }
                Output::Event(Event::Publish(publish)) => {
                    let query = publish.target.query.as_str();
                    self.name = format!("{}?{query}", publish.target.name);
                    if publish.target.name == "refused" {
                        let why = format!("no stream {}", self.name);
                        let refusal = headworks_rtmp::Refusal::new(code::PUBLISH_BAD_NAME, why);
                        self.server.refuse(now, &refusal);
                    } else {
                        self.server.accept_publish(now);
                    }
                }
                Output::Event(Event::Media(media)) => {
                    self.media.push(media.kind);
                    self.times.push(media.timestamp);
                }
                Output::Event(_) => {}
                Output::Wait(_) => return Came::Media,
                Output::Close => return Came::Closed,
            }
        }
    }
}
