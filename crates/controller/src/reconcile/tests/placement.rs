//! How the planner learns what has changed, and what it does about busy nodes, measured costs and
//! cameras that refuse a second session.

use headworks_types::edge::{SlotReport, SlotState, SlotUsage};

use super::*;
use crate::{
    db::{
        fixture::slot,
        node::{node_fleet, node_heat},
        slot::{Report, slot_report},
    },
    reconcile::planner::{Memory, turn_with},
};

fn report(node_id: NodeId, camera: CameraId, epoch: i64, in_kbit: u32) -> Report {
    let usage = SlotUsage {
        in_kbit,
        ..SlotUsage::default()
    };
    Report {
        node_id,
        slot: SlotReport {
            key: slot(camera),
            epoch,
            state: SlotState::Live,
            message: String::new(),
            since: chrono::DateTime::UNIX_EPOCH,
            tracks: Vec::new(),
            viewers: 0,
            publisher: None,
            refused: None,
            published: Vec::new(),
            restream: None,
            usage: Some(usage),
        },
    }
}

async fn next(state: &State, me: Uuid, memory: &mut Option<Memory>) -> Status {
    turn_with(state, me, memory).await.expect("plans")
}

/// Makes it eleven minutes since anything was placed, and more than one since nodes became busy.
async fn age(conn: &mut PgConnection) {
    sqlx::query!("UPDATE slot SET assigned_at = assigned_at - interval '11 minutes'")
        .execute(&mut *conn)
        .await
        .expect("ages slots");
    sqlx::query!("UPDATE node_capacity SET busy_since = busy_since - interval '61 seconds'")
        .execute(conn)
        .await
        .expect("ages nodes");
}

#[sqlx::test(migrations = "../../migrations")]
async fn changes_are_seen_without_reading_everything(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = cameras(&mut conn, project, 2).await[0];
    let one = node(&mut conn, "edge-1", 9).await;
    let mut memory = None;
    assert_eq!(next(&state, me, &mut memory).await.placed, 2);
    assert_eq!(next(&state, me, &mut memory).await.placed, 0);
    let known = memory.take().expect("is the planner");
    let stranger = planner::take(&state, Uuid::now_v7(), 1).await;
    assert_eq!(stranger.expect("asks"), None, "only the planner takes");
    let changed = planner::take(&state, me, 1).await.expect("asks");
    let changed = changed.expect("is the planner");
    let looked = planner::refresh(&state, known, changed).await;
    let (known, has_changed) = looked.expect("looks");
    assert!(!has_changed, "what it did itself it has seen");
    memory = Some(known);

    let yard = camera(&mut conn, project).await;
    assert_eq!(next(&state, me, &mut memory).await.placed, 1);
    assert_eq!(holder(&mut conn, yard).await.0, Some(one));
    sqlx::query!(
        "UPDATE camera SET enabled = false WHERE id = $1",
        gate.uuid()
    )
    .execute(&mut *conn)
    .await
    .expect("disables");
    assert_eq!(next(&state, me, &mut memory).await.released, 1);
    // Nodes are looked at each time.
    let two = node(&mut conn, "edge-2", 9).await;
    die(&state, &mut conn, &[one]).await;
    assert_eq!(next(&state, me, &mut memory).await.placed, 2);
    assert_eq!(account(&mut conn, two).await.0, 2);
}

