//! Users: rows of `"user"`.

use chrono::{DateTime, Utc};
use headworks_types::{Labels, ProjectId, User, UserId};
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
    email: Option<String>,
    has_password: bool,
    must_change_password: bool,
    last_signed_in_at: Option<DateTime<Utc>>,
    enabled: bool,
    max_sessions: Option<i32>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct UserFilter {
    pub(crate) labels: Labels,
    pub(crate) external_id: Option<String>,
    /// In lower case.
    pub(crate) email: Option<String>,
}

/// The users of the projects within reach.
pub(crate) async fn user_list(
    conn: &mut PgConnection,
    reach: &Reach,
    filter: &UserFilter,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<User>> {
    let labels = super::filter_to_json(&filter.labels)?;
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, project_id, name, external_id, labels, email,
                  password IS NOT NULL AS "has_password!", must_change_password,
                  last_signed_in_at, enabled, max_sessions, version, created_at, updated_at
           FROM "user"
           WHERE ($1::uuid[] IS NULL OR project_id = ANY($1))
             AND ($2::jsonb IS NULL OR labels @> $2)
             AND ($3::text IS NULL OR external_id = $3)
             AND ($4::text IS NULL OR email = $4)
             AND ($5::uuid IS NULL OR id > $5)
           ORDER BY id
           LIMIT $6"#,
        reach.projects(),
        labels,
        filter.external_id,
        filter.email,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    let users = rows.into_iter().map(Row::into_user);
    users.map(|user| Ok(user?.thing)).collect()
}

/// The user, if its project is within reach.
pub(crate) async fn user_get(
    conn: &mut PgConnection,
    reach: &Reach,
    id: UserId,
) -> sqlx::Result<Option<Versioned<User>>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, project_id, name, external_id, labels, email,
                  password IS NOT NULL AS "has_password!", must_change_password,
                  last_signed_in_at, enabled, max_sessions, version, created_at, updated_at
           FROM "user"
           WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))"#,
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_user).transpose()
}

/// Keeps others from changing the user until the transaction ends.
pub(crate) async fn user_lock(
    conn: &mut PgConnection,
    reach: &Reach,
    id: UserId,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"SELECT id FROM "user"
           WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))
           FOR UPDATE"#,
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// A user to be.
#[derive(Default)]
pub(crate) struct NewUser<'a> {
    pub(crate) name: &'a str,
    pub(crate) external_id: Option<&'a str>,
    pub(crate) labels: Labels,
    /// In lower case.
    pub(crate) email: Option<&'a str>,
    /// The hash of a password that somebody else has chosen.
    pub(crate) password: Option<&'a str>,
    pub(crate) max_sessions: Option<u32>,
}

/// A new user, enabled.
pub(crate) async fn user_insert(
    conn: &mut PgConnection,
    project: ProjectId,
    id: UserId,
    new: &NewUser<'_>,
) -> sqlx::Result<User> {
    let row = sqlx::query_as!(
        Row,
        r#"INSERT INTO "user" (id, project_id, name, external_id, labels, email, password,
                               must_change_password, max_sessions)
           VALUES ($1, $2, $3, $4, $5, $6, $7::text, $7 IS NOT NULL, $8)
           RETURNING id, project_id, name, external_id, labels, email,
                     password IS NOT NULL AS "has_password!", must_change_password,
                     last_signed_in_at, enabled, max_sessions, version, created_at, updated_at"#,
        id.uuid(),
        project.uuid(),
        new.name,
        new.external_id,
        to_json(&new.labels)?,
        new.email,
        new.password,
        new.max_sessions.map(u32::cast_signed)
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_user()?.thing)
}

/// True if what was to be written has an email that somebody else has.
pub(crate) fn is_email_taken(error: &sqlx::Error) -> bool {
    let violation = error.as_database_error();
    violation.and_then(|violation| violation.constraint()) == Some("user_email_key")
}

/// Writes everything that may change; the version rises.
pub(crate) async fn user_update(
    conn: &mut PgConnection,
    user: &User,
) -> sqlx::Result<Versioned<User>> {
    let row = sqlx::query_as!(
        Row,
        r#"UPDATE "user"
           SET name = $3, external_id = $4, labels = $5, enabled = $6, email = $7, max_sessions = $8,
               version = version + 1, updated_at = clock_timestamp()
           WHERE id = $1 AND project_id = $2
           RETURNING id, project_id, name, external_id, labels, email,
                     password IS NOT NULL AS "has_password!", must_change_password,
                     last_signed_in_at, enabled, max_sessions, version, created_at, updated_at"#,
        user.id.uuid(),
        user.project_id.uuid(),
        user.name,
        user.external_id,
        to_json(&user.labels)?,
        user.enabled,
        user.email,
        user.max_sessions.map(u32::cast_signed)
    )
    .fetch_one(conn)
    .await?;
    row.into_user()
}

/// Somebody else has chosen this password, given as its hash, or taken the password away.
pub(crate) async fn user_set_password(
    conn: &mut PgConnection,
    project: ProjectId,
    id: UserId,
    password: Option<&str>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        r#"UPDATE "user" SET password = $3::text, must_change_password = $3 IS NOT NULL
           WHERE id = $1 AND project_id = $2"#,
        id.uuid(),
        project.uuid(),
        password
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// Deletes the user with its grants.
pub(crate) async fn user_delete(
    conn: &mut PgConnection,
    project: ProjectId,
    id: UserId,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        r#"DELETE FROM "user" WHERE id = $1 AND project_id = $2"#,
        id.uuid(),
        project.uuid()
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

impl Row {
    fn into_user(self) -> sqlx::Result<Versioned<User>> {
        Ok(Versioned {
            version: self.version,
            thing: User {
                id: self.id.into(),
                project_id: self.project_id.into(),
                name: self.name,
                external_id: self.external_id,
                labels: from_json(self.labels)?,
                email: self.email,
                has_password: self.has_password,
                must_change_password: self.must_change_password,
                last_signed_in_at: self.last_signed_in_at,
                enabled: self.enabled,
                max_sessions: self.max_sessions.map(i32::unsigned_abs),
                created_at: self.created_at,
                updated_at: self.updated_at,
            },
        })
    }
}
