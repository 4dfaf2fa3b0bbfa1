//! The one place of a camera's publisher.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headworks_bootstrap::Clock;
use headworks_types::{
    OnConflict, PublishProtocol, Publisher, RefusedPublisher,
    edge::{SlotState, StreamKeyDigest},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Candidate, Denied, find,
    meter::Meter,
    publication::{Ended, Publication, Standing},
    uses::Uses,
};
use crate::ingest::{Feed, Job};

/// How long a publisher that takes over waits for the one before to leave.
const HAND_OVER: Duration = Duration::from_secs(5);

/// How long news of a key may need from the API to here. Who is told a key uses it at once.
const KEY_NEWS: Duration = Duration::from_secs(1);

const WAITS: &str = "waits for its publisher";

/// The place of one camera's publisher, shared by the slot's worker and its publishers.
pub(in crate::ingest) struct Seat {
    state: Mutex<State>,
    /// Rises with each change of the state.
    changes: watch::Sender<u64>,
    clock: Clock,
}

#[derive(Default)]
struct State {
    /// What is published; `None` while the camera takes no publishers.
    job: Option<Arc<Job>>,
    /// There while nobody publishes.
    feed: Option<Feed>,
    /// Since when it is there; `None` once what is buffered has been forgotten.
    left: Option<Instant>,
    holder: Option<Holder>,
    /// Who has published.
    uses: Uses,
    /// Who was turned away last.
    refused: Option<RefusedPublisher>,
    /// The slot is gone: what comes back is dropped.
    retired: bool,
}

/// Why somebody is not let in.
enum Refused {
    /// Waiting would not help.
    Finally(Denied),
    /// Something may change within this time.
    Unless(Denied, Duration),
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::Finally(denied)
    }
}

/// Who publishes.
struct Holder {
    publisher: Publisher,
    standing: watch::Sender<Standing>,
}

