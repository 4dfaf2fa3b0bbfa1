//! How good a node is for a slot.

use std::cmp::Ordering;

use headworks_types::{
    NodeId,
    edge::{SlotKey, mix},
};

/// Nodes whose load differs by less than one in so many count as equally loaded.
const BUCKETS: u64 = 20;

/// Lower is better. The fields count in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Score {
    /// It lacks what followers of the slot need.
    pub(crate) unable: bool,
    /// Nobody watches the stream there yet, so it would have to come there first.
    pub(crate) far: bool,
    /// It has half of the camera's group already.
    pub(crate) crowded: bool,
    /// How full the node is with the slot on it.
    pub(crate) load: u64,
    /// Where loads are equal, each slot has its own order of nodes (rendezvous hashing), so that
    /// the first node of the list is not always the first choice.
    pub(crate) hash: u64,
    /// The last resort.
    pub(crate) node: NodeId,
}

/// What decided for a node: the last thing by which it differed from another one that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Decided {
    /// It was the only one.
    Only,
    /// It can do what followers need.
    Able,
    /// Viewers have the stream there.
    Near,
    /// Others have half of the group.
    Spread,
    /// It is less loaded.
    Load,
    /// Nothing but its name.
    Hash,
}

impl Score {
    /// By what it differs from another score.
    fn differs(&self, other: &Self) -> Decided {
        if self.unable != other.unable {
            Decided::Able
        } else if self.far != other.far {
            Decided::Near
        } else if self.crowded != other.crowded {
            Decided::Spread
        } else if self.load != other.load {
            Decided::Load
        } else {
            Decided::Hash
        }
    }
}

/// How full a node of `alloc` units is with `used` of them, in steps.
pub(crate) fn load(used: u64, alloc: u64) -> u64 {
    (used * BUCKETS).checked_div(alloc).unwrap_or(u64::MAX)
}

/// The best of several nodes, and what decided for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) score: Score,
    /// Its index.
    pub(crate) node: usize,
    /// Among how many.
    pub(crate) of: usize,
    pub(crate) by: Decided,
}

impl Choice {
    /// Takes one more node into account.
    pub(crate) fn or(best: Option<Self>, score: Score, node: usize) -> Option<Self> {
        let Some(best) = best else {
            return Some(Self {
                score,
                node,
                of: 1,
                by: Decided::Only,
            });
        };
        let differs = best.score.differs(&score);
        Some(match best.score.cmp(&score) {
            Ordering::Greater => Self {
                score,
                node,
                of: best.of + 1,
                by: differs,
            },
            Ordering::Less | Ordering::Equal => Self {
                of: best.of + 1,
                by: best.by.max(differs),
                ..best
            },
        })
    }
}

/// A slot's part of the rendezvous hash.
pub(crate) fn slot_hash(slot: SlotKey) -> u64 {
    let (high, low) = slot.camera_id.uuid().as_u64_pair();
    mix(mix(mix(high) ^ low) ^ u64::from(slot.ordinal))
}

/// A node's part of it.
pub(crate) fn node_hash(node: NodeId) -> u64 {
    let (high, low) = node.uuid().as_u64_pair();
    mix(mix(high) ^ low)
}

/// The same for the same pair in every build and on every machine.
pub(crate) fn rendezvous(slot: u64, node: u64) -> u64 {
    mix(slot ^ node)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn loads_compare_as_fractions() {
        assert!(load(1, 3) < load(1, 2));
        assert_eq!(load(1, 2), load(2, 4));
        assert_eq!(load(50, 100), load(54, 100));
        assert!(load(50, 100) < load(55, 100));
        assert_eq!(load(1, 0), u64::MAX);
    }

    #[test]
    fn what_decides_is_the_closest_rival() {
        let score = |far, load, hash| Score {
            unable: false,
            far,
            crowded: false,
            load,
            hash,
            node: NodeId::from(Uuid::nil()),
        };
        let choose = |scores: &[Score]| {
            let all = scores.iter().enumerate();
            let best = all.fold(None, |best, (index, score)| Choice::or(best, *score, index));
            best.map(|best| (best.node, best.by))
        };
        let (near, full) = (score(false, 9, 1), score(false, 9, 2));
        let (far, empty) = (score(true, 1, 1), score(true, 0, 1));
        assert_eq!(choose(&[near]), Some((0, Decided::Only)));
        assert_eq!(choose(&[far, near]), Some((1, Decided::Near)));
        assert_eq!(choose(&[far, empty]), Some((1, Decided::Load)));
        assert_eq!(choose(&[full, far, near]), Some((2, Decided::Hash)));
        assert_eq!(choose(&[near, full, far]), Some((0, Decided::Hash)));
        assert_eq!(choose(&[]), None);
    }
}
