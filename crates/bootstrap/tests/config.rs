//! Layers, files beside secrets, and what is said when something is wrong.

use std::{io::Write as _, path::Path};

use headworks_bootstrap::config::{check, load_from};
use serde::Deserialize;

const DEFAULTS: &str = "
    [server]
    port = 8080
    name = 'one'
    [server.labels]
    floor = '1'
";

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Config {
    server: Server,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Server {
    port: u16,
    name: String,
    labels: std::collections::BTreeMap<String, String>,
    secret: Option<String>,
}

fn load(file: Option<&Path>, variables: &[(&str, &str)]) -> anyhow::Result<Server> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_from::<Config>(DEFAULTS, file, variables).map(|config| config.server)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").expect("temporary file");
    file.write_all(text.as_bytes()).expect("writes");
    file
}

fn message(result: anyhow::Result<Server>) -> String {
    format!("{:#}", result.expect_err("must fail"))
}

#[test]
fn later_layers_win_key_by_key() {
    let file = file("[server]\nport = 1\nname = 'two'\n[server.labels]\nroom = '2'");
    let server = load(
        Some(file.path()),
        &[
            ("HEADWORKS__SERVER__PORT", "2"),
            ("HEADWORKS_API", "ignored"),
        ],
    )
    .expect("loads");
    assert_eq!(server.port, 2);
    assert_eq!(server.name, "two");
    assert_eq!(server.labels.len(), 2);
    assert_eq!(server.secret, None);
}

#[test]
fn text_from_the_environment_stays_text() {
    let server = load(None, &[("HEADWORKS__SERVER__SECRET", "1e5")]).expect("loads");
    assert_eq!(server.secret.as_deref(), Some("1e5"));
}

#[test]
fn an_unknown_key_is_named_with_its_source() {
    let file = file("[server]\nprot = 1");
    let message = message(load(Some(file.path()), &[("HEADWORKS__SERVER__NAEM", "x")]));
    assert!(
        message.contains(&file.path().display().to_string()),
        "{message}"
    );
    assert!(message.contains("`prot`"), "{message}");
    assert!(
        message.contains("environment variable HEADWORKS__SERVER__NAEM: "),
        "{message}"
    );
    assert!(message.contains("`naem`"), "{message}");
}

#[test]
fn a_wrong_value_is_named_with_its_key() {
    let message = message(load(None, &[("HEADWORKS__SERVER__PORT", "many")]));
    assert!(
        message.contains("environment variable HEADWORKS__SERVER__PORT: `server.port`: "),
        "{message}"
    );
}

#[test]
fn a_secret_comes_from_a_file() {
    let secret = file(" two words \n\n");
    let path = secret.path().to_str().expect("a plain path");
    let config = file("[server]\nsecret = 'overruled'");
    let server = load(
        Some(config.path()),
        &[("HEADWORKS__SERVER__SECRET_FILE", path)],
    )
    .expect("loads");
    assert_eq!(server.secret.as_deref(), Some(" two words \n"));
}

#[test]
fn a_secret_and_its_file_do_not_go_together() {
    let config = file("[server]\nsecret = 'a'\nsecret_file = '/nowhere'");
    let message = message(load(Some(config.path()), &[]));
    assert!(
        message.contains("`secret` and `secret_file` are both set"),
        "{message}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let message = message(load(
        None,
        &[("HEADWORKS__SERVER__SECRET_FILE", "/nowhere/x")],
    ));
    assert!(
        message.contains("`secret_file`: read /nowhere/x"),
        "{message}"
    );
    let message = message_of_missing_config();
    assert!(
        message.contains("read configuration file /nowhere/c"),
        "{message}"
    );
}

fn message_of_missing_config() -> String {
    message(load(Some(Path::new("/nowhere/c")), &[]))
}

#[test]
fn all_findings_are_reported_at_once() {
    assert!(check(&[]).is_ok());
    let error = check(&["a: bad".to_owned(), "b: worse".to_owned()]).expect_err("fails");
    assert_eq!(
        error.to_string(),
        "the configuration is not valid:\n  a: bad\n  b: worse"
    );
}
