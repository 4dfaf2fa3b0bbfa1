//! `headworks stream-key …`

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use headworks_types::{
    CameraId, Network, OnConflict, PublishProtocol, PublishUrls, RtmpPublish, StreamKey,
    StreamKeyBounds, StreamKeyCreate, StreamKeyCreated, StreamKeyId, StreamKeyRotate,
    StreamKeyUpdate, StreamKeyUse,
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
        #[command(flatten)]
        bounds: Bounds,
    },
    /// List a camera's stream keys
    List {
        /// The camera
        #[arg(value_name = "CAMERA")]
        camera: CameraId,
    },
    /// Show a key, without its secret
    View {
        /// The key's id
        id: StreamKeyId,
    },
    /// Change a key; a publisher that it does not let in any more is closed
    Update(Update),
    /// Exchange a key for a new one with the same bounds, and print where to publish with it
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

/// From where, by what and how fast a key may publish.
#[derive(Debug, Args)]
pub(crate) struct Bounds {
    /// Only from this network, 10.20.0.0/16, or address; may be given several times
    #[arg(long)]
    network: Vec<Network>,
    /// Only by this protocol: rtmp, rtmps, rtmpt, rtmpts, rtsp or rtsps; may be given several times
    #[arg(long, value_parser = protocol)]
    protocol: Vec<PublishProtocol>,
    /// The most that may be sent, in kbit/s over ten seconds; leave room above what the encoder is
    /// set to
    #[arg(long, value_name = "KBIT")]
    max_kbit: Option<u32>,
}

/// What to change.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The key's id
    id: StreamKeyId,
    /// What people call the key
    #[arg(long)]
    name: Option<String>,
    /// When it stops working, such as 2027-01-31T18:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "never_expires")]
    expires: Option<DateTime<Utc>>,
    /// It works until it is revoked
    #[arg(long)]
    never_expires: bool,
    /// What happens when somebody publishes the camera already
    #[arg(long, value_enum)]
    on_conflict: Option<OnConflictName>,
    #[command(flatten)]
    bounds: Bounds,
    /// From any network
    #[arg(long, conflicts_with = "network")]
    any_network: bool,
    /// By any protocol
    #[arg(long, conflicts_with = "protocol")]
    any_protocol: bool,
    /// As much as it likes
    #[arg(long, conflicts_with = "max_kbit")]
    no_max_kbit: bool,
}

impl Update {
    fn into_change(self) -> StreamKeyUpdate {
        /// The new value, or none if it is to be cleared.
        fn or_clear<T>(new: Option<T>, clear: bool) -> Option<Option<T>> {
            (clear || new.is_some()).then_some(new)
        }
        let bounds = self.bounds.into_bounds();
        StreamKeyUpdate {
            name: self.name,
            expires_at: or_clear(self.expires, self.never_expires),
            on_conflict: self.on_conflict.map(Into::into),
            networks: or_clear(bounds.networks, self.any_network),
            protocols: or_clear(bounds.protocols, self.any_protocol),
            max_bitrate_kbit: or_clear(bounds.max_bitrate_kbit, self.no_max_kbit),
        }
    }
}

impl Bounds {
    fn into_bounds(self) -> StreamKeyBounds {
        let some = !self.protocol.is_empty();
        StreamKeyBounds {
            networks: (!self.network.is_empty()).then_some(self.network),
            protocols: some.then(|| self.protocol.into_iter().collect()),
            max_bitrate_kbit: self.max_kbit,
        }
    }
}

/// `rtmps`
fn protocol(text: &str) -> Result<PublishProtocol, String> {
    PublishProtocol::from_name(text).ok_or_else(|| {
        let known = PublishProtocol::ALL.map(PublishProtocol::as_str);
        format!("expected one of {}", known.join(", "))
    })
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
            bounds,
        } => {
            let bounds = bounds.into_bounds();
            let key = StreamKeyCreate {
                name,
                expires_at: expires,
                on_conflict: on_conflict.into(),
                networks: bounds.networks,
                protocols: bounds.protocols,
                max_bitrate_kbit: bounds.max_bitrate_kbit,
            };
            show_created(&client.stream_key_create(camera, &key).await?, json)
        }
        StreamKeyVerb::List { camera } => {
            let keys = client.stream_key_list(camera).limit(1000).all().await?;
            output::list(&keys, json)
        }
        StreamKeyVerb::View { id } => output::one(&client.stream_key_view(id).await?, json, record),
        StreamKeyVerb::Update(update) => {
            let (id, change) = (update.id, update.into_change());
            let key = client.stream_key_update(id, &change).await?;
            output::one(&key, json, record)
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
    const COLUMNS: &'static [&'static str] = &[
        "ID",
        "NAME",
        "LOOKUP",
        "ON CONFLICT",
        "ONLY",
        "EXPIRES",
        "REVOKED",
        "LAST USED",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.lookup.clone(),
            show_name(&self.on_conflict),
            or_dash(show_bounds(&self.bounds)),
            self.expires_at
                .map_or_else(|| "never".to_owned(), show_time),
            self.revoked_at.map_or_else(|| "-".to_owned(), show_time),
            self.last_used
                .as_ref()
                .map_or_else(|| "never".to_owned(), show_use),
        ]
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// `from 10.20.0.0/16 by rtmps,rtsps up to 4000 kbit/s`
fn show_bounds(bounds: &StreamKeyBounds) -> String {
    let mut parts = Vec::new();
    if let Some(networks) = &bounds.networks {
        let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
        parts.push(format!("from {}", networks.join(",")));
    }
    if let Some(protocols) = &bounds.protocols {
        let protocols: Vec<_> = protocols.iter().map(|one| one.as_str()).collect();
        parts.push(format!("by {}", protocols.join(",")));
    }
    if let Some(kbit) = bounds.max_bitrate_kbit {
        parts.push(format!("up to {kbit} kbit/s"));
    }
    parts.join(" ")
}

