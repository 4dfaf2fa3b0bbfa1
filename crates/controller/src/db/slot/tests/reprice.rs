//! What slots take: measured without flapping, and booked where it is counted.

use headworks_types::edge::SlotUsage;

use super::*;
use crate::db::slot::reprice::slot_reprice;

fn usage(node: NodeId, camera: CameraId, epoch: i64, in_kbit: u32) -> Report {
    let mut report = report(node, camera, epoch, SlotState::Live);
    report.slot.usage = Some(SlotUsage {
        in_kbit,
        ..SlotUsage::default()
    });
    report
}

async fn measured(pool: &PgPool, camera: CameraId) -> Option<i32> {
    sqlx::query_scalar!(
        "SELECT measured FROM slot WHERE camera_id = $1",
        camera.uuid()
    )
    .fetch_one(pool)
    .await
    .expect("reads")
}

/// Nodes whose books do not say what their slots take.
async fn unbalanced(pool: &PgPool) -> i64 {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM node_capacity c
           WHERE c.used <> (SELECT COALESCE(sum(cost), 0) FROM slot s WHERE s.node_id = c.node_id)"#
    )
    .fetch_one(pool)
    .await
    .expect("counts")
}

#[sqlx::test(migrations = "../../migrations")]
async fn measured_costs_do_not_flap_and_only_the_holder_measures(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    let two = node(&mut conn, "edge-2", 9).await;
    assign(&pool, &[step(gate, 0, None, Some(one))]).await;
    for (kbit, expected) in [
        (4000, None),
        (8700, None),
        (8900, Some(2)),
        (8000, Some(2)),
        (6100, Some(2)),
        (16_700, Some(2)),
        (5900, Some(1)),
        (40_000, Some(5)),
        (0, Some(1)),
    ] {
        let report = usage(one, gate, 1, kbit);
        slot_report(&mut conn, &[report]).await.expect("reports");
        assert_eq!(measured(&pool, gate).await, expected, "{kbit}");
    }
    let strangers = [usage(two, gate, 1, 90_000), usage(one, gate, 0, 90_000)];
    for stranger in strangers {
        slot_report(&mut conn, &[stranger]).await.expect("reports");
        assert_eq!(measured(&pool, gate).await, Some(1));
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn costs_are_booked_as_far_as_there_is_room_and_nobody_is_told(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let yard = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 3).await;
    let two = node(&mut conn, "edge-2", 3).await;
    assign(
        &pool,
        &[
            step(gate, 0, None, Some(one)),
            step(yard, 0, None, Some(one)),
        ],
    )
    .await;
    let before = account(&mut conn, one).await;
    let book = async |camera, epoch, node, cost| {
        let step = Step {
            cost,
            ..step(camera, epoch, Some(node), Some(node))
        };
        let mut tx = pool.begin().await.expect("begins");
        let done = slot_reprice(&mut tx, &[step]).await.expect("books");
        tx.commit().await.expect("commits");
        assert_eq!(unbalanced(&pool).await, 0);
        done
    };
    assert_eq!(book(gate, 1, one, 2).await, 1);
    assert_eq!(book(yard, 1, one, 2).await, 0, "there is no room");
    assert_eq!(book(gate, 1, one, 1).await, 1);
    assert_eq!(book(yard, 1, one, 2).await, 1);
    assert_eq!(book(gate, 0, one, 1).await, 0, "it was assigned anew since");
    assert_eq!(book(gate, 1, two, 1).await, 0, "it is elsewhere");
    assert_eq!(account(&mut conn, one).await, (3, before.1, before.2));
    assert_eq!(holder(&mut conn, gate).await.1, 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_the_planner_has_to_look_at_is_noted_once(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 3).await;
    let noted = async || {
        let mut conn = pool.acquire().await.expect("connects");
        plan_change_take(&mut conn).await.expect("asks")
    };
    assert_eq!(noted().await, [gate]);
    assert_eq!(noted().await, []);
    assign(&pool, &[step(gate, 0, None, Some(one))]).await;
    assert_eq!(noted().await, [gate]);
    let live = report(one, gate, 1, SlotState::Live);
    slot_report(&mut conn, &[live]).await.expect("reports");
    assert_eq!(noted().await, [], "how it goes does not matter");
    let heavy = usage(one, gate, 1, 20_000);
    slot_report(&mut conn, &[heavy]).await.expect("reports");
    assert_eq!(noted().await, [gate]);
    let set = async |change: &str| {
        let statement = match change {
            "name" => sqlx::query!("UPDATE camera SET name = 'yard'"),
            _ => sqlx::query!("UPDATE camera SET exclusive_source = true"),
        };
        statement.execute(&pool).await.expect("changes");
    };
    set("name").await;
    assert_eq!(noted().await, [], "its name does not matter");
    set("exclusive").await;
    assert_eq!(noted().await, [gate]);
    // What is not committed is not taken, nor lost.
    let mut tx = pool.begin().await.expect("begins");
    sqlx::query!("UPDATE camera SET enabled = false")
        .execute(&mut *tx)
        .await
        .expect("changes");
    assert_eq!(noted().await, []);
    tx.commit().await.expect("commits");
    assert_eq!(noted().await, [gate]);
    sqlx::query!("DELETE FROM camera WHERE id = $1", gate.uuid())
        .execute(&pool)
        .await
        .expect("deletes");
    assert_eq!(noted().await, [gate]);
}
