//! Somebody else's OpenID provider: `oidc-provider` on Node.js, which is certified.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{Process, Signal, Stream, http, tool};

const SERVER: &str = include_str!("oidc_provider/server.mjs");
/// Making its RSA key takes a second on an idle machine.
const START: Duration = Duration::from_secs(60);
/// So many pages a browser sees at most before it comes back.
const STEPS: usize = 10;

/// A provider that knows one client. A browser says by `login_hint` who sits before it. It ends when
/// this is dropped.
#[derive(Debug)]
pub struct OidcProvider {
    port: u16,
    _process: Process,
}

impl OidcProvider {
    /// What the client is called.
    pub const CLIENT: &str = "headworks";
    /// What it shows to be that. Both have to be encoded on the way.
    pub const SECRET: &str = "a secret: of 100%";

    /// Starts one that sends browsers back to `redirect_uri`, and waits until it listens.
    pub fn start(redirect_uri: &str) -> anyhow::Result<Self> {
        let mut command = Command::new("node");
        command
            .args([
                "--no-warnings",
                "--input-type=module",
                "--eval",
                SERVER,
                "--",
            ])
            .arg(tool::oidc_provider()?)
            .args([Self::CLIENT, Self::SECRET, redirect_uri]);
        let (sender, port) = mpsc::channel();
        let process = Process::spawn(command, Signal::Kill, move |stream, line| {
            if let (Stream::Output, Ok(port)) = (stream, line.parse()) {
                let _ = sender.send(port);
            }
        })
        .context("OpenID providers need Node.js 20 or newer, and `cargo xtask setup`")?;
        match port.recv_timeout(START) {
            Ok(port) => Ok(Self {
                port,
                _process: process,
            }),
            Err(RecvTimeoutError::Timeout) => bail!("the provider is not ready after {START:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the provider ended\n{}", process.tail()),
        }
    }

    /// What it calls itself.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it says about somebody from now on.
    pub fn describe(&self, subject: &str, claims: &Value) -> anyhow::Result<()> {
        let url = format!("{}/test/accounts/{subject}", self.issuer());
        let body = claims.to_string();
        http::send("PUT", &url, &[], body.as_bytes())?
            .read()?
            .ok()?;
        Ok(())
    }

    /// Follows a browser with `subject` before it from an authorization URL to where the provider
    /// sends it back to.
    pub fn visit(&self, authorization_url: &str, subject: &str) -> anyhow::Result<String> {
        let mut url = format!("{authorization_url}&login_hint={subject}");
        let mut cookies = BTreeMap::new();
        for _ in 0..STEPS {
            let sent: Vec<_> = cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let answer = http::send("GET", &url, &[("cookie", sent.join("; "))], b"")?.read()?;
            for (name, value) in &answer.headers {
                let pair = value
                    .split(';')
                    .next()
                    .and_then(|pair| pair.split_once('='));
                if let ("set-cookie", Some((key, value))) = (name.as_str(), pair) {
                    cookies.insert(key.to_owned(), value.to_owned());
                }
            }
            let next = answer.header("location").with_context(|| {
                let page = String::from_utf8_lossy(&answer.body);
                format!("the provider shows a page, {}: {page}", answer.status)
            })?;
            url = match next.strip_prefix('/') {
                Some(path) => format!("{}/{path}", self.issuer()),
                None => next.to_owned(),
            };
            if !url.starts_with(&self.issuer()) {
                return Ok(url);
            }
        }
        bail!("the provider sends the browser around for ever")
    }
}
