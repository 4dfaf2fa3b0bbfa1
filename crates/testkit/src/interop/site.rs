//! One running Headworks: its API, and the addresses that it gives.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::publish::Address;
use crate::{Headworks, Launch, Process, http, wait_until};

/// From a peer's start to its picture.
const LIVE: Duration = Duration::from_secs(40);

/// A running Headworks and the right to all of it.
#[derive(Debug)]
pub(super) struct Site {
    headworks: Headworks,
    key: String,
}

/// A camera with whoever gives its media.
pub(super) struct Source {
    pub(super) id: String,
    pub(super) peers: Vec<Process>,
}

impl Site {
    pub(super) fn up(launch: Launch) -> anyhow::Result<Self> {
        let headworks = Headworks::up(launch)?;
        let key = headworks.admin_key().context("it prints a key")?.to_owned();
        Ok(Self { headworks, key })
    }

    /// What it logged last.
    pub(super) fn log(&self) -> String {
        self.headworks.log()
    }

    pub(super) fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Option<Value>> {
        let url = format!("{}{path}", self.headworks.api());
        let answer = http::call(method, &url, &self.key, body)
            .and_then(http::Answer::ok)
            .with_context(|| format!("{method} {path}"))?;
        Ok(if answer.body.is_empty() {
            None
        } else {
            Some(answer.json()?)
        })
    }

    pub(super) fn create(&self, name: &str, source: &Value) -> anyhow::Result<String> {
        let body = json!({"name": name, "source": source});
        let created = self.call("POST", "/v1/cameras", Some(&body))?;
        let id = created.and_then(|camera| Some(camera["id"].as_str()?.to_owned()));
        id.context("the new camera has an id")
    }

    /// Waits for the picture.
    pub(super) fn live(&self, source: Source) -> anyhow::Result<Source> {
        let path = format!("/v1/cameras/{}", source.id);
        let mut status = Value::Null;
        wait_until("a picture", LIVE, || {
            status = self.call("GET", &path, None).ok()??["status"].take();
            (status["state"] == "live").then_some(())
        })
        .map_err(|_| {
            let words = source.words();
            anyhow::anyhow!("no picture in {LIVE:?}; the camera is {status}\n{words}")
        })?;
        Ok(source)
    }

    /// Waits until a push is under way.
    pub(super) fn wait_for_restream(&self, id: &str) -> anyhow::Result<()> {
        let path = format!("/v1/restreams/{id}");
        let mut status = Value::Null;
        wait_until("the push", LIVE, || {
            status = self.call("GET", &path, None).ok()??["status"].take();
            (status["state"] == "live").then_some(())
        })
        .with_context(|| format!("the restream is {status}"))
    }

    /// Where to publish the camera, with a new key in it.
    pub(super) fn publish_address(&self, camera: &str, scheme: &str) -> anyhow::Result<Address> {
        let mut at = Value::Null;
        let path = format!("/v1/cameras/{camera}/stream_keys");
        wait_until("an address to publish to", LIVE, || {
            let answer = self.call("POST", &path, Some(&json!({"name": "interop"})));
            at = answer.ok()??["publish_urls"].take();
            at.is_object().then_some(())
        })?;
        let (door, base) = door(scheme);
        let url = at[door]["url"].as_str().or(at[door].as_str());
        let url = url.with_context(|| format!("no {door} in {at}"))?;
        let field = |name: &str| at[door][name].as_str().unwrap_or_default().to_owned();
        Ok(Address {
            url: url.replacen(base, scheme, 1),
            server: field("server"),
            stream_key: field("stream_key"),
        })
    }

    /// Where to watch the camera, with a new token in it: `flv`, `rtmpt`, ….
    pub(super) fn play_url(&self, camera: &str, scheme: &str) -> anyhow::Result<String> {
        let body = json!({"camera_ids": [camera], "expires_in_seconds": 600});
        let issued = self.call("POST", "/v1/playback_tokens", Some(&body))?;
        let urls = issued.map(|mut token| token["cameras"][0]["urls"].take());
        let urls = urls.context("no answer")?;
        let (door, base) = door(scheme);
        let url = urls[door].as_str();
        let url = url.with_context(|| format!("no {door} in {urls}"))?;
        Ok(if base == scheme {
            url.to_owned()
        } else {
            url.replacen(base, scheme, 1)
        })
    }
}

impl Source {
    /// What its peers said last.
    pub(super) fn words(&self) -> String {
        let tails: Vec<_> = self.peers.iter().map(Process::tail).collect();
        tails.join("\n")
    }
}

/// Which of the addresses is for this scheme, and how that begins. The tunnels go through the same
/// doors as what is in them.
fn door(scheme: &str) -> (&str, &str) {
    match scheme {
        "rtmpt" => ("rtmp", "rtmp"),
        "rtmpts" => ("rtmps", "rtmps"),
        _ => (scheme, scheme),
    }
}
