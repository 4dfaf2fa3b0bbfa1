//! `headworks restream import`: a list of cameras, and where all of them go.

use std::{ffi::OsStr, path::Path, path::PathBuf};

use clap::Args;
use headworks_client::Client;
use headworks_types::{
    Problem, ProblemField, RestreamImport, RestreamImportOutcome, RestreamTemplate, ShownUrl,
};
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
    let listed = cameras(&import.file)?;
    let lines: Vec<_> = listed.iter().map(Listed::shown).collect();
    let cameras = listed.into_iter().map(|listed| listed.camera).collect();
    let dry_run = import.dry_run;
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
        dry_run,
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
            .map(|((place, camera), outcome)| Line::new(&place, camera, outcome))
            .collect();
        output::list(&lines, false)?;
    }
    match failed {
        0 => Ok(()),
        _ if dry_run => Err(
            Failure::user(format!("{failed} of {all} cameras would fail"))
                .with_hint("nothing was done; correct the list and try it again"),
        ),
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
    fn new(place: &str, camera: String, outcome: &RestreamImportOutcome) -> Self {
        let shown = |url| ShownUrl(url).to_string();
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
                (outcome, restream.id.to_string(), shown(&restream.url))
            }
            RestreamImportOutcome::Existing { restream } => {
                ("existing", restream.id.to_string(), shown(&restream.url))
            }
            RestreamImportOutcome::Valid { url, .. } => ("valid", "-".to_owned(), shown(url)),
            RestreamImportOutcome::Failed { problem } => {
                let detail = format!("{place}: {}", show_problem(problem));
                ("failed", "-".to_owned(), detail)
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

/// What is wrong with one camera, in the words of the list.
fn show_problem(problem: &Problem) -> String {
    let fields = problem.errors.iter().map(show_field);
    let fields: Vec<_> = fields.collect();
    if fields.is_empty() {
        problem.detail.clone().unwrap_or_default()
    } else {
        fields.join("; ")
    }
}

/// `/cameras/7/credentials/password` is the list's `password`, `/target/url` is not of the list.
fn show_field(field: &ProblemField) -> String {
    let of_camera = field.pointer.strip_prefix("/cameras/");
    let name = match of_camera.map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
        Some((_, name)) => name.strip_prefix("credentials/").unwrap_or(name),
        None => field.pointer.trim_start_matches('/'),
    };
    if name.is_empty() {
        field.detail.clone()
    } else {
        format!("`{name}` {}", field.detail)
    }
}

/// A camera, and where it stands in the list.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    place: String,
    camera: Value,
}

impl Listed {
    /// Where it stands, and what it is called.
    fn shown(&self) -> (String, String) {
        let field = |name: &str| self.camera.get(name).and_then(Value::as_str);
        let name = field("name").or(field("camera_id")).unwrap_or("-");
        (self.place.clone(), name.to_owned())
    }
}

