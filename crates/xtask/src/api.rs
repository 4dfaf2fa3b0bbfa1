//! The few calls of the REST API that the demo and the benchmarks make, as `curl` would.

use std::time::Duration;

use anyhow::{Context, bail};
use headworks_testkit::{Camera, http, wait_until};
use serde_json::{Value, json};

/// A program's way to the API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) url: String,
    pub(crate) key: String,
}

/// Where to watch a camera, with the token in each URL.
#[derive(Debug, Clone)]
pub(crate) struct Urls {
    pub(crate) token: String,
    pub(crate) page: String,
    pub(crate) hls: String,
    pub(crate) flv: String,
    pub(crate) rtmp: String,
    pub(crate) rtsp: String,
}

impl Api {
    /// Creates or does something.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url);
        http::call("POST", &url, &self.key, Some(body))
            .and_then(http::Answer::ok)
            .and_then(|answer| answer.json())
            .with_context(|| format!("POST {path}"))
    }

    /// Registers a camera that is pulled, and returns its id.
    pub(crate) fn camera_create(&self, name: &str, camera: &Camera) -> anyhow::Result<String> {
        let mut body = json!({"name": name, "source": {"type": "pull", "url": camera.url()}});
        if let Some(login) = camera.login() {
            body["credentials"] = json!({"username": login.username, "password": login.password});
        }
        id(&self.post("/v1/cameras", &body)?)
    }

    /// Registers a camera that is published, and returns its id.
    pub(crate) fn camera_create_published(&self, name: &str) -> anyhow::Result<String> {
        let body = json!({"name": name, "source": {"type": "publish"}});
        id(&self.post("/v1/cameras", &body)?)
    }

    /// Switches a camera on or off.
    pub(crate) fn camera_enable(&self, camera: &str, enabled: bool) -> anyhow::Result<()> {
        let url = format!("{}/v1/cameras/{camera}", self.url);
        http::call("PATCH", &url, &self.key, Some(&json!({"enabled": enabled})))
            .and_then(http::Answer::ok)
            .map(drop)
            .with_context(|| format!("PATCH {camera}"))
    }

    /// How many watch a camera now.
    pub(crate) fn camera_viewers(&self, camera: &str) -> anyhow::Result<u64> {
        let url = format!("{}/v1/cameras/{camera}", self.url);
        let answer = http::call("GET", &url, &self.key, None)?.ok()?;
        let camera = answer.json()?;
        camera["status"]["viewers"]
            .as_u64()
            .with_context(|| format!("no viewers in {camera}"))
    }

    /// Makes a stream key, and returns where to publish over RTMP with it, once the camera has a
    /// place.
    pub(crate) fn stream_key_create(
        &self,
        camera: &str,
        limit: Duration,
    ) -> anyhow::Result<String> {
        let path = format!("/v1/cameras/{camera}/stream_keys");
        let created = self.post(&path, &json!({"name": "bench"}))?;
        let secret = text_of(&created["secret"]);
        let url = format!("{}/v1/cameras/{camera}", self.url);
        wait_until(format!("{camera} can be published"), limit, || {
            let answer = http::call("GET", &url, &self.key, None).ok()?;
            let camera = answer.json().ok()?;
            let url = camera["publish_urls"]["rtmp"]["url"].as_str()?;
            Some(format!("{url}?key={secret}"))
        })
    }

    /// Waits until the camera gives a picture.
    pub(crate) fn wait_until_live(&self, camera: &str, limit: Duration) -> anyhow::Result<()> {
        let url = format!("{}/v1/cameras/{camera}", self.url);
        let mut status = Value::Null;
        wait_until(format!("{camera} is live"), limit, || {
            let answer = http::call("GET", &url, &self.key, None).ok()?;
            status = answer.json().ok()?["status"].take();
            (status["state"] == "live").then_some(())
        })
        .with_context(|| format!("its status is {status}"))
    }

    /// Creates a user and returns the id.
    pub(crate) fn user_create(&self, name: &str) -> anyhow::Result<String> {
        id(&self.post("/v1/users", &json!({"name": name}))?)
    }

    /// Lets the user watch the camera.
    pub(crate) fn grant_create(&self, user: &str, camera: &str) -> anyhow::Result<()> {
        let grant = json!({
            "principal": {"type": "user", "id": user},
            "object": {"type": "camera", "id": camera},
            "actions": ["camera.view_live", "camera.view_audio"],
        });
        self.post("/v1/grants", &grant).map(drop)
    }

    /// The body that asks for a token for `user`, or for the key itself.
    pub(crate) fn token_body(user: Option<&str>, camera: &str, seconds: u32) -> Value {
        let mut body = json!({"camera_ids": [camera], "expires_in_seconds": seconds});
        if let Some(user) = user {
            body["user_id"] = json!(user);
        }
        body
    }

    /// Issues a token and says where to use it.
    pub(crate) fn token_issue(
        &self,
        user: Option<&str>,
        camera: &str,
        seconds: u32,
    ) -> anyhow::Result<Urls> {
        let body = Self::token_body(user, camera, seconds);
        let issued = self.post("/v1/playback_tokens", &body)?;
        let urls = &issued["cameras"][0]["urls"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let urls = || {
            Some(Urls {
                token: text(&issued["token"])?,
                page: text(&urls["page"])?,
                hls: text(&urls["hls"])?,
                flv: text(&urls["flv"])?,
                rtmp: text(&urls["rtmp"])?,
                rtsp: text(&urls["rtsp"])?,
            })
        };
        urls().with_context(|| format!("{camera} is on no node"))
    }

    /// Asks for a token that should be refused, and returns the HTTP status and problem code.
    pub(crate) fn token_refusal(&self, user: &str, camera: &str) -> anyhow::Result<(u16, String)> {
        let url = format!("{}/v1/playback_tokens", self.url);
        let body = Self::token_body(Some(user), camera, 60);
        let answer = http::call("POST", &url, &self.key, Some(&body))?;
        if answer.status < 400 {
            bail!("the token was issued");
        }
        Ok((answer.status, text_of(&answer.json()?["code"])))
    }
}

fn id(created: &Value) -> anyhow::Result<String> {
    created["id"]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("no id in {created}"))
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
