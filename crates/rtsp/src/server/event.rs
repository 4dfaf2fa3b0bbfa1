//! What a server tells and is told.

use std::{fmt, net::IpAddr};

use bytes::Bytes;
use url::Url;

use crate::{Packet, auth::Credentials, header::Pair, sdp::Description};

/// What the client wants, or what has happened. Those marked *asks* need an answer: the matching
/// `accept_…`, or `refuse`, `challenge` or `redirect`. Until then nothing more is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// *Asks*: what is at this URL? Also raised by a SETUP without a DESCRIBE before it.
    Describe(Asked),
    /// *Asks*: may I publish this at this URL?
    Announce(Asked, Description),
    /// *Asks*: how do I get, or send, this track?
    Setup(Setup),
    /// *Asks*: start sending (again). The tracks that are set up, in the order of the
    /// description, and the wanted range as it was written.
    Play {
        /// Indices into the description's media.
        tracks: Vec<usize>,
        /// `npt=0.000-` say.
        range: Option<String>,
    },
    /// *Asks*: may I start sending the tracks that are set up?
    Record {
        /// Indices into the announced media.
        tracks: Vec<usize>,
    },
    /// Stop sending until the next `Play`; it is answered already.
    Pause,
    /// The session has ended; it is answered already. Another may follow.
    Teardown,
    /// A packet that came in a frame: RTP of a publisher, RTCP of anybody.
    Packet {
        /// Index into the description's media.
        track: usize,
        /// What it is.
        kind: Packet,
        /// Its bytes.
        data: Bytes,
    },
    /// The client has said that it is still there.
    KeepAlive,
    /// The client has said nothing for too long. The connection has to be closed.
    Timeout,
}

/// A URL and who asks for it.
#[derive(Clone, PartialEq)]
pub struct Asked {
    /// The presentation, with its query. User name and password are not in it.
    pub url: Url,
    /// From `Authorization`, or from the URL if somebody left them in it.
    pub credentials: Option<Credentials>,
}

impl fmt::Debug for Asked {
    /// Without the query: tokens and keys are in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("path", &self.url.path())
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Asked {
    /// The value of `name` in the URL's query.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        self.url
            .query_pairs()
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }

    /// A secret that stands for itself, a token or a key: `?name=…`, or the password of Basic
    /// with any user name. `rtsp://<secret>:@host/…` is understood too: there the user name is all
    /// that is given (FFmpeg needs the colon).
    ///
    /// FFmpeg cuts user name and password at 127 bytes, so a long token has to be in the query.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<String> {
        self.query(name).or_else(|| match &self.credentials {
            Some(Credentials::Basic(login)) if login.password.is_empty() => {
                Some(login.username.clone()).filter(|name| !name.is_empty())
            }
            Some(Credentials::Basic(login)) => Some(login.password.clone()),
            _ => None,
        })
    }
}

/// A track that is to be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Index into the description's media.
    pub track: usize,
    /// The client is going to send it.
    pub record: bool,
    /// What the client can do, in its order; never empty.
    pub offers: Vec<Offer>,
}

/// One way that a client can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// In frames on this connection.
    Tcp {
        /// The channels that it proposes.
        channels: Option<Pair<u8>>,
    },
    /// In datagrams.
    Udp {
        /// Its ports.
        client: Pair<u16>,
    },
}

/// How a track goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// In frames on this connection, on these channels, whatever the client has proposed.
    Tcp {
        /// RTP and RTCP.
        channels: Pair<u8>,
        /// Of what we send.
        ssrc: Option<u32>,
    },
    /// In datagrams.
    Udp {
        /// The client's ports, from its offer.
        client: Pair<u16>,
        /// Ours.
        server: Pair<u16>,
        /// Where our packets come from, if not from the address of this connection.
        source: Option<IpAddr>,
        /// Of what we send.
        ssrc: Option<u32>,
    },
}
