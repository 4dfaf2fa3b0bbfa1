//! RTMP URLs, as the client takes them apart.

use std::fmt;

/// What an RTMP server is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain TCP.
    Rtmp,
    /// TLS.
    Rtmps,
}

impl Scheme {
    /// As in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Rtmp => 1935,
            Self::Rtmps => 443,
        }
    }
}

/// Where a stream is. Its name is often a secret, and its query as well: `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port, the scheme's own if none was given.
    pub port: u16,
    /// The application: one or more segments of the path, and sometimes a query.
    pub app: String,
    /// The stream's name, with its query.
    pub name: String,
}

/// Why a URL cannot be used. It does not contain the URL, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It begins with something else.
    #[error("the URL must begin with rtmp:// or rtmps://")]
    Scheme,
    /// There is no host, or it has characters that no host has.
    #[error("the URL has no usable host")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the URL's port must be a number from 1 to 65535")]
    Port,
    /// There is only one segment, or none.
    #[error("the URL needs an application and a stream name: rtmp://host/app/name")]
    Name,
    /// It is too long, or has a space or a control character in it.
    #[error("the URL has over {MAX_LENGTH} characters, or spaces or control characters in it")]
    Characters,
}

/// More than any server takes, and far from the limits of AMF.
const MAX_LENGTH: usize = 8192;

impl Url {
    /// Takes `rtmp[s]://[user@]host[:port]/app/name[?query]` apart. The name is the last segment
    /// before the query. With one segment before the query, as in `rtmp://host/live?key=…/name`,
    /// the name is the last segment of the query. A user in the URL is left out: how servers ask for one
    /// differs, and what they want is mostly in the query.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, host, port, path) = parts(url)?;
        let (before, query) = crate::target::split(path);
        let (app, name) = match (before.rsplit_once('/'), query) {
            (Some((app, name)), _) if !name.is_empty() && !app.is_empty() => {
                (app, &path[app.len() + 1..])
            }
            (_, Some(_)) => path.rsplit_once('/').ok_or(UrlError::Name)?,
            _ => return Err(UrlError::Name),
        };
        Self::new(scheme, host, port, app, name)
    }

    /// From the two fields that encoders have: a server's URL, and a key or name that is sent as
    /// it is.
    pub fn with_name(server: &str, name: &str) -> Result<Self, UrlError> {
        let (scheme, host, port, app) = parts(server)?;
        Self::new(scheme, host, port, app, name)
    }

    fn new(scheme: Scheme, host: &str, port: u16, app: &str, name: &str) -> Result<Self, UrlError> {
        let app = app.trim_matches('/');
        if app.is_empty() || name.is_empty() {
            return Err(UrlError::Name);
        }
        if name.len() > MAX_LENGTH || has_blank(name) {
            return Err(UrlError::Characters);
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
            app: app.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The URL without the name, as `connect` has it.
    #[must_use]
    pub fn tc_url(&self) -> String {
        format!("{}/{}", self.origin(), self.app)
    }

    fn origin(&self) -> String {
        let scheme = self.scheme.as_str();
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == self.scheme.default_port() {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{}", self.port)
        }
    }

    /// The name without its query.
    pub(crate) fn bare_name(&self) -> &str {
        crate::target::split(&self.name).0
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = crate::target::split(&self.app).0;
        write!(f, "{}/{app}/…", self.origin())
    }
}

/// Scheme, host, port, and the path without the slash before it.
fn parts(url: &str) -> Result<(Scheme, &str, u16, &str), UrlError> {
    if url.len() > MAX_LENGTH || has_blank(url) {
        return Err(UrlError::Characters);
    }
    let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
    let scheme = [Scheme::Rtmp, Scheme::Rtmps]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))
        .ok_or(UrlError::Scheme)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = authority
        .rsplit_once('@')
        .map_or(authority, |(_, address)| address);
    let (host, port) = match address.strip_prefix('[') {
        Some(v6) => v6.split_once(']').ok_or(UrlError::Host)?,
        None => address
            .find(':')
            .map_or((address, ""), |colon| address.split_at(colon)),
    };
    let is_usable = |c: char| c.is_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || !host.chars().all(is_usable) {
        return Err(UrlError::Host);
    }
    let port = match port {
        "" => scheme.default_port(),
        port => {
            let digits = port.strip_prefix(':').ok_or(UrlError::Host)?;
            let port = digits.parse().map_err(|_| UrlError::Port)?;
            if port == 0 {
                return Err(UrlError::Port);
            }
            port
        }
    };
    Ok((scheme, host, port, path.trim_start_matches('/')))
}

fn has_blank(text: &str) -> bool {
    text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_of_the_field() {
        for (url, tc_url, name) in [
            ("rtmp://host/live/cam", "rtmp://host/live", "cam"),
            (
                "rtmp://push.example.com/live/stream?auth_key=17-0-0-ab/cd",
                "rtmp://push.example.com/live",
                "stream?auth_key=17-0-0-ab/cd",
            ),
            (
                "rtmp://h:1935/live/s?txSecret=a&txTime=b",
                "rtmp://h/live",
                "s?txSecret=a&txTime=b",
            ),
            ("RTMPS://h:443/a/b/c", "rtmps://h/a/b", "c"),
            ("rtmps://h:1935/a/b", "rtmps://h:1935/a", "b"),
            (
                "rtmp://[::1]:19350//live/cam",
                "rtmp://[::1]:19350/live",
                "cam",
            ),
            ("rtmp://user:p@ss@h/live/cam", "rtmp://h/live", "cam"),
            ("rtmp://h/live?key=1/cam", "rtmp://h/live?key=1", "cam"),
            ("rtmp://h/live/?key=1/cam", "rtmp://h/live/?key=1", "cam"),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!((&*parsed.tc_url(), &*parsed.name), (tc_url, name), "{url}");
        }
        let obs = Url::with_name("rtmp://h/app/", "a/b?c=d").unwrap();
        assert_eq!((&*obs.tc_url(), &*obs.name), ("rtmp://h/app", "a/b?c=d"));
    }

    #[test]
    fn what_is_no_url_of_a_stream() {
        for (url, error) in [
            ("http://h/a/b", UrlError::Scheme),
            ("rtmp:/h/a/b", UrlError::Scheme),
            ("rtmp:///a/b", UrlError::Host),
            ("rtmp://h\u{301}x/a/b", UrlError::Host),
            ("rtmp://[::1/a/b", UrlError::Host),
            ("rtmp://h:0/a/b", UrlError::Port),
            ("rtmp://h:70000/a/b", UrlError::Port),
            ("rtmp://h/live", UrlError::Name),
            ("rtmp://h/live/", UrlError::Name),
            ("rtmp://h", UrlError::Name),
            ("rtmp://h/live?key=1", UrlError::Name),
            ("rtmp://h/a b/c", UrlError::Characters),
        ] {
            assert_eq!(Url::parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let url = Url::parse("rtmp://user:pw@h/live/secret?key=secret").unwrap();
        assert_eq!(format!("{url:?}"), "rtmp://h/live/…");
    }

    proptest! {
        #[test]
        fn any_text_will_do(rest in "[a-z:/@?&=%\\[\\]é.0-9]{0,60}", text: String) {
            let _ = Url::parse(&format!("rtmp://{rest}"));
            let _ = Url::parse(&text);
            let _ = Url::with_name(&format!("rtmp://{rest}"), &text);
        }
    }
}
