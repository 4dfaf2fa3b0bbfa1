//! Talks to an OpenID provider: its description (OpenID Connect Discovery), its keys, its token
//! endpoint.
//!
//! Every answer has a deadline and a limit, redirects are not followed, nothing is fetched from where
//! [`super::outbound`] keeps closed, and how often the provider is asked does not depend on how often
//! strangers ask us. The crate `openidconnect` knows the protocol
//! too, but verifies with a second family of cryptography beside ours (RustCrypto), and leaves all of
//! that to its user; what it would save is `id_token`.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use headworks_bootstrap::Clock;
use headworks_types::Secret;
use jsonwebtoken::jwk::Jwk;
use reqwest::{RequestBuilder, StatusCode, redirect};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use super::{outbound::Gate, state::Begun};
use crate::config::{OidcConfig, is_safe};

const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(8);
const MAX_ANSWER: usize = 1 << 20;
const MAX_KEYS: usize = 100;

/// How long description and keys are good.
const FRESH: Duration = Duration::from_secs(3600);
/// After what time the keys are fetched again for one that we do not know.
const PAUSE: Duration = Duration::from_secs(10);
/// After what time a provider that has failed is asked again.
const RECOVERY: Duration = Duration::from_secs(3);

/// A provider.
pub(super) struct Provider {
    pub(super) config: OidcConfig,
    http: reqwest::Client,
    gate: Gate,
    description: Mutex<Cached<Description>>,
    keys: Mutex<Cached<Vec<Jwk>>>,
}

/// Where a provider answers what.
#[derive(Debug, Clone, Deserialize)]
struct Description {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What came of a code.
pub(super) enum Exchanged {
    IdToken(Secret),
    /// The code is not good, or is not good any more.
    BadCode,
}

impl Provider {
    pub(super) fn new(config: OidcConfig) -> anyhow::Result<Self> {
        let gate = Gate::new(&config.issuer);
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(gate))
            // A proxy would resolve names without us.
            .no_proxy()
            .user_agent(concat!("headworks/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(DEADLINE)
            .build()
            .context("make an HTTP client for OpenID providers")?;
        Ok(Self {
            config,
            http,
            gate,
            description: Mutex::default(),
            keys: Mutex::default(),
        })
    }

    /// Where to send a browser.
    pub(super) async fn authorization_url(
        &self,
        clock: &Clock,
        begun: &Begun,
        challenge: &str,
        state: &Secret,
    ) -> anyhow::Result<Url> {
        let mut url = self.describe(clock).await?.authorization_endpoint;
        let scopes = [&["openid".to_owned()], &self.config.scopes[..]].concat();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", begun.redirect_uri.as_str())
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", state.expose())
            .append_pair("nonce", &begun.nonce)
            .append_pair("code_challenge", challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Exchanges a code for an ID token (RFC 6749 §4.1.3, RFC 7636 §4.5).
    pub(super) async fn exchange(
        &self,
        clock: &Clock,
        begun: &Begun,
        code: &Secret,
    ) -> anyhow::Result<Exchanged> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: Secret,
        }
        #[derive(Deserialize)]
        struct Failure {
            error: String,
        }
        let description = self.describe(clock).await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", begun.redirect_uri.as_str()),
            ("code_verifier", begun.verifier.expose()),
        ];
        let mut request = self.http.post(description.token_endpoint.clone());
        match &self.config.client_secret {
            None => form.push(("client_id", &self.config.client_id)),
            Some(secret) if description.takes_basic() => {
                // §2.3.1: each is encoded as a form value first.
                request = request.basic_auth(
                    form_encoded(&self.config.client_id),
                    Some(form_encoded(secret.expose())),
                );
            }
            Some(secret) => {
                form.push(("client_id", &self.config.client_id));
                form.push(("client_secret", secret.expose()));
            }
        }
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let kind = "application/x-www-form-urlencoded";
        let request = request.header("content-type", kind).body(form);
        let (status, body) = fetch(request).await.context("ask the token endpoint")?;
        if status.is_success() {
            let tokens: Tokens = parse(&body).context("the token endpoint's answer")?;
            return Ok(Exchanged::IdToken(tokens.id_token));
        }
        match parse::<Failure>(&body) {
            Ok(failure) if failure.error == "invalid_grant" => Ok(Exchanged::BadCode),
            Ok(Failure { error }) => {
                let error: String = error.chars().take(64).collect();
                bail!("the token endpoint answered {status}, {error:?}")
            }
            Err(_) => bail!("the token endpoint answered {status}"),
        }
    }

    /// The provider's keys; after `unknown`, as they are now.
    pub(super) async fn keys(&self, clock: &Clock, unknown: bool) -> anyhow::Result<Vec<Jwk>> {
        let description = self.describe(clock).await?;
        let good = if unknown { PAUSE } else { FRESH };
        let mut cached = self.keys.lock().await;
        let load = async {
            let url = description.jwks_uri;
            let (status, body) = fetch(self.http.get(url)).await.context("fetch its keys")?;
            ensure!(status.is_success(), "its keys: the answer was {status}");
            parse_keys(&body)
        };
        cached.get(clock, good, load).await
    }

    async fn describe(&self, clock: &Clock) -> anyhow::Result<Description> {
        let mut cached = self.description.lock().await;
        cached.get(clock, FRESH, self.discover()).await
    }

