//! The master key and what is derived from it, the key that seals secrets at rest; and the keys that
//! digest credentials and requests.
//!
//! Another master key may be given that only opens: so a new one can be introduced while all is
//! still readable, and then everything is sealed anew (`app::reseal`). Credentials do not depend on
//! the master key: the key that digests them is itself sealed in the database ([`Keys::with_digest`]).
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
    seal: Sealer,
    /// Opens what was sealed under another master key.
    second: Option<Sealer>,
    digest: hmac::Key,
    fingerprint: hmac::Key,
}

/// What is derived from one master key.
struct Sealer {
    id: [u8; KEY_ID],
    cipher: XChaCha20Poly1305,
}

/// Digests credentials; the same for the life of the cluster.
pub(crate) type DigestKey = [u8; 32];

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
    /// Derives the keys from a master key in base64; `second` only opens. They digest with a key of
    /// their own, until [`Keys::with_digest`].
    pub(crate) fn new(master: &Secret, second: Option<&Secret>) -> Result<Self, MasterKeyError> {
        let (digest, fingerprint) = digests(&new_digest_key());
        Ok(Self {
            second: second.map(Sealer::new).transpose()?,
            seal: Sealer::new(master)?,
            digest,
            fingerprint,
        })
    }

    /// The same keys, digesting credentials and requests with what the cluster keeps for that.
    pub(crate) fn with_digest(self, key: &DigestKey) -> Self {
        let (digest, fingerprint) = digests(key);
        Self {
            digest,
            fingerprint,
            ..self
        }
    }

    /// Names the master key that seals, as [`Keys::ID_PLACE`] has it in what is sealed.
    pub(crate) fn id(&self) -> &[u8] {
        &self.seal.id
    }

    /// Where in a sealed value the name of its master key is: first byte, from one, and length.
    pub(crate) const ID_PLACE: (i32, i32) = (2, KEY_ID as i32);

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
            .cipher
            .encrypt(&nonce.into(), payload)
            .expect("XChaCha20-Poly1305 seals anything below 256 GiB");
        [&[FORMAT], &self.seal.id[..], &nonce, &sealed].concat()
    }

    /// Opens what [`Keys::seal`] made for the same row.
    pub(crate) fn unseal(&self, row: &Row, sealed: &[u8]) -> Result<Vec<u8>, UnsealError> {
        if sealed.len() < HEADER || sealed[0] != FORMAT {
            return Err(UnsealError::Format);
        }
        let (header, ciphertext) = sealed.split_at(HEADER);
        let (id, nonce) = header[1..].split_at(KEY_ID);
        let sealers = [Some(&self.seal), self.second.as_ref()];
        let sealer = sealers.into_iter().flatten().find(|key| key.id == id);
        let Some(sealer) = sealer else {
            return Err(UnsealError::OtherKey {
                sealed: hex(id),
                ours: hex(&self.seal.id),
            });
        };
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| UnsealError::Format)?;
        let payload = Payload {
            msg: ciphertext,
            aad: row.0.as_bytes(),
        };
        sealer
            .cipher
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

/// For a cluster that begins. Whoever has a master key of it, but not what it sealed, has nothing.
pub(crate) fn new_digest_key() -> DigestKey {
    let mut key = [0; 32];
    credential::random(&mut key);
    key
}

/// What digests credentials, and what digests requests.
fn digests(key: &DigestKey) -> (hmac::Key, hmac::Key) {
    let digest = hmac::Key::new(hmac::HMAC_SHA256, key);
    let fingerprint = hmac::sign(&digest, b"headworks fingerprint");
    let fingerprint = hmac::Key::new(hmac::HMAC_SHA256, fingerprint.as_ref());
    (digest, fingerprint)
}

impl Sealer {
    fn new(master: &Secret) -> Result<Self, MasterKeyError> {
        let bytes = STANDARD
            .decode(master.expose().trim())
            .map_err(|_| MasterKeyError)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| MasterKeyError)?;
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"headworks").extract(&bytes);
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&derive(&prk, b"key id")?[..KEY_ID]);
        Ok(Self {
            id,
            cipher: XChaCha20Poly1305::new(&derive(&prk, b"seal")?.into()),
        })
    }
}

fn derive(prk: &hkdf::Prk, purpose: &[u8]) -> Result<[u8; 32], MasterKeyError> {
    let mut key = [0; 32];
    prk.expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .map(|()| key)
        .map_err(|_| MasterKeyError)
}

