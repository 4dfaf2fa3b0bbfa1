//! `headworks restream import`: a list of cameras, and where all of them go.

use std::{ffi::OsStr, path::Path, path::PathBuf};

use clap::Args;
use headworks_client::Client;
use headworks_types::{RestreamImport, RestreamImportOutcome, RestreamTemplate};
use serde::Serialize;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::{super::label, super::labels, Target};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// Cameras, and where all of them go.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Cameras: CSV with a head of name,url,external_id,username,password,transport,stream_key
    /// (or camera_id for cameras that are there), or a JSON array of the same fields
    ///
    /// User name and password may also stand in the URL. Without an external_id the name is taken,
    /// so that the same import can be repeated.
    file: PathBuf,
    /// Where to; {name}, {external_id}, {camera_id} and {index} stand for the camera's
    #[arg(long, value_name = "URL")]
    target: String,
    /// What people call the restream of each camera
    #[arg(long, default_value = "restream")]
    name: String,
    /// A label of each restream; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    how: Target,
}

/// Does it.
pub(super) async fn run(import: Import, client: &Client, json: bool) -> Result<(), Failure> {
    let cameras = cameras(&import.file)?;
    let lines: Vec<_> = cameras.iter().map(show_camera).collect();
    let body = RestreamImport {
        cameras,
        target: RestreamTemplate {
            name: import.name,
            labels: labels(import.label),
            url: import.target,
            transport: import.how.transport(),
            tls_verify: import.how.tls_verify(),
            credentials: import.how.credentials()?,
            stream_key: import.how.stream_key()?,
            signing: import.how.signing()?,
            video: import.how.video()?,
            audio: import.how.audio(),
            enabled: import.how.enabled(),
        },
        dry_run: import.dry_run,
    };
    let result = client.restream_import(&body).await?;
    let failed = result.results.iter();
    let failed = failed.filter(|outcome| matches!(outcome, RestreamImportOutcome::Failed { .. }));
    let (failed, all) = (failed.count(), result.results.len());
    if json {
        output::json(&result)?;
    } else {
        let lines = lines.into_iter().zip(&result.results);
        let lines: Vec<_> = lines
            .map(|(camera, outcome)| Line::new(camera, outcome))
            .collect();
        output::list(&lines, false)?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::user(format!("{failed} of {all} cameras failed"))
            .with_hint("what is done is done; correct the list and import it again")),
    }
}

/// One line of the table.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    camera: String,
    outcome: &'static str,
    restream: String,
    detail: String,
}

impl Line {
    fn new(camera: String, outcome: &RestreamImportOutcome) -> Self {
        let (outcome, restream, detail) = match outcome {
            RestreamImportOutcome::Created {
                camera_created,
                restream,
            } => {
                let outcome = if *camera_created {
                    "camera and restream created"
                } else {
                    "created"
                };
                (outcome, restream.id.to_string(), restream.url.to_string())
            }
            RestreamImportOutcome::Existing { restream } => (
                "existing",
                restream.id.to_string(),
                restream.url.to_string(),
            ),
            RestreamImportOutcome::Valid { url, .. } => ("valid", "-".to_owned(), url.to_string()),
            RestreamImportOutcome::Failed { problem } => {
                let fields = problem.errors.iter();
                let fields = fields.map(|field| format!("{}: {}", field.pointer, field.detail));
                let detail = problem.detail.clone().into_iter().chain(fields);
                (
                    "failed",
                    "-".to_owned(),
                    detail.collect::<Vec<_>>().join("; "),
                )
            }
        };
        Self {
            camera,
            outcome,
            restream,
            detail,
        }
    }
}

impl Row for Line {
    const COLUMNS: &'static [&'static str] = &["CAMERA", "OUTCOME", "RESTREAM", "DETAIL"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.camera.clone(),
            self.outcome.to_owned(),
            self.restream.clone(),
            self.detail.clone(),
        ]
    }
}

fn show_camera(camera: &Value) -> String {
    let name = camera["name"].as_str().or(camera["camera_id"].as_str());
    name.unwrap_or("-").to_owned()
}

