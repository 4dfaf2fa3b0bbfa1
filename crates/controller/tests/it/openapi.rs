//! The description: it is the committed one, and every operation in it is guarded.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use headworks_client::Client;
use headworks_types::{ProblemCode, SessionId, edge::NodeSpec};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    edge_cluster::{self, Edge as TalkingEdge},
    harness::{
        ALL_ON_PROJECT, Answer, Api, Controller, camera, on_camera, on_cluster, on_project,
        published, text,
    },
    session,
};

/// Operations that need no credential.
pub(crate) const PUBLIC: &[&str] = &[
    "auth_oidc_begin",
    "auth_oidc_complete",
    "auth_oidc_list",
    "auth_refresh",
    "auth_sign_in",
    "jwks_view",
];

/// Operations that a playback token opens, and nothing else does; `camera_live.rs` tests who gets on.
const PLAYERS: &[&str] = &["camera_live", "camera_watch"];

/// Operations that need a credential and no right.
const ANYBODY: &[&str] = &["auth_view"];

/// Operations about a provider that is configured; `auth_oidc.rs` tests who does well with them.
pub(crate) const CONFIGURED: &[&str] = &["user_link", "user_unlink"];

/// Operations for people who have signed in; keys are refused. `auth.rs` tests them.
pub(crate) const PEOPLE: &[&str] = &[
    "auth_change_password",
    "auth_sign_out",
    "auth_sign_out_everywhere",
];

/// Operations that act in the caller's own project: a stranger's key does well with them, and finds
/// nothing of ours.
const OWN: &[&str] = &[
    "api_key_list",
    "audit_export",
    "audit_list",
    "camera_bulk_create",
    "camera_create",
    "camera_group_create",
    "camera_group_list",
    "camera_list",
    "event_list",
    "grant_list",
    "playback_key_create",
    "playback_key_list",
    "project_list",
    "restream_import",
    "restream_list",
    "role_create",
    "role_list",
    "session_list",
    "slot_list",
    "user_create",
    "user_group_create",
    "user_group_list",
    "user_list",
];

/// One of these actions is needed, on the thing's project or on the cluster.
enum Need {
    Project(&'static [&'static str]),
    Cluster(&'static str),
}

const ANYTHING: &Need = &Need::Project(ALL_ON_PROJECT);
const AUDIT: &Need = &Need::Project(&["audit.read"]);
const CAMERA: &Need = &Need::Project(&["camera.manage"]);
const PROJECT: &Need = &Need::Project(&["project.manage"]);
const SEE: &Need = &Need::Project(&["camera.view_live", "camera.manage"]);
const USER: &Need = &Need::Project(&["user.manage"]);
const WATCH: &Need = &Need::Project(&["camera.view_live"]);
const WORK: &Need = &Need::Project(&["camera.manage", "node.manage"]);
const VIEWERS: &Need = &Need::Project(&["camera.manage", "user.manage"]);
const NODE: &Need = &Need::Cluster("node.manage");
const PROJECTS: &Need = &Need::Cluster("project.manage");

