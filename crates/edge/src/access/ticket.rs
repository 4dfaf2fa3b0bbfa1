//! Session tickets: what the addresses of segments carry instead of the token.
//!
//! A ticket is `session id (16) | watch until, seconds (8) | MAC (16)` in base64url. The MAC is
//! HMAC-SHA-256, cut to 128 bits, over a context string, the session id, the camera and the time.
//! It is made and checked by the same edge only, with a key that stays on its disk.

use std::path::Path;

use anyhow::Context as _;
use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use headworks_bootstrap::file;
use headworks_types::CameraId;
use uuid::Uuid;

const CONTEXT: &[u8] = b"headworks session ticket 1\0";
const KEY: usize = 32;
const MAC: usize = 16;
const BODY: usize = 16 + 8;

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

    fn from_bytes(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The ticket of a session.
    pub(crate) fn make(&self, id: Uuid, camera: CameraId, watch_until: DateTime<Utc>) -> String {
        let body = body(id, watch_until.timestamp());
        let mac = self.mac(&body, camera);
        URL_SAFE_NO_PAD.encode([&body[..], &mac.as_ref()[..MAC]].concat())
    }

    /// The session id and its end, if this edge made the ticket for `camera`.
    pub(crate) fn check(&self, ticket: &str, camera: CameraId) -> Option<(Uuid, DateTime<Utc>)> {
        let mut bytes = [0; BODY + MAC + 2];
        let length = URL_SAFE_NO_PAD.decode_slice(ticket, &mut bytes).ok()?;
        let (body, mac) = bytes[..length].split_at_checked(BODY)?;
        let expected = self.mac(body, camera);
        verify_slices_are_equal(&expected.as_ref()[..MAC], mac).ok()?;
        let (id, watch_until) = body.split_at(16);
        let id = Uuid::from_slice(id).ok()?;
        let watch_until = i64::from_be_bytes(watch_until.try_into().ok()?);
        Some((id, DateTime::from_timestamp(watch_until, 0)?))
    }

    fn mac(&self, body: &[u8], camera: CameraId) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(CONTEXT);
        context.update(body);
        context.update(camera.uuid().as_bytes());
        context.sign()
    }
}

fn body(id: Uuid, watch_until: i64) -> [u8; BODY] {
    let mut body = [0; BODY];
    body[..16].copy_from_slice(id.as_bytes());
    body[16..].copy_from_slice(&watch_until.to_be_bytes());
    body
}

fn random_bytes() -> anyhow::Result<[u8; KEY]> {
    let mut bytes = [0; KEY];
    rand::fill(&mut bytes).context("draw random bytes from the system")?;
    Ok(bytes)
}
