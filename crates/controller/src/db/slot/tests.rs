//! Every function of slots on a real PostgreSQL, and the invariants I1 and I2.

mod handover;
mod model;
mod race;
mod reprice;

use chrono::{DateTime, Utc};
use headworks_types::{
    CameraState, NodeId,
    edge::{SlotReport, SlotState},
};
use sqlx::PgPool;

use super::*;
use crate::db::fixture::{
    SUSPECT, account, camera, camera_of, holder, node, project, renew, silence, slot,
};

fn step(camera: CameraId, epoch: i64, from: Option<NodeId>, to: Option<NodeId>) -> Step {
    Step {
        slot: slot(camera),
        epoch,
        from,
        to,
        cost: 1,
        reason: "because".to_owned(),
    }
}

async fn assign(pool: &PgPool, steps: &[Step]) -> Vec<Outcome> {
    let mut tx = pool.begin().await.expect("begins");
    let outcomes = slot_assign(&mut tx, steps).await.expect("assigns");
    tx.commit().await.expect("commits");
    outcomes
}

fn epoch(outcome: &Outcome) -> Option<i64> {
    match outcome {
        Outcome::Done { epoch, .. } => Some(*epoch),
        Outcome::Stale | Outcome::Full => None,
    }
}

fn report(node_id: NodeId, camera: CameraId, epoch: i64, state: SlotState) -> Report {
    Report {
        node_id,
        slot: SlotReport {
            key: slot(camera),
            epoch,
            state,
            message: "connection refused".to_owned(),
            since: DateTime::UNIX_EPOCH,
            tracks: Vec::new(),
            viewers: 3,
            publisher: None,
            refused: None,
            published: Vec::new(),
            restream: None,
            usage: None,
        },
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_assignment_takes_capacity_raises_the_epoch_and_tells_the_node(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let camera = camera(&mut conn, project).await;
    let (one, two) = (
        node(&mut conn, "edge-1", 1).await,
        node(&mut conn, "edge-2", 1).await,
    );

    let outcomes = assign(&pool, &[step(camera, 0, None, Some(one))]).await;
    assert_eq!(
        outcomes,
        [Outcome::Done {
            epoch: 1,
            project_id: project
        }]
    );
    assert_eq!(account(&mut conn, one).await, (1, 1, 2));
    assert_eq!(
        holder(&mut conn, camera).await,
        (Some(one), 1, "because".to_owned())
    );

    let outcomes = assign(&pool, &[step(camera, 1, Some(one), Some(two))]).await;
    assert_eq!(
        outcomes,
        [Outcome::Done {
            epoch: 2,
            project_id: project
        }]
    );
    assert_eq!(
        account(&mut conn, one).await,
        (0, 1, 3),
        "the old holder is told, too"
    );
    assert_eq!(account(&mut conn, two).await, (1, 1, 2));

    let outcomes = assign(&pool, &[step(camera, 2, Some(two), None)]).await;
    assert_eq!(
        outcomes,
        [Outcome::Done {
            epoch: 2,
            project_id: project
        }]
    );
    assert_eq!(account(&mut conn, two).await, (0, 1, 3));
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_has_changed_or_does_not_fit_is_left_alone(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let (gate, door) = (
        camera(&mut conn, project).await,
        camera(&mut conn, project).await,
    );
    let off = camera(&mut conn, project).await;
    sqlx::query!(
        "UPDATE camera SET enabled = false WHERE id = $1",
        off.uuid()
    )
    .execute(&mut *conn)
    .await
    .expect("disables");
    let one = node(&mut conn, "edge-1", 1).await;
    let gone = CameraId::from(Uuid::now_v7());
    let outcomes = assign(
        &pool,
        &[
            step(gone, 0, None, Some(one)),
            step(off, 0, None, Some(one)),
            step(gate, 7, None, Some(one)),
            step(gate, 0, Some(one), None),
        ],
    )
    .await;
    assert_eq!(outcomes, [Outcome::Stale; 4]);
    assert_eq!(account(&mut conn, one).await, (0, 1, 1));

    let steps = [
        step(gate, 0, None, Some(one)),
        step(door, 0, None, Some(one)),
    ];
    let outcomes = assign(&pool, &steps).await;
    assert_eq!(epoch(&outcomes[0]), Some(1));
    assert_eq!(outcomes[1], Outcome::Full);
    assert_eq!(account(&mut conn, one).await, (1, 1, 2));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_chain_of_moves_between_full_nodes_works_in_any_order(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let (gate, door) = (
        camera(&mut conn, project).await,
        camera(&mut conn, project).await,
    );
    let (one, two) = (
        node(&mut conn, "edge-1", 1).await,
        node(&mut conn, "edge-2", 1).await,
    );
    assign(&pool, &[step(gate, 0, None, Some(one))]).await;
    let steps = [
        step(door, 0, None, Some(one)),
        step(gate, 1, Some(one), Some(two)),
    ];
    let outcomes = assign(&pool, &steps).await;
    assert!(
        outcomes.iter().all(|outcome| epoch(outcome).is_some()),
        "{outcomes:?}"
    );
    assert_eq!(holder(&mut conn, door).await.0, Some(one));
    assert_eq!(holder(&mut conn, gate).await.0, Some(two));
}

/// I2: nothing is ever assigned below an epoch that somebody has seen.
#[sqlx::test(migrations = "../../migrations")]
async fn an_assignment_goes_above_every_reported_epoch(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let (gate, door) = (
        camera(&mut conn, project).await,
        camera(&mut conn, project).await,
    );
    let (one, two) = (
        node(&mut conn, "edge-1", 9).await,
        node(&mut conn, "edge-2", 9).await,
    );
    assign(&pool, &[step(door, 0, None, Some(one))]).await;
    // The database is an old backup: edge-2 knows later epochs.
    let reports = [
        report(two, gate, 7, SlotState::Live),
        report(two, door, 9, SlotState::Live),
    ];
    slot_report(&mut conn, &reports).await.expect("stores");
    assert_eq!(
        epoch(&assign(&pool, &[step(gate, 0, None, Some(one))]).await[0]),
        Some(8)
    );
    assert_eq!(
        holder(&mut conn, door).await.1,
        10,
        "its holder gets it anew"
    );
    assert_eq!(
        account(&mut conn, one).await.2,
        4,
        "and is told: assigned, anew, assigned"
    );

    // Lower and absurd ones change nothing.
    let reports = [
        report(two, gate, 2, SlotState::Live),
        report(two, door, i64::MAX, SlotState::Live),
    ];
    slot_report(&mut conn, &reports).await.expect("stores");
    assert_eq!(holder(&mut conn, gate).await.1, 8);
    assert_eq!(holder(&mut conn, door).await.1, 10);
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_the_holder_under_its_epoch_is_believed_and_only_changes_are_written(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let (one, two) = (
        node(&mut conn, "edge-1", 9).await,
        node(&mut conn, "edge-2", 9).await,
    );
    assign(&pool, &[step(gate, 0, None, Some(one))]).await;
    assign(&pool, &[step(gate, 1, Some(one), Some(two))]).await;
    let others = [
        report(one, gate, 2, SlotState::Live),
        report(two, gate, 1, SlotState::Live),
        report(two, CameraId::from(Uuid::now_v7()), 2, SlotState::Live),
    ];
    slot_report(&mut conn, &others).await.expect("stores");
    let status = &status_list(&mut conn, &[gate], SUSPECT)
        .await
        .expect("lists")[&gate];
    assert_eq!(status.state, CameraState::Connecting);
    assert_eq!(
        status.message,
        "placed on edge-2, which has not reported on it yet"
    );

    let observed = async |pool: &PgPool| -> DateTime<Utc> {
        sqlx::query_scalar!(
            "SELECT observed_at FROM slot_status WHERE camera_id = $1",
            gate.uuid()
        )
        .fetch_one(pool)
        .await
        .expect("there is a status")
    };
    let mine = [report(two, gate, 2, SlotState::Failed)];
    slot_report(&mut conn, &mine).await.expect("stores");
    let first = observed(&pool).await;
    slot_report(&mut conn, &mine).await.expect("stores");
    assert_eq!(observed(&pool).await, first, "nothing has changed");
    let status = &status_list(&mut conn, &[gate], SUSPECT)
        .await
        .expect("lists")[&gate];
    assert_eq!((status.state, status.viewers), (CameraState::Failed, 3));
    assert_eq!(status.message, "connection refused");
    assert_eq!(status.node_name.as_deref(), Some("edge-2"));

    slot_report(&mut conn, &[report(two, gate, 2, SlotState::Live)])
        .await
        .expect("stores");
    assert!(observed(&pool).await > first);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_status_says_in_words_how_a_camera_is(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let published = camera_of(&mut conn, project, serde_json::json!({"type": "publish"})).await;
    let cameras = [gate, published, CameraId::from(Uuid::now_v7())];
    let statuses = status_list(&mut conn, &cameras, SUSPECT)
        .await
        .expect("lists");
    assert_eq!(statuses.len(), 2, "what does not exist has no status");
    assert_eq!(statuses[&gate].state, CameraState::Unplaced);
    assert_eq!(statuses[&gate].message, "waits for the planner");
    assert_eq!(statuses[&published].state, CameraState::Unplaced);
    assert_eq!(statuses[&published].message, "waits for the planner");

    let one = node(&mut conn, "edge-1", 9).await;
    assign(&pool, &[step(gate, 0, None, Some(one))]).await;
    slot_report(&mut conn, &[report(one, gate, 1, SlotState::Live)])
        .await
        .expect("stores");
    silence(&mut conn, one, 8.0).await;
    let status = &status_list(&mut conn, &cameras, SUSPECT)
        .await
        .expect("lists")[&gate];
    assert_eq!(status.state, CameraState::Unknown);
    assert_eq!(status.message, "node edge-1 has not reported for 8 s");
    assert_eq!((status.viewers, status.epoch), (0, 1));
    assert_eq!(status.reason, "because");

    renew(&mut conn, one, 10.0).await;
    let status = &status_list(&mut conn, &cameras, SUSPECT)
        .await
        .expect("lists")[&gate];
    assert_eq!(status.state, CameraState::Live);

    sqlx::query!(
        "UPDATE camera SET enabled = false WHERE id = $1",
        gate.uuid()
    )
    .execute(&mut *conn)
    .await
    .expect("disables");
    let status = &status_list(&mut conn, &cameras, SUSPECT)
        .await
        .expect("lists")[&gate];
    assert_eq!(status.state, CameraState::Disabled);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_changed_camera_reaches_its_holder_and_a_disabled_one_is_released(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    slot_touch(&mut conn, gate)
        .await
        .expect("touches what is nowhere");
    assign(&pool, &[step(gate, 0, None, Some(one))]).await;
    slot_touch(&mut conn, gate).await.expect("touches");
    assert_eq!(account(&mut conn, one).await, (1, 9, 3));

    let switch = async |pool: &PgPool, enabled: bool| {
        sqlx::query!(
            "UPDATE camera SET enabled = $2 WHERE id = $1",
            gate.uuid(),
            enabled
        )
        .execute(pool)
        .await
        .expect("switches");
    };
    switch(&pool, false).await;
    slot_touch(&mut conn, gate).await.expect("releases");
    assert_eq!(
        holder(&mut conn, gate).await,
        (None, 1, DISABLED.to_owned())
    );
    assert_eq!(account(&mut conn, one).await, (0, 9, 4));
    slot_touch(&mut conn, gate)
        .await
        .expect("has nothing to do");
    assert_eq!(account(&mut conn, one).await, (0, 9, 4));
    switch(&pool, true).await;
    slot_touch(&mut conn, gate).await.expect("asks for a place");
    assert_eq!(holder(&mut conn, gate).await, (None, 1, NEW.to_owned()));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_deleted_camera_gives_its_capacity_back(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    assign(&pool, &[step(gate, 0, None, Some(one))]).await;
    slot_report(&mut conn, &[report(one, gate, 1, SlotState::Live)])
        .await
        .expect("stores");
    let mut tx = pool.begin().await.expect("begins");
    slot_release_all(&mut tx, gate).await.expect("releases");
    sqlx::query!("DELETE FROM camera WHERE id = $1", gate.uuid())
        .execute(&mut *tx)
        .await
        .expect("deletes");
    tx.commit().await.expect("commits");
    assert_eq!(account(&mut conn, one).await, (0, 9, 3));
    assert!(
        desired_list(&mut conn, one)
            .await
            .expect("lists")
            .is_empty()
    );
    slot_report(&mut conn, &[report(one, gate, 1, SlotState::Live)])
        .await
        .expect("a late report does no harm");
}

#[sqlx::test(migrations = "../../migrations")]
async fn viewers_and_nodes_find_what_is_placed(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let (gate, door) = (
        camera(&mut conn, project).await,
        camera(&mut conn, project).await,
    );
    let one = node(&mut conn, "edge-1", 9).await;
    assign(&pool, &[step(gate, 0, None, Some(one))]).await;
    let places = playback_list(&mut conn, &[gate, door])
        .await
        .expect("lists");
    assert_eq!(places.len(), 1);
    assert_eq!(places[&gate].0, one);
    assert_eq!(places[&gate].1.http.as_str(), "http://edge-1:8081/");
    let desired = desired_list(&mut conn, one).await.expect("lists");
    assert_eq!(desired.len(), 1);
    assert_eq!((desired[0].key, desired[0].epoch), (slot(gate), 1));
    assert_eq!(desired[0].project_id, project);

    let fleet = slot_fleet(&mut conn, None).await.expect("lists");
    let nodes: Vec<_> = fleet
        .iter()
        .map(|slot| (slot.slot.key.camera_id, slot.slot.node))
        .collect();
    assert!(nodes.contains(&(gate, Some(one))) && nodes.contains(&(door, None)));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_reason_is_stored_for_its_epoch_only(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    for (epoch, reason) in [(0, "no node"), (1, "too late")] {
        slot_explain(&mut conn, &[(slot(gate), epoch, reason.to_owned())])
            .await
            .expect("stores");
    }
    assert_eq!(
        holder(&mut conn, gate).await,
        (None, 0, "no node".to_owned())
    );
}
