//! One RTMP session with a camera or with somebody's server.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headworks_bootstrap::Clock;
use headworks_media::TrackKind;
use headworks_rtmp::{
    Client, ClientConfig, ClientEvent, Closed, Error, Media, Output, Refusal, Scheme, Url, code,
};
use headworks_types::Credentials;
use rand::RngExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use url::form_urlencoded;

use super::dial;
use crate::{
    ingest::{Config, Feed, Tags, failure::Failure},
    outbound::Gate,
    secrets::Secrets,
    socket::make_room,
    turns::Turns,
};

/// A server that takes an answer no sooner is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// Beyond those of FLV, as Enhanced RTMP names them.
const CODECS: [&str; 3] = ["hvc1", "av01", "Opus"];

/// What a session needs to know.
pub(super) struct Session<'a> {
    pub(super) config: &'a Config,
    pub(super) connects: &'a Turns,
    pub(super) gate: &'a Gate,
    pub(super) url: &'a url::Url,
    pub(super) tls_verify: bool,
    pub(super) credentials: Option<&'a Credentials>,
}

impl Session<'_> {
    /// Connects and gives `feed` what comes, until the session fails.
    pub(super) async fn run(&self, feed: &mut Feed) -> Failure {
        let limit = self.config.connect_timeout;
        let attempt = self.connect(feed.clock());
        let connected = self.connects.attempt(limit, attempt).await;
        let connected = connected.unwrap_or(Err(Failure::Timeout(limit)));
        let failure = match connected {
            Ok(playing) => receive(playing, feed).await,
            Err(failure) => failure,
        };
        self.without_login(failure)
    }

    /// Servers repeat the name of the stream, in which the login stands.
    fn without_login(&self, failure: Failure) -> Failure {
        let password = self.credentials.iter().map(|login| login.password.expose());
        let secrets = Secrets::known(password);
        match failure {
            Failure::Rejected(text) => Failure::Rejected(secrets.hide(&text)),
            Failure::Protocol(text) => Failure::Protocol(secrets.hide(&text)),
            other => other,
        }
    }

    async fn connect(&self, clock: &Clock) -> Result<Playing, Failure> {
        let url = self
            .url()
            .map_err(|error| Failure::Url(error.to_string()))?;
        let socket = dial::tcp(self.gate, &url.host, url.port).await?;
        let socket = match url.scheme {
            Scheme::Rtmp => Either::Left(socket),
            Scheme::Rtmps => Either::Right(Box::new(
                dial::tls(socket, &url.host, self.tls_verify).await?,
            )),
        };
        let config = ClientConfig {
            setup_within: self.config.connect_timeout,
            codecs: CODECS.map(str::to_owned).into(),
            ..ClientConfig::default()
        };
        let seed = rand::rng().random();
        let now = clock.monotonic().into_std();
        let mut playing = Playing {
            socket,
            client: Client::play(now, url, config, seed),
            buffer: BytesMut::new(),
            clock: clock.clone(),
        };
        playing.begin().await?;
        Ok(playing)
    }

    /// RTMP has no login that most servers know. Those that want one look for it in the query:
    /// MediaMTX for `pass`, cameras for `password`.
    fn url(&self) -> Result<Url, headworks_rtmp::UrlError> {
        let mut url = Url::parse(self.url.as_str())?;
        if let Some(login) = self.credentials {
            let password = login.password.expose();
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("user", &login.username)
                .append_pair("pass", password)
                .append_pair("password", password)
                .finish();
            url.name
                .push(if url.name.contains('?') { '&' } else { '?' });
            url.name.push_str(&query);
        }
        Ok(url)
    }
}

/// A connection to the server: its socket and its engine.
struct Playing {
    socket: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    client: Client,
    buffer: BytesMut,
    clock: Clock,
}

/// What a server has to say.
enum Heard {
    Event(ClientEvent),
    /// Nothing more for the moment; [`Playing::wait`] comes next.
    Nothing(Option<Instant>),
}

impl Playing {
    /// Until the server gives the stream.
    async fn begin(&mut self) -> Result<(), Failure> {
        loop {
            match self.poll().await? {
                Heard::Event(ClientEvent::Ready | ClientEvent::Media(_)) => return Ok(()),
                Heard::Event(event) => return Err(failure(event)),
                Heard::Nothing(deadline) => self.wait(deadline).await?,
            }
        }
    }

    /// Does what the engine wants, up to the next event.
    async fn poll(&mut self) -> Result<Heard, Failure> {
        loop {
            match self.client.poll_output() {
                Output::Send(bytes) => self.write(&bytes).await?,
                Output::Event(event) => return Ok(Heard::Event(event)),
                Output::Wait(deadline) => {
                    return Ok(Heard::Nothing(deadline.map(Instant::from_std)));
                }
                Output::Close => return Err(Failure::Closed),
            }
        }
    }

    async fn write(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        match timeout(WRITE_WITHIN, self.socket.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => Err(Failure::Timeout(WRITE_WITHIN)),
        }
    }

