//! What the description says beyond the single routes: title, sign-in, and what is the same for
//! every operation.

use utoipa::openapi::{
    Components, Content, Info, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder,
    path::{Operation, ParameterBuilder, ParameterIn},
    schema::{ObjectBuilder, Type},
    security::{
        ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
    },
};
use utoipa::{PartialSchema, ToSchema};

use super::verb;
use headworks_types::{LiveFile, Problem, ProblemCode, RoleId};

/// Completes the description of the API for operators and programs.
pub(crate) fn describe_api(mut api: OpenApi) -> OpenApi {
    api.info = info(
        "Headworks",
        "Control plane for live video. Programs send an API key as bearer token, people the access \
         token that `auth_sign_in` gives them. Lists are pages: \
         ask again with `page_token` while there is a `next_page_token`. Every POST but those of \
         signing in and out takes an `Idempotency-Key`: within 24 hours the same request with the same key gets the same \
         answer and has no second effect. Errors are problem+json (RFC 9457) with a stable `code`.",
    );
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key, `hwak_…`, or an access token."))
        .build();
    complete(&mut api, "api_key", SecurityScheme::Http(bearer));
    // They stand in parameters only, which bring no schemas.
    let role = (RoleId::name().into_owned(), RoleId::schema());
    let file = (LiveFile::name().into_owned(), LiveFile::schema());
    let components = api.components.get_or_insert_default();
    components.schemas.extend([role, file]);
    let token = ApiKeyValue::with_description(
        "token",
        "A playback token, as `playback_token_issue` and `camera_playback` give it; or as bearer token.",
    );
    let token = SecurityScheme::ApiKey(ApiKey::Query(token));
    components.add_security_scheme("playback_token", token);
    api
}

/// Completes the description of the edges' API.
pub(crate) fn describe_edge_api(mut api: OpenApi) -> OpenApi {
    api.info = info(
        "Headworks, for edges",
        "What edges ask controllers, on a listener of its own (`controller.edge_listen`). An \
         edge joins with a join token and gets a certificate, which it shows in every TLS \
         handshake from then on.",
    );
    let mutual_tls = SecurityScheme::MutualTls {
        description: Some("A node's certificate.".to_owned()),
        deprecated: None,
        extensions: None,
    };
    complete(&mut api, "node_certificate", mutual_tls);
    api
}

fn info(title: &str, description: &str) -> Info {
    let mut info = Info::new(title, "v1");
    info.description = Some(description.to_owned());
    info
}

fn complete(api: &mut OpenApi, scheme: &str, how: SecurityScheme) {
    verb::join(&mut api.paths);
    let components = api.components.get_or_insert_with(Components::new);
    components.add_security_scheme(scheme, how);
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    components.schemas.extend(schemas);
    components.responses.extend(problems());
    let key: [&str; 0] = [];
    api.security = Some(vec![SecurityRequirement::new(scheme, key)]);
    for item in api.paths.paths.values_mut() {
        if let Some(operation) = &mut item.post
            && scheme == "api_key"
            && operation.tags.as_deref() != Some(&["auth".to_owned()])
        {
            take_idempotency_key(operation);
        }
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                refuse_alike(operation, method);
            }
        }
    }
}

/// Whatever an operation takes may be wrong: each refusal that follows from that is documented.
fn refuse_alike(operation: &mut Operation, method: &str) {
    for code in refusals(operation, method) {
        let problem = Ref::from_response_name(code.to_string());
        let responses = &mut operation.responses.responses;
        responses
            .entry(code.status().to_string())
            .or_insert(problem.into());
    }
}

/// The refusals that [`refuse_alike`] speaks of.
fn problems() -> impl Iterator<Item = (String, RefOr<Response>)> {
    ProblemCode::ALL.iter().map(|code| {
        let problem = ResponseBuilder::new()
            .description(format!("A problem (RFC 9457): {}.", code.title()))
            .content(
                "application/problem+json",
                Content::new(Some(Ref::from_schema_name(Problem::name()))),
            )
            .build();
        (code.to_string(), problem.into())
    })
}

/// One code for each status that there is beside success.
fn refusals(operation: &Operation, method: &str) -> Vec<ProblemCode> {
    let parameters = || {
        let all = operation.parameters.iter().flatten();
        all.filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
    };
    let takes = |place: &ParameterIn| parameters().any(|of| of.parameter_in == *place);
    let writes = method != "get";
    let reads_body = operation.request_body.is_some() || method == "post";
    let is_public = operation
        .security
        .as_ref()
        .is_some_and(|of| of.iter().all(is_empty));
    let mut codes = vec![
        ProblemCode::TooManyRequests,
        ProblemCode::Internal,
        ProblemCode::Unavailable,
    ];
    if writes || !is_public {
        codes.extend([ProblemCode::Unauthenticated, ProblemCode::Forbidden]);
    }
    if reads_body || takes(&ParameterIn::Query) || takes(&ParameterIn::Header) {
        codes.push(ProblemCode::Malformed);
    }
    if reads_body || takes(&ParameterIn::Path) {
        codes.push(ProblemCode::NotFound);
    }
    if reads_body {
        codes.extend([
            ProblemCode::TooLarge,
            ProblemCode::UnsupportedMediaType,
            ProblemCode::Invalid,
        ]);
    }
    if writes {
        codes.push(ProblemCode::Conflict);
    }
    if parameters().any(|parameter| parameter.name == "If-Match") {
        codes.push(ProblemCode::PreconditionFailed);
    }
    codes
}

/// Whether nothing is asked for.
fn is_empty(requirement: &SecurityRequirement) -> bool {
    *requirement == SecurityRequirement::default()
}

fn take_idempotency_key(operation: &mut Operation) {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255));
    let parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes a repetition of the request harmless for 24 hours.",
        ))
        .schema(Some(text))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(parameter.into());
}
