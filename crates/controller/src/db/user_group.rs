//! User groups and who is in them: rows of `user_group` and `user_group_member`.

use chrono::{DateTime, Utc};
use headworks_types::{Labels, ProjectId, UserGroup, UserGroupId, UserGroupMember, UserId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ensure_one_row, from_json, to_json};
use crate::app::{Reach, Versioned};

struct Row {
    id: Uuid,
    project_id: Uuid,
    name: String,
    external_id: Option<String>,
    labels: Value,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct UserGroupFilter {
    pub(crate) labels: Labels,
    pub(crate) external_id: Option<String>,
}

/// The groups of the projects within reach.
pub(crate) async fn user_group_list(
    conn: &mut PgConnection,
    reach: &Reach,
    filter: &UserGroupFilter,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<UserGroup>> {
    let labels = super::filter_to_json(&filter.labels)?;
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, project_id, name, external_id, labels, version, created_at, updated_at
         FROM user_group
         WHERE ($1::uuid[] IS NULL OR project_id = ANY($1))
           AND ($2::jsonb IS NULL OR labels @> $2)
           AND ($3::text IS NULL OR external_id = $3)
           AND ($4::uuid IS NULL OR id > $4)
         ORDER BY id
         LIMIT $5",
        reach.projects(),
        labels,
        filter.external_id,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    groups(rows)
}

/// The groups of a user whose project is within reach.
pub(crate) async fn user_group_list_of(
    conn: &mut PgConnection,
    reach: &Reach,
    user: UserId,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<UserGroup>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT g.id, g.project_id, g.name, g.external_id, g.labels, g.version, g.created_at,
                g.updated_at
         FROM user_group_member m JOIN user_group g ON g.id = m.user_group_id
         WHERE m.user_id = $1
           AND ($2::uuid[] IS NULL OR g.project_id = ANY($2))
           AND ($3::uuid IS NULL OR g.id > $3)
         ORDER BY g.id
         LIMIT $4",
        user.uuid(),
        reach.projects(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    groups(rows)
}

fn groups(rows: Vec<Row>) -> sqlx::Result<Vec<UserGroup>> {
    let groups = rows.into_iter().map(Row::into_group);
    groups.map(|group| Ok(group?.thing)).collect()
}

/// The group, if its project is within reach.
pub(crate) async fn user_group_get(
    conn: &mut PgConnection,
    reach: &Reach,
    id: UserGroupId,
) -> sqlx::Result<Option<Versioned<UserGroup>>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, project_id, name, external_id, labels, version, created_at, updated_at
         FROM user_group
         WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))",
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_group).transpose()
}

/// Keeps others from changing the group and who is in it until the transaction ends.
pub(crate) async fn user_group_lock(
    conn: &mut PgConnection,
    reach: &Reach,
    id: UserGroupId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT id FROM user_group
         WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))
         FOR UPDATE",
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// A new group, with nobody in it.
pub(crate) async fn user_group_insert(
    conn: &mut PgConnection,
    project: ProjectId,
    id: UserGroupId,
    name: &str,
    external_id: Option<&str>,
    labels: &Labels,
) -> sqlx::Result<UserGroup> {
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO user_group (id, project_id, name, external_id, labels)
         VALUES ($1, $2, $3, $4, $5)
         RETURNING id, project_id, name, external_id, labels, version, created_at, updated_at",
        id.uuid(),
        project.uuid(),
        name,
        external_id,
        to_json(labels)?
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_group()?.thing)
}

/// Writes everything that may change; the version rises.
pub(crate) async fn user_group_update(
    conn: &mut PgConnection,
    group: &UserGroup,
) -> sqlx::Result<Versioned<UserGroup>> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE user_group
         SET name = $3, external_id = $4, labels = $5, version = version + 1,
             updated_at = clock_timestamp()
         WHERE id = $1 AND project_id = $2
         RETURNING id, project_id, name, external_id, labels, version, created_at, updated_at",
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

/// Deletes the group with its grants.
pub(crate) async fn user_group_delete(
    conn: &mut PgConnection,
    project: ProjectId,
    id: UserGroupId,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "DELETE FROM user_group WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// Who is in a group of the project.
pub(crate) async fn user_group_member_list(
    conn: &mut PgConnection,
    project: ProjectId,
    group: UserGroupId,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<UserGroupMember>> {
    sqlx::query_as!(
        UserGroupMember,
        r#"SELECT m.user_id, u.name, m.oidc_provider, m.created_at
           FROM user_group_member m
           JOIN user_group g ON g.id = m.user_group_id
           JOIN "user" u ON u.id = m.user_id
           WHERE g.id = $1 AND g.project_id = $2 AND ($3::uuid IS NULL OR m.user_id > $3)
           ORDER BY m.user_id
           LIMIT $4"#,
        group.uuid(),
        project.uuid(),
        after,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Puts a user of the project into a group of it; no provider takes them out again. `None` if
/// there is no such user or group, else whether the user was not in it before.
pub(crate) async fn user_group_member_put(
    conn: &mut PgConnection,
    project: ProjectId,
    group: UserGroupId,
    user: UserId,
) -> sqlx::Result<Option<(UserGroupMember, bool)>> {
    let row = sqlx::query!(
        r#"INSERT INTO user_group_member AS m (user_group_id, user_id)
           SELECT g.id, u.id FROM user_group g JOIN "user" u ON u.project_id = g.project_id
           WHERE g.id = $1 AND g.project_id = $2 AND u.id = $3
           ON CONFLICT (user_group_id, user_id) DO UPDATE SET oidc_provider = NULL
           RETURNING m.user_id, m.created_at, (xmax = 0) AS "is_new!",
                     (SELECT name FROM "user" WHERE id = m.user_id) AS "name!""#,
        group.uuid(),
        project.uuid(),
        user.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let member = UserGroupMember {
            user_id: row.user_id.into(),
            name: row.name,
            oidc_provider: None,
            created_at: row.created_at,
        };
        (member, row.is_new)
    }))
}

/// Takes a user out of a group of the project.
pub(crate) async fn user_group_member_delete(
    conn: &mut PgConnection,
    project: ProjectId,
    group: UserGroupId,
    user: UserId,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "DELETE FROM user_group_member m USING user_group g
         WHERE g.id = m.user_group_id AND g.id = $1 AND g.project_id = $2 AND m.user_id = $3",
        group.uuid(),
        project.uuid(),
        user.uuid()
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

impl Row {
    fn into_group(self) -> sqlx::Result<Versioned<UserGroup>> {
        Ok(Versioned {
            version: self.version,
            thing: UserGroup {
                id: self.id.into(),
                project_id: self.project_id.into(),
                name: self.name,
                external_id: self.external_id,
                labels: from_json(self.labels)?,
                created_at: self.created_at,
                updated_at: self.updated_at,
            },
        })
    }
}
