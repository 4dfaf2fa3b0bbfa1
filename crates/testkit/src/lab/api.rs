//! The API of a lab's cluster, as a program outside uses it: through the load balancer.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{
    Namespace,
    network::{CONTROL, Site},
    target,
};
use crate::{http, wait_until};

/// From a camera's record to its picture.
const LIVE: Duration = Duration::from_secs(60);

/// A way to the API. Clones are the same.
#[derive(Debug, Clone)]
pub struct Api {
    namespace: Arc<Namespace>,
    key: String,
}

impl Api {
    pub(super) fn new(namespace: &Arc<Namespace>, key: &str) -> Self {
        Self {
            namespace: Arc::clone(namespace),
            key: key.to_owned(),
        }
    }

    /// Makes a call and gives the status and the body, which is null if there is none.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let url = format!("http://{CONTROL}:8080{path}");
        let answer = self
            .namespace
            .with(|| http::call(method, &url, &self.key, body))??;
        let value = match answer.body[..] {
            [] => Value::Null,
            _ => answer.json()?,
        };
        Ok((answer.status, value))
    }

    /// Makes a call that must succeed.
    pub fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        match self.call(method, path, body)? {
            (200..300, value) => Ok(value),
            (status, value) => bail!("{method} {path}: {status} {value}"),
        }
    }

    /// A token for one edge to join with.
    pub fn join_token(&self, name: &str) -> anyhow::Result<String> {
        let body = json!({"name": name, "expires_in_seconds": 600, "max_uses": 1});
        let made = self.ok("POST", "/v1/join_tokens", Some(&body))?;
        text(&made, "secret")
    }

    /// Waits until so many nodes are ready.
    pub fn wait_for_nodes(&self, count: usize, limit: Duration) -> anyhow::Result<()> {
        wait_until(format!("{count} nodes are ready"), limit, || {
            let nodes = self.ok("GET", "/v1/nodes", None).ok()?;
            let ready = nodes["items"].as_array()?.iter();
            let ready = ready.filter(|node| node["state"] == "ready");
            (ready.count() == count).then_some(())
        })
    }

    /// The id of a node.
    pub fn node(&self, name: &str) -> anyhow::Result<String> {
        let nodes = self.ok("GET", "/v1/nodes", None)?;
        let mut nodes = nodes["items"].as_array().into_iter().flatten();
        let node = nodes.find(|node| node["name"] == name);
        text(node.with_context(|| format!("no node {name}"))?, "id")
    }

    /// Registers a camera of a site, and gives its id.
    pub(super) fn camera_create(
        &self,
        name: &str,
        url: &str,
        site: Site,
    ) -> anyhow::Result<String> {
        let body = json!({
            "name": name, "start": "always", "source": {"type": "pull", "url": url},
            "placement": {"site": site.name()},
        });
        text(&self.ok("POST", "/v1/cameras", Some(&body))?, "id")
    }

    /// Pushes a camera to the target under its name.
    pub fn push(&self, camera: &str, name: &str) -> anyhow::Result<()> {
        let body = json!({"name": name, "url": target::push_url(), "stream_key": name});
        let path = format!("/v1/cameras/{camera}/restreams");
        let id = text(&self.ok("POST", &path, Some(&body))?, "id")?;
        wait_until("the push is under way", LIVE, || {
            let push = self.ok("GET", &format!("/v1/restreams/{id}"), None).ok()?;
            (push["status"]["state"] == "live").then_some(())
        })
    }

    /// The name of the node that a camera is on.
    pub fn holder(&self, camera: &str) -> anyhow::Result<String> {
        let camera = self.ok("GET", &format!("/v1/cameras/{camera}"), None)?;
        text(&camera["status"], "node_name")
    }

    /// Waits for a camera's picture.
    pub fn wait_until_live(&self, camera: &str) -> anyhow::Result<()> {
        let mut last = Value::Null;
        wait_until("the camera is live", LIVE, || {
            let path = format!("/v1/cameras/{camera}");
            last = self.ok("GET", &path, None).ok()?["status"].take();
            (last["state"] == "live").then_some(())
        })
        .with_context(|| last.to_string())
    }

    /// Where to watch a camera over this protocol, with a token.
    pub fn watch_url(&self, camera: &str, protocol: &str) -> anyhow::Result<String> {
        let body = json!({
            "camera_ids": [camera], "expires_in_seconds": 600, "watch_seconds": 7200,
        });
        let token = self.ok("POST", "/v1/playback_tokens", Some(&body))?;
        text(&token["cameras"][0]["urls"], protocol)
    }
}

fn text(value: &Value, name: &str) -> anyhow::Result<String> {
    let text = value[name].as_str();
    Ok(text
        .with_context(|| format!("no {name} in {value}"))?
        .to_owned())
}
