//! What the edge should do, as far as it was told: kept in memory, and on disk for the time when
//! no controller can be asked.
//!
//! The highest epoch that was seen of each slot is kept for ever, also when the slot is gone: an
//! older assignment never acts again (invariant I2). A message with one old assignment still
//! applies to all other slots.

use std::{collections::BTreeMap, fmt, path::Path};

use headworks_bootstrap::file;
use headworks_types::edge::{DesiredSlot, SlotKey};
use serde::{Deserialize, Serialize};

use super::apply::Slots;

/// What the edge should do.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Desired {
    /// The node's revision that this is; 0 before the first.
    pub(crate) revision: i64,
    /// All work.
    pub(crate) slots: Slots,
    epochs: BTreeMap<SlotKey, i64>,
}

/// An assignment that is older than one that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    key: SlotKey,
    epoch: i64,
    seen: i64,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, epoch, seen } = self;
        write!(
            f,
            "{key}: assignment {epoch} is older than {seen}, which was seen here"
        )
    }
}

impl Desired {
    /// Takes a snapshot: what is not in it is not to be done. Where it has an old assignment, what
    /// runs goes on, and the reports of it tell the controller.
    pub(crate) fn snapshot(&mut self, revision: i64, slots: Vec<DesiredSlot>) -> Vec<Refused> {
        let before = std::mem::take(&mut self.slots);
        self.revision = revision;
        let refused = self.upsert(slots);
        for refused in &refused {
            if let Some(slot) = before.get(&refused.key) {
                self.slots.insert(slot.key, slot.clone());
            }
        }
        refused
    }

    /// Takes what has changed.
    pub(crate) fn delta(
        &mut self,
        revision: i64,
        upsert: Vec<DesiredSlot>,
        remove: &[SlotKey],
    ) -> Vec<Refused> {
        self.revision = revision;
        for key in remove {
            self.slots.remove(key);
        }
        self.upsert(upsert)
    }

    fn upsert(&mut self, slots: Vec<DesiredSlot>) -> Vec<Refused> {
        let mut refused = Vec::new();
        for slot in slots {
            let seen = self.epochs.entry(slot.key).or_insert(slot.epoch);
            if slot.epoch < *seen {
                refused.push(Refused {
                    key: slot.key,
                    epoch: slot.epoch,
                    seen: *seen,
                });
            } else {
                *seen = slot.epoch;
                self.slots.insert(slot.key, slot);
            }
        }
        refused
    }

    /// Reads what was saved last; none if nothing was. A damaged file counts as nothing.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        let Some(bytes) = file::read(path)? else {
            return Ok(None);
        };
        match serde_json::from_slice::<Saved>(&bytes) {
            Ok(saved) => Ok(Some(saved.into())),
            Err(error) => {
                tracing::error!(
                    path = %path.display(), %error,
                    "the saved state is damaged; waiting for the controller's"
                );
                Ok(None)
            }
        }
    }

    /// Saves it for the next start. Camera passwords are in it; the file is private.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        file::write(path, &serde_json::to_vec(&Saved::from(self))?)
    }
}

/// The file's form; JSON has only texts as keys of maps.
#[derive(Serialize, Deserialize)]
struct Saved {
    revision: i64,
    slots: Vec<DesiredSlot>,
    epochs: Vec<SavedEpoch>,
}

#[derive(Serialize, Deserialize)]
struct SavedEpoch {
    #[serde(flatten)]
    key: SlotKey,
    epoch: i64,
}

impl From<&Desired> for Saved {
    fn from(desired: &Desired) -> Self {
        let epoch = |(key, epoch): (&SlotKey, &i64)| SavedEpoch {
            key: *key,
            epoch: *epoch,
        };
        Self {
            revision: desired.revision,
            slots: desired.slots.values().cloned().collect(),
            epochs: desired.epochs.iter().map(epoch).collect(),
        }
    }
}

impl From<Saved> for Desired {
    fn from(saved: Saved) -> Self {
        Self {
            revision: saved.revision,
            slots: saved
                .slots
                .into_iter()
                .map(|slot| (slot.key, slot))
                .collect(),
            epochs: saved.epochs.into_iter().map(|e| (e.key, e.epoch)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::agent::tests::{slot, slots};

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
                        let file = serde_json::to_vec(&Saved::from(&desired)).expect("serializes");
                        let saved: Saved = serde_json::from_slice(&file).expect("parses");
                        let loaded = Desired::from(saved);
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
        let epochs: Vec<_> = desired.slots.values().map(|slot| slot.epoch).collect();
        assert_eq!(epochs, [3, 1], "what runs goes on, the rest is taken");

        desired.delta(7, vec![], &[slot(1, 0).key]);
        let refused = desired.delta(8, vec![slot(1, 2)], &[]);
        assert_eq!(refused.len(), 1, "the epoch is kept when the slot is gone");
        assert_eq!(desired.slots.len(), 1);
    }

    #[test]
    fn a_damaged_file_counts_as_nothing() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("state.json");
        assert_eq!(Desired::load(&path).expect("reads"), None);
        let mut desired = Desired::default();
        desired.snapshot(5, vec![slot(1, 3)]);
        desired.save(&path).expect("saves");
        assert_eq!(Desired::load(&path).expect("reads"), Some(desired));
        std::fs::write(&path, "{\"revision\": 1").expect("writes");
        assert_eq!(Desired::load(&path).expect("reads"), None);
    }
}
