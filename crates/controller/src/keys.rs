//! The master key and what is derived from it: the key that seals secrets at rest, and those that
//! digest credentials and requests.
//!
//! A sealed value is `format (1 byte) | key id (8) | nonce (24) | ciphertext and tag`. It is bound
//! to its row, so that whoever can write to the database cannot move it to another one.

use aws_lc_rs::{hkdf, hmac};
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use headworks_types::Secret;
use uuid::Uuid;

use crate::credential;

const FORMAT: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 24;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// The keys of this installation.
pub(crate) struct Keys {
    id: [u8; KEY_ID],
    seal: XChaCha20Poly1305,
    digest: hmac::Key,
    fingerprint: hmac::Key,
}

/// Why a master key is not one.
#[derive(Debug, thiserror::Error)]
#[error(
    "the master key must be 32 bytes in base64; make one with `head -c 32 /dev/urandom | base64`"
)]
pub(crate) struct MasterKeyError;

/// Why a sealed value cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnsealError {
    /// Not something that was sealed by [`Keys::seal`].
    #[error("is not a sealed value")]
    Format,
    /// It was sealed under another master key.
    #[error("was sealed with another master key (key id {sealed}, this one is {ours})")]
    OtherKey {
        /// The id of the key that sealed it.
        sealed: String,
        /// The id of the key that is configured.
        ours: String,
    },
    /// It was changed, or belongs to another row.
    #[error("is damaged, or was moved from another row")]
    Damaged,
}

impl Keys {
    /// Derives the keys from a master key in base64.
    pub(crate) fn new(master: &Secret) -> Result<Self, MasterKeyError> {
        let bytes = STANDARD
            .decode(master.expose().trim())
            .map_err(|_| MasterKeyError)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| MasterKeyError)?;
        let master = hkdf::Salt::new(hkdf::HKDF_SHA256, b"headworks").extract(&bytes);
        let derive = |purpose: &[u8]| {
            let mut key = [0; 32];
            master
                .expand(&[purpose], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut key))
                .map(|()| key)
                .map_err(|_| MasterKeyError)
        };
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&derive(b"key id")?[..KEY_ID]);
        Ok(Self {
            id,
            seal: XChaCha20Poly1305::new(&derive(b"seal")?.into()),
            digest: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"credential")?),
            fingerprint: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"fingerprint")?),
        })
    }

    /// Seals `plain` for one column of one row.
    pub(crate) fn seal(&self, row: &Row, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        credential::random(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: row.0.as_bytes(),
        };
        let sealed = self
            .seal
            .encrypt(&nonce.into(), payload)
            .expect("XChaCha20-Poly1305 seals anything below 256 GiB");
        [&[FORMAT], &self.id[..], &nonce, &sealed].concat()
    }

    /// Opens what [`Keys::seal`] made for the same row.
    pub(crate) fn unseal(&self, row: &Row, sealed: &[u8]) -> Result<Vec<u8>, UnsealError> {
        if sealed.len() < HEADER || sealed[0] != FORMAT {
            return Err(UnsealError::Format);
        }
        let (header, ciphertext) = sealed.split_at(HEADER);
        let (id, nonce) = header[1..].split_at(KEY_ID);
        if id != self.id {
            return Err(UnsealError::OtherKey {
                sealed: hex(id),
                ours: hex(&self.id),
            });
        }
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| UnsealError::Format)?;
        let payload = Payload {
            msg: ciphertext,
            aad: row.0.as_bytes(),
        };
        self.seal
            .decrypt(&nonce.into(), payload)
            .map_err(|_| UnsealError::Damaged)
    }

    /// The keyed digest under which a credential's secret part is stored.
    pub(crate) fn digest(&self, kind: &str, lookup: &str, secret: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.digest);
        for part in [kind, "_", lookup, "_", secret] {
            context.update(part.as_bytes());
        }
        context.sign().as_ref().to_vec()
    }

    /// The keyed digest of a request, to know it again. Keyed, since the request may hold a password
    /// that could be guessed. The parts are each preceded by their length so that they cannot run
    /// into each other.
    pub(crate) fn fingerprint(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.fingerprint);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().to_vec()
    }
}

/// Names the place that a sealed value belongs to.
pub(crate) struct Row(String);

impl Row {
    /// The column of the row with this key.
    pub(crate) fn new(table: &str, column: &str, key: &str) -> Self {
        Self(format!("{table}|{column}|{key}"))
    }

    /// A camera's user name and password.
    pub(crate) fn camera_credentials(camera: impl Into<Uuid>) -> Self {
        Self::new("camera", "credentials", &camera.into().to_string())
    }

    /// All secrets of a restream.
    pub(crate) fn restream_secrets(restream: impl Into<Uuid>) -> Self {
        Self::new("restream", "secrets", &restream.into().to_string())
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(fill: u8) -> Keys {
        Keys::new(&Secret::new(STANDARD.encode([fill; 32]))).expect("is a key")
    }

    #[test]
    fn what_is_sealed_opens_for_its_row_only() {
        let row = Row::new("camera", "credentials", "1");
        let sealed = keys(1).seal(&row, b"p@ss");
        assert_eq!(keys(1).unseal(&row, &sealed).expect("opens"), b"p@ss");
        let other = Row::new("camera", "credentials", "2");
        assert!(matches!(
            keys(1).unseal(&other, &sealed),
            Err(UnsealError::Damaged)
        ));
        assert_ne!(sealed, keys(1).seal(&row, b"p@ss"), "nonces are fresh");
    }

    #[test]
    fn another_master_key_is_named_as_the_cause() {
        let row = Row::new("t", "c", "1");
        let sealed = keys(1).seal(&row, b"x");
        assert!(matches!(
            keys(2).unseal(&row, &sealed),
            Err(UnsealError::OtherKey { .. })
        ));
    }

    #[test]
    fn no_bytes_panic() {
        let row = Row::new("t", "c", "1");
        let sealed = keys(1).seal(&row, b"secret");
        for end in 0..sealed.len() {
            assert!(keys(1).unseal(&row, &sealed[..end]).is_err());
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys(1).unseal(&row, &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_master_key_has_32_bytes() {
        for bad in ["", "short", "!", &STANDARD.encode([0; 31])] {
            assert!(Keys::new(&Secret::new(bad)).is_err(), "{bad}");
        }
    }
}
