//! Every edge serves every camera: one copy comes from the edge that has it, and viewers stay when the
//! camera moves.

use headworks_testkit::{Audio, CameraOptions, Headworks, Player, wait_until};
use headworks_types::{
    CameraId, CameraPlaybackRequest, CameraState, NodeDrainRequest, NodeId, PlaybackUrls,
};

use crate::{
    parts::Cluster,
    scene::{SOON, camera, camera_with},
};

const NAMES: [&str; 3] = ["edge-1", "edge-2", "edge-3"];

fn edges(cluster: &Cluster, count: usize) -> Vec<(&'static str, Headworks)> {
    let edges = NAMES[..count].iter();
    let edges = edges.map(|name| (*name, cluster.edge(name))).collect();
    cluster.wait_until_ready(count);
    edges
}

/// Who has the camera.
fn holder(cluster: &Cluster, camera: CameraId) -> (NodeId, String) {
    let status = cluster.api.view(camera).status;
    let name = status.node_name.expect("is placed");
    (status.node_id.expect("is placed"), name)
}

/// Where the camera is watched at an edge that does not have it.
fn elsewhere(cluster: &Cluster, camera: CameraId) -> PlaybackUrls {
    let (holder, _) = holder(cluster, camera);
    let asked = CameraPlaybackRequest::default();
    let told = cluster
        .api
        .call(cluster.api.client.camera_playback(camera, &asked));
    let mut others = told.edges.into_iter().filter(|edge| edge.node_id != holder);
    others.next().expect("there are others").urls
}

/// Waits until the camera is live at another edge than `before`.
fn moved(cluster: &Cluster, camera: CameraId, before: NodeId) {
    cluster.api.wait_for(camera, "live elsewhere", |record| {
        let status = &record.status;
        status.state == CameraState::Live && status.node_id != Some(before)
    });
}

#[test]
fn all_protocols_play_where_the_camera_is_not_and_it_is_asked_once() {
    let camera = camera_with(CameraOptions {
        audio: Audio::Aac,
        ..CameraOptions::default()
    });
    let cluster = Cluster::start();
    let _edges = edges(&cluster, 2);
    let id = cluster.api.add_live(&camera);
    let urls = elsewhere(&cluster, id);
    let offered = [
        Some(urls.flv),
        Some(urls.ts),
        Some(urls.hls),
        urls.rtmp,
        urls.rtsp,
    ];
    let mut players: Vec<_> = offered
        .iter()
        .flatten()
        .map(|url| Player::start(url.as_str()).expect("starts"))
        .collect();
    assert_eq!(players.len(), 5);
    for player in &mut players {
        let seen = player.wait_for_pictures(15, SOON).expect("plays");
        let mut codecs = seen.codecs();
        codecs.sort_unstable();
        assert_eq!(codecs, ["aac", "h264"], "{seen:?}");
    }
    assert_eq!((camera.playing(), camera.plays()), (1, 1));
}

#[test]
fn viewers_elsewhere_stay_when_the_edge_that_has_the_camera_is_killed() {
    let camera = camera();
    let cluster = Cluster::start();
    let mut edges = edges(&cluster, 3);
    let id = cluster.api.add_live(&camera);
    let mut viewer = Player::start(elsewhere(&cluster, id).flv.as_str()).expect("starts");
    viewer.wait_for_pictures(15, SOON).expect("plays");
    let (before, name) = holder(&cluster, id);
    let killed = edges.iter_mut().find(|(edge, _)| **edge == *name);
    killed.expect("is one of them").1.kill();
    moved(&cluster, id, before);
    let more = viewer.wait_for_pictures(30, SOON);
    more.expect("the same player goes on");
}

#[test]
fn nobody_is_interrupted_by_a_drain() {
    let camera = camera();
    let cluster = Cluster::start();
    let _edges = edges(&cluster, 2);
    let id = cluster.api.add_live(&camera);
    let here = cluster.api.urls(id);
    let there = elsewhere(&cluster, id);
    let mut viewers = [here.flv, here.hls, there.flv, there.hls]
        .map(|url| Player::start(url.as_str()).expect("starts"));
    for viewer in &mut viewers {
        viewer.wait_for_pictures(15, SOON).expect("plays");
    }
    let (before, _) = holder(&cluster, id);
    let drain = NodeDrainRequest {
        deadline_seconds: 60,
    };
    cluster
        .api
        .call(cluster.api.client.node_drain(before, &drain));
    moved(&cluster, id, before);
    wait_until("the old edge has let go of the camera", SOON, || {
        (camera.playing() == 1).then_some(())
    })
    .expect("it does");
    for viewer in &mut viewers {
        let more = viewer.wait_for_pictures(30, SOON);
        more.expect("the same player goes on");
    }
    assert_eq!(camera.plays(), 2, "it was asked once by each edge");
}
