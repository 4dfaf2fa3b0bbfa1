//! `headworks stream-key …`

use chrono::{DateTime, Utc};
use clap::{Subcommand, ValueEnum};
use headworks_types::{
    CameraId, OnConflict, PublishUrls, RtmpPublish, StreamKey, StreamKeyCreate, StreamKeyCreated,
    StreamKeyId, StreamKeyRotate,
};
use url::Url;

use super::{Noun, seconds, show_name, show_optional_time, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with stream keys.
#[derive(Debug, Subcommand)]
pub(crate) enum StreamKeyVerb {
    /// Make a key that lets an encoder publish a camera, and print where to with it
    Create {
        /// The camera; it was created with --publish
        #[arg(value_name = "CAMERA")]
        camera: CameraId,
        /// What people call the key
        #[arg(long)]
        name: String,
        /// When it stops working, such as 2027-01-31T18:00:00Z [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<DateTime<Utc>>,
        /// What happens when somebody publishes the camera already
        #[arg(long, value_enum, default_value_t = OnConflictName::Reject)]
        on_conflict: OnConflictName,
    },
    /// List a camera's stream keys
    List {
        /// The camera
        #[arg(value_name = "CAMERA")]
        camera: CameraId,
    },
    /// Exchange a key for a new one, and print where to publish with it
    Rotate {
        /// The key's id
        id: StreamKeyId,
        /// How long the old key goes on working, at most 7d
        #[arg(long, value_name = "TIME", default_value = "0s", value_parser = seconds)]
        grace: u32,
    },
    /// Make a key useless, for ever; who publishes with it is closed
    Revoke {
        /// The key's id
        id: StreamKeyId,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnConflictName {
    /// The one who comes is refused
    Reject,
    /// The one who was there is closed
    Takeover,
}

impl From<OnConflictName> for OnConflict {
    fn from(name: OnConflictName) -> Self {
        match name {
            OnConflictName::Reject => Self::Reject,
            OnConflictName::Takeover => Self::Takeover,
        }
    }
}

/// Does it.
pub(crate) async fn run(command: Noun<StreamKeyVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        StreamKeyVerb::Create {
            camera,
            name,
            expires,
            on_conflict,
        } => {
            let key = StreamKeyCreate {
                name,
                expires_at: expires,
                on_conflict: on_conflict.into(),
            };
            show_created(&client.stream_key_create(camera, &key).await?, json)
        }
        StreamKeyVerb::List { camera } => {
            let keys = client.stream_key_list(camera).limit(1000).all().await?;
            output::list(&keys, json)
        }
        StreamKeyVerb::Rotate { id, grace } => {
            let how = StreamKeyRotate {
                grace_seconds: grace,
            };
            show_created(&client.stream_key_rotate(id, &how).await?, json)
        }
        StreamKeyVerb::Revoke { id } => {
            output::one(&client.stream_key_revoke(id).await?, json, record)
        }
    }
}

fn show_created(created: &StreamKeyCreated, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(created);
    }
    output::one(created, false, |created| {
        let mut record = record(&created.stream_key);
        let secret = created.secret.expose();
        record.push(("secret", format!("{secret} (not shown again)")));
        record
    })?;
    output::line(&publishing(created))
}

/// What to paste where.
fn publishing(created: &StreamKeyCreated) -> String {
    let Some(urls) = &created.publish_urls else {
        let camera = created.stream_key.camera_id;
        return format!(
            "\nThere is nowhere to publish to now; `headworks camera view {camera}` says why, and \
             then where."
        );
    };
    let PublishUrls {
        rtmp,
        rtmps,
        rtsp,
        rtsps,
    } = urls;
    let mut text = String::new();
    for rtmp in [rtmp, rtmps].into_iter().flatten() {
        text.push_str(&encoder_fields(rtmp));
    }
    text.push_str("\nFFmpeg:\n");
    for rtmp in [rtmp, rtmps].into_iter().flatten() {
        text.push_str(&ffmpeg("flv", &rtmp.url));
    }
    for rtsp in [rtsp, rtsps].into_iter().flatten() {
        text.push_str(&ffmpeg("rtsp", rtsp));
    }
    text.truncate(text.trim_end().len());
    text
}

fn encoder_fields(rtmp: &RtmpPublish) -> String {
    format!(
        "\nOBS and other encoders, over {}:\n  Server      {}\n  Stream Key  {}\n",
        rtmp.server.scheme(),
        rtmp.server,
        rtmp.stream_key.expose()
    )
}

fn ffmpeg(format: &str, url: &Url) -> String {
    format!("  ffmpeg -re -i in.mp4 -c copy -f {format} '{url}'\n")
}

impl Row for StreamKey {
    const COLUMNS: &'static [&'static str] =
        &["ID", "NAME", "LOOKUP", "ON CONFLICT", "EXPIRES", "REVOKED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.lookup.clone(),
            show_name(&self.on_conflict),
            self.expires_at
                .map_or_else(|| "never".to_owned(), show_time),
            self.revoked_at.map_or_else(|| "-".to_owned(), show_time),
        ]
    }
}

fn record(key: &StreamKey) -> Vec<(&'static str, String)> {
    vec![
        ("id", key.id.to_string()),
        ("camera", key.camera_id.to_string()),
        ("name", key.name.clone()),
        ("on conflict", show_name(&key.on_conflict)),
        ("expires", show_optional_time(key.expires_at)),
        ("revoked", show_optional_time(key.revoked_at)),
        ("created", show_time(key.created_at)),
    ]
}

#[cfg(test)]
mod tests {
    use headworks_types::{Advertise, Secret};

    use super::*;

    fn created(node: Option<&Advertise>) -> StreamKeyCreated {
        let camera: CameraId = "cam_00000000000000000000000000000001"
            .parse()
            .expect("parses");
        let secret = Secret::new("hwsk_abc_d-e_f");
        StreamKeyCreated {
            stream_key: StreamKey {
                id: "skey_00000000000000000000000000000002"
                    .parse()
                    .expect("parses"),
                camera_id: camera,
                name: "obs".to_owned(),
                lookup: "abc".to_owned(),
                on_conflict: OnConflict::Reject,
                expires_at: None,
                revoked_at: None,
                created_at: "2026-11-22T12:00:00Z".parse().expect("parses"),
            },
            publish_urls: node.and_then(|node| PublishUrls::new(node, camera, Some(&secret))),
            secret,
        }
    }

    #[test]
    fn people_get_commands_and_fields_to_paste() {
        let base = |url: &str| Some(url.parse().expect("is a URL"));
        let node = Advertise {
            rtmp: base("rtmp://edge:1935/"),
            rtmps: base("rtmps://edge:1936/"),
            rtsp: base("rtsp://edge:8554/"),
            ..Advertise::new("http://edge:8081/".parse().expect("is a URL"))
        };
        insta::assert_snapshot!("stream_key_create", publishing(&created(Some(&node))));
        insta::assert_snapshot!("stream_key_nowhere", publishing(&created(None)));
    }
}
