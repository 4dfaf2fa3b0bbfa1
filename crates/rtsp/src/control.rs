//! Which URL controls what (RFC 2326 appendix C.1.1).

use url::Url;

/// The URL of `control` in a description whose base is `base`.
///
/// Clients and cameras agree on joining the two texts, also where the base has a query
/// (`…?channel=1` and `trackID=0` make `…?channel=1/trackID=0`); RFC 3986 would drop the query.
pub(crate) fn resolve(base: &str, control: Option<&str>) -> String {
    let control = control.unwrap_or_default().trim();
    let root = base.trim_end_matches('/');
    match control {
        "" | "*" => base.to_owned(),
        absolute if absolute.contains("://") => absolute.to_owned(),
        rooted if rooted.starts_with('/') => format!("{}{rooted}", origin(base)),
        query if query.starts_with('?') => format!("{root}{query}"),
        relative => format!("{root}/{relative}"),
    }
}

/// The base of a description (appendix C.1.1): what the server says, if it makes sense, else the
/// URL that was asked for.
pub(crate) fn base(asked: &Url, told: Option<&str>) -> String {
    let told = told.map(str::trim).filter(|told| !told.is_empty());
    told.and_then(|told| {
        if told.contains("://") {
            return Some(told.to_owned());
        }
        asked.join(told).ok().map(|url| url.to_string())
    })
    .unwrap_or_else(|| asked.to_string())
}

/// `rtsp://host:port`.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?']);
    &url[..end.map_or(url.len(), |end| authority + end)]
}

/// Path and query, without slashes at their ends.
fn parts(url: &str) -> (&str, &str) {
    let rest = match url.find("://") {
        Some(_) => &url[origin(url).len()..],
        None => url,
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (path.trim_end_matches('/'), query.trim_end_matches('/'))
}

/// The path that stands for a whole presentation.
pub(crate) fn path(url: &str) -> &str {
    parts(url).0
}

/// The path of the presentation and the track that `url` means, if it means one of `controls`.
/// The control may stand at the end of the path or at the end of the query.
pub(crate) fn locate<'a>(url: &'a str, controls: &[String]) -> (&'a str, Option<usize>) {
    let (path, query) = parts(url);
    for (track, control) in controls.iter().enumerate() {
        let control = match control.contains("://") {
            // Absolute: its last part tells.
            true => parts(control).0.rsplit('/').next().unwrap_or_default(),
            false => control.trim_matches('/'),
        };
        if control.is_empty() || control == "*" {
            continue;
        }
        let before = |text: &'a str| text.strip_suffix(control)?.strip_suffix('/');
        if before(query).is_some() || query == control {
            return (path, Some(track));
        }
        if let Some(path) = before(path) {
            return (path, Some(track));
        }
    }
    (path, None)
}

/// `url` without what looks like a track's control (`trackID=1`, `streamid=0`) at its end.
pub(crate) fn without_track(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    let is_track = |last: &str| {
        last.split_once('=').is_some_and(|(word, number)| {
            !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
                && word.bytes().all(|b| b.is_ascii_alphabetic())
        })
    };
    match url.rsplit_once('/') {
        Some((before, last)) if is_track(last) => before,
        _ => url,
    }
}

#[cfg(test)]
mod tests;
