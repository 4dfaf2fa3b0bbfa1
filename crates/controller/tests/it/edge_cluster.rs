//! Controllers on a test's database, and edges that only talk: they renew, report and watch.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use headworks_bootstrap::Tasks;
use headworks_client::{Client, NodeCredentials};
use headworks_controller::{Config, Service};
use headworks_types::{
    Advertise, Camera, CameraCreate, JoinTokenCreate, Labels, NodeId, NodeLimits, NodeLoad, Secret,
    edge::{
        Bundle, CertificateRequest, JoinRequest, LeaseGrant, LeaseRenewal, NodeCertificate,
        NodeSpec, SlotReport, WatchMessage,
    },
};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{self, Controller, text};

const DEADLINE: Duration = Duration::from_secs(30);
/// Renew, suspect and dead, in milliseconds.
const LEASES: [u64; 3] = [2000, 6000, 10_000];
const LOOK: Duration = Duration::from_millis(20);

/// One controller.
pub(crate) struct Cluster {
    pub(crate) tasks: Tasks,
    pub(crate) admin: Client,
    pub(crate) base: url::Url,
    /// Where edges talk to it.
    pub(crate) edge_base: url::Url,
}

impl Cluster {
    /// Starts the first controller of a database, with the usual leases.
    pub(crate) async fn start(pool: &PgPool) -> Self {
        Self::open(pool, None, LEASES).await
    }

    /// As [`Cluster::start`]; renew, suspect and dead in milliseconds.
    pub(crate) async fn with_leases(pool: &PgPool, leases: [u64; 3]) -> Self {
        Self::open(pool, None, leases).await
    }

    /// Starts another controller on the same database.
    pub(crate) async fn replica(&self, pool: &PgPool) -> Self {
        Self::open(pool, Some(&self.admin), LEASES).await
    }

    /// Stops it, so that its database can be dropped.
    pub(crate) async fn stop(self) {
        self.tasks.shutdown(DEADLINE).await;
    }

    async fn open(pool: &PgPool, admin: Option<&Client>, leases: [u64; 3]) -> Self {
        let [renew, suspect, dead] = leases.map(Duration::from_millis);
        let config = Config {
            lease_renew: renew,
            lease_suspect: suspect,
            lease_dead: dead,
            ..harness::config(pool)
        };
        Self::configured(config, admin).await
    }

    /// As [`Cluster::start`], of a controller that is told this.
    pub(crate) async fn configured(config: Config, admin: Option<&Client>) -> Self {
        let config = Config {
            database_connections: 8,
            ..config
        };
        let tasks = Tasks::new();
        let service = Service::start(config, tasks.clone()).await.expect("starts");
        let base: url::Url = format!("http://{}/", service.local_addr())
            .parse()
            .expect("is a URL");
        let admin = match (service.admin_key(), admin) {
            (Some(key), _) => client(&base).with_credential(key),
            (None, Some(other)) => other.clone(),
            (None, None) => panic!("the database was not empty"),
        };
        let edge_base = edge_base(&service);
        Self {
            tasks,
            admin,
            base,
            edge_base,
        }
    }

    /// A client without a credential.
    pub(crate) fn anonymous(&self) -> Client {
        client(&self.base)
    }

    /// A client that can join with this token, and do nothing else.
    pub(crate) fn joining(&self, token: &Secret) -> Client {
        Client::for_joining(self.edge_base.clone(), token).expect("makes a client")
    }

    /// A client with a node's certificate.
    pub(crate) fn as_node(&self, credentials: &NodeCredentials) -> Client {
        Client::for_node(self.edge_base.clone(), credentials).expect("makes a client")
    }

    pub(crate) async fn join_token(&self) -> Secret {
        let body = JoinTokenCreate {
            name: "test".to_owned(),
            expires_in_seconds: 3600,
            max_uses: 1,
        };
        self.admin
            .join_token_create(&body)
            .await
            .expect("creates a token")
            .secret
    }

    /// An edge that has joined, and has not renewed yet.
    pub(crate) async fn join(&self, name: &str) -> Edge {
        self.join_as(spec(name)).await
    }

    /// As [`Cluster::join`], of a node that says this of itself.
    pub(crate) async fn join_as(&self, spec: NodeSpec) -> Edge {
        let token = self.join_token().await;
        let (id, credentials) = join_as(&self.edge_base, &token, spec).await;
        Edge::new(id, self.as_node(&credentials), credentials)
    }

