//! Renews leases in batches, so that the load on the database does not grow with the fleet.
//!
//! Not a reconciler: it empties the queue in which the requests of edges wait. At the controller's
//! end it renews what is in the queue, then stops.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use chrono::{DateTime, Utc};
use headworks_types::{
    NodeId, RefusedPublisher,
    edge::{LeaseRenewal, RestreamReport, SlotReport},
};
use sqlx::Acquire;
use tokio::{
    sync::{mpsc::Receiver, oneshot},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Error, Result, edge::Waiting},
    db::{
        lease::{Renewal, lease_renew},
        slot::{Report, slot_report},
    },
    state::State,
};

/// The time between two batches.
const PERIOD: Duration = Duration::from_millis(500);
/// How long the database may take for a batch: nobody waits for longer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long the last batch may take.
const LAST: Duration = Duration::from_secs(2);
/// The longest message that is stored, in characters.
const MESSAGE: usize = 1000;

/// The latest renewal of one node, and everybody who waits for it.
struct Turn {
    renewal: LeaseRenewal,
    answers: Vec<oneshot::Sender<Result<i64>>>,
}

type Batch = BTreeMap<NodeId, Turn>;

/// Empties the queue until the controller stops.
pub(super) async fn run(state: State, mut queue: Receiver<Waiting>, stop: CancellationToken) {
    let mut next = state.clock.monotonic();
    loop {
        let mut batch = Batch::new();
        tokio::select! {
            () = stop.cancelled() => break,
            first = queue.recv() => match first {
                Some(first) => enlist(&mut batch, first),
                None => return,
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep_until(next) => {}
        }
        drain(&mut queue, &mut batch);
        next = state.clock.monotonic() + PERIOD;
        flush(&state, batch).await;
    }
    queue.close();
    let mut batch = Batch::new();
    drain(&mut queue, &mut batch);
    if timeout(LAST, flush(&state, batch)).await.is_err() {
        tracing::warn!("the last renewals were not stored");
    }
}

fn drain(queue: &mut Receiver<Waiting>, batch: &mut Batch) {
    while let Ok(waiting) = queue.try_recv() {
        enlist(batch, waiting);
    }
}

/// Of several renewals of one node the latest counts.
fn enlist(batch: &mut Batch, waiting: Waiting) {
    let Waiting {
        node,
        renewal,
        answer,
    } = waiting;
    match batch.entry(node) {
        Entry::Vacant(entry) => {
            entry.insert(Turn {
                renewal,
                answers: vec![answer],
            });
        }
        Entry::Occupied(mut entry) => {
            let turn = entry.get_mut();
            turn.renewal = renewal;
            turn.answers.push(answer);
        }
    }
}

/// Commits a batch and answers.
async fn flush(state: &State, batch: Batch) {
    if batch.is_empty() {
        return;
    }
    let renewals: Vec<_> = batch
        .iter()
        .map(|(node, turn)| renewal(*node, turn))
        .collect();
    let reports: Vec<_> = batch
        .iter()
        .flat_map(|(node, turn)| reports(*node, &turn.renewal.slots))
        .collect();
    let renewed = timeout(DEADLINE, store(state, &renewals, &reports)).await;
    let renewed = renewed.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let mut revisions = BTreeMap::new();
    let lost = renewed
        .map(|rows| revisions.extend(rows))
        .inspect_err(|error| {
            tracing::warn!(%error, nodes = renewals.len(), "leases cannot be renewed");
        });
    for (node, turn) in batch {
        for answer in turn.answers {
            let result = match (&lost, revisions.get(&node)) {
                (Err(_), _) => Err(Error::Unavailable(sqlx::Error::PoolTimedOut)),
                (Ok(()), Some(revision)) => Ok(*revision),
                (Ok(()), None) => Err(Error::Unauthenticated("the node was removed")),
            };
            // Who does not wait any more does not want to know.
            let _ = answer.send(result);
        }
    }
}

/// The leases in one transaction, the reports in another: a report that cannot be stored must not
/// let a node die, and comes again with the next renewal.
async fn store(
    state: &State,
    renewals: &[Renewal],
    reports: &[Report],
) -> sqlx::Result<Vec<(NodeId, i64)>> {
    let mut conn = state.pool.acquire().await?;
    let lease = state.config.lease_dead.as_secs_f64();
    let renewed = lease_renew(&mut conn, renewals, lease).await?;
    if !reports.is_empty() {
        let mut tx = conn.begin().await?;
        let stored = async {
            slot_report(&mut tx, reports).await?;
            tx.commit().await
        };
        if let Err(error) = stored.await {
            tracing::warn!(%error, reports = reports.len(), "slot reports cannot be stored");
        }
    }
    Ok(renewed)
}

fn renewal(node_id: NodeId, turn: &Turn) -> Renewal {
    let renewal = &turn.renewal;
    Renewal {
        node_id,
        instance: renewal.instance,
        goodbye: renewal.goodbye,
        revision: renewal.revision,
        apply_error: renewal.apply_error.as_deref().map(clean),
        load: renewal.load.clone(),
    }
}

/// Each slot once, in the order of the keys, with text and time that PostgreSQL takes: what one
/// edge sends must not spoil the batch of all.
fn reports(node_id: NodeId, slots: &[SlotReport]) -> Vec<Report> {
    let slots: BTreeMap<_, _> = slots.iter().map(|slot| (slot.key, slot)).collect();
    let clean = slots.into_values().map(|slot| Report {
        node_id,
        slot: SlotReport {
            message: clean(&slot.message),
            restream: slot.restream.as_ref().map(|report| RestreamReport {
                bytes_sent: report.bytes_sent.min(i64::MAX.unsigned_abs()),
                last_error: report.last_error.as_deref().map(clean),
                ..report.clone()
            }),
            since: slot.since.clamp(
                DateTime::<Utc>::UNIX_EPOCH,
                DateTime::<Utc>::MAX_UTC - chrono::TimeDelta::days(1),
            ),
            refused: slot.refused.clone().map(|refused| RefusedPublisher {
                reason: clean(&refused.reason),
                ..refused
            }),
            ..slot.clone()
        },
    });
    clean.collect()
}

fn clean(text: &str) -> String {
    let text = text.chars().take(MESSAGE);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}
