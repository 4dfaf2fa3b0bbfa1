//! Writes refusals into the audit log, in batches. Those that are alike become one record with a
//! count, so that who knocks a thousand times a second does not fill the log. Strangers have a few
//! different ones for each network, however many addresses they have in it.
//!
//! Not a reconciler: it empties the queue that answers leave refusals in. At the controller's end
//! it writes what is there, then stops.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

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
/// How many different ones a batch has of strangers from one network; the others are one more.
const OF_NETWORK: usize = 8;
/// From how many networks a batch has those of strangers; all others are one more.
const NETWORKS: usize = 64;
/// What strangers wanted who wanted too much to tell it all.
const ANYTHING: &str = "anything";
/// How long the database may take for one.
const DEADLINE: Duration = Duration::from_secs(5);

/// A record, and how many were like it.
struct Counted {
    record: NewAudit,
    count: u64,
}

/// What is alike.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    actor: Option<String>,
    action: String,
    object: Option<String>,
    code: Option<String>,
    /// Of a stranger only its network.
    address: Option<IpAddr>,
}

/// Records to be written together.
#[derive(Default)]
struct Batch {
    records: Vec<Counted>,
    /// Where in the records what is alike is.
    places: HashMap<Key, usize>,
    /// How many different ones there are of strangers, by network.
    strangers: HashMap<Option<IpAddr>, usize>,
}

/// Empties the queue until the controller stops.
pub(super) async fn run(state: State, mut queue: Receiver<NewAudit>, stop: CancellationToken) {
    let mut batch = Batch::default();
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            first = queue.recv() => match first {
                Some(first) => batch.add(first),
                None => break,
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = gather(&mut batch, &mut queue) => {}
            () = sleep(PERIOD) => {}
        }
        write(&state, std::mem::take(&mut batch)).await;
    }
    while let Ok(record) = queue.try_recv() {
        batch.add(record);
    }
    write(&state, batch).await;
}

/// Empties the queue all the time, so that it has room, until the batch is full.
async fn gather(batch: &mut Batch, queue: &mut Receiver<NewAudit>) {
    while batch.records.len() < BATCH
        && let Some(record) = queue.recv().await
    {
        batch.add(record);
    }
}

impl Batch {
    /// Who is refused often, is so in one record, with the request of the first.
    fn add(&mut self, mut record: NewAudit) {
        let mut key = Key::of(&record);
        if record.actor.is_none() && !self.places.contains_key(&key) {
            self.restrain(&mut record, key.address);
            key = Key::of(&record);
        }
        let known = self.places.get(&key).copied();
        match known.and_then(|place| self.records.get_mut(place)) {
            Some(counted) => counted.count += 1,
            None => {
                self.places.insert(key, self.records.len());
                self.records.push(Counted { record, count: 1 });
            }
        }
    }

    /// Makes a stranger's record like others where there are many.
    fn restrain(&mut self, record: &mut NewAudit, network: Option<IpAddr>) {
        let networks = self.strangers.len();
        match self.strangers.get_mut(&network) {
            Some(different) if *different < OF_NETWORK => *different += 1,
            None if networks < NETWORKS => {
                self.strangers.insert(network, 1);
            }
            there => {
                record.address = record.address.filter(|_| there.is_some());
                ANYTHING.clone_into(&mut record.action);
            }
        }
    }
}

impl Key {
    fn of(record: &NewAudit) -> Self {
        let is_stranger = record.actor.is_none();
        Self {
            actor: record.actor.clone(),
            action: record.action.clone(),
            object: record.object.clone(),
            code: record.code.clone(),
            address: match record.address {
                Some(address) if is_stranger => Some(network(address)),
                address => address,
            },
        }
    }
}

/// What one customer of a provider has: of IPv6, a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

/// What cannot be written is lost, and counted.
async fn write(state: &State, batch: Batch) {
    let lost = state.refusals.take_lost();
    let batch = batch.records;
    if batch.is_empty() && lost == 0 {
        return;
    }
    let refused: u64 = batch.iter().map(|counted| counted.count).sum();
    let mut records: Vec<_> = batch.into_iter().map(Counted::into_record).collect();
    records.extend((lost > 0).then(|| lost_record(lost)));
    let insert = async {
        let mut tx = state.pool.begin().await?;
        audit_insert(&mut tx, &records).await?;
        tx.commit().await
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(actor: Option<&str>, action: &str, address: &str) -> NewAudit {
        NewAudit {
            actor: actor.map(str::to_owned),
            action: action.to_owned(),
            result: AuditResult::Refused,
            address: Some(address.parse().expect("is an address")),
            ..lost_record(1)
        }
    }

    /// How many records there are, and how many refusals in them.
    fn size(batch: &Batch) -> (usize, u64) {
        let count = batch.records.iter().map(|counted| counted.count).sum();
        (batch.records.len(), count)
    }

    #[test]
    fn strangers_fill_no_batch() {
        let mut batch = Batch::default();
        for action in 0..100 {
            for host in 0..100 {
                let address = format!("2001:db8::{host:x}");
                batch.add(refused(None, &format!("action_{action}"), &address));
            }
        }
        assert_eq!(size(&batch), (OF_NETWORK + 1, 10_000), "of one network");
        for network in 0..1000 {
            let address = format!("10.{}.{}.1", network / 250, network % 250);
            batch.add(refused(None, "camera_view", &address));
        }
        assert_eq!(size(&batch), (OF_NETWORK + 1 + NETWORKS, 11_000));
        let last = &batch.records[OF_NETWORK + NETWORKS];
        assert_eq!(
            (last.record.action.as_str(), last.record.address),
            (ANYTHING, None)
        );
    }

    #[test]
    fn of_those_who_are_known_everything_is_told() {
        let mut batch = Batch::default();
        for _ in 0..3 {
            for action in 0..100 {
                let action = format!("action_{action}");
                batch.add(refused(Some("key_1"), &action, "2001:db8::1"));
                batch.add(refused(Some("key_1"), &action, "2001:db8::2"));
            }
        }
        assert_eq!(size(&batch), (200, 600));
    }
}
