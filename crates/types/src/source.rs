//! Where a camera's media comes from.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::{Validate, Violations};

/// Where the media comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CameraSource {
    /// We connect to the camera, or to somebody else's server.
    Pull {
        /// `rtsp`, `rtsps`, `rtmp`, `rtmps`, `http` or `https`, without user name and password.
        /// Everybody who sees the camera sees the whole URL, also what stands behind a `?`:
        /// passwords belong into `credentials`.
        url: Url,
        /// How RTP travels; means something for RTSP only.
        #[serde(default)]
        transport: Transport,
        /// What comes over HTTP. Found out from the path if absent: `….flv` or `….m3u8`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        format: Option<PullFormat>,
        /// False takes any certificate, such as the self-signed ones that cameras make: then
        /// nobody knows who is at the other end. Default true.
        #[serde(default = "yes")]
        tls_verify: bool,
    },
    /// Somebody connects to us and publishes with a stream key.
    Publish,
    /// A file, or all files of a folder in the order of their names, played in a loop.
    File {
        /// Path below the media directory of the edge, which its operator sets (`edge.pull.files`):
        /// `demo/gate.mp4`.
        path: String,
    },
}

/// How RTP travels from the camera.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Interleaved in the RTSP connection.
    #[default]
    Tcp,
    /// In UDP packets of its own.
    Udp,
}

/// What comes over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PullFormat {
    /// One FLV stream without end.
    Flv,
    /// HLS (RFC 8216): a playlist of segments.
    Hls,
}

/// How a pulled camera is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PullProtocol {
    /// RTSP, or RTSP over TLS.
    Rtsp,
    /// RTMP, or RTMP over TLS.
    Rtmp,
    /// FLV over HTTP or HTTPS.
    HttpFlv,
    /// HLS over HTTP or HTTPS.
    Hls,
}

impl PullProtocol {
    /// Follows from the URL, and for HTTP from the format; none if it cannot be told.
    #[must_use]
    pub fn new(url: &Url, format: Option<PullFormat>) -> Option<Self> {
        match url.scheme() {
            "rtsp" | "rtsps" => Some(Self::Rtsp),
            "rtmp" | "rtmps" => Some(Self::Rtmp),
            "http" | "https" => match format.or_else(|| PullFormat::of_path(url))? {
                PullFormat::Flv => Some(Self::HttpFlv),
                PullFormat::Hls => Some(Self::Hls),
            },
            _ => None,
        }
    }
}

impl PullFormat {
    fn of_path(url: &Url) -> Option<Self> {
        let (_, extension) = url.path().rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "flv" => Some(Self::Flv),
            "m3u8" => Some(Self::Hls),
            _ => None,
        }
    }
}

impl CameraSource {
    /// Pulled from `url`, everything else as usual.
    #[must_use]
    pub fn pull(url: Url) -> Self {
        Self::Pull {
            url,
            transport: Transport::default(),
            format: None,
            tls_verify: true,
        }
    }

    /// True if what is connected to may ask for a user name and a password.
    #[must_use]
    pub fn takes_credentials(&self) -> bool {
        matches!(self, Self::Pull { .. })
    }
}

impl Validate for CameraSource {
    fn validate(&self, found: &mut Violations) {
        match self {
            Self::Pull {
                url,
                transport,
                format,
                tls_verify,
            } => {
                url_validate(url, found);
                options_validate(url, *transport, *format, *tls_verify, found);
            }
            Self::Publish => {}
            Self::File { path } => path_validate(path, found),
        }
    }
}

fn url_validate(url: &Url, found: &mut Violations) {
    let scheme = url.scheme();
    let known = matches!(
        scheme,
        "rtsp" | "rtsps" | "rtmp" | "rtmps" | "http" | "https"
    );
    if !known {
        found.report(
            "url",
            format!(
                "`{scheme}` is not supported; use rtsp://, rtsps://, rtmp://, rtmps://, http:// \
                 or https://"
            ),
        );
    }
    server_validate(url, found);
    if names_no_stream(url) {
        found.report("url", "names no stream; use rtmp://host/app/stream");
    }
}

/// The address of anybody that we connect to, whatever is spoken there.
pub(crate) fn server_validate(url: &Url, found: &mut Violations) {
    if url.host_str().is_none_or(str::is_empty) {
        found.report("url", "has no host");
    }
    if url.port() == Some(0) {
        found.report("url", "nothing listens on port 0");
    }
    if !url.username().is_empty() || url.password().is_some() {
        found.report(
            "url",
            "must have no user name and password; put them into `credentials`",
        );
    }
    if url.as_str().len() > 2048 {
        found.report("url", "must have at most 2048 characters");
    }
    if url.fragment().is_some() {
        found.report(
            "url",
            "must have no `#`, which no server gets to see; write %23 if it is part of a name",
        );
    }
}

/// RTMP always asks for a stream.
pub(crate) fn names_no_stream(url: &Url) -> bool {
    matches!(url.scheme(), "rtmp" | "rtmps") && url.path().trim_matches('/').is_empty()
}

fn options_validate(
    url: &Url,
    transport: Transport,
    format: Option<PullFormat>,
    tls_verify: bool,
    found: &mut Violations,
) {
    let scheme = url.scheme();
    transport_validate(scheme, transport, found);
    let http = matches!(scheme, "http" | "https");
    if http && PullProtocol::new(url, format).is_none() {
        found.report(
            "format",
            "must be flv or hls, since the path ends in neither .flv nor .m3u8",
        );
    }
    if !http && format.is_some() {
        found.report("format", "only http:// and https:// have it; leave it out");
    }
    if !tls_verify && !matches!(scheme, "rtsps" | "rtmps" | "https") {
        found.report(
            "tls_verify",
            "only rtsps://, rtmps:// and https:// have it; leave it out",
        );
    }
}

