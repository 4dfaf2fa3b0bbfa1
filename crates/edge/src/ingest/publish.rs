//! Published cameras: who may publish, and one publisher at a time.
//!
//! A slot of a published camera has a [`Seat`]. Its worker leaves the [`Feed`](super::Feed) there;
//! a connection whose stream key is good takes it as a [`Publication`] and gives it back when it
//! ends. The stream stays meanwhile, so a publisher that drops and returns costs viewers nothing.
//!
//! Keys are checked against digests that came with the desired state: publishing needs no
//! controller. So are their bounds: the network, the protocol, and how much comes in ten seconds.

mod denied;
mod meter;
mod publication;
mod seat;
#[cfg(test)]
mod tests;
mod uses;

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_types::{PublishProtocol, edge::StreamKeyDigest};

pub(crate) use denied::Denied;
pub(crate) use publication::Publication;
pub(super) use seat::Seat;

/// Who wants to publish.
#[derive(Debug, Clone)]
pub(crate) struct Candidate<'a> {
    /// The stream key as it came.
    pub(crate) key: &'a str,
    /// By what.
    pub(crate) protocol: PublishProtocol,
    /// From where.
    pub(crate) address: SocketAddr,
}

impl Candidate<'_> {
    /// True if it has what looks like a stream key.
    pub(super) fn has_key(&self) -> bool {
        let parts = self.key.strip_prefix("hwsk_");
        let parts = parts.and_then(|parts| parts.split_once('_'));
        parts.is_some_and(|(lookup, secret)| !lookup.is_empty() && !secret.is_empty())
    }
}

/// The digest of the key, if it is one of these. Every wrong secret takes the same time.
fn find<'a>(keys: &'a [StreamKeyDigest], key: &str) -> Option<&'a StreamKeyDigest> {
    let lookup = key.strip_prefix("hwsk_")?.split('_').next()?;
    let known = keys.iter().find(|known| known.lookup == lookup)?;
    let expected = URL_SAFE_NO_PAD.decode(&known.digest).ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    aws_lc_rs::constant_time::verify_slices_are_equal(digest.as_ref(), &expected)
        .ok()
        .map(|()| known)
}
