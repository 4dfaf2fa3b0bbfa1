//! Which certificates are those of nodes: columns of `node`. All are known by their SHA-256.

use std::time::Duration;

use headworks_types::NodeId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::ensure_one_row;

/// How long requests may be under way with the certificate before the newest.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// What a certificate of our authority is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    /// False if the node has been given another one since.
    pub(crate) is_newest: bool,
    /// True if the node has begun to use its newest.
    pub(crate) newest_used: bool,
    /// True if that was so long ago that nothing of it is under way with the one before.
    pub(crate) previous_over: Option<bool>,
    /// The public key of the newest.
    pub(crate) public_key: Vec<u8>,
    /// The newest has expired.
    pub(crate) expired: bool,
    /// So long ago that it cannot be renewed.
    pub(crate) too_old: bool,
}

/// The node's new certificate.
pub(crate) struct NewCertificate<'a> {
    pub(crate) certificate: &'a [u8],
    pub(crate) public_key: &'a [u8],
    pub(crate) life: Duration,
}

/// The node of this certificate, which may be its newest or the one before.
pub(crate) async fn certificate_present(
    conn: &mut PgConnection,
    certificate: &[u8],
    renewable: Duration,
) -> sqlx::Result<Option<Presented>> {
    sqlx::query_as!(
        Presented,
        r#"SELECT id AS node, name, certificate = $1 AS "is_newest!",
                  certificate_used_at IS NOT NULL AS "newest_used!", public_key AS "public_key!",
                  certificate_used_at < clock_timestamp() - make_interval(secs => $3)
                      AS "previous_over?",
                  certificate_expires_at <= clock_timestamp() AS "expired!",
                  certificate_expires_at + make_interval(secs => $2) <= clock_timestamp()
                      AS "too_old!"
           FROM node
           WHERE (certificate = $1 OR previous_certificate = $1) AND certificate IS NOT NULL"#,
        certificate,
        renewable.as_secs_f64(),
        UNDER_WAY.as_secs_f64()
    )
    .fetch_optional(conn)
    .await
}

/// True if the certificate is one of a node, whatever else.
pub(crate) async fn certificate_stands(
    conn: &mut PgConnection,
    certificate: &[u8],
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM node WHERE certificate = $1 OR previous_certificate = $1)
               AS "stands!""#,
        certificate
    )
    .fetch_one(conn)
    .await
}

/// Locks the node against others that renew its certificate.
pub(crate) async fn certificate_lock(conn: &mut PgConnection, node: NodeId) -> sqlx::Result<()> {
    sqlx::query!("SELECT id FROM node WHERE id = $1 FOR UPDATE", node.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(())
}

/// The node has used its newest certificate: the one before is worth nothing.
pub(crate) async fn certificate_used(
    conn: &mut PgConnection,
    certificate: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE node SET certificate_used_at = clock_timestamp()
         WHERE certificate = $1 AND certificate_used_at IS NULL",
        certificate
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives the node a certificate; `previous` works until it has been used.
pub(crate) async fn certificate_set(
    conn: &mut PgConnection,
    node: NodeId,
    new: &NewCertificate<'_>,
    previous: Option<&[u8]>,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE node
         SET certificate = $2, public_key = $3, previous_certificate = $5, revoked_at = NULL,
             certificate_expires_at = clock_timestamp() + make_interval(secs => $4),
             certificate_used_at = NULL
         WHERE id = $1",
        node.uuid(),
        new.certificate,
        new.public_key,
        new.life.as_secs_f64(),
        previous
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// Forgets the certificate before the newest. False if that has been done.
pub(crate) async fn certificate_forget(
    conn: &mut PgConnection,
    previous: &[u8],
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE node SET previous_certificate = NULL WHERE previous_certificate = $1",
        previous
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Takes the node's certificates away. False if it has none.
pub(crate) async fn certificate_revoke(
    conn: &mut PgConnection,
    node: NodeId,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE node
         SET certificate = NULL, public_key = NULL, certificate_expires_at = NULL,
             previous_certificate = NULL, revoked_at = clock_timestamp()
         WHERE id = $1 AND certificate IS NOT NULL",
        node.uuid()
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Notes by which join token the node came.
pub(crate) async fn node_joined_by(
    conn: &mut PgConnection,
    node: NodeId,
    token: Uuid,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE node SET join_token_id = $2 WHERE id = $1",
        node.uuid(),
        token
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// The node that came by this token with this key, and whose answer may have been lost: it has not
/// used its certificate.
pub(crate) async fn node_joining_again(
    conn: &mut PgConnection,
    token: Uuid,
    public_key: &[u8],
) -> sqlx::Result<Option<NodeId>> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM node
         WHERE join_token_id = $1 AND public_key = $2 AND certificate_used_at IS NULL",
        token,
        public_key
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(NodeId::from))
}
