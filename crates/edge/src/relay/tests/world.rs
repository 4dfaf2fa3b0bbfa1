//! Edges of one cluster in one process, with real sockets and TLS between them. Before each stands a
//! proxy, so that tests can cut it off or let it freeze.

use std::{net::SocketAddr, time::Duration};

use headworks_bootstrap::{Clock, Tasks};
use headworks_types::{
    Advertise, CameraSource, NodeState, ProjectId, Secret, StartMode,
    edge::{DirectoryUpdate, IngestWork, Role, SlotKey, ViewPolicy},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use uuid::Uuid;

use super::super::*;
use crate::{
    agent::Identity,
    audit::Audit,
    hub::{self, Publisher, Reader, ViewerGuard},
    ingest,
    testing::{LIMIT, authority},
};

pub(super) fn id(number: u128) -> NodeId {
    Uuid::from_u128(number).into()
}

pub(super) fn camera() -> CameraId {
    Uuid::from_u128(100).into()
}

/// Waits for something that has to come soon.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("in time")
}

/// Waits until a condition holds that nobody announces.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    let wait = async {
        while !holds() {
            look.tick().await;
        }
    };
    soon(wait).await;
}

/// How connections to an edge fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// Nothing goes either way, and nobody hears why.
    Frozen,
    /// Connections end at once.
    Cut,
}

/// What stands before an edge.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    pub(super) way: watch::Sender<Way>,
}

impl Proxy {
    async fn start(to: SocketAddr, tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (way, ways) = watch::channel(Way::Open);
        let (connections, stop) = (tasks.clone(), tasks.token());
        let accept = async move {
            loop {
                let (near, _) = listener.accept().await.expect("accepts");
                let (mut ways, stop) = (ways.clone(), connections.token());
                connections.spawn("proxied", async move {
                    let carry = async {
                        if *ways.borrow_and_update() == Way::Cut {
                            return;
                        }
                        let far = TcpStream::connect(to).await.expect("the edge listens");
                        let ((near_in, near_out), (far_in, far_out)) =
                            (near.into_split(), far.into_split());
                        tokio::select! {
                            () = copy(near_in, far_out, ways.clone()) => {}
                            () = copy(far_in, near_out, ways) => {}
                        }
                    };
                    stop.run_until_cancelled(carry).await;
                });
            }
        };
        tasks.spawn(
            "proxy",
            async move { stop.run_until_cancelled(accept).await },
        );
        Self { address, way }
    }

    pub(super) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut ways: watch::Receiver<Way>,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let way = *ways.borrow_and_update();
        match way {
            Way::Cut => return,
            Way::Frozen => {
                let _ = ways.changed().await;
            }
            Way::Open => tokio::select! {
                read = from.read(&mut buffer) => match read {
                    Ok(count @ 1..) if to.write_all(&buffer[..count]).await.is_ok() => {}
                    _ => return,
                },
                _ = ways.changed() => {}
            },
        }
    }
}

/// One edge.
pub(super) struct Edge {
    pub(super) node: NodeId,
    pub(super) zone: String,
    pub(super) own: Own,
    pub(super) hub: Hub,
    pub(super) ingests: Ingests,
    pub(super) directory: Directory,
    pub(super) relays: Relays,
    pub(super) proxy: Proxy,
    /// Where it really listens.
    pub(super) address: SocketAddr,
    pub(super) tasks: Tasks,
}

/// All edges, and those who write and watch.
pub(super) struct World {
    pub(super) edges: Vec<Edge>,
    tasks: Tasks,
    epoch: i64,
}

pub(super) fn config() -> Config {
    Config {
        idle: Duration::from_millis(200),
        pace: config::Pace {
            back: Duration::from_millis(300),
            // Machines that run tests are slow.
            stagger: Duration::from_secs(5),
            connect: Duration::from_secs(20),
            retry_min: Duration::from_millis(20),
            retry_max: Duration::from_millis(100),
            ..config::Pace::default()
        },
    }
}