impl Seat {
    pub(in crate::ingest) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changes: watch::Sender::default(),
            clock,
        })
    }

    /// From now on the camera takes publishers.
    pub(in crate::ingest) fn open(&self, feed: Feed, job: Arc<Job>) {
        feed.set_status(SlotState::Idle, WAITS);
        self.change(|state| {
            state.job = Some(job);
            state.feed = Some(feed);
            state.left = None;
        });
    }

    /// What is published has changed. A publisher whose key is not good for it any more has to go,
    /// one whose key was rotated when the old key expires.
    pub(in crate::ingest) fn update(&self, job: Arc<Job>) {
        self.change(|state| {
            if let Some(holder) = &state.holder {
                let mut keys = job.work.stream_keys.iter();
                match keys.find(|key| key.id == holder.publisher.stream_key_id) {
                    Some(key) => holder.judge(key),
                    None => holder.end(Ended::Revoked),
                }
            }
            if let Some(feed) = &mut state.feed {
                feed.rename(&job.camera_name);
            }
            state.job = Some(job);
        });
    }

    /// Takes no publishers any more, and waits for the feed. The publisher that is there has to go.
    pub(in crate::ingest) async fn close(&self) -> Feed {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let back = self.change(|state| {
                state.job = None;
                if let Some(holder) = &state.holder {
                    holder.end(Ended::Closed);
                }
                state.feed.take()
            });
            if let Some(feed) = back {
                return feed;
            }
            // The sender lives as long as the seat.
            let _ = changes.changed().await;
        }
    }

    /// The slot is gone.
    pub(in crate::ingest) fn retire(&self) {
        let feed = self.change(|state| {
            state.retired = true;
            state.job = None;
            if let Some(holder) = &state.holder {
                holder.end(Ended::Closed);
            }
            state.feed.take()
        });
        drop(feed);
    }

    /// Whenever nobody has published for `grace`, forgets what is buffered: a viewer who comes then
    /// shall wait for a picture and not see an old one. Runs for ever.
    pub(in crate::ingest) async fn forget_old(&self, grace: Duration) {
        let mut changes = self.changes.subscribe();
        loop {
            let left = self.lock().left;
            let due = async {
                match left {
                    Some(left) => sleep_until(left + grace).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = changes.changed() => {}
                () = due => self.change(|state| {
                    if state.left == left
                        && let Some(feed) = &mut state.feed
                    {
                        feed.clear();
                        feed.set_status(SlotState::Idle, WAITS);
                        state.left = None;
                    }
                }),
            }
        }
    }

    /// Who publishes now.
    pub(in crate::ingest) fn publisher(&self) -> Option<Publisher> {
        let state = self.lock();
        Some(state.holder.as_ref()?.publisher.clone())
    }

    /// Who was turned away last.
    pub(in crate::ingest) fn refused(&self) -> Option<RefusedPublisher> {
        self.lock().refused.clone()
    }

    /// Who published with each key last.
    pub(in crate::ingest) fn published(&self) -> Vec<Publisher> {
        self.lock().uses.publishers()
    }

    /// The time of its publishers.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn note_refused(&self, address: SocketAddr, reason: &str) {
        self.lock().refused = Some(RefusedPublisher {
            at: self.clock.now(),
            address,
            reason: reason.to_owned(),
        });
    }

    /// Lets a publisher in whose key is good. One that takes over waits a moment for the other, and
    /// one whose key is unknown for news of it.
    pub(in crate::ingest) async fn admit(
        self: &Arc<Self>,
        candidate: &Candidate<'_>,
    ) -> Result<Publication, Denied> {
        let admitted = self.wait_for_place(candidate).await;
        if let Err(denied) = &admitted {
            self.note_refused(candidate.address, denied.reason());
        }
        admitted
    }

    async fn wait_for_place(
        self: &Arc<Self>,
        candidate: &Candidate<'_>,
    ) -> Result<Publication, Denied> {
        let mut changes = self.changes.subscribe();
        let start = self.clock.monotonic();
        loop {
            changes.mark_unchanged();
            let (denied, patience) = match self.try_admit(candidate) {
                Ok(publication) => return Ok(publication),
                Err(Refused::Finally(denied)) => return Err(denied),
                Err(Refused::Unless(denied, patience)) => (denied, patience),
            };
            let change = timeout_at(start + patience, changes.changed());
            if change.await.is_err() {
                return Err(denied);
            }
        }
    }

    fn try_admit(self: &Arc<Self>, candidate: &Candidate<'_>) -> Result<Publication, Refused> {
        let mut state = self.lock();
        let job = state.job.clone().ok_or(Denied::UnknownCamera)?;
        let key = self.check(&job, candidate)?;
        if state.is_too_fast(key, self.clock.monotonic()) {
            return Err(Denied::TooFast(key.id).into());
        }
        let Some(mut feed) = state.feed.take() else {
            return Err(state.contend(key));
        };
        let publisher = Publisher {
            protocol: candidate.protocol,
            address: candidate.address,
            stream_key_id: key.id,
            since: self.clock.now(),
        };
        let (standing, receiver) = watch::channel(Standing::of(key));
        let meter = state.uses.begin(publisher.clone());
        state.holder = Some(Holder {
            publisher: publisher.clone(),
            standing,
        });
        state.left = None;
        drop(state);
        let origin = origin(candidate.protocol, candidate.address);
        feed.set_status(SlotState::Connecting, &origin);
        feed.begin(origin);
        let seat = Arc::clone(self);
        Ok(Publication::new(feed, publisher, receiver, meter, seat))
    }

    fn check<'a>(
        &self,
        job: &'a Job,
        candidate: &Candidate<'_>,
    ) -> Result<&'a StreamKeyDigest, Refused> {
        if candidate.key.is_empty() {
            return Err(Denied::NoKey.into());
        }
        let known = find(&job.work.stream_keys, candidate.key);
        let known = known.ok_or(Refused::Unless(Denied::WrongKey, KEY_NEWS))?;
        // Whoever is at the wrong place learns nothing of a true key, not even by the time it takes.
        if !known.bounds.allow_address(candidate.address.ip()) {
            return Err(Refused::Unless(Denied::Network(known.id), KEY_NEWS));
        }
        if !known.bounds.allow_protocol(candidate.protocol) {
            return Err(Refused::Unless(Denied::Protocol(known.id), KEY_NEWS));
        }
        match known.expires_at {
            Some(end) if end <= self.clock.now() => Err(Denied::Expired(known.id).into()),
            _ => Ok(known),
        }
    }

    /// The publisher has left.
    pub(super) fn give_back(&self, feed: Feed, last_words: &str, meter: Meter) {
        let message = match last_words {
            "" => WAITS.to_owned(),
            words => format!("{WAITS}; the last one left: {words}"),
        };
        let now = self.clock.monotonic();
        let surplus = self.change(|state| {
            if let Some(holder) = state.holder.take() {
                state.uses.end(holder.publisher.stream_key_id, meter);
            }
            if state.retired {
                return Some(feed);
            }
            feed.set_status(SlotState::Idle, &message);
            state.left = Some(now);
            state.feed.replace(feed)
        });
        drop(surplus);
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// True if the key's last publisher has just sent more than it may.
    fn is_too_fast(&mut self, key: &StreamKeyDigest, now: Instant) -> bool {
        let meter = self.uses.meter(key.id);
        key.bounds
            .max_bitrate_kbit
            .zip(meter)
            .is_some_and(|(most, meter)| meter.is_over(most, now))
    }

    /// The place is taken: who has it is told to go, if the key takes over.
    fn contend(&self, key: &StreamKeyDigest) -> Refused {
        match (key.on_conflict, &self.holder) {
            (OnConflict::Takeover, Some(holder)) => {
                holder.end(Ended::TakenOver);
                Refused::Unless(Denied::Taken(key.id), HAND_OVER)
            }
            _ => Denied::Taken(key.id).into(),
        }
    }
}

impl Holder {
    /// Its key is this one now.
    fn judge(&self, key: &StreamKeyDigest) {
        let Publisher {
            address, protocol, ..
        } = self.publisher;
        if key.bounds.allow_address(address.ip()) && key.bounds.allow_protocol(protocol) {
            self.stand(Standing::of(key));
        } else {
            self.end(Ended::Narrowed);
        }
    }

    /// Tells it to go; the first reason counts.
    fn end(&self, why: Ended) {
        self.standing.send_if_modified(|standing| {
            let first = standing.ended.is_none();
            standing.ended.get_or_insert(why);
            first
        });
    }

    /// From now on it may stay so.
    fn stand(&self, mut new: Standing) {
        self.standing.send_if_modified(|standing| {
            new.ended = standing.ended;
            let is_other = *standing != new;
            *standing = new;
            is_other
        });
    }
}

/// By what and from where, for people.
fn origin(protocol: PublishProtocol, address: SocketAddr) -> String {
    let protocol = protocol.as_str().to_uppercase();
    format!("{protocol} from {}", address.ip().to_canonical())
}