    /// An edge that has joined and keeps renewing until its token is cancelled.
    pub(crate) async fn living_edge(&self, name: &str) -> (Edge, CancellationToken) {
        let edge = self.join(name).await;
        edge.renew(false).await;
        let stop = self.tasks.token().child_token();
        let (alive, stopped) = (edge.clone(), stop.clone());
        self.tasks.spawn("edge", async move {
            while !stopped.is_cancelled() {
                // What fails because the controller stops is none of the test's business.
                let _ = alive.client.lease_renew(&alive.renewal(false)).await;
                let wait = tokio::time::sleep(Duration::from_millis(300));
                stopped.run_until_cancelled(wait).await;
            }
        });
        (edge, stop)
    }

    pub(crate) async fn camera(&self, body: serde_json::Value) -> Camera {
        let body: CameraCreate = serde_json::from_value(body).expect("is a camera");
        self.admin
            .camera_create(&body)
            .await
            .expect("creates a camera")
    }

    /// Waits until the camera is as wanted.
    pub(crate) async fn camera_when(
        &self,
        camera: &Camera,
        what: &str,
        good: impl Fn(&Camera) -> bool,
    ) -> Camera {
        eventually(what, async || {
            let now = self
                .admin
                .camera_view(camera.id)
                .await
                .expect("views the camera");
            good(&now).then_some(now)
        })
        .await
    }
}

fn client(base: &url::Url) -> Client {
    Client::new(base.clone()).expect("makes a client")
}

/// Where edges talk to the controller.
pub(crate) fn edge_base(service: &Service) -> url::Url {
    let base = format!("https://{}/", service.edge_addr());
    base.parse().expect("is a URL")
}

/// What a node with this key asks for when it joins.
pub(crate) fn join_request(token: &Secret, name: &str, key: &KeyPair) -> JoinRequest {
    JoinRequest {
        token: token.clone(),
        node: spec(name),
        certificate: certificate_request(key),
    }
}

pub(crate) fn certificate_request(key: &KeyPair) -> CertificateRequest {
    let request = CertificateParams::default().serialize_request(key);
    CertificateRequest {
        csr: request.expect("signs").pem().expect("is PEM"),
    }
}

pub(crate) fn new_key() -> KeyPair {
    KeyPair::generate().expect("makes a key")
}

pub(crate) fn credentials(key: &KeyPair, given: NodeCertificate) -> NodeCredentials {
    NodeCredentials {
        certificate: given.certificate,
        key: Secret::new(key.serialize_pem()),
        authority: given.authority,
    }
}

/// Joins as a node.
pub(crate) async fn join(
    edge_base: &url::Url,
    token: &Secret,
    name: &str,
) -> (NodeId, NodeCredentials) {
    join_as(edge_base, token, spec(name)).await
}

async fn join_as(
    edge_base: &url::Url,
    token: &Secret,
    node: NodeSpec,
) -> (NodeId, NodeCredentials) {
    let client = Client::for_joining(edge_base.clone(), token).expect("makes a client");
    let key = new_key();
    let request = JoinRequest {
        token: token.clone(),
        node,
        certificate: certificate_request(&key),
    };
    let joined = client.node_join(&request).await;
    let joined = joined.expect("joins");
    (joined.node_id, credentials(&key, joined.certificate))
}

/// A new node of a controller, and its client.
pub(crate) async fn new_node(controller: &Controller, name: &str) -> (NodeId, Client) {
    let token = json!({"name": name});
    let token = controller.admin.post("/v1/join_tokens", token).await;
    let secret = text(&token.expect(201)["secret"]).into();
    let edges = edge_base(&controller.service);
    let (node, credentials) = join(&edges, &secret, name).await;
    let client = Client::for_node(edges, &credentials).expect("makes a client");
    (node, client)
}

pub(crate) fn spec(name: &str) -> NodeSpec {
    NodeSpec {
        name: name.to_owned(),
        site: "lyon".to_owned(),
        zone: "lyon".to_owned(),
        labels: Labels::default(),
        capacity: 10,
        capabilities: None,
        limits: NodeLimits::default(),
        advertise: Advertise {
            rtmp: Some(format!("rtmp://{name}:1935/").parse().expect("is a URL")),
            rtsp: Some(format!("rtsp://{name}:8554/").parse().expect("is a URL")),
            ..Advertise::new(format!("http://{name}:8081/").parse().expect("is a URL"))
        },
        relay: None,
        version: "0.1.0".to_owned(),
    }
}

