//! The directory as this replica has read it, once for all watches, and the lines that tell of it.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use bytes::Bytes;
use headworks_types::{
    CameraId, NodeId, ProjectId,
    edge::{DirectoryUpdate, Peer, Route, ViewPolicy, WatchMessage},
};

use super::{super::line, cursor::Cursor};
use crate::db::directory::{Changes, Horizon};

/// How many entries one line has at most, so that what is more urgent comes in between.
const CHUNK: usize = 1000;
/// A server that crashes may number transactions again that left nothing behind; so many is more
/// than it starts before it has written to its disk. What they have changed is told twice.
pub(crate) const SLACK: u64 = 1024;

/// Everything, and since when each entry is as it is.
pub(super) struct Known {
    horizon: Horizon,
    stage: Stage,
    /// The last transaction that has changed something.
    newest: u64,
    /// The last version that came with something which is forgotten by now.
    forgotten: u64,
    peers: HashMap<NodeId, Entry<Peer>>,
    routes: HashMap<CameraId, Entry<Place>>,
    /// Whole groups of cameras have the same.
    views: HashSet<Arc<ViewPolicy>>,
}

/// One of it; `None` if it was removed.
struct Entry<T> {
    now: Option<T>,
    /// The last transaction that has changed it; 0 if that is forgotten.
    changed: u64,
    /// The version that it came with.
    version: u64,
}

/// A [`Route`], without what it shares and its own id.
#[derive(PartialEq, Eq)]
struct Place {
    project_id: ProjectId,
    camera_name: Box<str>,
    origin: Option<NodeId>,
    epoch: i64,
    view: Arc<ViewPolicy>,
}

/// How far this replica is. A stage of another life has nothing to do with those of before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Stage {
    /// Rises when everything is read anew.
    pub(super) life: u64,
    /// Rises with each change of what is known.
    pub(super) version: u64,
}

/// From where on somebody has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum From {
    /// Knows nothing.
    Nothing,
    /// Was told so far, by whatever replica.
    Claim(Cursor),
    /// Was told this by this replica.
    Stage(Stage),
}

/// Lines that belong together.
#[derive(Default)]
pub(super) struct Told {
    pub(super) lines: Vec<Bytes>,
    /// Where they lead to.
    pub(super) stage: Stage,
}

impl Known {
    /// What was read whole.
    pub(super) fn new(life: u64, horizon: Horizon, changes: Changes) -> Self {
        let mut known = Self {
            horizon,
            stage: Stage { life, version: 1 },
            newest: 0,
            forgotten: 0,
            peers: HashMap::with_capacity(changes.peers.len()),
            routes: HashMap::with_capacity(changes.routes.len()),
            views: HashSet::new(),
        };
        let nodes = changes.peers.iter().map(|peer| (peer.id, 0));
        let cameras = changes.routes.iter().map(|route| (route.camera_id, 0));
        let all = Changes {
            nodes: nodes.chain(changes.nodes).collect(),
            cameras: cameras.chain(changes.cameras).collect(),
            ..changes
        };
        known.take(all);
        known
    }

