//! A controller that answers as the test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use futures::StreamExt as _;
use headworks_bootstrap::Tasks;
use headworks_types::{
    NodeId, Problem, ProblemCode,
    edge::{
        CertificateRequest, JoinRequest, JoinResponse, LeaseGrant, LeaseRenewal, NodeCertificate,
        NodeSpec, WatchMessage,
    },
};
use serde::Deserialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch::Sender},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use url::Url;
use uuid::Uuid;

use super::soon;
use crate::testing::authority;

/// A controller that answers as the test says.
#[derive(Clone)]
pub(super) struct Controller(pub(super) Arc<Script>);

/// What it says, and what it was told.
pub(super) struct Script {
    pub(super) url: Url,
    /// What the next joins get; then they succeed.
    pub(super) refuse_join: Mutex<Vec<ProblemCode>>,
    /// The revision that grants name; what was reported if none.
    pub(super) grants: Mutex<Option<i64>>,
    /// What the next announcement gets.
    pub(super) refuse_announce: Mutex<Option<ProblemCode>>,
    /// What leases get.
    pub(super) refuse_lease: Mutex<Option<ProblemCode>>,
    /// What each watch starts with.
    pub(super) first: Mutex<Vec<WatchMessage>>,
    /// The open watch; dropping it ends the watch.
    pub(super) open: Mutex<Option<mpsc::Sender<WatchMessage>>>,
    pub(super) joins: Sender<Vec<JoinRequest>>,
    pub(super) renewed: Sender<Vec<CertificateRequest>>,
    pub(super) announced: Sender<Vec<NodeSpec>>,
    pub(super) renewals: Sender<Vec<LeaseRenewal>>,
    pub(super) watched: Sender<Vec<i64>>,
    /// The cursors with which it was watched.
    pub(super) cursors: Sender<Vec<i64>>,
}

impl Controller {
    pub(super) async fn start(tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let controller = Self(Arc::new(Script {
            url: format!("https://{address}/").parse().expect("parses"),
            refuse_join: Mutex::default(),
            grants: Mutex::default(),
            refuse_announce: Mutex::default(),
            refuse_lease: Mutex::default(),
            first: Mutex::default(),
            open: Mutex::default(),
            joins: Sender::default(),
            renewed: Sender::default(),
            announced: Sender::default(),
            renewals: Sender::default(),
            watched: Sender::default(),
            cursors: Sender::default(),
        }));
        let router = Router::new()
            .route("/edge/v1/nodes:join", post(join))
            .route("/edge/v1/certificates:renew", post(renew_certificate))
            .route("/edge/v1/node", put(announce))
            .route("/edge/v1/lease:renew", post(renew))
            .route("/edge/v1/watch", get(watch))
            .with_state(controller.clone());
        let token = tasks.token();
        tasks.spawn("controller", async move {
            let tls = TlsAcceptor::from(Arc::new(authority().controller()));
            let served = axum::serve(Listener { listener, tls }, router).into_future();
            token.run_until_cancelled(served).await
        });
        controller
    }

    pub(super) fn refuse_lease(&self, code: Option<ProblemCode>) {
        *self.0.refuse_lease.lock().expect("not poisoned") = code;
    }

    pub(super) fn grants(&self, revision: Option<i64>) {
        *self.0.grants.lock().expect("not poisoned") = revision;
    }

    pub(super) fn first(&self, messages: Vec<WatchMessage>) {
        *self.0.first.lock().expect("not poisoned") = messages;
    }

    pub(super) async fn say(&self, message: WatchMessage) {
        let open = self.0.open.lock().expect("not poisoned").clone();
        let open = open.expect("a watch is open");
        open.send(message).await.expect("the watch is open");
    }

    pub(super) fn hang_up(&self) {
        self.0.open.lock().expect("not poisoned").take();
    }

    pub(super) async fn renewal(&self, wanted: impl Fn(&LeaseRenewal) -> bool) -> LeaseRenewal {
        let after = self.0.renewals.borrow().len();
        let found = |all: &Vec<LeaseRenewal>| all.iter().skip(after).find(|r| wanted(r)).cloned();
        let mut renewals = self.0.renewals.subscribe();
        let all = soon(renewals.wait_for(|all| found(all).is_some())).await;
        found(&all.expect("the controller lives")).expect("was found")
    }
}

/// Takes connections as a controller of the tests' cluster.
struct Listener {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (socket, address) = self.listener.accept().await.expect("accepts");
            if let Ok(stream) = self.tls.accept(socket).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// The node that all edges here are.
pub(super) fn node() -> NodeId {
    NodeId::from(Uuid::from_u128(7))
}

fn refused(code: ProblemCode) -> Response {
    let status = StatusCode::from_u16(code.status()).expect("is one");
    (status, Json(Problem::new(code))).into_response()
}

async fn join(
    State(Controller(script)): State<Controller>,
    Json(body): Json<JoinRequest>,
) -> Response {
    let csr = body.certificate.csr.clone();
    script.joins.send_modify(|all| all.push(body));
    match script.refuse_join.lock().expect("not poisoned").pop() {
        Some(code) => refused(code),
        None => Json(JoinResponse {
            node_id: node(),
            certificate: authority().certify(node(), &csr),
        })
        .into_response(),
    }
}

async fn renew_certificate(
    State(Controller(script)): State<Controller>,
    Json(body): Json<CertificateRequest>,
) -> Json<NodeCertificate> {
    let renewed = authority().certify(node(), &body.csr);
    script.renewed.send_modify(|all| all.push(body));
    Json(renewed)
}

async fn announce(
    State(Controller(script)): State<Controller>,
    Json(body): Json<NodeSpec>,
) -> Response {
    script.announced.send_modify(|all| all.push(body));
    match script.refuse_announce.lock().expect("not poisoned").take() {
        Some(code) => refused(code),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn renew(
    State(Controller(script)): State<Controller>,
    Json(body): Json<LeaseRenewal>,
) -> Response {
    let granted = *script.grants.lock().expect("not poisoned");
    let revision = granted.unwrap_or(body.revision);
    script.renewals.send_modify(|all| all.push(body));
    match *script.refuse_lease.lock().expect("not poisoned") {
        Some(code) => refused(code),
        None => Json(LeaseGrant {
            renew_in_ms: 20,
            expires_in_ms: 10_000,
            revision,
        })
        .into_response(),
    }
}

#[derive(Deserialize)]
struct From {
    revision: i64,
    directory: i64,
}

async fn watch(State(Controller(script)): State<Controller>, Query(from): Query<From>) -> Response {
    let (sender, receiver) = mpsc::channel(8);
    *script.open.lock().expect("not poisoned") = Some(sender);
    let first = script.first.lock().expect("not poisoned").clone();
    let later = futures::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let lines = futures::stream::iter(first).chain(later).map(|message| {
        let mut line = serde_json::to_vec(&message)?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(line)
    });
    script.cursors.send_modify(|all| all.push(from.directory));
    script.watched.send_modify(|all| all.push(from.revision));
    Body::from_stream(lines).into_response()
}
