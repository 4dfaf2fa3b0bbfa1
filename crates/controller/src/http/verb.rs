//! Verbs in paths: `POST /v1/stream_keys/{stream_key_id}:rotate`.
//!
//! The router cannot tell `{id}:rotate` from `{id}`: a parameter fills its whole segment. So such a
//! route is registered as `{id}/~rotate`. [`split`] rewrites requests from the public form to the
//! inner one before they are routed, and [`join`] rewrites the description back. The inner form is
//! not public: a request for it finds nothing.

use axum::{
    extract::Request,
    http::{Uri, uri::PathAndQuery},
};
use utoipa::openapi::Paths;

const INNER: &str = "/~";
/// What stands here is named by the configuration.
const NAMED: &str = "/v1/auth/oidc";

/// Makes `/noun/id:verb` to `/noun/id/~verb`, and `/noun/id/~verb` to what is nowhere.
pub(crate) fn split<B>(mut request: Request<B>) -> Request<B> {
    let path = request.uri().path();
    let inner = if path.contains(INNER) {
        Some("/~/~".to_owned())
    } else {
        inner_path(path)
    };
    if let Some(inner) = inner
        && let Some(uri) = with_path(request.uri(), &inner)
    {
        *request.uri_mut() = uri;
    }
    request
}

/// Makes the paths of a description public.
pub(crate) fn join(paths: &mut Paths) {
    paths.paths = std::mem::take(&mut paths.paths)
        .into_iter()
        .map(|(path, item)| (path.replace(INNER, ":"), item))
        .collect();
}

/// Only an id, or the name of a provider, has a verb rewritten: `/v1/cameras:bulk_create` is a path
/// of its own.
fn inner_path(path: &str) -> Option<String> {
    let (parent, last) = path.rsplit_once('/')?;
    let (id, verb) = last.split_once(':')?;
    let is_verb = !verb.is_empty() && verb.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let is_named = is_id(id) || (parent == NAMED && !id.is_empty());
    (is_named && is_verb).then(|| format!("{parent}/{id}{INNER}{verb}"))
}

fn is_id(text: &str) -> bool {
    text.split_once('_').is_some_and(|(prefix, number)| {
        !prefix.is_empty()
            && prefix.bytes().all(|b| b.is_ascii_lowercase())
            && number.len() == 32
            && number
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_path(uri: &str) -> String {
        let request = Request::builder().uri(uri).body(()).expect("is a request");
        split(request).uri().to_string()
    }

    const ID: &str = "skey_0123456789abcdef0123456789abcdef";

    #[test]
    fn verbs_of_ids_become_segments() {
        assert_eq!(
            split_path(&format!("/v1/stream_keys/{ID}:rotate?a=b")),
            format!("/v1/stream_keys/{ID}/~rotate?a=b")
        );
        assert_eq!(
            split_path("/v1/auth/oidc/corp:begin"),
            "/v1/auth/oidc/corp/~begin"
        );
        for same in [
            "/",
            "/v1/auth:sign_in",
            "/v1/auth/oidc/:begin",
            "/v1/cameras:bulk_create",
            "/v1/stream_keys:bulk_create",
            "/v1/x/a:b",
            "/v1/x/skey_1:b",
            &format!("/v1/x/{ID}"),
            &format!("/v1/x/{ID}:"),
            &format!("/v1/x/{ID}0:b"),
            &format!("/v1/x/_{ID}:b"),
            &format!("/v1/x/{}:b", ID.to_uppercase()),
        ] {
            assert_eq!(split_path(same), same);
        }
    }

    #[test]
    fn the_inner_form_is_not_public() {
        assert_eq!(split_path("/v1/stream_keys/skey_1/~rotate"), "/~/~");
    }
}
