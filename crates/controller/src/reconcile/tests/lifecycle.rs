//! Drains, nodes that die too often, the brake, and what is told of nodes.

use headworks_types::{DrainState, NodeDrain};

use super::*;
use crate::db::{
    cluster_state::{brake_release, cluster_get, outage_mark},
    fixture::SUSPECT,
    node::{
        node_cancel_drain, node_cordon, node_drain, node_fleet, node_get, node_remove,
        node_uncordon,
    },
    slot::{move_list, move_sweep, slot_vacate},
};
use headworks_planner::Intake;

async fn watch_nodes(state: &State) -> node_death::Status {
    let mut health = Health::default();
    let listed = node_death::list(state, &mut health).await.expect("lists");
    let decided = node_death::decide(listed, true);
    node_death::act(state, decided).await.expect("acts")
}

async fn drain_turn(state: &State) -> drain::Status {
    drain::turn(state).await.expect("looks after drains")
}

async fn pass_deadline(conn: &mut PgConnection) {
    sqlx::query!(
        "UPDATE node SET drain_deadline_at = clock_timestamp()
         WHERE drain_started_at IS NOT NULL"
    )
    .execute(conn)
    .await
    .expect("passes");
}

async fn drained(conn: &mut PgConnection, node: NodeId) -> NodeDrain {
    let node = node_get(conn, node, SUSPECT).await.expect("asks");
    node.expect("is there").drain.expect("is drained")
}

