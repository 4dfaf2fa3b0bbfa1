//! `state`: what the browser carries to the provider and back (RFC 6749 §10.12).
//!
//! It is sealed and holds what has to be known again, so that nothing is stored for those who only
//! begin, and any replica can complete. What has come back is remembered until it has expired, so
//! that none comes twice.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use headworks_types::Secret;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    credential::random,
    keys::{Keys, Row},
};

/// How long somebody may take on the provider's pages.
const LIFE: TimeDelta = TimeDelta::minutes(10);

/// What a state holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Binds the ID token to this sign-in.
    pub(super) nonce: String,
    /// The PKCE verifier (RFC 7636): binds the code to us.
    pub(super) verifier: Secret,
    pub(super) redirect_uri: Url,
    pub(super) expires_at: DateTime<Utc>,
}

impl Begun {
    pub(super) fn new(redirect_uri: Url, now: DateTime<Utc>) -> Self {
        Self {
            nonce: unguessable(),
            verifier: Secret::new(unguessable()),
            redirect_uri,
            expires_at: now + LIFE,
        }
    }

    /// As the browser carries it to this provider.
    pub(super) fn seal(&self, keys: &Keys, provider: &str) -> anyhow::Result<Secret> {
        let sealed = keys.seal(&row(provider), &serde_json::to_vec(self)?);
        Ok(Secret::new(URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// What came back from this provider, if it is ours and not too old.
    pub(super) fn open(
        keys: &Keys,
        provider: &str,
        state: &Secret,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(state.expose()).ok()?;
        let json = keys.unseal(&row(provider), &sealed).ok()?;
        let begun: Self = serde_json::from_slice(&json).ok()?;
        (now < begun.expires_at).then_some(begun)
    }
}

fn row(provider: &str) -> Row {
    Row::new("oidc", "state", provider)
}

/// 256 bits of randomness as text; also what PKCE asks for.
fn unguessable() -> String {
    let mut bytes = [0; 32];
    random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_from_its_provider_in_time() {
        let text = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let keys = Keys::new(&Secret::new(text)).expect("is a key");
        let now = DateTime::UNIX_EPOCH;
        let uri = Url::parse("https://app.example.com/back").expect("is a URL");
        let begun = Begun::new(uri.clone(), now);
        let state = begun.seal(&keys, "corp").expect("seals");
        let open = |provider: &str, state: &Secret, after: TimeDelta| {
            Begun::open(&keys, provider, state, now + after)
        };
        let soon = TimeDelta::seconds(599);
        assert_eq!(open("corp", &state, soon), Some(begun));
        assert_eq!(open("corp", &state, TimeDelta::seconds(600)), None);
        assert_eq!(open("other", &state, soon), None);
        for bad in ["", "!", "AAAA"] {
            assert_eq!(open("corp", &Secret::new(bad), soon), None, "{bad}");
        }
        let shown = String::from_utf8_lossy(&URL_SAFE_NO_PAD.decode(state.expose()).expect("is"))
            .into_owned();
        assert!(
            !shown.contains("example.com"),
            "the browser reads nothing in it"
        );
        let another = Begun::new(uri, now);
        assert_ne!(another.nonce, another.verifier.expose());
    }
}
