//! The simulation's database (`headworks_sim::database`) does what PostgreSQL does: the same random
//! operations on both, with the same answers and the same rows after each.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use headworks_planner::Wanted;
use headworks_sim::database::{self as sim, Database, Renewal as SimRenewal, Rules, SECOND, Stamp};
use headworks_types::edge::{NO_REVISION, STRICT_MARGIN, SlotKey};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use super::*;
use crate::db::{
    era::era_begin,
    fixture::{renewal, restream, spec},
    lease::{Renewal, lease_census, lease_extend_all, lease_renew, node_die, node_return},
    node::{node_insert, node_update},
    planner_lease::{planner_acquire, planner_hold, planner_resign},
};

/// Half a second off all steps of time, so that no comparison is close.
const LEASE: f64 = 9.5;
/// How far apart the clocks of both may be.
const CLOSE: Stamp = 450_000;

/// Both databases.
struct Both<'a> {
    pool: &'a PgPool,
    model: Database,
    rules: Rules,
    /// By how much the rows of PostgreSQL were made older.
    aged: Stamp,
    nodes: Vec<NodeId>,
    slots: Vec<SlotKey>,
    planners: Vec<Uuid>,
}

impl Both<'_> {
    async fn new(pool: &PgPool) -> Both<'_> {
        let mut conn = pool.acquire().await.expect("connects");
        let mut model = Database {
            era: 1,
            timeline: 1,
            ..Database::default()
        };
        let project = project(&mut conn).await;
        let mut slots = Vec::new();
        for camera_number in 0..3 {
            let camera = camera(&mut conn, project).await;
            slots.push(slot(camera));
            if camera_number < 2 {
                slots.push(restream(&mut conn, project, camera, "cloud").await.1);
            }
        }
        for key in &slots {
            model.slot_insert(*key);
        }
        let mut nodes = Vec::new();
        for number in 0..3 {
            let id = NodeId::from(Uuid::now_v7());
            let name = format!("edge-{number}");
            let inserted = node_insert(&mut conn, id, &spec(&name, "lyon", 3)).await;
            inserted.expect("inserts a node");
            model.node_insert(id, &name, 3);
            nodes.push(id);
        }
        Both {
            pool,
            model,
            rules: Rules {
                margin: sim::stamp(STRICT_MARGIN),
                ..Rules::default()
            },
            aged: 0,
            nodes,
            slots,
            planners: vec![Uuid::now_v7(), Uuid::now_v7()],
        }
    }

    /// What time it is: PostgreSQL's, and all that was made to pass.
    async fn now(&self, conn: &mut PgConnection) -> Stamp {
        let now: Option<DateTime<Utc>> = sqlx::query_scalar!("SELECT clock_timestamp()")
            .fetch_one(conn)
            .await
            .expect("tells the time");
        now.expect("is a time").timestamp_micros() + self.aged
    }

    async fn act(&mut self, random: &mut StdRng) -> String {
        let mut conn = self.pool.acquire().await.expect("connects");
        let conn = &mut *conn;
        let now = self.now(conn).await;
        match random.random_range(0..24) {
            0..=2 => self.age(conn, random.random_range(1..=8)).await,
            3..=8 => self.renew(conn, now, random).await,
            9..=15 => self.assign(now, random).await,
            16 | 17 => self.report(conn, random).await,
            18 => self.live(conn, now).await,
            19 => {
                let extended = lease_extend_all(conn, LEASE).await.expect("extends");
                let lease = self.model.lease_extend_all(now, sim::stamp(lease()));
                assert_eq!(extended, lease as u64);
                "all leases are extended".to_owned()
            }
            20 => self.want(conn, random).await,
            21 => self.plan(conn, now, random).await,
            22 => {
                let index = random.random_range(0..self.nodes.len());
                let units = random.random_range(1..5);
                let node = self.nodes[index];
                let spec = spec(&format!("edge-{index}"), "lyon", units);
                node_update(conn, node, &spec).await.expect("updates");
                self.model.node_resize(node, units.into());
                format!("{node} takes {units}")
            }
            _ => self.begin_era(conn, now, random).await,
        }
    }

    /// Lets time pass: makes all rows of PostgreSQL older.
    async fn age(&mut self, conn: &mut PgConnection, seconds: u8) -> String {
        for node in &self.nodes {
            silence(conn, *node, seconds.into()).await;
        }
        sqlx::query!(
            "UPDATE node SET died_at = died_at - make_interval(secs => $1)",
            f64::from(seconds)
        )
        .execute(&mut *conn)
        .await
        .expect("ages deaths");
        sqlx::query!(
            "UPDATE planner_lease SET expires_at = expires_at - make_interval(secs => $1)",
            f64::from(seconds)
        )
        .execute(conn)
        .await
        .expect("ages the planner");
        self.aged += Stamp::from(seconds) * SECOND;
        format!("{seconds} s pass")
    }

    async fn renew(&mut self, conn: &mut PgConnection, now: Stamp, random: &mut StdRng) -> String {
        let node = self.nodes[random.random_range(0..self.nodes.len())];
        let revision = self.model.revision_get(node).expect("is there");
        let said = SimRenewal {
            node_id: node,
            instance: Uuid::from_u128(random.random_range(1..4)),
            goodbye: random.random_bool(0.15),
            revision: (revision - random.random_range(-1..3)).max(0),
        };
        let real = Renewal {
            instance: said.instance,
            goodbye: said.goodbye,
            revision: said.revision,
            ..renewal(node)
        };
        let told = lease_renew(conn, &[real], LEASE).await.expect("renews");
        let told = told.first().map(|(_, told)| *told);
        let counts = self
            .model
            .lease_renew(now, &self.rules, &said, sim::stamp(lease()));
        let held = self.model.lease_held(now, &self.rules, node);
        let expected = counts.then(|| self.model.lease_told(held, node)).flatten();
        assert_eq!(told, expected, "{said:?}");
        format!("{said:?} is told {told:?}")
    }

    async fn assign(&mut self, now: Stamp, random: &mut StdRng) -> String {
        let mut keys = self.slots.clone();
        keys.truncate(random.random_range(1..=keys.len()));
        let steps: Vec<_> = keys.iter().map(|key| self.step(*key, random)).collect();
        let real: Vec<_> = steps
            .iter()
            .map(|step| Step {
                slot: step.slot,
                epoch: step.epoch,
                from: step.from,
                to: step.to,
                cost: u32::try_from(step.cost).expect("is small"),
                reason: step.reason.clone(),
            })
            .collect();
        let outcomes = assign(self.pool, &real).await;
        let outcomes: Vec<_> = outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Outcome::Done { epoch, .. } => sim::Outcome::Done(epoch),
                Outcome::Stale => sim::Outcome::Stale,
                Outcome::Full => sim::Outcome::Full,
            })
            .collect();
        let expected = self.model.slot_assign(now, &self.rules, &steps);
        assert_eq!(outcomes, expected, "{steps:?}");
        format!("{steps:?} come to {outcomes:?}")
    }

    /// Mostly one that is possible.
    fn step(&self, key: SlotKey, random: &mut StdRng) -> sim::Step {
        let row = &self.model.slots[&key];
        let some = |random: &mut StdRng| self.nodes[random.random_range(0..self.nodes.len())];
        let to = random.random_bool(0.7).then(|| some(random));
        let epoch = row.epoch - i64::from(random.random_bool(0.05));
        let from = if random.random_bool(0.05) {
            Some(some(random))
        } else {
            row.node_id
        };
        sim::Step {
            slot: key,
            epoch,
            from,
            to,
            cost: to.map_or(0, |_| 1),
            reason: "because".to_owned(),
        }
    }

    async fn report(&mut self, conn: &mut PgConnection, random: &mut StdRng) -> String {
        let node = self.nodes[random.random_range(0..self.nodes.len())];
        let key = self.slots[random.random_range(0..self.slots.len())];
        let epoch = (self.model.slots[&key].epoch + random.random_range(-2..3)).max(0);
        let mut real = report(node, key.camera_id, epoch, SlotState::Live);
        real.slot.key = key;
        slot_report(conn, &[real]).await.expect("reports");
        self.model.slot_report(&[(key, epoch)]);
        format!("{key} is reported under {epoch}")
    }

    /// The census, and what follows from it.
    async fn live(&mut self, conn: &mut PgConnection, now: Stamp) -> String {
        let census = lease_census(conn).await.expect("counts");
        let count = sim::Count {
            living: census.living,
            died: census.died,
            silent: census.silent,
            returned: census.returned,
        };
        assert_eq!(count, self.model.lease_census(now));
        let died = node_die(conn, &self.nodes).await.expect("declares");
        let mut died: Vec<_> = died.into_iter().map(|node| node.id).collect();
        died.sort_unstable();
        assert_eq!(died, self.model.node_die(now, &self.nodes));
        let returned = node_return(conn, &self.nodes).await.expect("declares");
        let mut returned: Vec<_> = returned.into_iter().map(|node| node.id).collect();
        returned.sort_unstable();
        assert_eq!(returned, self.model.node_return(now, &self.nodes));
        format!("{count:?}; {died:?} die and {returned:?} return")
    }

    /// A camera is enabled or not.
    async fn want(&mut self, conn: &mut PgConnection, random: &mut StdRng) -> String {
        let camera = self.slots[random.random_range(0..self.slots.len())].camera_id;
        let enabled = random.random_bool(0.6);
        sqlx::query!(
            "UPDATE camera SET enabled = $2 WHERE id = $1",
            camera.uuid(),
            enabled
        )
        .execute(&mut *conn)
        .await
        .expect("changes it");
        slot_touch(conn, camera).await.expect("touches");
        let all = self.slots.iter().filter(|key| key.camera_id == camera);
        let all: Vec<_> = all.copied().collect();
        let ingest = [slot(camera)];
        // Who has it is told of the camera, not of each restream.
        self.model
            .slot_want(if enabled { &ingest } else { &all }, enabled);
        for key in all {
            self.model.slots.get_mut(&key).expect("is there").wanted = enabled;
        }
        format!("{camera} is enabled: {enabled}")
    }

    async fn plan(&mut self, conn: &mut PgConnection, now: Stamp, random: &mut StdRng) -> String {
        let me = self.planners[random.random_range(0..2)];
        let term = planner_acquire(conn, me, 15.5).await.expect("asks");
        let lease = sim::stamp(std::time::Duration::from_millis(15_500));
        assert_eq!(term, self.model.planner_acquire(now, me, lease));
        let asked = term.unwrap_or(random.random_range(0..3));
        let holds = planner_hold(conn, me, asked).await.expect("asks");
        assert_eq!(holds, self.model.planner_hold(&self.rules, me, asked));
        if random.random_bool(0.3) {
            planner_resign(conn, me, asked).await.expect("resigns");
            self.model.planner_resign(me, asked);
        }
        format!("{me} plans under {term:?}")
    }

    /// PostgreSQL's timeline cannot be raised here: the rows are made for another one.
    async fn begin_era(
        &mut self,
        conn: &mut PgConnection,
        now: Stamp,
        random: &mut StdRng,
    ) -> String {
        if random.random_bool(0.5) {
            sqlx::query!("UPDATE database_era SET timeline = 0")
                .execute(conn)
                .await
                .expect("changes it");
            self.model.era = 0;
            return "the database is a new one".to_owned();
        }
        let begun = era_begin(conn).await.expect("begins");
        assert_eq!(begun, self.model.era_begin(now, &self.rules));
        format!("an era begins: {begun}")
    }

    /// All rows are the same; times may differ by what the test took.
    async fn compare(&self) {
        let mut conn = self.pool.acquire().await.expect("connects");
        let conn = &mut *conn;
        let close = |real: DateTime<Utc>, model: Stamp| {
            let real = real.timestamp_micros() + self.aged;
            assert!((real - model).abs() < CLOSE, "{real} and {model}");
        };
        let nodes = sqlx::query!(
            r#"SELECT n.id, n.died_at, c.alloc, c.used, v.revision
               FROM node n
               JOIN node_capacity c ON c.node_id = n.id
               JOIN node_revision v ON v.node_id = n.id"#
        )
        .fetch_all(&mut *conn)
        .await
        .expect("lists");
        for row in nodes {
            let model = &self.model.nodes[&row.id.into()];
            let real = (i64::from(row.alloc), i64::from(row.used), row.revision);
            assert_eq!(real, (model.alloc, model.used, model.revision));
            assert_eq!(row.died_at.is_some(), model.died_at.is_some());
        }
        let leases = sqlx::query!(
            r#"SELECT node_id, instance, expires_at, goodbye, applied_revision,
                      NULLIF(strict_after, '-infinity') AS strict_after
               FROM node_lease"#
        )
        .fetch_all(&mut *conn)
        .await
        .expect("lists");
        assert_eq!(leases.len(), self.model.leases.len());
        for row in leases {
            let model = &self.model.leases[&row.node_id.into()];
            let real = (row.instance, row.goodbye, row.applied_revision);
            assert_eq!(
                real,
                (model.instance, model.goodbye, model.applied_revision)
            );
            close(row.expires_at, model.expires_at);
            match row.strict_after {
                Some(after) => close(after, model.strict_after),
                None => assert_eq!(model.strict_after, Stamp::MIN),
            }
        }
        self.compare_slots(conn).await;
    }

    async fn compare_slots(&self, conn: &mut PgConnection) {
        let slots = sqlx::query!(
            r#"SELECT camera_id, role, ordinal, epoch, reported_epoch, node_id, cost, left_node_id,
                      left_revision
               FROM slot"#
        )
        .fetch_all(&mut *conn)
        .await
        .expect("lists");
        assert_eq!(slots.len(), self.model.slots.len());
        let mut held: BTreeMap<NodeId, Vec<sim::Assignment>> = BTreeMap::new();
        for row in slots {
            let key = slot_key(row.camera_id, &row.role, row.ordinal).expect("is a key");
            let model = &self.model.slots[&key];
            let real = (row.epoch, row.reported_epoch, i64::from(row.cost));
            assert_eq!(
                real,
                (model.epoch, model.reported_epoch, model.cost),
                "{key}"
            );
            assert_eq!(row.node_id.map(NodeId::from), model.node_id, "{key}");
            let left = (row.left_node_id.map(NodeId::from), row.left_revision);
            assert_eq!(left, (model.left_node_id, model.left_revision), "{key}");
            if let Some(node) = model.node_id {
                held.entry(node).or_default().push((key, model.epoch));
            }
        }
        for node in &self.nodes {
            let mut held = held.remove(node).unwrap_or_default();
            held.sort_unstable();
            assert_eq!(self.model.desired_list(*node), held);
        }
        // What the planner is told of who may still push.
        let now = self.now(conn).await;
        let fleet = slot_fleet(conn, None).await.expect("lists");
        let model = self.model.slot_fleet(now, &self.rules);
        let model: BTreeMap<_, _> = model.iter().map(|(one, ..)| (one.key, one)).collect();
        for FleetSlot { slot, epoch, .. } in fleet {
            let one = model[&slot.key];
            assert_eq!(epoch, self.model.slots[&slot.key].epoch);
            assert_eq!(
                (slot.node, slot.bound),
                (one.node, one.bound),
                "{}",
                slot.key
            );
            assert_eq!(slot.wanted == Wanted::Yes, one.wanted == Wanted::Yes);
            assert_eq!(slot.follows, one.follows);
        }
    }
}

fn lease() -> std::time::Duration {
    std::time::Duration::from_secs_f64(LEASE)
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_model_does_what_the_sql_does(pool: PgPool) {
    let mut random = StdRng::seed_from_u64(11);
    let mut both = Both::new(&pool).await;
    let mut story = Vec::new();
    let mut held = 0;
    for turn in 0..1500 {
        let what = both.act(&mut random).await;
        held += usize::from(what.contains(&NO_REVISION.to_string()));
        story.push(what);
        println!("{turn}: {}", story[turn]);
        both.compare().await;
    }
    // All of it has happened.
    for part in [
        "Done",
        "Stale",
        "Full",
        "told None",
        "begins: true",
        "silent: [node",
    ] {
        let count = story.iter().filter(|what| what.contains(part)).count();
        assert!(count > 3, "{part} happened {count} times");
    }
    assert!(held > 3, "{held}");
}
