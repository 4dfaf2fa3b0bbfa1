//! HTTP clients that connect only to what is open, and follow redirects only there.
//!
//! Redirects are followed, since distribution networks send each viewer to a machine near it, but
//! only a few, only to HTTP, and never from HTTPS to HTTP. A login goes to no other host: the
//! library strips it.

use std::net::SocketAddr;

use reqwest::{
    ClientBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::{Action, Attempt, Policy},
};
use url::Url;

use super::Gate;

/// More is a loop.
const MAX_REDIRECTS: usize = 5;

/// A redirect that is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Redirect {
    #[error("it redirects more than {MAX_REDIRECTS} times")]
    TooMany,
    #[error("it redirects from https out into the open")]
    Downgrade,
    #[error("it redirects to something that is not HTTP")]
    Scheme,
}

impl Gate {
    /// A client for HTTP. Before a request of it, [`Gate::check`] its URL.
    pub(crate) fn client(&self, tls_verify: bool) -> ClientBuilder {
        let gate = self.clone();
        reqwest::Client::builder()
            .user_agent(concat!("Headworks/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Names(self.clone()))
            .redirect(Policy::custom(move |attempt| follow(&gate, attempt)))
            // A proxy would resolve names without us.
            .no_proxy()
            .tls_danger_accept_invalid_certs(!tls_verify)
    }
}

fn follow(gate: &Gate, attempt: Attempt<'_>) -> Action {
    if let Err(redirect) = lawful(attempt.previous(), attempt.url()) {
        return attempt.error(redirect);
    }
    match gate.check(attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(closed) => attempt.error(closed),
    }
}

/// `before` are all that were asked, also the first one.
fn lawful(before: &[Url], to: &Url) -> Result<(), Redirect> {
    let is_secure = |url: &Url| url.scheme() == "https";
    if before.len() > MAX_REDIRECTS {
        return Err(Redirect::TooMany);
    }
    match to.scheme() {
        "https" => Ok(()),
        "http" if before.iter().any(is_secure) => Err(Redirect::Downgrade),
        "http" => Ok(()),
        _ => Err(Redirect::Scheme),
    }
}

struct Names(Gate);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let gate = self.0.clone();
        Box::pin(async move {
            let found = gate.resolve(name.as_str()).await?;
            // The library puts in the URL's port.
            let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}