/// `2026-11-22T12:00:00Z rtmps from 192.0.2.7`
fn show_use(by: &StreamKeyUse) -> String {
    let (at, protocol) = (show_time(by.at), by.protocol.as_str());
    format!("{at} {protocol} from {}", by.address)
}

fn show_last_use(by: &StreamKeyUse) -> String {
    format!("{} on {}", show_use(by), by.node_id)
}

fn record(key: &StreamKey) -> Vec<(&'static str, String)> {
    vec![
        ("id", key.id.to_string()),
        ("camera", key.camera_id.to_string()),
        ("name", key.name.clone()),
        ("on conflict", show_name(&key.on_conflict)),
        ("only", show_bounds(&key.bounds)),
        ("expires", show_optional_time(key.expires_at)),
        ("revoked", show_optional_time(key.revoked_at)),
        (
            "last used",
            key.last_used
                .as_ref()
                .map(show_last_use)
                .unwrap_or_default(),
        ),
        ("created", show_time(key.created_at)),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use headworks_types::{Advertise, NodeId, Secret};

    use super::*;
    use crate::arguments::{Arguments, Command};

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
                bounds: StreamKeyBounds::default(),
                expires_at: None,
                revoked_at: None,
                last_used: None,
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

    fn update(options: &str) -> Result<serde_json::Value, String> {
        let id = "skey_00000000000000000000000000000002";
        let words = ["headworks", "stream-key", "update", id];
        let words = words.into_iter().chain(options.split_whitespace());
        let parsed = Arguments::try_parse_from(words);
        let Command::StreamKey(Noun {
            verb: StreamKeyVerb::Update(update),
            ..
        }) = parsed.map_err(|error| error.to_string())?.command
        else {
            return Err("is another command".to_owned());
        };
        serde_json::to_value(update.into_change()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_change_has_what_was_typed_and_nothing_else() {
        assert_eq!(update(""), Ok(serde_json::json!({})));
        let all = "--name cam --expires 2027-01-31T18:00:00Z --on-conflict takeover \
                   --network 10.20.0.0/16 --network 192.0.2.7 --protocol rtmps --max-kbit 4000";
        let wanted = serde_json::json!({
            "name": "cam", "expires_at": "2027-01-31T18:00:00Z", "on_conflict": "takeover",
            "networks": ["10.20.0.0/16", "192.0.2.7/32"], "protocols": ["rtmps"],
            "max_bitrate_kbit": 4000,
        });
        assert_eq!(update(all), Ok(wanted));
        let cleared = "--never-expires --any-network --any-protocol --no-max-kbit";
        let wanted = serde_json::json!({
            "expires_at": null, "networks": null, "protocols": null, "max_bitrate_kbit": null,
        });
        assert_eq!(update(cleared), Ok(wanted));
        for wrong in [
            "--network 10.20.0.0/16 --any-network",
            "--protocol rtmp --any-protocol",
            "--protocol srt",
            "--network 10.20.1.0/16",
            "--max-kbit 100 --no-max-kbit",
            "--never-expires --expires 2027-01-31T18:00:00Z",
        ] {
            assert!(update(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_says_where_it_may_and_where_it_did_publish() {
        let mut key = created(None).stream_key;
        let cell = |key: &StreamKey, name| {
            let columns = StreamKey::COLUMNS.iter();
            let mut cells = columns.zip(key.cells());
            cells
                .find(|(column, _)| **column == name)
                .map(|(_, cell)| cell)
        };
        assert_eq!(cell(&key, "ONLY").as_deref(), Some("-"));
        assert_eq!(cell(&key, "LAST USED").as_deref(), Some("never"));
        key.bounds = StreamKeyBounds {
            networks: Some(vec!["10.20.0.0/16".parse().expect("parses")]),
            protocols: Some([PublishProtocol::Rtsps, PublishProtocol::Rtmps].into()),
            max_bitrate_kbit: Some(4000),
        };
        key.last_used = Some(StreamKeyUse {
            at: key.created_at,
            address: [192, 0, 2, 7].into(),
            protocol: PublishProtocol::Rtmps,
            node_id: NodeId::from(key.camera_id.uuid()),
        });
        let only = "from 10.20.0.0/16 by rtmps,rtsps up to 4000 kbit/s";
        assert_eq!(cell(&key, "ONLY").as_deref(), Some(only));
        let used = "2026-11-22T12:00:00Z rtmps from 192.0.2.7";
        assert_eq!(cell(&key, "LAST USED").as_deref(), Some(used));
    }
}
