//! What a turn costs with 20,000 sessions: of 2,000 people in 20 groups, on 5,000 cameras. Each
//! group has 1,000 grants on cameras and 20 on folders, with a schedule; each person has 10.
//!
//! As in `app::access::tests::speed`, what counts is how long controller and PostgreSQL had a
//! processor: that depends little on what else the machine does.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

use super::{ALL, World};
use crate::{
    database::limit,
    db::fixture::processor_time,
    reconcile::session::{PAGE, turn},
};

/// What a turn may take, so that a right that is taken away ends its sessions within two seconds.
/// Half of it is the controller's, where its code is not optimized.
const LIMIT: Duration = Duration::from_secs(1);
const RUNS: usize = 5;

#[sqlx::test(migrations = "../../migrations")]
#[ignore = "measures: cargo test -p headworks-controller twenty_thousand -- --ignored --nocapture"]
async fn twenty_thousand_sessions_are_judged_within_a_second(pool: PgPool) -> sqlx::Result<()> {
    let mut world = World::new(&pool).await;
    fill(&mut world.conn, world.project.uuid(), world.node.uuid()).await?;
    let limited = PgPoolOptions::new()
        .max_connections(1)
        .after_connect(|conn, _| Box::pin(limit(conn)))
        .connect_with((*pool.connect_options()).clone())
        .await?;
    let backend = sqlx::query_scalar!(r#"SELECT pg_backend_pid() AS "pid!""#);
    let backend = backend.fetch_one(&limited).await?;
    world.state.pool = limited.into();
    let backend = format!("/proc/{backend}/schedstat");
    let mut taken = Vec::new();
    for _ in 0..RUNS {
        let both = || {
            (
                processor_time("/proc/thread-self/schedstat"),
                processor_time(&backend),
            )
        };
        let before = both();
        let status = turn(&world.state, &ALL, PAGE).await?;
        let after = both();
        taken.push((after.0 - before.0, after.1 - before.1));
        assert_eq!((status.unallowed, status.failed), (0, 0));
    }
    taken.sort_unstable_by_key(|(controller, database)| *controller + *database);
    let (controller, database) = taken[RUNS / 2];
    eprintln!("20,000 sessions: controller {controller:.0?}, database {database:.0?}");
    assert!(controller + database < LIMIT, "{taken:?}");
    Ok(())
}

async fn fill(conn: &mut PgConnection, project: Uuid, node: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        r#"WITH folder AS (
               INSERT INTO camera_group (id, project_id, path, name)
               SELECT id, $1, ARRAY[id], 'folder'
               FROM (SELECT md5('folder' || n)::uuid AS id FROM generate_series(0, 99) AS n) AS f
           ), person AS (
               INSERT INTO "user" (id, project_id, name)
               SELECT md5('user' || n)::uuid, $1, 'Ann' FROM generate_series(0, 1999) AS n
           )
           INSERT INTO user_group (id, project_id, name)
           SELECT md5('group' || n)::uuid, $1, n::text FROM generate_series(0, 19) AS n"#,
        project
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"WITH camera AS (
               INSERT INTO camera (id, project_id, name, source, start, group_id)
               SELECT md5('camera' || n)::uuid, $1, 'gate',
                      '{"type": "pull", "url": "rtsp://10.0.0.1/1", "transport": "tcp"}', 'always',
                      md5('folder' || n % 100)::uuid
               FROM generate_series(0, 4999) AS n
           )
           INSERT INTO user_group_member (user_group_id, user_id)
           SELECT md5('group' || n % 20)::uuid, md5('user' || n)::uuid
           FROM generate_series(0, 1999) AS n"#,
        project
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"INSERT INTO "grant" (id, project_id, user_id, user_group_id, camera_id, camera_group_id,
                                effect, actions, schedule, minutes, zone)
           SELECT gen_random_uuid(), $1::uuid, NULL::uuid, md5('group' || n % 20)::uuid, NULL::uuid,
                  md5('folder' || n % 100)::uuid, 'allow', ARRAY['camera.view_live'],
                  '{}'::jsonb, '{[0,10080)}'::int4multirange, 'Europe/Paris'
           FROM generate_series(0, 399) AS n
           UNION ALL
           SELECT gen_random_uuid(), $1, NULL, md5('group' || n % 20)::uuid,
                  md5('camera' || n * 7 % 5000)::uuid, NULL, 'allow', ARRAY['camera.ptz'],
                  NULL, NULL, NULL
           FROM generate_series(0, 19999) AS n
           UNION ALL
           SELECT gen_random_uuid(), $1, md5('user' || n % 2000)::uuid, NULL,
                  md5('camera' || n * 13 % 5000)::uuid, NULL, 'allow', ARRAY['camera.view_live'],
                  NULL, NULL, NULL
           FROM generate_series(0, 19999) AS n"#,
        project
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"INSERT INTO viewer_session
               (id, node_id, project_id, camera_id, subject, principal_id, token_id, key_id,
                max_sessions, protocol, sound, address, bytes_sent, issued_at, started_at, watch_until)
           SELECT gen_random_uuid(), $2, $1, md5('camera' || n * 13 % 5000)::uuid,
                  'usr_' || md5('user' || n % 2000), md5('user' || n % 2000)::uuid, n::text, 'k',
                  9, 'hls', true, '10.0.0.0'::inet + n, 0, clock_timestamp(), clock_timestamp(),
                  clock_timestamp() + interval '1 hour'
           FROM generate_series(0, 19999) AS n"#,
        project,
        node
    )
    .execute(&mut *conn)
    .await?;
    for table in ["grant", "camera", "session", "user"] {
        match table {
            "grant" => {
                sqlx::query!(r#"ANALYZE "grant""#)
                    .execute(&mut *conn)
                    .await?
            }
            "camera" => sqlx::query!("ANALYZE camera").execute(&mut *conn).await?,
            "session" => {
                sqlx::query!("ANALYZE viewer_session")
                    .execute(&mut *conn)
                    .await?
            }
            _ => {
                sqlx::query!(r#"ANALYZE "user""#)
                    .execute(&mut *conn)
                    .await?
            }
        };
    }
    Ok(())
}
