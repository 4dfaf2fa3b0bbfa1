//! The watch: a stream of lines that should never fall silent.

use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use headworks_types::{edge::WatchMessage, without_value};
use reqwest::Method;
use serde::Deserialize;

use crate::{Call, Client, Error};

/// A bookmark comes every 15 s; after two missed ones the connection is dead.
const IDLE_DEADLINE: Duration = Duration::from_secs(35);
/// More than a snapshot of 100,000 cameras has.
const MAX_LINE: usize = 128 << 20;
/// Longer than any watch lives.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 86_400);

impl Client {
    /// `GET /edge/v1/watch`: what the node should do, from `revision` on (0: everything), and what
    /// has changed of the directory since the cursor `directory` (0: everything). An edge that keeps
    /// no directory says `None` and is told nothing of it.
    ///
    /// The stream ends with an error when the connection breaks or falls silent for 35 s, and
    /// without one when the server ends it in order. Kinds of messages that this version does not
    /// know are skipped.
    ///
    /// # Errors
    /// As every call.
    pub async fn watch(
        &self,
        revision: i64,
        directory: Option<i64>,
    ) -> Result<impl Stream<Item = Result<WatchMessage, Error>> + Send + Unpin + use<>, Error> {
        self.watch_with_idle_deadline(revision, directory, IDLE_DEADLINE)
            .await
    }

    /// As [`Client::watch`], with another time of silence that means death.
    ///
    /// # Errors
    /// As every call.
    pub async fn watch_with_idle_deadline(
        &self,
        revision: i64,
        directory: Option<i64>,
        idle: Duration,
    ) -> Result<impl Stream<Item = Result<WatchMessage, Error>> + Send + Unpin + use<>, Error> {
        let mut call = Call::<()>::new(self, Method::GET, &["edge", "v1", "watch"])
            .deadline(NO_DEADLINE)
            .with_query("revision", revision.to_string());
        if let Some(cursor) = directory {
            call = call.with_query("directory", cursor.to_string());
        }
        let silent = || Error::Timeout {
            url: self.base().to_owned(),
        };
        let answer = tokio::time::timeout(idle, call.send())
            .await
            .map_err(|_| silent())??;
        let lines = Lines {
            url: self.base().to_owned(),
            answer: answer.bytes_stream().boxed(),
            idle,
            buffer: Vec::new(),
            searched: 0,
        };
        let messages = stream::try_unfold(lines, |mut lines| async move {
            Ok(lines.message().await?.map(|message| (message, lines)))
        });
        Ok(messages.boxed())
    }
}

struct Lines {
    url: String,
    answer: stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    idle: Duration,
    buffer: Vec<u8>,
    /// So far no line ends in the buffer.
    searched: usize,
}

impl Lines {
    /// The next message; none at the end.
    async fn message(&mut self) -> Result<Option<WatchMessage>, Error> {
        while let Some(line) = self.line().await? {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if let Some(message) = self.parse(&line)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    async fn line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(end) = self.buffer[self.searched..]
                .iter()
                .position(|b| *b == b'\n')
            {
                let rest = self.buffer.split_off(self.searched + end + 1);
                self.searched = 0;
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_LINE {
                return Err(self.unexpected("a line of the watch is too long"));
            }
            match tokio::time::timeout(self.idle, self.answer.next()).await {
                Err(_) => {
                    return Err(Error::Timeout {
                        url: self.url.clone(),
                    });
                }
                Ok(Some(Err(error))) => return Err(Error::from_transport(&self.url, error)),
                Ok(Some(Ok(bytes))) => self.buffer.extend_from_slice(&bytes),
                // A line that is cut off is no line.
                Ok(None) => return Ok(None),
            }
        }
    }

    fn parse(&self, line: &[u8]) -> Result<Option<WatchMessage>, Error> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "type")]
            kind: String,
        }
        match serde_json::from_slice(line) {
            Ok(message) => Ok(Some(message)),
            Err(error) => match serde_json::from_slice::<Kind>(line) {
                Ok(Kind { kind }) if !KINDS.contains(&kind.as_str()) => Ok(None),
                _ => {
                    let words = without_value(&error.to_string());
                    Err(self.unexpected(&format!("a line of the watch: {words}")))
                }
            },
        }
    }

    fn unexpected(&self, detail: &str) -> Error {
        Error::Unexpected {
            url: self.url.clone(),
            status: 200,
            detail: detail.to_owned(),
        }
    }
}

/// The kinds of messages that this version knows.
const KINDS: [&str; 5] = ["snapshot", "delta", "bundle", "directory", "bookmark"];
