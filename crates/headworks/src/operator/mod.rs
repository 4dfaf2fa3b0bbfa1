//! The operator's commands: each is one call of the API and one way to show the answer.

pub(crate) mod api_key;
pub(crate) mod camera;
pub(crate) mod grant;
pub(crate) mod join_token;
pub(crate) mod node;
pub(crate) mod restream;
pub(crate) mod sign_in;
pub(crate) mod stream_key;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod user_group;

use std::{io::Read as _, path::Path, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use headworks_client::Client;
use headworks_types::{Labels, Secret};
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
#[derive(Debug, Args)]
#[command(next_help_heading = "API")]
pub(crate) struct Api {
    /// Base URL of the API
    #[arg(
        long,
        global = true,
        env = "HEADWORKS_API",
        default_value = "http://127.0.0.1:8080"
    )]
    api: Url,
    /// API key or access token; other users of this machine can see it among its processes, --key-file is better
    #[arg(long, global = true, env = "HEADWORKS_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// File with the API key
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Api {
    /// Signed in, as far as there is a key.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let client = Client::new(self.api.clone())?;
        let key = match &self.key_file {
            Some(path) => Some(secret_file(path)?),
            None => self.key.clone().map(Secret::new),
        };
        Ok(match key {
            Some(key) => client.with_credential(key),
            None => client,
        })
    }
}

/// Reads a secret, without one newline at its end.
fn secret_file(path: &Path) -> Result<Secret, Failure> {
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
