//! Typed HTTP client of the controller's API.
//!
//! One method per operation, with the operation's name: [`Client::camera_create`],
//! [`Client::lease_renew`], … Each returns a [`Call`], which is sent when it is awaited, after an
//! idempotency key, an ETag, a page or a deadline was added where the operation takes them.
//!
//! Every call has a deadline, and the watch notices silence. Nothing is retried here: callers know
//! what may be repeated. Redirects are not followed and web proxies are not used, so that a
//! credential goes to no other host than the one that was named.

mod access;
mod api_key;
mod audit;
mod auth;
mod call;
mod camera;
mod camera_group;
mod cluster;
mod cluster_state;
mod edge;
mod error;
mod event;
mod grant;
mod join_token;
mod node;
mod plan;
mod playback;
mod playback_key;
mod project;
mod restream;
mod role;
mod session;
mod signing_key;
mod slot;
mod stream_key;
mod user;
mod user_group;
mod watch;

use std::time::Duration;

use headworks_types::Secret;
use reqwest::{Method, redirect};
use serde::Serialize;
use url::Url;

pub use audit::{AuditExport, Audited};
pub use call::{Call, Change, Create, Named, Plain, Tagged};
pub use cluster::NodeCredentials;
pub use error::Error;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// A connection to one controller, or to a load balancer before several. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    credential: Option<Secret>,
    deadline: Duration,
}

impl Client {
    /// A client of the API at `url`, e.g. `http://controller:8080/`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is not HTTP, or there is no TLS to be had.
    pub fn new(url: Url) -> Result<Self, Error> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::Request(format!(
                "`{url}` is not an http:// or https:// address"
            )));
        }
        Self::build(url, |http| http)
    }

    fn build(
        url: Url,
        with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("headworks/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_DEADLINE);
        let http = with(http)
            .build()
            .map_err(|error| Error::from_transport(url.as_str(), error))?;
        Ok(Self {
            http,
            url,
            credential: None,
            deadline: CALL_DEADLINE,
        })
    }

    /// Sends this API key or access token with every call.
    #[must_use]
    pub fn with_credential(mut self, credential: Secret) -> Self {
        self.credential = Some(credential);
        self
    }

    /// How long a call may take, from now on.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Base URL of the API.
    #[must_use]
    pub fn base(&self) -> &str {
        self.url.as_str()
    }

    fn http(&self) -> &reqwest::Client {
        &self.http
    }

    fn credential(&self) -> Option<&Secret> {
        self.credential.as_ref()
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn get<T>(&self, path: &[&str]) -> Call<T> {
        Call::new(self, Method::GET, path)
    }

    fn post<T>(&self, path: &[&str], body: &impl Serialize) -> Call<T, Create> {
        Call::new(self, Method::POST, path).body(body)
    }

    /// A POST that takes no idempotency key.
    fn ask<T>(&self, path: &[&str], body: &impl Serialize) -> Call<T> {
        Call::new(self, Method::POST, path).body(body)
    }

    /// An action without a body.
    fn act<T>(&self, path: &[&str]) -> Call<T, Create> {
        Call::new(self, Method::POST, path)
    }

    fn patch<T>(&self, path: &[&str], body: &impl Serialize) -> Call<T, Change> {
        Call::new(self, Method::PATCH, path).body(body)
    }

    fn delete(&self, path: &[&str]) -> Call<(), Change> {
        Call::new(self, Method::DELETE, path)
    }
}
