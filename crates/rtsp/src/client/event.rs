//! What a client tells and is told.

use std::net::IpAddr;

use bytes::Bytes;
use url::Url;

use crate::{Packet, Start, header::Pair, sdp::Description};

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The camera has told what it has. [`super::Client::setup`] has to follow.
    Described(Description),
    /// The server takes our description. [`super::Client::setup`] has to follow.
    Announced,
    /// A track is ready.
    SetUp {
        /// Index into the description's media.
        track: usize,
        /// How it goes, in the server's words.
        path: Path,
        /// Of what the server sends.
        ssrc: Option<u32>,
    },
    /// The server does not take this transport (461), or answers with another than was asked for.
    /// [`super::Client::setup`] may follow, with all tracks by another; else the connection is of
    /// no more use.
    TransportRefused {
        /// Index into the description's media.
        track: usize,
        /// What it does not take.
        tried: Via,
    },
    /// The camera plays. Packets may have come before.
    Playing {
        /// Where tracks begin, as far as it tells.
        starts: Vec<Start>,
    },
    /// The server records: packets may be sent.
    Recording,
    /// A packet that came in a frame.
    Packet {
        /// Index into the description's media.
        track: usize,
        /// What it is.
        kind: Packet,
        /// Its bytes.
        data: Bytes,
    },
    /// The server sends us elsewhere. This connection has to be closed. The new address is the
    /// server's word: check it like any other before using it.
    Redirect(Url),
    /// [`super::Client::teardown`] is done: the connection may be closed.
    Closed,
}

/// How a track shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// In frames on this connection.
    Tcp,
    /// In datagrams to and from these ports of ours.
    Udp {
        /// RTP and RTCP.
        client: Pair<u16>,
    },
}

/// How a track goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// In frames on this connection.
    Tcp {
        /// RTP and RTCP.
        channels: Pair<u8>,
    },
    /// In datagrams.
    Udp {
        /// Our ports.
        client: Pair<u16>,
        /// The server's ports. Some cameras do not tell: theirs are known by their packets then.
        server: Option<Pair<u16>>,
        /// Where its packets come from, if it says so; else from where this connection goes to.
        source: Option<IpAddr>,
    },
}