    pub(super) fn horizon(&self) -> Horizon {
        self.horizon
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// True if somebody was told more than this replica knows, or in another history.
    pub(super) fn is_behind(&self, cursor: Cursor) -> bool {
        cursor.line != self.horizon.line || cursor.xact > self.horizon.xact
    }

    /// The same, or nothing if it cannot be gone on from.
    pub(super) fn judge(&self, from: From) -> From {
        let good = match from {
            From::Nothing => true,
            From::Claim(cursor) => self.horizon.reaches(cursor.line, cursor.xact),
            From::Stage(stage) => stage.life == self.stage.life && stage.version >= self.forgotten,
        };
        if good { from } else { From::Nothing }
    }

    /// Takes a later read. The version rises if there is something to tell: also that nothing of
    /// what was told is unsettled any more, so that cursors do not fall below the floor while
    /// nothing happens.
    pub(super) fn update(&mut self, horizon: Horizon, changes: Changes) {
        let was_settled = self.is_settled();
        let floor = self.horizon.floor;
        self.horizon = horizon;
        self.stage.version += 1;
        let has_news = self.take(changes);
        if !has_news && (was_settled || !self.is_settled()) {
            self.stage.version -= 1;
        }
        if horizon.floor > floor {
            self.forget();
        }
    }

    /// True if everything is older than the horizon.
    fn is_settled(&self) -> bool {
        self.newest < self.horizon.xact
    }

    /// True if there is something new.
    fn take(&mut self, changes: Changes) -> bool {
        let newest = changes.nodes.values().chain(changes.cameras.values()).max();
        self.newest = self.newest.max(newest.copied().unwrap_or_default());
        let mut has_news = false;
        let mut peers: HashMap<_, _> = changes.peers.into_iter().map(|p| (p.id, p)).collect();
        for (node, xact) in changes.nodes {
            has_news |= put(
                &mut self.peers,
                node,
                peers.remove(&node),
                xact,
                self.stage.version,
            );
        }
        let routes = changes.routes.into_iter();
        let mut routes: HashMap<_, _> = routes.map(|route| (route.camera_id, route)).collect();
        for (camera, xact) in changes.cameras {
            let place = routes.remove(&camera).map(|route| self.place(route));
            has_news |= put(&mut self.routes, camera, place, xact, self.stage.version);
        }
        has_news
    }

    fn place(&mut self, route: Route) -> Place {
        let view = match self.views.get(&route.view) {
            Some(view) => Arc::clone(view),
            None => {
                let view = Arc::new(route.view);
                self.views.insert(Arc::clone(&view));
                view
            }
        };
        Place {
            project_id: route.project_id,
            camera_name: route.camera_name.into(),
            origin: route.origin,
            epoch: route.epoch,
            view,
        }
    }

    /// Nobody is told any more of what was removed so long ago. Who has not heard of it by now has
    /// to be told everything.
    fn forget(&mut self) {
        let floor = self.horizon.floor;
        let of_peers = forget(&mut self.peers, floor);
        let of_routes = forget(&mut self.routes, floor);
        self.forgotten = self.forgotten.max(of_peers).max(of_routes);
        self.views.retain(|view| Arc::strong_count(view) > 1);
    }

    /// What somebody has to be told; at least one line.
    pub(super) fn tell(&self, from: From) -> serde_json::Result<Told> {
        let from = self.judge(from);
        let mut lines = Lines::new(self.horizon.into(), from == From::Nothing);
        for (id, peer) in wanted(&self.peers, from) {
            match &peer.now {
                Some(peer) => lines.update.peers.push(peer.clone()),
                None => lines.update.removed_peers.push(id),
            }
            lines.count()?;
        }
        for (id, place) in wanted(&self.routes, from) {
            match &place.now {
                Some(place) => lines.update.routes.push(place.route(id)),
                None => lines.update.removed_routes.push(id),
            }
            lines.count()?;
        }
        Ok(Told {
            lines: lines.finish()?,
            stage: self.stage,
        })
    }
}

/// Writes how the entry is now; false if that was known. A change that came back to what it was
/// before is news: another replica may have told the one in between.
fn put<Id: Eq + Hash, T: PartialEq>(
    entries: &mut HashMap<Id, Entry<T>>,
    id: Id,
    now: Option<T>,
    changed: u64,
    version: u64,
) -> bool {
    let before = entries.get(&id);
    if before.is_some_and(|before| before.changed >= changed && before.now == now) {
        return false;
    }
    let changed = before.map_or(changed, |before| before.changed.max(changed));
    let entry = Entry {
        now,
        changed,
        version,
    };
    entries.insert(id, entry);
    true
}

/// Forgets what was removed by this transaction or before; returns the last version that some of it
/// came with.
fn forget<Id: Eq + Hash, T>(entries: &mut HashMap<Id, Entry<T>>, floor: u64) -> u64 {
    let old = entries.extract_if(|_, entry| entry.now.is_none() && entry.changed <= floor);
    old.map(|(_, entry)| entry.version)
        .max()
        .unwrap_or_default()
}

/// Those of the entries that somebody has to be told.
fn wanted<Id: Copy, T>(
    entries: &HashMap<Id, Entry<T>>,
    from: From,
) -> impl Iterator<Item = (Id, &Entry<T>)> {
    let entries = entries.iter().map(|(id, entry)| (*id, entry));
    entries.filter(move |(_, entry)| match from {
        From::Nothing => entry.now.is_some(),
        From::Claim(cursor) => entry.changed >= cursor.xact.saturating_sub(SLACK).max(1),
        From::Stage(stage) => entry.version > stage.version,
    })
}

impl Place {
    fn route(&self, camera_id: CameraId) -> Route {
        Route {
            camera_id,
            project_id: self.project_id,
            camera_name: self.camera_name.clone().into(),
            origin: self.origin,
            epoch: self.epoch,
            view: (*self.view).clone(),
        }
    }
}

/// Lines in the making.
struct Lines {
    done: Vec<Bytes>,
    /// How many entries `update` has.
    count: usize,
    update: DirectoryUpdate,
}

impl Lines {
    fn new(cursor: Cursor, complete: bool) -> Self {
        let update = DirectoryUpdate {
            cursor: cursor.number(),
            complete,
            ..DirectoryUpdate::default()
        };
        Self {
            done: Vec::new(),
            count: 0,
            update,
        }
    }

    /// Counts an entry that was added.
    fn count(&mut self) -> serde_json::Result<()> {
        self.count += 1;
        if self.count < CHUNK {
            return Ok(());
        }
        let next = DirectoryUpdate {
            cursor: self.update.cursor,
            complete: self.update.complete,
            ..DirectoryUpdate::default()
        };
        let mut full = std::mem::replace(&mut self.update, next);
        full.more = true;
        self.count = 0;
        self.done.push(line(&WatchMessage::Directory(full))?);
        Ok(())
    }

    fn finish(mut self) -> serde_json::Result<Vec<Bytes>> {
        self.done.push(line(&WatchMessage::Directory(self.update))?);
        Ok(self.done)
    }
}