pub(crate) fn transport_validate(scheme: &str, transport: Transport, found: &mut Violations) {
    if transport == Transport::Udp {
        match scheme {
            "rtsp" => {}
            "rtsps" => found.report(
                "transport",
                "RTP over UDP would travel in the clear beside rtsps://; use tcp",
            ),
            _ => found.report("transport", "only rtsp:// has it; leave it out"),
        }
    }
}

/// Nothing that could lead out of the media directory; the edge checks links.
fn path_validate(path: &str, found: &mut Violations) {
    found.text("path", path, 1024);
    if path.starts_with('/') {
        found.report(
            "path",
            "must be relative; it stands below the edge's media directory",
        );
    } else if path
        .split('/')
        .any(|part| matches!(part, "" | "." | "..") || part.len() > 255)
        && !path.is_empty()
    {
        found.report(
            "path",
            "must consist of names of at most 255 bytes with one `/` between them, without `.` \
             and `..`",
        );
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn wrong(source: Value) -> Vec<String> {
        let source: CameraSource = serde_json::from_value(source).expect("parses");
        let mut found = Violations::default();
        source.validate(&mut found);
        let fields = found.into_fields().into_iter();
        fields
            .map(|field| format!("{}: {}", field.pointer, field.detail))
            .collect()
    }

    fn pull(url: &str) -> Value {
        json!({"type": "pull", "url": url})
    }

    fn with(url: &str, name: &str, value: Value) -> Value {
        let mut source = pull(url);
        source[name] = value;
        source
    }

    #[test]
    fn every_protocol_of_the_field_is_taken() {
        for source in [
            pull("rtsp://cam/1"),
            pull("rtsps://cam:322/1?channel=2"),
            pull("rtmp://server/live/gate"),
            pull("rtmps://server/gate"),
            pull("http://server/live/gate.flv?x=1"),
            pull("https://server/live/GATE.M3U8"),
            with("https://server/live", "format", json!("hls")),
            with("rtsp://cam/1", "transport", json!("udp")),
            with("rtmps://server/live/gate", "tls_verify", json!(false)),
            json!({"type": "publish"}),
            json!({"type": "file", "path": "demo"}),
            json!({"type": "file", "path": "demo/gate 1..2.mp4"}),
        ] {
            assert_eq!(wrong(source.clone()), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_way_out() {
        let cases = [
            (pull("srt://cam:9000"), "/url: `srt` is not supported"),
            (pull("rtsp:1"), "/url: has no host"),
            (pull("rtmp://server/"), "/url: names no stream"),
            (pull("rtmp://server"), "/url: names no stream"),
            (pull("https://u:p@server/a.flv"), "/url: must have no user"),
            (pull("rtsp://cam:0/1"), "/url: nothing listens on port 0"),
            (pull("rtsp://cam/1#2"), "/url: must have no `#`"),
            (pull("http://server/gate"), "/format: must be flv or hls"),
            (
                with("rtsp://cam/1", "format", json!("flv")),
                "/format: only http://",
            ),
            (
                with("rtmp://server/a", "transport", json!("udp")),
                "/transport: only rtsp://",
            ),
            (
                with("rtsps://cam/1", "transport", json!("udp")),
                "/transport: RTP over UDP",
            ),
            (
                with("rtsp://cam/1", "tls_verify", json!(false)),
                "/tls_verify: only rtsps://",
            ),
        ];
        for (source, expected) in cases {
            let found = wrong(source.clone());
            assert_eq!(found.len(), 1, "{source}: {found:?}");
            assert!(found[0].starts_with(expected), "{source}: {found:?}");
        }
    }

    #[test]
    fn the_protocol_follows_from_the_address() {
        let of = |url: &str, format| PullProtocol::new(&url.parse().expect("is a URL"), format);
        assert_eq!(of("rtsps://a/b.flv", None), Some(PullProtocol::Rtsp));
        assert_eq!(of("http://a/b.flv?c", None), Some(PullProtocol::HttpFlv));
        let named = of("http://a/b.flv", Some(PullFormat::Hls));
        assert_eq!(named, Some(PullProtocol::Hls), "what is said counts");
        assert_eq!(of("ftp://a/b.flv", Some(PullFormat::Flv)), None);
    }

    #[test]
    fn no_path_leads_out_of_the_media_directory() {
        for path in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "a/../..",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "a\0b",
            " a",
            "a\nb",
        ] {
            let source = json!({"type": "file", "path": path});
            let found = wrong(source);
            assert!(!found.is_empty(), "{path:?}");
            assert!(found.iter().all(|f| f.starts_with("/path: ")), "{found:?}");
        }
    }

    proptest! {
        #[test]
        fn a_path_that_is_taken_stays_below(path in "[a./ ]{1,12}") {
            let source = CameraSource::File { path: path.clone() };
            let mut found = Violations::default();
            source.validate(&mut found);
            if found.into_fields().is_empty() {
                let only_names = std::path::Path::new(&path)
                    .components()
                    .all(|part| matches!(part, std::path::Component::Normal(_)));
                prop_assert!(only_names, "{path}");
            }
        }

        #[test]
        fn arbitrary_addresses_never_panic(rest in ".{0,40}") {
            for scheme in ["rtsp://", "rtmp:", "https://", ""] {
                if let Ok(url) = format!("{scheme}{rest}").parse::<Url>() {
                    let _ = wrong(pull(url.as_str()));
                }
            }
        }
    }
}