/// Reads the list.
fn cameras(path: &Path) -> Result<Vec<Value>, Failure> {
    let wrong = |error: String| Failure::user(format!("cannot read {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let is_json = path.extension().and_then(OsStr::to_str) == Some("json");
    let cameras = if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        from_csv(&text)
    };
    let mut cameras: Vec<Value> = cameras.map_err(wrong)?;
    for camera in &mut cameras {
        if let Some(fields) = camera.as_object_mut() {
            complete(fields);
        }
    }
    Ok(cameras)
}

fn from_csv(text: &str) -> Result<Vec<Value>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut cameras = Vec::new();
    for line in reader.records() {
        let line = line.map_err(|error| error.to_string())?;
        let fields = head
            .iter()
            .zip(&line)
            .filter(|(_, value)| !value.is_empty());
        let mut camera = Map::new();
        let mut login = Map::new();
        for (column, value) in fields {
            let (fields, value) = match column {
                "username" | "password" => (&mut login, value.into()),
                "tls_verify" => (&mut camera, truth(value)?),
                _ => (&mut camera, value.into()),
            };
            fields.insert(column.to_owned(), value);
        }
        if !login.is_empty() {
            camera.insert("credentials".to_owned(), login.into());
        }
        cameras.push(camera.into());
    }
    Ok(cameras)
}

fn truth(text: &str) -> Result<Value, String> {
    let truth = text.to_ascii_lowercase().parse::<bool>();
    let truth = truth.map_err(|_| format!("`tls_verify` is true or false, not `{text}`"))?;
    Ok(truth.into())
}

/// Takes user name and password out of the URL, and the name where there is no `external_id`.
fn complete(camera: &mut Map<String, Value>) {
    let url = camera.get("url").and_then(Value::as_str);
    if let Some(mut url) = url.and_then(|url| Url::parse(url).ok())
        && !url.username().is_empty()
        && !camera.contains_key("credentials")
    {
        let password = url.password().unwrap_or_default();
        let login = serde_json::json!({
            "username": decoded(url.username()),
            "password": decoded(password),
        });
        if url.set_username("").is_ok() && url.set_password(None).is_ok() {
            camera.insert("credentials".to_owned(), login);
            camera.insert("url".to_owned(), url.as_str().into());
        }
    }
    if let Some(name) = camera.get("name").cloned()
        && !camera.contains_key("external_id")
    {
        camera.insert("external_id".to_owned(), name);
    }
}

/// Undoes percent encoding, by way of a query with one value.
fn decoded(text: &str) -> String {
    let query = format!("k={}", text.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(name: &str, text: &str) -> Result<Vec<Value>, String> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("writes");
        cameras(&path).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_list_of_the_shell_script_is_read() {
        let text = "name,url,username,password\n\
                    # the yard\n\
                    gate,rtsp://10.0.0.1/1,root,\"a,b\"\n\
                    door, rtsp://root:p%40ss%3D1+@10.0.0.2/1,,\n";
        let gate = json!({
            "name": "gate", "external_id": "gate", "url": "rtsp://10.0.0.1/1",
            "credentials": {"username": "root", "password": "a,b"},
        });
        let door = json!({
            "name": "door", "external_id": "door", "url": "rtsp://10.0.0.2/1",
            "credentials": {"username": "root", "password": "p@ss=1+"},
        });
        assert_eq!(
            listed("list.csv", text),
            Ok(vec![gate.clone(), door.clone()])
        );
        let text = json!([gate, {"camera_id": "cam_1"}]).to_string();
        let there = json!({"camera_id": "cam_1"});
        assert_eq!(listed("list.json", &text), Ok(vec![gate, there]));
    }

    #[test]
    fn a_list_that_cannot_be_read_says_where() {
        let error = listed("list.csv", "name,url\na\n").expect_err("has too few fields");
        assert!(error.contains("line: 2"), "{error}");
        assert!(listed("list.json", "{}").is_err());
        for odd in ["", "a=b", "=", "%", "a%3Db", "+&"] {
            let plain = odd.replace("%3D", "=");
            assert_eq!(decoded(odd), plain, "{odd}");
        }
    }
}
