//! On a real PostgreSQL: whatever changes a row that the directory is made of, and however the
//! transactions overlap, the difference makes an old copy what a fresh one is.

use std::collections::BTreeMap;

use headworks_types::{
    CameraGroupId, CameraId, NodeId, NodeState, ProjectId,
    edge::{Peer, Route},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::{super::tests::state, *};
use crate::{
    app::edge::DirectoryReader,
    db::{
        camera_group::{camera_group_insert, camera_group_move},
        directory::directory_sweep,
        fixture::{camera, node, project, renewal, spec},
        lease::lease_renew,
        node::node_update,
    },
};

/// What somebody knows who reads on and on.
#[derive(Debug, Default, PartialEq)]
struct Copy {
    peers: BTreeMap<Uuid, Peer>,
    routes: BTreeMap<Uuid, Route>,
}

impl Copy {
    fn take(&mut self, listed: Listed) {
        if listed.whole {
            *self = Self::default();
        }
        for node in listed.changes.nodes.keys() {
            self.peers.remove(&node.uuid());
        }
        for camera in listed.changes.cameras.keys() {
            self.routes.remove(&camera.uuid());
        }
        let peers = listed.changes.peers.into_iter();
        self.peers.extend(peers.map(|peer| (peer.id.uuid(), peer)));
        let routes = listed.changes.routes.into_iter();
        self.routes
            .extend(routes.map(|route| (route.camera_id.uuid(), route)));
    }
}

/// What may be changed.
struct World {
    project: ProjectId,
    cameras: Vec<CameraId>,
    nodes: Vec<NodeId>,
    groups: Vec<CameraGroupId>,
}

impl World {
    async fn make(conn: &mut PgConnection) -> Self {
        let project = project(conn).await;
        let (mut cameras, mut nodes, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..6 {
            cameras.push(camera(conn, project).await);
            nodes.push(node(conn, &format!("edge-{number}"), 9).await);
        }
        for name in ["east", "west", "roof"] {
            let group = serde_json::from_value(serde_json::json!({"name": name}));
            let group = group.expect("is a group");
            let id = CameraGroupId::from(Uuid::now_v7());
            let inserted = camera_group_insert(conn, project, id, &[], &group).await;
            inserted.expect("inserts a group");
            groups.push(id);
        }
        Self {
            project,
            cameras,
            nodes,
            groups,
        }
    }

    /// Changes something that nobody else does who is not `who`, of three.
    async fn change(&self, conn: &mut PgConnection, who: usize, random: &mut StdRng) {
        let mine = |index: usize| index % 3 == who;
        let cameras: Vec<_> = (0..6)
            .filter(|i| mine(*i))
            .map(|i| self.cameras[i])
            .collect();
        let camera = cameras.choose(random).expect("there are some").uuid();
        let node = self.nodes[3 * random.random_range(0..2_usize) + who];
        let changed = match random.random_range(0..10) {
            0 => sqlx::query!(
                "UPDATE camera SET enabled = NOT enabled WHERE id = $1",
                camera
            ),
            1 => sqlx::query!("UPDATE camera SET name = name || '!' WHERE id = $1", camera),
            2 => sqlx::query!("DELETE FROM camera WHERE id = $1", camera),
            3 => {
                let group = self.groups.choose(random).map(|group| group.uuid());
                sqlx::query!(
                    "UPDATE camera SET group_id = $2 WHERE id = $1",
                    camera,
                    group
                )
            }
            4 => sqlx::query!(
                "UPDATE slot SET node_id = n.id, cost = 1, epoch = epoch + 1
                 FROM node n WHERE camera_id = $1 AND n.id = $2",
                camera,
                node.uuid()
            ),
            5 => sqlx::query!(
                "UPDATE slot SET node_id = NULL, cost = 0 WHERE camera_id = $1",
                camera
            ),
            6 => sqlx::query!(
                "INSERT INTO camera_viewing (camera_id, max_viewers, sensitive)
                 SELECT id, 1, false FROM camera WHERE id = $1
                 ON CONFLICT (camera_id) DO UPDATE
                     SET max_viewers = camera_viewing.max_viewers + 1",
                camera
            ),
            7 => sqlx::query!("DELETE FROM camera_viewing WHERE camera_id = $1", camera),
            8 => return self.change_group(conn, who).await,
            _ => return change_node(conn, node, random).await,
        };
        changed.execute(conn).await.expect("changes something");
    }

    /// Each has a group of its own, which it hangs into another one of its own, or takes out.
    async fn change_group(&self, conn: &mut PgConnection, who: usize) {
        let parent = CameraGroupId::from(Uuid::now_v7());
        let group = serde_json::from_value(serde_json::json!({"name": "site"}));
        let group = group.expect("is a group");
        camera_group_insert(conn, self.project, parent, &[], &group)
            .await
            .expect("inserts a group");
        camera_group_move(conn, self.project, self.groups[who], &[parent])
            .await
            .expect("moves the group");
    }
}

async fn change_node(conn: &mut PgConnection, node: NodeId, random: &mut StdRng) {
    let id = node.uuid();
    let changed = match random.random_range(0..6) {
        5 => sqlx::query!(
            "UPDATE node_lease SET is_full = NOT is_full WHERE node_id = $1",
            id
        ),
        0 => sqlx::query!(
            "UPDATE node SET died_at = CASE WHEN died_at IS NULL THEN clock_timestamp() END
             WHERE id = $1",
            id
        ),
        1 => sqlx::query!(
            "UPDATE node SET revoked_at = clock_timestamp() WHERE id = $1",
            id
        ),
        2 => {
            let mut goodbye = renewal(node);
            goodbye.goodbye = random.random_bool(0.5);
            let renewed = lease_renew(conn, &[goodbye], 10.0).await;
            renewed.expect("renews the lease");
            return;
        }
        3 => {
            let mut described = spec(&format!("edge-{id}"), "paris", 9);
            described.relay = Some("https://10.0.0.1:8445/".parse().expect("is a URL"));
            match node_update(conn, node, &described).await {
                // It was removed before.
                Ok(()) | Err(sqlx::Error::RowNotFound) => return,
                Err(error) => panic!("cannot describe itself: {error}"),
            }
        }
        _ => {
            // Slots go before their node.
            sqlx::query!(
                "UPDATE slot SET node_id = NULL, cost = 0 WHERE node_id = $1",
                id
            )
            .execute(&mut *conn)
            .await
            .expect("takes its slots");
            sqlx::query!("DELETE FROM node WHERE id = $1", id)
        }
    };
    changed.execute(conn).await.expect("changes a node");
}

async fn overlap(pool: &PgPool, world: &World, seed: u64) {
    let state = state(pool);
    let mut random = StdRng::seed_from_u64(seed);
    let mut open: [Option<Transaction<'static, Postgres>>; 3] = [None, None, None];
    let (mut copies, mut seen) = ([Copy::default(), Copy::default()], [None, None]);
    for _ in 0..60 {
        let who = random.random_range(0..3_usize);
        match (open[who].take(), random.random_range(0..4)) {
            (Some(tx), 0) => tx.rollback().await.expect("rolls back"),
            (Some(tx), 1 | 2) => tx.commit().await.expect("commits"),
            (tx, _) => {
                let mut tx = match tx {
                    Some(tx) => tx,
                    None => pool.begin().await.expect("begins"),
                };
                world.change(&mut tx, who, &mut random).await;
                open[who] = Some(tx);
            }
        }
        let reader = random.random_range(0..2_usize);
        if random.random_bool(0.4) {
            let listed = list(&state, seen[reader]).await.expect("reads");
            seen[reader] = Some(listed.horizon);
            copies[reader].take(listed);
        }
    }
    for tx in open.into_iter().flatten() {
        tx.commit().await.expect("commits");
    }
    let mut fresh = Copy::default();
    fresh.take(list(&state, None).await.expect("reads"));
    for (copy, seen) in copies.iter_mut().zip(seen) {
        copy.take(list(&state, seen).await.expect("reads"));
        assert_eq!(copy, &fresh, "seed {seed}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_difference_makes_an_old_copy_a_fresh_one(pool: PgPool) {
    for seed in 0..20 {
        // Each knows only its own world, but the readers see all of them.
        let mut conn = pool.acquire().await.expect("connects");
        let world = World::make(&mut conn).await;
        drop(conn);
        overlap(&pool, &world, seed).await;
        sqlx::query!("TRUNCATE node, camera CASCADE")
            .execute(&pool)
            .await
            .expect("begins anew");
    }
}

async fn next(reader: &mut DirectoryReader) -> headworks_types::edge::DirectoryUpdate {
    let line = timeout(DEADLINE, reader.line())
        .await
        .expect("a line in time");
    match serde_json::from_slice(&line).expect("is a message") {
        headworks_types::edge::WatchMessage::Directory(update) => update,
        other => panic!("not of the directory: {other:?}"),
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_turn_tells_what_is_new_and_only_that(pool: PgPool) {
    let state = state(&pool);
    let mut conn = pool.acquire().await.expect("connects");
    let project = project(&mut conn).await;
    let gate = camera(&mut conn, project).await;
    let one = node(&mut conn, "edge-1", 9).await;
    assert!(turn(&state).await.expect("reads"));
    let mut reader = state.edges.directory.reader(0);
    let all = next(&mut reader).await;
    assert!(all.complete);
    assert_eq!(
        (all.peers[0].id, all.peers[0].state),
        (one, NodeState::Ready)
    );
    assert_eq!(
        (all.routes[0].camera_id, all.routes[0].origin),
        (gate, None)
    );

    // What nobody needs to know, many times.
    for _ in 0..3 {
        lease_renew(&mut conn, &[renewal(one)], 10.0)
            .await
            .expect("renews");
        sqlx::query!("UPDATE node SET certificate_used_at = clock_timestamp()")
            .execute(&mut *conn)
            .await
            .expect("uses a certificate");
        sqlx::query!("UPDATE slot SET reason = reason || '.', reported_epoch = 7")
            .execute(&mut *conn)
            .await
            .expect("explains");
        sqlx::query!("UPDATE camera SET version = version + 1, labels = '{}'")
            .execute(&mut *conn)
            .await
            .expect("labels");
    }
    let changes = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM directory_change"#);
    let before = changes.fetch_one(&mut *conn).await.expect("counts");
    assert_eq!(before, 3, "a camera, a node and its first renewal");

    sqlx::query!(
        "UPDATE slot SET node_id = $1, cost = 1, epoch = 1",
        one.uuid()
    )
    .execute(&mut *conn)
    .await
    .expect("assigns");
    assert!(turn(&state).await.expect("reads"));
    loop {
        // One that only settles may come before.
        let update = next(&mut reader).await;
        assert!(!update.complete && update.peers.is_empty());
        if let [route] = &update.routes[..] {
            assert_eq!((route.origin, route.epoch), (Some(one), 1));
            break;
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_forgotten_is_remembered_as_forgotten(pool: PgPool) {
    let state = state(&pool);
    let mut conn = pool.acquire().await.expect("connects");
    node(&mut conn, "edge-1", 9).await;
    let before = list(&state, None).await.expect("reads").horizon;
    let sweep =
        async |conn: &mut PgConnection| directory_sweep(conn, 24, 10).await.expect("sweeps");
    assert_eq!(sweep(&mut conn).await, 0);
    assert!(!list(&state, Some(before)).await.expect("reads").whole);

    node(&mut conn, "edge-2", 9).await;
    sqlx::query!("UPDATE directory_change SET at = at - interval '25 h'")
        .execute(&mut *conn)
        .await
        .expect("ages them");
    assert_eq!(sweep(&mut conn).await, 4, "two nodes, two first renewals");
    // Tests on other databases of this server may keep old transactions open.
    let settled = async {
        loop {
            let now = list(&state, Some(before)).await.expect("reads");
            assert!(now.whole, "what came in between is not known any more");
            if now.horizon.xact > now.horizon.floor {
                return now.horizon;
            }
            tokio::task::yield_now().await;
        }
    };
    let now = timeout(DEADLINE, settled).await.expect("they end");
    assert!(!list(&state, Some(now)).await.expect("reads").whole);
}