#[sqlx::test(migrations = "../../migrations")]
async fn measured_costs_are_booked(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let cameras = cameras(&mut conn, project, 2).await;
    let one = node(&mut conn, "edge-1", 6).await;
    let mut memory = None;
    next(&state, me, &mut memory).await;
    for camera in &cameras {
        let heavy = report(one, *camera, 1, 30_000);
        slot_report(&mut conn, &[heavy]).await.expect("reports");
    }
    assert_eq!(next(&state, me, &mut memory).await.repriced, 2);
    // Four units each are more than there is; nothing is stopped for that.
    assert_eq!(account(&mut conn, one).await.0, 6);
    assert_eq!(next(&state, me, &mut memory).await.repriced, 0);
    let late = camera(&mut conn, project).await;
    assert_eq!(next(&state, me, &mut memory).await.refused, 1);
    assert_eq!(
        holder(&mut conn, late).await.2,
        "no node has capacity: edge-1 full"
    );
    let light = report(one, cameras[0], 1, 1000);
    slot_report(&mut conn, &[light]).await.expect("reports");
    let status = next(&state, me, &mut memory).await;
    assert_eq!((status.placed, status.refused), (1, 0));
    assert_eq!(account(&mut conn, one).await.0, 6);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_is_hot_after_a_minute_and_until_it_is_cool(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let one = node(&mut conn, "edge-1", 100).await;
    let hot = async |used: i32, aged: bool| {
        let mut conn = pool.acquire().await.expect("connects");
        sqlx::query!(
            "UPDATE node_capacity SET used = $2 WHERE node_id = $1",
            one.uuid(),
            used
        )
        .execute(&mut *conn)
        .await
        .expect("loads it");
        node_heat(&mut conn).await.expect("measures");
        if aged {
            age(&mut conn).await;
        }
        let nodes = node_fleet(&mut conn, crate::db::fixture::SUSPECT).await;
        nodes.expect("lists")[0].hot
    };
    assert!(!hot(80, true).await);
    assert!(!hot(81, false).await);
    assert!(!hot(80, true).await, "it was not for long");
    assert!(!hot(81, false).await);
    assert!(hot(81, true).await);
    assert!(hot(66, false).await);
    assert!(!hot(65, true).await);
    assert!(!hot(80, true).await);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_busy_node_gives_work_away_until_it_is_cool(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    cameras(&mut conn, project, 9).await;
    let one = node(&mut conn, "edge-1", 10).await;
    let mut memory = None;
    next(&state, me, &mut memory).await;
    let two = node(&mut conn, "edge-2", 20).await;
    assert_eq!(next(&state, me, &mut memory).await.placed, 0, "not yet");
    age(&mut conn).await;
    // A planner that has not read the slots for a minute reads them.
    memory = None;
    assert_eq!(next(&state, me, &mut memory).await.placed, 3);
    assert_eq!(account(&mut conn, one).await.0, 6);
    assert_eq!(account(&mut conn, two).await.0, 3);
    let placed = events(&pool, "camera.placed").await;
    assert!(
        placed[9].ends_with("edge-2 in site lyon: the only node that fits; edge-1 was too busy"),
        "{placed:?}"
    );
    for _ in 0..3 {
        age(&mut conn).await;
        assert_eq!(next(&state, me, &mut None).await.placed, 0);
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_camera_that_refuses_a_second_session_is_let_go_of_first(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    let mut memory = None;
    next(&state, me, &mut memory).await;
    let two = NodeId::from(Uuid::now_v7());
    crate::db::node::node_insert(&mut conn, two, &spec("edge-2", "paris", 9))
        .await
        .expect("joins");
    renew(&mut conn, two, 10.0).await;
    sqlx::query!(r#"UPDATE camera SET exclusive_source = true, placement = '{"site": "paris"}'"#)
        .execute(&mut *conn)
        .await
        .expect("changes");
    let status = next(&state, me, &mut memory).await;
    assert_eq!((status.released, status.placed), (1, 0));
    for _ in 0..2 {
        assert_eq!(next(&state, me, &mut memory).await.placed, 0);
    }
    assert_eq!(
        holder(&mut conn, gate).await.2,
        "the camera refuses a second session, and goes on elsewhere when edge-1 has let go of it"
    );
    let revision = account(&mut conn, one).await.2;
    let applied = Renewal {
        revision,
        ..renewal(one)
    };
    let renewed = lease_renew(&mut conn, &[applied], 10.0).await;
    assert_eq!(renewed.expect("renews").len(), 1);
    assert_eq!(next(&state, me, &mut memory).await.placed, 1);
    assert_eq!(holder(&mut conn, gate).await.0, Some(two));
    // Nobody waits for a dead node.
    die(&state, &mut conn, &[two]).await;
    sqlx::query!("UPDATE camera SET placement = '{}'")
        .execute(&mut *conn)
        .await
        .expect("changes");
    assert_eq!(next(&state, me, &mut memory).await.placed, 1);
    assert_eq!(holder(&mut conn, gate).await.0, Some(one));
}
