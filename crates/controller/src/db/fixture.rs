//! Rows for tests.

use std::time::Duration;

use headworks_types::{
    Advertise, CameraId, Labels, NodeId, NodeLimits, NodeLoad, ProjectId, RestreamAudio,
    RestreamId, RestreamSigning, RestreamVideo, Transport, UserId,
    edge::{NodeSpec, Role, SlotKey},
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    lease::{Renewal, lease_renew},
    node::node_insert,
    restream::{NewRestream, RestreamRow, restream_insert},
    slot::{restream_slot, restream_slot_insert, slot_insert},
};

/// The silence that makes a node suspect.
pub(crate) const SUSPECT: Duration = Duration::from_secs(6);

pub(crate) async fn project(conn: &mut PgConnection) -> ProjectId {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO project (id, name) VALUES ($1, $2)",
        id,
        id.to_string()
    )
    .execute(conn)
    .await
    .expect("inserts a project");
    id.into()
}

/// A user who is enabled, or not.
pub(crate) async fn user(conn: &mut PgConnection, project: ProjectId, enabled: bool) -> UserId {
    let id = Uuid::now_v7();
    sqlx::query!(
        r#"INSERT INTO "user" (id, project_id, name, enabled) VALUES ($1, $2, 'Ann', $3)"#,
        id,
        project.uuid(),
        enabled
    )
    .execute(conn)
    .await
    .expect("inserts a user");
    id.into()
}

/// A pulled camera with its slot.
pub(crate) async fn camera(conn: &mut PgConnection, project: ProjectId) -> CameraId {
    let source =
        serde_json::json!({"type": "pull", "url": "rtsp://10.0.0.1/1", "transport": "tcp"});
    camera_of(conn, project, source).await
}

pub(crate) async fn camera_of(
    conn: &mut PgConnection,
    project: ProjectId,
    source: serde_json::Value,
) -> CameraId {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO camera (id, project_id, name, source, start) VALUES ($1, $2, 'gate', $3, 'always')",
        id,
        project.uuid(),
        source
    )
    .execute(&mut *conn)
    .await
    .expect("inserts a camera");
    slot_insert(conn, id.into())
        .await
        .expect("inserts its slot");
    id.into()
}

/// A restream of the camera with its slot.
pub(crate) async fn restream(
    conn: &mut PgConnection,
    project: ProjectId,
    camera: CameraId,
    name: &str,
) -> (RestreamId, SlotKey) {
    let ordinals = restream_slot_insert(conn, &[camera]).await;
    let ordinal = ordinals.expect("inserts its slot")[&camera];
    let url = "rtmp://push.example.com/live/gate";
    let new = NewRestream {
        id: Uuid::now_v7().into(),
        camera_id: camera,
        project_id: project,
        ordinal,
        row: RestreamRow {
            name: name.to_owned(),
            external_id: None,
            labels: Labels::default(),
            url: url.parse().expect("is a URL"),
            transport: Transport::Tcp,
            tls_verify: true,
            signing: RestreamSigning::None,
            secrets: None,
            has_credentials: false,
            has_stream_key: false,
            video: RestreamVideo::Copy,
            audio: RestreamAudio::Copy,
            enabled: true,
        },
    };
    let inserted = restream_insert(conn, std::slice::from_ref(&new)).await;
    inserted.expect("inserts a restream");
    (new.id, restream_slot(camera, ordinal).expect("is a slot"))
}

pub(crate) fn slot(camera_id: CameraId) -> SlotKey {
    SlotKey {
        camera_id,
        role: Role::Ingest,
        ordinal: 0,
    }
}

pub(crate) fn spec(name: &str, site: &str, capacity: u32) -> NodeSpec {
    NodeSpec {
        name: name.to_owned(),
        site: site.to_owned(),
        zone: site.to_owned(),
        labels: Labels::default(),
        capacity,
        capabilities: None,
        limits: NodeLimits::default(),
        advertise: Advertise::new(format!("http://{name}:8081/").parse().expect("is a URL")),
        relay: None,
        version: "0.1.0".to_owned(),
    }
}

/// A node that has just renewed its lease.
pub(crate) async fn node(conn: &mut PgConnection, name: &str, capacity: u32) -> NodeId {
    let id = NodeId::from(Uuid::now_v7());
    node_insert(conn, id, &spec(name, "lyon", capacity))
        .await
        .expect("inserts a node");
    renew(conn, id, 10.0).await;
    id
}

/// Of the only process that is this node.
pub(crate) fn renewal(node_id: NodeId) -> Renewal {
    Renewal {
        node_id,
        instance: node_id.uuid(),
        goodbye: false,
        revision: 0,
        apply_error: None,
        load: NodeLoad::default(),
    }
}

pub(crate) async fn renew(conn: &mut PgConnection, node: NodeId, seconds: f64) {
    let renewed = lease_renew(conn, &[renewal(node)], seconds).await;
    assert_eq!(renewed.expect("renews the lease").len(), 1);
}

/// Makes it so long since the node renewed its lease.
pub(crate) async fn silence(conn: &mut PgConnection, node: NodeId, seconds: f64) {
    sqlx::query!(
        "UPDATE node_lease SET renewed_at = renewed_at - make_interval(secs => $2),
                               expires_at = expires_at - make_interval(secs => $2),
                               strict_after = strict_after - make_interval(secs => $2)
         WHERE node_id = $1",
        node.uuid(),
        seconds
    )
    .execute(conn)
    .await
    .expect("ages the lease");
}

/// Units used on the node, its limit and its revision.
pub(crate) async fn account(conn: &mut PgConnection, node: NodeId) -> (i32, i32, i64) {
    let row = sqlx::query!(
        "SELECT used, alloc, revision FROM node_capacity JOIN node_revision USING (node_id)
         WHERE node_id = $1",
        node.uuid()
    )
    .fetch_one(conn)
    .await
    .expect("there is a node");
    (row.used, row.alloc, row.revision)
}

/// Holder, epoch and reason of the camera's slot.
pub(crate) async fn holder(
    conn: &mut PgConnection,
    camera: CameraId,
) -> (Option<NodeId>, i64, String) {
    let row = sqlx::query!(
        "SELECT node_id, epoch, reason FROM slot WHERE camera_id = $1",
        camera.uuid()
    )
    .fetch_one(conn)
    .await
    .expect("there is a slot");
    (row.node_id.map(NodeId::from), row.epoch, row.reason)
}

/// Returns as soon as a statement waits for another transaction.
pub(crate) async fn somebody_waits_for_a_lock(pool: &PgPool) {
    let waited = async {
        loop {
            let waiting = sqlx::query_scalar!(
                r#"SELECT EXISTS (
                       SELECT FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'
                   ) AS "waiting!""#
            );
            if waiting.fetch_one(pool).await.expect("looks") {
                return;
            }
        }
    };
    let deadline = Duration::from_secs(10);
    tokio::time::timeout(deadline, waited)
        .await
        .expect("somebody waits");
}

/// How long the thread or process has had a processor, by its `schedstat`.
pub(crate) fn processor_time(file: &str) -> Duration {
    let text = std::fs::read_to_string(file).expect("is a process of this machine");
    let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.expect("is a number"))
}
