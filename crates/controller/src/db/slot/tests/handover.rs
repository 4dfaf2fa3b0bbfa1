//! I3: a strict slot is never with two nodes at once.

use std::collections::BTreeSet;

use headworks_types::{
    ProjectId, RestreamState,
    edge::{NO_REVISION, RestreamReport},
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use super::*;
use crate::db::{
    fixture::{renewal, restream, somebody_waits_for_a_lock},
    lease::{Renewal, lease_doubled, lease_renew},
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
    told(conn, renewal).await.expect("is not refused")
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

/// Another process that is the same node; a higher number is newer.
fn process(node: NodeId, number: u16) -> Renewal {
    Renewal {
        instance: Uuid::from_u128(u128::MAX - 1000 + u128::from(number)),
        ..renewal(node)
    }
}

/// What it is told; `None` if it is refused.
async fn told(conn: &mut PgConnection, renewal: Renewal) -> Option<i64> {
    let renewed = lease_renew(conn, &[renewal], 10.0).await;
    renewed.expect("renews").first().map(|(_, told)| *told)
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_late_goodbye_of_the_process_before_counts_for_nothing(pool: PgPool) {
    let World { slot, one, two, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    assert_eq!(told(&mut conn, process(one, 1)).await, Some(NO_REVISION));
    let goodbye = Renewal {
        goodbye: true,
        ..renewal(one)
    };
    assert_eq!(told(&mut conn, goodbye).await, None);
    let direct = strict(slot, 1, Some(one), Some(two));
    assert_eq!(assign_one(&pool, direct).await, Outcome::Stale);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_newer_process_waits_until_the_one_before_has_stopped(pool: PgPool) {
    let World { slot, one, two, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    let (_, _, revision) = account(&mut conn, one).await;
    let newer = |goodbye| Renewal {
        revision,
        goodbye,
        ..process(one, 1)
    };
    assert_eq!(told(&mut conn, newer(false)).await, Some(NO_REVISION));
    // What it says of itself is not said of the other.
    assert!(epoch(&assign_one(&pool, strict(slot, 1, Some(one), None)).await).is_some());
    let (_, _, released) = account(&mut conn, one).await;
    for goodbye in [false, true] {
        let says = Renewal {
            revision: released,
            ..newer(goodbye)
        };
        assert_eq!(told(&mut conn, says).await, Some(NO_REVISION));
        let then = strict(slot, 1, None, Some(two));
        assert_eq!(assign_one(&pool, then).await, Outcome::Stale, "{goodbye}");
    }
    silence(&mut conn, one, 12.0).await;
    assert_eq!(told(&mut conn, newer(false)).await, Some(NO_REVISION));
    silence(&mut conn, one, 1.1).await;
    assert_eq!(told(&mut conn, newer(false)).await, Some(released));
}

#[sqlx::test(migrations = "../../migrations")]
async fn after_a_goodbye_or_a_silence_any_process_may_be_the_node(pool: PgPool) {
    let World { one, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    let (_, _, revision) = account(&mut conn, one).await;
    assert_eq!(told(&mut conn, process(one, 2)).await, Some(NO_REVISION));
    silence(&mut conn, one, 13.1).await;
    let older = told(&mut conn, process(one, 1)).await;
    assert_eq!(older, Some(revision), "the lease is over");
    let goodbye = Renewal {
        goodbye: true,
        ..process(one, 1)
    };
    assert_eq!(told(&mut conn, goodbye).await, Some(revision));
    let oldest = told(&mut conn, renewal(one)).await;
    assert_eq!(oldest, Some(revision), "there was a goodbye");
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_older_process_is_refused_and_that_is_news_once(pool: PgPool) {
    let World { one, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    told(&mut conn, process(one, 1)).await;
    let older = renewal(one);
    let goodbye = Renewal {
        goodbye: true,
        ..renewal(one)
    };
    let removed = renewal(NodeId::from(Uuid::nil()));
    for (renewal, news) in [(&goodbye, false), (&older, true), (&older, false)] {
        let found = lease_doubled(&mut conn, &[renewal, &removed]).await;
        let found = found.expect("looks");
        let found: Vec<_> = found.iter().map(|node| (node.id, node.is_news)).collect();
        assert_eq!(found, [(one, news)]);
    }
}

/// A process that keeps the rules of `Fencing::Strict`, as far as they concern one slot.
struct Process {
    node: NodeId,
    instance: Uuid,
    /// Its lease has been acknowledged not long ago.
    alive: bool,
    /// The revision of the last acknowledgement.
    granted: i64,
    applied: i64,
    /// The slot is among what it has applied.
    wants: bool,
    /// What it has read, but not applied yet.
    read: Option<(i64, bool)>,
    /// It pushes, and goes on while newer revisions are on their way.
    works: bool,
}

impl Process {
    /// One that knows from disk what the one before has applied.
    fn new(node: NodeId, instance: Uuid, before: Option<&Self>) -> Self {
        Self {
            node,
            instance,
            alive: false,
            granted: NO_REVISION,
            applied: before.map_or(0, |before| before.applied),
            wants: before.is_some_and(|before| before.wants),
            read: None,
            works: false,
        }
    }

    fn says(&self, goodbye: bool) -> Renewal {
        Renewal {
            instance: self.instance,
            revision: self.applied,
            goodbye,
            ..renewal(self.node)
        }
    }

    async fn act(&mut self, conn: &mut PgConnection, slot: SlotKey, what: u32) {
        match what {
            0..=2 => {
                if let Some(granted) = told(conn, self.says(false)).await {
                    self.granted = granted;
                    self.alive = true;
                }
            }
            3..=5 => {
                let revision = revision_get(conn, self.node).await.expect("reads");
                let desired = desired_list(conn, self.node).await.expect("lists");
                let wants = desired.iter().any(|desired| desired.key == slot);
                self.read = Some((revision.expect("there is one"), wants));
            }
            _ => {
                if let Some((revision, wants)) = self.read.take() {
                    (self.applied, self.wants) = (revision, wants);
                }
            }
        }
        self.settle();
    }

    /// Starts when it may, and stops when it must.
    fn settle(&mut self) {
        if !(self.alive && self.wants) {
            self.works = false;
        } else if self.granted == self.applied {
            self.works = true;
        }
    }
}

/// All processes, and goodbyes that are still on their way.
struct Fleet {
    processes: Vec<Process>,
    goodbyes: Vec<Renewal>,
    instances: u16,
}

impl Fleet {
    fn instance(&mut self) -> Uuid {
        self.instances += 1;
        Uuid::from_u128(self.instances.into())
    }

    async fn act(&mut self, conn: &mut PgConnection, slot: SlotKey, random: &mut StdRng) {
        let index = random.random_range(0..self.processes.len());
        let node = self.processes[index].node;
        match random.random_range(0..42) {
            what @ 0..36 => self.processes[index].act(conn, slot, what / 4).await,
            36 | 37 => {
                silence(conn, node, 14.0).await;
                let same = self.processes.iter_mut().filter(|one| one.node == node);
                for process in same {
                    process.alive = false;
                    process.settle();
                }
            }
            // It stops, and starts anew; its goodbye may come later.
            38 | 39 => {
                let goodbye = self.processes[index].says(true);
                if random.random_bool(0.5) {
                    self.goodbyes.push(goodbye);
                } else {
                    told(conn, goodbye).await;
                }
                let instance = self.instance();
                let new = Process::new(node, instance, Some(&self.processes[index]));
                self.processes[index] = new;
            }
            40 => {
                if let Some(goodbye) = self.goodbyes.pop() {
                    told(conn, goodbye).await;
                }
            }
            // One of two processes with the same identity is killed, or a second one is started.
            _ => {
                let same = self.processes.iter().filter(|one| one.node == node);
                if same.count() > 1 {
                    self.processes.remove(index);
                } else {
                    let instance = self.instance();
                    let new = Process::new(node, instance, Some(&self.processes[index]));
                    self.processes.push(new);
                }
            }
        }
    }
}

/// A planner that moves the slot at random, and edges that do everything at bad moments.
#[sqlx::test(migrations = "../../migrations")]
async fn whatever_happens_never_two_work(pool: PgPool) {
    let World { slot, one, two, .. } = world(&pool).await;
    let mut conn = pool.acquire().await.expect("connects");
    let nodes = [one, two, node(&mut conn, "edge-3", 9).await];
    let mut fleet = Fleet {
        processes: Vec::new(),
        goodbyes: Vec::new(),
        instances: 0,
    };
    for node in nodes {
        let instance = fleet.instance();
        fleet.processes.push(Process::new(node, instance, None));
        // What the nodes renewed when they were made was nobody's.
        let goodbye = Renewal {
            goodbye: true,
            ..renewal(node)
        };
        told(&mut conn, goodbye).await;
    }
    let mut random = StdRng::seed_from_u64(7);
    let (mut moves, mut worked, mut latched) = (0, BTreeSet::new(), 0);
    for turn in 0..4000 {
        if random.next_u32() % 4 == 0 {
            let (from, now) = strict_holder(&mut conn, slot).await;
            let index = random.random_range(0..nodes.len());
            let to = (random.next_u32() % 3 != 0).then_some(nodes[index]);
            if from != to {
                let outcome = assign_one(&pool, strict(slot, now, from, to)).await;
                moves += usize::from(to.is_some() && epoch(&outcome).is_some());
            }
        } else {
            fleet.act(&mut conn, slot, &mut random).await;
        }
        let working: Vec<_> = fleet.processes.iter().filter(|one| one.works).collect();
        let of: Vec<_> = working.iter().map(|one| (one.node, one.instance)).collect();
        assert!(working.len() <= 1, "turn {turn}: {of:?}");
        latched += working
            .iter()
            .filter(|one| one.granted != one.applied)
            .count();
        worked.extend(working.iter().map(|one| one.node));
    }
    assert!(moves > 15, "{moves}");
    assert!(latched > 15, "{latched}");
    assert_eq!(worked.len(), nodes.len());
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
    let fleet = slot_fleet(&mut conn, None).await.expect("lists");
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
