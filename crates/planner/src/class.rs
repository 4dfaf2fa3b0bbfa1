//! Slots that ask for the same nodes form a class, so that selectors are compared once per class
//! and not once per slot.

use std::collections::BTreeMap;

use headworks_types::{Labels, Placement};

use crate::fleet::Node;

/// One wish for nodes, and who fulfils it.
pub(crate) struct Class<'a> {
    pub(crate) placement: &'a Placement,
    /// Indices of the nodes that fit site and labels, whatever their state.
    pub(crate) nodes: Vec<usize>,
}

/// Finds the class of each placement.
#[derive(Default)]
pub(crate) struct Classes<'a> {
    pub(crate) list: Vec<Class<'a>>,
    index: BTreeMap<(Option<&'a str>, &'a BTreeMap<String, String>), usize>,
}

impl<'a> Classes<'a> {
    /// The index of the placement's class.
    pub(crate) fn of(&mut self, placement: &'a Placement, nodes: &[&Node]) -> usize {
        let Labels(labels) = &placement.labels;
        *self
            .index
            .entry((placement.site.as_deref(), labels))
            .or_insert_with(|| {
                let fitting = nodes.iter().enumerate();
                let fitting = fitting.filter(|(_, node)| fits(placement, node));
                self.list.push(Class {
                    placement,
                    nodes: fitting.map(|(index, _)| index).collect(),
                });
                self.list.len() - 1
            })
    }
}

fn fits(placement: &Placement, node: &Node) -> bool {
    placement
        .site
        .as_ref()
        .is_none_or(|site| *site == node.site)
        && node.labels.include(&placement.labels)
}
