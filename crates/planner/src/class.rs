//! Slots that ask for the same nodes form a class, so that selectors are compared once per class
//! and not once per slot.

use std::collections::BTreeMap;

use headworks_types::{Capabilities, Labels, Placement};

use crate::fleet::{Node, Slot};

/// One wish for nodes, and who fulfils it.
pub(crate) struct Class<'a> {
    pub(crate) placement: &'a Placement,
    pub(crate) needs: Capabilities,
    /// Indices of the nodes that fit site, zone, labels and needs, whatever their state.
    pub(crate) nodes: Vec<usize>,
    /// Indices of those that fit all but the needs.
    pub(crate) unable: Vec<usize>,
}

type Key<'a> = (
    Option<&'a str>,
    Option<&'a str>,
    &'a BTreeMap<String, String>,
    Capabilities,
);

/// Finds the class of each slot.
#[derive(Default)]
pub(crate) struct Classes<'a> {
    pub(crate) list: Vec<Class<'a>>,
    index: BTreeMap<Key<'a>, usize>,
}

impl<'a> Classes<'a> {
    /// The index of the slot's class.
    pub(crate) fn of(&mut self, slot: &'a Slot, nodes: &[&Node]) -> usize {
        let (placement, needs) = (&slot.placement, slot.needs);
        let Labels(labels) = &placement.labels;
        let key = (
            placement.site.as_deref(),
            placement.zone.as_deref(),
            labels,
            needs,
        );
        *self.index.entry(key).or_insert_with(|| {
            let fitting = (0..nodes.len()).filter(|index| fits(placement, nodes[*index]));
            let (able, unable) =
                fitting.partition(|index| nodes[*index].capabilities.include(needs));
            self.list.push(Class {
                placement,
                needs,
                nodes: able,
                unable,
            });
            self.list.len() - 1
        })
    }
}

fn fits(placement: &Placement, node: &Node) -> bool {
    let is = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|name| name == is);
    is(&placement.site, &node.site)
        && is(&placement.zone, &node.zone)
        && node.labels.include(&placement.labels)
}
