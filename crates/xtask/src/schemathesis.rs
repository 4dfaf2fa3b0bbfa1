//! `cargo xtask schemathesis`: requests that the API's description allows, and many that it does
//! not, sent to a running controller; each answer must be one that the description promises.
//!
//! The controller has a database of its own and no edges, so that nothing is connected to whatever
//! URLs are made up. What is sent is the same each time: `schemathesis/schemathesis.toml` says how
//! much, and what is left out.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use headworks_testkit::{Headworks, Launch, http, wait_until};
use serde_json::{Value, json};

use crate::{api::Api, cargo, database, setup};

const CONFIGURATION: &str = include_str!("schemathesis/schemathesis.toml");
/// From nothing to listening, with all migrations.
const START: Duration = Duration::from_secs(60);
/// 32 bytes, known to everybody.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// The one of RFC 8037, appendix A.2.
const PUBLIC_KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
/// All that is asked comes from one address and with one key, and much of it with a wrong one.
const RATES: [&str; 6] = [
    "KEY_PER_SECOND",
    "KEY_BURST",
    "ADDRESS_PER_SECOND",
    "ADDRESS_BURST",
    "FAILURES_PER_MINUTE",
    "FAILURES_BURST",
];

/// Runs it; fails on any answer that is not as described.
pub(crate) fn run() -> anyhow::Result<()> {
    let packages = setup::schemathesis()?;
    let binary = cargo::build_headworks(false)?;
    let database = database::start()?;
    let (controller, api) = start(
        Launch {
            binary: Some(binary),
            ..Launch::default()
        }
        .env("HEADWORKS__CONTROLLER__DATABASE_URL", database.url()),
    )?;
    let victims = Victims::make(&api)?;
    let directory = cargo::target().join("schemathesis");
    fs::create_dir_all(&directory).context("make a directory")?;
    let configuration = directory.join("schemathesis.toml");
    fs::write(&configuration, victims.put_into(CONFIGURATION)).context("write it")?;
    let mut schemathesis = Command::new("/usr/bin/python3");
    schemathesis
        .args(["-m", "schemathesis.cli", "--no-color", "--config-file"])
        .arg(configuration)
        .args(["run", &format!("{}/openapi.json", api.url)])
        .current_dir(directory)
        .env("PYTHONPATH", packages)
        .env("HEADWORKS_API_KEY", &api.key)
        .stdin(Stdio::null());
    let result = cargo::run(&mut schemathesis);
    let errors = errors(&controller.log());
    ensure!(errors.is_empty(), "the controller logs:\n{errors}");
    result?;
    // Whoever has lost its rights on the way has tested little.
    let nodes = http::call("GET", &format!("{}/v1/nodes", api.url), &api.key, None)?;
    ensure!(nodes.status == 200, "the key has lost its rights");
    Ok(())
}

/// A controller that listens, and its admin key.
fn start(launch: Launch) -> anyhow::Result<(Headworks, Api)> {
    let launch = launch
        .env("HEADWORKS__CONTROLLER__LISTEN", "127.0.0.1:0")
        .env("HEADWORKS__CONTROLLER__EDGE_LISTEN", "127.0.0.1:0")
        .env("HEADWORKS__CONTROLLER__MASTER_KEY", MASTER_KEY)
        .env("HEADWORKS__TELEMETRY__FORMAT", "json");
    let launch = RATES.iter().fold(launch, |launch, rate| {
        launch.env(
            format!("HEADWORKS__CONTROLLER__RATE_LIMIT__{rate}"),
            "1000000",
        )
    });
    let controller = Headworks::run(&["controller".into()], &launch)?;
    let api = wait_until("the controller listens", START, || {
        let address = controller.log().lines().find_map(listening)?;
        // It prints a line of words and then the key.
        let key = controller.output().get(1)?.clone();
        let url = format!("http://{address}");
        Some(Api { url, key })
    });
    let api = api.with_context(|| controller.log())?;
    Ok((controller, api))
}

/// The address in the line of the log that says where the controller listens.
fn listening(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = line["local_addr"].as_str()?;
    (line["message"] == "controller listens").then(|| address.to_owned())
}

/// Its last lines that say that a person must look.
fn errors(log: &str) -> String {
    let lines = log.lines().filter(|line| line.contains("\"ERROR\""));
    lines.collect::<Vec<_>>().join("\n")
}

/// Ids for paths, since those that are made up name nothing. Each noun has two: one to work with,
/// and one to delete or revoke. In the configuration they are `${CAMERA}` and `${DOOMED_CAMERA}`.
struct Victims(Vec<(String, String)>);

impl Victims {
    fn make(api: &Api) -> anyhow::Result<Self> {
        let mut made = Self(Vec::new());
        for prefix in ["", "DOOMED_"] {
            made.make_one_of_each(api, prefix)?;
        }
        Ok(made)
    }

    fn put_into(&self, configuration: &str) -> String {
        let all = self.0.iter();
        all.fold(configuration.to_owned(), |text, (variable, id)| {
            text.replace(variable, id)
        })
    }

    fn make_one_of_each(&mut self, api: &Api, prefix: &str) -> anyhow::Result<()> {
        let name = format!("{prefix}gate");
        let named = json!({"name": name});
        let mut make = |noun: &str, path: &str, body: &Value| {
            let created = api.post(path, body)?;
            // Secrets come beside the thing.
            let things = [&created, &created[noun]];
            let id = things.iter().find_map(|thing| thing["id"].as_str());
            let id = id
                .with_context(|| format!("no id in {created}"))?
                .to_owned();
            let variable = format!("${{{prefix}{}}}", noun.to_uppercase());
            self.0.push((variable, id.clone()));
            anyhow::Ok(id)
        };
        let camera = json!({"name": name, "source": {"type": "publish"}});
        let camera = make("camera", "/v1/cameras", &camera)?;
        let of_camera = |plural: &str| format!("/v1/cameras/{camera}/{plural}");
        make("stream_key", &of_camera("stream_keys"), &named)?;
        let push = json!({"name": name, "url": "rtmp://push.example.com/live/gate"});
        make("restream", &of_camera("restreams"), &push)?;
        make("camera_group", "/v1/camera_groups", &named)?;
        make("user_group", "/v1/user_groups", &named)?;
        let user = make("user", "/v1/users", &named)?;
        make("api_key", "/v1/api_keys", &named)?;
        make("join_token", "/v1/join_tokens", &named)?;
        let role = json!({"name": name, "actions": ["camera.ptz"]});
        make("role", "/v1/roles", &role)?;
        let grant = json!({
            "principal": {"type": "user", "id": user},
            "object": {"type": "camera", "id": camera},
            "actions": ["camera.view_live"],
        });
        make("grant", "/v1/grants", &grant)?;
        let key = json!({
            "name": name,
            "jwk": {"kty": "OKP", "crv": "Ed25519", "x": PUBLIC_KEY},
            "bounds": {"whole_project": true, "actions": ["camera.view_live"]},
        });
        make("playback_key", "/v1/playback_keys", &key).map(drop)
    }
}