    async fn discover(&self) -> anyhow::Result<Description> {
        let issuer = &self.config.issuer;
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let url = format!("{base}/.well-known/openid-configuration");
        self.gate.check(&Url::parse(&url)?)?;
        let (status, body) = fetch(self.http.get(url))
            .await
            .context("fetch its description")?;
        ensure!(
            status.is_success(),
            "its description: the answer was {status}"
        );
        let found: Description = parse(&body).context("its description")?;
        ensure!(
            found.issuer == *issuer,
            "it calls itself {:?}, which is not the configured issuer",
            found.issuer.chars().take(256).collect::<String>()
        );
        let endpoints = [
            &found.authorization_endpoint,
            &found.token_endpoint,
            &found.jwks_uri,
        ];
        ensure!(
            endpoints.into_iter().all(is_safe),
            "its description names an endpoint that is not https://"
        );
        for fetched in [&found.token_endpoint, &found.jwks_uri] {
            self.gate.check(fetched).context("its description")?;
        }
        Ok(found)
    }
}

impl Description {
    /// Absent means `client_secret_basic` (Discovery §3).
    fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|m| m == "client_secret_basic"))
    }
}

/// Something of the provider's, with when it was fetched and when that failed last.
struct Cached<T> {
    value: Option<(T, Instant)>,
    failed_at: Option<Instant>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self {
            value: None,
            failed_at: None,
        }
    }
}

impl<T: Clone> Cached<T> {
    /// What is there if it is younger than `good`, else what `load` gets. What is too old is still
    /// better than nothing while the provider is away.
    async fn get(
        &mut self,
        clock: &Clock,
        good: Duration,
        load: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let now = clock.monotonic();
        if let Some((value, at)) = &self.value
            && now - *at < good
        {
            return Ok(value.clone());
        }
        let loaded = match self.failed_at {
            Some(at) if now - at < RECOVERY => Err(anyhow::anyhow!("it failed a moment ago")),
            _ => load.await,
        };
        match (loaded, &self.value) {
            (Ok(value), _) => {
                self.value = Some((value.clone(), now));
                self.failed_at = None;
                Ok(value)
            }
            (Err(error), old) => {
                let failed_at = self.failed_at.filter(|at| now - *at < RECOVERY);
                self.failed_at = failed_at.or_else(|| Some(clock.monotonic()));
                old.as_ref().map(|(old, _)| old.clone()).ok_or(error)
            }
        }
    }
}

/// The answer, unless it is too long or too late.
async fn fetch(request: RequestBuilder) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    // Its errors name the URL, which may hold something secret in its query.
    let mut answer = request.send().await.map_err(reqwest::Error::without_url)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        ensure!(
            body.len() + chunk.len() <= MAX_ANSWER,
            "the answer is too long"
        );
        body.extend_from_slice(&chunk);
    }
    Ok((answer.status(), body))
}

/// Without what was read: it may hold tokens.
fn parse<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        anyhow::anyhow!("is not JSON of the expected shape, at {}", error.column())
    })
}

/// What cannot be a key is left out.
fn parse_keys(body: &[u8]) -> anyhow::Result<Vec<Jwk>> {
    #[derive(Deserialize)]
    struct Keys {
        keys: Vec<Value>,
    }
    let Keys { keys } = parse(body).context("its keys")?;
    ensure!(keys.len() <= MAX_KEYS, "it has more than {MAX_KEYS} keys");
    let keys = keys.into_iter();
    Ok(keys
        .filter_map(|key| serde_json::from_value(key).ok())
        .collect())
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_provider_is_asked_no_more_often_than_needed() {
        let clock = Clock::system();
        let mut cached = Cached::default();
        let get = async |cached: &mut Cached<u32>, good, answer: Result<u32, &'static str>| {
            let load = async { answer.map_err(anyhow::Error::msg) };
            cached
                .get(&clock, good, load)
                .await
                .map_err(|e| e.to_string())
        };
        let away = Err("away".to_owned());
        let soon = Err("it failed a moment ago".to_owned());
        assert_eq!(get(&mut cached, FRESH, Err("away")).await, away);
        assert_eq!(
            get(&mut cached, FRESH, Ok(1)).await,
            soon,
            "not asked again at once"
        );
        tokio::time::advance(RECOVERY).await;
        assert_eq!(get(&mut cached, FRESH, Ok(1)).await, Ok(1));
        assert_eq!(get(&mut cached, FRESH, Ok(2)).await, Ok(1), "is fresh");
        assert_eq!(
            get(&mut cached, PAUSE, Ok(2)).await,
            Ok(1),
            "was fetched just now"
        );
        tokio::time::advance(PAUSE).await;
        assert_eq!(get(&mut cached, PAUSE, Ok(2)).await, Ok(2));
        tokio::time::advance(FRESH).await;
        assert_eq!(
            get(&mut cached, FRESH, Err("away")).await,
            Ok(2),
            "old, but there"
        );
    }

    #[test]
    fn what_is_no_key_is_left_out() {
        let keys = br#"{"keys": [
            7,
            "key",
            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
        ]}"#;
        assert_eq!(parse_keys(keys).expect("parses").len(), 1);
        assert!(parse_keys(b"{}").is_err());
    }

    #[test]
    fn errors_do_not_show_what_was_read() {
        let error = parse::<u32>(br#""eyJ-a-token""#).expect_err("is a text");
        assert!(!format!("{error:?}").contains("eyJ"), "{error:?}");
    }
}
