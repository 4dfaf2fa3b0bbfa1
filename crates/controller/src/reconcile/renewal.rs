//! Renews leases in batches, so that the load on the database does not grow with the fleet.
//!
//! Not a reconciler: it empties the queue in which the requests of edges wait. At the controller's
//! end it renews what is in the queue, then stops.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use chrono::{DateTime, Utc};
use headworks_types::{
    EventKind, NodeId, RefusedPublisher, StreamKeyUse,
    edge::{LeaseRenewal, PUBLISHED, RestreamReport, SlotReport},
};
use tokio::{
    sync::{mpsc::Receiver, oneshot},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::{Error, Result, edge::Waiting},
    db::{
        event::{NewEvent, event_insert_many},
        lease::{Renewal, lease_doubled, lease_renew},
        planner_lease::planner_ring,
        signing_key::signing_key_confirm,
        slot::{Report, slot_report},
        stream_key::{Used, stream_key_note_used},
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

/// The latest renewal of one process, and everybody who waits for it.
struct Turn {
    renewal: LeaseRenewal,
    answers: Vec<oneshot::Sender<Result<i64>>>,
}

/// By node and instance: what one process is granted is none of another's business.
type Batch = BTreeMap<(NodeId, Uuid), Turn>;

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
        flush_all(&state, batch).await;
    }
    queue.close();
    let mut batch = Batch::new();
    drain(&mut queue, &mut batch);
    if timeout(LAST, flush_all(&state, batch)).await.is_err() {
        tracing::warn!("the last renewals were not stored");
    }
}

fn drain(queue: &mut Receiver<Waiting>, batch: &mut Batch) {
    while let Ok(waiting) = queue.try_recv() {
        enlist(batch, waiting);
    }
}

/// Of several renewals of one process the latest counts, but nothing comes after goodbye.
fn enlist(batch: &mut Batch, waiting: Waiting) {
    let Waiting {
        node,
        renewal,
        answer,
    } = waiting;
    match batch.entry((node, renewal.instance)) {
        Entry::Vacant(entry) => {
            entry.insert(Turn {
                renewal,
                answers: vec![answer],
            });
        }
        Entry::Occupied(mut entry) => {
            let turn = entry.get_mut();
            if !turn.renewal.goodbye {
                turn.renewal = renewal;
            }
            turn.answers.push(answer);
        }
    }
}

/// Commits a batch and answers; of several processes that want to be one node the older first.
async fn flush_all(state: &State, batch: Batch) {
    let mut later = batch;
    while !later.is_empty() {
        let mut batch = BTreeMap::new();
        let mut rest = Batch::new();
        for ((node, instance), turn) in later {
            match batch.entry(node) {
                Entry::Vacant(entry) => {
                    entry.insert(turn);
                }
                Entry::Occupied(_) => {
                    rest.insert((node, instance), turn);
                }
            }
        }
        flush(state, batch).await;
        later = rest;
    }
}

/// What became of the renewals: a revision for each that counts.
#[derive(Default)]
struct Stored {
    revisions: BTreeMap<NodeId, i64>,
    /// Nodes that a newer process is.
    doubled: BTreeSet<NodeId>,
}

/// Commits one renewal of each node and answers.
async fn flush(state: &State, batch: BTreeMap<NodeId, Turn>) {
    let stored = timeout(DEADLINE, store(state, &batch)).await;
    let stored = stored.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let stored = stored.inspect_err(|error| {
        tracing::warn!(%error, nodes = batch.len(), "leases cannot be renewed");
    });
    for (node, turn) in batch {
        for answer in turn.answers {
            // Who does not wait any more does not want to know.
            let _ = answer.send(match &stored {
                Ok(stored) => stored.answer(node),
                Err(_) => Err(Error::Unavailable(sqlx::Error::PoolTimedOut)),
            });
        }
    }
}

impl Stored {
    fn answer(&self, node: NodeId) -> Result<i64> {
        match self.revisions.get(&node) {
            Some(revision) => Ok(*revision),
            None if self.doubled.contains(&node) => Err(Error::Conflict(
                "another process that was started later is this node: it has the same \
                 identity.json; each edge needs a data directory of its own"
                    .to_owned(),
            )),
            None => Err(Error::Unauthenticated("the node was removed")),
        }
    }
}

