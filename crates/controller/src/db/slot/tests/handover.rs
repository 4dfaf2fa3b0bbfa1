//! I3: a strict slot is never with two nodes at once.

use headworks_types::{ProjectId, RestreamState, edge::RestreamReport};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use super::*;
use crate::db::{
    fixture::{renewal, restream, somebody_waits_for_a_lock},
    lease::lease_renew,
    node::revision_get,
    restream::restream_delete,
};

fn strict(slot: SlotKey, epoch: i64, from: Option<NodeId>, to: Option<NodeId>) -> Step {
    Step {
        slot,
        epoch,
        from,
        to,
        cost: 1,
        reason: "because".to_owned(),
    }
}

async fn assign_one(pool: &PgPool, step: Step) -> Outcome {
    assign(pool, &[step]).await[0]
}

async fn renew_at(conn: &mut PgConnection, node: NodeId, revision: i64, goodbye: bool) -> i64 {
    let mut renewal = renewal(node);
    renewal.revision = revision;
    renewal.goodbye = goodbye;
    let renewed = lease_renew(conn, &[renewal], 10.0).await;
    renewed.expect("renews the lease")[0].1
}

struct World {
    project: ProjectId,
    camera: CameraId,
    slot: SlotKey,
    one: NodeId,
    two: NodeId,
}

