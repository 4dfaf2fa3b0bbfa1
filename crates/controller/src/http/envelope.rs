//! What every request goes through: a request id in and out, a span, a deadline, a net for panics,
//! the writing of problems, and the audit of refusals.

use std::{
    any::Any,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use headworks_bootstrap::visitors::Behind;
use headworks_types::{Problem, ProblemCode};
use tracing::Instrument;
use utoipa::openapi::OpenApi;
use uuid::Uuid;

use super::error::Refusal;
use crate::{
    app::{Origin, audit},
    state::State,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What stands around every request.
#[derive(Clone)]
pub(crate) struct Around {
    state: State,
    /// Ids of operations, by method and route.
    operations: Arc<HashMap<(Method, String), &'static str>>,
}

impl Around {
    /// `api` describes the routes as the router knows them. Call it once for each: the ids are kept for good.
    pub(crate) fn new(state: State, api: &OpenApi) -> Self {
        let mut operations = HashMap::new();
        for (path, item) in &api.paths.paths {
            for (method, operation) in [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ] {
                let id = operation.as_ref().and_then(|o| o.operation_id.clone());
                if let Some(id) = id {
                    operations.insert((method, path.clone()), &*id.leak());
                }
            }
        }
        Self {
            state,
            operations: Arc::new(operations),
        }
    }

    fn operation(&self, request: &Request) -> &'static str {
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map_or("", MatchedPath::as_str).to_owned();
        let key = (request.method().clone(), route);
        self.operations.get(&key).copied().unwrap_or("none")
    }
}

/// The last id in the path.
fn object(path: &str) -> Option<String> {
    let is_id = |part: &&str| {
        part.split_once('_').is_some_and(|(noun, number)| {
            let hex = |b: u8| b.is_ascii_hexdigit();
            !noun.is_empty() && number.len() == 32 && number.bytes().all(hex)
        })
    };
    let mut parts = path.rsplit('/');
    parts.find(is_id).map(str::to_owned)
}

/// True if it is there to change something of what people manage.
fn changes(method: &Method, path: &str) -> bool {
    path.starts_with("/v1/") && !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Where the credential comes from that the request shows, if it shows one. Those of edges are not
/// guessed, and their work must not stop for somebody who stands beside them.
fn guess(request: &Request, origin: &Origin) -> Option<IpAddr> {
    let is_shown = request.headers().contains_key(header::AUTHORIZATION);
    let is_edge = request.uri().path().starts_with("/edge/");
    origin.address.filter(|_| is_shown && !is_edge)
}

/// Counts the connection as the client's, if it comes through a proxy.
fn has_room(request: &Request, client: IpAddr) -> Result<(), Refusal> {
    let behind = request.extensions().get::<Option<Behind>>();
    match behind.and_then(Option::as_ref) {
        Some(behind) if !behind.is_of(client) => Err(Refusal::new(
            ProblemCode::TooManyRequests,
            "this address has as many connections as it may",
        )),
        _ => Ok(()),
    }
}

/// Runs the request inside its envelope.
pub(crate) async fn envelope(
    axum::extract::State(around): axum::extract::State<Around>,
    mut request: Request,
    next: Next,
) -> Response {
    let state = &around.state;
    let id = request_id(state, &request);
    let peer = request.extensions().get::<Option<SocketAddr>>().copied();
    let forwarded = request.headers().get_all(FORWARDED_FOR).iter();
    let forwarded = forwarded.map(HeaderValue::as_bytes);
    let proxies = &state.config.trusted_proxies;
    let origin = Origin {
        address: peer
            .flatten()
            .map(|peer| proxies.client(peer.ip(), forwarded)),
        request_id: id.clone(),
    };
    let path = request.uri().path();
    let audited = audit::Request::new(origin.clone(), around.operation(&request), object(path));
    let audited = Arc::new(audited.changing(changes(request.method(), path)));
    let meter = state.limits.meter();
    let guess = guess(&request, &origin);
    let welcome = match origin.address {
        Some(address) => has_room(&request, address).and_then(|()| meter.come_from(address)),
        None => Ok(()),
    };
    request.extensions_mut().insert(meter.clone());
    request.extensions_mut().insert(origin);
    // Without the query: nothing secret belongs there, but people put it there.
    let span = tracing::info_span!(
        "request",
        request.id = id,
        http.method = %request.method(),
        http.path = request.uri().path(),
    );
    let started = state.clock.monotonic();
    let answer = Arc::clone(&audited).scope(async {
        match welcome {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        }
    });
    let mut response = in_time(answer, state.config.request_timeout)
        .instrument(span.clone())
        .await;
    let mut problem = response.extensions_mut().remove::<Problem>();
    if let (Some(ProblemCode::Unauthenticated), Some(address)) =
        (problem.as_ref().map(|problem| problem.code), guess)
        && let Err(refusal) = meter.failed(address)
    {
        response = refusal.into_response();
        problem = response.extensions_mut().remove::<Problem>();
    }
    if let Some(record) = audited.outcome(problem.as_ref().map(|problem| problem.code)) {
        state.refusals.push(record);
    }
    if let Some(problem) = problem {
        write(&mut response, problem, &id);
    }
    meter.write(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let took = state.clock.monotonic() - started;
    span.in_scope(|| {
        tracing::debug!(
            http.status = response.status().as_u16(),
            took_ms = took.as_secs_f64() * 1000.0,
            "request done"
        );
    });
    response
}

/// The answer to a request whose handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(message, "request handler panicked");
    Refusal::new(
        ProblemCode::Internal,
        "something went wrong here; the logs say more",
    )
    .into_response()
}

/// The answer where no route is.
pub(crate) async fn no_route(request: Request) -> Refusal {
    Refusal::new(
        ProblemCode::NotFound,
        format!("there is nothing at {}", request.uri().path()),
    )
}

/// The answer where a route has no such method.
pub(crate) async fn no_method(request: Request) -> Refusal {
    Refusal::new(
        ProblemCode::MethodNotAllowed,
        format!(
            "{} is not allowed on {}",
            request.method(),
            request.uri().path()
        ),
    )
}

async fn in_time(answer: impl Future<Output = Response>, limit: Duration) -> Response {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| {
            tracing::warn!(?limit, "request took too long and was given up");
            Refusal::new(ProblemCode::Unavailable, "this took too long; try again").into_response()
        })
}

/// The client's id if it is a sane one, else a new one.
fn request_id(state: &State, request: &Request) -> String {
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=128).contains(&id.len()))
        .filter(|id| {
            id.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        })
        .map_or_else(
            || state.ids.next::<Uuid>().as_simple().to_string(),
            str::to_owned,
        )
}

fn write(response: &mut Response, mut problem: Problem, id: &str) {
    problem.request_id = Some(id.to_owned());
    match serde_json::to_vec(&problem) {
        Ok(json) => {
            let headers = response.headers_mut();
            let kind = HeaderValue::from_static("application/problem+json");
            headers.insert(header::CONTENT_TYPE, kind);
            headers.remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::from(json);
        }
        Err(error) => {
            tracing::error!(%error, "problem cannot be written");
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    async fn breaks() -> StatusCode {
        panic!("a bug with a secret in it")
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing() {
        let router = Router::new()
            .route("/", get(breaks))
            .layer(CatchPanicLayer::custom(panicked));
        let request = Request::builder().uri("/").body(Body::empty());
        let answer = router.oneshot(request.expect("is a request")).await;
        let answer = answer.expect("is answered");
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let problem = answer.extensions().get::<Problem>().expect("is a problem");
        assert_eq!(problem.code, ProblemCode::Internal);
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }

    #[tokio::test]
    async fn an_endless_handler_is_given_up() {
        let answer = in_time(std::future::pending(), Duration::from_millis(1)).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