/// A column of sealed values, and what names its rows: an expression of SQL that gives the key of
/// [`Row::new`], and a condition that finds the row of the key `$1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedColumn {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) key: &'static str,
    pub(crate) is_row: &'static str,
}

/// Every column of sealed values. A test compares it with the calls of [`Row::new`].
pub(crate) const SEALED: &[SealedColumn] = &[
    sealed("camera", "credentials", "id::text", "id = $1::uuid"),
    sealed("cluster_ca", "private", "id::text", "id = $1::boolean"),
    sealed("cluster_secret", "sealed", "name", "name = $1"),
    sealed(
        "idempotency",
        "body",
        "replace(caller_id::text, '-', '') || '|' || key",
        "caller_id = split_part($1, '|', 1)::uuid AND key = substr($1, strpos($1, '|') + 1)",
    ),
    sealed("restream", "secrets", "id::text", "id = $1::uuid"),
    sealed("signing_key", "private", "kid", "kid = $1"),
];

const fn sealed(
    table: &'static str,
    column: &'static str,
    key: &'static str,
    is_row: &'static str,
) -> SealedColumn {
    SealedColumn {
        table,
        column,
        key,
        is_row,
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
    use std::collections::BTreeSet;

    use super::*;

    fn keys(fill: u8) -> Keys {
        Keys::new(&master(fill), None).expect("is a key")
    }

    fn master(fill: u8) -> Secret {
        Secret::new(STANDARD.encode([fill; 32]))
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
    fn a_second_master_key_opens_and_does_not_seal() {
        let row = Row::new("t", "c", "1");
        let both = Keys::new(&master(2), Some(&master(1))).expect("are keys");
        let old = keys(1).seal(&row, b"x");
        assert_eq!(both.unseal(&row, &old).expect("opens"), b"x");
        let new = both.seal(&row, b"x");
        assert_eq!(keys(2).unseal(&row, &new).expect("opens"), b"x");
        assert!(keys(1).unseal(&row, &new).is_err());
        let (start, length) = Keys::ID_PLACE;
        let (start, length) = (start as usize - 1, length as usize);
        assert_eq!(&new[start..start + length], both.id());
    }

    #[test]
    fn credentials_outlive_the_master_key() {
        let kept = new_digest_key();
        let [first, later] = [1, 2].map(|fill| keys(fill).with_digest(&kept));
        assert_eq!(first.digest("k", "l", "s"), later.digest("k", "l", "s"));
        assert_ne!(keys(2).digest("k", "l", "s"), later.digest("k", "l", "s"));
    }

    /// Table and column of each `Row::new("…", "…"` of the crate, outside of tests.
    fn sealed_in(directory: &std::path::Path, found: &mut BTreeSet<(String, String)>) {
        for entry in std::fs::read_dir(directory).expect("is a directory") {
            let path = entry.expect("is readable").path();
            if path.is_dir() {
                sealed_in(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("is text");
            let text = text.split("mod tests {").next().unwrap_or_default();
            let code: String = text.split_whitespace().collect();
            // As it is called in its own `impl`.
            let code = code.replace("Self::new(\"", "Row::new(\"");
            for call in code.split("Row::new(").skip(1) {
                let mut words = call.trim_start_matches('"').split('"');
                let (table, comma, column) = (words.next(), words.next(), words.next());
                if let (Some(table), Some(","), Some(column)) = (table, comma, column) {
                    found.insert((table.to_owned(), column.to_owned()));
                }
            }
        }
    }

    #[test]
    fn every_sealed_column_is_listed() {
        let mut found = BTreeSet::new();
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        sealed_in(&source, &mut found);
        // Goes through a browser and comes back within minutes; it is nowhere kept.
        found.remove(&("oidc".to_owned(), "state".to_owned()));
        let listed = SEALED.iter();
        let listed = listed.map(|one| (one.table.to_owned(), one.column.to_owned()));
        assert_eq!(listed.collect::<BTreeSet<_>>(), found);
    }

    #[test]
    fn a_master_key_has_32_bytes() {
        for bad in ["", "short", "!", &STANDARD.encode([0; 31])] {
            assert!(Keys::new(&Secret::new(bad), None).is_err(), "{bad}");
        }
    }
}
