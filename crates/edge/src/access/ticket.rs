//! Session tickets: what the addresses of segments carry instead of the token.
//!
//! A ticket is `MAC (16) | session` in base64url. The session is what its token said, as JSON: so it
//! comes back after a pause and after a restart with everything that can be revoked. Its viewer
//! knows all of that from the token. The MAC is HMAC-SHA-256, cut to 128 bits, over a context
//! string and the session, in which the camera is. It is made and checked by the same edge only,
//! with a key that stays on its disk.

use std::path::Path;

use anyhow::Context as _;
use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_bootstrap::file;

use crate::session::About;

const CONTEXT: &[u8] = b"headworks session ticket 2\0";
const KEY: usize = 32;
const MAC: usize = 16;
/// No session is longer in base64url.
const MAX_LENGTH: usize = 4096;

/// Makes and checks tickets.
pub(crate) struct TicketKey(hmac::Key);

impl TicketKey {
    /// A new key, for tests.
    #[cfg(test)]
    pub(crate) fn random() -> anyhow::Result<Self> {
        Ok(Self::from_bytes(&random_bytes()?))
    }

    /// The key of this edge; a new one at the first start. Tickets outlive restarts with it.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        match file::read(path)? {
            Some(bytes) if bytes.len() == KEY => return Ok(Self::from_bytes(&bytes)),
            Some(_) => {
                tracing::warn!(path = %path.display(), "the ticket key is damaged; made a new one");
            }
            None => {}
        }
        let bytes = random_bytes()?;
        file::write(path, &bytes)?;
        Ok(Self::from_bytes(&bytes))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The ticket of a session.
    pub(crate) fn make(&self, about: &About) -> String {
        self.seal(&serde_json::to_vec(about).unwrap_or_default())
    }

    /// The ticket of what `body` says.
    pub(super) fn seal(&self, body: &[u8]) -> String {
        let mac = self.mac(body);
        URL_SAFE_NO_PAD.encode([&mac.as_ref()[..MAC], body].concat())
    }

    /// The session, if this edge made the ticket.
    pub(crate) fn check(&self, ticket: &str) -> Option<About> {
        if ticket.len() > MAX_LENGTH {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(ticket).ok()?;
        let (mac, body) = bytes.split_at_checked(MAC)?;
        let expected = self.mac(body);
        verify_slices_are_equal(&expected.as_ref()[..MAC], mac).ok()?;
        serde_json::from_slice(body).ok()
    }

    fn mac(&self, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(CONTEXT);
        context.update(body);
        context.sign()
    }
}

fn random_bytes() -> anyhow::Result<[u8; KEY]> {
    let mut bytes = [0; KEY];
    rand::fill(&mut bytes).context("draw random bytes from the system")?;
    Ok(bytes)
}
