//! Reasons in words. They stand in the API, so they name nodes as people do.

use std::collections::HashMap;

use headworks_types::{NodeState, Placement};

use crate::{
    board::{Board, Cause, Work},
    fleet::{Intake, Node},
    score::Decided,
};

/// How many nodes a reason names before it says "and … more".
const NAMES: usize = 8;
/// How the reason of a slot begins that should leave its node and cannot.
pub const STAYS: &str = "stays on ";

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
            (_, None) => "found room by moving others".to_owned(),
            (_, Some((of, by))) => chosen(of, by),
        };
        let left = match work.cause {
            Cause::None | Cause::Room(_) => String::new(),
            Cause::Gone => format!("; {home} is gone"),
            Cause::Unfit => format!("; {home} does not fit its placement any more"),
            Cause::Unable => format!("; {home} cannot do it any more"),
            Cause::Full => format!("; {home} has become too small"),
            Cause::Drained => format!("; {home} is being drained"),
            Cause::Hot => format!("; {home} was too busy"),
            Cause::Followers => format!("; {home} cannot do its restreams"),
        };
        format!("{} in site {}: {choice}{left}", node.name, node.site)
    }

    /// "no node in site lyon has capacity: edge-3 full, edge-4 cordoned"
    pub(crate) fn refused(&mut self, work: &Work<'_>) -> String {
        let board = self.board;
        let home = work.home.map(|home| board.nodes[home].name.as_str());
        if work.slot.exclusive && work.slot.bound.is_some() && !work.is_stuck {
            let old = board.bound_name(work);
            let why = match work.cause {
                Cause::Drained => format!("{old} is being drained; "),
                _ => String::new(),
            };
            return format!(
                "{why}the camera refuses a second session, and goes on elsewhere when {old} has let go of it"
            );
        }
        let words = self
            .refused
            .entry((work.class, work.cost()))
            .or_insert_with(|| refused(board, work));
        let class = &board.classes.list[work.class];
        let unnamed = |home: &usize| class.nodes.binary_search(home).is_err();
        match (work.cause, work.home.filter(unnamed), home) {
            (Cause::Gone, Some(_), Some(home)) => format!("{home} is gone, and {words}"),
            (_, _, Some(home)) if work.is_stuck => {
                format!("{STAYS}{home}, which is being drained: {words}")
            }
            _ => words.clone(),
        }
    }
}

/// What decided.
fn chosen(of: usize, by: Decided) -> String {
    match by {
        Decided::Only => "the only node that fits".to_owned(),
        Decided::Able => format!("can do its restreams, of {of} nodes that fit"),
        Decided::Near => format!("its viewers are there, of {of} nodes that fit"),
        Decided::Spread => format!("others have half of its group, of {of} nodes that fit"),
        Decided::Load => format!("least loaded of {of} nodes that fit"),
        Decided::Hash => format!("as little loaded as any of {of} nodes that fit"),
    }
}

fn refused(board: &Board<'_>, work: &Work<'_>) -> String {
    let class = &board.classes.list[work.class];
    if board.nodes.is_empty() {
        return "no node has joined the cluster".to_owned();
    }
    let which = selectors(class.placement);
    if class.nodes.is_empty() && class.unable.is_empty() {
        let there = board
            .nodes
            .iter()
            .map(|node| format!("{} in site {}", node.name, node.site));
        return format!("there is no node{which}, only {}", list(there));
    }
    let wrong = class.nodes.iter().map(|node| {
        let node = board.nodes[*node];
        format!("{} {}", node.name, wrong(node, work))
    });
    let unable = class.unable.iter().map(|node| {
        let node = board.nodes[*node];
        let lacks = node.capabilities.lacks(class.needs).unwrap_or_default();
        format!("{} has {lacks}", node.name)
    });
    let nodes = || class.nodes.iter().map(|node| board.nodes[*node]);
    let is_ready = |node: &Node| node.state == NodeState::Ready;
    let what = if class.nodes.is_empty() {
        "can do it"
    } else if nodes().any(|node| is_ready(node) && node.intake == Intake::Open) {
        "has capacity"
    } else if nodes().any(is_ready) {
        "takes new work"
    } else {
        "is ready"
    };
    let wrong: Vec<_> = wrong.chain(unable).collect();
    format!("no node{which} {what}: {}", list(wrong.into_iter()))
}

/// Why the node does not take the slot.
fn wrong(node: &Node, work: &Work<'_>) -> &'static str {
    match (node.state, node.intake) {
        (NodeState::Suspect, _) => "suspect",
        (NodeState::Dead, _) => "dead",
        (NodeState::Ready, Intake::Cordoned) => "cordoned",
        (NodeState::Ready, Intake::Draining) => "draining",
        (NodeState::Ready, Intake::Unsteady) => "unsteady",
        (NodeState::Ready, Intake::Open) if u64::from(node.alloc) < work.cost() => "too small",
        (NodeState::Ready, Intake::Open) => "full",
    }
}

/// " in site lyon and zone north with disk=ssd", or nothing.
fn selectors(placement: &Placement) -> String {
    let place = match (&placement.site, &placement.zone) {
        (None, None) => None,
        (Some(site), None) => Some(format!(" in site {site}")),
        (None, Some(zone)) => Some(format!(" in zone {zone}")),
        (Some(site), Some(zone)) => Some(format!(" in site {site} and zone {zone}")),
    };
    let mut labels = placement.labels.0.iter();
    let first = labels
        .next()
        .map(|(key, value)| format!(" with {key}={value}"));
    let rest = labels.map(|(key, value)| format!(" and {key}={value}"));
    place.into_iter().chain(first).chain(rest).collect()
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
