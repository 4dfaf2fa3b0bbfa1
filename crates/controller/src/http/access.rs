//! `/v1/access`.

use std::net::IpAddr;

use axum::Json;
use chrono::{DateTime, Utc};
use headworks_types::{AccessExplanation, Action, ApiKeyId, CameraId, Principal, Problem, UserId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    error::{Refusal, Result},
    extract::Query,
};
use crate::{
    app::{
        Caller,
        explain::{self, Ask},
    },
    state::State,
};

/// What is to be explained.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccessExplainQuery {
    /// Who: a user. Either this or `api_key`.
    user: Option<UserId>,
    /// Who: an API key.
    api_key: Option<ApiKeyId>,
    /// With which camera.
    camera: CameraId,
    /// What.
    action: Action,
    /// From where; as from an address that nobody knows if absent.
    #[param(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// When; now if absent.
    at: Option<DateTime<Utc>>,
}

/// Explain who may do what
///
/// Whether the user or key may do this with the camera, in words, and every grant that is about it.
/// Needs `user.manage` on the project of the user or key, and on the camera's.
#[utoipa::path(
    get, path = "/v1/access:explain", operation_id = "access_explain", tag = "access",
    params(AccessExplainQuery),
    responses(
        (status = 200, description = "The answer and why.", body = AccessExplanation),
        (status = 404, description = "A problem (RFC 9457): no such user, key or camera.",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn access_explain(
    state: State,
    caller: Caller,
    Query(query): Query<AccessExplainQuery>,
) -> Result<Json<AccessExplanation>> {
    let principal = match (query.user, query.api_key) {
        (Some(id), None) => Principal::User { id },
        (None, Some(id)) => Principal::ApiKey { id },
        _ => return Err(Refusal::parameter("user", "either `user` or `api_key`")),
    };
    let ask = Ask {
        principal,
        camera: query.camera,
        action: query.action,
        address: query.address,
        at: query.at,
    };
    Ok(Json(explain::access_explain(&state, &caller, ask).await?))
}
