//! API keys: rows of `api_key`.

use chrono::{DateTime, Utc};
use headworks_types::{ApiKey, ApiKeyId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::Reach;

/// A key that works now, with one of its grants: one row for each object it has actions on, where
/// all single cameras count as one. A key without grants has one row without actions.
pub(crate) struct SignIn {
    pub(crate) id: Uuid,
    pub(crate) project_id: Uuid,
    pub(crate) digest: Vec<u8>,
    pub(crate) on_cluster: Option<bool>,
    pub(crate) object_project_id: Option<Uuid>,
    pub(crate) actions: Option<Vec<String>>,
}

/// The key of this lookup with what it may do.
pub(crate) async fn api_key_sign_in(
    conn: &mut PgConnection,
    lookup: &str,
) -> sqlx::Result<Vec<SignIn>> {
    sqlx::query_as!(
        SignIn,
        r#"SELECT k.id, k.project_id, k.digest,
                  g.on_cluster AS "on_cluster?",
                  g.object_project_id AS "object_project_id?",
                  array_agg(DISTINCT action) FILTER (WHERE action IS NOT NULL) AS actions
           FROM api_key k
           LEFT JOIN "grant" g ON g.api_key_id = k.id
           LEFT JOIN LATERAL unnest(g.actions) AS action ON true
           WHERE k.lookup = $1
             AND k.revoked_at IS NULL
             AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
           GROUP BY k.id, g.on_cluster, g.object_project_id"#,
        lookup
    )
    .fetch_all(conn)
    .await
}
