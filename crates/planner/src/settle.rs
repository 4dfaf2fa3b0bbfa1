//! What a fleet comes to in the end, for those who ask what a change would do.

use std::collections::BTreeMap;

use headworks_types::edge::SlotKey;

use crate::{
    fleet::{Fleet, Policy},
    plan,
};

/// After so many plans the rest does not matter: two are usual, a release and a move.
const ROUNDS: usize = 8;

/// Plans until nothing moves any more, as if everything arrived at once, whoever has to stop did at
/// once, and nobody were too busy. Returns the fleet as it is then, and what was said of each slot
/// that was mentioned last.
#[must_use]
pub fn settle(mut fleet: Fleet, policy: &Policy) -> (Fleet, BTreeMap<SlotKey, String>) {
    let policy = Policy {
        drain_at_once: usize::MAX,
        ..policy.clone()
    };
    let mut said = BTreeMap::new();
    for node in &mut fleet.nodes {
        node.hot = false;
    }
    for _ in 0..ROUNDS {
        for slot in &mut fleet.slots {
            (slot.coming_from, slot.bound) = (None, None);
        }
        let plan = plan(&fleet, &policy);
        let moves = plan.moves.iter().map(|step| (step.slot, &step.reason));
        let releases = plan.releases.iter().map(|step| (step.slot, &step.reason));
        let refusals = plan.refusals.iter().map(|step| (step.slot, &step.reason));
        for (slot, reason) in moves.chain(releases).chain(refusals) {
            said.insert(slot, reason.clone());
        }
        fleet.apply(&plan);
        if plan.moves.is_empty() && plan.releases.is_empty() {
            break;
        }
    }
    (fleet, said)
}
