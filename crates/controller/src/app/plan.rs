//! What a change would move and whom it would interrupt. Nothing is changed to find out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headworks_planner::{Fleet, Intake, Node, Policy, Wanted, settle};
use headworks_types::{
    Action, CameraId, Capabilities, NodeId, NodeState, PLAN_LISTED, PlanImpact, PlanMove,
    PlanPreview, PlanQuestion,
    edge::{Role, SlotKey},
};

use super::{Begun, Caller, Error, Once, Result, Scope};
use crate::{
    db::{
        plan::{Audience, audience, camera_names},
        slot::DISABLED,
    },
    reconcile::planner_list,
    state::State,
};

/// Says what the changes would come to.
pub(crate) async fn plan_preview(
    state: &State,
    caller: &Caller,
    once: Once,
    question: PlanQuestion,
) -> Result<PlanPreview> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Again(answer) => return Ok(answer),
        Begun::Fresh(write) => write,
    };
    let fleet = planner_list(state, write.conn()).await?;
    let audience = audience(write.conn()).await?;
    let changed = change(state, fleet.clone(), &question)?;
    let mut preview = compare(&fleet, changed, &question, &audience);
    let listed = preview.moves.iter().chain(&preview.unplaced);
    let cameras: Vec<_> = listed.map(|step| step.slot.camera_id).collect();
    let names = camera_names(write.conn(), &cameras).await?;
    for step in preview.moves.iter_mut().chain(&mut preview.unplaced) {
        let name = names.get(&step.slot.camera_id);
        step.camera_name = name.cloned().unwrap_or_default();
    }
    write.commit(&preview).await?;
    Ok(preview)
}

/// The fleet as it would be.
fn change(state: &State, mut fleet: Fleet, question: &PlanQuestion) -> Result<Fleet> {
    let mut nodes: BTreeMap<NodeId, Node> = fleet
        .nodes
        .into_iter()
        .map(|node| (node.id, node))
        .collect();
    let known = |nodes: &BTreeMap<NodeId, Node>, id: NodeId| {
        let is_known = nodes.contains_key(&id);
        is_known.then_some(()).ok_or_else(|| Error::not_found(id))
    };
    let mut alter = |id: NodeId, change: &dyn Fn(&mut Node)| {
        let node = nodes.get_mut(&id).ok_or_else(|| Error::not_found(id))?;
        change(node);
        Ok::<_, Error>(())
    };
    for id in &question.cordon_nodes {
        alter(*id, &|node| node.intake = Intake::Cordoned)?;
    }
    for id in &question.drain_nodes {
        alter(*id, &|node| node.intake = Intake::Draining)?;
    }
    for id in &question.kill_nodes {
        alter(*id, &|node| node.state = NodeState::Dead)?;
    }
    for other in &question.node_capacities {
        alter(other.node_id, &|node| node.alloc = other.capacity)?;
    }
    for id in &question.remove_nodes {
        known(&nodes, *id)?;
        nodes.remove(id);
    }
    fleet.nodes = nodes.into_values().collect();
    fleet
        .nodes
        .extend(question.add_nodes.iter().map(|new| Node {
            site: new.site.clone(),
            zone: new.zone.clone(),
            labels: new.labels.clone(),
            capabilities: Capabilities::ALL,
            alloc: new.capacity,
            ..Node::new(state.ids.next(), new.name.clone())
        }));
    change_cameras(&mut fleet, question)?;
    Ok(fleet)
}

fn change_cameras(fleet: &mut Fleet, question: &PlanQuestion) -> Result<()> {
    let there: BTreeSet<_> = fleet.slots.iter().map(|slot| slot.key.camera_id).collect();
    let named = question.cameras.iter().map(|camera| camera.camera_id);
    for id in named.chain(question.remove_cameras.iter().copied()) {
        if !there.contains(&id) {
            return Err(Error::not_found(id));
        }
    }
    let removed: BTreeSet<_> = question.remove_cameras.iter().collect();
    let cameras: HashMap<_, _> = question
        .cameras
        .iter()
        .map(|camera| (camera.camera_id, camera))
        .collect();
    for slot in &mut fleet.slots {
        let camera = cameras.get(&slot.key.camera_id);
        if removed.contains(&slot.key.camera_id) {
            slot.wanted = Wanted::No("the camera would be deleted");
        }
        let enabled = camera.and_then(|camera| camera.enabled);
        match (enabled, slot.wanted) {
            (Some(false), _) => slot.wanted = Wanted::No(DISABLED),
            (Some(true), Wanted::No(DISABLED)) => slot.wanted = Wanted::Yes,
            _ => {}
        }
        if let Some(placement) = camera.and_then(|camera| camera.placement.as_ref())
            && slot.follows.is_none()
        {
            slot.placement = placement.clone();
        }
    }
    Ok(())
}

