//! Credentials of programs, publishers and edges: `<kind>_<lookup>_<secret>`.
//!
//! The lookup part finds the row and may be shown. The secret part is 256 random bits that are
//! shown once; the database keeps its keyed digest. A slow password hash would buy nothing against
//! guessing 256 bits, and cost a core per request.

use aws_lc_rs::{
    constant_time,
    digest::{SHA256, digest},
    rand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_types::Secret;

use crate::keys::Keys;

const LOOKUP: usize = 12;
const SECRET: usize = 43;

/// What a credential is for; the part before the first underscore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ApiKey,
    StreamKey,
    JoinToken,
    RefreshToken,
}

impl Kind {
    /// As it stands in the credential.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "hwak",
            Self::StreamKey => "hwsk",
            Self::JoinToken => "hwjt",
            Self::RefreshToken => "hwrt",
        }
    }
}

/// A new credential.
pub(crate) struct NewCredential {
    /// What the row is found by.
    pub(crate) lookup: String,
    /// What the row keeps.
    pub(crate) digest: Vec<u8>,
    /// The whole, for its owner.
    pub(crate) secret: Secret,
}

/// A credential as somebody presents it: not yet checked.
pub(crate) struct Presented<'a> {
    kind: Kind,
    /// What the row is found by.
    pub(crate) lookup: &'a str,
    pub(crate) secret: &'a str,
}

/// Makes a credential from the operating system's randomness.
pub(crate) fn generate(keys: &Keys, kind: Kind) -> NewCredential {
    let lookup = lookup();
    let mut bytes = [0; 32];
    random(&mut bytes);
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    NewCredential {
        digest: keys.digest(kind.prefix(), &lookup, &secret),
        secret: Secret::new(format!("{}_{lookup}_{secret}", kind.prefix())),
        lookup,
    }
}

/// A new lookup part.
pub(crate) fn lookup() -> String {
    // No underscore can come out of it, so that the parts split in one way only.
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0; LOOKUP];
    random(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}

/// Takes a credential of this kind apart.
pub(crate) fn parse(kind: Kind, text: &str) -> Option<Presented<'_>> {
    // What a join token says of the cluster's authority is for the edge.
    let text = match (kind, text.split_once('.')) {
        (Kind::JoinToken, Some((token, _))) => token,
        _ => text,
    };
    let rest = text.strip_prefix(kind.prefix())?.strip_prefix('_')?;
    let (lookup, secret) = rest.split_once('_')?;
    let good = lookup.len() == LOOKUP
        && secret.len() == SECRET
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    good.then_some(Presented {
        kind,
        lookup,
        secret,
    })
}

/// What edges check the credential with: they have no key for the keyed digest.
pub(crate) fn edge_digest(credential: &Secret) -> Vec<u8> {
    let digest = digest(&SHA256, credential.expose().as_bytes());
    digest.as_ref().to_vec()
}

impl Presented<'_> {
    /// True if it is the credential that `digest` was stored for. Takes the same time for every
    /// wrong secret.
    pub(crate) fn matches(&self, keys: &Keys, digest: &[u8]) -> bool {
        let presented = keys.digest(self.kind.prefix(), self.lookup, self.secret);
        constant_time::verify_slices_are_equal(&presented, digest).is_ok()
    }
}

/// Fills `bytes` with the operating system's randomness.
pub(crate) fn random(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the operating system gives random numbers");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let master = Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let keys = Keys::new(&master, None).expect("is a key");
        keys.with_digest(&[7; 32])
    }

    #[test]
    fn a_new_credential_parses_and_matches_its_digest_only() {
        for _ in 0..100 {
            let new = generate(&keys(), Kind::ApiKey);
            let other = generate(&keys(), Kind::ApiKey);
            let presented = parse(Kind::ApiKey, new.secret.expose()).expect("parses");
            assert_eq!(presented.lookup, new.lookup);
            assert!(presented.matches(&keys(), &new.digest));
            assert!(!presented.matches(&keys(), &other.digest));
        }
    }

    #[test]
    fn a_credential_of_another_kind_is_none() {
        let new = generate(&keys(), Kind::StreamKey);
        assert!(parse(Kind::ApiKey, new.secret.expose()).is_none());
        for text in [
            "",
            "hwak",
            "hwak_",
            "hwak_a_b",
            "hwak__",
            "hwak_aaaaaaaaaaaa_é",
        ] {
            assert!(parse(Kind::ApiKey, text).is_none(), "{text}");
        }
    }
}
