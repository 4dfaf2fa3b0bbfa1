//! What people are signed in to: rows of `sign_in`, and what sign-in needs of `"user"`.
//!
//! These queries ask for no project: they find out who somebody is.

use chrono::{DateTime, Utc};
use headworks_types::{ProjectId, SignInId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ensure_one_row;

/// Somebody who may sign in with a password, if it is theirs.
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) password: Option<String>,
    pub(crate) must_change_password: bool,
    pub(crate) enabled: bool,
    /// The account has signed in from this network before.
    pub(crate) known_network: bool,
}

/// The account of an email in lower case.
pub(crate) async fn account_find(
    conn: &mut PgConnection,
    email: &str,
    network: &str,
) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"SELECT id, password, must_change_password, enabled,
                  EXISTS (
                      SELECT FROM sign_in s
                      WHERE s.user_id = u.id AND s.network = $2
                        AND s.created_at > clock_timestamp() - interval '90 days'
                  ) AS "known_network!"
           FROM "user" u
           WHERE email = $1"#,
        email,
        network
    )
    .fetch_optional(conn)
    .await
}

/// The account of a user.
pub(crate) async fn account_get(
    conn: &mut PgConnection,
    user: UserId,
    network: &str,
) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"SELECT id, password, must_change_password, enabled,
                  EXISTS (
                      SELECT FROM sign_in s
                      WHERE s.user_id = u.id AND s.network = $2
                        AND s.created_at > clock_timestamp() - interval '90 days'
                  ) AS "known_network!"
           FROM "user" u
           WHERE id = $1"#,
        user.uuid(),
        network
    )
    .fetch_optional(conn)
    .await
}

/// Who has just signed in.
pub(crate) struct Person {
    pub(crate) project_id: Uuid,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
}

/// Locks the user and notes that they sign in now; `None` if they are disabled, or their password
/// is not `password` any more.
pub(crate) async fn account_sign_in(
    conn: &mut PgConnection,
    user: UserId,
    password: Option<&str>,
) -> sqlx::Result<Option<Person>> {
    sqlx::query_as!(
        Person,
        r#"UPDATE "user" SET last_signed_in_at = clock_timestamp()
           WHERE id = $1 AND enabled AND ($2::text IS NULL OR password = $2)
           RETURNING project_id, name, email"#,
        user.uuid(),
        password
    )
    .fetch_optional(conn)
    .await
}

/// The user has chosen this password, given as its hash.
pub(crate) async fn account_set_password(
    conn: &mut PgConnection,
    user: UserId,
    password: &str,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        r#"UPDATE "user"
           SET password = $2, must_change_password = false, version = version + 1,
               updated_at = clock_timestamp()
           WHERE id = $1"#,
        user.uuid(),
        password
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// A sign-in to be.
pub(crate) struct NewSignIn<'a> {
    pub(crate) id: SignInId,
    pub(crate) user: UserId,
    pub(crate) method: &'a str,
    pub(crate) network: &'a str,
    pub(crate) lookup: &'a str,
    pub(crate) idle_seconds: f64,
    pub(crate) whole_seconds: f64,
}

/// A sign-in, as far as its refresh token is concerned.
pub(crate) struct SignInRow {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) project_id: Uuid,
    pub(crate) name: String,
    pub(crate) generation: i32,
    /// Neither ended nor expired, of a user who is enabled.
    pub(crate) lives: bool,
}

/// A new sign-in; returns until when its refresh token may be used.
pub(crate) async fn sign_in_insert(
    conn: &mut PgConnection,
    new: &NewSignIn<'_>,
) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        "INSERT INTO sign_in (id, user_id, method, network, lookup, idle_until, expires_at)
         VALUES ($1, $2, $3, $4, $5,
                 clock_timestamp() + make_interval(secs => LEAST($6::float8, $7::float8)),
                 clock_timestamp() + make_interval(secs => $7::float8))
         RETURNING idle_until",
        new.id.uuid(),
        new.user.uuid(),
        new.method,
        new.network,
        new.lookup,
        new.idle_seconds,
        new.whole_seconds
    )
    .fetch_one(conn)
    .await
}

/// Finds a sign-in by its refresh tokens and locks it.
pub(crate) async fn sign_in_lock(
    conn: &mut PgConnection,
    lookup: &str,
) -> sqlx::Result<Option<SignInRow>> {
    sqlx::query_as!(
        SignInRow,
        r#"SELECT s.id, s.user_id, u.project_id, u.name, s.generation,
                  (u.enabled AND s.ended_at IS NULL AND s.idle_until > clock_timestamp()
                      AND s.expires_at > clock_timestamp()) AS "lives!"
           FROM sign_in s JOIN "user" u ON u.id = s.user_id
           WHERE s.lookup = $1
           FOR UPDATE OF s"#,
        lookup
    )
    .fetch_optional(conn)
    .await
}

/// The refresh token was used: the next one works now; returns until when.
pub(crate) async fn sign_in_refresh(
    conn: &mut PgConnection,
    id: SignInId,
    idle_seconds: f64,
) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        "UPDATE sign_in
         SET generation = generation + 1,
             idle_until = LEAST(clock_timestamp() + make_interval(secs => $2), expires_at)
         WHERE id = $1
         RETURNING idle_until",
        id.uuid(),
        idle_seconds
    )
    .fetch_one(conn)
    .await
}

/// Ends a sign-in; false if it has ended before.
pub(crate) async fn sign_in_end(conn: &mut PgConnection, id: SignInId) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE sign_in SET ended_at = clock_timestamp() WHERE id = $1 AND ended_at IS NULL",
        id.uuid()
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends what the user is signed in to, but for the newest `keep`.
pub(crate) async fn sign_in_end_all(
    conn: &mut PgConnection,
    user: UserId,
    keep: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE sign_in SET ended_at = clock_timestamp()
         WHERE id IN (
             SELECT id FROM sign_in WHERE user_id = $1 AND ended_at IS NULL
             ORDER BY created_at DESC, id DESC
             OFFSET $2
         )",
        user.uuid(),
        keep
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The project of the user, if they are enabled and the sign-in is theirs and lives.
pub(crate) async fn sign_in_caller(
    conn: &mut PgConnection,
    id: SignInId,
    user: UserId,
) -> sqlx::Result<Option<ProjectId>> {
    let project = sqlx::query_scalar!(
        r#"SELECT u.project_id
           FROM sign_in s JOIN "user" u ON u.id = s.user_id
           WHERE s.id = $1 AND s.user_id = $2
             AND s.ended_at IS NULL AND s.expires_at > clock_timestamp() AND u.enabled"#,
        id.uuid(),
        user.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(project.map(Into::into))
}

/// The user's name and email, for the user.
pub(crate) async fn person_get(
    conn: &mut PgConnection,
    project: ProjectId,
    user: UserId,
) -> sqlx::Result<Option<Person>> {
    sqlx::query_as!(
        Person,
        r#"SELECT project_id, name, email FROM "user" WHERE id = $1 AND project_id = $2"#,
        user.uuid(),
        project.uuid()
    )
    .fetch_optional(conn)
    .await
}

/// Deletes what can be used no more for so long that nobody asks.
pub(crate) async fn sign_in_sweep(
    conn: &mut PgConnection,
    days: i32,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM sign_in WHERE id IN (
             SELECT id FROM sign_in
             WHERE expires_at < clock_timestamp() - make_interval(days => $1)
             ORDER BY expires_at
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
        days,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
