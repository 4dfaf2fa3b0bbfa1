//! What a client asks for, and with which credentials.

use std::{borrow::Cow, fmt};

/// The parameters of a URL. They hold keys and tokens, so that `Debug` shows none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Query(String);

impl Query {
    /// Joins the parts that are there.
    fn of<const N: usize>(parts: [Option<&str>; N]) -> Self {
        let parts: Vec<_> = parts
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        Self(parts.join("&"))
    }

    /// As it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first parameter of this name, with `%xx` decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == name).then(|| decode(value))
        })
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "…" })
    }
}

/// A stream on a server. Clients put the query behind the name, behind the application, or into
/// the `tcUrl` only; it is the same here, and the first of these counts first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The application: the path of the URL up to the name, without slashes around it.
    pub app: String,
    /// The stream's name.
    pub name: String,
    /// Parameters from all three places.
    pub query: Query,
}

impl Target {
    pub(crate) fn new(app: &str, name: &str, tc_url: &str) -> Self {
        let (app, app_query) = split(app);
        let (name, name_query) = split(name);
        // Where the application has a query, the tcUrl has the same one.
        let tc_query = split(tc_url).1.filter(|_| app_query.is_none());
        Self {
            app: app.trim_matches('/').to_owned(),
            name: name.trim_matches('/').to_owned(),
            query: Query::of([name_query, app_query, tc_query]),
        }
    }
}

/// Cuts the query off.
pub(crate) fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (text, None),
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |index: usize| char::from(*after.get(index)?).to_digit(16);
        let escaped = if first == b'%' {
            digit(0).zip(digit(1))
        } else {
            None
        };
        match escaped {
            Some((high, low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_key_is_found_wherever_clients_put_it() {
        for (app, name, tc_url) in [
            ("live", "cam?key=a%2Fb", "rtmp://host/live"),
            ("live?key=a%2Fb", "cam", "rtmp://host/live?key=a%2Fb"),
            ("live/", "/cam", "rtmp://host/live?key=a%2Fb"),
            ("live?key=second", "cam?x=1&key=a/b", ""),
        ] {
            let target = Target::new(app, name, tc_url);
            assert_eq!((&*target.app, &*target.name), ("live", "cam"));
            assert_eq!(target.query.parameter("key").as_deref(), Some("a/b"));
            assert_eq!(target.query.parameter("token"), None);
            assert!(!format!("{target:?}").contains("a%2Fb"));
        }
    }

    proptest! {
        #[test]
        fn any_text_will_do(app: String, name: String, tc_url in "[a-z%?&=0-9]{0,30}") {
            let target = Target::new(&app, &name, &tc_url);
            let _ = target.query.parameter("a");
            let _ = decode(&tc_url);
        }
    }
}
