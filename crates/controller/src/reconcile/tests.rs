//! The loops' turns on a real PostgreSQL, stopped between listing, deciding and acting.

mod lifecycle;
mod placement;

use std::{sync::Arc, time::Duration};

use headworks_bootstrap::{Clock, Tasks};
use headworks_duty::Health;
use headworks_types::{CameraId, NodeId, ProjectId, Secret};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    drain, housekeeping, node_death,
    planner::{self, Role, Status},
};
use crate::{
    Config,
    app::{audit::Refusals, auth::SignInDesk, edge::Edges},
    db::{
        fixture::{
            account, camera, holder, node, project, renew, renewal, silence,
            somebody_waits_for_a_lock, spec,
        },
        lease::{Renewal, lease_census, lease_extend_all, lease_renew},
        node::node_update,
        planner_lease::{planner_acquire, planner_hold, planner_resign},
        slot::slot_touch,
    },
    keys::Keys,
    state::{Ids, State, Wake},
};

pub(super) fn state(pool: &PgPool) -> State {
    state_with(pool, ["2s", "6s", "10s"])
}

fn state_with(pool: &PgPool, leases: [&str; 3]) -> State {
    let config = serde_json::json!({
        "listen": "127.0.0.1:0",
        "database_connections": 5,
        "database_wait": "1s",
        "request_timeout": "5s",
        "lease_renew": leases[0],
        "lease_suspect": leases[1],
        "lease_dead": leases[2],
        "audit_retention": "400days",
    });
    let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH);
    let master = Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let config: Config = serde_json::from_value(config).expect("is a configuration");
    State {
        pool: pool.clone().into(),
        keys: Arc::new(Keys::new(&master, None).expect("is a key")),
        authority: Arc::new(crate::pki::tests::authority()),
        auth: SignInDesk::new(&config).expect("needs no providers"),
        config: Arc::new(config),
        wake: Wake::default(),
        tasks: Tasks::new(),
        ids: Ids::new(clock.clone()),
        clock,
        edges: Edges::default(),
        refusals: Refusals::default(),
        limits: crate::http::Limits::new(&crate::http::RateLimitConfig::default(), Clock::system()),
    }
}

async fn turn(state: &State, me: Uuid) -> Status {
    planner::turn(state, me).await.expect("plans")
}

async fn events(pool: &PgPool, kind: &str) -> Vec<String> {
    sqlx::query_scalar!(
        "SELECT message FROM event WHERE kind = $1 ORDER BY id",
        kind
    )
    .fetch_all(pool)
    .await
    .expect("lists events")
}

/// Everybody has been silent for long, and we have seen a healthy database for long.
async fn die(state: &State, conn: &mut PgConnection, nodes: &[NodeId]) -> node_death::Status {
    for node in nodes {
        silence(conn, *node, 60.0).await;
    }
    let mut health = Health::default();
    let listed = node_death::list(state, &mut health).await.expect("lists");
    node_death::act(state, node_death::decide(listed, true))
        .await
        .expect("declares")
}

async fn cameras(conn: &mut PgConnection, project: ProjectId, count: usize) -> Vec<CameraId> {
    let mut cameras = Vec::new();
    for _ in 0..count {
        cameras.push(camera(conn, project).await);
    }
    cameras
}

