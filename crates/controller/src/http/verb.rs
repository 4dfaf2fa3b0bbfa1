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
/// Nouns stand behind these, not ids.
const NOT_NOUNS: [&str; 3] = ["", "/v1", "/edge/v1"];

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

/// Only below a noun: `/v1/cameras:bulk_create` is a path of its own. What stands before the verb
/// need not be an id, so that what is none is not found rather than not allowed.
fn inner_path(path: &str) -> Option<String> {
    let (parent, last) = path.rsplit_once('/')?;
    let (id, verb) = last.rsplit_once(':')?;
    let is_verb = !verb.is_empty() && verb.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let is_below = !id.is_empty() && !NOT_NOUNS.contains(&parent);
    (is_below && is_verb).then(|| format!("{parent}/{id}{INNER}{verb}"))
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
        for (public, inner) in [
            ("/v1/auth/oidc/corp:begin", "/v1/auth/oidc/corp/~begin"),
            (
                "/v1/signing_keys/0123456789abcD-_:revoke",
                "/v1/signing_keys/0123456789abcD-_/~revoke",
            ),
            ("/v1/x/%C2%84:b", "/v1/x/%C2%84/~b"),
            ("/v1/x/a:b:c", "/v1/x/a:b/~c"),
        ] {
            assert_eq!(split_path(public), inner);
        }
        for same in [
            "/",
            "/:a",
            "/v1/signing_keys:rotate",
            "/v1/auth:sign_in",
            "/v1/auth/oidc/:begin",
            "/v1/cameras:bulk_create",
            "/edge/v1/lease:renew",
            "/v1/x/a:",
            "/v1/x/a:B",
            &format!("/v1/x/{ID}"),
        ] {
            assert_eq!(split_path(same), same);
        }
    }

    #[test]
    fn the_inner_form_is_not_public() {
        assert_eq!(split_path("/v1/stream_keys/skey_1/~rotate"), "/~/~");
    }
}
