//! What the first page of cameras costs: 100,000 cameras in 7,000 groups, somebody with 1,000
//! grants. `cargo xtask bench access` runs it.
//!
//! Controller and PostgreSQL work in turn, so on a machine that does nothing else the answer takes
//! as long as both have the processor. That is what counts here: it hardly depends on what else the
//! machine does, as the time by the clock would.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    app::access::{Actions, Holding, Rights},
    database::limit,
    db::{
        access::rule_list,
        camera::{CameraFilter, camera_list},
        fixture::{self, SUSPECT, processor_time},
    },
};

/// What the answer may take.
const LIMIT: Duration = Duration::from_millis(20);
const RUNS: usize = 21;

/// Grants of one kind: where, which way, how many, and of which of the project's things.
struct Kind {
    on: &'static str,
    effect: &'static str,
    count: i64,
    /// Skips so many of them, in the order of the list.
    skip: i64,
}

const fn kind(on: &'static str, effect: &'static str, skip: i64, count: i64) -> Kind {
    Kind {
        on,
        effect,
        count,
        skip,
    }
}

/// Cases, each with about 1,000 grants.
const CASES: [(&str, &[Kind]); 6] = [
    (
        "60 visible: 3 floors of one site; 448 floors and 50 cameras of others, whose sites are denied",
        &[
            kind("open floor", "allow", 0, 3),
            kind("floor", "allow", 0, 448),
            kind("camera", "allow", 0, 50),
            kind("site", "deny", 0, 499),
        ],
    ),
    (
        "the project allowed, the first 899 cameras and 100 floors denied",
        &[
            kind("project", "allow", 0, 1),
            kind("camera", "deny", 0, 899),
            kind("floor", "deny", 0, 100),
        ],
    ),
    (
        "the project allowed, 499 of 500 sites denied",
        &[
            kind("project", "allow", 0, 1),
            kind("site", "deny", 0, 499),
            kind("camera", "deny", 0, 500),
        ],
    ),
    (
        "499 of 500 sites allowed, 500 cameras denied",
        &[
            kind("site", "allow", 0, 499),
            kind("camera", "deny", 0, 500),
        ],
    ),
    (
        "the last 950 cameras of the list allowed, 50 floors denied",
        &[
            kind("camera", "allow", 99_050, 950),
            kind("floor", "deny", 0, 50),
        ],
    ),
    (
        "950 floors allowed and denied, the last 50 cameras allowed",
        &[
            kind("floor", "allow", 0, 475),
            kind("floor", "deny", 0, 475),
            kind("camera", "allow", 99_950, 50),
        ],
    ),
];

#[sqlx::test(migrations = "../../migrations")]
#[ignore = "measures what optimized code costs: cargo xtask bench access"]
async fn a_page_takes_less_than_20_ms(pool: PgPool) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    limit(&mut conn).await?;
    let project = fixture::project(&mut conn).await.uuid();
    fill(&mut conn, project).await?;
    let mut slow = Vec::new();
    for (name, kinds) in CASES {
        let user = fixture::user(&mut conn, project.into(), true).await.uuid();
        for kind in kinds {
            grant(&mut conn, project, user, kind).await?;
        }
        sqlx::query!(r#"ANALYZE "grant""#)
            .execute(&mut *conn)
            .await?;
        let mut taken = Vec::new();
        for _ in 0..RUNS {
            taken.push(page(&mut conn, user).await?);
        }
        let middle = |part: fn(&Cost) -> Duration| {
            let mut all: Vec<_> = taken.iter().map(part).collect();
            all.sort_unstable();
            all[RUNS / 2]
        };
        let both = middle(|cost| cost.controller + cost.database);
        eprintln!(
            "| {name} | {} | {:.1?} | {:.1?} | {both:.1?} |",
            taken[0].cameras,
            middle(|cost| cost.controller),
            middle(|cost| cost.database),
        );
        if both > LIMIT {
            slow.push(name);
        }
    }
    assert!(slow.is_empty(), "slower than {LIMIT:?}: {slow:?}");
    Ok(())
}

/// What one answer cost, and how many cameras were in it.
struct Cost {
    controller: Duration,
    database: Duration,
    cameras: usize,
}

