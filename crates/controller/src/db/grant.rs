//! Grants: rows of `"grant"`. The project of a grant is the one of its principal.

use chrono::{DateTime, Utc};
use headworks_types::{
    Action, ApiKeyId, CameraId, Grant, GrantId, GrantObject, Principal, ProjectId, UserId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ensure_one_row;
use crate::app::Reach;

struct Row {
    id: Uuid,
    project_id: Uuid,
    user_id: Option<Uuid>,
    api_key_id: Option<Uuid>,
    camera_id: Option<Uuid>,
    object_project_id: Option<Uuid>,
    actions: Vec<String>,
    created_at: DateTime<Utc>,
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct GrantFilter {
    pub(crate) user_id: Option<UserId>,
    pub(crate) api_key_id: Option<ApiKeyId>,
    pub(crate) camera_id: Option<CameraId>,
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
        r#"SELECT id, project_id, user_id, api_key_id, camera_id, object_project_id, actions,
                  created_at
           FROM "grant"
           WHERE ($1::uuid[] IS NULL OR project_id = ANY($1))
             AND ($2::uuid IS NULL OR user_id = $2)
             AND ($3::uuid IS NULL OR api_key_id = $3)
             AND ($4::uuid IS NULL OR camera_id = $4)
             AND ($5::uuid IS NULL OR id > $5)
           ORDER BY id
           LIMIT $6"#,
        reach.projects(),
        filter.user_id.map(UserId::uuid),
        filter.api_key_id.map(ApiKeyId::uuid),
        filter.camera_id.map(CameraId::uuid),
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
        r#"SELECT id, project_id, user_id, api_key_id, camera_id, object_project_id, actions,
                  created_at
           FROM "grant"
           WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))"#,
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Grant::try_from).transpose()
}

/// What a key may do on the cluster and on projects, grant by grant.
pub(crate) async fn grant_list_wide(
    conn: &mut PgConnection,
    api_key_id: ApiKeyId,
) -> sqlx::Result<Vec<Grant>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, project_id, user_id, api_key_id, camera_id, object_project_id, actions,
                  created_at
           FROM "grant"
           WHERE api_key_id = $1 AND camera_id IS NULL"#,
        api_key_id.uuid()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Grant::try_from).collect()
}

/// Actions on a project, or on the cluster.
pub(crate) struct WideGrant {
    pub(crate) object_project_id: Option<Uuid>,
    pub(crate) actions: Vec<String>,
}

/// What anybody may do on the cluster and on projects, by itself and by its groups.
pub(crate) async fn grant_list_wide_of(
    conn: &mut PgConnection,
    principal: Uuid,
) -> sqlx::Result<Vec<WideGrant>> {
    sqlx::query_as!(
        WideGrant,
        r#"SELECT object_project_id, actions
           FROM "grant"
           WHERE camera_id IS NULL
             AND (principal_id = $1 OR principal_id IN (
                     SELECT user_group_id FROM user_group_member WHERE user_id = $1
                 ))"#,
        principal
    )
    .fetch_all(conn)
    .await
}

/// A new grant.
pub(crate) async fn grant_insert(
    conn: &mut PgConnection,
    id: GrantId,
    project: ProjectId,
    principal: Principal,
    object: GrantObject,
    actions: &[Action],
) -> sqlx::Result<Grant> {
    let (user, key) = match principal {
        Principal::User { id } => (Some(id.uuid()), None),
        Principal::ApiKey { id } => (None, Some(id.uuid())),
    };
    let (camera, on_project) = match object {
        GrantObject::Camera { id } => (Some(id.uuid()), None),
        GrantObject::Project { id } => (None, Some(id.uuid())),
        GrantObject::Cluster => (None, None),
    };
    let actions: Vec<_> = actions.iter().map(|a| a.as_str().to_owned()).collect();
    let row = sqlx::query_as!(
        Row,
        r#"INSERT INTO "grant" (id, project_id, user_id, api_key_id, camera_id, object_project_id,
                                on_cluster, actions)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           RETURNING id, project_id, user_id, api_key_id, camera_id, object_project_id, actions,
                     created_at"#,
        id.uuid(),
        project.uuid(),
        user,
        key,
        camera,
        on_project,
        object == GrantObject::Cluster,
        &actions
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

impl TryFrom<Row> for Grant {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let principal = match (row.user_id, row.api_key_id) {
            (Some(id), _) => Principal::User { id: id.into() },
            (None, Some(id)) => Principal::ApiKey { id: id.into() },
            (None, None) => return Err(sqlx::Error::Decode("a grant without principal".into())),
        };
        let object = match (row.camera_id, row.object_project_id) {
            (Some(id), _) => GrantObject::Camera { id: id.into() },
            (None, Some(id)) => GrantObject::Project { id: id.into() },
            (None, None) => GrantObject::Cluster,
        };
        Ok(Self {
            id: row.id.into(),
            project_id: row.project_id.into(),
            principal,
            object,
            // What a newer release may have granted is unknown here, and allows nothing.
            actions: row
                .actions
                .iter()
                .filter_map(|a| Action::from_name(a))
                .collect(),
            created_at: row.created_at,
        })
    }
}
