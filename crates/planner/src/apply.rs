//! What a fleet is once a plan is carried out.

use std::collections::HashMap;

use headworks_types::edge::SlotKey;

use crate::fleet::{Fleet, Plan, Slot};

impl Fleet {
    /// Carries the plan out. What has moved is on its way ([`Slot::coming_from`]) and does not move
    /// again for balance; what two may never do at once stays bound to the node that it has left,
    /// until somebody says that it has stopped there.
    pub fn apply(&mut self, plan: &Plan) {
        let mut slots: HashMap<SlotKey, &mut Slot> =
            self.slots.iter_mut().map(|slot| (slot.key, slot)).collect();
        for step in &plan.moves {
            if let Some(slot) = slots.get_mut(&step.slot) {
                slot.node = Some(step.to);
                slot.booked = Some(step.cost);
                slot.coming_from = step.from;
                slot.settled = false;
            }
        }
        for release in &plan.releases {
            if let Some(slot) = slots.get_mut(&release.slot) {
                slot.node = None;
                slot.booked = None;
                slot.coming_from = Some(release.from);
                slot.settled = false;
            }
        }
        for reprice in &plan.reprices {
            if let Some(slot) = slots.get_mut(&reprice.slot) {
                slot.booked = Some(reprice.cost);
            }
        }
    }
}
