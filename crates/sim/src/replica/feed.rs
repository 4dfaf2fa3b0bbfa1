//! Asks what has changed, once for all watches of this controller, and tells each its difference.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use headworks_types::{
    CameraSource, NodeId, ProjectId, StartMode,
    edge::{DesiredSlot, IngestWork, SlotKey, ViewPolicy, WatchMessage, Work},
};
use uuid::Uuid;

use super::{Answer, Caller, Effect, Failed, Input, Peer, Query, Replica};
use crate::database::Assignment;

const PERIOD: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// Of `http/edge/watch.rs`.
const BOOKMARK: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(1);

/// The announcements and the watches.
#[derive(Debug, Default)]
pub(super) struct Feed {
    asking: bool,
    rung: bool,
    wait: u64,
    /// The revisions as announced; 0 until they were.
    announced: BTreeMap<NodeId, i64>,
    watches: BTreeMap<Peer, Watch>,
}

/// One connection; it sends the difference to what it has sent.
#[derive(Debug)]
struct Watch {
    node: NodeId,
    /// What the edge had at the beginning; none once that is answered.
    has: Option<i64>,
    heard: i64,
    changed: bool,
    revision: i64,
    sent: BTreeMap<SlotKey, i64>,
    /// It waits for the database.
    asking: bool,
    /// The revision that was read, while what is desired is.
    read: Option<i64>,
    /// Counts its waits.
    wait: u64,
}

impl Replica {
    pub(super) fn feed_turn(&mut self, wait: u64, out: &mut Vec<Effect>) {
        if self.feed.asking || wait != self.feed.wait {
            return;
        }
        self.feed.wait += 1;
        self.feed.asking = true;
        self.feed.rung = false;
        let watched: BTreeSet<_> = self.feed.watches.values().map(|watch| watch.node).collect();
        self.feed.announced.retain(|node, _| watched.contains(node));
        let query = Query::Revisions(watched.into_iter().collect());
        self.call(Caller::Feed, query, DEADLINE, out);
    }

    pub(super) fn feed_rung(&mut self, out: &mut Vec<Effect>) {
        if self.feed.asking {
            self.feed.rung = true;
        } else {
            let due = Input::FeedDue(self.feed.wait);
            out.push(Effect::After(PAUSE, due));
        }
    }

    pub(super) fn feed_answered(&mut self, answer: Result<Answer, Failed>, out: &mut Vec<Effect>) {
        self.feed.asking = false;
        let wait = if self.feed.rung { PAUSE } else { PERIOD };
        let due = Input::FeedDue(self.feed.wait);
        out.push(Effect::After(wait, due));
        let Ok(Answer::Revisions(revisions)) = answer else {
            return;
        };
        let watched: BTreeSet<_> = self.feed.watches.values().map(|watch| watch.node).collect();
        let announced = revisions.into_iter();
        self.feed
            .announced
            .extend(announced.filter(|(node, _)| watched.contains(node)));
        let peers: Vec<_> = self.feed.watches.keys().copied().collect();
        for peer in peers {
            self.watch_look(peer, out);
        }
    }

    pub(super) fn watch_begin(
        &mut self,
        peer: Peer,
        node: NodeId,
        has: i64,
        out: &mut Vec<Effect>,
    ) {
        let heard = *self.feed.announced.entry(node).or_insert(0);
        let watch = Watch {
            node,
            has: Some(has),
            heard,
            changed: false,
            revision: 0,
            sent: BTreeMap::new(),
            asking: true,
            read: None,
            wait: 0,
        };
        self.feed.watches.insert(peer, watch);
        self.call(Caller::Watch(peer), Query::Begin(node), DEADLINE, out);
    }

    pub(super) fn watch_end(&mut self, peer: Peer) {
        self.feed.watches.remove(&peer);
    }

    pub(super) fn watch_due(&mut self, peer: Peer, wait: u64, out: &mut Vec<Effect>) {
        let Some(watch) = self.feed.watches.get_mut(&peer) else {
            return;
        };
        if watch.asking || watch.wait != wait {
            return;
        }
        if !watch.changed {
            let bookmark = WatchMessage::Bookmark {
                revision: watch.revision,
                bundle_age: 0,
            };
            watch.line(peer, bookmark, out);
        }
        self.watch_look(peer, out);
    }

