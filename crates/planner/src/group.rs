//! Keeps the cameras of a group apart, so that one node's death does not take all of them.

use std::collections::HashMap;

use headworks_types::CameraGroupId;

/// Where the cameras of one group are.
#[derive(Default)]
struct Group {
    /// How many of them are wanted.
    size: usize,
    /// How many are on each node.
    on: HashMap<usize, usize>,
    /// Nodes that have half of them or more, and should get no other.
    crowded: Vec<usize>,
}

/// The groups by their index.
#[derive(Default)]
pub(crate) struct Groups {
    list: Vec<Group>,
    index: HashMap<CameraGroupId, usize>,
}

impl Groups {
    /// The index of the group, which one more wanted camera is in.
    pub(crate) fn join(&mut self, id: CameraGroupId) -> usize {
        let next = self.list.len();
        let index = *self.index.entry(id).or_insert(next);
        if index == next {
            self.list.push(Group::default());
        }
        self.list[index].size += 1;
        index
    }

    /// Nodes that should not get another camera of the group: at most two.
    pub(crate) fn crowded(&self, group: Option<usize>) -> &[usize] {
        group.map_or(&[], |group| &self.list[group].crowded)
    }

    /// One more camera of the group is on the node.
    pub(crate) fn enter(&mut self, group: Option<usize>, node: usize) {
        let Some(group) = group else { return };
        let group = &mut self.list[group];
        let count = group.on.entry(node).or_default();
        *count += 1;
        if *count == group.size.div_ceil(2) {
            group.crowded.push(node);
        }
    }

    /// One less is.
    pub(crate) fn leave(&mut self, group: Option<usize>, node: usize) {
        let Some(group) = group else { return };
        let group = &mut self.list[group];
        let count = group.on.entry(node).or_default();
        if *count == group.size.div_ceil(2) {
            group.crowded.retain(|crowded| *crowded != node);
        }
        *count = count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use headworks_types::CameraGroupId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn half_of_a_group_is_a_crowd() {
        let mut groups = Groups::default();
        let id = CameraGroupId::from(Uuid::nil());
        let group = Some((0..5).map(|_| groups.join(id)).last().expect("is one"));
        for node in [7, 7] {
            groups.enter(group, node);
            assert!(groups.crowded(group).is_empty());
        }
        groups.enter(group, 7);
        assert_eq!(groups.crowded(group), [7]);
        groups.enter(group, 7);
        groups.leave(group, 7);
        assert_eq!(groups.crowded(group), [7]);
        groups.leave(group, 7);
        assert!(groups.crowded(group).is_empty());
        assert!(groups.crowded(None).is_empty());
    }
}
