//! What can become of one edge.

use std::{thread, time::Duration};

use anyhow::Context;
use headworks_testkit::lab::Cut;
use serde_json::json;

use super::{
    Length, Scenario,
    stage::{Done, Stage},
};

pub(super) const KILLED: Scenario = Scenario {
    name: "killed",
    what: "kill -9 of the edge that has the camera and its push",
    is_quick: true,
    run: killed,
};
pub(super) const GOODBYE: Scenario = Scenario {
    name: "goodbye",
    what: "SIGTERM of the edge that has the camera and its push",
    is_quick: false,
    run: goodbye,
};
pub(super) const FROZEN: Scenario = Scenario {
    name: "frozen",
    what: "SIGSTOP of that edge, and SIGCONT 15 s later",
    is_quick: false,
    run: frozen,
};
pub(super) const PARTED: Scenario = Scenario {
    name: "parted",
    what: "that edge is cut off from everything for 20 s",
    is_quick: true,
    run: |stage, _| parted(stage, Cut::Both),
};
pub(super) const DEAF: Scenario = Scenario {
    name: "deaf",
    what: "that edge hears nothing for 20 s",
    is_quick: false,
    run: |stage, _| parted(stage, Cut::In),
};
pub(super) const MUTE: Scenario = Scenario {
    name: "mute",
    what: "that edge is not heard for 20 s",
    is_quick: false,
    run: |stage, _| parted(stage, Cut::Out),
};
pub(super) const FULL_DISK: Scenario = Scenario {
    name: "full-disk",
    what: "the disk of that edge is full for 20 s",
    is_quick: false,
    run: full_disk,
};
pub(super) const DRAINED: Scenario = Scenario {
    name: "drained",
    what: "that edge is drained",
    is_quick: false,
    run: drained,
};

const FROZEN_FOR: Duration = Duration::from_secs(15);
const PARTED_FOR: Duration = Duration::from_secs(20);
const FULL_FOR: Duration = Duration::from_secs(20);
/// Back elsewhere, after its node was killed and when it said goodbye.
const SILENT: f64 = 12.0;
const SAID: f64 = 3.0;

fn killed(stage: &mut Stage, _: Length) -> anyhow::Result<Done> {
    let fault = stage.lab.fault("the edge is killed");
    stage.lab.edges[stage.holder].kill();
    elsewhere(stage, fault, SILENT)
}

fn goodbye(stage: &mut Stage, _: Length) -> anyhow::Result<Done> {
    let fault = stage.lab.fault("the edge is stopped");
    stage.lab.edges[stage.holder].stop();
    elsewhere(stage, fault, SAID)
}

/// Waits for the picture elsewhere; the edge then comes again.
fn elsewhere(stage: &mut Stage, fault: f64, bar: f64) -> anyhow::Result<Done> {
    stage.wait_for_picture(fault)?;
    stage.lab.edges[stage.holder].again()?;
    stage.lab.mended("the edge runs again");
    done(stage, fault, Some(bar))
}

fn frozen(stage: &mut Stage, _: Length) -> anyhow::Result<Done> {
    let fault = stage.lab.fault("the edge is frozen");
    stage.lab.edges[stage.holder].freeze();
    thread::sleep(FROZEN_FOR);
    stage.lab.edges[stage.holder].thaw();
    stage.lab.mended("the edge runs on");
    stage.wait_for_picture(fault)?;
    done(stage, fault, Some(SILENT))
}

fn parted(stage: &mut Stage, cut: Cut) -> anyhow::Result<Done> {
    let holder = stage.holder;
    stage.lab.edges[holder].host.cut(cut)?;
    let fault = stage.lab.fault("the edge is cut off");
    thread::sleep(PARTED_FOR);
    stage.lab.edges[holder].host.join()?;
    stage.lab.mended("the edge can be reached again");
    stage.wait_for_picture(fault)?;
    done(stage, fault, Some(SILENT))
}

/// Nobody has to notice: not even what the edge has to do changes.
fn full_disk(stage: &mut Stage, _: Length) -> anyhow::Result<Done> {
    let fault = stage.lab.fault("the disk is full");
    stage.lab.edges[stage.holder].fill_disk()?;
    thread::sleep(FULL_FOR);
    stage.lab.edges[stage.holder].empty_disk()?;
    let mended = stage.lab.mended("the disk has room");
    stage.wait_for_picture(mended)?;
    Ok(Done {
        struck: Vec::new(),
        ..done(stage, fault, None)?
    })
}

fn drained(stage: &mut Stage, _: Length) -> anyhow::Result<Done> {
    let node = stage.lab.api.node(&stage.lab.edges[stage.holder].name)?;
    let fault = stage.lab.fault("the edge is drained");
    let path = format!("/v1/nodes/{node}:drain");
    let ask = json!({"deadline_seconds": 60});
    stage
        .lab
        .api
        .ok("POST", &path, Some(&ask))
        .context("drain")?;
    headworks_testkit::wait_until("the camera is elsewhere", FULL_FOR * 3, || {
        let holder = stage.lab.holder(&stage.gate).ok()?;
        (holder != stage.holder).then_some(())
    })?;
    let mended = stage.lab.mended("the camera is elsewhere");
    stage.wait_for_picture(mended)?;
    Ok(Done {
        struck: Vec::new(),
        ..done(stage, fault, None)?
    })
}

fn done(stage: &Stage, fault: f64, bar: Option<f64>) -> anyhow::Result<Done> {
    Ok(Done {
        fault,
        mended: fault,
        over: stage.settle(),
        struck: vec![stage.holder],
        bar,
    })
}
