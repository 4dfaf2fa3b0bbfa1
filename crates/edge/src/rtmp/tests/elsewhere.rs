//! Who is sent to another edge.

use headworks_testkit::{Player, tool};
use headworks_types::edge::{DirectoryUpdate, Peer};

use super::world::{AAC, H264, KEY, LIMIT, World, camera, last_words, publish};
use crate::testing::{node, peer, route_to};

impl World {
    fn update(&self, update: DirectoryUpdate) {
        self.directory.set_own(node(1));
        self.directory.update(update);
    }
}

#[test]
fn publishers_are_told_where_their_camera_is() {
    let world = World::new();
    let there = world.publish_url("rtmp").replace("0001?", "0003?");
    let other = "00000000-0000-0000-0000-000000000003";
    let other = headworks_types::CameraId::from(other.parse::<uuid::Uuid>().expect("parses"));
    world.update(DirectoryUpdate {
        peers: vec![peer(1), peer(2)],
        routes: vec![route_to(other, node(2)), route_to(camera(), node(2))],
        ..DirectoryUpdate::default()
    });
    let publishing = |url: &str| last_words(publish(tool::FFMPEG, &[H264, AAC], url));
    let said = publishing(&there);
    assert!(
        said.contains(&format!("go to rtmp://edge-2:1935/live/{other}")),
        "{said}"
    );
    assert!(
        !said.contains("redirected"),
        "keys are shown to nobody: {said}"
    );
    // Once, and not to those who show no key.
    let wrong = "this stream key is not valid for this camera here";
    let said = publishing(&format!("{there}&redirected=1"));
    assert!(said.contains(wrong), "{said}");
    let said = publishing(&there.replace(KEY, "x"));
    assert!(said.contains(wrong), "{said}");
    // What this edge has is published here, whatever others say.
    let mut here = publish(tool::FFMPEG, &[H264, AAC], &world.publish_url("rtmp"));
    world.wait_for_live(&mut here);
    world.stop();
}

#[test]
fn players_are_told_where_to_go() {
    let world = World::new();
    let own = Peer {
        draining: true,
        full: true,
        ..peer(1)
    };
    world.update(DirectoryUpdate {
        peers: vec![own, peer(2)],
        ..DirectoryUpdate::default()
    });
    let play = world.play_url("rtmp");
    let there = format!("go to rtmp://edge-2:1935/live/{}", camera());
    let full = "this edge serves as many viewers as it may";
    let cases = [
        (play.clone(), &*there),
        (format!("{play}&redirected=1"), full),
        (
            world.url("rtmp", "?token=x"),
            "this is not a playback token",
        ),
        // Nobody else has TLS.
        (world.play_url("rtmps"), full),
    ];
    for (url, words) in cases {
        let mut player = Player::start(&url).expect("starts");
        let said = player.wait_for(LIMIT, |_| false).expect_err("it ends");
        assert!(said.to_string().contains(words), "{url}: {said}");
    }
    world.stop();
}
