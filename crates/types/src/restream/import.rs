//! Many cameras pushed to one kind of target, in one request.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::{Restream, RestreamAudio, RestreamCreate, RestreamSigning, RestreamVideo, yes};
use crate::{
    CameraCreate, CameraId, CameraSource, Credentials, Labels, Placement, Problem, PullFormat,
    Secret, StartMode, Transport, Validate, Viewing, Violations,
};

/// Cameras, and where all of them go.
///
/// A repetition does no harm: a camera whose `external_id` is there already is taken as it is, and
/// so is a restream of that camera with the target's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestreamImport {
    /// 1 to 1000 cameras. Each is parsed and checked by itself, so that a bad one does not spoil
    /// the others.
    #[schema(value_type = Vec<RestreamImportItem>, min_items = 1, max_items = 1000)]
    pub cameras: Vec<serde_json::Value>,
    /// Where they go.
    pub target: RestreamTemplate,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

impl Validate for RestreamImport {
    fn validate(&self, found: &mut Violations) {
        if !(1..=1000).contains(&self.cameras.len()) {
            found.report("cameras", "must have 1 to 1000 cameras");
        }
        found.within("target", |found| self.target.validate(found));
    }
}

/// A camera that is there (`camera_id`), or one to be (`name` and `url`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestreamImportItem {
    /// A camera that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera_id: Option<CameraId>,
    /// What people call the new camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The caller's own name for the camera. If a camera has it already, that one is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The new camera's labels; the restream gets the template's.
    pub labels: Labels,
    /// Where the new camera's media comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// How RTP travels from it.
    pub transport: Transport,
    /// What comes from it over HTTP, unless the path tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<PullFormat>,
    /// False takes any certificate of the camera. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_verify: Option<bool>,
    /// Its user name and password. Sealed at rest, never shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// The target's stream key for this camera, instead of the template's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_key: Option<Secret>,
}

impl RestreamImportItem {
    /// The camera to be; `None` if it is one that is there.
    #[must_use]
    pub fn camera(&self) -> Option<CameraCreate> {
        let (Some(name), Some(url)) = (&self.name, &self.url) else {
            return None;
        };
        Some(CameraCreate {
            group_id: None,
            name: name.clone(),
            external_id: self.external_id.clone(),
            labels: self.labels.clone(),
            source: CameraSource::Pull {
                url: url.clone(),
                transport: self.transport,
                format: self.format,
                tls_verify: self.tls_verify.unwrap_or(true),
            },
            credentials: self.credentials.clone(),
            enabled: true,
            start: StartMode::Always,
            placement: Placement::default(),
            exclusive_source: false,
            viewing: Viewing::default(),
        })
    }
}

impl Validate for RestreamImportItem {
    fn validate(&self, found: &mut Violations) {
        if self.camera_id.is_some() {
            let others = Self {
                camera_id: self.camera_id,
                stream_key: self.stream_key.clone(),
                ..Self::default()
            };
            if *self != others {
                found.report(
                    "",
                    "with `camera_id`, only `stream_key` may be there: the camera is as it is",
                );
            }
            return;
        }
        for (field, missing) in [("name", self.name.is_none()), ("url", self.url.is_none())] {
            if missing {
                found.report(field, "is missing; or give the `camera_id` of a camera");
            }
        }
        let mut inner = Violations::default();
        if let Some(camera) = self.camera() {
            camera.validate(&mut inner);
        }
        for mut field in inner.into_fields() {
            // A new camera's URL stands in its source.
            if let Some(of_source) = field.pointer.strip_prefix("/source/") {
                field.pointer = format!("/{of_source}");
            }
            found.report_field(field);
        }
    }
}

