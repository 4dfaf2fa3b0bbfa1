//! Grants: rows of `"grant"`. The project of a grant is the one of its principal.

mod row;

use headworks_types::{
    ApiKeyId, CameraGroupId, CameraId, Effect, Grant, GrantCreate, GrantId, GrantObject, Principal,
    ProjectId, RoleId, RoleRef, Schedule, UserGroupId, UserId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ensure_one_row, to_json};
use crate::app::Reach;
use row::Row;
pub(super) use row::{from_names, to_names};

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct GrantFilter {
    pub(crate) user_id: Option<UserId>,
    pub(crate) user_group_id: Option<UserGroupId>,
    pub(crate) api_key_id: Option<ApiKeyId>,
    pub(crate) camera_id: Option<CameraId>,
    pub(crate) camera_group_id: Option<CameraGroupId>,
    pub(crate) role_id: Option<RoleId>,
}

/// The grants to principals of the projects within reach.
pub(crate) async fn grant_list(
    conn: &mut PgConnection,
    reach: &Reach,
    filter: &GrantFilter,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Grant>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT g.id, g.project_id, g.effect, g.user_id, g.user_group_id, g.api_key_id,
                  g.camera_id, g.camera_group_id, g.object_project_id,
                  COALESCE(g.actions, r.actions) AS actions, g.role, g.role_id, g.schedule,
                  g.networks::text[] AS networks, g.not_before, g.not_after, g.created_at
           FROM "grant" g
           LEFT JOIN role r ON r.id = g.role_id
           WHERE ($1::uuid[] IS NULL OR g.project_id = ANY($1))
             AND ($2::uuid IS NULL OR g.user_id = $2)
             AND ($3::uuid IS NULL OR g.user_group_id = $3)
             AND ($4::uuid IS NULL OR g.api_key_id = $4)
             AND ($5::uuid IS NULL OR g.camera_id = $5)
             AND ($6::uuid IS NULL OR g.camera_group_id = $6)
             AND ($7::uuid IS NULL OR g.role_id = $7)
             AND ($8::uuid IS NULL OR g.id > $8)
           ORDER BY g.id
           LIMIT $9"#,
        reach.projects(),
        filter.user_id.map(UserId::uuid),
        filter.user_group_id.map(UserGroupId::uuid),
        filter.api_key_id.map(ApiKeyId::uuid),
        filter.camera_id.map(CameraId::uuid),
        filter.camera_group_id.map(CameraGroupId::uuid),
        filter.role_id.map(RoleId::uuid),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Grant::try_from).collect()
}

/// The grant, if its principal's project is within reach.
pub(crate) async fn grant_get(
    conn: &mut PgConnection,
    reach: &Reach,
    id: GrantId,
) -> sqlx::Result<Option<Grant>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT g.id, g.project_id, g.effect, g.user_id, g.user_group_id, g.api_key_id,
                  g.camera_id, g.camera_group_id, g.object_project_id,
                  COALESCE(g.actions, r.actions) AS actions, g.role, g.role_id, g.schedule,
                  g.networks::text[] AS networks, g.not_before, g.not_after, g.created_at
           FROM "grant" g
           LEFT JOIN role r ON r.id = g.role_id
           WHERE g.id = $1 AND ($2::uuid[] IS NULL OR g.project_id = ANY($2))"#,
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Grant::try_from).transpose()
}

/// These grants.
pub(crate) async fn grant_get_many(
    conn: &mut PgConnection,
    project: ProjectId,
    ids: &[GrantId],
) -> sqlx::Result<Vec<Grant>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT g.id, g.project_id, g.effect, g.user_id, g.user_group_id, g.api_key_id,
                  g.camera_id, g.camera_group_id, g.object_project_id,
                  COALESCE(g.actions, r.actions) AS actions, g.role, g.role_id, g.schedule,
                  g.networks::text[] AS networks, g.not_before, g.not_after, g.created_at
           FROM "grant" g
           LEFT JOIN role r ON r.id = g.role_id
           WHERE g.id = ANY($1) AND g.project_id = $2
           ORDER BY g.id"#,
        &ids,
        project.uuid()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Grant::try_from).collect()
}

