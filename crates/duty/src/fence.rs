//! Keeps strict work from being done by two nodes at once ([`Fencing::Strict`]): the edge's side.
//!
//! Who does strict work takes a [`Permit`], and asks before each burst of bytes whether it still
//! [`holds`](Fence::holds). A permit that has lapsed once never holds again, whatever is renewed
//! later: somebody else may have had the work meanwhile.
//!
//! All times are of one clock, which goes on while the process is frozen or the machine sleeps.
//!
//! [`Fencing::Strict`]: headworks_types::edge::Fencing::Strict

use std::time::Instant;

use headworks_types::edge::{NO_REVISION, STRICT_STOP};

/// Says whether strict work may be done. A new one lets nothing through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fence {
    /// When strict work has to stop; none before the first grant.
    until: Option<Instant>,
    /// Rises whenever a grant comes after that time.
    term: u64,
    /// The revision that the last grant named.
    granted: Option<i64>,
    /// The revision that is applied; none while one is being applied.
    applied: Option<i64>,
}

/// The right to do strict work, until it lapses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    term: u64,
}

impl Fence {
    /// A renewal that was sent at `sent` is acknowledged; the grant names `revision`. With
    /// [`NO_REVISION`] all permits lapse: somebody of whom the database does not know may do the work.
    pub fn renewed(&mut self, now: Instant, sent: Instant, revision: i64) {
        if revision == NO_REVISION || self.until.is_none_or(|until| now >= until) {
            self.term += 1;
        }
        self.until = self.until.max(Some(sent + STRICT_STOP));
        self.granted = Some(revision);
    }

    /// A new revision is being applied; until it is, nothing starts.
    pub fn applying(&mut self) {
        self.applied = None;
    }

    /// This revision is applied.
    pub fn applied(&mut self, revision: i64) {
        self.applied = Some(revision);
    }

    /// The right to start strict work now, if there is one.
    #[must_use]
    pub fn permit(&self, now: Instant) -> Option<Permit> {
        let permit = Permit { term: self.term };
        let is_current = self.granted.is_some() && self.granted == self.applied;
        (is_current && self.holds(permit, now)).then_some(permit)
    }

    /// True as long as the work may go on.
    #[must_use]
    pub fn holds(&self, permit: Permit, now: Instant) -> bool {
        self.until(permit).is_some_and(|until| now < until)
    }

    /// When the permit lapses, as things stand; none if it has.
    #[must_use]
    pub fn until(&self, permit: Permit) -> Option<Instant> {
        self.until.filter(|_| self.term == permit.term)
    }
}
