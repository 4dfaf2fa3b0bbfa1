//! What an engine wants done.

use std::{borrow::Cow, time::Instant};

use bytes::Bytes;

use crate::Error;

/// The next thing to do; from `poll_output`.
#[derive(Debug, Clone, PartialEq)]
pub enum Output<E> {
    /// Write these bytes after all before them.
    Send(Bytes),
    /// Something has happened.
    Event(E),
    /// Nothing, until there is input, a call, or this time has come.
    Wait(Option<Instant>),
    /// Write what is to be written, then close the connection. Nothing else will come.
    Close,
}

/// Why a connection is over. Exactly one such event comes, and it is the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// We refused or ended it.
    Local,
    /// The peer ended it, with its reason if it gave one.
    Peer(Option<String>),
    /// It cannot go on.
    Failed(Error),
}

/// Why a peer is turned away, in RTMP's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One of [`code`], or another of the protocol's.
    pub code: Cow<'static, str>,
    /// For humans: encoders show it.
    pub description: String,
    /// Where the peer should go instead.
    pub redirect: Option<String>,
}

impl Refusal {
    /// Says no.
    #[must_use]
    pub fn new(code: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            description: description.into(),
            redirect: None,
        }
    }

    /// Sends the peer to another URL, by Flash Media Server's convention of code 302.
    #[must_use]
    pub fn redirect(url: impl Into<String>) -> Self {
        let url = url.into();
        Self {
            code: code::CONNECT_REJECTED.into(),
            description: format!("go to {}", crate::target::split(&url).0),
            redirect: Some(url),
        }
    }
}

/// Status codes (RTMP 1.0 §7.2 and Flash Media Server).
pub mod code {
    /// The application cannot be used, or the peer may not use it.
    pub const CONNECT_REJECTED: &str = "NetConnection.Connect.Rejected";
    /// The server goes away.
    pub const CONNECT_CLOSED: &str = "NetConnection.Connect.Closed";
    /// Somebody else publishes under this name, or the key is not the right one.
    pub const PUBLISH_BAD_NAME: &str = "NetStream.Publish.BadName";
    /// The publisher may not, or not any more.
    pub const PUBLISH_DENIED: &str = "NetStream.Publish.Denied";
    /// There is no such stream.
    pub const PLAY_NOT_FOUND: &str = "NetStream.Play.StreamNotFound";
    /// The viewer may not, or not any more.
    pub const PLAY_FAILED: &str = "NetStream.Play.Failed";
}
