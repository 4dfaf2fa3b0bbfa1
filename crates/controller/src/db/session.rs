//! Who watches: rows of `viewer_session`, as edges report them.

mod judge;
mod report;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use headworks_types::{CameraId, NodeId, Session, SessionId, UserId, ViewProtocol};
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) use judge::{
    Judged, Live, Period, Refused, session_list_live, session_list_over_limit, session_review,
};
pub(crate) use report::session_report;

use crate::app::{Reach, access::Sight};

struct Row {
    id: Uuid,
    project_id: Uuid,
    camera_id: Uuid,
    node_id: Uuid,
    subject: String,
    viewer_id: Option<String>,
    token_id: Option<String>,
    sound: bool,
    protocol: String,
    address: String,
    bytes_sent: i64,
    started_at: DateTime<Utc>,
    watch_until: DateTime<Utc>,
}

/// Which sessions a caller may see: those of cameras that it manages, and those of users that it
/// manages.
pub(crate) struct SessionSight {
    pub(crate) cameras: Option<Sight>,
    pub(crate) users: Option<Reach>,
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct SessionFilter {
    pub(crate) id: Option<SessionId>,
    pub(crate) camera: Option<CameraId>,
    pub(crate) user: Option<UserId>,
    pub(crate) node: Option<NodeId>,
}

/// The sessions that the caller may see.
pub(crate) async fn session_list(
    conn: &mut PgConnection,
    sight: &SessionSight,
    filter: &SessionFilter,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Session>> {
    const NOWHERE: Option<&[Uuid]> = Some(&[]);
    let cameras = sight.cameras.as_ref();
    let users = sight.users.as_ref().map_or(NOWHERE, Reach::projects);
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT s.id, s.project_id, s.camera_id, s.node_id, s.subject, s.viewer_id, s.token_id,
                  s.sound, s.protocol, host(s.address) AS "address!", s.bytes_sent, s.started_at,
                  s.watch_until
           FROM viewer_session s
           WHERE (EXISTS (
                      SELECT FROM camera_access(ARRAY[s.camera_id], $1, $2, $3) AS a
                      WHERE a.actions & $4 <> 0
                  )
                  OR EXISTS (
                      SELECT FROM "user" u
                      WHERE u.id = s.principal_id
                        AND ($5::uuid[] IS NULL OR u.project_id = ANY($5))
                  ))
             AND ($6::uuid IS NULL OR s.id = $6)
             AND ($7::uuid IS NULL OR s.camera_id = $7)
             AND ($8::uuid IS NULL OR s.principal_id = $8)
             AND ($9::uuid IS NULL OR s.node_id = $9)
             AND ($10::uuid IS NULL OR s.id > $10)
           ORDER BY s.id
           LIMIT $11"#,
        cameras.map_or(&[][..], Sight::objects),
        cameras.map_or(&[][..], Sight::allow),
        cameras.map_or(&[][..], Sight::deny),
        cameras.map_or(0, Sight::mask),
        users,
        filter.id.map(SessionId::uuid),
        filter.camera.map(CameraId::uuid),
        filter.user.map(UserId::uuid),
        filter.node.map(NodeId::uuid),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Session::try_from).collect()
}

/// The session, if the caller may see it.
pub(crate) async fn session_get(
    conn: &mut PgConnection,
    sight: &SessionSight,
    id: SessionId,
) -> sqlx::Result<Option<Session>> {
    let filter = SessionFilter {
        id: Some(id),
        ..SessionFilter::default()
    };
    Ok(session_list(conn, sight, &filter, None, 1).await?.pop())
}

/// Forgets everybody who watched on these nodes: they are dead.
pub(crate) async fn session_sweep(conn: &mut PgConnection, nodes: &[NodeId]) -> sqlx::Result<()> {
    let nodes: Vec<_> = nodes.iter().map(|node| node.uuid()).collect();
    sqlx::query!(
        r#"WITH feed AS (DELETE FROM session_feed WHERE node_id = ANY($1))
           DELETE FROM viewer_session WHERE node_id = ANY($1)"#,
        &nodes
    )
    .execute(conn)
    .await?;
    Ok(())
}

impl TryFrom<Row> for Session {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let unknown = |what: &str| sqlx::Error::Decode(format!("{what} is not known").into());
        let address: IpAddr = row.address.parse().map_err(|_| unknown(&row.address))?;
        let protocol = ViewProtocol::from_name(&row.protocol);
        Ok(Self {
            id: row.id.into(),
            project_id: row.project_id.into(),
            camera_id: row.camera_id.into(),
            node_id: row.node_id.into(),
            subject: row.subject,
            viewer_id: row.viewer_id,
            token_id: row.token_id,
            sound: row.sound,
            protocol: protocol.ok_or_else(|| unknown(&row.protocol))?,
            address,
            bytes_sent: row.bytes_sent.unsigned_abs(),
            started_at: row.started_at,
            watch_until: row.watch_until,
        })
    }
}