impl World {
    /// An edge in each of these zones, numbered from 1. The first brings the camera in.
    pub(super) async fn new(zones: &[&str]) -> Self {
        Self::with(zones, config(), hub::Config::default()).await
    }

    pub(super) async fn with(zones: &[&str], config: Config, hub: hub::Config) -> Self {
        let tasks = Tasks::new();
        let mut edges = Vec::new();
        for (number, zone) in (1..).zip(zones) {
            edges.push(Edge::start(id(number), zone, config, hub, &tasks).await);
        }
        let mut world = Self {
            edges,
            tasks,
            epoch: 0,
        };
        let peers = world.edges.iter().map(Edge::peer).collect();
        world.tell(&DirectoryUpdate {
            complete: true,
            peers,
            ..DirectoryUpdate::default()
        });
        world.place(0);
        world
    }

    /// Every edge learns this.
    pub(super) fn tell(&self, update: &DirectoryUpdate) {
        for edge in &self.edges {
            edge.directory.update(update.clone());
        }
    }

    /// The camera is brought in by this edge from now on, and all edges know.
    pub(super) fn place(&mut self, index: usize) {
        self.epoch += 1;
        self.edges[index].ingest(self.epoch);
        let route = route(Some(self.edges[index].node), self.epoch);
        self.tell(&DirectoryUpdate {
            routes: vec![route],
            ..DirectoryUpdate::default()
        });
    }

    /// What the edge of this number has of the camera, or will have.
    pub(super) fn watch(&self, index: usize) -> Viewer {
        Viewer::new(&self.edges[index])
    }

    pub(super) async fn stop(self) {
        self.tasks.shutdown(LIMIT).await;
    }
}

/// Where the camera is.
pub(super) fn route(origin: Option<NodeId>, epoch: i64) -> Route {
    Route {
        camera_id: camera(),
        project_id: ProjectId::from(Uuid::from_u128(1)),
        camera_name: "gate".to_owned(),
        origin,
        epoch,
        view: ViewPolicy::default(),
    }
}