    /// Reads what is desired if another revision was announced.
    fn watch_look(&mut self, peer: Peer, out: &mut Vec<Effect>) {
        let Some(watch) = self.feed.watches.get_mut(&peer) else {
            return;
        };
        if watch.asking {
            return;
        }
        let announced = self.feed.announced.get(&watch.node).copied().unwrap_or(0);
        if std::mem::replace(&mut watch.heard, announced) != announced {
            watch.changed |= announced != watch.revision;
        }
        if watch.changed {
            watch.asking = true;
            watch.read = None;
            let query = Query::Revision(watch.node);
            self.call(Caller::Watch(peer), query, DEADLINE, out);
        }
    }

    pub(super) fn watch_answered(
        &mut self,
        peer: Peer,
        answer: Result<Answer, Failed>,
        out: &mut Vec<Effect>,
    ) {
        let Some(watch) = self.feed.watches.get_mut(&peer) else {
            return;
        };
        match answer {
            Ok(Answer::Begun {
                revision,
                desired,
                era_is_over,
            }) => {
                let has = watch.has.take().filter(|_| !era_is_over);
                watch.revision = revision;
                let (slots, _) = watch.difference(desired);
                let first = if has == Some(revision) {
                    WatchMessage::Bookmark {
                        revision,
                        bundle_age: 0,
                    }
                } else {
                    WatchMessage::Snapshot { revision, slots }
                };
                watch.line(peer, first, out);
            }
            Ok(Answer::Watched(_, desired)) if watch.read.is_some() => {
                watch.revision = watch.read.take().unwrap_or(0);
                watch.changed = false;
                let (upsert, remove) = watch.difference(desired);
                let delta = WatchMessage::Delta {
                    revision: watch.revision,
                    upsert,
                    remove,
                };
                watch.line(peer, delta, out);
            }
            Ok(Answer::Watched(revision, _)) => {
                watch.read = Some(revision);
                let query = Query::Desired(watch.node);
                self.call(Caller::Watch(peer), query, DEADLINE, out);
                return;
            }
            _ if watch.has.is_some() => {
                self.feed.watches.remove(&peer);
                out.push(Effect::EndWatch(peer));
                return;
            }
            // The delta is tried again.
            _ => {
                watch.asking = false;
                watch.wait += 1;
                out.push(Effect::After(RETRY, Input::WatchDue(peer, watch.wait)));
                return;
            }
        }
        self.watch_look(peer, out);
    }
}

impl Watch {
    fn line(&mut self, peer: Peer, message: WatchMessage, out: &mut Vec<Effect>) {
        self.asking = false;
        self.wait += 1;
        out.push(Effect::Line(peer, message));
        out.push(Effect::After(BOOKMARK, Input::WatchDue(peer, self.wait)));
    }

    /// What differs from what was sent; from now on it counts as sent.
    fn difference(&mut self, desired: Vec<Assignment>) -> (Vec<DesiredSlot>, Vec<SlotKey>) {
        let mut upsert = Vec::new();
        let mut gone: BTreeSet<SlotKey> = self.sent.keys().copied().collect();
        for (key, epoch) in desired {
            gone.remove(&key);
            if self.sent.insert(key, epoch) != Some(epoch) {
                upsert.push(slot(key, epoch));
            }
        }
        self.sent.retain(|key, _| !gone.contains(key));
        (upsert, gone.into_iter().collect())
    }
}

/// The assignment on the wire. What the work is does not matter here.
fn slot(key: SlotKey, epoch: i64) -> DesiredSlot {
    DesiredSlot {
        key,
        epoch,
        project_id: ProjectId::from(Uuid::nil()),
        camera_name: String::new(),
        view: ViewPolicy::default(),
        work: Work::Ingest(IngestWork {
            source: CameraSource::Publish,
            credentials: None,
            start: StartMode::Always,
            exclusive: false,
            stream_keys: Vec::new(),
            outbound_allow: Vec::new(),
        }),
    }
}