/// The leases in one transaction, the reports in another: a report that cannot be stored must not
/// let a node die, and comes again with the next renewal.
async fn store(state: &State, batch: &BTreeMap<NodeId, Turn>) -> sqlx::Result<Stored> {
    let lease = state.config.lease_dead.as_secs_f64();
    let renewals: Vec<_> = batch
        .iter()
        .map(|(node, turn)| renewal(*node, turn))
        .collect();
    let mut stored = Stored::default();
    let mut tx = state.pool.begin().await?;
    stored
        .revisions
        .extend(lease_renew(&mut tx, &renewals, lease).await?);
    let counts = |node: &NodeId| stored.revisions.contains_key(node);
    if renewals
        .iter()
        .any(|one| one.goodbye && counts(&one.node_id))
    {
        // Its work moves at once, whichever replica plans.
        planner_ring(&mut tx).await?;
    }
    tx.commit().await?;
    let refused: Vec<_> = renewals
        .iter()
        .filter(|one| !counts(&one.node_id))
        .collect();
    let reports: Vec<_> = batch
        .iter()
        .filter(|(node, _)| counts(node))
        .flat_map(|(node, turn)| reports(*node, &turn.renewal.slots))
        .collect();
    if !refused.is_empty() {
        stored.doubled = refuse(state, &refused).await?;
    }
    let known: Vec<_> = batch
        .iter()
        .filter(|(node, _)| stored.revisions.contains_key(node))
        .map(|(node, turn)| (*node, kids(&turn.renewal.signing_keys)))
        .collect();
    let mut tx = state.pool.begin().await?;
    signing_key_confirm(&mut tx, &known).await?;
    tx.commit().await?;
    if !reports.is_empty() {
        let written = async {
            let mut tx = state.pool.begin().await?;
            slot_report(&mut tx, &reports).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, reports = reports.len(), "slot reports cannot be stored");
        }
        let used: Vec<_> = reports.iter().flat_map(used).collect();
        let noted = async {
            let mut tx = state.pool.begin().await?;
            stream_key_note_used(&mut tx, &used).await?;
            tx.commit().await
        };
        if !used.is_empty()
            && let Err(error) = noted.await
        {
            tracing::warn!(%error, uses = used.len(), "uses of stream keys cannot be stored");
        }
    }
    Ok(stored)
}

/// The stream keys that were used, by the word of this report.
fn used(report: &Report) -> Vec<Used> {
    let slot = &report.slot;
    let used = slot.published.iter().take(PUBLISHED).map(|publisher| Used {
        camera: slot.key.camera_id,
        epoch: slot.epoch,
        key: publisher.stream_key_id,
        by: StreamKeyUse {
            at: stored_time(publisher.since),
            address: publisher.address.ip().to_canonical(),
            protocol: publisher.protocol,
            node_id: report.node_id,
        },
    });
    used.collect()
}

/// Finds out which renewals come from older processes, and tells each of these once.
async fn refuse(state: &State, refused: &[&Renewal]) -> sqlx::Result<BTreeSet<NodeId>> {
    let mut tx = state.pool.begin().await?;
    let doubled = lease_doubled(&mut tx, refused).await?;
    let news = doubled.iter().filter(|node| node.is_news);
    let events: Vec<_> = news
        .map(|node| {
            tracing::warn!(
                node.id = %node.id, node.name = node.name,
                "two processes run with the identity of one node; the older one is refused"
            );
            NewEvent {
                project_id: None,
                kind: EventKind::NodeDuplicated,
                subject: node.id.to_string(),
                actor: "controller",
                message: format!(
                    "two processes run with the identity of {}; the older one is refused",
                    node.name
                ),
            }
        })
        .collect();
    if !events.is_empty() {
        event_insert_many(&mut tx, events).await?;
    }
    tx.commit().await?;
    Ok(doubled.into_iter().map(|node| node.id).collect())
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
            since: stored_time(slot.since),
            refused: slot.refused.clone().map(|refused| RefusedPublisher {
                reason: clean(&refused.reason),
                ..refused
            }),
            ..slot.clone()
        },
    });
    clean.collect()
}

/// Names of keys that can be some, not more than there can be.
fn kids(names: &[String]) -> Vec<String> {
    let is_kid = |name: &&String| name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic());
    names.iter().filter(is_kid).take(16).cloned().collect()
}

/// A time that PostgreSQL takes.
fn stored_time(time: DateTime<Utc>) -> DateTime<Utc> {
    let last = DateTime::<Utc>::MAX_UTC - chrono::TimeDelta::days(1);
    time.clamp(DateTime::<Utc>::UNIX_EPOCH, last)
}

fn clean(text: &str) -> String {
    let text = text.chars().take(MESSAGE);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}