impl Edge {
    async fn start(
        node: NodeId,
        zone: &str,
        config: Config,
        hub: hub::Config,
        tasks: &Tasks,
    ) -> Self {
        let (clock, tasks) = (Clock::system(), tasks.child());
        let hub = Hub::new(hub, clock.clone(), tasks.clone());
        let ingests = Ingests::new(
            ingest::Config::default(),
            hub.clone(),
            Audit::new(clock.clone()).0,
            clock.clone(),
            tasks.clone(),
        );
        let (own, directory) = (Own::default(), Directory::default());
        let relays = Relays::new(
            config,
            own.clone(),
            directory.clone(),
            hub.clone(),
            ingests.clone(),
            clock,
            tasks.clone(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        relays.serve(listener);
        own.set(&identity(node));
        Self {
            node,
            zone: zone.to_owned(),
            own,
            hub,
            ingests,
            directory,
            relays,
            proxy: Proxy::start(address, &tasks).await,
            address,
            tasks,
        }
    }

    pub(super) fn peer(&self) -> Peer {
        let name = format!("edge-{}", self.node.uuid().as_u128());
        let viewers = "https://127.0.0.1:1/".parse().expect("parses");
        Peer {
            id: self.node,
            name,
            site: "lyon".to_owned(),
            zone: self.zone.clone(),
            relay: Some(
                format!("https://{}/", self.proxy.address)
                    .parse()
                    .expect("parses"),
            ),
            advertise: Advertise::new(viewers),
            state: NodeState::Ready,
            draining: false,
            full: false,
        }
    }

    /// It brings the camera in by this assignment.
    pub(super) fn ingest(&self, epoch: i64) {
        self.ingests.start(ingest::Job {
            key: slot(),
            epoch,
            camera_name: "gate".to_owned(),
            work: IngestWork {
                source: CameraSource::Publish,
                credentials: None,
                start: StartMode::Always,
                stream_keys: Vec::new(),
                outbound_allow: Vec::new(),
                exclusive: false,
            },
        });
    }

    /// The camera's frames, as it gives them here.
    pub(super) fn source(&self) -> Film {
        Film {
            publisher: self.hub.publish(camera()),
            pictures: 0,
        }
    }

    /// Bytes that have come from other edges: from the own zone, and from others.
    pub(super) fn received(&self) -> (u64, u64) {
        let counters = self.relays.counters();
        (
            counters.received(true).get(),
            counters.received(false).get(),
        )
    }

    /// From whom it has the camera.
    pub(super) fn parent(&self) -> Option<NodeId> {
        let relayed = self.relays.0.relayed();
        let upstream = relayed.get(&camera())?.upstream.borrow().clone()?;
        upstream.path.first().copied()
    }
}

pub(super) fn slot() -> SlotKey {
    SlotKey {
        camera_id: camera(),
        role: Role::Ingest,
        ordinal: 0,
    }
}

/// What a node has on its disk once it has joined.
pub(super) fn identity(node: NodeId) -> Identity {
    let given = authority().node(node);
    Identity {
        node_id: node,
        key: Secret::new(given.key.expose()),
        certificate: given.certificate,
        authority: given.authority,
        renew_at: chrono::DateTime::UNIX_EPOCH,
    }
}

/// What a camera gives: a key frame, three pictures, and sound beside each.
pub(super) struct Film {
    publisher: Publisher,
    pictures: i64,
}

impl Film {
    pub(super) fn begin(&mut self) {
        self.publisher
            .start_session(hub::testing::tracks_with_sound());
    }

    /// So many pictures more.
    pub(super) fn roll(&mut self, pictures: i64) {
        self.roll_of(pictures, 500);
    }

    /// The same, of this size.
    pub(super) fn roll_of(&mut self, pictures: i64, size: usize) {
        for _ in 0..pictures {
            let number = self.pictures;
            let key = number % 4 == 0;
            let mut payload = hub::testing::picture(0, key, size).payload.to_vec();
            // So that none is like another.
            let mark = number.to_be_bytes();
            let at = payload.len() - mark.len();
            payload[at..].copy_from_slice(&mark);
            self.publisher
                .video_with_dts(number * 3600, number * 3600 + 1800, key, payload.into());
            self.publisher
                .audio(number * 320, 320, vec![number as u8; 320].into());
            self.pictures += 1;
        }
        self.publisher.wake();
    }
}

/// Watches the camera on one edge.
pub(super) struct Viewer {
    pub(super) stream: Arc<Stream>,
    reader: Reader,
    _guard: ViewerGuard,
}

impl Viewer {
    fn new(edge: &Edge) -> Self {
        let stream = edge.relays.0.find(camera()).expect("is known");
        Self {
            reader: Reader::newest(Arc::clone(&stream)),
            _guard: stream.add_viewer_for(None),
            stream,
        }
    }

    /// The next frames, as the origin has them.
    pub(super) async fn take(&mut self, count: usize) -> Vec<hub::Relayed> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let next = timeout(LIMIT, self.reader.next()).await;
            let next = next.unwrap_or_else(|_| {
                let status = self.stream.status();
                panic!("{} frames, then {status:?}", taken.len())
            });
            taken.push(next.expect("goes on").relayed());
        }
        taken
    }

    /// The next one, as viewers have it here: when it is decoded.
    pub(super) async fn next(&mut self) -> Arc<hub::Entry> {
        soon(self.reader.next()).await.expect("goes on")
    }

    pub(super) fn jumps(&self) -> u64 {
        self.reader.jumps()
    }

    /// Waits until the stream says something like this.
    pub(super) async fn says(&self, words: &str) {
        let mut status = self.stream.follow_status();
        let heard = timeout(
            LIMIT,
            status.wait_for(|status| status.message.contains(words)),
        )
        .await;
        if heard.is_err() {
            panic!("{:?} is not {words:?}", self.stream.status());
        }
    }
}
