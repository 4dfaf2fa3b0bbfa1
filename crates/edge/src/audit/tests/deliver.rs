//! What a controller refuses costs nobody else's record.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use headworks_bootstrap::Tasks;
use headworks_client::Client;
use headworks_types::{Problem, ProblemCode, edge::AuditDelivery};
use tokio::sync::watch;

use super::*;
use crate::audit::deliver::{Course, PATIENCE};

/// The records that an older controller does not understand.
const NEW: [u128; 2] = [137, 138];

#[derive(Clone, Default)]
struct Controller(Arc<Script>);

#[derive(Default)]
struct Script {
    /// Cameras of the records that it has, by number.
    stored: Mutex<BTreeMap<i64, u128>>,
    /// What it says to what it does not understand; `None` of one that understands.
    says: Mutex<Option<ProblemCode>>,
}

impl Controller {
    async fn start(&self, tasks: &Tasks) -> watch::Receiver<Client> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let take = post(take).with_state(self.clone());
        let router = Router::new().route("/edge/v1/audit", take);
        let token = tasks.token();
        tasks.spawn("controller", async move {
            let served = axum::serve(listener, router).into_future();
            token.run_until_cancelled(served).await
        });
        let url = format!("http://{address}/").parse().expect("parses");
        watch::channel(Client::new(url).expect("is HTTP")).1
    }

    fn says(&self, code: Option<ProblemCode>) {
        *self.0.says.lock().expect("is not poisoned") = code;
    }

    fn stored(&self) -> Vec<u128> {
        let stored = self.0.stored.lock().expect("is not poisoned");
        stored.values().copied().collect()
    }
}

async fn take(
    State(Controller(script)): State<Controller>,
    Json(delivery): Json<AuditDelivery>,
) -> axum::response::Response {
    let cameras = cameras(&delivery.entries);
    let says = *script.says.lock().expect("is not poisoned");
    if let Some(code) = says
        && cameras.iter().any(|camera| NEW.contains(camera))
    {
        let status = StatusCode::from_u16(code.status()).expect("is one");
        return (status, Json(Problem::new(code))).into_response();
    }
    let mut stored = script.stored.lock().expect("is not poisoned");
    for (entry, camera) in delivery.entries.iter().zip(cameras) {
        assert_eq!(stored.insert(entry.sequence, camera), None, "is sent once");
    }
    StatusCode::NO_CONTENT.into_response()
}

/// 300 records, two of which are new to some controllers.
struct World {
    tasks: Tasks,
    controller: Controller,
    clock: Clock,
    audit: Audit,
    course: Course,
    _directory: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let tasks = Tasks::new();
        let controller = Controller::default();
        let client = controller.start(&tasks).await;
        let directory = tempfile::tempdir().expect("makes one");
        let store = Store::open(directory.path(), &Config::default()).expect("opens");
        let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH);
        let (audit, _) = Audit::new(clock.clone());
        let shelf = store.shelf(Kind::Refused);
        let records = (1..=300).map(|number| refusal(&audit, number, "wrong_key"));
        shelf.append(records.collect()).await.expect("writes");
        let course = Course::new(audit.clone(), &store, Kind::Refused, client);
        Self {
            tasks,
            controller,
            clock,
            audit,
            course,
            _directory: directory,
        }
    }

    /// Delivers until there is nothing, or the controller does not take it.
    async fn deliver(&mut self) -> anyhow::Result<()> {
        while self.course.turn().await? {}
        Ok(())
    }

    async fn end(self) {
        self.tasks.shutdown(Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn an_upgrade_of_the_controllers_costs_no_record() {
    let mut world = World::start().await;
    for code in [
        ProblemCode::Malformed,
        ProblemCode::Invalid,
        ProblemCode::TooLarge,
    ] {
        world.controller.says(Some(code));
        world.deliver().await.expect_err("is refused");
        assert_eq!(world.controller.stored(), Vec::from_iter(1..137));
        world.clock.advance(PATIENCE / 4);
    }
    world.controller.says(None);
    world.deliver().await.expect("is taken");
    assert_eq!(world.controller.stored(), Vec::from_iter(1..=300));
    assert_eq!(world.audit.take_lost(Kind::Refused), None);
    world.end().await;
}

#[tokio::test]
async fn only_the_records_that_nobody_takes_are_given_up() {
    let mut world = World::start().await;
    world.controller.says(Some(ProblemCode::Invalid));
    world.deliver().await.expect_err("is refused");
    world.clock.advance(PATIENCE);
    world.deliver().await.expect("the rest is taken");
    let rest = (1..137).chain(139..=300);
    assert_eq!(world.controller.stored(), Vec::from_iter(rest));
    let lost = world.audit.take_lost(Kind::Refused);
    assert_eq!(lost.map(|lost| lost.count), Some(2));
    world.end().await;
}

#[tokio::test]
async fn what_is_not_about_the_records_costs_none_however_long_it_lasts() {
    let mut world = World::start().await;
    for code in [
        ProblemCode::Unauthenticated,
        ProblemCode::Forbidden,
        ProblemCode::NotFound,
        ProblemCode::TooManyRequests,
        ProblemCode::Internal,
    ] {
        world.controller.says(Some(code));
        world.deliver().await.expect_err("is refused");
        world.clock.advance(2 * PATIENCE);
        world.deliver().await.expect_err("is refused");
    }
    world.controller.says(None);
    world.deliver().await.expect("is taken");
    assert_eq!(world.controller.stored(), Vec::from_iter(1..=300));
    assert_eq!(world.audit.take_lost(Kind::Refused), None);
    world.end().await;
}
