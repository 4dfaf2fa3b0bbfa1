//! How long the first page of cameras takes: 100,000 cameras in 7,000 groups, somebody with 1,000
//! grants. `cargo xtask bench access` runs it.

use std::time::Duration;

use headworks_bootstrap::Clock;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    app::access::{Actions, Holding, Rights},
    database::limit,
    db::{
        access::rule_list,
        camera::{CameraFilter, camera_list},
        fixture::{self, SUSPECT},
        user::{NewUser, user_insert},
    },
};

/// What the issue asks for.
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
        "50 visible: 500 floors and 50 cameras allowed, all sites but one denied",
        &[
            kind("floor", "allow", 0, 451),
            kind("camera", "allow", 0, 50),
            kind("site", "deny", 1, 499),
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
        "all 500 sites allowed, 500 cameras denied",
        &[
            kind("site", "allow", 0, 500),
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
#[ignore = "measures, and needs a machine that does nothing else: cargo xtask bench access"]
async fn a_page_takes_less_than_20_ms(pool: PgPool) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    limit(&mut conn).await?;
    let project = fixture::project(&mut conn).await.uuid();
    fill(&mut conn, project).await?;
    let mut slow = Vec::new();
    for (name, kinds) in CASES {
        let user = Uuid::now_v7();
        let ann = NewUser::default();
        user_insert(&mut conn, project.into(), user.into(), &ann).await?;
        for kind in kinds {
            grant(&mut conn, project, user, kind).await?;
        }
        sqlx::query!(r#"ANALYZE "grant""#)
            .execute(&mut *conn)
            .await?;
        let mut taken = Vec::new();
        let mut found = 0;
        for _ in 0..RUNS {
            let (time, cameras) = page(&mut conn, user).await?;
            (found, taken) = (cameras, [taken, vec![time]].concat());
        }
        taken.sort_unstable();
        let (best, middle) = (taken[0], taken[RUNS / 2]);
        eprintln!("| {name} | {found} | {best:.1?} | {middle:.1?} |");
        if middle > LIMIT {
            slow.push(name);
        }
    }
    assert!(slow.is_empty(), "slower than {LIMIT:?}: {slow:?}");
    Ok(())
}

/// Loads the grants and lists the first 50 cameras, as `GET /v1/cameras` does.
async fn page(conn: &mut PgConnection, user: Uuid) -> sqlx::Result<(Duration, usize)> {
    let clock = Clock::system();
    let start = clock.monotonic();
    let rules = rule_list(conn, user, Holding::At(None, None)).await?;
    let view = headworks_types::Action::CameraViewLive;
    let manage = headworks_types::Action::CameraManage;
    let mask = [view, manage].into_iter().collect();
    let sight = Rights::new(&rules, Actions::ALL).sight(mask);
    let filter = CameraFilter::default();
    let cameras = camera_list(conn, &sight, SUSPECT, &filter, None, 51).await?;
    Ok((clock.monotonic() - start, cameras.len()))
}

/// 500 sites of 3 buildings, 5,000 floors in these, and 100,000 cameras on the floors, in turn.
async fn fill(conn: &mut PgConnection, project: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        r#"WITH site AS (
               SELECT n, gen_random_uuid() AS id FROM generate_series(0, 499) AS n
           ), building AS (
               SELECT b.n, gen_random_uuid() AS id, s.id AS site
               FROM generate_series(0, 1499) AS b (n) JOIN site s ON s.n = b.n % 500
           ), floor AS (
               SELECT gen_random_uuid() AS id, b.id AS building, b.site
               FROM generate_series(0, 4999) AS f (n) JOIN building b ON b.n = f.n % 1500
           )
           INSERT INTO camera_group (id, project_id, parent_id, path, name)
           SELECT id, $1::uuid, NULL, ARRAY[id], 'site' FROM site
           UNION ALL
           SELECT id, $1, site, ARRAY[site, id], 'building' FROM building
           UNION ALL
           SELECT id, $1, building, ARRAY[site, building, id], 'floor' FROM floor"#,
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
                 WHERE name = 'floor') AS f ON f.n = c.n % 5000"#,
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
                  CASE WHEN $3 IN ('site', 'floor') THEN thing.id END,
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
