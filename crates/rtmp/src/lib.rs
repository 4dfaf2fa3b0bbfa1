//! RTMP (Adobe RTMP 1.0, with Enhanced RTMP's codecs) as a sans-I/O engine.
//!
//! [`Server`] is the end that is called, by publishers and players; [`Client`] the end that calls,
//! to publish or to play. Both hold no socket, no clock and no randomness, and both have one
//! contract:
//!
//! 1. Give it what happens: bytes (`handle_input`), the passing of time (`handle_timeout`), the
//!    peer's end (`handle_close`), or a decision (`accept_…`, `refuse`, `finish…`).
//! 2. Then call `poll_output` until it says [`Output::Wait`], and do what it says on the way:
//!    write the bytes of each [`Output::Send`], in order; look at each [`Output::Event`].
//! 3. Wait for input, or until the time in [`Output::Wait`]; then begin again.
//! 4. At [`Output::Close`], write what is left, then close. One `Closed` event came before it.
//!
//! Input is parsed only as far as the next output, so that nothing queues up inside. While a
//! publisher or a player waits for a decision, input is kept up to [`Limits::held_input`]; there
//! is no deadline, the embedder has the time that it needs.
//!
//! A media payload is the data of an FLV tag, passed on as it is: what is in it is the business of
//! those who know codecs. It shares the memory of the input where it lies there in one piece, so
//! whoever keeps a payload keeps the buffer that it was read into.
//!
//! **Players.** After [`Server::accept_play`] the embedder writes media itself: [`wire::message`]
//! makes bytes that are valid for every player, once. That works because the server announces a
//! chunk size of [`wire::CHUNK_SIZE`] before its answer to `connect`, and all messages have full
//! headers on message stream [`wire::STREAM`]. What the engine still has to send (answers to
//! pings, acknowledgements) goes between two such messages, never inside one.
//!
//! **Keys and tokens** stand in a URL's query, which clients put behind the name, behind the
//! application or into the `tcUrl`: [`Target::query`] has them all, and `Debug` shows none.
//!
//! **Limits.** Everything that a peer controls has a bound in [`Limits`], and an error says which
//! byte of the connection went too far. Handshake, `connect` and the first wish to publish or play
//! share one deadline. Silent publishers are pinged, then given up.
//!
//! **Not spoken:** RTMPE, Flash Player's signed handshake (its H.264 playback wants it), shared
//! objects, and the flags of Enhanced RTMP version 2 (multitrack, reconnect requests).
//!
//! [`tunnel`] is the part of RTMPT, RTMP over HTTP, that needs no HTTP server.

pub mod amf;
pub mod chunk;
mod client;
mod command;
mod error;
mod handshake;
mod limits;
mod link;
mod message;
mod output;
mod server;
mod target;
pub mod tunnel;
mod url;
pub mod wire;

pub use client::{Client, ClientConfig, ClientEvent};
pub use error::Error;
pub use handshake::Handshake;
pub use limits::Limits;
pub use message::{Media, MediaKind, Message};
pub use output::{Closed, Output, Refusal, code};
pub use server::{Connect, Event, Play, Publish, Server, ServerConfig};
pub use target::{Query, Target};
pub use url::{Scheme, Url, UrlError};
