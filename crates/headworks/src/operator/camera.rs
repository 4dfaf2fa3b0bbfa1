//! `headworks camera …`

mod explain;
mod update;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use headworks_types::{
    Camera, CameraCreate, CameraGroupId, CameraId, CameraSource, CameraUpdate, Credentials,
    Placement, PullFormat, StartMode, Transport, Viewing,
};
use url::Url;

use self::update::Update;
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
        /// Only cameras in this group and everywhere below it
        #[arg(long, value_name = "ID")]
        group: Option<CameraGroupId>,
    },
    /// Put a camera into a group, or out of any
    Move {
        /// The camera's id
        id: CameraId,
        /// The group that it goes into; out of any if absent
        #[arg(long, value_name = "ID")]
        group: Option<CameraGroupId>,
    },
    /// Change a camera
    Update(Update),
    /// Show one camera
    View {
        /// The camera's id
        id: CameraId,
    },
    /// Explain where a camera is: why, how it goes, where it was, and which nodes could take it
    Explain {
        /// The camera's id
        id: CameraId,
    },
    /// List where a camera was, newest first
    Moves {
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
#[command(group(ArgGroup::new("source").required(true).args(["url", "publish", "file"])))]
#[command(group(ArgGroup::new("password").args(["password_stdin", "password_file"])))]
pub(crate) struct Create {
    /// What people call it
    #[arg(long)]
    name: String,
    /// Pull it from there: rtsp://, rtsps://, rtmp://, rtmps://, or http(s):// for FLV and HLS;
    /// without user name and password, since everybody who sees the camera sees the URL
    #[arg(long)]
    url: Option<Url>,
    /// It publishes to us; `headworks stream-key create` makes its key
    #[arg(long)]
    publish: bool,
    /// Play a file or a folder in a loop: a path below the edge's media directory
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// User name at the camera
    #[arg(long, requires = "password")]
    username: Option<String>,
    /// Read the camera's password from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Read the camera's password from a file
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// How RTP travels; for rtsp://
    #[arg(long, value_enum, default_value_t = TransportName::Tcp, conflicts_with_all = ["publish", "file"])]
    transport: TransportName,
    /// What comes over http(s)://, if the path ends in neither .flv nor .m3u8
    #[arg(long, value_enum, conflicts_with_all = ["publish", "file"])]
    format: Option<FormatName>,
    /// Take any certificate of the camera, also a self-signed one
    #[arg(long, conflicts_with_all = ["publish", "file"])]
    no_tls_verify: bool,
    /// Pull it only while somebody watches
    #[arg(long, conflicts_with = "publish")]
    on_demand: bool,
    /// The camera group that it is in
    #[arg(long, value_name = "ID")]
    group: Option<CameraGroupId>,
    /// Your own name for it; unique
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// A label; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Only nodes of this site may have it
    #[arg(long)]
    site: Option<String>,
    /// Only nodes of this zone may have it
    #[arg(long)]
    zone: Option<String>,
    /// The camera refuses a second session: never connect two nodes to it at once
    #[arg(long)]
    exclusive_source: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TransportName {
    Tcp,
    Udp,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    Flv,
    Hls,
}

impl Create {
    fn into_camera(self) -> Result<CameraCreate, Failure> {
        let password = match &self.password_file {
            Some(path) => Some(secret_file(path)?),
            None if self.password_stdin => Some(secret_stdin()?),
            None => None,
        };
        let source = match (self.url, self.file) {
            (Some(url), _) => CameraSource::Pull {
                url,
                transport: match self.transport {
                    TransportName::Tcp => Transport::Tcp,
                    TransportName::Udp => Transport::Udp,
                },
                format: self.format.map(|format| match format {
                    FormatName::Flv => PullFormat::Flv,
                    FormatName::Hls => PullFormat::Hls,
                }),
                tls_verify: !self.no_tls_verify,
            },
            (None, Some(path)) => CameraSource::File { path },
            (None, None) => CameraSource::Publish,
        };
        Ok(CameraCreate {
            name: self.name,
            group_id: self.group,
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
                zone: self.zone,
                ..Placement::default()
            },
            exclusive_source: self.exclusive_source,
            viewing: Viewing::default(),
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
            group,
        } => {
            let mut list = client.camera_list().limit(1000);
            if let Some(filter) = labels {
                list = list.labels(&filter);
            }
            if let Some(id) = external_id {
                list = list.external_id(&id);
            }
            if let Some(id) = group {
                list = list.in_group(id);
            }
            output::list(&list.all().await?, json)
        }
        CameraVerb::Move { id, group } => {
            let change = CameraUpdate {
                group_id: Some(group),
                ..CameraUpdate::default()
            };
            output::one(&client.camera_update(id, &change).await?, json, record)
        }
        CameraVerb::Update(update) => output::one(&update.send(&client).await?, json, record),
        CameraVerb::View { id } => output::one(&client.camera_view(id).await?, json, record),
        CameraVerb::Explain { id } => explain::show(&client.camera_explain(id).await?, json),
        CameraVerb::Moves { id } => {
            output::list(&client.move_list(id).limit(1000).all().await?, json)
        }
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
        (
            "group",
            camera.group_id.map(|id| id.to_string()).unwrap_or_default(),
        ),
        ("labels", show_labels(&camera.labels)),
        ("source", show_source(&camera.source)),
        ("start", show_name(&camera.start)),
        (
            "exclusive",
            if camera.exclusive_source { "yes" } else { "" }.to_owned(),
        ),
        ("state", show_name(&camera.status.state)),
        ("message", camera.status.message.clone()),
        ("since", show_time(camera.status.since)),
        ("node", camera.status.node_name.clone().unwrap_or_default()),
        ("reason", camera.status.reason.clone()),
        ("tracks", tracks.collect::<Vec<_>>().join(", ")),
        ("viewers", camera.status.viewers.to_string()),
        ("publish to", show_places(camera)),
        ("publisher", show_publisher(camera)),
        ("refused", show_refused(camera)),
        ("created", show_optional_time(Some(camera.created_at))),
    ]
}

fn show_source(source: &CameraSource) -> String {
    match source {
        CameraSource::Pull {
            url,
            transport,
            format,
            tls_verify,
        } => {
            let format = format.as_ref().map(show_name);
            let udp = (*transport == Transport::Udp).then(|| "RTP over UDP".to_owned());
            let lax = (!tls_verify).then(|| "any certificate".to_owned());
            let notes: Vec<_> = format.into_iter().chain(udp).chain(lax).collect();
            if notes.is_empty() {
                url.to_string()
            } else {
                format!("{url} ({})", notes.join(", "))
            }
        }
        CameraSource::Publish => "publishes with a stream key".to_owned(),
        CameraSource::File { path } => format!("{path}, in a loop"),
    }
}

fn show_places(camera: &Camera) -> String {
    let Some(urls) = &camera.publish_urls else {
        return String::new();
    };
    let rtmp = [&urls.rtmp, &urls.rtmps].into_iter().flatten();
    let rtsp = [&urls.rtsp, &urls.rtsps].into_iter().flatten();
    let all: Vec<_> = rtmp
        .map(|rtmp| &rtmp.url)
        .chain(rtsp)
        .map(|url| format!("{url}?key=…"))
        .collect();
    all.join(" or ")
}

fn show_publisher(camera: &Camera) -> String {
    let publisher = camera.status.publisher.as_ref();
    let text = publisher.map(|publisher| {
        format!(
            "{} from {} with {} since {}",
            publisher.protocol.as_str(),
            publisher.address,
            publisher.stream_key_id,
            show_time(publisher.since)
        )
    });
    text.unwrap_or_default()
}

fn show_refused(camera: &Camera) -> String {
    let refused = camera.status.refused.as_ref();
    let text = refused.map(|refused| {
        let (at, from) = (show_time(refused.at), refused.address);
        format!("{from} at {at}: {}", refused.reason)
    });
    text.unwrap_or_default()
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
    fn every_kind_of_source_has_its_words() {
        let shown = |arguments: &str| create(arguments).map(|camera| show_source(&camera.source));
        for (arguments, expected) in [
            ("--url rtsp://cam/1", "rtsp://cam/1"),
            (
                "--url rtsp://cam/1 --transport udp",
                "rtsp://cam/1 (RTP over UDP)",
            ),
            (
                "--url https://cam/live --format flv --no-tls-verify",
                "https://cam/live (flv, any certificate)",
            ),
            ("--file demo/gate.mp4", "demo/gate.mp4, in a loop"),
            ("--publish", "publishes with a stream key"),
        ] {
            assert_eq!(shown(arguments).as_deref(), Ok(expected));
        }
        assert!(shown("--publish --file a").is_err());
        assert!(shown("--file a --format hls").is_err());
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
