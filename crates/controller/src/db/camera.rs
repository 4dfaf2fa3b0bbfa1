//! Cameras: rows of `camera`.
//!
//! Who may see a camera is part of each query ([`Sight`]): what is allowed on the cluster, the
//! camera's project, the groups above it or the camera itself, and denied on none of them. The SQL
//! function `camera_access` says so for single cameras; [`camera_list`] for a page of all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headworks_types::{
    Action, Camera, CameraGroupId, CameraId, CameraSource, CameraStatus, Labels, Placement,
    ProjectId, PublishUrls, StartMode, Viewing,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    ensure_one_row, from_json,
    slot::playback_list,
    slot::status_list,
    to_json,
    viewing::{viewing_list, viewing_put},
};
use crate::app::{Sight, Versioned, access::Actions};

struct Row {
    id: Uuid,
    project_id: Uuid,
    group_id: Option<Uuid>,
    name: String,
    external_id: Option<String>,
    labels: Value,
    source: Value,
    has_credentials: bool,
    enabled: bool,
    start: String,
    placement: Value,
    exclusive_source: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// What the caller may do with a camera that it may see.
#[derive(Debug)]
pub(crate) struct CameraAccess {
    pub(crate) id: CameraId,
    pub(crate) project_id: ProjectId,
    pub(crate) actions: Actions,
}

impl CameraAccess {
    /// True if it may do this.
    pub(crate) fn may(&self, action: Action) -> bool {
        self.actions.include(action)
    }
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct CameraFilter {
    pub(crate) labels: Labels,
    pub(crate) external_id: Option<String>,
    /// Only cameras in this group and below.
    pub(crate) group: Option<CameraGroupId>,
}

/// A camera to be.
#[derive(Clone)]
pub(crate) struct NewCamera {
    pub(crate) id: CameraId,
    pub(crate) group_id: Option<CameraGroupId>,
    pub(crate) name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) source: CameraSource,
    /// Sealed.
    pub(crate) credentials: Option<Vec<u8>>,
    pub(crate) enabled: bool,
    pub(crate) start: StartMode,
    pub(crate) placement: Placement,
    pub(crate) exclusive_source: bool,
    /// Has a table of its own.
    pub(crate) viewing: Viewing,
}

/// The cameras that the caller may see, with their status.
///
/// Four ways lead to a page, and each ends after one: everything in the cluster or in some projects
/// but for groups that are denied; groups that are allowed; and cameras that something is granted
/// on, one by one. Of the groups, only those whose first camera is among the first can have cameras
/// on the page: so neither who may see few cameras of very many waits nor who may see nearly all.
#[expect(clippy::too_many_lines, reason = "it is one statement")]
pub(crate) async fn camera_list(
    conn: &mut PgConnection,
    sight: &Sight,
    suspect: Duration,
    filter: &CameraFilter,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Camera>> {
    let below = filter.group.map(|id| vec![id.uuid()]);
    let (roots, found) = match &below {
        Some(below) => (&[][..], &below[..]),
        None => (sight.roots(), sight.allowed_groups()),
    };
    let rows = sqlx::query_as!(
        Row,
        r#"WITH rights AS MATERIALIZED (
               SELECT * FROM unnest($1::uuid[], $2::integer[], $3::integer[])
                   AS r (id, allow, deny)
           ), cluster AS (
               SELECT allow, deny FROM rights
               WHERE id = '00000000-0000-0000-0000-000000000000'
               UNION ALL SELECT 0, 0
           ), own AS MATERIALIZED (
               SELECT unnest($8::uuid[]) AS id
           ), reached AS (
               -- Groups that something is granted on or above.
               SELECT g.id, g.project_id, bit_or(r.allow) AS allow, bit_or(r.deny) AS deny
               FROM unnest($7::uuid[], $15::integer[], $16::integer[]) AS r (id, allow, deny)
               JOIN camera_group g ON g.path @> ARRAY[r.id]
               GROUP BY g.id
               UNION ALL
               -- Where nothing else can be seen: groups that are allowed or asked for. What is
               -- denied above them is looked up, and what is denied elsewhere does not matter.
               SELECT g.id, g.project_id, COALESCE(bit_or(r.allow), 0), COALESCE(bit_or(r.deny), 0)
               FROM camera_group g
               CROSS JOIN LATERAL unnest(g.path) AS above (id)
               LEFT JOIN rights r ON r.id = above.id
               WHERE g.id IN (
                   SELECT k.id
                   FROM unnest($18::uuid[]) AS root (id)
                   JOIN camera_group k ON k.path @> ARRAY[root.id]
               )
               GROUP BY g.id
           ), touched AS MATERIALIZED (
               SELECT g.id, g.project_id,
                      (g.allow | COALESCE(p.allow, 0) | (SELECT bit_or(allow) FROM cluster))
                          & ~(g.deny | COALESCE(p.deny, 0) | (SELECT bit_or(deny) FROM cluster))
                          & $4 <> 0 AS visible
               FROM reached g
               LEFT JOIN rights p ON p.id = g.project_id
           ), wide AS MATERIALIZED (
               -- Projects that are allowed as a whole, and whether groups of them are denied.
               SELECT p.id, EXISTS (
                          SELECT FROM touched t WHERE t.project_id = p.id AND NOT t.visible
                      ) AS holes
               FROM unnest($6::uuid[]) AS p (id)
               WHERE $9::uuid[] IS NULL
           ), shown AS MATERIALIZED (
               SELECT id, project_id FROM touched
               WHERE visible
                 AND project_id NOT IN (SELECT id FROM wide WHERE NOT holes)
                 AND NOT ($5 AND $9 IS NULL AND project_id <> ALL($14))
               UNION ALL
               SELECT g.id, g.project_id
               FROM camera_group g JOIN wide ON wide.id = g.project_id AND wide.holes
               WHERE g.id NOT IN (SELECT id FROM touched)
           ), walked AS MATERIALIZED (
               SELECT id, true AS whole FROM wide WHERE NOT holes
               UNION ALL
               SELECT project_id, false FROM shown GROUP BY project_id HAVING count(*) > 1000
           ), first AS MATERIALIZED (
               SELECT s.id, camera.id AS camera_id
               FROM shown s
               CROSS JOIN LATERAL (
                   SELECT c.id FROM camera c
                   WHERE c.group_id = s.id AND c.id > $12 AND c.id NOT IN (SELECT id FROM own)
                     AND ($10::jsonb IS NULL OR c.labels @> $10)
                     AND ($11::text IS NULL OR c.external_id = $11)
                   ORDER BY c.id LIMIT 1
               ) AS camera
               WHERE s.project_id NOT IN (SELECT id FROM walked)
               ORDER BY camera.id LIMIT $13
           ), candidate AS (
               (SELECT c.id FROM camera c
                WHERE $5 AND $9 IS NULL AND c.project_id <> ALL($14) AND c.id > $12
                  AND (c.group_id IS NULL
                       OR c.group_id NOT IN (SELECT id FROM touched WHERE NOT visible))
                  AND c.id NOT IN (SELECT id FROM own)
                  AND ($10::jsonb IS NULL OR c.labels @> $10)
                  AND ($11::text IS NULL OR c.external_id = $11)
                ORDER BY c.id LIMIT $13)
               UNION ALL
               SELECT page.id
               FROM walked
               CROSS JOIN LATERAL (
                   SELECT c.id FROM camera c
                   WHERE c.project_id = walked.id AND c.id > $12
                     AND (walked.whole OR c.group_id IN (SELECT id FROM shown)
                          OR c.group_id IS NULL AND c.project_id IN (SELECT id FROM wide))
                     AND c.id NOT IN (SELECT id FROM own)
                     AND ($10::jsonb IS NULL OR c.labels @> $10)
                     AND ($11::text IS NULL OR c.external_id = $11)
                   ORDER BY c.id LIMIT $13
               ) AS page
               UNION ALL
               SELECT page.id
               FROM first
               CROSS JOIN LATERAL (
                   SELECT c.id FROM camera c
                   WHERE c.group_id = first.id AND c.id >= first.camera_id
                     AND c.id NOT IN (SELECT id FROM own)
                     AND ($10::jsonb IS NULL OR c.labels @> $10)
                     AND ($11::text IS NULL OR c.external_id = $11)
                   ORDER BY c.id LIMIT $13
               ) AS page
               UNION ALL
               SELECT page.id
               FROM wide
               CROSS JOIN LATERAL (
                   SELECT c.id FROM camera c
                   WHERE c.project_id = wide.id AND c.group_id IS NULL AND c.id > $12
                     AND c.id NOT IN (SELECT id FROM own)
                     AND ($10::jsonb IS NULL OR c.labels @> $10)
                     AND ($11::text IS NULL OR c.external_id = $11)
                   ORDER BY c.id LIMIT $13
               ) AS page
               WHERE wide.id NOT IN (SELECT id FROM walked)
               UNION ALL
               SELECT a.id
               FROM camera_access(
                        ARRAY(SELECT id FROM unnest($17::uuid[]) AS d (id) WHERE id > $12),
                        $1, $2, $3
                    ) AS a
               WHERE a.actions & $4 <> 0
           )
           SELECT c.id, c.project_id, c.group_id, c.name, c.external_id, c.labels, c.source,
                  c.credentials IS NOT NULL AS "has_credentials!",
                  c.enabled, c.start, c.placement, c.exclusive_source, c.version,
                  c.created_at, c.updated_at
           FROM (SELECT DISTINCT id FROM candidate ORDER BY id) AS k
           CROSS JOIN LATERAL (
               SELECT * FROM camera c
               WHERE c.id = k.id
                 AND ($9 IS NULL OR c.group_id IN (SELECT id FROM touched))
                 AND ($10::jsonb IS NULL OR c.labels @> $10)
                 AND ($11::text IS NULL OR c.external_id = $11)
               LIMIT 1
           ) AS c
           ORDER BY k.id
           LIMIT $13"#,
        sight.objects(),
        sight.allow(),
        sight.deny(),
        sight.mask(),
        sight.everywhere(),
        sight.projects(),
        roots,
        sight.cameras(),
        below.as_deref(),
        super::filter_to_json(&filter.labels)?,
        filter.external_id,
        after.unwrap_or_default(),
        limit,
        sight.hidden(),
        sight.group_allow(),
        sight.group_deny(),
        sight.doubtful(),
        found
    )
    .fetch_all(&mut *conn)
    .await?;
    let found = with_status(conn, suspect, rows).await?;
    Ok(found.into_iter().map(|camera| camera.thing).collect())
}

/// The camera, if the caller may see it.
pub(crate) async fn camera_get(
    conn: &mut PgConnection,
    sight: &Sight,
    suspect: Duration,
    id: CameraId,
) -> sqlx::Result<Option<Versioned<Camera>>> {
    Ok(camera_get_many(conn, sight, suspect, &[id]).await?.pop())
}

/// Those of the cameras that the caller may see, in no particular order.
pub(crate) async fn camera_get_many(
    conn: &mut PgConnection,
    sight: &Sight,
    suspect: Duration,
    ids: &[CameraId],
) -> sqlx::Result<Vec<Versioned<Camera>>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT c.id, c.project_id, c.group_id, c.name, c.external_id, c.labels, c.source,
                  c.credentials IS NOT NULL AS "has_credentials!",
                  c.enabled, c.start, c.placement, c.exclusive_source, c.version,
                  c.created_at, c.updated_at
           FROM camera_access($1, $2, $3, $4) AS a
           JOIN camera c ON c.id = a.id
           WHERE a.actions & $5 <> 0"#,
        &ids,
        sight.objects(),
        sight.allow(),
        sight.deny(),
        sight.mask()
    )
    .fetch_all(&mut *conn)
    .await?;
    with_status(conn, suspect, rows).await
}

