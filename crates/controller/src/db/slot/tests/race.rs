//! Several at once: nobody is given a slot, an epoch or a place twice.

use futures::future::join_all;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use super::*;
use crate::db::{
    fixture::{somebody_waits_for_a_lock, spec},
    node::node_update,
};

/// I1: one holder per slot, and epochs only rise. Several assigners move the same slots between
/// the same nodes at the same time, each by what it believes is there.
#[sqlx::test(migrations = "../../migrations")]
async fn concurrent_assigners_never_share_a_slot_an_epoch_or_a_place(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let (mut cameras, mut nodes) = (Vec::new(), Vec::new());
    for number in 0..6 {
        cameras.push(camera(&mut conn, project).await);
        nodes.push(node(&mut conn, &format!("edge-{number}"), 2).await);
    }
    let nodes = &nodes[..4];
    let assigners = (0..4).map(|seed| {
        let (pool, cameras) = (pool.clone(), cameras.clone());
        async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut won = Vec::new();
            for _ in 0..40 {
                let mut conn = pool.acquire().await.expect("connects");
                let mut steps = Vec::new();
                for &camera in &cameras {
                    let (from, epoch, _) = holder(&mut conn, camera).await;
                    let to = match random.random_range(0..5_usize) {
                        4 => None,
                        index => Some(nodes[index]),
                    };
                    if from != to && random.next_u32() % 2 == 0 {
                        steps.push(step(camera, epoch, from, to));
                    }
                }
                drop(conn);
                let outcomes = assign(&pool, &steps).await;
                let done = steps
                    .iter()
                    .zip(&outcomes)
                    .filter(|(step, _)| step.to.is_some());
                won.extend(done.filter_map(|(step, outcome)| Some((step.slot, epoch(outcome)?))));
            }
            won
        }
    });
    let mut won: Vec<_> = join_all(assigners).await.into_iter().flatten().collect();
    assert!(won.len() > 50, "the assigners got in: {}", won.len());
    let all = won.len();
    won.sort_unstable();
    won.dedup();
    assert_eq!(won.len(), all, "no epoch was given twice");
    for camera in cameras {
        let highest = won
            .iter()
            .filter(|(key, _)| key.camera_id == camera)
            .map(|(_, epoch)| *epoch);
        assert_eq!(
            holder(&mut conn, camera).await.1,
            highest.max().unwrap_or(0)
        );
    }
    for &node in nodes {
        let held = sqlx::query_scalar!("SELECT count(*) FROM slot WHERE node_id = $1", node.uuid())
            .fetch_one(&mut *conn)
            .await
            .expect("counts");
        let (used, alloc, _) = account(&mut conn, node).await;
        assert_eq!(Some(i64::from(used)), held);
        assert!(used <= alloc);
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn two_planners_cannot_both_take_the_last_place(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let (gate, door) = (
        camera(&mut conn, project).await,
        camera(&mut conn, project).await,
    );
    let one = node(&mut conn, "edge-1", 1).await;
    let (first, second) = (
        [step(gate, 0, None, Some(one))],
        [step(door, 0, None, Some(one))],
    );
    let (first, second) = futures::join!(assign(&pool, &first), assign(&pool, &second));
    let outcomes = [first[0], second[0]];
    assert_eq!(outcomes.iter().filter_map(epoch).count(), 1, "{outcomes:?}");
    assert!(outcomes.contains(&Outcome::Full));
    assert_eq!(account(&mut conn, one).await.0, 1);
}

/// A release has to know the holder before it may lock: here the holder changes in between.
#[sqlx::test(migrations = "../../migrations")]
async fn releases_and_moves_at_the_same_time_end_well(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let (one, two) = (
        node(&mut conn, "edge-1", 1).await,
        node(&mut conn, "edge-2", 1).await,
    );
    for _ in 0..20 {
        let (_, epoch, _) = holder(&mut conn, gate).await;
        assign(&pool, &[step(gate, epoch, None, Some(one))]).await;
        let release = async {
            let mut tx = pool.begin().await.expect("begins");
            slot_release_all(&mut tx, gate).await.expect("releases");
            tx.commit().await.expect("commits");
        };
        let steps = [step(gate, epoch + 1, Some(one), Some(two))];
        futures::join!(release, assign(&pool, &steps));
        assert_eq!(holder(&mut conn, gate).await.0, None);
        assert_eq!(account(&mut conn, one).await.0, 0);
        assert_eq!(account(&mut conn, two).await.0, 0);
    }
}

/// A step waits for the slot while whoever holds it switches the camera off.
#[sqlx::test(migrations = "../../migrations")]
async fn a_camera_that_is_disabled_meanwhile_is_not_placed(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 1).await;
    let mut tx = pool.begin().await.expect("begins");
    sqlx::query!(
        "UPDATE camera SET enabled = false WHERE id = $1",
        gate.uuid()
    )
    .execute(&mut *tx)
    .await
    .expect("disables");
    slot_touch(&mut tx, gate).await.expect("releases");
    let disabling = async {
        somebody_waits_for_a_lock(&pool).await;
        tx.commit().await.expect("commits");
    };
    let steps = [step(gate, 0, None, Some(one))];
    let (outcomes, ()) = futures::join!(assign(&pool, &steps), disabling);
    assert_eq!(outcomes, [Outcome::Stale]);
    slot_explain(&mut conn, &[(slot(gate), 0, "no node".to_owned())])
        .await
        .expect("leaves it alone");
    assert_eq!(
        holder(&mut conn, gate).await,
        (None, 0, DISABLED.to_owned())
    );
    assert_eq!(account(&mut conn, one).await.0, 0);
}

/// Both need the node's capacity and the node itself.
#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_is_renamed_meanwhile_gets_its_slot(pool: PgPool) {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 1).await;
    let mut planning = pool.begin().await.expect("begins");
    sqlx::query!("SELECT used FROM node_capacity FOR UPDATE")
        .fetch_one(&mut *planning)
        .await
        .expect("locks");
    let planned = async {
        somebody_waits_for_a_lock(&pool).await;
        let steps = [step(gate, 0, None, Some(one))];
        let outcomes = slot_assign(&mut planning, &steps).await.expect("assigns");
        planning.commit().await.expect("commits");
        outcomes
    };
    let spec = spec("edge-2", "lyon", 1);
    let renamed = async {
        let mut tx = pool.begin().await.expect("begins");
        node_update(&mut tx, one, &spec).await.expect("renames");
        tx.commit().await.expect("commits");
    };
    let ((), outcomes) = futures::join!(renamed, planned);
    assert!(epoch(&outcomes[0]).is_some(), "{outcomes:?}");
}
