//! What the audit log hears of a session: that a viewer was let in, and that he has left.

use std::sync::{PoisonError, atomic::Ordering};

use headworks_types::edge::AuditAction;

use super::{Session, Shared};
use crate::audit::{Guest, Known};

/// Why a viewer left of whom nobody says more.
const GONE: &str = "it has gone";
const WATCH_OVER: &str = "the time to watch is over";

impl Session {
    /// Tells that its viewer was let in, and later that he has left. Only the first call counts.
    ///
    /// Who comes back with a ticket after a pause is told of when he is given something: a player
    /// that asks in vain for what is not there fills no log.
    pub(crate) fn record(&self) {
        if self.0.is_recorded.swap(true, Ordering::Relaxed) {
            return;
        }
        let audit = &self.0.registry.0.audit;
        audit.admitted(AuditAction::SessionOpen, &self.0.known());
    }

    /// Says why its viewer leaves.
    pub(crate) fn note_end(&self, why: &'static str) {
        let words = &self.0.last_words;
        *words.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

impl Shared {
    /// Tells that the viewer has left, if it was told that he was there.
    pub(super) fn record_end(&self) {
        if !self.is_recorded.load(Ordering::Relaxed) {
            return;
        }
        let bytes = self.sent.load(Ordering::Relaxed);
        let audit = &self.registry.0.audit;
        audit.left(
            AuditAction::SessionEnd,
            &self.known(),
            Some(bytes),
            &self.why_left(),
        );
    }

    fn why_left(&self) -> String {
        let said = self.last_words.lock();
        let said = *said.unwrap_or_else(PoisonError::into_inner);
        let is_over = self.about.watch_until() <= self.registry.0.clock.now();
        match (self.why.get(), said) {
            (Some(over), _) => over.to_string(),
            (None, Some(said)) => said.to_owned(),
            (None, None) => if is_over { WATCH_OVER } else { GONE }.to_owned(),
        }
    }

    fn known(&self) -> Known<'_> {
        Known {
            guest: Guest::from(&self.client),
            camera: self.about.camera,
            subject: &self.about.subject,
            viewer_id: self.about.viewer.as_deref(),
            session_id: Some(self.about.id.uuid()),
        }
    }
}