#[sqlx::test(migrations = "../../migrations")]
async fn cameras_are_placed_with_a_reason_and_an_event_and_then_stay(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let cameras = cameras(&mut conn, project, 3).await;
    assert_eq!(turn(&state, me).await.refused, 3);
    let (_, _, reason) = holder(&mut conn, cameras[0]).await;
    assert_eq!(reason, "no node has joined the cluster");
    let listed = planner::list(&state).await.expect("lists");
    assert!(
        planner::decide(&listed).reasons.is_empty(),
        "the reason is written once"
    );

    let one = node(&mut conn, "edge-1", 2).await;
    let status = turn(&state, me).await;
    assert_eq!((status.placed, status.refused), (2, 1));
    assert_eq!(account(&mut conn, one).await, (2, 2, 2));
    let (at, epoch, reason) = holder(&mut conn, cameras[0]).await;
    assert_eq!((at, epoch), (Some(one), 1));
    assert_eq!(reason, "edge-1 in site lyon: the only node that fits");
    assert_eq!(
        events(&pool, "camera.placed").await,
        ["placed on edge-1 in site lyon: the only node that fits"; 2]
    );
    let (_, _, reason) = holder(&mut conn, cameras[2]).await;
    assert_eq!(reason, "no node has capacity: edge-1 full");

    let again = turn(&state, me).await;
    assert_eq!((again.placed, again.released, again.postponed), (0, 0, 0));
    assert_eq!(
        account(&mut conn, one).await.2,
        2,
        "nothing has changed for the node"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn one_planner_at_a_time(pool: PgPool) {
    let state = state(&pool);
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(turn(&state, first).await.role, Role::Planner { term: 1 });
    assert_eq!(turn(&state, second).await.role, Role::Standby);
    assert_eq!(turn(&state, first).await.role, Role::Planner { term: 1 });
    let mut conn = pool.acquire().await.expect("connects");
    planner_resign(&mut conn, first, 1).await.expect("resigns");
    assert_eq!(turn(&state, second).await.role, Role::Planner { term: 2 });
    assert_eq!(turn(&state, first).await.role, Role::Standby);
}

/// I6: a deposed planner never commits.
#[sqlx::test(migrations = "../../migrations")]
async fn a_deposed_planner_writes_nothing(pool: PgPool) {
    let state = state(&pool);
    let (old, new) = (Uuid::now_v7(), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    let term = planner_acquire(&mut conn, old, 15.0)
        .await
        .expect("asks")
        .expect("gets it");
    let listed = planner::list(&state).await.expect("lists");
    let decided = planner::decide(&listed);
    assert_eq!(decided.steps.len(), 1);
    // It sleeps here for longer than its lease.
    sqlx::query!("UPDATE planner_lease SET expires_at = clock_timestamp() - interval '1 s'")
        .execute(&mut *conn)
        .await
        .expect("expires");
    let next = planner_acquire(&mut conn, new, 15.0).await.expect("asks");
    assert_eq!(next, Some(term + 1));
    let status = planner::act(&state, old, term, decided)
        .await
        .expect("acts");
    assert_eq!((status.role, status.placed), (Role::Deposed, 0));
    assert_eq!(holder(&mut conn, gate).await.0, None);
    assert_eq!(account(&mut conn, one).await, (0, 9, 1));
}

/// The other half of I6: while a planner's transaction runs, nobody takes its lease over.
#[sqlx::test(migrations = "../../migrations")]
async fn a_takeover_waits_for_the_transaction_of_the_old_planner(pool: PgPool) {
    let (old, new) = (Uuid::now_v7(), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    planner_acquire(&mut conn, old, -1.0)
        .await
        .expect("asks")
        .expect("gets it");
    let mut tx = pool.begin().await.expect("begins");
    assert!(planner_hold(&mut tx, old, 1).await.expect("checks"));
    assert!(!planner_hold(&mut tx, new, 1).await.expect("checks"));
    assert!(!planner_hold(&mut tx, old, 2).await.expect("checks"));
    sqlx::query!("SET lock_timeout = '50ms'")
        .execute(&mut *conn)
        .await
        .expect("sets");
    let refused = planner_acquire(&mut conn, new, 15.0)
        .await
        .expect_err("waits in vain");
    assert_eq!(
        refused
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .as_deref(),
        Some("55P03")
    );
    tx.commit().await.expect("commits");
    assert_eq!(
        planner_acquire(&mut conn, new, 15.0).await.expect("asks"),
        Some(2)
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_work_of_a_dead_node_goes_to_others_and_it_may_return(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let cameras = cameras(&mut conn, project, 4).await;
    let (one, two) = (
        node(&mut conn, "edge-1", 9).await,
        node(&mut conn, "edge-2", 9).await,
    );
    turn(&state, me).await;
    assert_eq!(account(&mut conn, one).await.0, 2);

    // Suspect: nothing moves, and nothing new comes.
    silence(&mut conn, one, 8.0).await;
    assert_eq!(turn(&state, me).await.placed, 0);

    let status = die(&state, &mut conn, &[one]).await;
    assert_eq!((status.died, status.brake), (1, None));
    assert_eq!(turn(&state, me).await.placed, 2);
    assert_eq!(account(&mut conn, one).await.0, 0);
    assert_eq!(account(&mut conn, two).await.0, 4);
    let mut epochs = Vec::new();
    for camera in cameras {
        let (at, epoch, _) = holder(&mut conn, camera).await;
        assert_eq!(at, Some(two));
        epochs.push(epoch);
    }
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 1, 2, 2]);
    let placed = events(&pool, "camera.placed").await;
    assert!(
        placed[4].ends_with("the only node that fits; edge-1 is gone"),
        "{placed:?}"
    );
    assert_eq!(
        events(&pool, "node.died").await,
        ["edge-1 has not renewed its lease and is declared dead"]
    );

    renew(&mut conn, one, 10.0).await;
    let mut health = Health::default();
    let listed = node_death::list(&state, &mut health).await.expect("lists");
    assert_eq!(listed.census.returned, [one]);
    node_death::act(&state, node_death::decide(listed, false))
        .await
        .expect("acts");
    assert_eq!(
        events(&pool, "node.returned").await,
        ["edge-1 renews its lease again"]
    );
    assert_eq!(
        turn(&state, me).await.placed,
        0,
        "what is well placed stays"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_nobody_can_replace_keeps_its_work(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    turn(&state, me).await;
    die(&state, &mut conn, &[one]).await;
    turn(&state, me).await;
    let (at, epoch, reason) = holder(&mut conn, gate).await;
    assert_eq!(
        (at, epoch),
        (Some(one), 1),
        "it may only be cut off, and still do the work"
    );
    assert_eq!(reason, "no node is ready: edge-1 dead");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_restarted_edge_keeps_its_work_and_one_that_said_goodbye_loses_it(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    cameras(&mut conn, project, 2).await;
    let (one, two) = (
        node(&mut conn, "edge-1", 9).await,
        node(&mut conn, "edge-2", 9).await,
    );
    turn(&state, me).await;
    let newer = || Renewal {
        instance: Uuid::max(),
        ..renewal(one)
    };
    let renewed = lease_renew(&mut conn, &[newer()], 10.0).await;
    assert_eq!(renewed.expect("renews").len(), 1);
    assert_eq!(
        turn(&state, me).await.placed,
        0,
        "another instance of the same node"
    );

    let mut goodbye = newer();
    goodbye.goodbye = true;
    lease_renew(&mut conn, &[goodbye], 10.0)
        .await
        .expect("says goodbye");
    assert_eq!(turn(&state, me).await.placed, 1);
    assert_eq!(account(&mut conn, two).await.0, 2);
    let census = lease_census(&mut conn).await.expect("counts");
    assert_eq!(
        (census.living, census.silent),
        (1, vec![]),
        "it does not count as silent"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_brake_holds_when_many_are_silent_at_once(pool: PgPool) {
    let state = state(&pool);
    let mut conn = pool.acquire().await.expect("connects");
    let mut nodes = Vec::new();
    for number in 0..5 {
        nodes.push(node(&mut conn, &format!("edge-{number}"), 9).await);
    }
    let status = die(&state, &mut conn, &nodes[..4]).await;
    assert_eq!(status.died, 0);
    assert_eq!(
        status.brake.as_deref(),
        Some(
            "not declared dead, because 4 of 5 nodes went silent within a minute and at most 3 may \
             be declared dead in that time"
        )
    );
    renew(&mut conn, nodes[0], 10.0).await;
    assert_eq!(die(&state, &mut conn, &nodes[1..4]).await.died, 3);
    let status = die(&state, &mut conn, &nodes[..1]).await;
    assert_eq!(status.died, 0, "those who died just now count");
    assert!(status.brake.is_some());
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_dies_before_we_know_that_the_database_was_there(pool: PgPool) {
    // Shorter than any database has been running when the first test starts.
    let lease = Duration::from_millis(200);
    let state = State {
        clock: Clock::system(),
        ..state_with(&pool, ["20ms", "50ms", "200ms"])
    };
    let mut conn = pool.acquire().await.expect("connects");
    let one = node(&mut conn, "edge-1", 9).await;
    silence(&mut conn, one, 60.0).await;
    let mut health = Health::default();
    let start = state.clock.monotonic();
    let died = async |health: &mut Health| {
        let turn = node_death::turn(&state, health).await;
        turn.is_ok_and(|status| status.died == 1)
    };
    while !died(&mut health).await {
        assert!(
            state.clock.monotonic() - start < Duration::from_secs(20),
            "in time"
        );
        tokio::task::yield_now().await;
    }
    assert!(state.clock.monotonic() - start >= lease, "not at once");

    // After an outage leases start anew, so that who did not renew them for lack of a database
    // has the time to.
    sqlx::query!("UPDATE node SET died_at = NULL")
        .execute(&mut *conn)
        .await
        .expect("revives");
    let mut health = Health::lost();
    let extended = node_death::list(&state, &mut health).await.expect("lists");
    assert_eq!(extended.census.silent, []);
    silence(&mut conn, one, 60.0).await;
    assert!(
        !died(&mut health).await,
        "and the database must have been back for as long"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn after_an_outage_leases_start_anew(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let (one, two) = (
        node(&mut conn, "edge-1", 9).await,
        node(&mut conn, "edge-2", 9).await,
    );
    silence(&mut conn, one, 60.0).await;
    let census = lease_census(&mut conn).await.expect("counts");
    assert_eq!((census.living, census.silent), (2, vec![one]));
    let mut goodbye = renewal(two);
    goodbye.goodbye = true;
    lease_renew(&mut conn, &[goodbye], 10.0)
        .await
        .expect("says goodbye");
    assert_eq!(lease_extend_all(&mut conn, 10.0).await.expect("extends"), 1);
    assert_eq!(lease_census(&mut conn).await.expect("counts").silent, []);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_not_wanted_or_does_not_fit_any_more_is_released(pool: PgPool) {
    let (state, me) = (state(&pool), Uuid::now_v7());
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let cameras = cameras(&mut conn, project, 3).await;
    let one = node(&mut conn, "edge-1", 9).await;
    turn(&state, me).await;
    sqlx::query!(
        "UPDATE camera SET enabled = false WHERE id = $1",
        cameras[0].uuid()
    )
    .execute(&mut *conn)
    .await
    .expect("disables");
    let placement = serde_json::json!({"site": "paris"});
    sqlx::query!(
        "UPDATE camera SET placement = $2 WHERE id = $1",
        cameras[1].uuid(),
        placement
    )
    .execute(&mut *conn)
    .await
    .expect("asks for another site");
    slot_touch(&mut conn, cameras[1]).await.expect("touches");
    let status = turn(&state, me).await;
    assert_eq!((status.released, status.placed), (2, 0));
    assert_eq!(account(&mut conn, one).await.0, 1);
    assert_eq!(
        holder(&mut conn, cameras[0]).await.2,
        "the camera is disabled"
    );
    assert_eq!(
        holder(&mut conn, cameras[1]).await.2,
        "there is no node in site paris, only edge-1 in site lyon"
    );

    // The node comes back smaller than what it has.
    node_update(&mut conn, one, &spec("edge-1", "lyon", 0))
        .await
        .expect("updates");
    assert_eq!(turn(&state, me).await.released, 1);
    assert_eq!(account(&mut conn, one).await.0, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn old_events_are_removed(pool: PgPool) {
    let state = state(&pool);
    let mut conn = pool.acquire().await.expect("connects");
    for days in [91, 89] {
        sqlx::query!(
            "INSERT INTO event (kind, subject, actor, message, at)
             VALUES ('node.died', 'x', 'x', 'x', clock_timestamp() - make_interval(days => $1))",
            days
        )
        .execute(&mut *conn)
        .await
        .expect("inserts");
    }
    let status = housekeeping::turn(&state).await.expect("keeps house");
    let wanted = housekeeping::Status {
        events: 1,
        ..housekeeping::Status::default()
    };
    assert_eq!(status, wanted);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_planner_that_waits_for_the_database_stops(pool: PgPool) {
    let state = state(&pool);
    let stop = tokio_util::sync::CancellationToken::new();
    let planner = planner::run(state.clone(), stop.clone());
    let stopping = async {
        let lease = || sqlx::query_scalar!("SELECT term FROM planner_lease").fetch_optional(&pool);
        while lease().await.expect("looks").is_none() {}
        let mut tx = pool.begin().await.expect("begins");
        sqlx::query!("SELECT term FROM planner_lease FOR UPDATE")
            .fetch_one(&mut *tx)
            .await
            .expect("locks");
        state.wake.planner();
        somebody_waits_for_a_lock(&pool).await;
        stop.cancel();
        tx
    };
    // Neither the turn nor the resignation gets the lease; both are given up.
    let both = Box::pin(async { tokio::join!(planner, stopping) });
    let ((), tx) = tokio::time::timeout(Duration::from_secs(10), both)
        .await
        .expect("stops");
    tx.rollback().await.expect("rolls back");
}

#[sqlx::test(migrations = "../../migrations")]
async fn join_tokens_that_work_no_more_are_removed_after_a_day(pool: PgPool) {
    let state = state(&pool);
    sqlx::query!(
        "INSERT INTO join_token (id, name, lookup, digest, expires_at, revoked_at)
         SELECT gen_random_uuid(), name, name, '',
                clock_timestamp() + make_interval(hours => expires),
                clock_timestamp() + make_interval(hours => revoked)
         FROM (VALUES ('good', 1, NULL), ('expired', -23, NULL), ('revoked', 1, -23),
                      ('long expired', -25, NULL), ('long revoked', 1, -25))
              AS t (name, expires, revoked)"
    )
    .execute(&pool)
    .await
    .expect("inserts");
    let status = housekeeping::turn(&state).await.expect("keeps house");
    assert_eq!(status.join_tokens, 2);
    let left = sqlx::query_scalar!("SELECT name FROM join_token ORDER BY name");
    let left = left.fetch_all(&pool).await.expect("lists");
    assert_eq!(left, ["expired", "good", "revoked"]);
}
