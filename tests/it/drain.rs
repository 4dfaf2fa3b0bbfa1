//! A node leaves: drained by an operator's command, or by its own goodbye. Its cameras go on elsewhere.

use std::process::{Command, Output};

use headworks_testkit::{Player, binary};
use headworks_types::{CameraState, DrainState, Node};

use crate::{
    parts::Cluster,
    scene::{SOON, camera},
};

/// Runs `headworks <arguments>` against the cluster.
fn headworks(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(binary().expect("is built"))
        .args(arguments)
        .env("HEADWORKS_API", cluster.api.client.base())
        .env("HEADWORKS_API_KEY", &cluster.admin_key)
        .output()
        .expect("runs")
}

/// What it printed, if it did well.
fn printed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_drained_node_is_left_and_removed_by_commands() {
    let camera = camera();
    let cluster = Cluster::start();
    let mut edges = ["edge-1", "edge-2"].map(|name| (name, cluster.edge(name)));
    cluster.wait_until_ready(2);
    let id = cluster.api.add_live(&camera);
    let before = cluster.api.view(id).status;
    let holder = before.node_name.expect("is placed");

    let drain = [
        "node",
        "drain",
        &holder,
        "--deadline",
        "5s",
        "--wait",
        "--json",
    ];
    let drained = headworks(&cluster, &drain);
    let node: Node = serde_json::from_str(&printed(&drained)).expect("is a node");
    let end = node.drain.expect("was drained");
    assert_eq!(
        (end.state, end.slots_total, end.slots_left),
        (DrainState::Drained, 1, 0)
    );
    let progress = String::from_utf8_lossy(&drained.stderr).into_owned();
    let last = format!("{holder}: drained: all 1 slots have left");
    assert_eq!(progress.lines().last(), Some(last.as_str()), "{progress}");
    let after = cluster.api.wait_for(id, "live elsewhere", |record| {
        let status = &record.status;
        status.state == CameraState::Live && status.node_name.as_ref() != Some(&holder)
    });
    assert!(after.status.epoch > before.epoch, "{after:?}");
    let mut viewer = Player::start(cluster.api.urls(id).flv.as_str()).expect("starts");
    viewer.wait_for_pictures(15, SOON).expect("plays");

    let id = id.to_string();
    let explained = printed(&headworks(&cluster, &["camera", "explain", &id]));
    let other = after.status.node_name.expect("is placed");
    let says = |first: &str, last: &str| {
        let mut lines = explained.lines();
        lines.any(|line| line.starts_with(first) && line.ends_with(last))
    };
    assert!(says("node ", &format!(" {other}")), "{explained}");
    assert!(says(&holder, ""), "{explained}");
    assert!(explained.contains("has it"), "{explained}");
    let refused = headworks(&cluster, &["node", "remove", &holder]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(
        errors.contains("renews its lease: drain and stop it first"),
        "{errors}"
    );
    let leaving = edges.iter_mut().find(|(name, _)| *name == holder);
    let (_, leaving) = leaving.expect("it is one of them");
    assert!(leaving.stop().expect("ends").success());
    printed(&headworks(&cluster, &["node", "remove", &holder]));
    let left = cluster.api.call(cluster.api.client.node_list()).items;
    let left: Vec<_> = left.into_iter().map(|node| node.name).collect();
    assert_eq!(left, [other]);
}

#[test]
fn the_cameras_of_an_edge_that_stops_move_at_once() {
    let camera = camera();
    let cluster = Cluster::start();
    let mut edges = ["edge-1", "edge-2"].map(|name| (name, cluster.edge(name)));
    cluster.wait_until_ready(2);
    let id = cluster.api.add_live(&camera);
    let holder = cluster.api.view(id).status.node_name.expect("is placed");
    let leaving = edges.iter_mut().find(|(name, _)| *name == holder);
    let (_, leaving) = leaving.expect("it is one of them");
    assert!(leaving.stop().expect("ends").success());
    let after = cluster.api.wait_for(id, "live elsewhere", |record| {
        let status = &record.status;
        status.state == CameraState::Live && status.node_name.as_ref() != Some(&holder)
    });
    // It was not waited until its lease had run out.
    assert!(
        after.status.reason.contains(&holder),
        "{}",
        after.status.reason
    );
    let nodes = cluster.api.call(cluster.api.client.node_list()).items;
    let stopped = nodes
        .iter()
        .find(|node| node.name == holder)
        .expect("is there");
    assert!(
        stopped.message.starts_with("was stopped"),
        "{}",
        stopped.message
    );
    let mut viewer = Player::start(cluster.api.urls(id).flv.as_str()).expect("starts");
    viewer.wait_for_pictures(15, SOON).expect("plays");
}
