//! What an edge should do, as far as it was told: kept in memory, and on disk (it serializes) for
//! the time when no controller can be asked.
//!
//! The highest epoch that was seen of each slot is kept for ever, also when the slot is gone: an
//! older assignment never acts again (invariant I2). A message with one old assignment still
//! applies to all other slots.

use std::collections::BTreeMap;

use headworks_types::edge::{DesiredSlot, SlotKey};
use serde::{Deserialize, Serialize};

use crate::Slots;

/// What the edge should do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub struct Desired {
    /// The node's revision that this is; 0 before the first.
    pub revision: i64,
    /// All work.
    pub slots: Slots,
    epochs: BTreeMap<SlotKey, i64>,
    /// Work that was refused and is not done, with the epochs that were seen of it. They are to be
    /// reported: the controller cannot know them, and assigns the work anew above them.
    pub overtaken: BTreeMap<SlotKey, i64>,
}

/// An assignment that is older than one that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{key}: assignment {epoch} is older than {seen}, which was seen here")]
pub struct Refused {
    key: SlotKey,
    epoch: i64,
    seen: i64,
}

/// The controller is at another revision: a message was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at revision {ours}, the controller at {theirs}")]
pub struct Behind {
    ours: i64,
    theirs: i64,
}

impl Desired {
    /// Takes a snapshot: what is not in it is not to be done. Where it has an old assignment, what
    /// runs goes on, and the reports of it tell the controller.
    pub fn snapshot(&mut self, revision: i64, slots: Vec<DesiredSlot>) -> Vec<Refused> {
        let before = std::mem::take(&mut self.slots);
        self.revision = revision;
        self.overtaken.clear();
        let refused = self.upsert(slots);
        for refused in &refused {
            if let Some(slot) = before.get(&refused.key) {
                self.slots.insert(slot.key, slot.clone());
                self.overtaken.remove(&slot.key);
            }
        }
        refused
    }

    /// Takes what has changed.
    pub fn delta(
        &mut self,
        revision: i64,
        upsert: Vec<DesiredSlot>,
        remove: &[SlotKey],
    ) -> Vec<Refused> {
        self.revision = revision;
        for key in remove {
            self.slots.remove(key);
            self.overtaken.remove(key);
        }
        self.upsert(upsert)
    }

    fn upsert(&mut self, slots: Vec<DesiredSlot>) -> Vec<Refused> {
        let mut refused = Vec::new();
        for slot in slots {
            let seen = self.epochs.entry(slot.key).or_insert(slot.epoch);
            if slot.epoch < *seen {
                if !self.slots.contains_key(&slot.key) {
                    self.overtaken.insert(slot.key, *seen);
                }
                refused.push(Refused {
                    key: slot.key,
                    epoch: slot.epoch,
                    seen: *seen,
                });
            } else {
                *seen = slot.epoch;
                self.overtaken.remove(&slot.key);
                self.slots.insert(slot.key, slot);
            }
        }
        refused
    }

    /// The controller says which revision it is at, and that nothing is new.
    ///
    /// # Errors
    /// If it is another one: the watch must begin anew. A lower one means that the database was set
    /// back; then only everything anew helps, and the own revision is forgotten. What is to be done
    /// stays.
    pub fn compare(&mut self, theirs: i64) -> Result<(), Behind> {
        let ours = self.revision;
        if theirs == ours {
            return Ok(());
        }
        if theirs < ours {
            self.revision = 0;
        }
        Err(Behind { ours, theirs })
    }
}

/// The serialized form; JSON has only texts as keys of maps.
#[derive(Serialize, Deserialize)]
struct Saved {
    revision: i64,
    slots: Vec<DesiredSlot>,
    epochs: Vec<SavedEpoch>,
    #[serde(default)]
    overtaken: Vec<SavedEpoch>,
}

#[derive(Serialize, Deserialize)]
struct SavedEpoch {
    #[serde(flatten)]
    key: SlotKey,
    epoch: i64,
}

