//! Strict work: never on two nodes at once.

use std::io;

use headworks_bootstrap::Tasks;
use headworks_types::{
    CameraId, ProblemCode, RestreamAudio, RestreamId, RestreamSigning, RestreamVideo, Transport,
    edge::{RestreamWork, SlotState},
};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::hub::{Publisher, testing};

const CAMERA: u8 = 1;

/// Somebody else's server, which takes connections and says nothing.
struct Target(TcpListener);

impl Target {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self(listener.expect("a free port"))
    }

    fn slot(&self, epoch: i64) -> DesiredSlot {
        let address = self.0.local_addr().expect("is bound");
        let mut slot = slot(CAMERA, epoch);
        slot.key.role = Role::Restream;
        slot.work = edge::Work::Restream(Box::new(RestreamWork {
            id: RestreamId::from(Uuid::nil()),
            name: "target".to_owned(),
            generation: 1,
            url: format!("rtmp://{address}/live/gate")
                .parse()
                .expect("parses"),
            transport: Transport::Tcp,
            tls_verify: true,
            credentials: None,
            stream_key: None,
            signing: RestreamSigning::None,
            video: RestreamVideo::Copy,
            audio: RestreamAudio::Copy,
            outbound_allow: Vec::new(),
        }));
        slot
    }

    async fn connection(&self) -> TcpStream {
        soon(self.0.accept()).await.expect("accepts").0
    }

    fn is_alone(&self) -> bool {
        use futures::FutureExt as _;
        self.0.accept().now_or_never().is_none()
    }
}

/// True if the other end has let go of it.
fn is_gone(connection: &TcpStream) -> bool {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match connection.try_read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// A camera with a picture.
fn live_camera(tasks: &Tasks) -> (Hub, Publisher) {
    let hub = Hub::new(
        crate::hub::Config::default(),
        Clock::system(),
        tasks.clone(),
    );
    let mut camera = hub.publish(CameraId::from(Uuid::from_u128(CAMERA.into())));
    camera.start_session(testing::tracks());
    camera.video(0, true, testing::picture(0, true, 100).payload);
    camera.stream().set_status(SlotState::Live, "live");
    camera.wake();
    (hub, camera)
}

#[tokio::test]
async fn work_has_stopped_before_its_end_is_reported() {
    let tasks = Tasks::new();
    let (controller, target) = (Controller::start(&tasks).await, Target::start().await);
    controller.first(vec![snapshot(4, vec![target.slot(1)])]);
    let edge = Edge::new(&controller.0.url);
    let (hub, _camera) = live_camera(&tasks);
    let (agent, ..) = edge.load_with(&tasks, hub);
    soon(agent.start(&tasks)).await.expect("starts");
    let connection = target.connection().await;
    controller
        .say(WatchMessage::Delta {
            revision: 5,
            upsert: Vec::new(),
            remove: vec![target.slot(1).key],
        })
        .await;
    controller.renewal(|renewal| renewal.revision == 5).await;
    assert!(is_gone(&connection));
    stop(&tasks).await;
}

#[tokio::test]
async fn goodbye_comes_after_the_end_of_the_work() {
    let world = Tasks::new();
    let (controller, target) = (Controller::start(&world).await, Target::start().await);
    controller.first(vec![snapshot(4, vec![target.slot(1)])]);
    let edge = Edge::new(&controller.0.url);
    let tasks = world.child();
    let (hub, _camera) = live_camera(&tasks);
    let (agent, ..) = edge.load_with(&tasks, hub);
    soon(agent.start(&tasks)).await.expect("starts");
    let connection = target.connection().await;
    tasks.token().cancel();
    controller.renewal(|renewal| renewal.goodbye).await;
    assert!(is_gone(&connection));
    stop(&tasks).await;
    stop(&world).await;
}

#[tokio::test]
async fn a_grant_of_a_newer_revision_starts_nothing() {
    let tasks = Tasks::new();
    let (controller, target) = (Controller::start(&tasks).await, Target::start().await);
    controller.first(vec![snapshot(4, vec![target.slot(1)])]);
    // Revision 5, which is not here yet, may take the work away.
    controller.grants(Some(5));
    let edge = Edge::new(&controller.0.url);
    let (hub, _camera) = live_camera(&tasks);
    let (agent, ..) = edge.load_with(&tasks, hub);
    soon(agent.start(&tasks)).await.expect("starts");
    for _ in 0..3 {
        controller.renewal(|renewal| renewal.revision == 4).await;
    }
    assert!(target.is_alone());
    controller.grants(None);
    target.connection().await;
    stop(&tasks).await;
}

#[tokio::test]
async fn what_is_known_from_disk_starts_only_with_a_controller() {
    let world = Tasks::new();
    let (controller, target) = (Controller::start(&world).await, Target::start().await);
    controller.first(vec![snapshot(4, vec![target.slot(1)])]);
    let edge = Edge::new(&controller.0.url);
    let first = world.child();
    let (hub, camera) = live_camera(&first);
    let (agent, ..) = edge.load_with(&first, hub);
    soon(agent.start(&first)).await.expect("starts");
    target.connection().await;
    drop(camera);
    stop(&first).await;

    controller.refuse_lease(Some(ProblemCode::Unavailable));
    controller.first(vec![]);
    let second = world.child();
    let (hub, _camera) = live_camera(&second);
    let (agent, work, _) = edge.load_with(&second, hub);
    soon(agent.start(&second)).await.expect("starts");
    let renewal = controller
        .renewal(|renewal| !renewal.slots.is_empty())
        .await;
    assert_eq!(renewal.slots[0].state, SlotState::Idle);
    assert!(work.reports()[0].message.contains("until a controller"));
    assert!(target.is_alone());
    controller.refuse_lease(None);
    target.connection().await;
    stop(&second).await;
    stop(&world).await;
}