/// What the caller may do with those of the cameras that it may see.
pub(crate) async fn camera_list_access(
    conn: &mut PgConnection,
    sight: &Sight,
    ids: &[CameraId],
) -> sqlx::Result<Vec<CameraAccess>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", project_id AS "project_id!", actions AS "actions!"
           FROM camera_access($1, $2, $3, $4)
           WHERE actions & $5 <> 0"#,
        &ids,
        sight.objects(),
        sight.allow(),
        sight.deny(),
        sight.mask()
    )
    .fetch_all(conn)
    .await?;
    let access = rows.into_iter().map(|row| CameraAccess {
        id: row.id.into(),
        project_id: row.project_id.into(),
        actions: Actions::from_bits(row.actions),
    });
    Ok(access.collect())
}

/// What a user or key may do with those of the cameras that are in its project or that it may do
/// anything with. `sight` is its own.
pub(crate) async fn camera_list_access_of_subject(
    conn: &mut PgConnection,
    project: ProjectId,
    sight: &Sight,
    ids: &[CameraId],
) -> sqlx::Result<Vec<CameraAccess>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT c.id, c.project_id, COALESCE(a.actions, 0) AS "actions!"
           FROM camera c
           LEFT JOIN camera_access($1, $2, $3, $4) AS a ON a.id = c.id
           WHERE c.id = ANY($1) AND (c.project_id = $5 OR a.actions <> 0)"#,
        &ids,
        sight.objects(),
        sight.allow(),
        sight.deny(),
        project.uuid()
    )
    .fetch_all(conn)
    .await?;
    let access = rows.into_iter().map(|row| CameraAccess {
        id: row.id.into(),
        project_id: row.project_id.into(),
        actions: Actions::from_bits(row.actions),
    });
    Ok(access.collect())
}

