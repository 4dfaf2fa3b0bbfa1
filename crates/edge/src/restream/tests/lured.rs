//! Targets that would lead an edge to itself.

use super::*;
use crate::outbound::trap::{self, CLOSED, Trap};

#[tokio::test]
async fn a_name_that_changes_leads_nowhere_whatever_is_spoken() {
    for url in [
        "rtmp://rebound:{port}/live/gate",
        "rtmps://rebound:{port}/live/gate",
        "rtsp://rebound:{port}/live",
        "rtsps://rebound:{port}/live",
    ] {
        let mut world = World::through(trap::rebinding());
        world.grant();
        world.picture();
        let trap = Trap::set(&world.tasks, "");
        let target = url.replace("{port}", &trap.port.to_string());
        world.restreams.start(job(target.parse().expect("a URL")));
        world
            .wait_for(|report| report.message.contains(CLOSED))
            .await;
        trap.assert_nobody_is_inside(url);
        world.stop().await;
    }
}
