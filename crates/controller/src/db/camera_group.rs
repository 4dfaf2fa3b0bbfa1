//! Camera groups: rows of `camera_group`, the trees that cameras hang in.
//!
//! `path` of a group names all groups above it. Whoever makes a group or moves one holds the lock
//! of its project's tree ([`tree_lock`]), so that no path is built on one that changes.

use chrono::{DateTime, Utc};
use headworks_types::{CameraGroup, CameraGroupCreate, CameraGroupId, Labels, ProjectId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ensure_one_row, from_json, to_json};
use crate::app::{Sight, Versioned, access::Actions};

/// How deep groups nest.
pub(crate) const MAX_DEPTH: usize = 16;

struct Row {
    id: Uuid,
    project_id: Uuid,
    parent_id: Option<Uuid>,
    path: Vec<Uuid>,
    name: String,
    external_id: Option<String>,
    labels: Value,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// What the caller may do with everything in a group by what is granted from the group upwards.
pub(crate) struct GroupAccess {
    pub(crate) id: CameraGroupId,
    pub(crate) project_id: ProjectId,
    pub(crate) actions: Actions,
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct CameraGroupFilter {
    pub(crate) labels: Labels,
    pub(crate) external_id: Option<String>,
    /// Only groups right in this one.
    pub(crate) parent: Option<CameraGroupId>,
}

/// The groups whose cameras the caller may see.
pub(crate) async fn camera_group_list(
    conn: &mut PgConnection,
    sight: &Sight,
    filter: &CameraGroupFilter,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<CameraGroup>> {
    let rows = sqlx::query_as!(
        Row,
        r#"WITH rights AS MATERIALIZED (
               SELECT * FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS r (id, allow, deny)
           ), cluster AS (
               SELECT COALESCE(bit_or(allow), 0) AS allow, COALESCE(bit_or(deny), 0) AS deny
               FROM rights WHERE id = '00000000-0000-0000-0000-000000000000'
           ), reached AS MATERIALIZED (
               SELECT g.id, bit_or(r.allow) AS allow, bit_or(r.deny) AS deny
               FROM unnest($5::uuid[], $6::integer[], $7::integer[]) AS r (id, allow, deny)
               JOIN camera_group g ON g.path @> ARRAY[r.id]
               GROUP BY g.id
           )
           SELECT g.id, g.project_id, g.parent_id, g.path, g.name, g.external_id, g.labels,
                  g.version, g.created_at, g.updated_at
           FROM camera_group g
           LEFT JOIN reached t ON t.id = g.id
           LEFT JOIN rights p ON p.id = g.project_id
           CROSS JOIN cluster
           WHERE (COALESCE(t.allow, 0) | COALESCE(p.allow, 0) | cluster.allow)
                     & ~(COALESCE(t.deny, 0) | COALESCE(p.deny, 0) | cluster.deny) & $4 <> 0
             AND ($8::jsonb IS NULL OR g.labels @> $8)
             AND ($9::text IS NULL OR g.external_id = $9)
             AND ($10::uuid IS NULL OR g.parent_id = $10)
             AND ($11::uuid IS NULL OR g.id > $11)
           ORDER BY g.id
           LIMIT $12"#,
        sight.objects(),
        sight.allow(),
        sight.deny(),
        sight.mask(),
        sight.groups(),
        sight.group_allow(),
        sight.group_deny(),
        super::filter_to_json(&filter.labels)?,
        filter.external_id,
        filter.parent.map(CameraGroupId::uuid),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    let groups = rows.into_iter().map(Row::into_group);
    groups.map(|group| Ok(group?.thing)).collect()
}

/// What the caller may do in those of the groups where that is anything that shows them.
pub(crate) async fn camera_group_list_access(
    conn: &mut PgConnection,
    sight: &Sight,
    ids: &[CameraGroupId],
) -> sqlx::Result<Vec<GroupAccess>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT g.id, g.project_id, bit_or(r.allow) & ~bit_or(r.deny) AS "actions!"
           FROM camera_group g
           CROSS JOIN LATERAL unnest(
               ARRAY['00000000-0000-0000-0000-000000000000', g.project_id] || g.path
           ) AS place (id)
           JOIN unnest($2::uuid[], $3::integer[], $4::integer[]) AS r (id, allow, deny)
                ON r.id = place.id
           WHERE g.id = ANY($1)
           GROUP BY g.id
           HAVING bit_or(r.allow) & ~bit_or(r.deny) & $5 <> 0"#,
        &ids,
        sight.objects(),
        sight.allow(),
        sight.deny(),
        sight.mask()
    )
    .fetch_all(conn)
    .await?;
    let access = rows.into_iter().map(|row| GroupAccess {
        id: row.id.into(),
        project_id: row.project_id.into(),
        actions: Actions::from_bits(row.actions),
    });
    Ok(access.collect())
}

/// The group. Whether the caller may know of it is for the caller to ask first.
pub(crate) async fn camera_group_get(
    conn: &mut PgConnection,
    project: ProjectId,
    id: CameraGroupId,
) -> sqlx::Result<Option<Versioned<CameraGroup>>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, project_id, parent_id, path, name, external_id, labels, version, created_at,
                updated_at
         FROM camera_group
         WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_group).transpose()
}

