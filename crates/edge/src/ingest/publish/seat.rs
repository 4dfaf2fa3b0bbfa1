//! The one place of a camera's publisher.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use headworks_bootstrap::Clock;
use headworks_types::{
    CameraId, OnConflict, PublishProtocol, Publisher, RefusedPublisher, StreamKeyId,
    edge::{AuditAction, SlotState, StreamKeyDigest},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{Candidate, Denied, find};
use crate::{
    audit::{Audit, Guest, Known},
    ingest::{Feed, Job},
};

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
    /// Who was turned away last.
    refused: Option<RefusedPublisher>,
    /// The slot is gone: what comes back is dropped.
    retired: bool,
}

/// Who publishes.
struct Holder {
    publisher: Publisher,
    standing: watch::Sender<Standing>,
}

/// How long a publisher may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    /// Its key is good until then.
    expires_at: Option<DateTime<Utc>>,
    /// Why it has to go at once.
    ended: Option<Ended>,
}

/// Why a publisher has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ended {
    #[error("another publisher took over")]
    TakenOver,
    #[error("the stream key was revoked")]
    Revoked,
    #[error("the stream key has expired")]
    Expired,
    #[error("this edge does not take this camera any more")]
    Closed,
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

    /// What is published has changed. A publisher whose key is not good any more has to go, one
    /// whose key was rotated when the old key expires.
    pub(in crate::ingest) fn update(&self, job: Arc<Job>) {
        self.change(|state| {
            if let Some(holder) = &state.holder {
                let mut keys = job.work.stream_keys.iter();
                match keys.find(|key| key.id == holder.publisher.stream_key_id) {
                    Some(key) => holder.expires(key.expires_at),
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

    fn note_refused(&self, address: SocketAddr, reason: &str) {
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
                Ok(Some(publication)) => return Ok(publication),
                Ok(None) => (Denied::Taken, HAND_OVER),
                Err(Denied::WrongKey) => (Denied::WrongKey, KEY_NEWS),
                Err(denied) => return Err(denied),
            };
            let change = timeout_at(start + patience, changes.changed());
            if change.await.is_err() {
                return Err(denied);
            }
        }
    }

    /// `None`: the place is taken, but its holder was told to go.
    fn try_admit(
        self: &Arc<Self>,
        candidate: &Candidate<'_>,
    ) -> Result<Option<Publication>, Denied> {
        let mut state = self.lock();
        let job = state.job.clone().ok_or(Denied::UnknownCamera)?;
        let key = self.check(&job, candidate.key)?;
        let Some(mut feed) = state.feed.take() else {
            return match (key.on_conflict, &state.holder) {
                (OnConflict::Takeover, Some(holder)) => {
                    holder.end(Ended::TakenOver);
                    Ok(None)
                }
                _ => Err(Denied::Taken),
            };
        };
        let (standing, receiver) = watch::channel(Standing {
            expires_at: key.expires_at,
            ended: None,
        });
        state.holder = Some(Holder {
            publisher: Publisher {
                protocol: candidate.protocol,
                address: candidate.address,
                stream_key_id: key.id,
                since: self.clock.now(),
            },
            standing,
        });
        state.left = None;
        drop(state);
        let origin = origin(candidate.protocol, candidate.address);
        feed.set_status(SlotState::Connecting, &origin);
        feed.begin(origin);
        Ok(Some(Publication {
            feed: Some(feed),
            key: key.id,
            address: candidate.address,
            standing: receiver,
            last_words: String::new(),
            seat: Arc::clone(self),
            recorded: None,
        }))
    }

    fn check<'a>(&self, job: &'a Job, key: &str) -> Result<&'a StreamKeyDigest, Denied> {
        if key.is_empty() {
            return Err(Denied::NoKey);
        }
        let known = find(&job.work.stream_keys, key).ok_or(Denied::WrongKey)?;
        match known.expires_at {
            Some(end) if end <= self.clock.now() => Err(Denied::Expired),
            _ => Ok(known),
        }
    }

    fn give_back(&self, feed: Feed, last_words: &str) {
        let message = match last_words {
            "" => WAITS.to_owned(),
            words => format!("{WAITS}; the last one left: {words}"),
        };
        let now = self.clock.monotonic();
        let surplus = self.change(|state| {
            state.holder = None;
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

impl Holder {
    /// Tells it to go; the first reason counts.
    fn end(&self, why: Ended) {
        self.standing.send_if_modified(|standing| {
            let first = standing.ended.is_none();
            standing.ended.get_or_insert(why);
            first
        });
    }

    /// From now on its key is good until then.
    fn expires(&self, at: Option<DateTime<Utc>>) {
        self.standing.send_if_modified(|standing| {
            let is_other = standing.expires_at != at;
            standing.expires_at = at;
            is_other
        });
    }
}

/// By what and from where, for people.
fn origin(protocol: PublishProtocol, address: SocketAddr) -> String {
    let protocol = protocol.as_str().to_uppercase();
    format!("{protocol} from {}", address.ip().to_canonical())
}

/// The right to publish one camera, for as long as it lives.
pub(crate) struct Publication {
    feed: Option<Feed>,
    key: StreamKeyId,
    address: SocketAddr,
    standing: watch::Receiver<Standing>,
    last_words: String,
    seat: Arc<Seat>,
    /// Who has to hear of its end.
    recorded: Option<Recorded>,
}

/// A publication that the audit log knows.
struct Recorded {
    audit: Audit,
    camera: CameraId,
    protocol: &'static str,
}

impl Publication {
    /// Where its media goes.
    pub(crate) fn feed(&mut self) -> &mut Feed {
        self.feed
            .as_mut()
            .expect("it is taken out only when the publication is dropped")
    }

    /// The key that let it in.
    pub(crate) fn key(&self) -> StreamKeyId {
        self.key
    }

    /// Tells the audit log that it has begun, and later that it has ended.
    pub(in crate::ingest) fn record(
        &mut self,
        audit: &Audit,
        camera: CameraId,
        guest: Guest<'static>,
    ) {
        let recorded = Recorded {
            audit: audit.clone(),
            camera,
            protocol: guest.protocol,
        };
        self.tell(&recorded, |audit, known| {
            audit.admitted(AuditAction::PublishStart, known);
        });
        self.recorded = Some(recorded);
    }

    fn tell(&self, recorded: &Recorded, tell: impl FnOnce(&Audit, &Known<'_>)) {
        let known = Known {
            guest: Guest {
                protocol: recorded.protocol,
                address: self.address.ip(),
            },
            camera: recorded.camera,
            subject: &self.key.to_string(),
            viewer_id: None,
            session_id: None,
        };
        tell(&recorded.audit, &known);
    }

    /// Returns when it has to go, and why.
    pub(crate) async fn ended(&self) -> Ended {
        let mut standing = self.standing.clone();
        loop {
            let Standing { expires_at, ended } = *standing.borrow_and_update();
            if let Some(why) = ended {
                return why;
            }
            let expiry = async {
                match expires_at {
                    Some(end) => {
                        let left = end - self.seat.clock.now();
                        sleep(left.to_std().unwrap_or_default()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = standing.changed() => if changed.is_err() {
                    // Without its seat it has nothing to publish to.
                    return Ended::Closed;
                },
                () = expiry => return Ended::Expired,
            }
        }
    }

    /// Ends it, and says why in the camera's status.
    pub(crate) fn leave(mut self, why: &str) {
        why.clone_into(&mut self.last_words);
    }

    /// Ends it, since what it sends is of no use.
    pub(crate) fn refuse(self, reason: &str) {
        self.seat.note_refused(self.address, reason);
        self.leave(reason);
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if let Some(mut feed) = self.feed.take() {
            feed.flush();
            self.seat.give_back(feed, &self.last_words);
        }
        if let Some(recorded) = &self.recorded {
            self.tell(recorded, |audit, known| {
                audit.left(AuditAction::PublishEnd, known, None, &self.last_words);
            });
        }
    }
}