/// What each operation needs: all of it. [`World`]'s grant allows `camera.view_live` on a camera.
const NEEDS: &[(&str, &[&Need])] = &[
    ("access_explain", &[USER]),
    ("api_key_create", &[USER]),
    ("api_key_list", &[USER]),
    ("api_key_revoke", &[USER]),
    ("api_key_view", &[USER]),
    ("audit_export", &[AUDIT]),
    ("audit_list", &[AUDIT]),
    ("camera_bulk_create", &[CAMERA]),
    ("camera_create", &[CAMERA]),
    ("camera_delete", &[CAMERA]),
    ("camera_explain", &[CAMERA]),
    ("camera_group_create", &[CAMERA]),
    ("camera_group_delete", &[CAMERA]),
    ("camera_group_list", &[SEE]),
    ("camera_group_update", &[CAMERA]),
    ("camera_group_view", &[SEE]),
    ("camera_list", &[SEE]),
    ("camera_playback", &[WATCH]),
    ("camera_update", &[CAMERA]),
    ("camera_view", &[SEE]),
    ("cluster_release_brake", &[NODE]),
    ("cluster_view", &[NODE]),
    ("event_list", &[PROJECT]),
    ("grant_create", &[USER, WATCH]),
    ("grant_delete", &[USER]),
    ("grant_list", &[USER]),
    ("grant_view", &[USER]),
    ("join_token_create", &[NODE]),
    ("join_token_list", &[NODE]),
    ("join_token_revoke", &[NODE]),
    ("move_list", &[CAMERA]),
    ("node_cancel_drain", &[NODE]),
    ("node_cordon", &[NODE]),
    ("node_delete", &[NODE]),
    ("node_drain", &[NODE]),
    ("node_list", &[NODE]),
    ("node_revoke", &[NODE]),
    ("node_uncordon", &[NODE]),
    ("node_view", &[NODE]),
    ("plan_preview", &[NODE]),
    ("playback_key_create", &[PROJECT, WATCH]),
    ("playback_key_list", &[PROJECT]),
    ("playback_key_revoke", &[PROJECT]),
    ("playback_key_view", &[PROJECT]),
    ("playback_token_issue", &[WATCH]),
    ("playback_token_revoke", &[USER]),
    ("project_create", &[PROJECTS]),
    ("project_list", &[ANYTHING]),
    ("project_update", &[PROJECT]),
    ("project_view", &[ANYTHING]),
    ("restream_create", &[CAMERA]),
    ("restream_delete", &[CAMERA]),
    ("restream_import", &[CAMERA]),
    ("restream_list", &[CAMERA]),
    ("restream_list_of_camera", &[CAMERA]),
    ("restream_restart", &[CAMERA]),
    ("restream_start", &[CAMERA]),
    ("restream_stop", &[CAMERA]),
    ("restream_update", &[CAMERA]),
    ("restream_view", &[CAMERA]),
    ("role_create", &[USER]),
    ("role_delete", &[USER]),
    ("role_list", &[USER]),
    ("role_update", &[USER]),
    ("role_view", &[USER]),
    ("session_end", &[VIEWERS]),
    ("session_list", &[VIEWERS]),
    ("session_view", &[VIEWERS]),
    ("signing_key_list", &[NODE]),
    ("signing_key_revoke", &[NODE]),
    ("signing_key_rotate", &[NODE]),
    ("slot_list", &[WORK]),
    ("stream_key_create", &[CAMERA]),
    ("stream_key_list", &[CAMERA]),
    ("stream_key_revoke", &[CAMERA]),
    ("stream_key_rotate", &[CAMERA]),
    ("stream_key_update", &[CAMERA]),
    ("stream_key_view", &[CAMERA]),
    ("user_create", &[USER]),
    ("user_delete", &[USER]),
    ("user_group_create", &[USER]),
    ("user_group_delete", &[USER]),
    ("user_group_list", &[USER]),
    ("user_group_list_of_user", &[USER]),
    ("user_group_member_add", &[USER]),
    ("user_group_member_list", &[USER]),
    ("user_group_member_remove", &[USER]),
    ("user_group_update", &[USER]),
    ("user_group_view", &[USER]),
    ("user_list", &[USER]),
    ("user_revoke_sessions", &[USER]),
    ("user_update", &[USER]),
    ("user_view", &[USER]),
];

impl Need {
    /// A key that may do everything in the whole cluster but this.
    async fn all_but(&self, controller: &Controller, project: &str) -> Api {
        let (needed, in_project) = match self {
            Self::Project(any) => (*any, &[][..]),
            Self::Cluster(action) => (std::slice::from_ref(action), ALL_ON_PROJECT),
        };
        let all = ALL_ON_PROJECT.iter().chain(&["node.manage"]);
        let others: Vec<_> = all.copied().filter(|a| !needed.contains(a)).collect();
        let mut grants = Vec::new();
        if needed != ALL_ON_PROJECT {
            grants.push((on_cluster(), &others[..]));
        }
        if !in_project.is_empty() {
            grants.push((on_project(project), in_project));
        }
        controller.key(&grants).await
    }

    /// How many actions are enough, each by itself.
    fn ways(&self) -> usize {
        match self {
            Self::Project(any) => any.len(),
            Self::Cluster(_) => 1,
        }
    }

    /// The grant that is enough.
    fn grant(&self, project: &str, way: usize) -> (Value, &[&'static str]) {
        match self {
            Self::Project(any) => match &any[way % any.len()..][..1] {
                // Nobody has it on a project.
                [node] if *node == "node.manage" => (on_cluster(), &["node.manage"]),
                action => (on_project(project), action),
            },
            Self::Cluster(action) => (on_cluster(), std::slice::from_ref(action)),
        }
    }
}

/// One operation of the description.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// With what it may answer.
    statuses: BTreeSet<u16>,
}

pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().expect("has paths");
    let mut found = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("is an object") {
            let method = method.to_uppercase();
            found.push(Operation {
                id: text(&operation["operationId"]),
                method: Method::from_bytes(method.as_bytes()).expect("is a method"),
                path: path.clone(),
                statuses: statuses(operation),
            });
        }
    }
    found
}

fn statuses(operation: &Value) -> BTreeSet<u16> {
    let responses = operation["responses"].as_object().expect("has responses");
    let statuses = responses.keys();
    statuses
        .map(|status| status.parse().expect("is a number, not `default`"))
        .collect()
}

/// Requests of people who sign in.
fn auth_bodies() -> BTreeMap<&'static str, Value> {
    let passwords = json!({"password": "correct horse", "new_password": "battery staple"});
    BTreeMap::from([
        ("auth_change_password", passwords),
        (
            "auth_oidc_begin",
            json!({"redirect_uri": "https://app.example.com/"}),
        ),
        ("auth_oidc_complete", json!({"state": "x", "code": "x"})),
        ("auth_refresh", json!({"refresh_token": "x"})),
        (
            "auth_sign_in",
            json!({"email": "ann@example.com", "password": "correct horse"}),
        ),
        ("auth_sign_out", json!({})),
        ("auth_sign_out_everywhere", json!({})),
        (
            "user_link",
            json!({"provider": "nowhere", "subject": "ann"}),
        ),
        (
            "user_unlink",
            json!({"provider": "nowhere", "subject": "ann"}),
        ),
    ])
}

/// Requests about these things.
fn bodies(project: &str, gate: &str, user: &str, grant: Value) -> BTreeMap<&'static str, Value> {
    let target = json!({"name": "x", "url": "rtmp://push.example.com/live/{name}"});
    let mut bodies = auth_bodies();
    bodies.extend([
        ("user_group_create", json!({"name": "x"})),
        ("user_group_member_add", json!({"user_id": user})),
        ("user_group_update", json!({"name": "x"})),
        (
            "api_key_create",
            json!({"name": "x", "project_id": project}),
        ),
        ("api_key_revoke", json!({})),
        (
            "camera_bulk_create",
            json!({"items": [camera("x")], "dry_run": true}),
        ),
        ("camera_create", camera("x")),
        ("camera_group_create", json!({"name": "x"})),
        ("camera_group_update", json!({"name": "x"})),
        ("camera_playback", json!({})),
        ("camera_update", json!({"name": "x"})),
        ("grant_create", grant),
        ("join_token_create", json!({"name": "x"})),
        ("join_token_revoke", json!({})),
        ("playback_token_issue", json!({"camera_ids": [gate]})),
        ("playback_key_create", playback_key()),
        ("playback_key_revoke", json!({})),
        (
            "playback_token_revoke",
            json!({"token_id": "x", "project_id": project}),
        ),
        ("session_end", json!({})),
        ("user_revoke_sessions", json!({})),
        ("project_create", json!({"name": "new"})),
        ("project_update", json!({"name": "x"})),
        (
            "restream_create",
            json!({"name": "x", "url": "rtmp://push.example.com/live/gate"}),
        ),
        (
            "restream_import",
            json!({"cameras": [{"camera_id": "cam_00000000000000000000000000000001"}],
                       "target": target, "dry_run": true}),
        ),
        ("restream_restart", json!({})),
        ("restream_start", json!({})),
        ("restream_stop", json!({})),
        ("restream_update", json!({"name": "x"})),
        ("node_revoke", json!({})),
        ("node_cordon", json!({})),
        ("node_uncordon", json!({})),
        ("node_drain", json!({})),
        ("node_cancel_drain", json!({})),
        ("cluster_release_brake", json!({})),
        ("plan_preview", json!({})),
        (
            "role_create",
            json!({"name": format!("new of {}", &gate[4..]), "actions": ["camera.ptz"]}),
        ),
        ("role_update", json!({"name": "x"})),
        ("signing_key_revoke", json!({})),
        ("signing_key_rotate", json!({})),
        ("stream_key_create", json!({"name": "x"})),
        ("stream_key_revoke", json!({})),
        ("stream_key_rotate", json!({})),
        ("stream_key_update", json!({"name": "x"})),
        ("user_create", json!({"name": "x"})),
        ("user_update", json!({"name": "x"})),
    ]);
    bodies
}

