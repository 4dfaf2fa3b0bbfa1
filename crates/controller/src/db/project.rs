//! Projects: rows of `project`.

use chrono::{DateTime, Utc};
use headworks_types::{Project, ProjectId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::{Reach, Versioned};

struct Row {
    id: Uuid,
    name: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The projects within reach.
pub(crate) async fn project_list(
    conn: &mut PgConnection,
    reach: &Reach,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Project>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, name, version, created_at, updated_at
         FROM project
         WHERE ($1::uuid[] IS NULL OR id = ANY($1)) AND ($2::uuid IS NULL OR id > $2)
         ORDER BY id
         LIMIT $3",
        reach.projects(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| row.into_project().thing)
        .collect())
}

/// Every project's id.
pub(crate) async fn project_list_ids(conn: &mut PgConnection) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!("SELECT id FROM project")
        .fetch_all(conn)
        .await
}

/// The project, if it is within reach.
pub(crate) async fn project_get(
    conn: &mut PgConnection,
    reach: &Reach,
    id: ProjectId,
) -> sqlx::Result<Option<Versioned<Project>>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, version, created_at, updated_at
         FROM project
         WHERE id = $1 AND ($2::uuid[] IS NULL OR id = ANY($2))",
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Row::into_project))
}

/// Keeps others from changing the project until the transaction ends.
pub(crate) async fn project_lock(conn: &mut PgConnection, id: ProjectId) -> sqlx::Result<()> {
    sqlx::query!("SELECT id FROM project WHERE id = $1 FOR UPDATE", id.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(())
}

/// A new project.
pub(crate) async fn project_insert(
    conn: &mut PgConnection,
    id: ProjectId,
    name: &str,
) -> sqlx::Result<Project> {
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO project (id, name) VALUES ($1, $2)
         RETURNING id, name, version, created_at, updated_at",
        id.uuid(),
        name
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_project().thing)
}

/// Renames the project.
pub(crate) async fn project_update(
    conn: &mut PgConnection,
    id: ProjectId,
    name: &str,
) -> sqlx::Result<Versioned<Project>> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE project
         SET name = $2, version = version + 1, updated_at = clock_timestamp()
         WHERE id = $1
         RETURNING id, name, version, created_at, updated_at",
        id.uuid(),
        name
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_project())
}

/// True if there is any project: the database has been set up.
pub(crate) async fn project_exists(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM project) AS "exists!""#)
        .fetch_one(conn)
        .await
}

impl Row {
    fn into_project(self) -> Versioned<Project> {
        Versioned {
            version: self.version,
            thing: Project {
                id: self.id.into(),
                name: self.name,
                created_at: self.created_at,
                updated_at: self.updated_at,
            },
        }
    }
}
