//! Cameras: rows of `camera`.
//!
//! Who may see or manage a camera is part of each query ([`Sight`]): by a right on the camera's
//! project or the cluster, or by a grant on this camera.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headworks_types::{
    Camera, CameraId, CameraSource, CameraStatus, Labels, Placement, ProjectId, PublishUrls,
    StartMode, UserId, Viewing,
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
use crate::app::{Sight, Versioned};

struct Row {
    id: Uuid,
    project_id: Uuid,
    name: String,
    external_id: Option<String>,
    labels: Value,
    source: Value,
    has_credentials: bool,
    enabled: bool,
    start: String,
    placement: Value,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// What the caller may do with a camera that it may see.
pub(crate) struct CameraAccess {
    pub(crate) id: Uuid,
    pub(crate) project_id: Uuid,
    /// True for `camera.manage`.
    pub(crate) manages: bool,
    /// True for `camera.view_live`.
    pub(crate) watches: bool,
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct CameraFilter {
    pub(crate) labels: Labels,
    pub(crate) external_id: Option<String>,
}

/// A camera to be.
#[derive(Clone)]
pub(crate) struct NewCamera {
    pub(crate) id: CameraId,
    pub(crate) name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) source: CameraSource,
    /// Sealed.
    pub(crate) credentials: Option<Vec<u8>>,
    pub(crate) enabled: bool,
    pub(crate) start: StartMode,
    pub(crate) placement: Placement,
    /// Has a table of its own.
    pub(crate) viewing: Viewing,
}

/// The cameras that the caller may see, with their status.
///
/// By projects and by single grants are two branches that each end after a page, so that neither
/// a key with few cameras among very many nor one with very many waits (an `OR` of both scans all).
pub(crate) async fn camera_list(
    conn: &mut PgConnection,
    sight: &Sight,
    suspect: Duration,
    filter: &CameraFilter,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Camera>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT c.id, c.project_id, c.name, c.external_id, c.labels, c.source,
                  c.credentials IS NOT NULL AS "has_credentials!",
                  c.enabled, c.start, c.placement, c.version, c.created_at, c.updated_at
           FROM camera c
           WHERE c.id IN (
               (SELECT p.id FROM camera p
                WHERE ($1::uuid[] IS NULL OR p.project_id = ANY($1))
                  AND ($3::jsonb IS NULL OR p.labels @> $3)
                  AND ($4::text IS NULL OR p.external_id = $4)
                  AND ($5::uuid IS NULL OR p.id > $5)
                ORDER BY p.id
                LIMIT $6)
               UNION
               (SELECT p.id FROM "grant" g JOIN camera p ON p.id = g.camera_id
                WHERE g.principal_id = $2
                  AND g.actions && ARRAY['camera.view_live', 'camera.manage']
                  AND ($3::jsonb IS NULL OR p.labels @> $3)
                  AND ($4::text IS NULL OR p.external_id = $4)
                  AND ($5::uuid IS NULL OR p.id > $5)
                ORDER BY p.id
                LIMIT $6)
           )
           ORDER BY c.id
           LIMIT $6"#,
        sight.seen.projects(),
        sight.identity.uuid(),
        super::filter_to_json(&filter.labels)?,
        filter.external_id,
        after,
        limit
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
        r#"SELECT c.id, c.project_id, c.name, c.external_id, c.labels, c.source,
                  c.credentials IS NOT NULL AS "has_credentials!",
                  c.enabled, c.start, c.placement, c.version, c.created_at, c.updated_at
           FROM camera c
           WHERE c.id = ANY($1)
             AND ($2::uuid[] IS NULL OR c.project_id = ANY($2) OR EXISTS (
                     SELECT FROM "grant" g
                     WHERE g.camera_id = c.id AND g.principal_id = $3
                       AND g.actions && ARRAY['camera.view_live', 'camera.manage']
                 ))"#,
        &ids,
        sight.seen.projects(),
        sight.identity.uuid()
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
    sqlx::query_as!(
        CameraAccess,
        r#"SELECT a.id AS "id!", a.project_id AS "project_id!", a.manages AS "manages!",
                  a.watches AS "watches!"
           FROM (
               SELECT c.id, c.project_id,
                      $2::uuid[] IS NULL OR c.project_id = ANY($2)
                          OR COALESCE(bool_or('camera.manage' = ANY(g.actions)), false) AS manages,
                      $3::uuid[] IS NULL OR c.project_id = ANY($3)
                          OR COALESCE(bool_or('camera.view_live' = ANY(g.actions)), false)
                          AS watches
               FROM camera c
               LEFT JOIN "grant" g ON g.camera_id = c.id AND g.principal_id = $4
               WHERE c.id = ANY($1)
               GROUP BY c.id
           ) AS a
           WHERE a.manages OR a.watches"#,
        &ids,
        sight.managed.projects(),
        sight.watched.projects(),
        sight.identity.uuid()
    )
    .fetch_all(conn)
    .await
}

/// What a user may do with those of the cameras that are in its project or that it was granted.
pub(crate) async fn camera_list_access_of_user(
    conn: &mut PgConnection,
    project: ProjectId,
    user: UserId,
    ids: &[CameraId],
) -> sqlx::Result<Vec<CameraAccess>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query_as!(
        CameraAccess,
        r#"SELECT c.id, c.project_id, a.manages AS "manages!", a.watches AS "watches!"
           FROM camera c
           CROSS JOIN LATERAL (
               SELECT COALESCE(bool_or('camera.manage' = ANY(g.actions)), false) AS manages,
                      COALESCE(bool_or('camera.view_live' = ANY(g.actions)), false) AS watches
               FROM "grant" g
               WHERE g.principal_id = $3
                 AND (g.on_cluster OR g.object_project_id = c.project_id OR g.camera_id = c.id)
           ) AS a
           WHERE c.id = ANY($1) AND (c.project_id = $2 OR a.manages OR a.watches)"#,
        &ids,
        project.uuid(),
        user.uuid()
    )
    .fetch_all(conn)
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
           WHERE c.id = $1
             AND ($2::uuid[] IS NULL OR c.project_id = ANY($2) OR EXISTS (
                     SELECT FROM "grant" g
                     WHERE g.camera_id = c.id AND g.principal_id = $3
                       AND g.actions && ARRAY['camera.view_live', 'camera.manage']
                 ))
           FOR UPDATE OF c"#,
        id.uuid(),
        sight.seen.projects(),
        sight.identity.uuid()
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
    let placements = column(cameras, |camera| to_json(&camera.placement))?;
    let inserted = sqlx::query_scalar!(
        r#"INSERT INTO camera (id, project_id, name, external_id, labels, source, credentials,
                               enabled, start, placement)
           SELECT n.id, $1, n.name, n.external_id, n.labels, n.source, n.credentials,
                  n.enabled, n.start, n.placement
           FROM unnest($2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::bytea[],
                       $8::boolean[], $9::text[], $10::jsonb[])
                AS n (id, name, external_id, labels, source, credentials, enabled, start, placement)
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
        &placements
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
        credentials.flatten()
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
            name: self.name,
            external_id: self.external_id,
            labels: from_json(self.labels)?,
            source: from_json(self.source)?,
            has_credentials: self.has_credentials,
            enabled: self.enabled,
            start: from_json(Value::String(self.start))?,
            placement: from_json(self.placement)?,
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
