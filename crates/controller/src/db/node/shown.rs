//! Nodes as operators see them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headworks_duty::Life;
use headworks_types::{DrainState, Node, NodeDrain, NodeId, NodeLimits, NodeLoad, NodeState};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::from_json;

/// The nodes after `after`, oldest first; or only the one that is asked for.
pub(crate) async fn node_list(
    conn: &mut PgConnection,
    only: Option<NodeId>,
    after: Option<NodeId>,
    limit: i64,
    suspect: Duration,
) -> sqlx::Result<Vec<Node>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT n.id, n.name, n.site, n.zone, n.labels, n.advertise, n.software, n.created_at,
                  n.died_at IS NOT NULL AS "died!",
                  c.alloc, c.used,
                  COALESCE(l.goodbye, false) AS "goodbye!",
                  l.renewed_at AS "renewed_at?",
                  EXTRACT(EPOCH FROM clock_timestamp() - l.renewed_at)::float8 AS silence,
                  l.load AS "load?", COALESCE(l.is_full, false) AS "is_full!",
                  n.max_viewers, n.max_egress_mbit, n.capabilities,
                  l.apply_error, n.revoked_at, n.told_state, n.told_at, n.cordoned_at,
                  n.drain_started_at, n.drain_deadline_at, n.drain_slots, n.drain_result,
                  n.drain_message, n.drain_ended_at,
                  CASE WHEN n.drain_started_at IS NOT NULL
                       THEN (SELECT count(*) FROM slot s WHERE s.node_id = n.id)
                  END AS slots_left,
                  CASE WHEN n.unsteady_until > clock_timestamp()
                       THEN n.unsteady_until END AS unsteady_until
           FROM node n
           JOIN node_capacity c ON c.node_id = n.id
           LEFT JOIN node_lease l ON l.node_id = n.id
           WHERE n.removed_at IS NULL
             AND ($1::uuid IS NULL OR n.id = $1) AND ($2::uuid IS NULL OR n.id > $2)
           ORDER BY n.id
           LIMIT $3"#,
        only.map(NodeId::uuid),
        after.map(NodeId::uuid),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.into_node(suspect)).collect()
}

/// One node.
pub(crate) async fn node_get(
    conn: &mut PgConnection,
    id: NodeId,
    suspect: Duration,
) -> sqlx::Result<Option<Node>> {
    Ok(node_list(conn, Some(id), None, 1, suspect).await?.pop())
}

struct Row {
    id: Uuid,
    name: String,
    site: String,
    zone: String,
    labels: serde_json::Value,
    advertise: serde_json::Value,
    software: String,
    created_at: DateTime<Utc>,
    died: bool,
    alloc: i32,
    used: i32,
    goodbye: bool,
    renewed_at: Option<DateTime<Utc>>,
    silence: Option<f64>,
    load: Option<serde_json::Value>,
    is_full: bool,
    capabilities: Option<serde_json::Value>,
    max_viewers: Option<i32>,
    max_egress_mbit: Option<i32>,
    apply_error: Option<String>,
    revoked_at: Option<DateTime<Utc>>,
    told_state: Option<String>,
    told_at: Option<DateTime<Utc>>,
    cordoned_at: Option<DateTime<Utc>>,
    drain_started_at: Option<DateTime<Utc>>,
    drain_deadline_at: Option<DateTime<Utc>>,
    drain_slots: Option<i32>,
    drain_result: Option<String>,
    drain_message: Option<String>,
    drain_ended_at: Option<DateTime<Utc>>,
    slots_left: Option<i64>,
    unsteady_until: Option<DateTime<Utc>>,
}

impl Row {
    fn into_node(self, suspect: Duration) -> sqlx::Result<Node> {
        let life = Life {
            died: self.died,
            goodbye: self.goodbye,
            silence: self.silence,
        };
        let load = self
            .load
            .clone()
            .map_or(Ok(NodeLoad::default()), from_json)?;
        let state = life.state(suspect);
        let drain = self.drain(load.viewers)?;
        Ok(Node {
            id: self.id.into(),
            capacity: self.alloc.unsigned_abs(),
            used: self.used.unsigned_abs(),
            state,
            message: self.message(&life, suspect, drain.as_ref()),
            since: self.since(state),
            last_error: self.apply_error,
            cordoned_at: self.cordoned_at,
            drain,
            unsteady_until: self.unsteady_until,
            name: self.name,
            site: self.site,
            zone: self.zone,
            labels: from_json(self.labels)?,
            advertise: from_json(self.advertise)?,
            version: self.software,
            capabilities: super::capabilities(self.capabilities)?,
            limits: NodeLimits {
                max_viewers: self.max_viewers.map(i32::unsigned_abs),
                max_egress_mbit: self.max_egress_mbit.map(i32::unsigned_abs),
            },
            full: self.is_full,
            load,
            last_seen_at: self.renewed_at,
            revoked_at: self.revoked_at,
            created_at: self.created_at,
        })
    }

    /// A node that is not ready is not since it was last heard of.
    fn since(&self, state: NodeState) -> Option<DateTime<Utc>> {
        match (state, self.told_state.as_deref()) {
            (NodeState::Ready, Some("ready")) | (NodeState::Suspect, Some("suspect")) => {
                self.told_at
            }
            (NodeState::Dead, Some("dead" | "stopped")) => self.told_at,
            _ => self.renewed_at.or(Some(self.created_at)),
        }
    }

    fn message(&self, life: &Life, suspect: Duration, drain: Option<&NodeDrain>) -> String {
        let mut words = life.words(suspect);
        if let Some(error) = &self.apply_error {
            words.push_str(&format!("; it could not apply its work: {error}"));
        }
        match (drain, self.cordoned_at) {
            (Some(drain), _) => words.push_str(&format!("; {}", drain.message)),
            (None, Some(_)) => words.push_str("; cordoned: it takes no new work"),
            (None, None) => {}
        }
        if let Some(until) = self.unsteady_until {
            let until = until.format("%H:%M:%S");
            words.push_str(&format!(
                "; unsteady: it died too often, and takes no new work until {until} UTC"
            ));
        }
        words
    }

    fn drain(&self, viewers: u32) -> sqlx::Result<Option<NodeDrain>> {
        let (Some(started_at), Some(deadline_at)) = (self.drain_started_at, self.drain_deadline_at)
        else {
            return Ok(None);
        };
        let state = match self.drain_result.as_deref() {
            None => DrainState::Draining,
            Some("drained") => DrainState::Drained,
            Some("expired") => DrainState::Expired,
            Some(other) => {
                let error = format!("{other} is no end of a drain");
                return Err(sqlx::Error::Decode(error.into()));
            }
        };
        let total = self.drain_slots.unwrap_or_default().unsigned_abs();
        let left = u32::try_from(self.slots_left.unwrap_or_default()).unwrap_or(u32::MAX);
        let going = format!(
            "draining: {left} of {total} slots are left, until {} UTC at the latest",
            deadline_at.format("%Y-%m-%d %H:%M:%S")
        );
        Ok(Some(NodeDrain {
            state,
            message: self.drain_message.clone().unwrap_or(going),
            started_at,
            deadline_at,
            ended_at: self.drain_ended_at,
            slots_total: total,
            slots_left: left,
            viewers_left: viewers,
        }))
    }
}
