//! A cluster, what is done with it, and what can be seen of that from outside.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use headworks_testkit::{
    Camera, CameraOptions, Headworks, Launch, Login, binary, http, wait_until,
};
use serde_json::{Value, json};

use super::{canary::Canaries, collector::Collector, seen::Seen};
use crate::{parts::Cluster, scene::SOON};

const OPENAPI: &str = include_str!("../../../openapi/headworks.json");
const LOG: &str = "debug,headworks=trace,sqlx=trace";

/// Everything that is seen is written into files of one directory.
pub(super) struct Run {
    cluster: Cluster,
    edge: Option<Headworks>,
    canaries: Canaries,
    pub(super) seen: Seen,
    files: tempfile::TempDir,
    collector: Collector,
    /// Of one thing of each kind, by its name in paths.
    pub(super) ids: BTreeMap<&'static str, String>,
    /// The edge's addresses by the names of protocols.
    pub(super) urls: Value,
}

impl Run {
    pub(super) fn start() -> Self {
        let seen = Seen::new();
        let collector = Collector::start(&seen.file("traces"));
        let mut canaries = Canaries::default();
        let master_key = canaries.make("the master key")[..32].to_owned();
        canaries.know("the master key", &master_key);
        let password = canaries.make("the database's password");
        let cluster = Cluster::launch(|database| {
            let url = database.url();
            let url = url.replace("postgres@", &format!("postgres:{password}@"));
            assert!(url.contains(&password), "{url}");
            traced(&collector)
                .env("HEADWORKS__CONTROLLER__DATABASE_URL", url)
                .env(
                    "HEADWORKS__CONTROLLER__MASTER_KEY",
                    STANDARD.encode(master_key),
                )
        });
        canaries.know_key("the first admin key", &cluster.admin_key);
        let mut run = Self {
            cluster,
            edge: None,
            canaries,
            seen,
            files: tempfile::tempdir().expect("a directory"),
            collector,
            ids: BTreeMap::new(),
            urls: Value::Null,
        };
        run.join();
        run
    }

    fn join(&mut self) {
        let token = self.join_token();
        self.edge = Some(self.edge_with_token(&token));
        self.cluster.wait_until_ready(1);
        let identity = find_identity(&self.cluster.data_of("edge"));
        let key = identity
            .split("PRIVATE KEY-----\\n")
            .nth(1)
            .expect("has a key");
        self.canaries.know("the node's key", &key[..40]);
        let node = self.get("/v1/nodes")["items"][0]["id"].clone();
        self.ids.insert("node_id", text(&node).to_owned());
        let project = self.get("/v1/projects")["items"][0]["id"].clone();
        self.ids.insert("project_id", text(&project).to_owned());
    }

    pub(super) fn join_token(&mut self) -> String {
        let token = self.cluster.join_token("edge");
        self.canaries.know_key("a join token", token.expose());
        token.expose().to_owned()
    }

    pub(super) fn edge_with_token(&self, token: &str) -> Headworks {
        let name = if self.edge.is_some() {
            "stranger"
        } else {
            "edge"
        };
        let launch = traced(&self.collector).env("HEADWORKS__EDGE__JOIN_TOKEN", token);
        self.cluster.edge_again(name, launch)
    }

    /// Stops the controller and starts it with this configuration file.
    pub(super) fn restart_with(&mut self, file: &str) {
        self.cluster.controller.stop().expect("stops");
        self.cluster.configure(file);
        self.cluster.restart();
        self.cluster.wait_until_ready(1);
    }

    pub(super) fn make(&mut self, what: &str) -> String {
        self.canaries.make(what)
    }

    pub(super) fn know(&mut self, what: &str, secret: &str) {
        self.canaries.know(what, secret);
    }

    pub(super) fn know_key(&mut self, what: &str, key: &str) {
        self.canaries.know_key(what, key);
    }

    pub(super) fn know_token(&mut self, what: &str, token: &str) {
        self.canaries.know_token(what, token);
    }

    pub(super) fn know_tokens(&mut self, signed_in: &Value) {
        self.know_token("an access token", text(&signed_in["access_token"]));
        self.know_key("a refresh token", text(&signed_in["refresh_token"]));
    }

    pub(super) fn id(&self, name: &str) -> String {
        self.ids[name].clone()
    }

    /// A camera with a password, live, and one whose password is wrong.
    pub(super) fn camera(&mut self) -> Camera {
        let options = CameraOptions {
            login: Login::digest("admin", self.make("a camera's password")),
            ..CameraOptions::default()
        };
        let camera = Camera::start(options).expect("starts");
        let pulled = |name: &str, password: &str| {
            json!({
                "name": name, "start": "always",
                "source": {"type": "pull", "url": camera.url()},
                "credentials": {"username": "admin", "password": password},
            })
        };
        let right = pulled("gate", &camera.login().expect("has one").password);
        let wrong = pulled("locked", &self.make("a camera's wrong password"));
        self.create("camera_id", "/v1/cameras", &wrong);
        let locked = self.id("camera_id");
        self.create("camera_id", "/v1/cameras", &right);
        self.wait_for_camera(&locked, "failed");
        self.wait_for_camera(&self.id("camera_id"), "live");
        camera
    }

