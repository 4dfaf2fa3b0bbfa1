//! Turns on a real PostgreSQL: who watches on, and who does not.

mod speed;

use headworks_types::{ApiKeyId, CameraId, NodeId, PlaybackKeyId, ProjectId, SessionId, UserId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Status, turn};
use crate::{
    db::fixture,
    reconcile::tests::state,
    state::{State, ToJudge},
};

const ALL: ToJudge = ToJudge {
    all: true,
    opened: Vec::new(),
};

/// A camera on a node, and who may watch it.
struct World {
    state: State,
    conn: PgConnection,
    project: ProjectId,
    node: NodeId,
    camera: CameraId,
}

impl World {
    async fn new(pool: &PgPool) -> Self {
        let mut conn = pool.acquire().await.expect("connects").detach();
        let project = fixture::project(&mut conn).await;
        Self {
            state: state(pool),
            project,
            node: fixture::node(&mut conn, "edge-1", 9).await,
            camera: fixture::camera(&mut conn, project).await,
            conn,
        }
    }

    /// A user who may watch the camera, or may not.
    async fn user(&mut self, may: bool) -> String {
        let user = fixture::user(&mut self.conn, self.project, true).await;
        if may {
            sqlx::query!(
                r#"INSERT INTO "grant" (id, project_id, user_id, camera_id, effect, actions)
                   VALUES (gen_random_uuid(), $1, $2, $3, 'allow', ARRAY['camera.view_live'])"#,
                self.project.uuid(),
                user.uuid(),
                self.camera.uuid()
            )
            .execute(&mut self.conn)
            .await
            .expect("grants");
        }
        user.to_string()
    }

    /// A session; the number is its id, too.
    async fn watch(&mut self, number: u128, subject: &str) -> SessionId {
        let (_, principal) = subject.split_once('_').expect("is an id");
        sqlx::query!(
            r#"INSERT INTO viewer_session
                   (id, node_id, project_id, camera_id, subject, principal_id, token_id, key_id,
                    protocol, sound, address, bytes_sent, issued_at, started_at, watch_until)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 'k', 'hls', false, '192.0.2.7', 0,
                       clock_timestamp(), clock_timestamp(), clock_timestamp() + interval '1 hour')"#,
            Uuid::from_u128(number),
            self.node.uuid(),
            self.project.uuid(),
            self.camera.uuid(),
            subject,
            principal.parse::<Uuid>().expect("is an id"),
            format!("token-{number}")
        )
        .execute(&mut self.conn)
        .await
        .expect("opens");
        Uuid::from_u128(number).into()
    }

    /// One turn, in pages of two.
    async fn turn(&self, called: &ToJudge) -> Status {
        turn(&self.state, called, 2).await.expect("judges")
    }

    /// What is revoked: kind and value, and whether sessions end.
    async fn revoked(&mut self) -> Vec<(String, String, bool)> {
        let rows = sqlx::query!("SELECT kind, value, ends_sessions FROM revocation ORDER BY 1, 2");
        let rows = rows.fetch_all(&mut self.conn).await.expect("lists");
        rows.into_iter()
            .map(|row| (row.kind, row.value, row.ends_sessions))
            .collect()
    }

    /// The sessions that are ended.
    async fn ended(&mut self) -> Vec<String> {
        let revoked = self.revoked().await.into_iter();
        let sessions = revoked.filter(|(kind, ..)| kind == "session");
        sessions.map(|(_, value, _)| value).collect()
    }
}

