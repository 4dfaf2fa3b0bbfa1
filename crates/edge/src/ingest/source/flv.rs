//! One FLV stream without end, over HTTP or HTTPS.
//!
//! Where it may go, also by redirects, says [`crate::outbound`].

use std::convert::Infallible;

use headworks_media::flv::Reader;
use headworks_types::Credentials;
use reqwest::{Response, StatusCode};
use tokio::time::timeout_at;
use url::Url;

use super::rtmp::usable;
use crate::ingest::{Config, Feed, Tags, failure::Failure};
use crate::{outbound::Gate, turns::Turns};

/// What a session needs to know.
pub(super) struct Session<'a> {
    pub(super) config: &'a Config,
    pub(super) connects: &'a Turns,
    pub(super) gate: &'a Gate,
    pub(super) url: &'a Url,
    pub(super) tls_verify: bool,
    pub(super) credentials: Option<&'a Credentials>,
}

impl Session<'_> {
    /// Connects and gives `feed` what comes, until the session fails.
    pub(super) async fn run(&self, feed: &mut Feed) -> Failure {
        let limit = self.config.connect_timeout;
        let attempt = self.connect();
        let connected = self.connects.attempt(limit, attempt).await;
        let connected = connected.unwrap_or(Err(Failure::Timeout(limit)));
        let mut answer = match connected {
            Ok(answer) => answer,
            Err(failure) => return failure,
        };
        feed.begin("");
        let mut tags = Tags::default();
        let Err(failure) = self.receive(&mut answer, &mut tags, feed).await;
        tags.finish(feed);
        feed.flush();
        failure
    }

    async fn connect(&self) -> Result<Response, Failure> {
        self.gate.check(self.url)?;
        let client = self.gate.client(self.tls_verify).http1_only().build();
        let client = client.map_err(|error| Failure::of(&error))?;
        let mut request = client.get(self.url.clone());
        if let Some(login) = self.credentials {
            request = request.basic_auth(&login.username, Some(login.password.expose()));
        }
        // The URL may hold a token.
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        let answer = answer.map_err(|error| Failure::of(&error))?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            status => Err(Failure::of_status(status, self.credentials.is_some())),
        }
    }

    async fn receive(
        &self,
        answer: &mut Response,
        tags: &mut Tags,
        feed: &mut Feed,
    ) -> Result<Infallible, Failure> {
        let mut reader = Reader::default();
        loop {
            let chunk = match timeout_at(feed.deadline(), answer.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Err(Failure::Closed),
                Ok(Err(error)) => return Err(broken(error)),
                Err(_) => return Err(Failure::NoVideo(self.config.video_timeout)),
            };
            reader.push(&chunk);
            loop {
                let offset = reader.offset();
                match reader.poll() {
                    Ok(Some(tag)) => tags.take(&tag, feed).or_else(usable)?,
                    Ok(None) => break,
                    Err(_) if offset == 0 => return Err(Failure::NotFlv),
                    Err(error) => return Err(Failure::Protocol(error.to_string())),
                }
            }
            feed.flush();
            feed.check()?;
        }
    }
}

/// A body that breaks off is a server that has gone.
fn broken(error: reqwest::Error) -> Failure {
    match Failure::of(&error.without_url()) {
        Failure::Protocol(_) => Failure::Closed,
        failure => failure,
    }
}

impl Failure {
    fn of_status(status: StatusCode, has_credentials: bool) -> Self {
        match status.as_u16() {
            401 if has_credentials => Self::WrongCredentials,
            401 => Self::NoCredentials,
            403 => Self::Forbidden,
            404 => Self::NoSuchPath,
            number => Self::Status(
                number,
                status.canonical_reason().unwrap_or_default().to_owned(),
            ),
        }
    }
}