/// Loads the grants and lists the first 50 cameras, as `GET /v1/cameras` does.
async fn page(conn: &mut PgConnection, user: Uuid) -> sqlx::Result<Cost> {
    let backend = sqlx::query_scalar!(r#"SELECT pg_backend_pid() AS "pid!""#);
    let backend = format!("/proc/{}/schedstat", backend.fetch_one(&mut *conn).await?);
    let own = "/proc/thread-self/schedstat";
    let before = (processor_time(own), processor_time(&backend));
    let rules = rule_list(conn, user, Holding::At(None, None)).await?;
    let view = headworks_types::Action::CameraViewLive;
    let manage = headworks_types::Action::CameraManage;
    let mask = [view, manage].into_iter().collect();
    let sight = Rights::new(&rules, Actions::ALL).sight(mask);
    let filter = CameraFilter::default();
    let cameras = camera_list(conn, &sight, SUSPECT, &filter, None, 51).await?;
    Ok(Cost {
        controller: processor_time(own) - before.0,
        database: processor_time(&backend) - before.1,
        cameras: cameras.len(),
    })
}

/// 500 sites of 3 buildings, 5,000 floors in these, and 100,000 cameras on the floors, in turn.
async fn fill(conn: &mut PgConnection, project: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        r#"WITH site AS (
               SELECT n, gen_random_uuid() AS id, CASE n WHEN 499 THEN 'open ' ELSE '' END AS mark
               FROM generate_series(0, 499) AS n
           ), building AS (
               SELECT b.n, gen_random_uuid() AS id, s.id AS site, s.mark
               FROM generate_series(0, 1499) AS b (n) JOIN site s ON s.n = b.n % 500
           ), floor AS (
               SELECT gen_random_uuid() AS id, b.id AS building, b.site, b.mark
               FROM generate_series(0, 4999) AS f (n) JOIN building b ON b.n = f.n % 1500
           )
           INSERT INTO camera_group (id, project_id, parent_id, path, name)
           SELECT id, $1::uuid, NULL, ARRAY[id], mark || 'site' FROM site
           UNION ALL
           SELECT id, $1, site, ARRAY[site, id], 'building' FROM building
           UNION ALL
           SELECT id, $1, building, ARRAY[site, building, id], mark || 'floor' FROM floor"#,
        project
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"INSERT INTO camera (id, project_id, name, source, start, group_id)
           SELECT ('0190' || lpad(to_hex(c.n), 8, '0') || '70008000000000000000')::uuid, $1, 'camera',
                  '{"type": "pull", "url": "rtsp://10.0.0.1/1", "transport": "tcp"}', 'always', f.id
           FROM generate_series(0, 99999) AS c (n)
           JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM camera_group
                 WHERE name LIKE '%floor') AS f ON f.n = c.n % 5000"#,
        project
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO slot (camera_id, role, ordinal, reason)
         SELECT id, 'ingest', 0, 'not placed yet' FROM camera"
    )
    .execute(&mut *conn)
    .await?;
    for table in ["camera", "camera_group", "slot"] {
        vacuum(conn, table).await?;
    }
    Ok(())
}

/// As autovacuum does some minutes after so many rows came.
async fn vacuum(conn: &mut PgConnection, table: &str) -> sqlx::Result<()> {
    match table {
        "camera" => sqlx::query!("VACUUM ANALYZE camera").execute(conn).await?,
        "camera_group" => {
            sqlx::query!("VACUUM ANALYZE camera_group")
                .execute(conn)
                .await?
        }
        _ => sqlx::query!("VACUUM ANALYZE slot").execute(conn).await?,
    };
    Ok(())
}

async fn grant(
    conn: &mut PgConnection,
    project: Uuid,
    user: Uuid,
    kind: &Kind,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"INSERT INTO "grant" (id, project_id, user_id, camera_id, camera_group_id,
                                object_project_id, effect, actions)
           SELECT gen_random_uuid(), $1, $2,
                  CASE WHEN $3 = 'camera' THEN thing.id END,
                  CASE WHEN $3 IN ('site', 'floor', 'open floor') THEN thing.id END,
                  CASE WHEN $3 = 'project' THEN thing.id END,
                  $4, ARRAY['camera.view_live']
           FROM (
               (SELECT id FROM camera WHERE $3 = 'camera' AND project_id = $1)
               UNION ALL
               (SELECT id FROM camera_group WHERE name = $3 AND project_id = $1)
               UNION ALL
               (SELECT id FROM project WHERE $3 = 'project' AND id = $1)
           ) AS thing
           ORDER BY thing.id
           OFFSET $5 LIMIT $6"#,
        project,
        user,
        kind.on,
        kind.effect,
        kind.skip,
        kind.count
    )
    .execute(conn)
    .await?;
    Ok(())
}