fn texts(ids: &[SessionId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_page_is_judged(pool: PgPool) {
    let mut world = World::new(&pool).await;
    let (may, may_not) = (world.user(true).await, world.user(false).await);
    let mut wrong = Vec::new();
    for number in 1..=7 {
        let subject = if number % 3 == 0 { &may } else { &may_not };
        let id = world.watch(number, subject).await;
        if number % 3 != 0 {
            wrong.push(id);
        }
    }
    let status = world.turn(&ALL).await;
    assert_eq!((status.unallowed, status.failed), (5, 0));
    assert_eq!(world.ended().await, texts(&wrong));
    assert_eq!(world.turn(&ALL).await, Status::default(), "once");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_page_that_fails_holds_up_no_other(pool: PgPool) {
    let mut world = World::new(&pool).await;
    let may_not = world.user(false).await;
    let mut ids = Vec::new();
    for number in 1..=6 {
        ids.push(world.watch(number, &may_not).await);
    }
    sqlx::query!(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN RAISE EXCEPTION 'the third fails'; END$$"
    )
    .execute(&mut world.conn)
    .await
    .expect("creates");
    sqlx::query!(
        "CREATE TRIGGER fail BEFORE INSERT ON revocation FOR EACH ROW
         WHEN (NEW.value = 'sess_00000000000000000000000000000003') EXECUTE FUNCTION fail()"
    )
    .execute(&mut world.conn)
    .await
    .expect("creates");
    let status = world.turn(&ALL).await;
    assert_eq!((status.unallowed, status.failed), (4, 1));
    let (before, after) = (&ids[..2], &ids[4..]);
    assert_eq!(world.ended().await, texts(&[before, after].concat()));
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_has_just_come_is_judged_alone(pool: PgPool) {
    let mut world = World::new(&pool).await;
    let (may, may_not) = (world.user(true).await, world.user(false).await);
    // Somebody has just looked at all.
    world.turn(&ALL).await;
    let (old, new) = (
        world.watch(1, &may_not).await,
        world.watch(2, &may_not).await,
    );
    let fine = world.watch(3, &may).await;
    world.state.wake.sessions_opened([new, fine].into_iter());
    let called = world.state.wake.sessions_called().await;
    assert_eq!(world.turn(&called).await.unallowed, 1);
    assert_eq!(world.ended().await, texts(&[new]));
    world.state.wake.sessions_opened([new].into_iter());
    world.state.wake.sessions();
    let called = world.state.wake.sessions_called().await;
    assert_eq!(world.turn(&called).await.unallowed, 1);
    assert_eq!(world.ended().await, texts(&[old, new]));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_zone_that_nobody_knows_stops_nothing_else(pool: PgPool) {
    let mut world = World::new(&pool).await;
    let (may, lost, denied) = (
        world.user(true).await,
        world.user(false).await,
        world.user(true).await,
    );
    for (subject, effect) in [(&lost, "allow"), (&denied, "deny")] {
        let user: UserId = subject.parse().expect("is a user");
        sqlx::query!(
            r#"INSERT INTO "grant" (id, project_id, user_id, camera_id, effect, actions, schedule,
                                    minutes, zone)
               VALUES (gen_random_uuid(), $1, $2, $3, $4, ARRAY['camera.view_live'], '{}',
                       '{[0,10080)}', 'Mars/Olympus')"#,
            world.project.uuid(),
            user.uuid(),
            world.camera.uuid(),
            effect
        )
        .execute(&mut world.conn)
        .await
        .expect("grants");
    }
    world.watch(1, &may).await;
    let lost = world.watch(2, &lost).await;
    let denied = world.watch(3, &denied).await;
    assert_eq!(world.turn(&ALL).await.failed, 0);
    assert_eq!(world.ended().await, texts(&[lost, denied]));
}

/// A key stands for all viewers of a customer: one who may not go on closes its own token only.
#[sqlx::test(migrations = "../../migrations")]
async fn a_viewer_of_a_key_costs_the_others_nothing(pool: PgPool) {
    let mut world = World::new(&pool).await;
    let key = ApiKeyId::from(Uuid::now_v7());
    // The camera is not within the bounds of a customer's key that there is not.
    let customer = PlaybackKeyId::from(Uuid::now_v7());
    let ids = [
        world.watch(1, &key.to_string()).await,
        world.watch(2, &customer.to_string()).await,
    ];
    assert_eq!(world.turn(&ALL).await.unallowed, 2);
    assert_eq!(world.ended().await, texts(&ids));
    let tokens = ["token-1", "token-2"].map(|name| ("token".to_owned(), name.to_owned(), false));
    assert_eq!(world.revoked().await[2..], tokens);
}

#[sqlx::test(migrations = "../../migrations")]
async fn tokens_of_a_user_who_may_not_watch_open_nothing(pool: PgPool) {
    let mut world = World::new(&pool).await;
    let may_not = world.user(false).await;
    let id = world.watch(1, &may_not).await;
    world.turn(&ALL).await;
    let revoked = [
        ("session".to_owned(), id.to_string(), true),
        ("subject".to_owned(), may_not, false),
    ];
    assert_eq!(world.revoked().await, revoked);
}
