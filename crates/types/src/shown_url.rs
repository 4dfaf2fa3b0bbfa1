//! Other people's URLs in logs and messages.

use std::fmt;

use url::Url;

/// Shows a URL without what may be secret in it: user name, password, and whatever stands behind a
/// `?`, of which only the sign is left.
#[derive(Debug, Clone, Copy)]
pub struct ShownUrl<'a>(pub &'a Url);

impl ShownUrl<'_> {
    /// The URL with only what may be shown.
    #[must_use]
    pub fn plain(&self) -> Url {
        let mut url = self.0.clone();
        // Both fail only for URLs that have no host, and then have neither.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        url
    }
}

impl fmt::Display for ShownUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.0.query().is_some() { "?…" } else { "" };
        write!(f, "{}{more}", self.plain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (url, shown) in [
            (
                "rtmp://push.example.com/live/cam?key=hwsk_1",
                "rtmp://push.example.com/live/cam?…",
            ),
            ("rtsp://root:p%40ss@cam:554/1", "rtsp://cam:554/1"),
            ("https://cam/live.flv?", "https://cam/live.flv?…"),
            ("rtmp://cam/live/1#x", "rtmp://cam/live/1"),
            ("rtmp://[::1]:1935/live/1", "rtmp://[::1]:1935/live/1"),
        ] {
            let url: Url = url.parse().expect("parses");
            assert_eq!(ShownUrl(&url).to_string(), shown);
        }
    }
}