/// A restream to be, for each camera of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestreamTemplate {
    /// What people call the restream of each camera.
    pub name: String,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// A URL as of a restream in which `{name}`, `{external_id}` and `{camera_id}` stand for the
    /// camera's and `{index}` for its place in the list, from 1.
    #[schema(example = "rtmp://push.example.com/live/{name}")]
    pub url: String,
    /// How RTP travels, if the target speaks RTSP.
    #[serde(default)]
    pub transport: Transport,
    /// False takes any certificate of the target. Default true.
    #[serde(default = "yes")]
    pub tls_verify: bool,
    /// User name and password, for RTSP. Sealed at rest, never shown again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credentials: Option<Credentials>,
    /// The target's stream key. Sealed at rest, never shown again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stream_key: Option<Secret>,
    /// How the URL is signed.
    #[serde(default)]
    pub signing: RestreamSigning,
    /// What becomes of the video.
    #[serde(default)]
    pub video: RestreamVideo,
    /// What becomes of the audio.
    #[serde(default)]
    pub audio: RestreamAudio,
    /// False creates them stopped. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What stands for the placeholders.
#[derive(Debug, Clone, Copy)]
pub struct Placeholders<'a> {
    /// `{name}`
    pub name: &'a str,
    /// `{external_id}`
    pub external_id: Option<&'a str>,
    /// `{camera_id}`
    pub camera_id: CameraId,
    /// `{index}`
    pub index: usize,
}

impl RestreamTemplate {
    /// The restream of one camera.
    ///
    /// # Errors
    /// What is wrong with the URL, in words.
    pub fn restream(&self, of: Placeholders<'_>) -> Result<RestreamCreate, String> {
        let text = fill(&self.url, of)?;
        let url = text.parse();
        let url: Url = url.map_err(|error| format!("is no URL with names in it: {error}"))?;
        Ok(RestreamCreate {
            name: self.name.clone(),
            external_id: None,
            labels: self.labels.clone(),
            url,
            transport: self.transport,
            tls_verify: self.tls_verify,
            credentials: self.credentials.clone(),
            stream_key: self.stream_key.clone(),
            signing: self.signing.clone(),
            video: self.video,
            audio: self.audio,
            enabled: self.enabled,
        })
    }
}

/// Checked with an example's names.
impl Validate for RestreamTemplate {
    fn validate(&self, found: &mut Violations) {
        let example = Placeholders {
            name: "gate",
            external_id: Some("1"),
            camera_id: CameraId::from(uuid::Uuid::nil()),
            index: 1,
        };
        match self.restream(example) {
            Ok(restream) => restream.validate(found),
            Err(error) => found.report("url", error),
        }
    }
}

/// Replaces the placeholders. What they stand for is percent-encoded, so that a name is one segment
/// of a path whatever is in it.
fn fill(template: &str, of: Placeholders<'_>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (placeholder, after) = after.split_once('}').ok_or("a `{` has no closing brace")?;
        filled.push_str(before);
        match placeholder {
            "name" => encode(of.name, &mut filled),
            "external_id" => {
                let id = of.external_id;
                let id = id.ok_or("the camera has no external_id that could stand in the URL")?;
                encode(id, &mut filled);
            }
            "camera_id" => filled.push_str(&of.camera_id.to_string()),
            "index" => filled.push_str(&of.index.to_string()),
            other => {
                return Err(format!(
                    "`{{{other}}}` is no placeholder; there are {{name}}, {{external_id}}, \
                     {{camera_id}} and {{index}}"
                ));
            }
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// RFC 3986 section 2.1: everything but the unreserved characters.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// What became of the cameras, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestreamImportResult {
    /// One for each camera.
    pub results: Vec<RestreamImportOutcome>,
}

/// What became of one camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RestreamImportOutcome {
    /// The restream exists now.
    Created {
        /// True if the camera was created, too.
        camera_created: bool,
        /// It.
        restream: Box<Restream>,
    },
    /// It was there already, and is as it was.
    Existing {
        /// It.
        restream: Box<Restream>,
    },
    /// Dry run: it would have been created.
    Valid {
        /// True if the camera would have been created, too.
        camera_created: bool,
        /// Where it would go.
        url: Url,
    },
    /// Nothing was created.
    Failed {
        /// Why.
        problem: Problem,
    },
}
