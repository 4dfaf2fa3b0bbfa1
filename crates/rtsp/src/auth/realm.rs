//! The server's end: asks for a password and checks the answer.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Algorithm, Digest, hex, quote};

/// What clients log in to. All connections share one.
///
/// A nonce is the time of its making, signed. So any connection can check any nonce, and nothing
/// has to be remembered. Within its lifetime a nonce may be used again: who can read a request on
/// its way can repeat that method on that URL for so long, no more.
#[derive(Debug, Clone)]
pub struct Realm {
    name: String,
    secret: [u8; 32],
    start: Instant,
    lifetime: Duration,
}

/// What a challenge offers, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schemes {
    /// For secrets that we only know hashed: tokens and keys. Over TLS where it matters.
    Basic,
    /// Digest, and Basic for those who do not know it. The password must be known in the clear.
    DigestOrBasic,
    /// Digest only.
    Digest,
}

/// What a digest is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It proves the password.
    Right,
    /// It does not.
    Wrong,
    /// It proves the password with a nonce that is too old: challenge again, with `stale`.
    Stale,
}

impl Realm {
    /// A realm whose nonces live for `lifetime`. `secret` has to be random and kept from others;
    /// `now` is the beginning of its time.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        secret: [u8; 32],
        lifetime: Duration,
        now: Instant,
    ) -> Self {
        Self {
            name: name.into(),
            secret,
            start: now,
            lifetime,
        }
    }

    /// The values of the `WWW-Authenticate` headers.
    #[must_use]
    pub fn challenges(&self, now: Instant, schemes: Schemes, stale: bool) -> Vec<String> {
        let realm = quote(&self.name);
        let mut found = Vec::new();
        if schemes != Schemes::Basic {
            let nonce = self.nonce(now);
            let stale = if stale { ", stale=true" } else { "" };
            // The strongest first (RFC 7616 §3.7). FFmpeg takes the last Digest that it is offered,
            // and knows MD5 only.
            for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
                let word = algorithm.word();
                found.push(format!(
                    "Digest realm={realm}, nonce=\"{nonce}\", algorithm={word}, qop=\"auth\"{stale}"
                ));
            }
        }
        if schemes != Schemes::Digest {
            found.push(format!("Basic realm={realm}"));
        }
        found
    }

    /// Whether `digest` proves `password` for a request of `method` for `url`.
    #[must_use]
    pub fn verify(
        &self,
        now: Instant,
        digest: &Digest,
        (method, url): (&str, &str),
        password: &str,
    ) -> Verdict {
        let same_place = is_in(url, &digest.uri) || is_in(&digest.uri, url);
        let expected = digest.expected(method, password);
        let given = digest.response.to_ascii_lowercase();
        let same: bool = expected.as_bytes().ct_eq(given.as_bytes()).into();
        match self.age(now, &digest.nonce) {
            Some(age) if same && same_place && digest.realm == self.name => {
                if age <= self.lifetime {
                    Verdict::Right
                } else {
                    Verdict::Stale
                }
            }
            _ => Verdict::Wrong,
        }
    }

    /// An identifier that nobody guesses who does not know the secret and `seed`.
    pub(crate) fn session_id(&self, seed: u64, count: u32) -> String {
        hex(&self.sign(format!("session {seed} {count}").as_bytes())[..8])
    }

    fn nonce(&self, now: Instant) -> String {
        let seconds = now.saturating_duration_since(self.start).as_secs();
        let mut nonce = seconds.to_be_bytes().to_vec();
        let signature = self.sign(&nonce);
        nonce.extend_from_slice(&signature);
        hex(&nonce)
    }

    /// How old a nonce of ours is; `None` if it is not ours.
    fn age(&self, now: Instant, nonce: &str) -> Option<Duration> {
        let made = u64::from_str_radix(nonce.get(..16)?, 16).ok()?;
        let expected = hex(&self.sign(&made.to_be_bytes()));
        let ours: bool = expected
            .as_bytes()
            .ct_eq(nonce.get(16..)?.as_bytes())
            .into();
        let age = now
            .saturating_duration_since(self.start)
            .as_secs()
            .checked_sub(made)?;
        ours.then(|| Duration::from_secs(age))
    }

    fn sign(&self, message: &[u8]) -> [u8; 16] {
        let mut signature = [0; 16];
        if let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.secret) {
            let full = mac.chain_update(message).finalize().into_bytes();
            signature.copy_from_slice(&full[..16]);
        }
        signature
    }
}

/// True if `url` is `place`, or below it: some clients hash the URL of the presentation also where
/// they ask for one track.
fn is_in(url: &str, place: &str) -> bool {
    let place = place.trim_end_matches('/');
    let rest = url.strip_prefix(place).filter(|_| !place.is_empty());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

impl super::Login {
    /// Whether the password is `password`, in constant time.
    #[must_use]
    pub fn has_password(&self, password: &str) -> bool {
        self.password.as_bytes().ct_eq(password.as_bytes()).into()
    }
}