/// The groups above the camera, from the top down; `None` if the project has no such camera.
pub(crate) async fn camera_path(
    conn: &mut PgConnection,
    project: ProjectId,
    id: CameraId,
) -> sqlx::Result<Option<Vec<Uuid>>> {
    sqlx::query_scalar!(
        r#"SELECT COALESCE(g.path, '{}') AS "path!"
           FROM camera c LEFT JOIN camera_group g ON g.id = c.group_id
           WHERE c.id = $1 AND c.project_id = $2"#,
        id.uuid(),
        project.uuid()
    )
    .fetch_optional(conn)
    .await
}

/// Keeps others from changing the camera until the transaction ends, if the caller may see it.
pub(crate) async fn camera_lock(
    conn: &mut PgConnection,
    sight: &Sight,
    id: CameraId,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"SELECT c.id FROM camera c
           WHERE c.id IN (
               SELECT a.id FROM camera_access(ARRAY[$1::uuid], $2, $3, $4) AS a
               WHERE a.actions & $5 <> 0
           )
           FOR UPDATE OF c"#,
        id.uuid(),
        sight.objects(),
        sight.allow(),
        sight.deny(),
        sight.mask()
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// Where the camera's media comes from.
pub(crate) async fn camera_source(
    conn: &mut PgConnection,
    project: ProjectId,
    id: CameraId,
) -> sqlx::Result<CameraSource> {
    let source = sqlx::query_scalar!(
        "SELECT source FROM camera WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .fetch_one(conn)
    .await?;
    from_json(source)
}

/// Adds the cameras to the project in one statement. Those whose `external_id` is taken are left
/// out; the ids of the others come back. They go in by `external_id`, so that two who add the same
/// ones at once wait for each other in one direction only.
pub(crate) async fn camera_insert(
    conn: &mut PgConnection,
    project: ProjectId,
    cameras: &[NewCamera],
) -> sqlx::Result<Vec<CameraId>> {
    let ids: Vec<_> = cameras.iter().map(|camera| camera.id.uuid()).collect();
    let names: Vec<_> = cameras.iter().map(|camera| camera.name.clone()).collect();
    let external_ids: Vec<_> = cameras.iter().map(|c| c.external_id.clone()).collect();
    let credentials: Vec<_> = cameras.iter().map(|c| c.credentials.clone()).collect();
    let enabled: Vec<_> = cameras.iter().map(|camera| camera.enabled).collect();
    let starts: Vec<_> = cameras.iter().map(|c| start_to_text(c.start)).collect();
    let labels = column(cameras, |camera| to_json(&camera.labels))?;
    let sources = column(cameras, |camera| to_json(&camera.source))?;
    let groups: Vec<_> = cameras
        .iter()
        .map(|c| c.group_id.map(CameraGroupId::uuid))
        .collect();
    let placements = column(cameras, |camera| to_json(&camera.placement))?;
    let exclusive: Vec<_> = cameras.iter().map(|c| c.exclusive_source).collect();
    let inserted = sqlx::query_scalar!(
        r#"INSERT INTO camera (id, project_id, name, external_id, labels, source, credentials,
                               enabled, start, placement, group_id, exclusive_source)
           SELECT n.id, $1, n.name, n.external_id, n.labels, n.source, n.credentials,
                  n.enabled, n.start, n.placement, n.group_id, n.exclusive_source
           FROM unnest($2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::bytea[],
                       $8::boolean[], $9::text[], $10::jsonb[], $11::uuid[], $12::boolean[])
                AS n (id, name, external_id, labels, source, credentials, enabled, start, placement,
                      group_id, exclusive_source)
           ORDER BY n.external_id, n.id
           ON CONFLICT (project_id, external_id) DO NOTHING
           RETURNING id"#,
        project.uuid(),
        &ids,
        &names,
        &external_ids as &[Option<String>],
        &labels,
        &sources,
        &credentials as &[Option<Vec<u8>>],
        &enabled,
        &starts,
        &placements,
        &groups as &[Option<Uuid>],
        &exclusive
    )
    .fetch_all(&mut *conn)
    .await?;
    let viewing: Vec<_> = cameras.iter().map(|c| (c.id, c.viewing)).collect();
    viewing_put(conn, &viewing).await?;
    Ok(inserted.into_iter().map(Into::into).collect())
}

/// Writes everything that may change; the version rises. `credentials` says what to do with the
/// stored ones: `None` keeps them, `Some(None)` forgets them.
pub(crate) async fn camera_update(
    conn: &mut PgConnection,
    camera: &Camera,
    credentials: Option<Option<Vec<u8>>>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE camera
         SET name = $3, external_id = $4, labels = $5, source = $6, enabled = $7, start = $8,
             placement = $9, credentials = CASE WHEN $10 THEN $11 ELSE credentials END,
             group_id = $12, exclusive_source = $13,
             version = version + 1, updated_at = clock_timestamp()
         WHERE id = $1 AND project_id = $2",
        camera.id.uuid(),
        camera.project_id.uuid(),
        camera.name,
        camera.external_id,
        to_json(&camera.labels)?,
        to_json(&camera.source)?,
        camera.enabled,
        start_to_text(camera.start),
        to_json(&camera.placement)?,
        credentials.is_some(),
        credentials.flatten(),
        camera.group_id.map(CameraGroupId::uuid),
        camera.exclusive_source
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    viewing_put(conn, &[(camera.id, camera.viewing)]).await
}

/// Deletes the camera with its slots, stream keys and grants.
pub(crate) async fn camera_delete(
    conn: &mut PgConnection,
    project: ProjectId,
    id: CameraId,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "DELETE FROM camera WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// What a camera is called.
pub(crate) struct CameraName {
    pub(crate) id: CameraId,
    pub(crate) name: String,
    pub(crate) external_id: Option<String>,
}

/// The project's cameras of these ids or `external_id`s, locked until the transaction ends.
pub(crate) async fn camera_find(
    conn: &mut PgConnection,
    project: ProjectId,
    ids: &[CameraId],
    external_ids: &[String],
) -> sqlx::Result<Vec<CameraName>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT id, name, external_id FROM camera
           WHERE project_id = $1 AND (id = ANY($2) OR external_id = ANY($3))
           ORDER BY id
           FOR UPDATE"#,
        project.uuid(),
        &ids,
        external_ids
    )
    .fetch_all(conn)
    .await?;
    let cameras = rows.into_iter().map(|row| CameraName {
        id: row.id.into(),
        name: row.name,
        external_id: row.external_id,
    });
    Ok(cameras.collect())
}

