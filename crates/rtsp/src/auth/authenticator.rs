//! The client's end: answers challenges.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Algorithm, Challenge, Digest, Login, quote};

/// Why a challenge cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// We have none.
    #[error("it asks for a user name and a password")]
    PasswordWanted,
    /// It was not accepted.
    #[error("wrong user name or password")]
    WrongPassword,
    /// None of the schemes is Basic or Digest with MD5 or SHA-256.
    #[error("it asks for a password in no way that is known here: {offered}")]
    UnknownScheme {
        /// What the server offered.
        offered: String,
    },
}

/// Remembers the server's challenge and signs requests.
#[derive(Debug)]
pub struct Authenticator {
    login: Option<Login>,
    seed: u64,
    challenge: Option<Challenge>,
    /// Requests signed with the present nonce.
    count: u32,
    /// The last signed request was let in.
    proven: bool,
}

impl Authenticator {
    /// `seed` is random.
    #[must_use]
    pub fn new(login: Option<Login>, seed: u64) -> Self {
        Self {
            login,
            seed,
            challenge: None,
            count: 0,
            proven: false,
        }
    }

    /// Takes the `WWW-Authenticate` values of a 401 and chooses the strongest scheme. If it is
    /// `Ok`, the same request is worth sending again, signed.
    pub fn challenged<'a>(&mut self, values: impl Iterator<Item = &'a str>) -> Result<(), Denied> {
        let values: Vec<_> = values.collect();
        let chosen = values
            .iter()
            .flat_map(|value| Challenge::parse(value))
            // The first of equals.
            .reduce(|best, next| {
                if next.strength() > best.strength() {
                    next
                } else {
                    best
                }
            });
        if self.login.is_none() {
            return Err(Denied::PasswordWanted);
        }
        let Some(chosen) = chosen else {
            return Err(Denied::UnknownScheme {
                offered: values.join(", ").chars().take(200).collect(),
            });
        };
        if self.count > 0 && !self.is_worth_another(&chosen) {
            return Err(Denied::WrongPassword);
        }
        self.challenge = Some(chosen);
        self.count = 0;
        self.proven = false;
        Ok(())
    }

    /// We have answered a challenge before. Another nonce is worth another answer if the server
    /// says that the old one is stale, or if the old one was good until now: many cameras forget
    /// to say so.
    fn is_worth_another(&self, new: &Challenge) -> bool {
        match (&self.challenge, new) {
            (
                Some(Challenge::Digest { nonce: old, .. }),
                Challenge::Digest { nonce, stale, .. },
            ) => old != nonce && (*stale || self.proven),
            (Some(old), new) => old.strength() != new.strength() && self.proven,
            (None, _) => true,
        }
    }

    /// A signed request was let in.
    pub fn accepted(&mut self) {
        self.proven = self.count > 0;
    }

    /// The `Authorization` value of a request; `None` before any challenge.
    pub fn authorize(&mut self, method: &str, uri: &str) -> Option<String> {
        let login = self.login.as_ref()?;
        let challenge = self.challenge.as_ref()?;
        self.count += 1;
        match challenge {
            Challenge::Basic { .. } => {
                let plain = format!("{}:{}", login.username, login.password);
                Some(format!("Basic {}", BASE64_STANDARD.encode(plain)))
            }
            Challenge::Digest {
                realm,
                nonce,
                opaque,
                algorithm,
                qop_auth,
                ..
            } => {
                let seed = [self.seed.to_string(), self.count.to_string()].join(":");
                let cnonce = Algorithm::Sha256.hash(&[&seed, nonce])[..16].to_owned();
                let digest = Digest {
                    username: login.username.clone(),
                    realm: realm.clone(),
                    nonce: nonce.clone(),
                    uri: uri.to_owned(),
                    response: String::new(),
                    algorithm: *algorithm,
                    qop: qop_auth.then(|| (format!("{:08x}", self.count), cnonce)),
                };
                let response = digest.expected(method, &login.password);
                Some(digest.header(&response, opaque.as_deref()))
            }
        }
    }
}

impl Digest {
    /// The `Authorization` value. Old cameras want no `algorithm` where MD5 is meant.
    fn header(&self, response: &str, opaque: Option<&str>) -> String {
        let mut header = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quote(&self.username),
            quote(&self.realm),
            quote(&self.nonce),
            quote(&self.uri),
        );
        if self.algorithm != Algorithm::Md5 {
            header.push_str(&format!(", algorithm={}", self.algorithm.word()));
        }
        if let Some(opaque) = opaque {
            header.push_str(&format!(", opaque={}", quote(opaque)));
        }
        if let Some((count, cnonce)) = &self.qop {
            header.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{cnonce}\""));
        }
        header
    }
}
