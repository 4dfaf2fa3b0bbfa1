//! Writes refusals into the audit log, in batches. Those that are alike become one record with a
//! count, so that who knocks a thousand times a second does not fill the log.
//!
//! Not a reconciler: it empties the queue that answers leave refusals in. At the controller's end
//! it writes what is there, then stops.

use std::time::Duration;

use headworks_types::AuditResult;
use serde_json::json;
use tokio::{
    sync::mpsc::Receiver,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    db::audit::{NewAudit, audit_insert},
    state::State,
};

/// For so long refusals are gathered.
const PERIOD: Duration = Duration::from_millis(500);
/// How many different ones one batch has at most.
const BATCH: usize = 1000;
/// How long the database may take for one.
const DEADLINE: Duration = Duration::from_secs(5);

/// A record, and how many were like it.
struct Counted {
    record: NewAudit,
    count: u64,
}

/// Empties the queue until the controller stops.
pub(super) async fn run(state: State, mut queue: Receiver<NewAudit>, stop: CancellationToken) {
    let mut batch = Vec::new();
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            first = queue.recv() => match first {
                Some(first) => add(&mut batch, first),
                None => break,
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(PERIOD) => {}
        }
        gather(&mut batch, &mut queue);
        write(&state, &mut batch).await;
    }
    gather(&mut batch, &mut queue);
    write(&state, &mut batch).await;
}

fn gather(batch: &mut Vec<Counted>, queue: &mut Receiver<NewAudit>) {
    while batch.len() < BATCH
        && let Ok(record) = queue.try_recv()
    {
        add(batch, record);
    }
}

/// Who is refused often, is so in one record, with the request of the first.
fn add(batch: &mut Vec<Counted>, record: NewAudit) {
    let alike = |other: &&mut Counted| {
        let same = NewAudit {
            request_id: record.request_id.clone(),
            ..other.record.clone()
        };
        same == record
    };
    match batch.iter_mut().rev().take(16).find(alike) {
        Some(counted) => counted.count += 1,
        None => batch.push(Counted { record, count: 1 }),
    }
}

/// What cannot be written is lost, and counted.
async fn write(state: &State, batch: &mut Vec<Counted>) {
    let lost = state.refusals.take_lost();
    if batch.is_empty() && lost == 0 {
        return;
    }
    let refused: u64 = batch.iter().map(|counted| counted.count).sum();
    let mut records: Vec<_> = batch.drain(..).map(Counted::into_record).collect();
    records.extend((lost > 0).then(|| lost_record(lost)));
    let insert = async {
        let mut conn = state.pool.acquire().await?;
        audit_insert(&mut conn, &records).await
    };
    let failed = match timeout(DEADLINE, insert).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the database takes longer than {DEADLINE:?}"),
    };
    state.refusals.lose(refused + lost);
    tracing::warn!(error = failed, refused, "refusals are not in the audit log");
}

impl Counted {
    fn into_record(self) -> NewAudit {
        let Self { mut record, count } = self;
        if count > 1 {
            record.detail["count"] = json!(count);
        }
        record
    }
}

fn lost_record(count: u64) -> NewAudit {
    NewAudit {
        project_id: None,
        actor: None,
        action: "audit_lost".to_owned(),
        object: None,
        result: AuditResult::Failed,
        code: None,
        address: None,
        request_id: None,
        detail: json!({ "count": count }),
    }
}
