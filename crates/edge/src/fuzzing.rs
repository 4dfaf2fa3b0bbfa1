//! For `crates/fuzz`, which is built with `--cfg fuzzing`: what strangers feed to this crate, as
//! functions of text. Nobody else sees it, and nothing else here knows of it.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use headworks_rtsp::server::Asked;
use headworks_types::CameraId;
use url::Url;

pub use crate::access::fuzzing::{Door, Opened, Signer};
pub use crate::relay::fuzzing as relay;
use crate::{http, outbound::Outbound, rtsp};

/// The token of a request for playback over HTTP, as it would be checked.
#[must_use]
pub fn http_token(uri: &str, authorization: &[u8]) -> Option<String> {
    let uri: Uri = uri.parse().ok()?;
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(authorization) {
        headers.insert(header::AUTHORIZATION, value);
    }
    http::token(&uri, &headers)
}

/// The camera and the token that a player names over RTSP.
#[must_use]
pub fn rtsp_asked(url: &str) -> Option<(Option<CameraId>, Option<String>)> {
    let asked = Asked {
        url: url.parse().ok()?,
        credentials: None,
    };
    Some((rtsp::camera(&asked), asked.secret("token")))
}

/// Whether an edge that was told nothing may connect to the address in a URL; none if it has none.
#[must_use]
pub fn may_connect(url: &Url) -> Option<(IpAddr, bool)> {
    let address: IpAddr = match url.host()? {
        url::Host::Ipv4(address) => address.into(),
        url::Host::Ipv6(address) => address.into(),
        url::Host::Domain(_) => return None,
    };
    let gate = Outbound::default().gate(&[]);
    Some((address, gate.check(url).is_ok()))
}
