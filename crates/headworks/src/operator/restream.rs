//! `headworks restream …`

mod import;
mod target;

use clap::{Args, Subcommand};
use headworks_types::{
    CameraId, Restream, RestreamCreate, RestreamId, RestreamSigning, RestreamVideo, ShownUrl,
};
use url::Url;

use self::{import::Import, target::Target};
use super::{Noun, label, labels, show_labels, show_name, show_optional_time, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with restreams.
#[derive(Debug, Subcommand)]
pub(crate) enum RestreamVerb {
    /// Push a camera to a target
    Create(Box<Create>),
    /// Push many cameras to one kind of target, and add the cameras that are not there
    Import(Box<Import>),
    /// List restreams
    List {
        /// Only those of this camera
        #[arg(long, value_name = "ID")]
        camera: Option<CameraId>,
        /// Only restreams with these labels: cloud=a,event=gala
        #[arg(long, value_name = "LABELS")]
        labels: Option<String>,
        /// Only the restream with your own name for it
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
    },
    /// Show one restream
    View {
        /// The restream's id
        id: RestreamId,
    },
    /// Start a restream that is stopped
    Start {
        /// The restream's id
        id: RestreamId,
    },
    /// Stop a restream; it stays, and can be started
    Stop {
        /// The restream's id
        id: RestreamId,
    },
    /// Let a restream connect anew
    Restart {
        /// The restream's id
        id: RestreamId,
    },
    /// Delete a restream
    Delete {
        /// The restream's id
        id: RestreamId,
    },
}

/// A restream to be.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Which camera to push
    #[arg(long, value_name = "ID")]
    camera: CameraId,
    /// What people call it
    #[arg(long)]
    name: String,
    /// Where to: rtmp://, rtmps://, rtsp:// or rtsps://, without what is secret, since everybody who
    /// manages the camera sees it; a key goes into --stream-key-file, or with a `?` into --query-file
    #[arg(long)]
    url: Url,
    /// Your own name for it; unique
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// A label; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    #[command(flatten)]
    target: Target,
}

impl Create {
    fn into_restream(self) -> Result<RestreamCreate, Failure> {
        Ok(RestreamCreate {
            name: self.name,
            external_id: self.external_id,
            labels: labels(self.label),
            url: self.url,
            transport: self.target.transport(),
            tls_verify: self.target.tls_verify(),
            credentials: self.target.credentials()?,
            stream_key: self.target.stream_key()?,
            signing: self.target.signing()?,
            video: self.target.video()?,
            audio: self.target.audio(),
            enabled: self.target.enabled(),
        })
    }
}

/// Does it.
pub(crate) async fn run(command: Noun<RestreamVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        RestreamVerb::Create(create) => {
            warn_of_secrets(&create.url);
            let camera = create.camera;
            let restream = create.into_restream()?;
            let created = client.restream_create(camera, &restream).await?;
            output::one(&created, json, record)
        }
        RestreamVerb::Import(import) => import::run(*import, &client, json).await,
        RestreamVerb::List {
            camera,
            labels,
            external_id,
        } => {
            let list = match camera {
                Some(camera) => client.restream_list_of_camera(camera),
                None => client.restream_list(),
            };
            let mut list = list.limit(1000);
            if let Some(filter) = labels {
                list = list.labels(&filter);
            }
            if let Some(id) = external_id {
                list = list.external_id(&id);
            }
            output::list(&list.all().await?, json)
        }
        RestreamVerb::View { id } => output::one(&client.restream_view(id).await?, json, record),
        RestreamVerb::Start { id } => output::one(&client.restream_start(id).await?, json, record),
        RestreamVerb::Stop { id } => output::one(&client.restream_stop(id).await?, json, record),
        RestreamVerb::Restart { id } => {
            output::one(&client.restream_restart(id).await?, json, record)
        }
        RestreamVerb::Delete { id } => Ok(client.restream_delete(id).await?),
    }
}

/// A key in a URL is seen by all who may see the URL.
fn warn_of_secrets(url: &Url) {
    if url.query().is_some() {
        output::error(&format!(
            "warning: everybody who manages the camera sees what stands behind the `?` of {}\n\nhint: \
             put a key into --stream-key-file, or a whole query into --query-file with \
             --signing query",
            ShownUrl(url)
        ));
    }
}

impl Row for Restream {
    const COLUMNS: &'static [&'static str] = &[
        "ID", "CAMERA", "NAME", "STATE", "NODE", "SENT", "URL", "MESSAGE",
    ];

    fn cells(&self) -> Vec<String> {
        let status = &self.status;
        vec![
            self.id.to_string(),
            self.camera_id.to_string(),
            self.name.clone(),
            show_name(&status.state),
            status.node_name.clone().unwrap_or_else(|| "-".to_owned()),
            show_bytes(status.bytes_sent),
            ShownUrl(&self.url).to_string(),
            status.message.clone(),
        ]
    }
}

