//! Who may watch: checks playback tokens and session tickets, without asking anybody.
//!
//! [`Access::open`] exchanges a token for a [`Session`]. Addresses below it (segments) carry
//! [`Access::ticket`], which [`Access::resume`] takes back. The protocols call these; the agent
//! gives what every edge knows with [`Access::set_bundle`], and what is known of each camera with
//! [`Access::set_cameras`]; cameras that are not worked on here are looked up in the
//! [`Directory`]. Sessions that may not go on end as soon as either says so.

mod cameras;
mod denied;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod revoked;
#[cfg(test)]
pub(crate) mod sign;
#[cfg(test)]
mod tests;
mod ticket;
mod token;

use std::{
    borrow::Cow,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use headworks_bootstrap::{Clock, subnet};
use headworks_types::{
    Action, CameraId,
    edge::{AuditAction, Bundle},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tokio::time::Instant;

pub(crate) use cameras::{Cameras, cameras};
pub(crate) use denied::Denied;
pub(crate) use ticket::TicketKey;

use crate::{
    audit::Audit,
    directory::Directory,
    session::{About, Client, Over, Session, Sessions},
};
use cameras::CameraView;
use revoked::Revoked;
use token::{Asked, KeySet};

/// How old what the edge knows of revocations may be for a sensitive camera.
const STALE_AFTER: Duration = Duration::from_secs(600);

/// Decides who may watch.
#[derive(Clone)]
pub(crate) struct Access(Arc<Inner>);

struct Inner {
    known: RwLock<Known>,
    sessions: Sessions,
    ticket_key: TicketKey,
    audit: Audit,
    clock: Clock,
    counters: AccessCounters,
}

/// What the controller has said.
#[derive(Default)]
struct Known {
    keys: KeySet,
    revoked: Revoked,
    cameras: Cameras,
    /// All cameras of the cluster.
    directory: Directory,
    /// When the controller has last read what it said of keys and revocations; none since the
    /// start.
    as_of: Option<Instant>,
}

/// What became of those who asked.
#[derive(Clone, Default)]
pub(crate) struct AccessCounters {
    /// Sessions opened with a token.
    pub(crate) opened: Counter,
    /// Those refused, by reason.
    pub(crate) denied: Family<DeniedLabels, Counter>,
}

/// The label of [`AccessCounters::denied`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DeniedLabels {
    reason: &'static str,
}

impl Known {
    /// What is known of a camera. What this edge was told with its work is newer than the rest.
    fn view(&self, camera: CameraId) -> Option<Cow<'_, CameraView>> {
        if let Some(view) = self.cameras.get(&camera) {
            return Some(Cow::Borrowed(view));
        }
        let route = self.directory.route(camera)?;
        Some(Cow::Owned(CameraView {
            project: route.project_id,
            policy: route.view.clone(),
        }))
    }
}