/// Those of the groups that the project has.
pub(crate) async fn camera_group_find(
    conn: &mut PgConnection,
    project: ProjectId,
    ids: &[CameraGroupId],
) -> sqlx::Result<Vec<CameraGroupId>> {
    let found = sqlx::query_scalar!(
        "SELECT id FROM camera_group WHERE project_id = $1 AND id = ANY($2)",
        project.uuid(),
        &uuids(ids)
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(Into::into).collect())
}

/// Keeps others from changing the project's tree until the transaction ends.
pub(crate) async fn tree_lock(conn: &mut PgConnection, project: ProjectId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT id FROM project WHERE id = $1 FOR NO KEY UPDATE",
        project.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// A new group below those of `above`. Its tree must be locked.
pub(crate) async fn camera_group_insert(
    conn: &mut PgConnection,
    project: ProjectId,
    id: CameraGroupId,
    above: &[CameraGroupId],
    new: &CameraGroupCreate,
) -> sqlx::Result<CameraGroup> {
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO camera_group (id, project_id, parent_id, path, name, external_id, labels)
         VALUES ($1, $2, $3, $4::uuid[] || $1::uuid, $5, $6, $7)
         RETURNING id, project_id, parent_id, path, name, external_id, labels, version, created_at,
                   updated_at",
        id.uuid(),
        project.uuid(),
        above.last().map(|parent| parent.uuid()),
        &uuids(above),
        new.name,
        new.external_id,
        to_json(&new.labels)?
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_group()?.thing)
}

/// Writes everything that may change but the place; the version rises.
pub(crate) async fn camera_group_update(
    conn: &mut PgConnection,
    group: &CameraGroup,
) -> sqlx::Result<Versioned<CameraGroup>> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE camera_group
         SET name = $3, external_id = $4, labels = $5, version = version + 1,
             updated_at = clock_timestamp()
         WHERE id = $1 AND project_id = $2
         RETURNING id, project_id, parent_id, path, name, external_id, labels, version, created_at,
                   updated_at",
        group.id.uuid(),
        group.project_id.uuid(),
        group.name,
        group.external_id,
        to_json(&group.labels)?
    )
    .fetch_one(conn)
    .await?;
    row.into_group()
}

/// Moves the group with everything below it to below those of `above`. Its tree must be locked.
pub(crate) async fn camera_group_move(
    conn: &mut PgConnection,
    project: ProjectId,
    id: CameraGroupId,
    above: &[CameraGroupId],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE camera_group
         SET path = $3::uuid[] || path[array_position(path, $1::uuid):],
             parent_id = CASE WHEN id = $1 THEN $4 ELSE parent_id END
         WHERE project_id = $2 AND path @> ARRAY[$1::uuid]",
        id.uuid(),
        project.uuid(),
        &uuids(above),
        above.last().map(|parent| parent.uuid())
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many levels the group has with everything below it: 1 if nothing is.
pub(crate) async fn camera_group_height(
    conn: &mut PgConnection,
    project: ProjectId,
    id: CameraGroupId,
) -> sqlx::Result<usize> {
    let height = sqlx::query_scalar!(
        r#"SELECT max(cardinality(path) - array_position(path, $1::uuid) + 1) AS "height!"
           FROM camera_group
           WHERE project_id = $2 AND path @> ARRAY[$1::uuid]"#,
        id.uuid(),
        project.uuid()
    )
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(height).unwrap_or(usize::MAX))
}

/// Deletes the group with the grants on it. One with cameras or groups in it stays: the foreign
/// keys say so.
pub(crate) async fn camera_group_delete(
    conn: &mut PgConnection,
    project: ProjectId,
    id: CameraGroupId,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "DELETE FROM camera_group WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

fn uuids(ids: &[CameraGroupId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}

impl Row {
    fn into_group(self) -> sqlx::Result<Versioned<CameraGroup>> {
        Ok(Versioned {
            version: self.version,
            thing: CameraGroup {
                id: self.id.into(),
                project_id: self.project_id.into(),
                parent_id: self.parent_id.map(Into::into),
                path: self.path.into_iter().map(Into::into).collect(),
                name: self.name,
                external_id: self.external_id,
                labels: from_json(self.labels)?,
                created_at: self.created_at,
                updated_at: self.updated_at,
            },
        })
    }
}