async fn intake(conn: &mut PgConnection, node: NodeId) -> Intake {
    let fleet = node_fleet(conn, SUSPECT).await.expect("lists");
    let found = fleet.into_iter().find(|one| one.id == node);
    found.expect("is there").intake
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_planner_is_told_what_a_node_takes(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let one = node(&mut conn, "edge-1", 9).await;
    assert_eq!(intake(&mut conn, one).await, Intake::Open);
    node_cordon(&mut conn, one).await.expect("cordons");
    assert_eq!(intake(&mut conn, one).await, Intake::Cordoned);
    node_drain(&mut conn, one, 60).await.expect("drains");
    assert_eq!(intake(&mut conn, one).await, Intake::Draining);
    node_cancel_drain(&mut conn, one, false)
        .await
        .expect("cancels");
    assert_eq!(intake(&mut conn, one).await, Intake::Cordoned);
    node_uncordon(&mut conn, one).await.expect("uncordons");
    assert_eq!(intake(&mut conn, one).await, Intake::Open);
}

#[sqlx::test(migrations = "../../migrations")]
async fn nothing_is_given_to_a_node_after_the_operators_word(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    let term = planner_acquire(&mut conn, me, 60.0)
        .await
        .expect("acquires");
    let decided = planner::decide(&planner::list(&state).await.expect("lists"));
    node_cordon(&mut conn, one).await.expect("cordons");
    let term = term.expect("nobody else plans");
    let status = planner::act(&state, me, term, decided).await.expect("acts");
    assert_eq!((status.placed, status.postponed), (0, 1));
    assert_eq!(holder(&mut conn, gate).await.0, None);
    node_uncordon(&mut conn, one).await.expect("uncordons");
    assert_eq!(turn(&state, me).await.placed, 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_drain_ends_once_when_nothing_is_left(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    turn(&state, me).await;
    node_drain(&mut conn, one, 600).await.expect("drains");
    assert_eq!(
        drain_turn(&state).await,
        drain::Status::default(),
        "it has time"
    );
    let now = drained(&mut conn, one).await;
    assert_eq!(
        (now.state, now.slots_total, now.slots_left),
        (DrainState::Draining, 1, 1)
    );
    sqlx::query!("UPDATE camera SET enabled = false")
        .execute(&pool)
        .await
        .expect("disables");
    slot_touch(&mut conn, gate).await.expect("releases");
    assert_eq!(drain_turn(&state).await.ended, 1);
    assert_eq!(drain_turn(&state).await, drain::Status::default());
    let now = drained(&mut conn, one).await;
    assert_eq!(
        (now.state, now.slots_total, now.slots_left),
        (DrainState::Drained, 1, 0)
    );
    assert_eq!(now.message, "drained: all 1 slots have left");
    assert_eq!(
        intake(&mut conn, one).await,
        Intake::Cordoned,
        "it stays closed"
    );
    assert_eq!(
        events(&pool, "node.drained").await,
        ["edge-1: drained: all 1 slots have left"]
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn at_the_deadline_what_nobody_can_take_stays(pool: PgPool) {
    let (first, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let cameras = cameras(&mut conn, project, 3).await;
    let one = node(&mut conn, "edge-1", 9).await;
    turn(&first, me).await;
    let two = node(&mut conn, "edge-2", 1).await;
    node_drain(&mut conn, one, 600).await.expect("drains");
    pass_deadline(&mut conn).await;
    assert_eq!(drain_turn(&first).await.released, 1);
    // Another controller goes on.
    let second = state(&pool);
    assert_eq!(turn(&second, me).await.placed, 1);
    assert_eq!(account(&mut conn, two).await.0, 1);
    assert_eq!(drain_turn(&second).await.ended, 1);
    let now = drained(&mut conn, one).await;
    assert_eq!((now.state, now.slots_left), (DrainState::Expired, 2));
    assert!(
        now.message.starts_with("expired: 2 of 3 slots stay: cam_"),
        "{}",
        now.message
    );
    assert!(
        now.message.contains("(no node has capacity: edge-2 full)"),
        "{}",
        now.message
    );
    let mut left = 0;
    for camera in cameras {
        left += usize::from(holder(&mut conn, camera).await.0 == Some(one));
    }
    assert_eq!(left, 2);
    assert_eq!(events(&pool, "node.drain_expired").await.len(), 1);
    assert_eq!(
        events(&pool, "camera.placed").await[3],
        "taken from its node: the deadline for draining edge-1 has passed"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_last_node_keeps_everything(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    turn(&state, me).await;
    node_drain(&mut conn, one, 600).await.expect("drains");
    pass_deadline(&mut conn).await;
    assert_eq!(drain_turn(&state).await.ended, 1);
    let now = drained(&mut conn, one).await;
    let wanted = format!("expired: 1 of 1 slots stay: {gate} (there is no other node)");
    assert_eq!(now.message, wanted);
    turn(&state, me).await;
    assert_eq!(holder(&mut conn, gate).await.0, Some(one));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_removed_node_is_deleted_when_nothing_of_it_can_be_at_work(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    turn(&state, me).await;
    node_remove(&mut conn, one).await.expect("removes");
    assert_eq!(node_get(&mut conn, one, SUSPECT).await.expect("asks"), None);
    assert_eq!(drain_turn(&state).await.deleted, 0, "its lease runs still");
    assert_eq!(
        holder(&mut conn, gate).await.0,
        None,
        "its work was taken from it"
    );
    let renewed = lease_renew(&mut conn, &[renewal(one)], 10.0).await;
    assert_eq!(renewed.expect("asks"), [], "it is not heard any more");
    // Its name is free.
    let two = node(&mut conn, "edge-1", 9).await;
    silence(&mut conn, one, 60.0).await;
    assert_eq!(drain_turn(&state).await.deleted, 1);
    assert_eq!(turn(&state, me).await.placed, 1);
    assert_eq!(holder(&mut conn, gate).await.0, Some(two));
    let moves = move_list(&mut conn, gate, None, 10).await.expect("lists");
    let words: Vec<_> = moves.iter().map(|(_, moved)| moved.words()).collect();
    assert_eq!(
        words,
        ["nowhere → edge-1", "edge-1 → nowhere", "nowhere → edge-1"]
    );
    assert_eq!(
        moves[1].1.from_node_id,
        Some(one),
        "who is gone is known still"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_last_moves_of_a_slot_are_kept(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    for _ in 0..26 {
        assert_eq!(turn(&state, me).await.placed, 1);
        let done = slot_vacate(&mut conn, one, "a test")
            .await
            .expect("releases");
        assert_eq!(done.len(), 1);
    }
    let moves = move_list(&mut conn, gate, None, 100).await.expect("lists");
    assert_eq!(moves.len(), 50);
    let (newest, oldest) = (&moves[0].1, &moves[49].1);
    assert_eq!(
        (newest.words(), newest.epoch),
        ("edge-1 → nowhere".to_owned(), 26)
    );
    assert_eq!(
        (oldest.words(), oldest.epoch),
        ("nowhere → edge-1".to_owned(), 2)
    );
    let next = move_list(&mut conn, gate, Some(moves[9].0), 1)
        .await
        .expect("lists");
    assert_eq!(next[0], moves[10], "pages go on");

    sqlx::query!("UPDATE slot_move SET at = at - interval '91 days' WHERE epoch = 2")
        .execute(&pool)
        .await
        .expect("ages");
    assert_eq!(move_sweep(&mut conn, 90, 100).await.expect("sweeps"), 2);
}

#[sqlx::test(migrations = "../../migrations")]
async fn each_change_of_a_node_is_told_once(pool: PgPool) {
    let state = state(&pool);
    let mut conn = pool.acquire().await.expect("connects");
    let one = node(&mut conn, "edge-1", 9).await;
    watch_nodes(&state).await;
    watch_nodes(&state).await;
    assert_eq!(events(&pool, "node.ready").await, ["edge-1 has come"]);
    silence(&mut conn, one, 7.0).await;
    watch_nodes(&state).await;
    watch_nodes(&state).await;
    assert_eq!(
        events(&pool, "node.suspect").await,
        ["edge-1 has missed renewals of its lease"]
    );
    renew(&mut conn, one, 10.0).await;
    watch_nodes(&state).await;
    let mut goodbye = renewal(one);
    goodbye.goodbye = true;
    lease_renew(&mut conn, &[goodbye], 10.0)
        .await
        .expect("says goodbye");
    watch_nodes(&state).await;
    watch_nodes(&state).await;
    assert_eq!(events(&pool, "node.stopped").await, ["edge-1 said goodbye"]);
    renew(&mut conn, one, 10.0).await;
    watch_nodes(&state).await;
    assert_eq!(events(&pool, "node.ready").await.len(), 3);
    die(&state, &mut conn, &[one]).await;
    watch_nodes(&state).await;
    renew(&mut conn, one, 10.0).await;
    watch_nodes(&state).await;
    watch_nodes(&state).await;
    for (kind, count) in [("node.died", 1), ("node.returned", 1), ("node.suspect", 1)] {
        assert_eq!(events(&pool, kind).await.len(), count, "{kind}");
    }
}

/// Dies and comes back. For how long it takes no new work, if so.
async fn flap(state: &State, conn: &mut PgConnection, node: NodeId) -> Option<i64> {
    assert_eq!(die(state, conn, &[node]).await.died, 1);
    renew(conn, node, 10.0).await;
    assert_eq!(watch_nodes(state).await.returned, 1);
    sqlx::query_scalar!(
        "SELECT round(EXTRACT(EPOCH FROM unsteady_until - clock_timestamp()))::bigint
         FROM node WHERE id = $1",
        node.uuid()
    )
    .fetch_one(conn)
    .await
    .expect("asks")
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_dies_too_often_waits_longer_each_time(pool: PgPool) {
    let state = state(&pool);
    let mut conn = pool.acquire().await.expect("connects");
    let one = node(&mut conn, "edge-1", 9).await;
    let mut waits = Vec::new();
    for _ in 0..9 {
        waits.push(flap(&state, &mut conn, one).await);
    }
    let some = [30, 60, 120, 240, 480, 600, 600].map(Some);
    assert_eq!(waits, [&[None, None], &some[..]].concat());
    assert_eq!(intake(&mut conn, one).await, Intake::Unsteady);
    assert_eq!(
        events(&pool, "node.unsteady").await[0],
        "edge-1 died 3 times within 10 min: it takes no new work for 30 s"
    );

    // It is over by itself, and is remembered for a while.
    let age = |seconds: f64| {
        sqlx::query!(
            "UPDATE node SET unsteady_until = unsteady_until - make_interval(secs => $1),
                 unsteady_ended_at = unsteady_ended_at - make_interval(secs => $1),
                 deaths = ARRAY (SELECT at - make_interval(secs => $1)
                                 FROM unnest(deaths) AS t (at))",
            seconds
        )
    };
    age(601.0).execute(&pool).await.expect("ages");
    watch_nodes(&state).await;
    watch_nodes(&state).await;
    assert_eq!(intake(&mut conn, one).await, Intake::Open);
    assert_eq!(
        events(&pool, "node.steady").await,
        ["edge-1 takes new work again"]
    );
    assert_eq!(flap(&state, &mut conn, one).await, Some(600));
    age(601.0).execute(&pool).await.expect("ages");
    watch_nodes(&state).await;
    age(601.0).execute(&pool).await.expect("ages");
    assert_eq!(
        flap(&state, &mut conn, one).await,
        None,
        "one death is no habit"
    );
    node_uncordon(&mut conn, one).await.expect("uncordons");
    assert_eq!(flap(&state, &mut conn, one).await, None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_brake_is_written_down_and_can_be_released(pool: PgPool) {
    let state = state(&pool);
    let mut conn = pool.acquire().await.expect("connects");
    let mut nodes = Vec::new();
    for number in 0..5 {
        nodes.push(node(&mut conn, &format!("edge-{number}"), 9).await);
    }
    assert_eq!(die(&state, &mut conn, &nodes[..4]).await.died, 0);
    watch_nodes(&state).await;
    let cluster = cluster_get(&mut conn, SUSPECT).await.expect("asks");
    assert!(cluster.brake.on && cluster.brake.since.is_some());
    assert_eq!(cluster.brake.silent.len(), 4);
    assert_eq!((cluster.nodes.ready, cluster.nodes.suspect), (1, 4));
    assert_eq!(events(&pool, "cluster.brake_on").await.len(), 1);

    let until = brake_release(&mut conn, "key_1", 60)
        .await
        .expect("releases");
    assert!(until > cluster.database.now);
    assert_eq!(watch_nodes(&state).await.died, 4);
    let cluster = cluster_get(&mut conn, SUSPECT).await.expect("asks");
    assert!(!cluster.brake.on);
    assert_eq!(cluster.brake.released_until, Some(until));
    assert_eq!(cluster.nodes.dead, 4);
    assert_eq!(events(&pool, "cluster.brake_off").await.len(), 1);
    sqlx::query!("UPDATE cluster_state SET brake_released_until = clock_timestamp()")
        .execute(&pool)
        .await
        .expect("ends");
    assert_eq!(
        die(&state, &mut conn, &nodes[4..]).await.died,
        0,
        "it holds again"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_outage_is_told_once_by_all_replicas(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    for state in [state(&pool), state(&pool)] {
        let mut health = Health::lost();
        node_death::list(&state, &mut health).await.expect("lists");
    }
    assert_eq!(events(&pool, "cluster.leases_extended").await.len(), 1);
    let cluster = cluster_get(&mut conn, SUSPECT).await.expect("asks");
    assert!(cluster.database.leases_extended_at.is_some());
    assert!(!outage_mark(&mut conn).await.expect("marks"));
}
