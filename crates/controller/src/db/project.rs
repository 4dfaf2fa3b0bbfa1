//! Projects: rows of `project`.

use chrono::{DateTime, Utc};
use headworks_types::{Network, Project, ProjectId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::networks;
use crate::app::{Reach, Versioned};

struct Row {
    id: Uuid,
    name: String,
    outbound_allow: Vec<String>,
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
        "SELECT id, name, outbound_allow, version, created_at, updated_at
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
    let projects = rows.into_iter().map(Row::into_project);
    projects.map(|project| Ok(project?.thing)).collect()
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
        "SELECT id, name, outbound_allow, version, created_at, updated_at
         FROM project
         WHERE id = $1 AND ($2::uuid[] IS NULL OR id = ANY($2))",
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_project).transpose()
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
         RETURNING id, name, outbound_allow, version, created_at, updated_at",
        id.uuid(),
        name
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_project()?.thing)
}

/// Writes what may change; the version rises.
pub(crate) async fn project_update(
    conn: &mut PgConnection,
    id: ProjectId,
    name: &str,
    outbound_allow: &[Network],
) -> sqlx::Result<Versioned<Project>> {
    let outbound_allow: Vec<_> = outbound_allow.iter().map(Network::to_string).collect();
    let row = sqlx::query_as!(
        Row,
        "UPDATE project
         SET name = $2, outbound_allow = $3, version = version + 1, updated_at = clock_timestamp()
         WHERE id = $1
         RETURNING id, name, outbound_allow, version, created_at, updated_at",
        id.uuid(),
        name,
        &outbound_allow
    )
    .fetch_one(conn)
    .await?;
    row.into_project()
}

/// The nodes that have work of the project.
pub(crate) async fn project_list_nodes(
    conn: &mut PgConnection,
    id: ProjectId,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT s.node_id AS "node_id!"
           FROM slot s JOIN camera c ON c.id = s.camera_id
           WHERE c.project_id = $1 AND s.node_id IS NOT NULL"#,
        id.uuid()
    )
    .fetch_all(conn)
    .await
}

/// True if there is any project: the database has been set up.
pub(crate) async fn project_exists(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM project) AS "exists!""#)
        .fetch_one(conn)
        .await
}

impl Row {
    fn into_project(self) -> sqlx::Result<Versioned<Project>> {
        Ok(Versioned {
            version: self.version,
            thing: Project {
                id: self.id.into(),
                name: self.name,
                outbound_allow: networks(&self.outbound_allow)?,
                created_at: self.created_at,
                updated_at: self.updated_at,
            },
        })
    }
}
