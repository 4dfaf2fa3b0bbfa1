//! What can be wrong with what a peer sends, and where.

use std::time::Duration;

use crate::amf;

/// Why a connection cannot go on. Offsets count the bytes that the peer has sent from the start of
/// the connection, handshake included: the place in a capture of that direction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first byte is not RTMP's version.
    #[error("byte {offset}: handshake version {version}, expected 3{}", hint(*.version))]
    Version {
        /// Where it stands.
        offset: u64,
        /// What stands there.
        version: u8,
    },
    /// The peer wants more than it may have.
    #[error("byte {offset}: {what} {value}, at most {limit} allowed")]
    Limit {
        /// Where it asked.
        offset: u64,
        /// What it asked for.
        what: &'static str,
        /// How much it wants.
        value: u64,
        /// How much there is.
        limit: u64,
    },
    /// What the protocol does not have.
    #[error("byte {offset}: {what}")]
    Malformed {
        /// Where it stands.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A command does not parse.
    #[error("command that ends at byte {end}: {source}")]
    Command {
        /// Where the message ends.
        end: u64,
        /// What is wrong, with the offset inside the message.
        source: amf::Error,
    },
    /// A command that does not fit here.
    #[error("byte {offset}: command {name:?} {what}")]
    Unexpected {
        /// Where the command ends.
        offset: u64,
        /// Its name.
        name: String,
        /// Why it does not fit.
        what: &'static str,
    },
    /// The peer was silent for too long.
    #[error("{what} did not come within {limit:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        limit: Duration,
    },
}

/// The other first bytes that are seen in the field.
fn hint(version: u8) -> &'static str {
    match version {
        6 | 8 | 9 => " (this is RTMPE; RTMPS is the one that is spoken here)",
        0x16 => " (this is TLS: RTMPS has a port of its own)",
        b'G' | b'P' | b'H' | b'O' => " (this is HTTP: RTMPT has a port of its own)",
        _ => "",
    }
}
