//! Who is asking: Basic and Digest authentication (RFC 7617, RFC 7616, and RFC 2617 for old
//! cameras), from both ends.
//!
//! [`Realm`] asks and checks, [`Authenticator`] answers. Passwords are compared in constant time.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use md5::{Digest as _, Md5};
use sha2::Sha256;

mod authenticator;
mod parameters;
mod realm;

pub use authenticator::{Authenticator, Denied};
pub use realm::{Realm, Schemes, Verdict};

use parameters::{parameters, quote};

/// A user name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// May be anything, also empty.
    pub username: String,
    /// May be anything: it needs no escaping here.
    pub password: String,
}

impl fmt::Debug for Login {
    /// Without the password, and without a user name that may stand for one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let username = if self.password.is_empty() {
            "…"
        } else {
            &self.username
        };
        f.debug_struct("Login")
            .field("username", &username)
            .finish_non_exhaustive()
    }
}

/// How a digest is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// The only one that most cameras know.
    Md5,
    /// RFC 7616 §3.2.
    Sha256,
}

impl Algorithm {
    fn word(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// MD5 if none is named.
    fn parse(word: Option<&str>) -> Option<Self> {
        let word = word.unwrap_or("MD5");
        [Self::Md5, Self::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.word().eq_ignore_ascii_case(word))
    }

    /// In hexadecimal digits.
    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a server asks for: one `WWW-Authenticate` challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// The password in the clear.
    Basic {
        /// What the password is for.
        realm: String,
    },
    /// A hash of it.
    Digest {
        /// What the password is for.
        realm: String,
        /// The server's number, used once or for a while.
        nonce: String,
        /// To be sent back.
        opaque: Option<String>,
        /// How to hash.
        algorithm: Algorithm,
        /// Whether `qop=auth` is offered; else the computation of RFC 2069 is meant.
        qop_auth: bool,
        /// The last answer was right but its nonce is too old.
        stale: bool,
    },
}

impl Challenge {
    /// All that we can answer in a `WWW-Authenticate` value, which may hold several.
    #[must_use]
    pub fn parse(value: &str) -> Vec<Self> {
        let found = parameters(value).into_iter();
        found.filter_map(Self::from_parameters).collect()
    }

    fn from_parameters((scheme, of): (String, parameters::Parameters)) -> Option<Self> {
        let text = |name: &str| of.get(name).map(str::to_owned);
        let realm = text("realm").unwrap_or_default();
        if scheme.eq_ignore_ascii_case("Basic") {
            return Some(Self::Basic { realm });
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let qop = of.get("qop");
        let qop_auth = qop.is_some_and(|qop| {
            qop.split(',')
                .any(|word| word.trim().eq_ignore_ascii_case("auth"))
        });
        // Only auth-int is offered: we cannot.
        if qop.is_some_and(|qop| !qop.trim().is_empty()) && !qop_auth {
            return None;
        }
        Some(Self::Digest {
            realm,
            nonce: text("nonce")?,
            opaque: text("opaque"),
            algorithm: Algorithm::parse(of.get("algorithm"))?,
            qop_auth,
            stale: of
                .get("stale")
                .is_some_and(|word| word.eq_ignore_ascii_case("true")),
        })
    }

    /// Stronger ones compare greater.
    fn strength(&self) -> Option<Algorithm> {
        match self {
            Self::Basic { .. } => None,
            Self::Digest { algorithm, .. } => Some(*algorithm),
        }
    }
}

/// What a client presents in `Authorization`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The password in the clear.
    Basic(Login),
    /// A hash of it.
    Digest(Box<Digest>),
}

/// A digest answer (RFC 7616 §3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Whose password was hashed.
    pub username: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    algorithm: Algorithm,
    /// Count and client's nonce, if `qop=auth`.
    qop: Option<(String, String)>,
}

impl Credentials {
    /// `None` if it is neither Basic nor Digest, or malformed.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
        if scheme.eq_ignore_ascii_case("Basic") {
            let decoded = BASE64_STANDARD.decode(rest.trim()).ok()?;
            let text = String::from_utf8_lossy(&decoded);
            let (username, password) = text.split_once(':')?;
            return Some(Self::Basic(Login {
                username: username.to_owned(),
                password: password.to_owned(),
            }));
        }
        let (scheme, of) = parameters(value).into_iter().next()?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let text = |name: &str| of.get(name).map(str::to_owned);
        let qop = match of.get("qop").map(str::trim) {
            None | Some("") => None,
            Some(word) if word.eq_ignore_ascii_case("auth") => Some((text("nc")?, text("cnonce")?)),
            Some(_) => return None,
        };
        Some(Self::Digest(Box::new(Digest {
            username: text("username")?,
            realm: text("realm")?,
            nonce: text("nonce")?,
            uri: text("uri")?,
            response: text("response")?,
            algorithm: Algorithm::parse(of.get("algorithm"))?,
            qop,
        })))
    }
}

impl Digest {
    /// RFC 7616 §3.4.1, and RFC 2069 where there is no `qop`.
    fn expected(&self, method: &str, password: &str) -> String {
        let hash = |parts: &[&str]| self.algorithm.hash(parts);
        let secret = hash(&[&self.username, &self.realm, password]);
        let action = hash(&[method, &self.uri]);
        match &self.qop {
            None => hash(&[&secret, &self.nonce, &action]),
            Some((count, cnonce)) => hash(&[&secret, &self.nonce, count, cnonce, "auth", &action]),
        }
    }
}

#[cfg(test)]
mod tests;
