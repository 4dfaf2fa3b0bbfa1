//! Everybody who watches on this edge, by whatever protocol.
//!
//! [`Access`](crate::access::Access) enters a viewer here when it has accepted a token or a ticket.
//! A [`Session`] goes with the viewer: into the hub with its socket, or, for HLS, into the stream's
//! own list. When the last clone is dropped, the viewer has gone. [`Sessions::end_where`] closes
//! viewers: whoever has one hears of it at once ([`Session::over`], [`Session::on_over`]) and says
//! so in the words of its protocol.
//!
//! Limits count here: per token, per camera and for the whole edge. The audit log hears from here who
//! has watched.

mod ended;
mod record;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use headworks_bootstrap::Clock;
use headworks_types::{
    CameraId, PlaybackClaims, ProjectId, SessionId, ViewProtocol, edge::SessionOpened,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::audit::{Audit, Guest};
use ended::Ended;

/// What a token says of the session that it opens; also what a ticket carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Drawn when the token was accepted; of HLS always the same for the same viewer.
    pub(crate) id: SessionId,
    /// What is watched.
    pub(crate) camera: CameraId,
    /// Who watches: `usr_…`, `key_…` or `pkey_…`.
    pub(crate) subject: String,
    /// Who issued the token, where that is not who watches: `usr_…` or `key_…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) issuer: Option<String>,
    /// The issuer's own name for who watches.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) viewer: Option<String>,
    /// The camera may be heard, too.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(crate) sound: bool,
    /// The token's `jti`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) token: Option<String>,
    /// The token's `kid`.
    pub(crate) key: String,
    /// How many sessions the token may have at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) max: Option<u32>,
    /// From where it was opened: its ticket is good only there.
    pub(crate) place: IpAddr,
    /// From where it may be watched.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) network: Option<IpNet>,
    /// From which pages it may be watched.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) origin: Option<String>,
    /// When the token was issued, seconds since 1970.
    pub(crate) issued: i64,
    /// When the session must end, seconds since 1970.
    pub(crate) until: i64,
}

impl About {
    /// When the session must end.
    pub(crate) fn watch_until(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.until, 0).unwrap_or_default()
    }
}

/// Who comes, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) protocol: ViewProtocol,
    pub(crate) address: IpAddr,
    /// The web page's origin, in HTTP.
    pub(crate) origin: Option<String>,
}

impl From<&Client> for Guest<'static> {
    fn from(client: &Client) -> Self {
        Self {
            protocol: client.protocol.as_str(),
            address: client.address,
        }
    }
}

/// Why a session is ended before its viewer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// It, or what it was opened with, was revoked.
    Revoked,
    /// The camera is watched only while the edge knows who may not, and that is too long ago.
    Stale,
    /// Its time to watch has passed.
    Time,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Revoked => "the session was ended",
            Self::Stale => "this edge has not heard for too long who may watch",
            Self::Time => "the time to watch is over",
        })
    }
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Token,
    Camera,
    Edge,
}

/// One viewer. Clones are the same; the last one that is dropped takes it off the list.
#[derive(Clone)]
pub(crate) struct Session(Arc<Shared>);

struct Shared {
    about: About,
    client: Client,
    project: Option<ProjectId>,
    started: DateTime<Utc>,
    sent: AtomicU64,
    over: CancellationToken,
    why: OnceLock<Over>,
    /// The audit log knows of it.
    is_recorded: AtomicBool,
    /// Why its viewer leaves, once somebody has said.
    last_words: Mutex<Option<&'static str>>,
    /// Told when it is over.
    bell: Mutex<Option<Bell>>,
    registry: Sessions,
}

type Bell = Box<dyn Fn() + Send + Sync>;

/// All viewers of this edge. Clones are the same.
#[derive(Clone)]
pub(crate) struct Sessions(Arc<Inner>);

struct Inner {
    clock: Clock,
    audit: Audit,
    /// How many may watch on this edge at once.
    limit: usize,
    state: Mutex<State>,
    /// Rises with every viewer who comes, goes or is ended.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<SessionId, Weak<Shared>>,
    cameras: HashMap<CameraId, u32>,
    /// Of tokens that have a limit, by the key that signed them and their name.
    tokens: HashMap<(String, String), u32>,
    ended: Ended,
}

