//! RTSP 1.0 (RFC 2326, with the manners of RFC 7826), SDP (RFC 8866) and HTTP authentication
//! (RFC 7616, RFC 7617), as sans-I/O engines.
//!
//! * [`Server`]: one inbound connection, of a viewer or of a publisher.
//! * [`Client`]: one outbound connection, to a camera or to a server that we push to.
//! * [`sdp`]: session descriptions, read and written.
//! * [`auth`]: Basic and Digest, both ends.
//! * [`message`]: requests, answers and interleaved frames on a byte stream.
//!
//! Packets of RTP and RTCP are opaque here: `headworks-rtp` knows what is in them.
//!
//! # The contract of both engines
//!
//! They hold no socket and no clock. Bytes that were read go into `handle_input(now, …)`; when the
//! deadline has passed, `handle_timeout(now)` follows. After each of these calls, and after each
//! action, drain `poll_output()` until it says `Wait`, which tells the next deadline. `Send` has to
//! be written before later ones, and is always a whole message: it may stand between frames. An
//! error ends the connection; what `poll_output()` still has should be written first.
//!
//! What is kept is bounded: by [`message::Limits`], and by the size of the pieces that go into
//! `handle_input`.

pub mod auth;
pub mod client;
mod control;
pub mod header;
pub mod message;
pub mod sdp;
pub mod server;

use std::time::Instant;

use bytes::Bytes;

pub use client::Client;
pub use server::Server;

/// What an engine wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Output<E> {
    /// Write these bytes: a whole message.
    Send(Bytes),
    /// Something has happened.
    Event(E),
    /// Nothing until more input, or until this time.
    Wait(Option<Instant>),
}

/// The two kinds of packets of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// Media.
    Rtp,
    /// Reports about it.
    Rtcp,
}

/// Where a track begins: the contents of `RTP-Info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Index into the description's media.
    pub track: usize,
    /// The sequence number of the first packet.
    pub seq: Option<u16>,
    /// Its RTP time.
    pub rtptime: Option<u32>,
}
