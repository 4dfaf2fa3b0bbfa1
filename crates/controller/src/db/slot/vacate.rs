//! All work of one node, to be taken from it.

use headworks_types::{EventKind, NodeId};
use sqlx::PgConnection;

use super::{Outcome, Step, restream_of_slots, slot_assign, slot_key};
use crate::db::event::NewEvent;

/// How often it is looked again for slots that have changed meanwhile.
const ROUNDS: usize = 5;

/// What takes all of the node's slots from it, as they are now.
async fn node_steps(
    conn: &mut PgConnection,
    node: NodeId,
    reason: &str,
) -> sqlx::Result<Vec<Step>> {
    let rows = sqlx::query!(
        r#"SELECT camera_id, role, ordinal, epoch FROM slot WHERE node_id = $1
           ORDER BY camera_id, role, ordinal"#,
        node.uuid()
    )
    .fetch_all(conn)
    .await?;
    let steps = rows.into_iter().map(|row| {
        Ok(Step {
            slot: slot_key(row.camera_id, &row.role, row.ordinal)?,
            epoch: row.epoch,
            from: Some(node),
            to: None,
            cost: 0,
            reason: reason.to_owned(),
        })
    });
    steps.collect()
}

/// Takes all slots from the node, whose capacity is locked and which is closed. Returns the steps
/// that were done, with their outcomes. A slot whose epoch rises all the time may stay; look again.
pub(crate) async fn slot_vacate(
    conn: &mut PgConnection,
    node: NodeId,
    reason: &str,
) -> sqlx::Result<Vec<(Step, Outcome)>> {
    let mut done = Vec::new();
    for _ in 0..ROUNDS {
        let steps = node_steps(conn, node, reason).await?;
        if steps.is_empty() {
            break;
        }
        let outcomes = slot_assign(conn, &steps).await?;
        let pairs = steps.into_iter().zip(outcomes);
        done.extend(pairs.filter(|(_, outcome)| matches!(outcome, Outcome::Done { .. })));
    }
    Ok(done)
}

/// Events of slots that were taken from their nodes, for those steps that were done.
pub(crate) async fn slot_released_event<'a>(
    conn: &mut PgConnection,
    actor: &'a str,
    steps: Vec<(Step, Outcome)>,
) -> sqlx::Result<Vec<NewEvent<'a>>> {
    let restreams = restream_of_slots(conn, steps.iter().map(|(step, _)| step.slot)).await?;
    let events = steps.into_iter().filter_map(|(step, outcome)| {
        let Outcome::Done { project_id, .. } = outcome else {
            return None;
        };
        let (kind, subject) = match restreams.get(&step.slot) {
            Some(restream) => (EventKind::RestreamPlaced, restream.to_string()),
            None => (EventKind::CameraPlaced, step.slot.camera_id.to_string()),
        };
        Some(NewEvent {
            project_id: Some(project_id),
            kind,
            subject,
            actor,
            message: format!("taken from its node: {}", step.reason),
        })
    });
    Ok(events.collect())
}
