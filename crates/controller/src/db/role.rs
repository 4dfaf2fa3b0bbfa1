//! Roles: rows of `role`, those that projects make. Built-in ones have none.

use chrono::{DateTime, Utc};
use headworks_types::{Action, ProjectId, Role, RoleId, RoleRef};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    ensure_one_row,
    grant::{from_names, to_names},
};
use crate::app::{Reach, Versioned};

struct Row {
    id: Uuid,
    project_id: Uuid,
    name: String,
    actions: Vec<String>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The roles of the projects within reach.
pub(crate) async fn role_list(
    conn: &mut PgConnection,
    reach: &Reach,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Role>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, project_id, name, actions, version, created_at, updated_at
         FROM role
         WHERE ($1::uuid[] IS NULL OR project_id = ANY($1)) AND ($2::uuid IS NULL OR id > $2)
         ORDER BY id
         LIMIT $3",
        reach.projects(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.into_role().thing).collect())
}

/// The role, if its project is within reach. It stays as it is until the transaction ends.
pub(crate) async fn role_get(
    conn: &mut PgConnection,
    reach: &Reach,
    id: RoleId,
) -> sqlx::Result<Option<Versioned<Role>>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, project_id, name, actions, version, created_at, updated_at
         FROM role
         WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))
         FOR SHARE",
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Row::into_role))
}

/// Keeps others from changing and from granting the role until the transaction ends.
pub(crate) async fn role_lock(
    conn: &mut PgConnection,
    reach: &Reach,
    id: RoleId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT id FROM role
         WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))
         FOR UPDATE",
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// A new role.
pub(crate) async fn role_insert(
    conn: &mut PgConnection,
    project: ProjectId,
    id: RoleId,
    name: &str,
    actions: &[Action],
) -> sqlx::Result<Role> {
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO role (id, project_id, name, actions) VALUES ($1, $2, $3, $4)
         RETURNING id, project_id, name, actions, version, created_at, updated_at",
        id.uuid(),
        project.uuid(),
        name,
        &to_names(actions)
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_role().thing)
}

/// Writes everything that may change; the version rises.
pub(crate) async fn role_update(
    conn: &mut PgConnection,
    project: ProjectId,
    id: RoleId,
    name: &str,
    actions: &[Action],
) -> sqlx::Result<Versioned<Role>> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE role
         SET name = $3, actions = $4, version = version + 1, updated_at = clock_timestamp()
         WHERE id = $1 AND project_id = $2
         RETURNING id, project_id, name, actions, version, created_at, updated_at",
        id.uuid(),
        project.uuid(),
        name,
        &to_names(actions)
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_role())
}

/// Deletes the role. One that is granted stays: the foreign key says so.
pub(crate) async fn role_delete(
    conn: &mut PgConnection,
    project: ProjectId,
    id: RoleId,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "DELETE FROM role WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

impl Row {
    fn into_role(self) -> Versioned<Role> {
        Versioned {
            version: self.version,
            thing: Role {
                id: RoleRef::Custom(self.id.into()),
                project_id: Some(self.project_id.into()),
                name: self.name,
                actions: from_names(&self.actions),
                created_at: Some(self.created_at),
                updated_at: Some(self.updated_at),
            },
        }
    }
}