impl From<Desired> for Saved {
    fn from(desired: Desired) -> Self {
        let saved = |epochs: BTreeMap<SlotKey, i64>| {
            let epochs = epochs.into_iter();
            epochs
                .map(|(key, epoch)| SavedEpoch { key, epoch })
                .collect()
        };
        Self {
            revision: desired.revision,
            slots: desired.slots.into_values().collect(),
            epochs: saved(desired.epochs),
            overtaken: saved(desired.overtaken),
        }
    }
}

impl From<Saved> for Desired {
    fn from(saved: Saved) -> Self {
        let loaded =
            |epochs: Vec<SavedEpoch>| epochs.into_iter().map(|e| (e.key, e.epoch)).collect();
        let slots = saved.slots.into_iter();
        Self {
            revision: saved.revision,
            slots: slots.map(|slot| (slot.key, slot)).collect(),
            epochs: loaded(saved.epochs),
            overtaken: loaded(saved.overtaken),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{slot, slots};

    #[derive(Debug, Clone)]
    enum Step {
        Snapshot(Slots),
        Delta(Slots, Slots),
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            slots().prop_map(Step::Snapshot),
            (slots(), slots()).prop_map(|(upsert, remove)| Step::Delta(upsert, remove)),
            Just(Step::Restart),
        ]
    }

    proptest! {
        #[test]
        fn no_slot_ever_goes_back_to_an_older_epoch(steps in proptest::collection::vec(step(), 1..20)) {
            let mut desired = Desired::default();
            let mut highest: BTreeMap<SlotKey, i64> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Snapshot(slots) => {
                        desired.snapshot(1, slots.into_values().collect());
                    }
                    Step::Delta(upsert, remove) => {
                        let remove: Vec<_> = remove.into_keys().collect();
                        desired.delta(2, upsert.into_values().collect(), &remove);
                    }
                    Step::Restart => {
                        let file = serde_json::to_vec(&desired).expect("serializes");
                        let loaded: Desired = serde_json::from_slice(&file).expect("parses");
                        prop_assert_eq!(&loaded, &desired);
                        desired = loaded;
                    }
                }
                for slot in desired.slots.values() {
                    let seen = highest.entry(slot.key).or_insert(slot.epoch);
                    prop_assert!(slot.epoch >= *seen, "{} went back", slot.key);
                    *seen = slot.epoch;
                }
            }
        }
    }

    #[test]
    fn an_old_assignment_is_refused_and_the_rest_applies() {
        let mut desired = Desired::default();
        assert_eq!(desired.snapshot(5, vec![slot(1, 3), slot(2, 1)]), vec![]);
        let refused = desired.snapshot(6, vec![slot(1, 2), slot(3, 1)]);
        assert_eq!(refused.len(), 1);
        assert!(
            refused[0]
                .to_string()
                .ends_with("assignment 2 is older than 3, which was seen here")
        );
        assert!(desired.overtaken.is_empty(), "what runs is reported anyway");
        let epochs: Vec<_> = desired.slots.values().map(|slot| slot.epoch).collect();
        assert_eq!(epochs, [3, 1], "what runs goes on, the rest is taken");

        desired.delta(7, vec![], &[slot(1, 0).key]);
        let refused = desired.delta(8, vec![slot(1, 2)], &[]);
        assert_eq!(refused.len(), 1, "the epoch is kept when the slot is gone");
        assert_eq!(desired.slots.len(), 1);
        let told: Vec<_> = desired.overtaken.values().copied().collect();
        assert_eq!(told, [3], "the controller is to hear of it");
        desired.delta(9, vec![slot(1, 4)], &[]);
        assert!(desired.overtaken.is_empty());
    }

    #[test]
    fn another_revision_of_the_controller_is_found() {
        let mut desired = Desired::default();
        desired.snapshot(5, vec![slot(1, 3)]);
        assert_eq!(desired.compare(5), Ok(()));
        let ahead = desired.compare(6).expect_err("is behind");
        assert_eq!(ahead.to_string(), "at revision 5, the controller at 6");
        assert_eq!(desired.revision, 5, "what follows is enough");
        desired.compare(4).expect_err("the database was set back");
        assert_eq!((desired.revision, desired.slots.len()), (0, 1));
    }
}