/// Reads the list.
fn cameras(path: &Path) -> Result<Vec<Listed>, Failure> {
    let wrong = |error: String| Failure::user(format!("cannot read {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let is_json = path.extension().and_then(OsStr::to_str) == Some("json");
    let cameras = if is_json {
        from_json(&text)
    } else {
        from_csv(&text)
    };
    let mut cameras = cameras.map_err(wrong)?;
    for listed in &mut cameras {
        if let Some(fields) = listed.camera.as_object_mut() {
            complete(fields);
        }
    }
    Ok(cameras)
}

fn from_json(text: &str) -> Result<Vec<Listed>, String> {
    let cameras: Vec<Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let listed = |(index, camera)| Listed {
        place: format!("camera {}", index + 1),
        camera,
    };
    Ok(cameras.into_iter().enumerate().map(listed).collect())
}

/// What a list's head may name.
const COLUMNS: [&str; 10] = [
    "name",
    "url",
    "external_id",
    "username",
    "password",
    "transport",
    "format",
    "tls_verify",
    "stream_key",
    "camera_id",
];

fn check_head(head: &csv::StringRecord) -> Result<(), String> {
    let known = COLUMNS.join(", ");
    let Some(unknown) = head.iter().find(|column| !COLUMNS.contains(column)) else {
        return if head.is_empty() {
            Err(format!("it is empty; its head names columns: {known}"))
        } else {
            Ok(())
        };
    };
    Err(if head.iter().any(|column| COLUMNS.contains(&column)) {
        format!("its head has an unknown column `{unknown}`; there are: {known}")
    } else {
        format!("its first line has to be a head that names the columns, some of: {known}")
    })
}

/// What is wrong with the form of a list.
fn in_words(error: &csv::Error) -> String {
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("line {line} has {len} fields, but the head names {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => format!("line {line} is not UTF-8"),
        _ => error.to_string(),
    }
}

/// Where a line stands. The reader's position is before comments and empty lines.
fn line_number(text: &str, start: &csv::Position) -> u64 {
    let byte = usize::try_from(start.byte()).unwrap_or(usize::MAX);
    let lines = text.get(byte..).unwrap_or_default().lines();
    let passed = lines.take_while(|line| line.is_empty() || line.starts_with('#'));
    start.line() + passed.count() as u64
}

fn from_csv(text: &str) -> Result<Vec<Listed>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| in_words(&error))?.clone();
    check_head(&head)?;
    let mut cameras = Vec::new();
    for line in reader.records() {
        let line = line.map_err(|error| in_words(&error))?;
        let number = line.position().map_or(0, |start| line_number(text, start));
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
        cameras.push(Listed {
            place: format!("line {number}"),
            camera: camera.into(),
        });
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

    fn listed(name: &str, text: &str) -> Result<Vec<(String, Value)>, String> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("writes");
        let found = cameras(&path).map_err(|failure| failure.to_string())?;
        let found = found.into_iter();
        Ok(found.map(|listed| (listed.place, listed.camera)).collect())
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
        let at = |place: &str, camera: &Value| (place.to_owned(), camera.clone());
        assert_eq!(
            listed("list.csv", text),
            Ok(vec![at("line 3", &gate), at("line 4", &door)])
        );
        let places = |text: &str| {
            let found = listed("list.csv", text).expect("is a list");
            let places = found.into_iter().map(|(place, _)| place);
            places.collect::<Vec<_>>()
        };
        let windows = text.replace('\n', "\r\n");
        assert_eq!(places(&windows), ["line 3", "line 4"]);
        assert_eq!(places("name\n\na\n# x\n\nb"), ["line 3", "line 6"]);
        let there = json!({"camera_id": "cam_1"});
        let text = json!([gate, there]).to_string();
        assert_eq!(
            listed("list.json", &text),
            Ok(vec![at("camera 1", &gate), at("camera 2", &there)])
        );
    }

    #[test]
    fn a_list_that_cannot_be_read_says_where() {
        for (text, why) in [
            ("name,url\na\n", "line 2 has 1 fields, but the head names 2"),
            (
                "name,ulr\na,b\n",
                "its head has an unknown column `ulr`; there are: name, ",
            ),
            (
                "gate,rtsp://cam/1\n",
                "its first line has to be a head that names the columns",
            ),
            ("", "it is empty; its head names columns: name, "),
        ] {
            let error = listed("list.csv", text).expect_err("is wrong");
            assert!(error.contains(why), "{error}");
        }
        assert!(listed("list.json", "{}").is_err());
        for odd in ["", "a=b", "=", "%", "a%3Db", "+&"] {
            let plain = odd.replace("%3D", "=");
            assert_eq!(decoded(odd), plain, "{odd}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_list() {
        let field = |pointer: &str| {
            show_field(&ProblemField {
                pointer: pointer.to_owned(),
                detail: "must not be empty".to_owned(),
            })
        };
        assert_eq!(field("/cameras/7/url"), "`url` must not be empty");
        let password = field("/cameras/0/credentials/password");
        assert_eq!(password, "`password` must not be empty");
        assert_eq!(field("/cameras/0"), "must not be empty");
        assert_eq!(field("/target/url"), "`target/url` must not be empty");
        let conflict = Problem::new(headworks_types::ProblemCode::Conflict);
        let outcome = RestreamImportOutcome::Failed {
            problem: conflict.with_detail("`a` is in the list before"),
        };
        let line = Line::new("line 3", "a".to_owned(), &outcome);
        assert_eq!(line.detail, "line 3: `a` is in the list before");
    }
}