/// Things of the default project, and requests about them.
pub(crate) struct World {
    pub(crate) ids: BTreeMap<&'static str, String>,
    pub(crate) bodies: BTreeMap<&'static str, Value>,
    /// It has joined, and does nothing by itself.
    pub(crate) edge: TalkingEdge,
}

impl World {
    pub(crate) async fn make(controller: &Controller) -> Self {
        let api = &controller.admin;
        let made = async |path: &str, body: Value| api.post(path, body).await.expect(201);
        let project = controller.default_project().await;
        let gate = text(&made("/v1/cameras", published("gate")).await["id"]);
        let user = text(&made("/v1/users", json!({"name": "Ann"})).await["id"]);
        let key = made("/v1/api_keys", json!({"name": "ci"})).await;
        let keys = format!("/v1/cameras/{gate}/stream_keys");
        let stream_key = made(&keys, json!({"name": "obs"})).await;
        let push = json!({"name": "cloud", "url": "rtmp://push.example.com/live/gate"});
        let restream = made(&format!("/v1/cameras/{gate}/restreams"), push).await;
        let grant = json!({
            "principal": {"type": "user", "id": user},
            "object": on_camera(&gate),
            "actions": ["camera.view_live"],
        });
        let granted = made("/v1/grants", grant.clone()).await;
        let join_token = made("/v1/join_tokens", json!({"name": "edge"})).await;
        let secret = text(&join_token["secret"]).into();
        let edges = edge_cluster::edge_base(&controller.service);
        let name = format!("edge-{}", &gate[4..]);
        let (node, credentials) = edge_cluster::join(&edges, &secret, &name).await;
        let kid = api.get("/v1/signing_keys").await.expect(200);
        let camera_group = made("/v1/camera_groups", json!({"name": "yard"})).await;
        let name = format!("guard of {}", &gate[4..]);
        let role = json!({"name": name, "actions": ["camera.ptz"]});
        let role = made("/v1/roles", role).await;
        let customer = made("/v1/playback_keys", playback_key()).await;
        let edge = Client::for_node(edges, &credentials).expect("makes a client");
        let session_id = watched(&edge, &gate, &user).await;
        let group = text(&made("/v1/user_groups", json!({"name": "night"})).await["id"]);
        let members = format!("/v1/user_groups/{group}/members");
        made(&members, json!({"user_id": user})).await;
        let bodies = bodies(&project, &gate, &user, grant);
        let edge = TalkingEdge::new(node, edge, credentials);
        let ids = BTreeMap::from([
            ("project_id", project),
            ("camera_id", gate),
            ("file", "index.m3u8".to_owned()),
            ("camera_group_id", text(&camera_group["id"])),
            ("role_id", text(&role["id"])),
            ("user_id", user),
            ("user_group_id", group),
            ("provider", "nowhere".to_owned()),
            ("api_key_id", text(&key["api_key"]["id"])),
            ("stream_key_id", text(&stream_key["stream_key"]["id"])),
            ("restream_id", text(&restream["id"])),
            ("grant_id", text(&granted["id"])),
            ("join_token_id", text(&join_token["join_token"]["id"])),
            ("kid", text(&kid["items"][0]["kid"])),
            ("node_id", node.to_string()),
            ("playback_key_id", text(&customer["id"])),
            ("session_id", session_id.to_string()),
        ]);
        Self { ids, bodies, edge }
    }

    /// Lets an edge have the camera, for those operations that need that.
    pub(crate) async fn prepare(&self, controller: &Controller, operation: &str) {
        if operation != "camera_playback" {
            return;
        }
        // There are the cameras of other worlds, too.
        let camera = &self.ids["camera_id"];
        let spec = NodeSpec {
            capacity: 1000,
            ..edge_cluster::spec(&format!("edge-{}", &camera[4..]))
        };
        self.edge
            .client
            .node_announce(&spec)
            .await
            .expect("announces");
        self.edge.renew(false).await;
        let path = format!("/v1/cameras/{camera}");
        edge_cluster::eventually("the camera is on a node", async || {
            let camera = controller.admin.get(&path).await.expect(200);
            camera["status"]["node_id"].is_string().then_some(())
        })
        .await;
    }

    pub(crate) async fn request(&self, api: &Api, operation: &Operation) -> Answer {
        self.request_with(api, operation, &[]).await
    }

