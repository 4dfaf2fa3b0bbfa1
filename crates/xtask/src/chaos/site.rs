//! What can become of a site.

use std::{thread, time::Duration};

use super::{
    Length, Scenario,
    stage::{Done, Stage},
};

pub(super) const PARTED: Scenario = Scenario {
    name: "sites-parted",
    what: "nothing goes between the two sites for 20 s",
    is_quick: false,
    run: parted,
};
pub(super) const SWITCH: Scenario = Scenario {
    name: "switch",
    what: "the switch of a site's cameras reboots: all are away for 20 s",
    is_quick: false,
    run: switch,
};

const AWAY: Duration = Duration::from_secs(20);
/// After a switch is back: a camera that was away is tried again within so many seconds.
const AGAIN: f64 = 10.0;

fn parted(stage: &mut Stage, _: Length) -> anyhow::Result<Done> {
    let fault = stage.lab.fault("the sites are parted");
    stage.lab.network.part_sites()?;
    thread::sleep(AWAY);
    stage.lab.network.heal()?;
    let mended = stage.lab.mended("the sites are joined");
    stage.wait_for_picture(mended)?;
    Ok(Done {
        fault,
        mended: fault,
        over: stage.settle(),
        struck: Vec::new(),
        bar: None,
    })
}

fn switch(stage: &mut Stage, _: Length) -> anyhow::Result<Done> {
    let site = stage.gate.site;
    let fault = stage.lab.fault("the cameras' switch is off");
    stage.lab.plug_cameras(site, false)?;
    thread::sleep(AWAY);
    stage.lab.plug_cameras(site, true)?;
    let mended = stage.lab.mended("it is on again");
    stage.wait_for_picture(mended)?;
    Ok(Done {
        fault,
        mended,
        over: stage.settle(),
        struck: Vec::new(),
        bar: Some(AGAIN),
    })
}
