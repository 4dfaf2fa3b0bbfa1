//! The edges' API (`/edge/v1`).

mod watch;

use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequestParts},
    http::{StatusCode, request::Parts},
};
use headworks_types::{
    ProblemCode,
    edge::{
        AuditDelivery, CertificateRequest, JoinRequest, JoinResponse, LeaseGrant, LeaseRenewal,
        NodeCertificate, NodeSpec, SessionReceipt, SessionReport,
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answer::Created,
    error::{Refusal, Result},
    extract,
    server::PeerCertificate,
};
use crate::{
    app::{
        self,
        audit::{edge_audit_deliver, identified_node},
        edge::NodeCaller,
    },
    pki::Fingerprint,
    state::State,
};

/// Every slot of a node, or every viewer, is reported at once, and there may be thousands.
const REPORT_BODY_LIMIT: usize = 32 << 20;

/// Every route of it.
pub(crate) fn router() -> OpenApiRouter<State> {
    let large = OpenApiRouter::new()
        .routes(routes!(lease_renew))
        .routes(routes!(session_report))
        .layer(DefaultBodyLimit::max(REPORT_BODY_LIMIT));
    OpenApiRouter::new()
        .routes(routes!(node_join))
        .routes(routes!(certificate_renew))
        .routes(routes!(node_announce))
        .merge(large)
        .routes(routes!(audit_deliver))
        .routes(routes!(watch::watch))
}

/// The node that asks. A handler without it is public.
impl FromRequestParts<State> for NodeCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let shown = Shown::from_request_parts(parts, state).await?;
        let caller = Self::sign_in(state, &shown.0).await?;
        identified_node(caller.node);
        Ok(caller)
    }
}

/// The certificate that was shown in the handshake, whatever it is worth now.
pub(crate) struct Shown(Fingerprint);

impl FromRequestParts<State> for Shown {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self> {
        let shown = parts.extensions.get::<PeerCertificate>();
        let shown = shown.and_then(|peer| peer.0).ok_or_else(|| {
            Refusal::new(
                ProblemCode::Unauthenticated,
                "show the node's certificate in the TLS handshake",
            )
        })?;
        Ok(Self(shown))
    }
}

/// Join the cluster
///
/// Signs in by the join token in the body. Asked again with the same token and key, before the
/// certificate was used, it answers again.
#[utoipa::path(
    post, path = "/edge/v1/nodes:join", operation_id = "node_join", tag = "edge",
    request_body = JoinRequest,
    security(()),
    responses((status = 201, description = "The node's id and certificate.", body = JoinResponse))
)]
pub(crate) async fn node_join(
    state: State,
    extract::Json(request): extract::Json<JoinRequest>,
) -> Result<Created<JoinResponse>> {
    Ok(Created(app::edge::node_join(&state, &request).await?))
}

/// Renew the node's certificate
///
/// Signs in by the present one, which may have expired up to 30 days ago. That one works until the
/// new one has been used; who comes with it later runs on a copy of the node's data, and is refused.
#[utoipa::path(
    post, path = "/edge/v1/certificates:renew", operation_id = "certificate_renew", tag = "edge",
    request_body = CertificateRequest,
    responses((status = 200, description = "The new certificate.", body = NodeCertificate))
)]
pub(crate) async fn certificate_renew(
    state: State,
    shown: Shown,
    extract::Json(request): extract::Json<CertificateRequest>,
) -> Result<Json<NodeCertificate>> {
    let renewed = app::edge::certificate_renew(&state, &shown.0, &request).await?;
    Ok(Json(renewed))
}

/// Say what the node is
///
/// An edge does so whenever it starts. If it takes less work than it has, some moves away.
#[utoipa::path(
    put, path = "/edge/v1/node", operation_id = "node_announce", tag = "edge",
    request_body = NodeSpec,
    responses((status = 204, description = "It is stored."))
)]
pub(crate) async fn node_announce(
    state: State,
    NodeCaller { node, .. }: NodeCaller,
    extract::Json(spec): extract::Json<NodeSpec>,
) -> Result<StatusCode> {
    app::edge::node_announce(&state, node, &spec).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Renew the node's lease
///
/// Carries what the edge observes. Without renewals the node becomes suspect and then dead.
#[utoipa::path(
    post, path = "/edge/v1/lease:renew", operation_id = "lease_renew", tag = "edge",
    request_body = LeaseRenewal,
    responses((status = 200, description = "The lease is renewed.", body = LeaseGrant))
)]
pub(crate) async fn lease_renew(
    state: State,
    NodeCaller { node, .. }: NodeCaller,
    extract::Json(renewal): extract::Json<LeaseRenewal>,
) -> Result<Json<LeaseGrant>> {
    Ok(Json(app::edge::lease_renew(&state, node, renewal).await?))
}

/// Say who watches
///
/// What has changed since the report before, or everything: a report that is not complete is taken
/// only behind the one before it.
#[utoipa::path(
    post, path = "/edge/v1/sessions", operation_id = "session_report", tag = "edge",
    request_body = SessionReport,
    responses((status = 200, description = "Whether it was taken.", body = SessionReceipt))
)]
pub(crate) async fn session_report(
    state: State,
    NodeCaller { node, .. }: NodeCaller,
    extract::Json(report): extract::Json<SessionReport>,
) -> Result<Json<SessionReceipt>> {
    let receipt = app::session::session_report(&state, node, &report).await?;
    Ok(Json(receipt))
}

/// Deliver records for the audit log
///
/// Sessions, publishers and refusals that the edge has kept on its disk, oldest first. What is sent
/// again is stored once.
#[utoipa::path(
    post, path = "/edge/v1/audit", operation_id = "audit_deliver", tag = "edge",
    request_body = AuditDelivery,
    responses((status = 204, description = "They are stored."))
)]
pub(crate) async fn audit_deliver(
    state: State,
    NodeCaller { node, .. }: NodeCaller,
    extract::Json(delivery): extract::Json<AuditDelivery>,
) -> Result<StatusCode> {
    edge_audit_deliver(&state, node, &delivery).await?;
    Ok(StatusCode::NO_CONTENT)
}
