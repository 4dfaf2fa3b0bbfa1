//! What can become of the control plane. No viewer may notice any of it.

use std::{thread, time::Duration};

use anyhow::Context;
use headworks_testkit::{lab::CONTROLLERS, wait_until};

use super::{
    Length, Scenario,
    stage::{Done, Stage},
};

pub(super) const DATABASE: Scenario = Scenario {
    name: "database",
    what: "PostgreSQL is stopped, and started 5 s later (--long: 60 s)",
    is_quick: true,
    run: database,
};
pub(super) const PLANNER: Scenario = Scenario {
    name: "planner",
    what: "kill -9 of the controller that plans",
    is_quick: false,
    run: planner,
};
pub(super) const AWAY: Scenario = Scenario {
    name: "controllers",
    what: "kill -9 of all controllers, which are away for 20 s (--long: 10 min)",
    is_quick: false,
    run: away,
};
pub(super) const ROLLING: Scenario = Scenario {
    name: "rolling",
    what: "all controllers are restarted, one after the other",
    is_quick: false,
    run: rolling,
};

/// How long the API may take to be back.
const BACK: Duration = Duration::from_secs(60);

fn database(stage: &mut Stage, length: Length) -> anyhow::Result<Done> {
    let fault = stage.lab.fault("the database is stopped");
    stage.lab.control.stop_database();
    thread::sleep(match length {
        Length::Short => Duration::from_secs(5),
        Length::Long => Duration::from_secs(60),
    });
    stage.lab.control.start_database()?;
    stage.lab.mended("the database is started");
    wait_for_api(stage)?;
    done(stage, fault)
}

fn planner(stage: &mut Stage, _: Length) -> anyhow::Result<Done> {
    let planner = stage.lab.control.planner().context("somebody plans")?;
    let fault = stage.lab.fault("the planner is killed");
    stage.lab.control.kill_controller(planner);
    wait_until("another one plans", BACK, || {
        let now = stage.lab.control.planner()?;
        (now != planner).then_some(())
    })?;
    stage.lab.mended("another one plans");
    stage.lab.control.start_controller(planner)?;
    done(stage, fault)
}

fn away(stage: &mut Stage, length: Length) -> anyhow::Result<Done> {
    let fault = stage.lab.fault("all controllers are killed");
    for number in 0..CONTROLLERS {
        stage.lab.control.kill_controller(number);
    }
    thread::sleep(match length {
        Length::Short => Duration::from_secs(20),
        Length::Long => Duration::from_secs(600),
    });
    for number in 0..CONTROLLERS {
        stage.lab.control.start_controller(number)?;
    }
    stage.lab.mended("all controllers are started");
    wait_for_api(stage)?;
    done(stage, fault)
}

fn rolling(stage: &mut Stage, _: Length) -> anyhow::Result<Done> {
    let fault = stage.lab.fault("the controllers are restarted");
    for number in 0..CONTROLLERS {
        stage.lab.control.stop_controller(number);
        stage.lab.control.start_controller(number)?;
        stage.lab.control.wait_until_listens(number, BACK)?;
    }
    stage.lab.mended("all controllers are new");
    done(stage, fault)
}

fn wait_for_api(stage: &Stage) -> anyhow::Result<()> {
    wait_until("the API is back", BACK, || {
        stage.lab.api.ok("GET", "/v1/nodes", None).ok().map(drop)
    })
}

fn done(stage: &Stage, fault: f64) -> anyhow::Result<Done> {
    stage.wait_for_picture(stage.lab.history.now())?;
    Ok(Done {
        fault,
        mended: fault,
        over: stage.settle(),
        struck: Vec::new(),
        bar: None,
    })
}