/// All grants to the user itself, the group itself, or the key. Whether the caller may know of
/// that is for the caller to ask first.
pub(crate) async fn grant_list_to(
    conn: &mut PgConnection,
    project: ProjectId,
    principal: Principal,
) -> sqlx::Result<Vec<Grant>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT g.id, g.project_id, g.effect, g.user_id, g.user_group_id, g.api_key_id,
                  g.camera_id, g.camera_group_id, g.object_project_id,
                  COALESCE(g.actions, r.actions) AS actions, g.role, g.role_id, g.schedule,
                  g.networks::text[] AS networks, g.not_before, g.not_after, g.created_at
           FROM "grant" g
           LEFT JOIN role r ON r.id = g.role_id
           WHERE g.principal_id = $1 AND g.project_id = $2
           ORDER BY g.id"#,
        principal_uuid(principal),
        project.uuid()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Grant::try_from).collect()
}

/// A new grant.
pub(crate) async fn grant_insert(
    conn: &mut PgConnection,
    id: GrantId,
    project: ProjectId,
    new: &GrantCreate,
) -> sqlx::Result<Grant> {
    let (user, group, key) = match new.principal {
        Principal::User { id } => (Some(id.uuid()), None, None),
        Principal::UserGroup { id } => (None, Some(id.uuid()), None),
        Principal::ApiKey { id } => (None, None, Some(id.uuid())),
    };
    let (camera, cameras, on_project) = match new.object {
        GrantObject::Camera { id } => (Some(id.uuid()), None, None),
        GrantObject::CameraGroup { id } => (None, Some(id.uuid()), None),
        GrantObject::Project { id } => (None, None, Some(id.uuid())),
        GrantObject::Cluster => (None, None, None),
    };
    let (role, role_id) = match new.role {
        Some(RoleRef::BuiltIn(role)) => (Some(role.as_str()), None),
        Some(RoleRef::Custom(id)) => (None, Some(id.uuid())),
        None => (None, None),
    };
    let actions = new.actions.as_deref().map(to_names);
    let conditions = &new.conditions;
    let schedule = conditions.schedule.as_ref();
    let networks = conditions.networks.as_ref();
    let networks: Option<Vec<_>> =
        networks.map(|list| list.iter().map(ToString::to_string).collect());
    let row = sqlx::query_as!(
        Row,
        r#"WITH g AS (
               INSERT INTO "grant" (id, project_id, effect, user_id, user_group_id, api_key_id,
                                    camera_id, camera_group_id, object_project_id, on_cluster,
                                    actions, role, role_id, schedule, minutes, zone, networks,
                                    not_before, not_after)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                       $15::text::int4multirange, $16, $17::text[]::cidr[], $18, $19)
               RETURNING *
           )
           SELECT g.id AS "id!", g.project_id AS "project_id!", g.effect AS "effect!", g.user_id,
                  g.user_group_id, g.api_key_id, g.camera_id, g.camera_group_id,
                  g.object_project_id, COALESCE(g.actions, r.actions) AS actions, g.role,
                  g.role_id, g.schedule, g.networks::text[] AS networks, g.not_before,
                  g.not_after, g.created_at AS "created_at!"
           FROM g LEFT JOIN role r ON r.id = g.role_id"#,
        id.uuid(),
        project.uuid(),
        effect_to_text(new.effect),
        user,
        group,
        key,
        camera,
        cameras,
        on_project,
        new.object == GrantObject::Cluster,
        actions.as_deref(),
        role,
        role_id,
        schedule.map(to_json).transpose()?,
        schedule.map(multirange),
        schedule.map(|schedule| &*schedule.zone),
        networks.as_deref(),
        conditions.not_before,
        conditions.not_after
    )
    .fetch_one(conn)
    .await?;
    row.try_into()
}

/// Takes the grant away.
pub(crate) async fn grant_delete(
    conn: &mut PgConnection,
    project: ProjectId,
    id: GrantId,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        r#"DELETE FROM "grant" WHERE id = $1 AND project_id = $2"#,
        id.uuid(),
        project.uuid()
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// True if the database knows the clock of the zone. It is the one that reads it.
pub(crate) async fn zone_exists(conn: &mut PgConnection, zone: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1) AS "exists!""#,
        zone
    )
    .fetch_one(conn)
    .await
}

pub(crate) fn principal_uuid(principal: Principal) -> Uuid {
    match principal {
        Principal::User { id } => id.uuid(),
        Principal::UserGroup { id } => id.uuid(),
        Principal::ApiKey { id } => id.uuid(),
    }
}

fn effect_to_text(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

/// `{[510,1080),[1950,2520)}`
fn multirange(schedule: &Schedule) -> String {
    let ranges = schedule.minutes().into_iter();
    let ranges: Vec<_> = ranges.map(|(from, to)| format!("[{from},{to})")).collect();
    format!("{{{}}}", ranges.join(","))
}
