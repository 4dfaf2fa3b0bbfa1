//! RTP and RTCP (RFC 3550), and how H.264, H.265, AAC, G.711 and Opus travel in them.
//!
//! * Out: [`packet_count`] and [`interleaved`] or [`datagrams`] turn a frame into packets, once
//!   for all viewers. Access units of AAC that go out together can share one ([`aac_shares_packet`]).
//! * In: a [`Receiver`] per track takes packets and RTCP, and gives pictures, sound and reports.
//! * [`Format`] says in the words of SDP what a track is, and [`Described`] reads what others say.
//! * [`rtcp`] has the reports of both sides, [`window`] the order of datagrams.
//!
//! The crate does no I/O, starts no threads and reads no clock. Whatever it parses comes from
//! strangers: no parser panics, and every buffer has a bound.

mod clock;
mod depacketize;
mod fmtp;
mod format;
mod media;
mod nal;
mod packet;
mod packetize;
mod receiver;
#[cfg(test)]
mod round_trip;
pub mod rtcp;
mod statistics;
#[cfg(test)]
mod testing;
pub mod window;
mod write;

pub use clock::Timestamps;
pub use depacketize::{MAX_PICTURE, Picture, Sound};
pub use format::Format;
pub use media::{AuHeaders, Codec, Described, Media};
pub use packet::{HEADER, Packet};
pub use packetize::{Load, Payload, Payloads, audio::aac_shares_packet, packet_count, payloads};
pub use receiver::{Event, Options, Receiver};
pub use statistics::Statistics;
pub use write::{
    AUDIO_CHANNEL, MAX_PACKET, MAX_RUN_BYTES, MAX_RUN_PACKETS, Outgoing, Run, VIDEO_CHANNEL,
    datagrams, interleaved, timestamp,
};

/// What is wrong with what came in, or what cannot go out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not an RTP or RTCP packet.
    #[error("bad {what} of {length} bytes at byte {offset}: {reason}")]
    Packet {
        /// `RTP packet`, `sender report`, …
        what: &'static str,
        /// How long it is.
        length: usize,
        /// Where it went wrong.
        offset: usize,
        /// What was expected.
        reason: &'static str,
    },
    /// A format that has no way through here.
    #[error("RTP cannot carry {0} here")]
    Unsupported(String),
}

impl Error {
    pub(crate) fn packet(
        what: &'static str,
        bytes: &[u8],
        offset: usize,
        reason: &'static str,
    ) -> Self {
        Self::Packet {
            what,
            length: bytes.len(),
            offset,
            reason,
        }
    }
}