/// A restream that is on the first of two nodes, under epoch 1.
async fn world(pool: &PgPool) -> World {
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let camera = camera(&mut conn, project).await;
    let (_, slot) = restream(&mut conn, project, camera, "cloud").await;
    let one = node(&mut conn, "edge-1", 9).await;
    let two = node(&mut conn, "edge-2", 9).await;
    let placed = assign_one(pool, strict(slot, 0, None, Some(one))).await;
    assert_eq!(epoch(&placed), Some(1));
    World {
        project,
        camera,
        slot,
        one,
        two,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_living_holder_lets_go_before_another_one_gets_the_slot(pool: PgPool) {
    let World { slot, one, two, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    let direct = strict(slot, 1, Some(one), Some(two));
    assert_eq!(assign_one(&pool, direct).await, Outcome::Stale);
    let release = assign_one(&pool, strict(slot, 1, Some(one), None)).await;
    assert!(epoch(&release).is_some());
    let (_, _, released) = account(&mut conn, one).await;
    let then = || strict(slot, 1, None, Some(two));
    // What it has applied before says nothing, nor does a revision that there never was.
    for applied in [0, released - 1, released + 1] {
        renew_at(&mut conn, one, applied, false).await;
        assert_eq!(assign_one(&pool, then()).await, Outcome::Stale, "{applied}");
    }
    renew_at(&mut conn, one, released, false).await;
    assert_eq!(epoch(&assign_one(&pool, then()).await), Some(2));
    assert_eq!(account(&mut conn, one).await.0, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_last_holder_may_have_it_again_at_once(pool: PgPool) {
    let World { slot, one, .. } = world(&pool).await;
    assign_one(&pool, strict(slot, 1, Some(one), None)).await;
    let again = assign_one(&pool, strict(slot, 1, None, Some(one))).await;
    assert_eq!(epoch(&again), Some(2));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_silent_holder_keeps_it_until_its_lease_is_long_over(pool: PgPool) {
    let World { slot, one, two, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    let direct = || strict(slot, 1, Some(one), Some(two));
    // The lease ran for ten seconds; three more have to pass.
    silence(&mut conn, one, 12.0).await;
    assert_eq!(assign_one(&pool, direct()).await, Outcome::Stale);
    silence(&mut conn, one, 1.1).await;
    assert_eq!(epoch(&assign_one(&pool, direct()).await), Some(2));
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_says_goodbye_has_let_go(pool: PgPool) {
    let World { slot, one, two, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    renew_at(&mut conn, one, 0, true).await;
    let direct = strict(slot, 1, Some(one), Some(two));
    assert_eq!(epoch(&assign_one(&pool, direct).await), Some(2));
}

/// The renewal comes while the slot is given away: it is told of a revision that it does not have,
/// so that it does not start again what it was told before.
#[sqlx::test(migrations = "../../migrations")]
async fn a_renewal_during_the_hand_over_hears_of_it(pool: PgPool) {
    let World { slot, one, two, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    silence(&mut conn, one, 14.0).await;
    let (_, _, before) = account(&mut conn, one).await;
    let mut tx = pool.begin().await.expect("begins");
    let steps = [strict(slot, 1, Some(one), Some(two))];
    let outcomes = slot_assign(&mut tx, &steps).await.expect("assigns");
    assert_eq!(epoch(&outcomes[0]), Some(2));
    let commit = async {
        somebody_waits_for_a_lock(&pool).await;
        tx.commit().await.expect("commits");
    };
    let (told, ()) = futures::join!(renew_at(&mut conn, one, before, false), commit);
    assert_eq!(told, before + 1);
}

/// The other way round: the renewal was first.
#[sqlx::test(migrations = "../../migrations")]
async fn a_renewal_before_the_hand_over_prevents_it(pool: PgPool) {
    let World { slot, one, two, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    silence(&mut conn, one, 14.0).await;
    let mut tx = pool.begin().await.expect("begins");
    renew_at(&mut tx, one, 0, false).await;
    let renewing = async {
        somebody_waits_for_a_lock(&pool).await;
        tx.commit().await.expect("commits");
    };
    let direct = assign_one(&pool, strict(slot, 1, Some(one), Some(two)));
    let (outcome, ()) = futures::join!(direct, renewing);
    assert_eq!(outcome, Outcome::Stale);
}

/// An edge that keeps the rules of `Fencing::Strict`, as far as they concern one slot.
struct Model {
    node: NodeId,
    /// Its lease has been acknowledged not long ago.
    alive: bool,
    /// The revision of the last acknowledgement.
    granted: i64,
    applied: i64,
    /// The slot is among what it has applied.
    wants: bool,
    /// What it has read, but not applied yet.
    read: Option<(i64, bool)>,
}

impl Model {
    fn works(&self) -> bool {
        self.alive && self.wants && self.granted == self.applied
    }

    async fn act(&mut self, conn: &mut PgConnection, slot: SlotKey, what: u32) {
        match what {
            0..=2 => {
                self.granted = renew_at(conn, self.node, self.applied, false).await;
                self.alive = true;
            }
            3..=5 => {
                let revision = revision_get(conn, self.node).await.expect("reads");
                let desired = desired_list(conn, self.node).await.expect("lists");
                let wants = desired.iter().any(|desired| desired.key == slot);
                self.read = Some((revision.expect("there is one"), wants));
            }
            6..=8 => {
                if let Some((revision, wants)) = self.read.take() {
                    (self.applied, self.wants) = (revision, wants);
                }
            }
            9 => {
                self.alive = false;
                silence(conn, self.node, 14.0).await;
            }
            _ => {
                self.alive = false;
                renew_at(conn, self.node, self.applied, true).await;
            }
        }
    }
}

/// A planner that moves the slot at random, and edges that do everything at bad moments.
#[sqlx::test(migrations = "../../migrations")]
async fn whatever_happens_never_two_work(pool: PgPool) {
    let World { slot, one, two, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    let mut edges = Vec::new();
    for node in [one, two, node(&mut conn, "edge-3", 9).await] {
        edges.push(Model {
            node,
            alive: false,
            granted: -1,
            applied: 0,
            wants: false,
            read: None,
        });
    }
    let mut random = StdRng::seed_from_u64(7);
    let (mut moves, mut worked) = (0, [false; 3]);
    for turn in 0..1500 {
        let index = random.random_range(0..edges.len());
        if random.next_u32() % 4 == 0 {
            let (from, now) = strict_holder(&mut conn, slot).await;
            let to = (random.next_u32() % 3 != 0).then_some(edges[index].node);
            if from != to {
                let outcome = assign_one(&pool, strict(slot, now, from, to)).await;
                moves += usize::from(to.is_some() && epoch(&outcome).is_some());
            }
        } else {
            let what = random.random_range(0..11);
            edges[index].act(&mut conn, slot, what).await;
        }
        let working: Vec<_> = (0..edges.len()).filter(|i| edges[*i].works()).collect();
        assert!(working.len() <= 1, "turn {turn}: {working:?}");
        for index in working {
            worked[index] = true;
        }
    }
    assert!(moves > 50, "{moves}");
    assert_eq!(worked, [true; 3]);
}

async fn strict_holder(conn: &mut PgConnection, slot: SlotKey) -> (Option<NodeId>, i64) {
    let row = sqlx::query!(
        "SELECT node_id, epoch FROM slot WHERE camera_id = $1 AND role = 'restream' AND ordinal = $2",
        slot.camera_id.uuid(),
        i16::try_from(slot.ordinal).expect("is small")
    )
    .fetch_one(conn)
    .await
    .expect("there is a slot");
    (row.node_id.map(NodeId::from), row.epoch)
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_ordinal_is_never_used_for_another_target(pool: PgPool) {
    let World {
        project,
        camera,
        slot,
        one,
        two,
    } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    let (second, other) = restream(&mut conn, project, camera, "other").await;
    assert_eq!((slot.ordinal, other.ordinal), (0, 1));
    restream_slot_release(&mut conn, camera, 1, "gone")
        .await
        .expect("releases");
    restream_delete(&mut conn, project, second)
        .await
        .expect("deletes");
    let outcome = assign_one(&pool, strict(other, 0, None, Some(two))).await;
    assert_eq!(outcome, Outcome::Stale, "it is wanted no more");
    let (_, third) = restream(&mut conn, project, camera, "other").await;
    assert_eq!(third.ordinal, 2);
    let fleet = slot_fleet(&mut conn).await.expect("lists");
    let mut keys: Vec<_> = fleet.iter().map(|slot| slot.slot.key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [super::slot(camera), slot, third]);
    let held = fleet
        .iter()
        .find(|held| held.slot.key == slot)
        .expect("is there");
    assert_eq!(held.slot.bound, Some(one));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_deleted_camera_lets_go_of_all_its_slots(pool: PgPool) {
    let World {
        camera,
        slot,
        one,
        two,
        ..
    } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    assign(&pool, &[step(camera, 0, None, Some(two))]).await;
    assert_eq!(
        (
            account(&mut conn, one).await.0,
            account(&mut conn, two).await.0
        ),
        (1, 1)
    );
    let delete = async {
        let mut tx = pool.begin().await.expect("begins");
        slot_release_all(&mut tx, camera).await.expect("releases");
        sqlx::query!("DELETE FROM camera WHERE id = $1", camera.uuid())
            .execute(&mut *tx)
            .await
            .expect("deletes");
        tx.commit().await.expect("commits");
    };
    // Somebody moves the slots meanwhile.
    let steps = [
        step(camera, 1, Some(two), Some(one)),
        strict(slot, 1, Some(one), None),
    ];
    futures::join!(delete, assign(&pool, &steps));
    assert_eq!(
        (
            account(&mut conn, one).await.0,
            account(&mut conn, two).await.0
        ),
        (0, 0)
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn counters_are_written_now_and_then_and_the_rest_at_once(pool: PgPool) {
    let World {
        project,
        camera,
        one,
        slot,
        ..
    } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    let pushed = |bytes_sent, attempts| Report {
        node_id: one,
        slot: SlotReport {
            key: slot,
            restream: Some(RestreamReport {
                bytes_sent,
                attempts,
                last_error: Some("refused".to_owned()),
                ..RestreamReport::default()
            }),
            ..report(one, camera, 1, SlotState::Live).slot
        },
    };
    let ids = sqlx::query_scalar!(
        "SELECT id FROM restream WHERE project_id = $1",
        project.uuid()
    );
    let id = ids
        .fetch_one(&mut *conn)
        .await
        .expect("there is one")
        .into();
    for (bytes, attempts, age, seen) in [
        (10, 1, 0, 10),
        (20, 1, 0, 10),
        (30, 2, 0, 30),
        (40, 2, 9, 40),
    ] {
        sqlx::query!(
            "UPDATE slot_status SET observed_at = observed_at - make_interval(secs => $1)",
            f64::from(age)
        )
        .execute(&mut *conn)
        .await
        .expect("ages");
        slot_report(&mut conn, &[pushed(bytes, attempts)])
            .await
            .expect("stores");
        let statuses = restream_status_list(&mut conn, &[id], SUSPECT)
            .await
            .expect("lists");
        let status = &statuses[&id];
        assert_eq!(
            (status.bytes_sent, status.attempts),
            (seen, attempts),
            "{bytes}"
        );
        assert_eq!(status.state, RestreamState::Live);
        assert_eq!(status.last_error.as_deref(), Some("refused"));
    }
}
