//! What edges ask controllers: joining, saying what they are, renewing the lease, who
//! watches.

use headworks_types::edge::{
    AuditDelivery, CertificateRequest, JoinRequest, JoinResponse, LeaseGrant, LeaseRenewal,
    NodeCertificate, NodeSpec, SessionReceipt, SessionReport,
};
use reqwest::Method;

use crate::{Call, Client};

impl Client {
    /// `POST /edge/v1/nodes:join`
    pub fn node_join(&self, request: &JoinRequest) -> Call<JoinResponse> {
        Call::new(self, Method::POST, &["edge", "v1", "nodes:join"]).body(request)
    }

    /// `POST /edge/v1/certificates:renew`
    pub fn certificate_renew(&self, request: &CertificateRequest) -> Call<NodeCertificate> {
        Call::new(self, Method::POST, &["edge", "v1", "certificates:renew"]).body(request)
    }

    /// `PUT /edge/v1/node`
    pub fn node_announce(&self, node: &NodeSpec) -> Call<()> {
        Call::new(self, Method::PUT, &["edge", "v1", "node"]).body(node)
    }

    /// `POST /edge/v1/audit`
    pub fn audit_deliver(&self, delivery: &AuditDelivery) -> Call<()> {
        Call::new(self, Method::POST, &["edge", "v1", "audit"]).body(delivery)
    }

    /// `POST /edge/v1/lease:renew`
    pub fn lease_renew(&self, renewal: &LeaseRenewal) -> Call<LeaseGrant> {
        Call::new(self, Method::POST, &["edge", "v1", "lease:renew"]).body(renewal)
    }

    /// `POST /edge/v1/sessions`
    pub fn session_report(&self, report: &SessionReport) -> Call<SessionReceipt> {
        Call::new(self, Method::POST, &["edge", "v1", "sessions"]).body(report)
    }
}
