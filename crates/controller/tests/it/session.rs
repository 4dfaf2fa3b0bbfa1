//! Who watches, over HTTP: what edges report is listed, and what is revoked reaches every edge.

use chrono::TimeDelta;
use headworks_bootstrap::Clock;
use headworks_client::Client;
use headworks_types::{
    Action, Camera, CameraGroupId, CameraId, GrantCreate, GrantObject, Principal, ProblemCode,
    ProjectId, Session, SessionId, User, UserId, UserUpdate, ViewProtocol,
    edge::{Bundle, Revocation, RevocationKind, SessionOpened, SessionReport, SessionSent},
};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    edge_cluster::{Cluster, Edge, Watch, age_leases, eventually, gate, new_node},
    harness::{Controller, on_camera, on_project, text},
};

/// A viewer who has just come.
pub(crate) fn opened(number: u128, camera: CameraId, subject: &str) -> SessionOpened {
    let now = Clock::system().now();
    SessionOpened {
        id: Uuid::from_u128(number).into(),
        camera_id: camera,
        subject: subject.to_owned(),
        issuer: None,
        viewer_id: None,
        sound: false,
        token_id: Some("t".to_owned()),
        key_id: "k".to_owned(),
        max_sessions: None,
        protocol: ViewProtocol::Rtmp,
        address: [192, 0, 2, 7].into(),
        issued_at: now,
        started_at: now + TimeDelta::milliseconds(number as i64),
        watch_until: now + TimeDelta::hours(1),
        bytes_sent: 0,
    }
}

/// Everybody who watches at an edge.
pub(crate) fn complete(instance: Uuid, sequence: i64, opened: Vec<SessionOpened>) -> SessionReport {
    SessionReport {
        instance,
        sequence,
        complete: true,
        opened,
        sent: Vec::new(),
        closed: Vec::new(),
    }
}

fn report(edge: &Edge, sequence: i64, opened: Vec<SessionOpened>) -> SessionReport {
    complete(edge.instance, sequence, opened)
}

async fn tell(edge: &Edge, report: &SessionReport) -> bool {
    let receipt = edge.client.session_report(report).await;
    receipt.expect("is answered").taken
}

fn id(number: u128) -> SessionId {
    Uuid::from_u128(number).into()
}

async fn all(admin: &Client) -> Vec<Session> {
    admin.session_list().all().await.expect("lists")
}

struct World {
    cluster: Cluster,
    edge: Edge,
    watch: Watch,
    gate: Camera,
    ann: UserId,
}

impl World {
    /// An edge that watches, and a user who may watch a camera.
    async fn new(pool: &PgPool) -> Self {
        let cluster = Cluster::start(pool).await;
        let (edge, _alive) = cluster.living_edge("edge-1").await;
        let gate = cluster.camera(gate()).await;
        let watch = edge.watch(0).await;
        let mut world = Self {
            ann: Uuid::nil().into(),
            cluster,
            edge,
            watch,
            gate,
        };
        world.ann = world.user("Ann", None).await.id;
        world.grant(Principal::User { id: world.ann }).await;
        world
    }

    async fn user(&self, name: &str, max_sessions: Option<u32>) -> User {
        let user = json!({"name": name, "max_sessions": max_sessions});
        let user = serde_json::from_value(user).expect("parses");
        self.cluster
            .admin
            .user_create(&user)
            .await
            .expect("creates")
    }

    async fn grant(&self, principal: Principal) -> headworks_types::Grant {
        self.grant_of(principal, Action::CameraViewLive).await
    }

    async fn grant_of(&self, principal: Principal, action: Action) -> headworks_types::Grant {
        let object = GrantObject::Camera { id: self.gate.id };
        let grant = GrantCreate::allow(principal, object, vec![action]);
        self.cluster
            .admin
            .grant_create(&grant)
            .await
            .expect("grants")
    }

    /// The bundle with a revocation as wanted.
    async fn revoked(&mut self, wanted: impl Fn(&Revocation) -> bool) -> Bundle {
        let has = |bundle: &Bundle| bundle.revocations.iter().any(&wanted);
        self.watch.bundle(has).await
    }
}

