//! The operator's commands: each is one call of the API and one way to show the answer.

pub(crate) mod access;
pub(crate) mod api_key;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod camera;
pub(crate) mod camera_group;
pub(crate) mod cluster;
pub(crate) mod event;
pub(crate) mod grant;
pub(crate) mod join_token;
pub(crate) mod node;
pub(crate) mod plan;
pub(crate) mod playback;
pub(crate) mod playback_key;
pub(crate) mod project;
pub(crate) mod restream;
pub(crate) mod role;
pub(crate) mod session;
pub(crate) mod sign_in;
pub(crate) mod signing_key;
pub(crate) mod slot;
pub(crate) mod stream_key;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod user_group;

use std::{io::Read as _, path::Path, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use headworks_client::Client;
use headworks_types::{Action, Labels, Secret};
use url::Url;

use crate::failure::Failure;

/// A noun and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct Noun<V: Subcommand> {
    #[command(flatten)]
    pub(crate) api: Api,
    #[command(subcommand)]
    pub(crate) verb: V,
}

/// Which API, and as whom.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "API")]
pub(crate) struct Api {
    /// Base URL of the API [env: HEADWORKS_API] [default: http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    api: Option<Url>,
    /// API key or access token; other users of this machine can see it among its processes, --key-file is better
    /// [env: HEADWORKS_API_KEY]
    #[arg(long, global = true)]
    key: Option<String>,
    /// File with the API key
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The same before the command: `headworks --api URL camera list`.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "API")]
pub(crate) struct EarlyApi {
    /// Base URL of the API, for the commands that use it
    #[arg(id = "early_api", long = "api", value_name = "URL")]
    api: Option<Url>,
    /// API key
    #[arg(id = "early_key", long = "key", value_name = "KEY")]
    key: Option<String>,
    /// File with the API key
    #[arg(
        id = "early_key_file",
        long = "key-file",
        value_name = "FILE",
        conflicts_with = "early_key"
    )]
    key_file: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(id = "early_json", long = "json")]
    json: bool,
}

impl Api {
    /// Takes what was said before the command, unless it is said again behind it.
    pub(crate) fn or(&mut self, early: EarlyApi) {
        self.api = self.api.take().or(early.api);
        self.json |= early.json;
        if self.key.is_none() && self.key_file.is_none() {
            (self.key, self.key_file) = (early.key, early.key_file);
        }
    }

    /// Signed in, as far as there is a key. What is typed counts more than the environment.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let client = Client::new(self.address(variable("HEADWORKS_API").as_deref())?)?;
        Ok(match self.secret(variable("HEADWORKS_API_KEY"))? {
            Some(key) => client.with_credential(key),
            None => client,
        })
    }

    fn address(&self, variable: Option<&str>) -> Result<Url, Failure> {
        if let Some(url) = &self.api {
            return Ok(url.clone());
        }
        let text = variable.unwrap_or(DEFAULT);
        text.parse()
            .map_err(|error| Failure::user(format!("HEADWORKS_API: `{text}`: {error}")))
    }

    fn secret(&self, variable: Option<String>) -> Result<Option<Secret>, Failure> {
        match &self.key_file {
            Some(path) => secret_file(path).map(Some),
            None => Ok(self.key.clone().or(variable).map(Secret::new)),
        }
    }
}

/// Where a `headworks up` of the same machine is.
const DEFAULT: &str = "http://127.0.0.1:8080";

/// Reads a secret, without one newline at its end.
pub(crate) fn secret_file(path: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::user(format!("cannot read {}: {error}", path.display())))?;
    Ok(without_newline(&text))
}

/// Reads a secret from stdin, without one newline at its end.
fn secret_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::user(format!("cannot read stdin: {error}")))?;
    Ok(without_newline(&text))
}

fn without_newline(text: &str) -> Secret {
    let text = text.strip_suffix('\n').unwrap_or(text);
    Secret::new(text.strip_suffix('\r').unwrap_or(text))
}

/// `key=value`
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "expected key=value".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `90`, `90s`, `5m`, `4h`
fn seconds(text: &str) -> Result<u32, String> {
    let duration = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string())?,
    };
    u32::try_from(duration.as_secs()).map_err(|_| "is too long".to_owned())
}

/// `camera.view_live`
fn action(text: &str) -> Result<Action, String> {
    Action::from_name(text).ok_or_else(|| {
        let known = names(&Action::ALL);
        format!("expected one of {known}")
    })
}

fn names(actions: &[Action]) -> String {
    let names: Vec<_> = actions.iter().map(|action| action.as_str()).collect();
    names.join(",")
}

fn labels(pairs: Vec<(String, String)>) -> Labels {
    Labels(pairs.into_iter().collect())
}

fn show_labels(labels: &Labels) -> String {
    let pairs: Vec<_> = labels
        .0
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

fn show_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn show_optional_time(time: Option<DateTime<Utc>>) -> String {
    time.map(show_time).unwrap_or_default()
}

/// The name on the wire of an enumeration's value.
fn show_name(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_counts_more_than_the_environment() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        std::fs::write(&path, "of-file\n").expect("writes");
        let environment = || Some("of-environment".to_owned());
        let key = |api: &Api| {
            let key = api.secret(environment()).expect("is readable");
            key.expect("is there").expose().to_owned()
        };
        let mut api = Api::default();
        assert_eq!(key(&api), "of-environment");
        let early = EarlyApi {
            key_file: Some(path),
            ..EarlyApi::default()
        };
        api.or(early);
        assert_eq!(key(&api), "of-file");
        let late = |key: &str| Api {
            key: Some(key.to_owned()),
            ..Api::default()
        };
        assert_eq!(key(&late("typed")), "typed");

        let address = |api: &Api, variable: Option<&str>| {
            let url = api.address(variable);
            url.map(String::from).map_err(|failure| failure.to_string())
        };
        let default = address(&Api::default(), None);
        assert_eq!(default.as_deref(), Ok("http://127.0.0.1:8080/"));
        let named = address(&Api::default(), Some("http://a:1"));
        assert_eq!(named.as_deref(), Ok("http://a:1/"));
        let wrong = address(&Api::default(), Some("a")).expect_err("is no URL");
        assert!(wrong.contains("HEADWORKS_API: `a`"), "{wrong}");
    }

    #[test]
    fn durations_and_labels_are_typed_as_people_type_them() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("4h"), Ok(4 * 3600));
        assert!(seconds("soon").is_err());
        assert_eq!(
            label("site=lyon"),
            Ok(("site".to_owned(), "lyon".to_owned()))
        );
        assert!(label("lyon").is_err());
    }

    #[test]
    fn secrets_lose_one_newline_and_nothing_else() {
        assert_eq!(without_newline(" p@ss \n").expose(), " p@ss ");
        assert_eq!(without_newline("a\r\n").expose(), "a");
        assert_eq!(without_newline("a\n\n").expose(), "a\n");
    }
}
