//! Who may watch: checks playback tokens and session tickets, without asking anybody.
//!
//! [`Access::open`] exchanges a token for a [`Session`]. Addresses below it (segments) carry
//! [`Access::ticket`], which [`Access::resume`] takes back. The HTTP part calls these; the agent
//! gives the key set with [`Access::set_keys`].

mod denied;
#[cfg(test)]
pub(crate) mod sign;
#[cfg(test)]
mod tests;
mod ticket;
mod token;

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use headworks_bootstrap::Clock;
use headworks_types::{Action, CameraId, Jwks};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use uuid::Uuid;

pub(crate) use denied::Denied;
pub(crate) use ticket::TicketKey;

use token::KeySet;

/// Decides who may watch.
#[derive(Clone)]
pub(crate) struct Access(Arc<Inner>);

struct Inner {
    keys: RwLock<Arc<KeySet>>,
    ticket_key: TicketKey,
    clock: Clock,
    counters: AccessCounters,
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

/// One viewer who may watch one camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Drawn when the token was accepted.
    pub(crate) id: Uuid,
    /// Whoever watches: `usr_…` or `key_…`. Tickets do not carry it.
    pub(crate) subject: Option<String>,
    /// What is watched.
    pub(crate) camera: CameraId,
    /// When it must end.
    pub(crate) watch_until: DateTime<Utc>,
}

impl Access {
    /// Refuses everybody until it is given keys.
    pub(crate) fn new(ticket_key: TicketKey, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            keys: RwLock::default(),
            ticket_key,
            clock,
            counters: AccessCounters::default(),
        }))
    }

    /// Takes these keys instead of those before.
    pub(crate) fn set_keys(&self, jwks: &Jwks) {
        let keys = Arc::new(KeySet::new(jwks));
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
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
    ) -> Result<Session, Denied> {
        let session = self
            .try_open(token, camera, action)
            .map_err(|denied| self.count(denied))
            .inspect_err(|denied| {
                tracing::debug!(camera.id = %camera, reason = denied.reason(), "viewer refused");
            })?;
        self.0.counters.opened.inc();
        Ok(session)
    }

    /// What the addresses below the session carry: url-safe, good for this camera on this edge.
    pub(crate) fn ticket(&self, session: &Session) -> String {
        self.0
            .ticket_key
            .make(session.id, session.camera, session.watch_until)
    }

    /// The session of a ticket.
    pub(crate) fn resume(&self, ticket: &str, camera: CameraId) -> Result<Session, Denied> {
        let (id, watch_until) = self
            .0
            .ticket_key
            .check(ticket, camera)
            .ok_or_else(|| self.count(Denied::Ticket))?;
        if watch_until <= self.0.clock.now() {
            return Err(self.count(Denied::WatchOver));
        }
        Ok(Session {
            id,
            subject: None,
            camera,
            watch_until,
        })
    }

    fn try_open(
        &self,
        token: Option<&str>,
        camera: CameraId,
        action: Action,
    ) -> Result<Session, Denied> {
        let token = token
            .filter(|token| !token.is_empty())
            .ok_or(Denied::Missing)?;
        let keys = Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner));
        let claims = token::verify(token, &keys, self.0.clock.now())?;
        if !claims.cams.contains(&camera) {
            return Err(Denied::OtherCamera);
        }
        if !claims.act.contains(&action) {
            return Err(Denied::Action);
        }
        Ok(Session {
            id: Uuid::new_v4(),
            subject: Some(claims.sub),
            camera,
            watch_until: DateTime::from_timestamp(claims.sxp, 0).ok_or(Denied::Times)?,
        })
    }

    fn count(&self, denied: Denied) -> Denied {
        let labels = DeniedLabels {
            reason: denied.reason(),
        };
        self.0.counters.denied.get_or_create(&labels).inc();
        denied
    }
}
