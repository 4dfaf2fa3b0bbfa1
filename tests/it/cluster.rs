//! One controller, several edges: what becomes of cameras when an edge dies, joins or freezes.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use headworks_testkit::{Headworks, Launch, Player, RtmpServer, Signal, http, wait_until};
use headworks_types::{CameraState, RestreamState};

use crate::{
    parts::{Cluster, text},
    restream::to,
    scene::{SOON, camera},
};

#[test]
fn a_killed_edge_comes_back_with_its_camera() {
    let camera = camera();
    let cluster = Cluster::start();
    let mut edge = cluster.edge("edge-1");
    cluster.wait_until_ready(1);
    let id = cluster.api.add_live(&camera);
    let node = cluster.api.view(id).status.node_id;

    edge.kill();
    let _edge = cluster.edge("edge-1");
    let record = cluster.api.wait_for(id, "live again", |record| {
        record.status.state == CameraState::Live && camera.playing() == 1
    });
    // It serves, at another port, before it has told anybody where.
    let url = wait_until("the cluster knows where it is now", SOON, || {
        let url = cluster.api.urls(id).flv;
        let answer = http::send("GET", url.as_str(), &[], b"");
        answer.is_ok_and(|it| it.status == 200).then_some(url)
    });
    let url = url.expect("it does");
    assert_eq!(record.status.node_id, node, "it is the same node");
    let nodes = cluster.api.call(cluster.api.client.node_list()).items;
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    let mut viewer = Player::start(url.as_str()).expect("starts");
    viewer.wait_for_pictures(15, SOON).expect("plays");
}

#[test]
fn the_cameras_of_a_killed_edge_move_to_another() {
    let camera = camera();
    let cluster = Cluster::start();
    let mut edges = ["edge-1", "edge-2"].map(|name| (name, cluster.edge(name)));
    cluster.wait_until_ready(2);
    let id = cluster.api.add_live(&camera);
    let before = cluster.api.view(id).status;
    let holder = before.node_name.expect("is placed");

    let (_, holding) = edges
        .iter_mut()
        .find(|(name, _)| *name == holder)
        .expect("it is one of them");
    holding.kill();
    let after = cluster.api.wait_for(id, "live elsewhere", |record| {
        let status = &record.status;
        status.state == CameraState::Live && status.node_name.as_ref() != Some(&holder)
    });
    assert!(after.status.epoch > before.epoch, "{after:?}");
    let mut viewer = Player::start(cluster.api.urls(id).flv.as_str()).expect("starts");
    viewer.wait_for_pictures(15, SOON).expect("plays");
}

#[test]
fn a_join_token_that_is_wrong_is_refused_in_words() {
    let cluster = Cluster::start();
    let launch = Launch::default()
        .env("HEADWORKS__EDGE__CONTROLLER_URL", &cluster.url)
        .env("HEADWORKS__EDGE__JOIN_TOKEN", "hwjt_nobody_knows")
        .env("HEADWORKS__EDGE__HTTP_LISTEN", "127.0.0.1:0")
        .env("HEADWORKS__EDGE__DATA", text(cluster.directory.path()));
    let mut edge = Headworks::run(&["edge".into()], &launch).expect("runs");
    let status = edge.wait(SOON).expect("ends");
    assert_eq!(status.code(), Some(1));
    assert!(edge.log().contains("join token"), "{}", edge.log());
}

/// Stands before a target and counts what each connection brings.
struct Tap {
    connections: Arc<Mutex<Vec<Arc<Tapped>>>>,
    url: String,
}

struct Tapped {
    bytes: AtomicU64,
    is_open: AtomicBool,
    /// The target's end.
    target: TcpStream,
}

impl Tap {
    fn before(target: &RtmpServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("is bound");
        let mut url: url::Url = target.url("live", "gate").parse().expect("is a URL");
        let port = url.port().expect("has one");
        url.set_port(Some(address.port())).expect("has a host");
        let connections = Arc::<Mutex<Vec<Arc<Tapped>>>>::default();
        let all = Arc::clone(&connections);
        thread::spawn(move || {
            for pusher in listener.incoming().map_while(Result::ok) {
                let mut all = all.lock().expect("not poisoned");
                // The target lets only one in; the one before may still send, to us.
                for before in all.iter() {
                    let _ = before.target.shutdown(Shutdown::Both);
                }
                all.push(Tapped::open(pusher, port));
            }
        });
        Self {
            connections,
            url: url.to_string(),
        }
    }

    fn connection(&self, number: usize) -> Option<Arc<Tapped>> {
        let all = self.connections.lock().expect("not poisoned");
        all.get(number).cloned()
    }
}

impl Tapped {
    fn open(mut pusher: TcpStream, port: u16) -> Arc<Self> {
        let target = TcpStream::connect(("127.0.0.1", port)).expect("listens");
        let mut answers = target.try_clone().expect("clones");
        let mut back = pusher.try_clone().expect("clones");
        let tapped = Arc::new(Self {
            bytes: AtomicU64::new(0),
            is_open: AtomicBool::new(true),
            target,
        });
        thread::spawn(move || std::io::copy(&mut answers, &mut back));
        let counted = Arc::clone(&tapped);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = pusher.read(&mut buffer) {
                counted.bytes.fetch_add(count as u64, Ordering::SeqCst);
                let _ = (&counted.target).write_all(&buffer[..count]);
            }
            counted.is_open.store(false, Ordering::SeqCst);
        });
        tapped
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    fn wait_for_bytes(&self, what: &str, count: u64) {
        wait_until(what, SOON, || (self.bytes() >= count).then_some(())).expect(what);
    }
}

/// A frozen edge does not know that another one pushes by now: when it thaws, not a byte may come.
#[test]
fn two_edges_never_push_at_once() {
    let camera = camera();
    let target = RtmpServer::start().expect("starts");
    let tap = Tap::before(&target);
    let cluster = Cluster::start();
    let mut edges = ["edge-1", "edge-2"].map(|name| (name, cluster.edge(name)));
    cluster.wait_until_ready(2);
    let id = cluster.api.add_live(&camera);
    let push = cluster.api.push(id, &to(&tap.url));
    let before = cluster.api.wait_for_push(push, RestreamState::Live).status;
    let holder = before.node_name.expect("is placed");
    let frozen = tap.connection(0).expect("is there");
    frozen.wait_for_bytes("the first edge pushes", 10_000);

    let mut found = edges.iter_mut().filter(|(name, _)| *name == holder);
    let (_, holding) = found.next().expect("it is one of them");
    holding.signal(Signal::Stop);
    let other = wait_until("the other edge connects", SOON, || tap.connection(1)).expect("does");
    let then = frozen.bytes();
    other.wait_for_bytes("the other edge pushes", 10_000);
    holding.signal(Signal::Continue);

    wait_until("the first edge is cut off", SOON, || {
        (!frozen.is_open.load(Ordering::SeqCst)).then_some(())
    })
    .expect("is");
    assert_eq!(frozen.bytes(), then, "not one byte more");
    cluster.wait_until_ready(2);
    other.wait_for_bytes("the other edge goes on", other.bytes() + 100_000);
    assert!(other.is_open.load(Ordering::SeqCst));
    assert!(tap.connection(2).is_none(), "the first edge leaves it be");
    let after = cluster.api.wait_for_push(push, RestreamState::Live).status;
    assert_ne!(after.node_name.as_ref(), Some(&holder));
    assert_eq!(after.epoch, before.epoch + 1);
}