fn is<T: ToString>(
    kind: RevocationKind,
    value: &T,
    ends: bool,
) -> impl Fn(&Revocation) -> bool + use<T> {
    let value = value.to_string();
    move |revocation| {
        revocation.kind == kind && revocation.value == value && revocation.ends_sessions == ends
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn reports_add_up_and_a_lost_one_heals(pool: PgPool) {
    let world = Box::pin(World::new(&pool)).await;
    let (edge, admin) = (&world.edge, &world.cluster.admin);
    let subject = world.ann.to_string();
    let one = |number| opened(number, world.gate.id, &subject);
    let delta = |sequence| SessionReport {
        complete: false,
        ..report(edge, sequence, Vec::new())
    };
    assert!(!tell(edge, &delta(1)).await, "nothing is known yet");
    assert!(tell(edge, &report(edge, 2, vec![one(1), one(2)])).await);
    let change = SessionReport {
        opened: vec![one(3)],
        sent: vec![SessionSent {
            id: id(2),
            bytes_sent: 4321,
        }],
        closed: vec![id(1)],
        ..delta(3)
    };
    assert!(tell(edge, &change).await);
    assert!(!tell(edge, &change).await, "the same again");
    assert!(!tell(edge, &delta(5)).await, "one is missing");
    let listed = all(admin).await;
    let seen: Vec<_> = listed.iter().map(|s| (s.id, s.bytes_sent)).collect();
    assert_eq!(seen, [(id(2), 4321), (id(3), 0)]);
    let session = &listed[0];
    assert_eq!(session.subject, subject);
    assert_eq!(
        (session.camera_id, session.node_id),
        (world.gate.id, edge.id)
    );
    assert_eq!(session.protocol, ViewProtocol::Rtmp);
    assert_eq!(session.address.to_string(), "192.0.2.7");
    assert_eq!(session.project_id, world.gate.project_id);
    assert_eq!(admin.session_view(id(2)).await.expect("is there"), *session);
    // An old complete report that comes late changes nothing; a new process starts anew.
    assert!(!tell(edge, &report(edge, 1, Vec::new())).await);
    let unknown = opened(5, Uuid::from_u128(99).into(), &subject);
    let restarted = SessionReport {
        instance: Uuid::now_v7(),
        ..report(edge, 1, vec![one(4), unknown])
    };
    assert!(tell(edge, &restarted).await);
    let late = SessionReport {
        instance: Uuid::from_u128(1),
        ..report(edge, 9, vec![one(6)])
    };
    assert!(
        !tell(edge, &late).await,
        "an older process has nothing to say"
    );
    let seen: Vec<_> = all(admin).await.iter().map(|s| s.id).collect();
    assert_eq!(seen, [id(4)], "a camera that is not there is not watched");
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn lists_are_narrowed_and_paged(pool: PgPool) {
    let world = Box::pin(World::new(&pool)).await;
    let (edge, admin) = (&world.edge, &world.cluster.admin);
    let yard = world.cluster.camera(gate()).await;
    let bob = world.user("Bob", None).await;
    world.grant(Principal::User { id: bob.id }).await;
    let subjects = [world.ann.to_string(), bob.id.to_string()];
    let (ann, on_yard) = (
        Principal::User { id: world.ann },
        GrantObject::Camera { id: yard.id },
    );
    let grant = GrantCreate::allow(ann, on_yard, vec![Action::CameraViewLive]);
    admin.grant_create(&grant).await.expect("grants");
    let sessions = vec![
        opened(1, world.gate.id, &subjects[0]),
        opened(2, yard.id, &subjects[0]),
        opened(3, world.gate.id, &subjects[1]),
    ];
    assert!(tell(edge, &report(edge, 1, sessions)).await);
    let ids = |sessions: Vec<Session>| sessions.iter().map(|s| s.id).collect::<Vec<_>>();
    let list = || admin.session_list().limit(1);
    let found = list().of_camera(world.gate.id).all().await.expect("lists");
    assert_eq!(ids(found), [id(1), id(3)]);
    let found = list().of_user(world.ann).all().await.expect("lists");
    assert_eq!(ids(found), [id(1), id(2)]);
    let found = list().on_node(edge.id).all().await.expect("lists");
    assert_eq!(ids(found), [id(1), id(2), id(3)]);
    let found = list()
        .on_node(Uuid::nil().into())
        .all()
        .await
        .expect("lists");
    assert_eq!(ids(found), []);
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_sees_or_ends_what_is_not_theirs(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let camera = admin.post("/v1/cameras", gate()).await.expect(201);
    let camera = text(&camera["id"]);
    let ann = admin
        .post("/v1/users", json!({"name": "Ann"}))
        .await
        .expect(201);
    let ann = text(&ann["id"]);
    let (_, edge) = new_node(&controller, "edge-1").await;
    let session = opened(1, camera.parse().expect("an id"), &ann);
    let mine = complete(Uuid::nil(), 1, vec![session]);
    admin
        .post(
            "/v1/grants",
            json!({"principal": {"type": "user", "id": ann},
        "object": on_camera(&camera), "actions": ["camera.view_live"]}),
        )
        .await
        .expect(201);
    let receipt = edge.session_report(&mine).await;
    assert!(receipt.expect("is answered").taken);

    let project = on_project(&controller.default_project().await);
    let path = format!("/v1/sessions/{}", id(1));
    for (grants, sees) in [
        (vec![(on_camera(&camera), &["camera.manage"][..])], true),
        (vec![(project.clone(), &["camera.manage"][..])], true),
        (vec![(project.clone(), &["user.manage"][..])], true),
        (vec![(on_camera(&camera), &["camera.view_live"][..])], false),
        (
            vec![(project, &["camera.view_live", "project.manage"][..])],
            false,
        ),
    ] {
        let key = controller.key(&grants).await;
        let viewed = key.get(&path).await;
        let listed = key.get("/v1/sessions").await;
        if sees {
            assert_eq!(viewed.expect(200)["id"], id(1).to_string());
            assert_eq!(
                listed.expect(200)["items"]
                    .as_array()
                    .expect("a list")
                    .len(),
                1
            );
        } else {
            viewed.problem(ProblemCode::Forbidden);
            listed.problem(ProblemCode::Forbidden);
        }
    }
    let (_, stranger) = controller.project("theirs").await;
    stranger.get(&path).await.problem(ProblemCode::NotFound);
    let end = format!("{path}:end");
    stranger
        .post(&end, json!({}))
        .await
        .problem(ProblemCode::NotFound);
    let listed = stranger.get("/v1/sessions").await.expect(200);
    assert_eq!(listed["items"], json!([]));
    let revoke = json!({"token_id": "t", "project_id": controller.default_project().await});
    let refused = stranger.post("/v1/playback_tokens:revoke", revoke).await;
    refused.problem(ProblemCode::NotFound);
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM revocation"#);
    assert_eq!(count.fetch_one(&pool).await.expect("counts"), 0);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_ended_session_reaches_its_edge_and_is_forgotten_later(pool: PgPool) {
    let mut world = Box::pin(World::new(&pool)).await;
    let session = opened(1, world.gate.id, &world.ann.to_string());
    let told = report(&world.edge, 1, vec![session]);
    assert!(tell(&world.edge, &told).await);
    let admin = world.cluster.admin.clone();
    let ended = admin.session_end(id(1)).await.expect("ends");
    assert_eq!(ended.id, id(1));
    let wanted = is(RevocationKind::Session, &id(1), true);
    world.revoked(wanted).await;
    let closed = SessionReport {
        complete: false,
        closed: vec![id(1)],
        ..report(&world.edge, 2, Vec::new())
    };
    assert!(tell(&world.edge, &closed).await);
    // It may have ended by itself: should its viewer come back, its edge knows a minute longer.
    let soon = Clock::system().now() + TimeDelta::minutes(2);
    let wanted = is(RevocationKind::Session, &id(1), true);
    world.revoked(|r| wanted(r) && r.expires_at < soon).await;
    let gone = admin.session_end(id(1)).await.expect_err("is gone");
    assert_eq!(gone.code(), Some(ProblemCode::NotFound));
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn whatever_is_taken_away_is_revoked(pool: PgPool) {
    let mut world = Box::pin(World::new(&pool)).await;
    let admin = world.cluster.admin.clone();
    let ann = world.ann;
    let disabled = UserUpdate {
        enabled: Some(false),
        ..UserUpdate::default()
    };
    admin.user_update(ann, &disabled).await.expect("disables");
    world.revoked(is(RevocationKind::Subject, &ann, true)).await;
    let bob = world.user("Bob", None).await.id;
    admin.user_delete(bob).await.expect("deletes");
    world.revoked(is(RevocationKind::Subject, &bob, true)).await;
    let key = serde_json::from_value(json!({"name": "x"})).expect("parses");
    let key = admin
        .api_key_create(&key)
        .await
        .expect("creates")
        .api_key
        .id;
    admin.api_key_revoke(key).await.expect("revokes");
    world.revoked(is(RevocationKind::Subject, &key, true)).await;
    let camera = world.gate.id;
    admin.camera_delete(camera).await.expect("deletes");
    world
        .revoked(is(RevocationKind::Camera, &camera, true))
        .await;
    let carl = world.user("Carl", None).await.id;
    admin.user_revoke_sessions(carl).await.expect("revokes");
    world
        .revoked(is(RevocationKind::Subject, &carl, true))
        .await;
    let token = serde_json::from_value(json!({"token_id": "abc"})).expect("parses");
    admin.playback_token_revoke(&token).await.expect("revokes");
    let project = world.gate.project_id;
    let wanted = is(RevocationKind::Token, &"abc", true);
    let bundle = world
        .revoked(move |r| wanted(r) && r.project_id == Some(project))
        .await;
    assert_eq!(bundle.revocations.len(), 6, "each thing once");
    admin.user_revoke_sessions(carl).await.expect("again");
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM revocation"#);
    assert_eq!(count.fetch_one(&pool).await.expect("counts"), 6);
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_removed_grant_ends_what_it_allowed_and_nothing_else(pool: PgPool) {
    let mut world = Box::pin(World::new(&pool)).await;
    let admin = world.cluster.admin.clone();
    let bob = world.user("Bob", None).await.id;
    let grant = world.grant(Principal::User { id: bob }).await;
    let sessions = vec![
        opened(1, world.gate.id, &world.ann.to_string()),
        opened(2, world.gate.id, &bob.to_string()),
    ];
    let told = report(&world.edge, 1, sessions);
    assert!(tell(&world.edge, &told).await);
    admin.grant_delete(grant.id).await.expect("deletes");
    let bundle = world
        .revoked(is(RevocationKind::Session, &id(2), true))
        .await;
    let wanted = is(RevocationKind::Subject, &bob, false);
    assert!(
        bundle.revocations.iter().any(wanted),
        "its tokens open nothing more"
    );
    assert_eq!(bundle.revocations.len(), 2, "Ann watches on: {bundle:?}");
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn whoever_watches_by_somebody_elses_leave_ends_with_them(pool: PgPool) {
    let mut world = Box::pin(World::new(&pool)).await;
    let created = world
        .cluster
        .admin
        .api_key_create(&serde_json::from_value(json!({"name": "backend"})).expect("parses"))
        .await
        .expect("creates");
    let of_key = |number| SessionOpened {
        issuer: Some(created.api_key.id.to_string()),
        ..opened(number, world.gate.id, &world.ann.to_string())
    };
    let own = opened(2, world.gate.id, &world.ann.to_string());
    let told = report(&world.edge, 1, vec![of_key(1), own]);
    assert!(tell(&world.edge, &told).await);
    sqlx::query!("UPDATE api_key SET expires_at = now() WHERE name = 'backend'")
        .execute(&pool)
        .await
        .expect("expires");
    let bundle = world
        .revoked(is(RevocationKind::Session, &id(1), true))
        .await;
    let other = is(RevocationKind::Session, &id(2), true);
    assert!(!bundle.revocations.iter().any(other));
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_may_not_hear_any_more_is_ended_and_who_only_sees_goes_on(pool: PgPool) {
    let mut world = Box::pin(World::new(&pool)).await;
    let admin = world.cluster.admin.clone();
    let ann = Principal::User { id: world.ann };
    let grant = world.grant_of(ann, Action::CameraViewAudio).await;
    let one = |number, sound| SessionOpened {
        sound,
        ..opened(number, world.gate.id, &world.ann.to_string())
    };
    let told = report(&world.edge, 1, vec![one(1, true), one(2, false)]);
    assert!(tell(&world.edge, &told).await);
    let sounds: Vec<_> = all(&admin).await.iter().map(|s| (s.id, s.sound)).collect();
    assert_eq!(sounds, [(id(1), true), (id(2), false)]);
    admin.grant_delete(grant.id).await.expect("deletes");
    let bundle = world
        .revoked(is(RevocationKind::Session, &id(1), true))
        .await;
    let wanted = is(RevocationKind::Subject, &world.ann, false);
    assert!(
        bundle.revocations.iter().any(wanted),
        "its tokens say more than is so"
    );
    assert_eq!(bundle.revocations.len(), 2, "it sees on: {bundle:?}");
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_newest_beyond_a_limit_end_wherever_they_are(pool: PgPool) {
    let mut world = Box::pin(World::new(&pool)).await;
    let (other, _alive) = world.cluster.living_edge("edge-2").await;
    let bob = world.user("Bob", Some(1)).await.id;
    world.grant(Principal::User { id: bob }).await;
    let limited = |number| SessionOpened {
        max_sessions: Some(1),
        ..opened(number, world.gate.id, &world.ann.to_string())
    };
    let of_bob = |number| opened(number, world.gate.id, &bob.to_string());
    let here = report(&world.edge, 1, vec![limited(1), of_bob(4)]);
    let there = report(&other, 1, vec![limited(2), of_bob(3)]);
    assert!(tell(&world.edge, &here).await);
    assert!(tell(&other, &there).await);
    let both = |bundle: &Bundle| {
        let has = |number| is(RevocationKind::Session, &id(number), true);
        bundle.revocations.iter().any(has(2)) && bundle.revocations.iter().any(has(4))
    };
    let bundle = world.watch.bundle(both).await;
    assert_eq!(bundle.revocations.len(), 2, "{bundle:?}");
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_watches_on_a_dead_node(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (edge, alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    let admin = &cluster.admin;
    let told = report(&edge, 1, vec![opened(1, camera.id, "key_x")]);
    assert!(tell(&edge, &told).await);
    assert_eq!(all(admin).await.len(), 1);
    alive.cancel();
    eventually("nobody watches", async || {
        age_leases(&pool).await;
        all(admin).await.is_empty().then_some(())
    })
    .await;
    let delta = SessionReport {
        complete: false,
        ..report(&edge, 2, Vec::new())
    };
    assert!(
        !tell(&edge, &delta).await,
        "if it comes back it says everything"
    );
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_a_camera_allows_reaches_its_edge(pool: PgPool) {
    let mut world = Box::pin(World::new(&pool)).await;
    let admin = world.cluster.admin.clone();
    let change = serde_json::from_value(json!({"viewing": {"max_viewers": 3, "sensitive": true}}));
    let change = change.expect("parses");
    let changed = admin
        .camera_update(world.gate.id, &change)
        .await
        .expect("changes");
    assert_eq!(changed.viewing.max_viewers, Some(3));
    loop {
        match world.watch.next().await.expect("a message") {
            headworks_types::edge::WatchMessage::Delta { upsert, .. }
                if upsert.iter().any(|slot| slot.view.sensitive) =>
            {
                assert_eq!(upsert[0].view.max_viewers, Some(3));
                break;
            }
            _ => {}
        }
    }
    let usual = serde_json::from_value(json!({"viewing": {}})).expect("parses");
    let changed = admin
        .camera_update(world.gate.id, &usual)
        .await
        .expect("changes");
    assert!(changed.viewing.is_usual());
    world.cluster.stop().await;
}

async fn camera_group(pool: &PgPool, project: ProjectId) -> CameraGroupId {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO camera_group (id, project_id, path, name) VALUES ($1::uuid, $2, ARRAY[$1::uuid], 'site')",
        id,
        project.uuid()
    )
    .execute(pool)
    .await
    .expect("inserts");
    id.into()
}

#[sqlx::test(migrations = "../../migrations")]
async fn groups_reach_edges_and_a_deny_below_closes_them(pool: PgPool) {
    let mut world = Box::pin(World::new(&pool)).await;
    let admin = world.cluster.admin.clone();
    let top = camera_group(&pool, world.gate.project_id).await;
    let change = serde_json::from_value(json!({"group_id": top})).expect("parses");
    admin
        .camera_update(world.gate.id, &change)
        .await
        .expect("moves");
    loop {
        match world.watch.next().await.expect("a message") {
            headworks_types::edge::WatchMessage::Delta { upsert, .. }
                if upsert.iter().any(|slot| slot.view.groups == [top]) =>
            {
                break;
            }
            _ => {}
        }
    }
    let ask = serde_json::from_value(json!({"camera_group_ids": [top]})).expect("parses");
    let token = admin.playback_token_issue(&ask).await.expect("issues");
    assert!(token.cameras.is_empty());
    // Who is denied one camera of the group gets no token for all of it.
    let allow = json!({"principal": {"type": "user", "id": world.ann},
        "object": {"type": "camera_group", "id": top}, "actions": ["camera.view_live"]});
    let allow = serde_json::from_value(allow).expect("parses");
    admin.grant_create(&allow).await.expect("grants");
    let ask = json!({"user_id": world.ann, "camera_group_ids": [top]});
    let ask = serde_json::from_value(ask).expect("parses");
    admin.playback_token_issue(&ask).await.expect("issues");
    let session = opened(1, world.gate.id, &world.ann.to_string());
    let told = report(&world.edge, 1, vec![session]);
    assert!(tell(&world.edge, &told).await);
    let deny = json!({"effect": "deny", "principal": {"type": "user", "id": world.ann},
        "object": {"type": "camera", "id": world.gate.id}, "actions": ["camera.view_live"]});
    let deny = serde_json::from_value(deny).expect("parses");
    admin.grant_create(&deny).await.expect("denies");
    world
        .revoked(is(RevocationKind::Session, &id(1), true))
        .await;
    let refused = admin
        .playback_token_issue(&ask)
        .await
        .expect_err("is denied");
    assert_eq!(refused.code(), Some(ProblemCode::Forbidden), "{refused}");
    world.cluster.stop().await;
}
