//! What the description says beyond the single routes: title, sign-in, and what is the same for
//! every operation.

use utoipa::openapi::{
    Components, Content, Info, OpenApi, Ref, Required, ResponseBuilder,
    path::{Operation, ParameterBuilder, ParameterIn},
    schema::{ObjectBuilder, Type},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa::{PartialSchema, ToSchema};

use super::verb;
use headworks_types::Problem;

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
    complete(
        &mut api,
        "api_key",
        "An API key, `hwak_…`, or an access token.",
    );
    api
}

/// Completes the description of the edges' API.
pub(crate) fn describe_edge_api(mut api: OpenApi) -> OpenApi {
    api.info = info(
        "Headworks, for edges",
        "What edges ask controllers. An edge joins with a join token and gets a node key, which \
         it sends as bearer token from then on.",
    );
    complete(&mut api, "node_key", "A node key: `hwnk_…`.");
    api
}

fn info(title: &str, description: &str) -> Info {
    let mut info = Info::new(title, "v1");
    info.description = Some(description.to_owned());
    info
}

fn complete(api: &mut OpenApi, scheme: &str, description: &str) {
    verb::join(&mut api.paths);
    let components = api.components.get_or_insert_with(Components::new);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(description))
        .build();
    components.add_security_scheme(scheme, SecurityScheme::Http(bearer));
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    components.schemas.extend(schemas);
    let key: [&str; 0] = [];
    api.security = Some(vec![SecurityRequirement::new(scheme, key)]);
    for item in api.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            refuse_alike(operation);
        }
        if let Some(operation) = &mut item.post
            && scheme == "api_key"
            && operation.tags.as_deref() != Some(&["auth".to_owned()])
        {
            take_idempotency_key(operation);
        }
    }
}

/// Every operation may answer with a problem.
fn refuse_alike(operation: &mut Operation) {
    let problem = ResponseBuilder::new()
        .description("Refused or failed: a problem (RFC 9457).")
        .content(
            "application/problem+json",
            Content::new(Some(Ref::from_schema_name(Problem::name()))),
        )
        .build();
    let responses = &mut operation.responses.responses;
    responses
        .entry("default".to_owned())
        .or_insert(problem.into());
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
