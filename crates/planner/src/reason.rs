//! Reasons in words. They stand in the API, so they name nodes as people do.

use std::collections::HashMap;

use headworks_types::{NodeState, Placement};

use crate::board::{Board, Cause, Work};

/// How many nodes a reason names before it says "and … more".
const NAMES: usize = 8;

/// Words for each slot. Equal refusals are worked out once.
pub(crate) struct Reasons<'a, 'b> {
    board: &'b Board<'a>,
    refused: HashMap<(usize, u64), String>,
}

impl<'a, 'b> Reasons<'a, 'b> {
    pub(crate) fn new(board: &'b Board<'a>) -> Self {
        Self {
            board,
            refused: HashMap::new(),
        }
    }

    /// "edge-1 in site lyon: least loaded of 3 nodes that fit; edge-2 is gone"
    pub(crate) fn placed(&self, work: &Work<'_>, at: usize) -> String {
        let node = self.board.nodes[at];
        let home = work.home.map(|home| self.board.nodes[home].name.as_str());
        let home = home.unwrap_or("its node");
        let choice = match (work.cause, work.choice) {
            (Cause::Room(other), _) => format!(
                "moved from {home} to make room for {}",
                self.board.work[other].slot.key.camera_id
            ),
            (_, 0) => "found room by moving others".to_owned(),
            (_, 1) => "the only node that fits".to_owned(),
            (_, choice) => format!("least loaded of {choice} nodes that fit"),
        };
        let left = match work.cause {
            Cause::None | Cause::Room(_) => String::new(),
            Cause::Gone => format!("; {home} is gone"),
            Cause::Unfit => format!("; {home} does not fit its placement any more"),
            Cause::Full => format!("; {home} has become too small"),
        };
        format!("{} in site {}: {choice}{left}", node.name, node.site)
    }

    /// "no node in site lyon has capacity: edge-3 full, edge-4 suspect"
    pub(crate) fn refused(&mut self, work: &Work<'_>) -> String {
        let board = self.board;
        let words = self
            .refused
            .entry((work.class, work.cost()))
            .or_insert_with(|| refused(board, work));
        let unnamed = |home: &usize| {
            board.classes.list[work.class]
                .nodes
                .binary_search(home)
                .is_err()
        };
        match (work.cause, work.home.filter(unnamed)) {
            (Cause::Gone, Some(home)) => {
                format!("{} is gone, and {words}", board.nodes[home].name)
            }
            _ => words.clone(),
        }
    }
}

fn refused(board: &Board<'_>, work: &Work<'_>) -> String {
    let class = &board.classes.list[work.class];
    if board.nodes.is_empty() {
        return "no node has joined the cluster".to_owned();
    }
    let which = selectors(class.placement);
    if class.nodes.is_empty() {
        let there = board
            .nodes
            .iter()
            .map(|node| format!("{} in site {}", node.name, node.site));
        return format!("there is no node{which}, only {}", list(there));
    }
    let wrong = class.nodes.iter().map(|node| {
        let node = board.nodes[*node];
        let what = match node.state {
            NodeState::Ready if u64::from(node.alloc) < work.cost() => "too small",
            NodeState::Ready => "full",
            NodeState::Suspect => "suspect",
            NodeState::Dead => "dead",
        };
        format!("{} {what}", node.name)
    });
    let mut nodes = class.nodes.iter().map(|node| board.nodes[*node]);
    let what = if nodes.any(|node| node.state == NodeState::Ready) {
        "has capacity"
    } else {
        "is ready"
    };
    format!("no node{which} {what}: {}", list(wrong))
}

/// " in site lyon with disk=ssd", or nothing.
fn selectors(placement: &Placement) -> String {
    let site = placement.site.as_ref();
    let site = site.map(|site| format!(" in site {site}"));
    let mut labels = placement.labels.0.iter();
    let first = labels
        .next()
        .map(|(key, value)| format!(" with {key}={value}"));
    let rest = labels.map(|(key, value)| format!(" and {key}={value}"));
    site.into_iter().chain(first).chain(rest).collect()
}

fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(NAMES);
    let named: Vec<String> = items.take(NAMES).collect();
    let named = named.join(", ");
    if more == 0 {
        named
    } else {
        format!("{named} and {more} more")
    }
}