    /// Waits for bytes of the server, or for the engine's deadline. Losing the future loses
    /// nothing.
    async fn wait(&mut self, deadline: Option<Instant>) -> Result<(), Failure> {
        make_room(&mut self.buffer);
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let read = tokio::select! {
            read = self.socket.read_buf(&mut self.buffer) => Some(read),
            () = due => None,
        };
        let now = self.clock.monotonic().into_std();
        match read {
            None => self.client.handle_timeout(now),
            Some(Ok(0)) => self.client.handle_close(now),
            Some(Ok(_)) => {
                let input = self.buffer.split().freeze();
                self.client.handle_input(now, input);
            }
            Some(Err(error)) => return Err(Failure::of(&error)),
        }
        Ok(())
    }
}

async fn receive(mut playing: Playing, feed: &mut Feed) -> Failure {
    feed.begin("");
    let mut tags = Tags::default();
    let Err(failure) = receive_all(&mut playing, &mut tags, feed).await;
    tags.finish(feed);
    feed.flush();
    failure
}

async fn receive_all(
    playing: &mut Playing,
    tags: &mut Tags,
    feed: &mut Feed,
) -> Result<std::convert::Infallible, Failure> {
    loop {
        match playing.poll().await? {
            Heard::Event(ClientEvent::Media(media)) => take(tags, &media, feed)?,
            Heard::Event(ClientEvent::Ready) => {}
            Heard::Event(event) => return Err(failure(event)),
            Heard::Nothing(deadline) => {
                feed.flush();
                let no_picture = feed.deadline();
                tokio::select! {
                    waited = playing.wait(deadline) => waited?,
                    () = sleep_until(no_picture) => {}
                }
                feed.check()?;
            }
        }
    }
}

fn take(tags: &mut Tags, media: &Media, feed: &mut Feed) -> Result<(), Failure> {
    tags.take_rtmp(media, feed).or_else(usable)
}

/// A picture without sound is better than none.
pub(super) fn usable(error: headworks_media::Error) -> Result<(), Failure> {
    match error {
        headworks_media::Error::UnsupportedCodec {
            track: TrackKind::Audio,
            ..
        } => Ok(()),
        headworks_media::Error::UnsupportedCodec { codec, .. } => Err(Failure::Codec(codec)),
        error => Err(Failure::Protocol(error.to_string())),
    }
}

/// What the end of a session means.
fn failure(event: ClientEvent) -> Failure {
    match event {
        ClientEvent::Refused(refusal) => refused(refusal),
        ClientEvent::Closed(Closed::Failed(Error::Timeout { limit, .. })) => {
            Failure::Timeout(limit)
        }
        ClientEvent::Closed(Closed::Failed(error)) => Failure::Protocol(error.to_string()),
        ClientEvent::Closed(Closed::Peer(Some(_))) => Failure::Ended,
        ClientEvent::Closed(_) | ClientEvent::Ready | ClientEvent::Media(_) => Failure::Closed,
    }
}

fn refused(refusal: Refusal) -> Failure {
    if refusal.code == code::PLAY_NOT_FOUND {
        return Failure::NoSuchStream;
    }
    Failure::Rejected(match &*refusal.description {
        "" => refusal.code.into_owned(),
        _ => refusal.description,
    })
}

#[cfg(test)]
mod tests {
    use headworks_types::Secret;

    use super::*;
    use crate::outbound;

    #[test]
    fn a_login_goes_into_the_query() {
        let login = Credentials {
            username: "ad min".to_owned(),
            password: Secret::new("p&ss"),
        };
        let config = Config::default();
        let connects = Turns::new(1);
        for (url, name) in [
            (
                "rtmp://h/live/cam",
                "cam?user=ad+min&pass=p%26ss&password=p%26ss",
            ),
            (
                "rtmp://h/bcs/main.bcs?channel=0",
                "main.bcs?channel=0&user=ad+min&pass=p%26ss&password=p%26ss",
            ),
        ] {
            let session = Session {
                config: &config,
                connects: &connects,
                gate: &outbound::testing().gate(&[]),
                url: &url.parse().expect("a URL"),
                tls_verify: true,
                credentials: Some(&login),
            };
            assert_eq!(session.url().expect("parses").name, name);
        }
    }

    #[test]
    fn a_server_that_repeats_the_login_does_not_give_it_away() {
        let login = Credentials {
            username: "admin".to_owned(),
            password: Secret::new("p&ss"),
        };
        let session = Session {
            config: &Config::default(),
            connects: &Turns::new(1),
            gate: &outbound::testing().gate(&[]),
            url: &"rtmp://h/live/cam".parse().expect("a URL"),
            tls_verify: true,
            credentials: Some(&login),
        };
        let name = session.url().expect("parses").name;
        for told in [name.as_str(), "cam?user=admin&pass=p&ss"] {
            let event = ClientEvent::Refused(Refusal {
                code: code::PLAY_FAILED.into(),
                description: format!("no {told}"),
                redirect: None,
            });
            let words = session.without_login(failure(event)).to_string();
            assert!(
                words.starts_with("camera refuses: no cam?user=admin"),
                "{words}"
            );
            assert!(words.contains("&pass=…"), "{words}");
            assert!(!words.contains("%26") && !words.contains("p&"), "{words}");
        }
    }
}
