//! Plans a large fleet from nothing, for use under `time`: `speed <slots> <nodes>`.

use std::{env, error::Error, io::Write, num::NonZeroU32};

use headworks_planner::{Fleet, Intake, Node, Policy, Slot, Wanted, plan};
use headworks_types::{
    CameraId, Labels, NodeId, NodeState, Placement,
    edge::{Role, SlotKey},
};
use uuid::Uuid;

fn main() -> Result<(), Box<dyn Error>> {
    let mut sizes = env::args().skip(1).map(|size| size.parse::<u32>());
    let slots = sizes.next().transpose()?.unwrap_or(10_000);
    let nodes = sizes.next().transpose()?.unwrap_or(100);
    let site = |number: u32| format!("site-{}", number % 10);
    let fleet = Fleet {
        nodes: (0..nodes)
            .map(|number| Node {
                id: NodeId::from(Uuid::from_u128(number.into())),
                name: format!("edge-{number}"),
                site: site(number),
                labels: Labels::default(),
                alloc: slots.div_ceil(nodes) + 1,
                state: NodeState::Ready,
                intake: Intake::Open,
            })
            .collect(),
        slots: (0..slots)
            .map(|number| Slot {
                key: SlotKey {
                    camera_id: CameraId::from(Uuid::from_u128(number.into())),
                    role: Role::Ingest,
                    ordinal: 0,
                },
                node: None,
                wanted: Wanted::Yes,
                placement: Placement {
                    site: (number % 2 == 0).then(|| site(number / 2)),
                    labels: Labels::default(),
                },
                cost: NonZeroU32::MIN,
                follows: None,
                bound: None,
            })
            .collect(),
    };
    let plan = plan(&fleet, &Policy::default());
    let (moves, refusals) = (plan.moves.len(), plan.refusals.len());
    writeln!(std::io::stdout(), "{moves} placed, {refusals} refused")?;
    Ok(())
}