impl Sessions {
    pub(crate) fn new(limit: usize, audit: Audit, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            audit,
            limit,
            state: Mutex::default(),
            changes: watch::Sender::default(),
        }))
    }

    /// Remembers at `path` which sessions were ended, for after a restart.
    pub(crate) fn remember(&self, path: PathBuf) -> anyhow::Result<()> {
        self.state().ended = Ended::load(path, self.0.clock.now().timestamp())?;
        Ok(())
    }

    /// Writes what [`Self::remember`] reads, if there is anything new.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let file = self
            .state()
            .ended
            .take_unsaved(self.0.clock.now().timestamp());
        let Some(file) = file else {
            return Ok(());
        };
        file.write()
            .inspect_err(|_| self.state().ended.is_unsaved())
    }

    /// True if the session was ended: its ticket is worth nothing any more.
    pub(crate) fn was_ended(&self, id: SessionId) -> bool {
        self.state().ended.has(id)
    }

    /// These were ended, wherever they are: a viewer who is away just now is not to come back.
    pub(crate) fn remember_ended(&self, ids: impl Iterator<Item = SessionId>) {
        let until = self.0.clock.now().timestamp() + PlaybackClaims::MAX_WATCH;
        let mut state = self.state();
        for id in ids {
            state.ended.insert(id, until);
        }
    }

    /// True while somebody watches in the session.
    pub(crate) fn has(&self, id: SessionId) -> bool {
        let found = self.state().sessions.get(&id).and_then(Weak::upgrade);
        found.is_some_and(|shared| shared.why.get().is_none())
    }

    /// True if as many watch as may.
    pub(crate) fn is_full(&self) -> bool {
        self.state().sessions.len() >= self.0.limit
    }

    /// Enters a viewer, if no limit is reached; `camera_limit` is the camera's. One who is here
    /// already has the session that he has.
    pub(crate) fn enter(
        &self,
        about: About,
        client: &Client,
        project: Option<ProjectId>,
        camera_limit: Option<u32>,
    ) -> Result<Session, Full> {
        // Dropped, if it is the last, only after the lock.
        let before;
        let mut state = self.state();
        before = state.sessions.get(&about.id).and_then(Weak::upgrade);
        if let Some(shared) = &before
            && shared.why.get().is_none()
        {
            return Ok(Session(Arc::clone(shared)));
        }
        state.count(&about, self.0.limit, camera_limit)?;
        let id = about.id;
        let shared = Arc::new(Shared {
            started: self.0.clock.now(),
            client: client.clone(),
            project,
            sent: AtomicU64::new(0),
            over: CancellationToken::new(),
            why: OnceLock::new(),
            is_recorded: AtomicBool::new(false),
            last_words: Mutex::default(),
            bell: Mutex::default(),
            registry: self.clone(),
            about,
        });
        state.sessions.insert(id, Arc::downgrade(&shared));
        drop(state);
        self.has_changed();
        Ok(Session(shared))
    }

    /// Ends the sessions for which `why` has a reason. Returns how many.
    pub(crate) fn end_where(&self, why: impl Fn(&Session) -> Option<Over>) -> usize {
        let mut count = 0;
        for session in self.list() {
            if let Some(over) = why(&session) {
                session.end(over);
                count += 1;
            }
        }
        count
    }

    /// Everybody who watches now.
    pub(crate) fn list(&self) -> Vec<Session> {
        let all: Vec<_> = {
            let state = self.state();
            state.sessions.values().filter_map(Weak::upgrade).collect()
        };
        // Dropped, if one is the last, only after the lock.
        let all = all.into_iter().map(Session);
        all.filter(|session| session.why_over().is_none()).collect()
    }

    /// Changes whenever somebody comes or goes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn leave(&self, shared: &Shared) {
        {
            let mut state = self.state();
            let about = &shared.about;
            let found = state.sessions.get(&about.id);
            // One that came back by its ticket meanwhile is another.
            if found.is_some_and(|weak| std::ptr::eq(weak.as_ptr(), shared)) {
                state.sessions.remove(&about.id);
            }
            lower(&mut state.cameras, &about.camera);
            if let Some(token) = token_key(about) {
                lower(&mut state.tokens, &token);
            }
        }
        self.has_changed();
    }

    fn has_changed(&self) {
        self.0.changes.send_modify(|number| *number += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a viewer, if no limit is reached.
    fn count(
        &mut self,
        about: &About,
        limit: usize,
        camera_limit: Option<u32>,
    ) -> Result<(), Full> {
        let count = self.cameras.get(&about.camera).copied().unwrap_or_default();
        if self.sessions.len() >= limit {
            return Err(Full::Edge);
        }
        if camera_limit.is_some_and(|limit| count >= limit) {
            return Err(Full::Camera);
        }
        if let (Some(token), Some(max)) = (token_key(about), about.max) {
            let count = self.tokens.get(&token).copied().unwrap_or_default();
            if count >= max {
                return Err(Full::Token);
            }
            self.tokens.insert(token, count + 1);
        }
        self.cameras.insert(about.camera, count + 1);
        Ok(())
    }
}

/// Under what a token with a limit is counted.
fn token_key(about: &About) -> Option<(String, String)> {
    about.max?;
    Some((about.key.clone(), about.token.clone()?))
}

fn lower<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Session {
    /// What its token said.
    pub(crate) fn about(&self) -> &About {
        &self.0.about
    }

    /// Whose camera it is, if that is known.
    pub(crate) fn project(&self) -> Option<ProjectId> {
        self.0.project
    }

    /// It was sent so many bytes more.
    pub(crate) fn add_sent(&self, bytes: u64) {
        self.0.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes it was sent.
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Why it has to go, if it has.
    pub(crate) fn why_over(&self) -> Option<Over> {
        self.0.why.get().copied()
    }

    /// Waits until it has to go.
    pub(crate) async fn over(&self) -> Over {
        self.0.over.cancelled().await;
        self.why_over().unwrap_or(Over::Revoked)
    }

    /// Calls `bell` when it has to go; at once, if that is so already.
    pub(crate) fn on_over(&self, bell: impl Fn() + Send + Sync + 'static) {
        *self.bell() = Some(Box::new(bell));
        if self.why_over().is_some() {
            self.ring();
        }
    }

    /// Ends it. Its ticket is refused from now on.
    pub(crate) fn end(&self, over: Over) {
        if self.0.why.set(over).is_err() {
            return;
        }
        let about = self.about();
        tracing::info!(session.id = %about.id, camera.id = %about.camera, reason = %over, "session ended");
        if over == Over::Revoked && self.0.client.protocol == ViewProtocol::Hls {
            let mut state = self.0.registry.state();
            state.ended.insert(about.id, about.until);
        }
        self.0.over.cancel();
        self.ring();
        self.0.registry.has_changed();
    }

    /// When it has to go.
    pub(crate) fn watch_until(&self) -> Instant {
        let clock = &self.0.registry.0.clock;
        let left = self.0.about.watch_until() - clock.now();
        clock.monotonic() + left.to_std().unwrap_or_default()
    }

    /// As controllers are told.
    pub(crate) fn opened(&self) -> SessionOpened {
        let Shared { about, client, .. } = &*self.0;
        SessionOpened {
            id: about.id,
            camera_id: about.camera,
            subject: about.subject.clone(),
            sound: about.sound,
            issuer: about.issuer.clone(),
            viewer_id: about.viewer.clone(),
            token_id: about.token.clone(),
            key_id: about.key.clone(),
            max_sessions: about.max,
            protocol: client.protocol,
            address: client.address,
            issued_at: DateTime::from_timestamp(about.issued, 0).unwrap_or_default(),
            started_at: self.0.started,
            watch_until: about.watch_until(),
            bytes_sent: self.sent(),
        }
    }

    fn ring(&self) {
        if let Some(bell) = &*self.bell() {
            bell();
        }
    }

    fn bell(&self) -> MutexGuard<'_, Option<Bell>> {
        self.0.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.record_end();
        self.registry.clone().leave(self);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.about.fmt(f)
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
