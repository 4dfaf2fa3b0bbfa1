//! Who is sent to another edge, in RTSP's own words.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use headworks_types::edge::{DirectoryUpdate, Peer};

use super::{
    talk::Client,
    world::{KEY, World, camera},
};
use crate::testing::{node, peer, route_to};

impl World {
    fn update(&self, update: DirectoryUpdate) {
        self.directory.set_own(node(1));
        self.directory.update(update);
    }
}

fn location(answer: &str) -> Option<&str> {
    let is_redirect = answer.starts_with("RTSP/1.0 302");
    let mut lines = answer.lines().filter(|_| is_redirect);
    lines.find_map(|line| line.strip_prefix("Location: "))
}

#[test]
fn players_of_an_edge_that_is_left_ask_elsewhere() {
    let world = World::new();
    let draining = Peer {
        draining: true,
        full: true,
        ..peer(1)
    };
    world.update(DirectoryUpdate {
        peers: vec![draining, peer(2)],
        ..DirectoryUpdate::default()
    });
    let url = world.url("rtsp", "");
    let token = world.token();
    let to = format!(
        "rtsp://edge-2:554/live/{}?token={token}&redirected=1",
        camera()
    );
    let describe = |url: &str, more: &str| Client::connect(&world).ask("DESCRIBE", url, more);
    let answer = describe(&format!("{url}?token={token}"), "");
    assert_eq!(location(&answer), Some(&*to), "{answer}");
    // A password would be lost on the way.
    let login = STANDARD.encode(format!("any:{token}"));
    let answer = describe(&url, &format!("Authorization: Basic {login}\r\n"));
    assert_eq!(location(&answer), Some(&*to), "{answer}");
    let answer = describe(&format!("{url}?token=x"), "");
    assert!(answer.starts_with("RTSP/1.0 401"), "{answer}");
    let answer = describe(&format!("{url}?token={token}&redirected=1"), "");
    assert!(
        answer.starts_with("RTSP/1.0 503 this edge serves as many"),
        "{answer}"
    );
    world.stop();
}

#[test]
fn publishers_are_sent_to_where_their_camera_is() {
    let world = World::new();
    let other = headworks_types::CameraId::from(uuid::Uuid::from_u128(3));
    world.update(DirectoryUpdate {
        peers: vec![peer(1), peer(2)],
        routes: vec![route_to(other, node(2))],
        ..DirectoryUpdate::default()
    });
    let sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
        a=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n";
    let announce = |query: &str| {
        let url = format!("rtsp://127.0.0.1:{}/live/{other}{query}", world.port());
        let head = format!(
            "Content-Type: application/sdp\r\nContent-Length: {}\r\n",
            sdp.len()
        );
        Client::connect(&world).send("ANNOUNCE", &url, &head, sdp)
    };
    let answer = announce(&format!("?key={KEY}"));
    let to = format!("rtsp://edge-2:554/live/{other}?key={KEY}&redirected=1");
    assert_eq!(location(&answer), Some(&*to), "{answer}");
    let answer = announce(&format!("?key={KEY}&redirected=1"));
    assert!(answer.starts_with("RTSP/1.0 403"), "{answer}");
    let answer = announce("?key=x");
    assert!(answer.starts_with("RTSP/1.0 403"), "{answer}");
    world.stop();
}
