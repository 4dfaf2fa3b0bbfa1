//! How good a node is for a slot.

use std::cmp::Ordering;

use headworks_types::{NodeId, edge::SlotKey};

/// Lower is better. The fields count in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Score {
    /// How full the node is with the slot on it.
    pub(crate) load: Load,
    /// Where loads are equal, each slot has its own order of nodes (rendezvous hashing), so that
    /// the first node of the list is not always the first choice.
    pub(crate) hash: u64,
    /// The last resort.
    pub(crate) node: NodeId,
}

/// Units used of units there are. `alloc` is at least 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) used: u64,
    pub(crate) alloc: u64,
}

impl Ord for Load {
    fn cmp(&self, other: &Self) -> Ordering {
        // Both are sums and limits of u32s, so the products fit.
        (u128::from(self.used) * u128::from(other.alloc))
            .cmp(&(u128::from(other.used) * u128::from(self.alloc)))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Load {}

/// The same for the same pair in every build and on every machine.
pub(crate) fn rendezvous(slot: SlotKey, node: NodeId) -> u64 {
    let (slot_high, slot_low) = slot.camera_id.uuid().as_u64_pair();
    let (node_high, node_low) = node.uuid().as_u64_pair();
    [
        slot_high,
        slot_low,
        u64::from(slot.ordinal),
        node_high,
        node_low,
    ]
    .into_iter()
    .fold(0, |state, word| mix(state ^ word))
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_compare_as_fractions() {
        let load = |used, alloc| Load { used, alloc };
        assert!(load(1, 3) < load(1, 2));
        assert_eq!(load(1, 2), load(2, 4));
        assert!(load(u64::from(u32::MAX), 1) > load(1, u64::from(u32::MAX)));
    }
}
