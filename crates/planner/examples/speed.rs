//! Plans a large fleet from nothing, for use under `time`: `speed <slots> <nodes>`.
//!
//! One in four cameras has a restream, half of them are tied to a site, and ten form a group. Then
//! it is planned again, as each turn does when something has changed.

use std::{env, error::Error, io::Write, num::NonZeroU32, time::Instant};

use headworks_planner::{Fleet, Node, Policy, Slot, plan};
use headworks_types::{
    CameraGroupId, CameraId, NodeId, Placement,
    edge::{Role, SlotKey},
};
use uuid::Uuid;

fn site(number: u32) -> String {
    format!("site-{}", number % 10)
}

fn key(number: u32, role: Role) -> SlotKey {
    SlotKey {
        camera_id: CameraId::from(Uuid::from_u128(number.into())),
        role,
        ordinal: 0,
    }
}

fn nodes(count: u32, alloc: u32) -> impl Iterator<Item = Node> {
    (0..count).map(move |number| Node {
        site: site(number),
        alloc,
        ..Node::new(
            NodeId::from(Uuid::from_u128(number.into())),
            format!("edge-{number}"),
        )
    })
}

fn camera(number: u32) -> impl Iterator<Item = Slot> {
    let ingest = Slot {
        placement: Placement {
            site: number.is_multiple_of(2).then(|| site(number / 2)),
            ..Placement::default()
        },
        cost: NonZeroU32::MIN,
        group: Some(CameraGroupId::from(Uuid::from_u128((number / 10).into()))),
        ..Slot::new(key(number, Role::Ingest))
    };
    let restream = number.is_multiple_of(4).then(|| Slot {
        follows: Some(ingest.key),
        ..Slot::new(key(number, Role::Restream))
    });
    std::iter::once(ingest).chain(restream)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut sizes = env::args().skip(1).map(|size| size.parse::<u32>());
    let slots = sizes.next().transpose()?.unwrap_or(10_000);
    let count = sizes.next().transpose()?.unwrap_or(100);
    let cameras = slots * 4 / 5;
    let mut fleet = Fleet {
        nodes: nodes(count, slots.div_ceil(count) * 5 / 4 + 1).collect(),
        slots: (0..cameras).flat_map(camera).collect(),
    };
    let mut out = std::io::stdout();
    for turn in ["from nothing", "again"] {
        #[expect(clippy::disallowed_methods, reason = "it measures")]
        let before = Instant::now();
        let plan = plan(&fleet, &Policy::default());
        let took = before.elapsed();
        let (moves, refusals) = (plan.moves.len(), plan.refusals.len());
        writeln!(
            out,
            "{turn}: {moves} placed, {refusals} refused, in {took:?}"
        )?;
        fleet.apply(&plan);
    }
    Ok(())
}