/// Where things are and would be, and what breaks on the way.
struct Comparison<'a> {
    names: HashMap<NodeId, String>,
    /// Nodes that would be gone.
    lost: BTreeSet<NodeId>,
    audience: &'a Audience,
    preview: PlanPreview,
    /// Cameras whose viewers would notice.
    broken: BTreeSet<CameraId>,
}

fn compare(
    fleet: &Fleet,
    changed: Fleet,
    question: &PlanQuestion,
    audience: &Audience,
) -> PlanPreview {
    let policy = Policy::default();
    let nodes = fleet.nodes.iter().chain(&changed.nodes);
    let names = nodes.map(|node| (node.id, node.name.clone())).collect();
    let lost = question.kill_nodes.iter().chain(&question.remove_nodes);
    let mut comparison = Comparison {
        names,
        lost: lost.copied().collect(),
        audience,
        preview: PlanPreview::default(),
        broken: BTreeSet::new(),
    };
    let (anyway, _) = settle(fleet.clone(), &policy);
    let anyway: HashMap<SlotKey, Option<NodeId>> = anyway
        .slots
        .iter()
        .map(|slot| (slot.key, slot.node))
        .collect();
    let now: HashMap<SlotKey, Option<NodeId>> = fleet
        .slots
        .iter()
        .map(|slot| (slot.key, slot.node))
        .collect();
    let (after, said) = settle(changed, &policy);
    let mut slots: Vec<_> = after.slots.iter().collect();
    slots.sort_unstable_by_key(|slot| slot.key);
    for slot in slots {
        let from = now.get(&slot.key).copied().flatten();
        // What a dead or removed node keeps is nowhere.
        let to = slot.node.filter(|node| !comparison.lost.contains(node));
        let is_moved = from != to || (to.is_none() && slot.wanted == Wanted::Yes);
        if Some(&to) == anyway.get(&slot.key) || !is_moved {
            continue;
        }
        let reason = said.get(&slot.key).cloned().unwrap_or_default();
        comparison.add(slot, from, to, reason);
    }
    comparison.count_viewers();
    comparison.preview
}

impl Comparison<'_> {
    fn add(
        &mut self,
        slot: &headworks_planner::Slot,
        from: Option<NodeId>,
        to: Option<NodeId>,
        reason: String,
    ) {
        let camera = slot.key.camera_id;
        let is_restream = slot.key.role == Role::Restream;
        let published = !is_restream && self.audience.publishers.contains(&camera);
        let is_lost = from.is_some_and(|from| self.lost.contains(&from));
        let interrupts = from.is_some()
            && (is_restream || to.is_none() || is_lost || slot.exclusive || published);
        let name = |node: NodeId| self.names.get(&node).cloned().unwrap_or_default();
        let step = PlanMove {
            slot: slot.key,
            camera_name: String::new(),
            from_node: from.map(name),
            to_node: to.map(name),
            reason,
            interrupts,
            viewers: if is_restream {
                0
            } else {
                self.audience.of(camera)
            },
            published,
        };
        let summary = &mut self.preview.summary;
        let impact = if interrupts {
            &mut summary.interrupted
        } else {
            &mut summary.unbroken
        };
        if from.is_some() {
            count(impact, &step, is_restream);
        }
        if interrupts && !is_restream {
            self.broken.insert(camera);
        }
        let is_unplaced = to.is_none() && slot.wanted == Wanted::Yes;
        let (list, total) = if is_unplaced {
            (&mut self.preview.unplaced, &mut summary.unplaced)
        } else {
            (&mut self.preview.moves, &mut summary.moves)
        };
        *total += 1;
        if list.len() < PLAN_LISTED {
            list.push(step);
        }
    }

    /// Who is connected to a node that is gone notices, whatever they watch.
    fn count_viewers(&mut self) {
        let there = self.audience.viewers.iter();
        let cut_off = there
            .filter(|((camera, node), _)| self.lost.contains(node) && !self.broken.contains(camera))
            .map(|(_, count)| *count);
        self.preview.summary.interrupted.viewers += cut_off.sum::<u32>();
    }
}

fn count(impact: &mut PlanImpact, step: &PlanMove, is_push: bool) {
    impact.viewers += step.viewers;
    impact.publishers += u32::from(step.published);
    impact.restreams += u32::from(is_push);
}
