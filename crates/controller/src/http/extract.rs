//! What handlers take as arguments. Each refuses with a problem that says where the request is
//! wrong.
//!
//! `Caller` stands before everything that reads the request, so that nobody without a credential
//! learns anything, and nobody's large body is read.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{BytesRejection, FailedToBufferBody},
    },
    http::{HeaderMap, header, request::Parts},
};
use headworks_types::{Problem, ProblemCode, Validate, Violations, without_value};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::{
    IntoParams,
    openapi::{
        Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
    },
};

use super::{error::Refusal, limit::Meter};
use crate::{
    app::{Caller, Expected, Once, Origin, audit::identified},
    pointer::pointer,
    state::State,
};

/// The program or the person that asks. A handler without it is public.
impl FromRequestParts<State> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let credential = bearer(&parts.headers).ok_or_else(|| {
            Refusal::new(
                ProblemCode::Unauthenticated,
                "send an API key (`hwak_…`) or an access token as `Authorization: Bearer …`",
            )
        })?;
        let origin = origin(parts)?;
        // A token has dots, a key has none.
        let caller = if credential.contains('.') {
            Self::of_user(state, origin, credential).await?
        } else {
            Self::sign_in(state, origin, credential).await?
        };
        identified(&caller);
        if let Some(meter) = parts.extensions.get::<Meter>() {
            meter.spend(caller.identity.uuid())?;
        }
        Ok(caller)
    }
}

/// Where a request comes from, for handlers that are public.
impl FromRequestParts<State> for Origin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Refusal> {
        origin(parts)
    }
}

fn origin(parts: &Parts) -> Result<Origin, Refusal> {
    let origin = parts.extensions.get::<Origin>().cloned();
    origin.ok_or_else(|| Refusal::new(ProblemCode::Internal, "the request has no origin"))
}

/// The credential in `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(credential.trim())
}

/// The ids in the path. What is no id names nothing.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(ids)| Self(ids))
            .map_err(|error| Refusal::new(ProblemCode::NotFound, error.body_text()))
    }
}

/// The query of the URL.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<State> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Refusal> {
        let query = axum::extract::Query::try_from_uri(&parts.uri).map_err(|error| {
            let text = error.body_text();
            let text = text
                .strip_prefix("Failed to deserialize query string: ")
                .unwrap_or(&text);
            match text.split_once(": ") {
                Some((name, detail)) => Refusal::parameter(name, without_value(detail)),
                None => {
                    let words = without_value(text);
                    Refusal::new(ProblemCode::Malformed, format!("query: {words}"))
                }
            }
        })?;
        Ok(Self(query.0))
    }
}

/// A JSON body that has passed its own checks; also a merge patch (RFC 7396).
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + Validate> FromRequest<State> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let (_, bytes) = body(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A POST request: its body, and what makes it happen only once.
pub(crate) struct Post<T> {
    pub(crate) once: Once,
    pub(crate) body: T,
}

impl<T: DeserializeOwned + Validate> FromRequest<State> for Post<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let (parts, bytes) = body(request, state).await?;
        let once = match idempotency_key(&parts.headers)? {
            None => Once::default(),
            Some(key) => {
                let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
                let request = [parts.method.as_str().as_bytes(), path.as_bytes(), &bytes];
                Once::new(key, state.keys.fingerprint(&request))
            }
        };
        let body = parse(&bytes)?;
        Ok(Self { once, body })
    }
}

/// The body of a POST that says everything by its path: nothing, or `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl Validate for Nothing {
    fn validate(&self, _: &mut Violations) {}
}

/// Which versions the caller wants to change, from `If-Match`.
#[derive(Debug, Clone, Default)]
pub(crate) struct IfMatch(pub(crate) Expected);

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let tags = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r#"^(\*|"[0-9]{1,18}"(, *"[0-9]{1,18}")*)$"#));
        let parameter = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The `ETag` of what the client has seen: refused with 412 if it has changed since.",
            ))
            .schema(Some(tags))
            .build();
        vec![parameter]
    }
}

impl FromRequestParts<State> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Refusal> {
        let mut tags = Vec::new();
        for value in parts.headers.get_all(header::IF_MATCH) {
            let text = value.to_str().unwrap_or_default().trim();
            if text == "*" {
                return Ok(Self::default());
            }
            for tag in text.split(',') {
                tags.push(etag(tag.trim()).ok_or_else(|| {
                    Refusal::new(
                        ProblemCode::Malformed,
                        "header If-Match: must be an ETag of ours, like `\"3\"`",
                    )
                })?);
            }
        }
        let asked = parts.headers.contains_key(header::IF_MATCH);
        Ok(Self(Expected(asked.then_some(tags))))
    }
}

/// The version in an entity tag; a foreign or weak tag is a version that never was (RFC 9110
/// §13.1.1 asks for the strong comparison).
fn etag(tag: &str) -> Option<i64> {
    let (weak, tag) = match tag.strip_prefix("W/") {
        Some(rest) => (true, rest),
        None => (false, tag),
    };
    let opaque = tag.strip_prefix('"')?.strip_suffix('"')?;
    if opaque.contains('"') {
        return None;
    }
    Some(match opaque.parse() {
        Ok(version) if !weak => version,
        _ => -1,
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()))
        .map(|key| Some(key.to_owned()))
        .ok_or_else(|| {
            Refusal::new(
                ProblemCode::Malformed,
                "header Idempotency-Key: must have 1 to 255 visible ASCII characters",
            )
        })
}

async fn body(request: Request, state: &State) -> Result<(Parts, Bytes), Refusal> {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts.clone(), body);
    let bytes = Bytes::from_request(request, state)
        .await
        .map_err(|error| match error {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                Refusal::new(ProblemCode::TooLarge, "the body is larger than this takes")
            }
            other => Refusal::new(ProblemCode::Malformed, other.body_text()),
        })?;
    if !bytes.is_empty() && !is_json(&parts.headers) {
        return Err(Refusal::new(
            ProblemCode::UnsupportedMediaType,
            "send the body with `Content-Type: application/json`",
        ));
    }
    Ok((parts, bytes))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|kind| kind.trim().to_ascii_lowercase());
    matches!(
        kind.as_deref(),
        Some("application/json" | "application/merge-patch+json")
    )
}

/// No body at all is an empty object, so that the missing fields are named.
fn parse<T: DeserializeOwned + Validate>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        // serde would fill the fields from an array in their order.
        return Err(Refusal::body(
            String::new(),
            "the body must be a JSON object".to_owned(),
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let words = without_value(&error.inner().to_string());
        Refusal::body(pointer(error.path()), words)
    })?;
    json.end()
        .map_err(|error| Refusal::body(String::new(), error.to_string()))?;
    let mut found = Violations::default();
    value.validate(&mut found);
    let fields = found.into_fields();
    if fields.is_empty() {
        return Ok(value);
    }
    let problem = Problem::new(ProblemCode::Invalid).with_detail("the request is not valid");
    Err(problem.with_errors(fields).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_versions() {
        assert_eq!(etag("\"3\""), Some(3));
        assert_eq!(etag("W/\"3\""), Some(-1), "weak tags never match");
        assert_eq!(etag("\"abc\""), Some(-1));
        for bad in ["3", "", "\"3", "\"3\"4\"", "W/3"] {
            assert_eq!(etag(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_bearer_credentials_count() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        headers.insert("authorization", "bearer  abc".parse().expect("a value"));
        assert_eq!(bearer(&headers), Some("abc"));
        headers.insert("authorization", "Basic abc".parse().expect("a value"));
        assert_eq!(bearer(&headers), None);
    }
}