/// A camera that is deleted between the two queries has no status, and is left out.
async fn with_status(
    conn: &mut PgConnection,
    suspect: Duration,
    rows: Vec<Row>,
) -> sqlx::Result<Vec<Versioned<Camera>>> {
    let ids: Vec<_> = rows.iter().map(|row| row.id.into()).collect();
    let mut statuses = status_list(conn, &ids, suspect).await?;
    let cameras = rows.into_iter().filter_map(|row| {
        let status = statuses.remove(&row.id.into())?;
        Some(row.into_camera(status))
    });
    let mut cameras = cameras.collect::<sqlx::Result<Vec<_>>>()?;
    let mut viewing = viewing_list(conn, &ids).await?;
    for camera in &mut cameras {
        camera.thing.viewing = viewing.remove(&camera.thing.id).unwrap_or_default();
    }
    with_publish_urls(conn, &mut cameras).await?;
    Ok(cameras)
}

/// Adds to the published cameras where their publishers find them.
async fn with_publish_urls(
    conn: &mut PgConnection,
    cameras: &mut [Versioned<Camera>],
) -> sqlx::Result<()> {
    let is_published = |camera: &Camera| camera.source == CameraSource::Publish && camera.enabled;
    let published: Vec<_> = cameras
        .iter()
        .filter(|camera| is_published(&camera.thing))
        .map(|camera| camera.thing.id)
        .collect();
    if published.is_empty() {
        return Ok(());
    }
    let places = playback_list(conn, &published).await?;
    for Versioned { thing: camera, .. } in cameras {
        if is_published(camera) {
            let place = places.get(&camera.id);
            camera.publish_urls =
                place.and_then(|(_, node)| PublishUrls::new(node, camera.id, None));
        }
    }
    Ok(())
}

impl Row {
    fn into_camera(self, status: CameraStatus) -> sqlx::Result<Versioned<Camera>> {
        let camera = Camera {
            id: self.id.into(),
            project_id: self.project_id.into(),
            group_id: self.group_id.map(Into::into),
            name: self.name,
            external_id: self.external_id,
            labels: from_json(self.labels)?,
            source: from_json(self.source)?,
            has_credentials: self.has_credentials,
            enabled: self.enabled,
            start: from_json(Value::String(self.start))?,
            placement: from_json(self.placement)?,
            exclusive_source: self.exclusive_source,
            viewing: Viewing::default(),
            status,
            publish_urls: None,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        Ok(Versioned {
            version: self.version,
            thing: camera,
        })
    }
}

fn column<T>(
    cameras: &[NewCamera],
    value: impl Fn(&NewCamera) -> sqlx::Result<T>,
) -> sqlx::Result<Vec<T>> {
    cameras.iter().map(value).collect()
}

fn start_to_text(start: StartMode) -> String {
    match start {
        StartMode::Always => "always",
        StartMode::OnDemand => "on_demand",
    }
    .to_owned()
}