impl Access {
    /// Refuses everybody until it is given keys.
    pub(crate) fn new(
        ticket_key: TicketKey,
        sessions: Sessions,
        audit: Audit,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner {
            known: RwLock::default(),
            sessions,
            ticket_key,
            audit,
            clock,
            counters: AccessCounters::default(),
        }))
    }

    /// Takes these keys and revocations instead of those before, and ends the sessions that may
    /// not go on. `age` says how long ago the controller has read them; none: they are from disk.
    pub(crate) fn set_bundle(&self, bundle: &Bundle, age: Option<Duration>) {
        let keys = KeySet::new(&bundle.jwks, &bundle.playback_keys);
        let revoked = Revoked::new(&bundle.revocations);
        {
            let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
            known.keys = keys;
            self.0.sessions.remember_ended(revoked.sessions());
            known.revoked = revoked;
        }
        if let Some(age) = age {
            self.confirm(age);
        }
        self.review();
    }

    /// The controller says that what it said of keys and revocations was still so, so long ago.
    pub(crate) fn confirm(&self, age: Duration) {
        let as_of = self.0.clock.boottime().checked_sub(age);
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        known.as_of = as_of;
    }

    /// Takes what is known of the cameras.
    pub(crate) fn set_cameras(&self, cameras: Cameras) {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        known.cameras = cameras;
    }

    /// From now on cameras that are not worked on here are looked up there.
    pub(crate) fn set_directory(&self, directory: Directory) {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        known.directory = directory;
    }

    /// Ends the sessions that may not go on. Call it now and then: time passes.
    pub(crate) fn review(&self) {
        let known = self.known();
        let now = self.0.clock.now();
        let ended = self.0.sessions.end_where(|session| {
            let about = session.about();
            if known.revoked.ends(about, session.project()) {
                return Some(Over::Revoked);
            }
            if about.watch_until() <= now {
                return Some(Over::Time);
            }
            let view = known.view(about.camera);
            self.is_stale(&known, view.as_deref())
                .then_some(Over::Stale)
        });
        if ended > 0 {
            tracing::info!(ended, "sessions were ended");
        }
    }

    /// Everybody who watches.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// For the metrics.
    pub(crate) fn counters(&self) -> &AccessCounters {
        &self.0.counters
    }

    /// Exchanges a playback token for a session.
    pub(crate) fn open(
        &self,
        token: Option<&str>,
        camera: CameraId,
        action: Action,
        client: &Client,
    ) -> Result<Session, Denied> {
        let known = self.known();
        let session = self
            .judge(&known, token, camera, action, client)
            .and_then(|about| self.enter(&known, about, client))
            .map_err(|denied| self.refuse(denied, camera, client))?;
        session.record();
        self.0.counters.opened.inc();
        Ok(session)
    }

    /// Refuses as [`Self::open`] would, and opens nothing: says what the session would be.
    pub(crate) fn check(
        &self,
        token: Option<&str>,
        camera: CameraId,
        action: Action,
        client: &Client,
    ) -> Result<About, Denied> {
        let about = self.judge(&self.known(), token, camera, action, client);
        about.map_err(|denied| self.refuse(denied, camera, client))
    }

    /// What the addresses below the session carry: url-safe, good for this camera on this edge.
    pub(crate) fn ticket(&self, session: &Session) -> String {
        self.0.ticket_key.make(session.about())
    }

    /// The session of a ticket; a new one of the same id, if its viewer was away for a while.
    pub(crate) fn resume(
        &self,
        ticket: &str,
        camera: CameraId,
        client: &Client,
    ) -> Result<Session, Denied> {
        let about = self.0.ticket_key.check(ticket);
        let about = about.filter(|about| about.camera == camera);
        about
            .ok_or(Denied::Ticket)
            .and_then(|about| self.go_on(about, client))
            .map_err(|denied| match denied {
                // The log has its end already; its player goes on asking.
                Denied::WatchOver | Denied::Ended => self.count(denied),
                _ => self.refuse(denied, camera, client),
            })
    }

    fn go_on(&self, about: About, client: &Client) -> Result<Session, Denied> {
        let known = self.known();
        let sessions = &self.0.sessions;
        let project = known.view(about.camera).map(|view| view.project);
        if about.watch_until() <= self.0.clock.now() {
            return Err(Denied::WatchOver);
        }
        if sessions.was_ended(about.id) || known.revoked.ends(&about, project) {
            return Err(Denied::Ended);
        }
        self.check_place(&known, &about, client)?;
        if about.place != subnet(client.address) {
            return Err(Denied::Elsewhere);
        }
        // Who was away comes in anew.
        if known.revoked.refuses_to_open(&about, project) && !sessions.has(about.id) {
            return Err(Denied::Revoked);
        }
        self.enter(&known, about, client)
    }

    /// The session that the token opens for this client.
    fn judge(
        &self,
        known: &Known,
        token: Option<&str>,
        camera: CameraId,
        action: Action,
        client: &Client,
    ) -> Result<About, Denied> {
        let token = token
            .filter(|token| !token.is_empty())
            .ok_or(Denied::Missing)?;
        let view = known.view(camera);
        let view = view.as_deref();
        let asked = Asked {
            camera,
            view,
            action,
            client,
        };
        let about = token::verify(token, &known.keys, &asked, self.0.clock.now())?;
        let project = view.map(|view| view.project);
        if known.revoked.refuses_to_open(&about, project) {
            return Err(Denied::Revoked);
        }
        if self.0.sessions.was_ended(about.id) {
            return Err(Denied::Ended);
        }
        self.check_place(known, &about, client)?;
        Ok(about)
    }

    /// From where it may be watched, and whether it may be now.
    fn check_place(&self, known: &Known, about: &About, client: &Client) -> Result<(), Denied> {
        let address = client.address.to_canonical();
        if about
            .network
            .is_some_and(|network| !network.contains(&address))
        {
            return Err(Denied::Network);
        }
        if about.origin.is_some() && about.origin != client.origin {
            return Err(Denied::Origin);
        }
        if self.is_stale(known, known.view(about.camera).as_deref()) {
            return Err(Denied::Stale);
        }
        Ok(())
    }

    fn enter(&self, known: &Known, about: About, client: &Client) -> Result<Session, Denied> {
        let view = known.view(about.camera);
        let view = view.as_deref();
        let limit = view.and_then(|view| view.policy.max_viewers);
        let project = view.map(|view| view.project);
        Ok(self.0.sessions.enter(about, client, project, limit)?)
    }

    fn is_stale(&self, known: &Known, view: Option<&CameraView>) -> bool {
        let now = self.0.clock.boottime();
        view.is_some_and(|view| view.policy.sensitive)
            && known.as_of.is_none_or(|as_of| now - as_of > STALE_AFTER)
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, denied: Denied, camera: CameraId, client: &Client) -> Denied {
        let reason = denied.reason();
        tracing::debug!(camera.id = %camera, reason, "viewer refused");
        self.0.audit.refused(
            AuditAction::SessionOpen,
            client.into(),
            Some(camera),
            None,
            reason,
        );
        self.count(denied)
    }

    fn count(&self, denied: Denied) -> Denied {
        let labels = DeniedLabels {
            reason: denied.reason(),
        };
        self.0.counters.denied.get_or_create(&labels).inc();
        denied
    }
}