    /// Each answer must be one of those that the description names.
    pub(crate) async fn request_with(
        &self,
        api: &Api,
        operation: &Operation,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut path = operation.path.clone();
        for (name, id) in &self.ids {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        assert!(!path.contains('{'), "{path}: add a value for its parameter");
        if operation.id == "access_explain" {
            let (user, camera) = (&self.ids["user_id"], &self.ids["camera_id"]);
            path += &format!("?user={user}&camera={camera}&action=camera.ptz");
        }
        let body = self.bodies.get(operation.id.as_str()).cloned();
        let needs_body = operation.method == Method::POST || operation.method == Method::PATCH;
        assert_eq!(body.is_some(), needs_body, "{}: add a body", operation.id);
        let answer = api.send(operation.method.clone(), &path, body, headers);
        let answer = answer.await;
        let status = answer.status.as_u16();
        assert!(
            operation.statuses.contains(&status),
            "{}: {status}",
            operation.id
        );
        answer
    }
}

/// The session of a user at a new edge.
async fn watched(edge: &Client, camera: &str, user: &str) -> SessionId {
    let camera = camera.parse().expect("an id");
    let mut session = session::opened(1, camera, user);
    session.id = uuid::Uuid::now_v7().into();
    let id = session.id;
    let report = session::complete(camera.uuid(), 1, vec![session]);
    let receipt = edge.session_report(&report).await;
    assert!(receipt.expect("is answered").taken);
    id
}

/// A customer's key to be.
fn playback_key() -> Value {
    let x = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";
    json!({"name": "x", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x},
           "bounds": {"whole_project": true}})
}

