//! What must change so that the edge does what it should: a pure comparison.

use std::collections::BTreeMap;

use headworks_types::edge::{DesiredSlot, SlotKey};

/// Work by slot.
pub type Slots = BTreeMap<SlotKey, DesiredSlot>;

/// One step from what runs to what should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It should not run any more.
    Stop(SlotKey),
    /// It runs, but something about it is new. The worker decides what that interrupts.
    Update(DesiredSlot),
    /// It should run.
    Start(DesiredSlot),
}

/// The steps from `running` to `desired`: at most one for each slot; stops come first, so that
/// what they free is there for what starts.
#[must_use]
pub fn diff(running: &Slots, desired: &Slots) -> Vec<Change> {
    let stops = running
        .keys()
        .filter(|key| !desired.contains_key(key))
        .map(|key| Change::Stop(*key));
    let updates = desired
        .values()
        .filter(|slot| running.get(&slot.key).is_some_and(|now| now != *slot))
        .map(|slot| Change::Update(slot.clone()));
    let starts = desired
        .values()
        .filter(|slot| !running.contains_key(&slot.key))
        .map(|slot| Change::Start(slot.clone()));
    stops.chain(updates).chain(starts).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::slots;

    fn apply(running: &mut Slots, change: Change) {
        match change {
            Change::Stop(key) => assert!(running.remove(&key).is_some(), "stops what runs"),
            Change::Update(slot) => {
                assert!(
                    running.insert(slot.key, slot).is_some(),
                    "updates what runs"
                );
            }
            Change::Start(slot) => {
                assert!(
                    running.insert(slot.key, slot).is_none(),
                    "starts what is new"
                );
            }
        }
    }

    fn rank(change: &Change) -> u8 {
        match change {
            Change::Stop(_) => 0,
            Change::Update(_) => 1,
            Change::Start(_) => 2,
        }
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_what_runs_to_what_should(mut running in slots(), desired in slots()) {
            let changes = diff(&running, &desired);
            prop_assert!(changes.is_sorted_by_key(rank));
            for change in changes {
                apply(&mut running, change);
            }
            prop_assert_eq!(&running, &desired);
            prop_assert_eq!(diff(&running, &desired), vec![]);
        }
    }
}