    pub(super) fn published_camera(&mut self) -> String {
        let door = json!({"name": "door", "source": {"type": "publish"}});
        let door = self.post("/v1/cameras", &door);
        let id = text(&door["id"]).to_owned();
        self.wait_for_camera(&id, "idle");
        id
    }

    pub(super) fn wait_for_camera(&self, id: &str, state: &str) {
        wait_until(format!("the camera is {state}"), SOON, || {
            let camera = self.get(&format!("/v1/cameras/{id}"));
            (camera["status"]["state"] == state).then_some(())
        })
        .expect("it is");
    }

    pub(super) fn push(&self, restream: &Value) -> String {
        let path = format!("/v1/cameras/{}/restreams", self.id("camera_id"));
        text(&self.post(&path, restream)["id"]).to_owned()
    }

    pub(super) fn wait_for_push(&self, id: &str, state: &str) {
        wait_until(format!("the push is {state}"), SOON, || {
            let now = self.get(&format!("/v1/restreams/{id}"));
            (now["status"]["state"] == state).then_some(())
        })
        .expect("it is");
    }

    pub(super) fn wait_for_session(&mut self) {
        let session = wait_until("a session is listed", SOON, || {
            let id = &self.get("/v1/sessions")["items"][0]["id"];
            id.as_str().map(str::to_owned)
        });
        self.ids.insert("session_id", session.expect("it is"));
    }

    /// Creates one of a kind, and remembers it as such.
    pub(super) fn create(&mut self, name: &'static str, path: &str, body: &Value) {
        let created = self.post(path, body);
        assert!(created["id"].is_string(), "{path}: {created}");
        let id = text(&created["id"]).to_owned();
        self.ids.insert(name, id);
    }

    /// As [`Self::create`], where the answer shows a secret.
    pub(super) fn created_once(
        &mut self,
        name: &'static str,
        path: &str,
        noun: &str,
        body: &Value,
    ) -> Value {
        let created = self.shown_once(path, body);
        self.ids.insert(name, text(&created[noun]["id"]).to_owned());
        created
    }