fn record(restream: &Restream) -> Vec<(&'static str, String)> {
    let status = &restream.status;
    vec![
        ("id", restream.id.to_string()),
        ("camera", restream.camera_id.to_string()),
        ("name", restream.name.clone()),
        (
            "external id",
            restream.external_id.clone().unwrap_or_default(),
        ),
        ("labels", show_labels(&restream.labels)),
        ("url", restream.url.to_string()),
        ("signing", show_signing(&restream.signing)),
        ("video", show_video(&restream.video)),
        ("audio", show_name(&restream.audio)),
        ("state", show_name(&status.state)),
        ("message", status.message.clone()),
        ("since", show_time(status.since)),
        ("node", status.node_name.clone().unwrap_or_default()),
        ("reason", status.reason.clone()),
        ("attempts", status.attempts.to_string()),
        ("sent", show_bytes(status.bytes_sent)),
        ("connected", show_optional_time(status.connected_at)),
        ("last error", status.last_error.clone().unwrap_or_default()),
        ("url expires", show_optional_time(status.url_expires_at)),
        ("generation", restream.generation.to_string()),
        ("created", show_time(restream.created_at)),
    ]
}

fn show_signing(signing: &RestreamSigning) -> String {
    match signing {
        RestreamSigning::None => "none".to_owned(),
        RestreamSigning::Query { .. } => "a secret query".to_owned(),
        RestreamSigning::Alibaba { variant, key, .. } => {
            let (variant, key) = (show_name(variant), show_name(key));
            format!("alibaba, type {variant}, {key} key")
        }
        RestreamSigning::Tencent { hash, key, .. } => {
            format!("tencent, {}, {} key", show_name(hash), show_name(key))
        }
    }
}

fn show_video(video: &RestreamVideo) -> String {
    match video {
        RestreamVideo::Copy => "copy".to_owned(),
        RestreamVideo::H264 {
            preset,
            bitrate_kbit,
            gop,
            ..
        } => {
            let preset = preset.as_str();
            format!("h264, {preset}, {bitrate_kbit} kbit/s, key frame every {gop}")
        }
    }
}

fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    let (mut tenths, mut unit) = (bytes / 100, 0);
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use headworks_types::{AlibabaVariant, RestreamAudio, SigningKeySlot, UrlRenewal};

    use crate::arguments::{Arguments, Command};

    use super::*;

    fn create(arguments: &str) -> Result<RestreamCreate, String> {
        let camera = "cam_00000000000000000000000000000001";
        let all = format!("headworks restream create --camera {camera} --name a {arguments}");
        let parsed = Arguments::try_parse_from(all.split_whitespace());
        let parsed = parsed.map_err(|error| error.to_string())?;
        let Command::Restream(Noun {
            verb: RestreamVerb::Create(create),
            ..
        }) = parsed.command
        else {
            return Err("is another command".to_owned());
        };
        create
            .into_restream()
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_restream_is_made_of_what_was_typed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        std::fs::write(&path, "hush\n").expect("writes");
        let path = path.display();
        let restream = create(&format!(
            "--url rtmp://a/b --signing alibaba-c --signing-key-file {path} \
             --secondary-key-file {path} --use-secondary-key --lifetime 2h --renew \
             --h264-kbit 2000 --gop 25 --aac --stopped --insecure"
        ));
        let restream = restream.expect("parses");
        let RestreamSigning::Alibaba {
            variant,
            primary_key,
            key,
            lifetime_seconds,
            renew,
            ..
        } = restream.signing
        else {
            panic!("not Alibaba's");
        };
        assert_eq!(
            (variant, key),
            (AlibabaVariant::C, SigningKeySlot::Secondary)
        );
        assert_eq!(primary_key.expect("is there").expose(), "hush");
        assert_eq!(
            (lifetime_seconds, renew),
            (7200, UrlRenewal::ReconnectBeforeExpiry)
        );
        assert!(matches!(
            restream.video,
            RestreamVideo::H264 {
                bitrate_kbit: 2000,
                gop: 25,
                ..
            }
        ));
        assert_eq!(restream.audio, RestreamAudio::Aac);
        assert!(!restream.enabled && !restream.tls_verify);
        let plain = create("--url rtsp://a/b --transport udp").expect("parses");
        assert_eq!(plain.signing, RestreamSigning::None);
        assert!(plain.enabled && plain.tls_verify && plain.stream_key.is_none());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for wrong in [
            "",
            "--url rtmp://a/b --signing tencent-md5",
            "--url rtmp://a/b --signing-key-file x",
            "--url rtmp://a/b --signing query",
            "--url rtmp://a/b --gop 25",
            "--url rtsp://a/b --username root",
        ] {
            assert!(create(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_are_shown_in_three_or_four_digits() {
        assert_eq!(show_bytes(999), "999 B");
        assert_eq!(show_bytes(1500), "1.5 KB");
        assert_eq!(show_bytes(12_345_678), "12.3 MB");
        assert_eq!(show_bytes(u64::MAX), "18446744.0 TB");
    }
}
