//! `headworks camera …`

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use headworks_types::{
    Camera, CameraCreate, CameraId, CameraSource, Credentials, Placement, StartMode, Transport,
};
use url::Url;

use super::{
    Noun, label, labels, secret_file, secret_stdin, show_labels, show_name, show_optional_time,
    show_time,
};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with cameras.
#[derive(Debug, Subcommand)]
pub(crate) enum CameraVerb {
    /// Add a camera
    Create(Box<Create>),
    /// List cameras
    List {
        /// Only cameras with these labels: site=lyon,floor=2
        #[arg(long, value_name = "LABELS")]
        labels: Option<String>,
        /// Only the camera with your own name for it
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
    },
    /// Show one camera
    View {
        /// The camera's id
        id: CameraId,
    },
    /// Delete a camera
    Delete {
        /// The camera's id
        id: CameraId,
    },
}

/// A camera to be.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["url", "publish"])))]
#[command(group(ArgGroup::new("password").args(["password_stdin", "password_file"])))]
pub(crate) struct Create {
    /// What people call it
    #[arg(long)]
    name: String,
    /// Where its picture comes from: rtsp://host/path, without user name and password
    #[arg(long)]
    url: Option<Url>,
    /// It publishes to us with a stream key
    #[arg(long)]
    publish: bool,
    /// User name at the camera
    #[arg(long, requires = "password")]
    username: Option<String>,
    /// Read the camera's password from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Read the camera's password from a file
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// How RTP travels
    #[arg(long, value_enum, default_value_t = TransportName::Tcp, conflicts_with = "publish")]
    transport: TransportName,
    /// Pull it only while somebody watches
    #[arg(long)]
    on_demand: bool,
    /// Your own name for it; unique
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// A label; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Only nodes of this site may pull it
    #[arg(long)]
    site: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TransportName {
    Tcp,
    Udp,
}

impl Create {
    fn into_camera(self) -> Result<CameraCreate, Failure> {
        let password = match &self.password_file {
            Some(path) => Some(secret_file(path)?),
            None if self.password_stdin => Some(secret_stdin()?),
            None => None,
        };
        let source = match self.url {
            Some(url) => CameraSource::Pull {
                url,
                transport: match self.transport {
                    TransportName::Tcp => Transport::Tcp,
                    TransportName::Udp => Transport::Udp,
                },
            },
            None => CameraSource::Publish,
        };
        Ok(CameraCreate {
            name: self.name,
            external_id: self.external_id,
            labels: labels(self.label),
            source,
            credentials: self
                .username
                .zip(password)
                .map(|(username, password)| Credentials { username, password }),
            enabled: true,
            start: if self.on_demand {
                StartMode::OnDemand
            } else {
                StartMode::Always
            },
            placement: Placement {
                site: self.site,
                ..Placement::default()
            },
        })
    }
}

/// Does it.
pub(crate) async fn run(command: Noun<CameraVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        CameraVerb::Create(create) => {
            let camera = client.camera_create(&create.into_camera()?).await?;
            output::one(&camera, json, record)
        }
        CameraVerb::List {
            labels,
            external_id,
        } => {
            let mut list = client.camera_list().limit(1000);
            if let Some(filter) = labels {
                list = list.labels(&filter);
            }
            if let Some(id) = external_id {
                list = list.external_id(&id);
            }
            output::list(&list.all().await?, json)
        }
        CameraVerb::View { id } => output::one(&client.camera_view(id).await?, json, record),
        CameraVerb::Delete { id } => Ok(client.camera_delete(id).await?),
    }
}

impl Row for Camera {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "STATE", "NODE", "VIEWERS", "MESSAGE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            show_name(&self.status.state),
            self.status
                .node_name
                .clone()
                .unwrap_or_else(|| "-".to_owned()),
            self.status.viewers.to_string(),
            self.status.message.clone(),
        ]
    }
}

fn record(camera: &Camera) -> Vec<(&'static str, String)> {
    let source = match &camera.source {
        CameraSource::Pull { url, transport } => format!("{url} ({})", show_name(transport)),
        CameraSource::Publish => "publishes with a stream key".to_owned(),
    };
    let tracks = camera
        .status
        .tracks
        .iter()
        .map(|track| track.codec.to_string());
    vec![
        ("id", camera.id.to_string()),
        ("name", camera.name.clone()),
        (
            "external id",
            camera.external_id.clone().unwrap_or_default(),
        ),
        ("labels", show_labels(&camera.labels)),
        ("source", source),
        ("start", show_name(&camera.start)),
        ("state", show_name(&camera.status.state)),
        ("message", camera.status.message.clone()),
        ("since", show_time(camera.status.since)),
        ("node", camera.status.node_name.clone().unwrap_or_default()),
        ("reason", camera.status.reason.clone()),
        ("tracks", tracks.collect::<Vec<_>>().join(", ")),
        ("viewers", camera.status.viewers.to_string()),
        ("created", show_optional_time(Some(camera.created_at))),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::arguments::{Arguments, Command};

    use super::*;

    fn create(arguments: &str) -> Result<CameraCreate, String> {
        let all = "headworks camera create --name gate"
            .split(' ')
            .chain(arguments.split(' '));
        let parsed = Arguments::try_parse_from(all).map_err(|error| error.to_string())?;
        let Command::Camera(Noun {
            verb: CameraVerb::Create(create),
            ..
        }) = parsed.command
        else {
            return Err("is another command".to_owned());
        };
        create.into_camera().map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_camera_is_made_of_what_was_typed() {
        let camera =
            create("--url rtsp://cam/1 --transport udp --on-demand --label floor=2 --site lyon");
        let camera = camera.expect("parses");
        assert_eq!(camera.start, StartMode::OnDemand);
        assert_eq!(camera.labels.0["floor"], "2");
        assert_eq!(camera.placement.site.as_deref(), Some("lyon"));
        assert!(matches!(
            camera.source,
            CameraSource::Pull {
                transport: Transport::Udp,
                ..
            }
        ));
        assert!(create("--publish").expect("parses").credentials.is_none());
    }

    #[test]
    fn half_a_login_and_no_source_are_refused() {
        assert!(create("--label a=b").is_err());
        assert!(create("--url rtsp://cam/1 --publish").is_err());
        assert!(create("--url rtsp://cam/1 --username root").is_err());
        assert!(create("--url rtsp://cam/1 --password-stdin").is_err());
    }

    #[test]
    fn passwords_come_from_a_file() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("password");
        std::fs::write(&path, "p@ss:w/rd\n").expect("writes");
        let path = path.display();
        let camera = create(&format!(
            "--url rtsp://cam/1 --username root --password-file {path}"
        ));
        let credentials = camera.expect("parses").credentials.expect("has them");
        assert_eq!(credentials.password.expose(), "p@ss:w/rd");
    }
}
