//! URLs and addresses that strangers write: of what they want to watch, of cameras that we shall
//! connect to, and of clients behind proxies.

use std::net::IpAddr;

use headworks_bootstrap::TrustedProxies;
use headworks_edge::fuzzing;
use headworks_types::{CameraSource, PullProtocol, ShownUrl, Validate, Violations};
use url::Url;

pub(crate) const WORDS: &[&str] = &[
    "http://",
    "https://",
    "rtsp://",
    "rtmps://",
    "token=",
    "?",
    "&",
    "%2e",
    "%00",
    "@",
    ":0",
    "#",
    "/live/",
    "cam_00000000000000000000000000000002",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "127.1",
    "0x7f000001",
    "2130706433",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "169.254.169.254",
    "{\"type\":\"pull\",\"url\":\"",
    "\",\"format\":\"hls\"",
    "\"}",
    "file",
    "path",
];

/// One line is the URL, the next one the header `Authorization`.
pub(crate) fn playback(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let url = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let authorization = lines.next().unwrap_or_default();
    let token = fuzzing::http_token(&url, authorization);
    if let Some(token) = token {
        assert!(token.len() <= url.len() + authorization.len(), "{token}");
    }
    if let Some((Some(camera), _)) = fuzzing::rtsp_asked(&url) {
        // As URLs are read: tabs and newlines are nothing (WHATWG URL §4.4).
        let read = url.replace(['\t', '\r', '\n'], "");
        assert!(read.contains(&camera.to_string()), "{url} is not {camera}");
    }
}

pub(crate) fn playback_seeds() -> Vec<Vec<u8>> {
    let lines = [
        "/v1/cam_00000000000000000000000000000002/live.flv?x=1&token=a.b.c\nBearer d.e.f",
        "rtsp://edge:8554/live/cam_00000000000000000000000000000002?token=a%2eb.c",
        "rtsp://edge/cam_00000000000000000000000000000002/?token=\nbasic eDp5",
    ];
    lines.map(|line| line.as_bytes().to_vec()).into()
}

/// A camera's source in JSON, or the URL alone.
pub(crate) fn camera(bytes: &[u8]) {
    let source = serde_json::from_slice::<CameraSource>(bytes)
        .ok()
        .or_else(|| {
            let url: Url = String::from_utf8_lossy(bytes).parse().ok()?;
            Some(CameraSource::pull(url))
        });
    let Some(source) = source else { return };
    let mut found = Violations::default();
    source.validate(&mut found);
    if !found.into_fields().is_empty() {
        return;
    }
    let text = serde_json::to_vec(&source).expect("serializes");
    assert_eq!(serde_json::from_slice(&text).ok().as_ref(), Some(&source));
    match source {
        CameraSource::Pull { url, format, .. } => {
            assert!(PullProtocol::new(&url, format).is_some(), "{url}");
            assert!(url.host().is_some() && url.port() != Some(0), "{url}");
            assert!(url.username().is_empty() && url.password().is_none());
            assert!(!ShownUrl(&url).to_string().contains('#'));
        }
        CameraSource::File { path } => {
            let leaves = path.split('/').any(|part| part == "..");
            assert!(!leaves && !path.starts_with('/'), "{path}");
        }
        CameraSource::Publish => {}
    }
}

pub(crate) fn camera_seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"type":"pull","url":"rtsp://cam:554/1?a=b","transport":"udp"}"#,
        r#"{"type":"pull","url":"https://cam/live","format":"hls","tls_verify":false}"#,
        r#"{"type":"file","path":"demo/gate.mp4"}"#,
        r#"{"type":"publish"}"#,
        "rtmp://[::1]:1935/live/1",
        "http://user:pw@cam/live.flv#x",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

/// Where an edge may be sent: never to itself, whatever an address looks like.
pub(crate) fn outbound(bytes: &[u8]) {
    let Ok(url) = Url::parse(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    let Some((address, may)) = fuzzing::may_connect(&url) else {
        return;
    };
    let itself = match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    };
    assert!(!(itself && may), "{url} leads to {address}");
}

pub(crate) fn outbound_seeds() -> Vec<Vec<u8>> {
    let urls = [
        "http://127.1/",
        "http://0x7f.1/",
        "https://[::ffff:169.254.169.254]:80/x",
        "http://[64:ff9b::7f00:1]/",
        "rtsp://192.168.1.10:554/1",
        "http://2130706433/",
        "http://[fe80::1]/",
    ];
    urls.map(|url| url.as_bytes().to_vec()).into()
}

/// The first line is who is connected; each other is one `X-Forwarded-For`.
pub(crate) fn forwarded(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let peer = lines.next().and_then(|line| str::from_utf8(line).ok());
    let peer = peer.and_then(|line| line.parse().ok());
    let peer: IpAddr = peer.unwrap_or([10, 0, 0, 1].into());
    let proxies: TrustedProxies =
        serde_json::from_value("10.0.0.0/8, 2001:db8::/32".into()).expect("parses");
    let client = proxies.client(peer, lines);
    assert_eq!(client, client.to_canonical());
    if !proxies.trust(peer.to_canonical()) {
        assert_eq!(client, peer.to_canonical(), "somebody else's word counted");
    }
}

pub(crate) fn forwarded_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "10.0.0.1\n203.0.113.9, 10.0.0.2",
        "192.0.2.1\n203.0.113.9",
        "2001:db8::1\n1.1.1.1, [2a00::1]:443\nunknown",
        "::ffff:10.0.0.1\n203.0.113.9:4711",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}
