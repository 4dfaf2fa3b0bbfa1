//! Whether the last holder of a strict slot may still do its work (I3): the controller's side.
//!
//! A holder stops by itself when it cannot renew its lease, long before the lease has run out
//! ([`Fence`](crate::Fence)); and it stops when it applies a revision that takes the slot away, and
//! says so.

/// The lease and the revisions of a node that held a slot.
#[derive(Debug, Clone, Copy)]
pub struct LastHolder {
    /// It said that it stops, which it does after its strict work has stopped.
    pub goodbye: bool,
    /// Its lease ran out so long ago that it has stopped.
    pub over: bool,
    /// Another process was this node not long ago, or another database told it what to do: what was
    /// applied, and that it stopped, nobody has said.
    pub succeeds: bool,
    /// The revision that it has applied.
    pub applied: i64,
    /// Its revision now.
    pub revision: i64,
}

impl LastHolder {
    /// True if it may still do the work that the revision `left` took away; `None`: it holds it.
    ///
    /// A node that has applied a higher revision than there is knows a database that was lost.
    #[must_use]
    pub fn may_still_work(&self, left: Option<i64>) -> bool {
        let has_applied = left.is_some_and(|left| (left..=self.revision).contains(&self.applied));
        self.succeeds || !(self.goodbye || self.over || has_applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_ends_a_hold() {
        let holder = |goodbye, over, applied| LastHolder {
            goodbye,
            over,
            succeeds: false,
            applied,
            revision: 7,
        };
        for (holder, left, bound) in [
            (holder(false, false, 5), None, true),
            (holder(false, false, 7), None, true),
            (holder(true, false, 5), None, false),
            (holder(false, true, 5), None, false),
            (holder(false, false, 5), Some(6), true),
            (holder(false, false, 6), Some(6), false),
            (holder(false, false, 7), Some(6), false),
            (holder(false, false, 8), Some(6), true),
        ] {
            assert_eq!(holder.may_still_work(left), bound, "{holder:?} {left:?}");
            let succeeds = LastHolder {
                succeeds: true,
                ..holder
            };
            assert!(succeeds.may_still_work(left), "{succeeds:?} {left:?}");
        }
    }
}