/// A camera that is pulled with a password.
pub(crate) fn gate() -> serde_json::Value {
    json!({
        "name": "gate",
        "source": {"type": "pull", "url": "rtsp://10.0.0.1/1"},
        "credentials": {"username": "root", "password": "p@ss:w/rd"},
    })
}

/// An edge that only talks.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) id: NodeId,
    pub(crate) client: Client,
    pub(crate) credentials: NodeCredentials,
    pub(crate) instance: Uuid,
    /// What it reports with each renewal.
    pub(crate) reports: Arc<Mutex<Vec<SlotReport>>>,
    /// The revision that it says it has applied.
    pub(crate) applied: Arc<AtomicU64>,
    /// The load that it reports.
    pub(crate) load: Arc<Mutex<NodeLoad>>,
}

impl Edge {
    pub(crate) fn new(id: NodeId, client: Client, credentials: NodeCredentials) -> Self {
        Self {
            id,
            client,
            credentials,
            instance: Uuid::now_v7(),
            reports: Arc::default(),
            applied: Arc::default(),
            load: Arc::default(),
        }
    }

    /// The same edge, talking to another controller.
    pub(crate) fn through(&self, other: &Cluster) -> Self {
        Self {
            client: other.as_node(&self.credentials),
            ..self.clone()
        }
    }

    pub(crate) fn renewal(&self, goodbye: bool) -> LeaseRenewal {
        LeaseRenewal {
            instance: self.instance,
            revision: self.applied.load(Ordering::Relaxed).cast_signed(),
            apply_error: None,
            signing_keys: vec![],
            slots: self.reports.lock().expect("not poisoned").clone(),
            load: self.load.lock().expect("not poisoned").clone(),
            goodbye,
        }
    }

    pub(crate) async fn renew(&self, goodbye: bool) -> LeaseGrant {
        let renewal = self.renewal(goodbye);
        self.client.lease_renew(&renewal).await.expect("renews")
    }

    pub(crate) async fn watch(&self, revision: i64) -> Watch {
        self.watch_with(revision, None).await
    }

    /// As [`Edge::watch`], with the directory from this cursor on.
    pub(crate) async fn watch_with(&self, revision: i64, directory: Option<i64>) -> Watch {
        let messages = self.client.watch(revision, directory).await;
        let messages = messages.expect("watches");
        Watch(
            messages
                .map(|message| message.expect("is a message"))
                .boxed(),
        )
    }
}

/// What an edge is told.
pub(crate) struct Watch(futures::stream::BoxStream<'static, WatchMessage>);

impl Watch {
    /// The next message; `None` when the controller has ended the watch.
    pub(crate) async fn next(&mut self) -> Option<WatchMessage> {
        let next = tokio::time::timeout(DEADLINE, self.0.next()).await;
        next.expect("a message in time")
    }

    /// Skips the bundle that everything begins with.
    pub(crate) async fn after_bundle(&mut self) -> WatchMessage {
        match self.next().await {
            Some(WatchMessage::Bundle(bundle)) => assert_eq!(bundle.jwks.keys.len(), 1),
            other => panic!("not a bundle: {other:?}"),
        }
        self.next().await.expect("a message")
    }

    /// The next bundle that is as wanted.
    pub(crate) async fn bundle(&mut self, wanted: impl Fn(&Bundle) -> bool) -> Bundle {
        loop {
            match self.next().await.expect("a message") {
                WatchMessage::Bundle(bundle) if wanted(&bundle) => return bundle,
                _ => {}
            }
        }
    }

    /// The next delta that says something.
    pub(crate) async fn delta(&mut self) -> WatchMessage {
        loop {
            match self.next().await.expect("a message") {
                WatchMessage::Delta { upsert, remove, .. }
                    if upsert.is_empty() && remove.is_empty() => {}
                // Something was revoked.
                WatchMessage::Bundle(_) => {}
                message => return message,
            }
        }
    }

    /// Everything that comes until the controller ends the watch.
    pub(crate) async fn rest(self) -> Vec<WatchMessage> {
        self.0.collect().await
    }
}

/// Looks until there is something; fails after a while.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(DEADLINE, found).await {
        Ok(found) => found,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// As if no node had renewed its lease for three minutes.
pub(crate) async fn age_leases(pool: &PgPool) {
    sqlx::query!(
        "UPDATE node_lease SET renewed_at = renewed_at - interval '3 min',
                               expires_at = expires_at - interval '3 min'"
    )
    .execute(pool)
    .await
    .expect("ages the leases");
}