    /// The answer that shows a secret this once is not kept.
    pub(super) fn shown_once(&self, path: &str, body: &Value) -> Value {
        let answer = http::call("POST", &self.api(path), &self.cluster.admin_key, Some(body));
        let answer = answer.and_then(http::Answer::ok).expect("is done");
        answer.json().expect("is JSON")
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Value {
        self.post_as(Some(&self.cluster.admin_key), path, body)
    }

    pub(super) fn post_as(&self, key: Option<&str>, path: &str, body: &Value) -> Value {
        let key = key.expect("has one");
        let answer = http::call("POST", &self.api(path), key, Some(body)).expect("answers");
        self.seen.record(&answer, path)
    }

    pub(super) fn post_raw(&self, path: &str, body: &[u8]) {
        for kind in ["application/json", "application/x-www-form-urlencoded"] {
            let headers = [
                (
                    "authorization",
                    format!("Bearer {}", self.cluster.admin_key),
                ),
                ("content-type", kind.to_owned()),
            ];
            let answer = http::send("POST", &self.api(path), &headers, body);
            self.seen
                .record(&answer.and_then(http::Head::read).expect("answers"), path);
        }
    }

    pub(super) fn get(&self, path: &str) -> Value {
        let key = &self.cluster.admin_key;
        let answer = http::call("GET", &self.api(path), key, None).expect("answers");
        // The path may be one that somebody has put a secret into.
        self.seen
            .record(&answer, path.split('?').next().unwrap_or_default())
    }

    /// Checks that it was read, and refused.
    #[track_caller]
    pub(super) fn is_refused(&self, answer: &Value, what: &str) {
        let status = answer["status"].as_u64();
        assert!(matches!(status, Some(400 | 401 | 422)), "{what}: {answer}");
    }

    pub(super) fn api(&self, path: &str) -> String {
        format!(
            "{}{path}",
            self.cluster.api.client.base().trim_end_matches('/')
        )
    }

    pub(super) fn edge_http(&self) -> String {
        let hls = text(&self.urls["hls"]);
        let end = hls.find("/live/").expect("is below the edge");
        hls[..end].to_owned()
    }

    pub(super) fn play_urls(&self, camera: &str, token: &str) -> Vec<String> {
        let urls = ["rtmp", "rtsp"].map(|name| text(&self.urls[name]));
        let other = |url: &str| {
            let (base, _) = url.split_once("/live/").expect("is below the edge");
            format!("{base}/live/{camera}?token={token}")
        };
        urls.map(other).to_vec()
    }

    /// A file for a command to read a secret from.
    pub(super) fn secret_file(&self, secret: &str) -> String {
        let count = fs::read_dir(self.files.path()).expect("is there").count();
        let path = self.files.path().join(count.to_string());
        fs::write(&path, secret).expect("writes");
        path.to_str().expect("is text").to_owned()
    }

    pub(super) fn admin_key_file(&self) -> String {
        self.secret_file(&self.cluster.admin_key)
    }

    pub(super) fn command(&self, key_file: &str, arguments: &[&str]) {
        let output = Command::new(binary().expect("is built"))
            .args(arguments)
            .args(["--api", &self.api(""), "--key-file", key_file])
            .output()
            .expect("runs");
        assert_ne!(output.status.code(), Some(2), "{output:?}");
        self.seen.keep("commands", &output.stdout);
        self.seen.keep("commands", &output.stderr);
    }

    /// The arguments of our processes and of all that they have started.
    pub(super) fn cmdlines(&self) -> String {
        let edge = self.edge.iter().map(Headworks::pid);
        let ours = edge.chain([self.cluster.controller.pid()]);
        self.seen.cmdlines(ours.collect())
    }

    /// Every operation that reads, metrics, processes.
    pub(super) fn look_at_everything(&self) {
        let openapi: Value = serde_json::from_str(OPENAPI).expect("is JSON");
        let paths = openapi["paths"].as_object().expect("has paths");
        let mut count = 0;
        for (path, _) in paths.iter().filter(|(_, item)| item.get("get").is_some()) {
            // These are for players with a token.
            if path.starts_with("/live/") || path.starts_with("/watch/") {
                continue;
            }
            let mut path = path.clone();
            for (name, id) in &self.ids {
                path = path.replace(&format!("{{{name}}}"), id);
            }
            assert!(!path.contains('{'), "there is none to look at: {path}");
            let query = match &*path {
                "/v1/access:explain" => format!(
                    "?user={}&camera={}&action=camera.view_live",
                    self.ids["user_id"], self.ids["camera_id"]
                ),
                _ => String::new(),
            };
            let url = self.api(&format!("{path}{query}"));
            let answer = http::call("GET", &url, &self.cluster.admin_key, None);
            let answer = answer.expect("answers");
            assert_eq!(answer.status, 200, "{path}");
            self.seen.record(&answer, &path);
            count += 1;
        }
        assert!(count > 30, "{count}");
        let metrics = http::get(&format!("{}/metrics", self.edge_http()));
        let metrics = metrics.and_then(http::Answer::ok).expect("answers");
        self.seen.record(&metrics, "metrics");
        self.cmdlines();
    }

    /// Ends everything, so that the last traces are sent, and takes what is left to see.
    pub(super) fn end(&mut self) {
        let mut edge = self.edge.take().expect("runs");
        edge.stop().expect("stops");
        self.cluster.controller.stop().expect("stops");
        let dump = Command::new("pg_dump")
            .args(["--dbname", &self.cluster.database.url()])
            .output()
            .expect("pg_dump runs");
        assert!(dump.status.success(), "{dump:?}");
        self.seen.keep("dump", &dump.stdout);
        // It has printed its first key, and does not print it again.
        let printed = [edge.output(), self.cluster.controller.output()].concat();
        self.seen.keep("printed", printed.join("\n").as_bytes());
        for name in ["controller", "edge", "stranger"] {
            self.seen
                .keep(&format!("{name}.log"), self.cluster.log_of(name).as_bytes());
        }
        // It was really looked at: things that are no secret stand everywhere.
        for (file, there) in [
            ("traces", "http.path"),
            ("controller.log", "\"level\":\"TRACE\""),
            ("edge.log", "\"level\":\"DEBUG\""),
            ("dump", "COPY public.camera "),
            ("cmdlines", "libx264"),
            ("commands", "by command"),
        ] {
            self.seen.shows(file, there);
        }
    }

    /// Where secrets are to be seen.
    pub(super) fn found(&self) -> Vec<String> {
        self.canaries.found_in(self.seen.path())
    }
}

fn traced(collector: &Collector) -> Launch {
    Launch::default()
        .env("HEADWORKS__TELEMETRY__LOG", LOG)
        .env("HEADWORKS__TELEMETRY__FORMAT", "json")
        .env("HEADWORKS__TELEMETRY__OTLP_ENDPOINT", &collector.url)
}

fn find_identity(data: &std::path::Path) -> String {
    let files = fs::read_dir(data).expect("is there");
    let paths = files
        .flatten()
        .map(|entry: fs::DirEntry| -> PathBuf { entry.path() });
    let mut texts = paths.filter_map(|path| fs::read_to_string(path).ok());
    texts
        .find(|text| text.contains("PRIVATE KEY-----"))
        .expect("is there")
}

pub(super) fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is a text"))
}