/// The description of the API.
pub(crate) fn document() -> Value {
    serde_json::to_value(headworks_controller::openapi()).expect("serializes")
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_operation_is_guarded(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let world = World::make(&controller).await;
    let (_, stranger) = controller.project("theirs").await;
    let powerless = controller.key(&[]).await;
    let mut operations = operations(&document());
    // Of what a stranger asks for in vain, the log shows him the ids that he has sent.
    operations.sort_by_key(|operation| !operation.id.starts_with("audit_"));
    assert!(operations.len() > 30, "{}", operations.len());
    for operation in &operations {
        let id = operation.id.as_str();
        if PUBLIC.contains(&id) {
            let answer = world.request(&controller.anonymous(), operation).await;
            // Who sends what is not good gets nothing by being allowed to.
            let good = if operation.method == Method::GET {
                answer.status == 200
            } else {
                [401, 404].contains(&answer.status.as_u16())
            };
            assert!(good, "{id}: {}", answer.text);
            continue;
        }
        let refused = world.request(&controller.anonymous(), operation).await;
        refused.problem(ProblemCode::Unauthenticated);
        if PLAYERS.contains(&id) {
            let refused = world.request(&controller.admin, operation).await;
            refused.problem(ProblemCode::Unauthenticated);
            continue;
        }
        if ANYBODY.contains(&id) {
            world.request(&powerless, operation).await.expect(200);
            continue;
        }
        let refused = world.request(&powerless, operation).await;
        assert!(
            [403, 404].contains(&refused.status.as_u16()),
            "{id}: {}",
            refused.text
        );
        let answer = world.request(&stranger, operation).await;
        if OWN.contains(&id) {
            assert!(answer.status.is_success(), "{id}: {}", answer.text);
            for ours in world.ids.values() {
                assert!(!answer.text.contains(ours.as_str()), "{id} shows {ours}");
            }
        } else {
            assert!(
                [403, 404].contains(&answer.status.as_u16()),
                "{id}: {}",
                answer.text
            );
        }
    }
    // None of the refused requests had an effect.
    for noun in [
        "camera",
        "user",
        "api_key",
        "grant",
        "join_token",
        "restream",
        "camera_group",
        "role",
        "user_group",
    ] {
        let id = &world.ids[&*format!("{noun}_id")];
        let list = controller.admin.all(&format!("/v1/{noun}s"), 50).await;
        let thing = list
            .iter()
            .find(|thing| thing["id"] == *id)
            .expect("is there");
        assert!(
            thing["name"] != "x" && thing["revoked_at"].is_null(),
            "{thing}"
        );
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_operation_needs_its_right_and_no_other(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let operations = operations(&document());
    for (id, needs) in NEEDS {
        let operation = operations.iter().find(|operation| operation.id == *id);
        let operation = operation.expect("is an operation");
        // Some operations end what they are about.
        let world = World::make(&controller).await;
        world.prepare(&controller, id).await;
        let project = &world.ids["project_id"];
        for need in *needs {
            let key = need.all_but(&controller, project).await;
            let refused = world.request(&key, operation).await;
            let status = refused.status.as_u16();
            assert!([403, 404].contains(&status), "{id}: {}", refused.text);
        }
        let ways = needs.iter().map(|need| need.ways()).max();
        for way in 0..ways.expect("needs something") {
            let grants: Vec<_> = needs.iter().map(|need| need.grant(project, way)).collect();
            let key = controller.key(&grants).await;
            let answer = world.request(&key, operation).await;
            assert!(answer.status.is_success(), "{id}, {way}: {}", answer.text);
        }
    }
    controller.stop().await;
}

#[test]
fn the_needs_of_every_operation_are_listed() {
    let operations = operations(&document());
    let all: BTreeSet<_> = operations.iter().map(|o| o.id.as_str()).collect();
    let mut listed: BTreeSet<_> = NEEDS.iter().map(|(id, _)| *id).collect();
    listed.extend([PUBLIC, PLAYERS, ANYBODY, CONFIGURED, PEOPLE].concat());
    assert_eq!(listed, all, "add a line to NEEDS for each new operation");
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_operation_of_edges_is_guarded(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let document = serde_json::to_value(headworks_controller::edge_openapi()).expect("serializes");
    let operations = operations(&document);
    assert!(operations.len() >= 4);
    for operation in &operations {
        // Joining signs in by its body.
        if operation.id == "node_join" {
            continue;
        }
        let ask = async |api: &Api| {
            let body = (operation.method != Method::GET).then(|| json!({}));
            let method = operation.method.clone();
            api.send(method, &operation.path, body, &[]).await
        };
        for api in [
            &controller.edges(None),
            &controller.edges(Some(&controller.admin)),
        ] {
            ask(api).await.problem(ProblemCode::Unauthenticated);
        }
        // Where everybody else talks to the controller it is not at all.
        ask(&controller.admin).await.problem(ProblemCode::NotFound);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_description_is_served_with_a_page_to_read_it(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = controller.anonymous();
    assert_eq!(api.get("/openapi.json").await.expect(200), document());
    let page = api.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"), "{}", page.text);
    assert!(
        !page.text.contains("https://"),
        "nothing comes from elsewhere"
    );
    controller.stop().await;
}

#[test]
fn operations_follow_the_noun_rule() {
    let operations = operations(&document());
    let ids: BTreeSet<_> = operations.iter().map(|o| &o.id).collect();
    assert_eq!(ids.len(), operations.len(), "ids are unique");
    for operation in &operations {
        assert!(!operation.path.contains('~'), "{}", operation.path);
        if let Some((_, verb)) = operation.path.rsplit_once(':') {
            assert!(
                operation.id.ends_with(&format!("_{verb}")),
                "{}",
                operation.id
            );
        }
        let nouns = operation.path.split(['/', ':']).any(|part| {
            // There is no plural of it.
            if part == "audit" || part == "plan" {
                return operation.id.starts_with(part);
            }
            part.strip_suffix('s')
                .is_some_and(|noun| operation.id.starts_with(noun))
                // Each caller has one.
                || (part == "auth" && operation.id.starts_with("auth_"))
                // There is one.
                || (part == "cluster" && operation.id.starts_with("cluster_"))
        });
        assert!(
            nouns || PUBLIC.contains(&&*operation.id) || PLAYERS.contains(&&*operation.id),
            "{}",
            operation.id
        );
    }
}

#[test]
fn every_reference_in_a_description_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(
                    fields
                        .get("$ref")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let edge = serde_json::to_value(headworks_controller::edge_openapi()).expect("serializes");
    for document in [document(), edge] {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("is in the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

#[test]
fn the_committed_descriptions_are_current() {
    let edge = serde_json::to_value(headworks_controller::edge_openapi()).expect("serializes");
    for (name, current) in [("headworks.json", document()), ("edge.json", edge)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../openapi")
            .join(name);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let committed: Value = serde_json::from_str(&committed).unwrap_or_default();
        assert!(
            committed == current,
            "openapi/{name} is old: run `cargo xtask openapi`"
        );
    }
}
