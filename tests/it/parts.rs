//! The parts as processes of their own: one controller, several edges.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use headworks_testkit::{Headworks, Launch, Postgres, wait_until};
use headworks_types::{JoinTokenCreate, NodeState, Secret};

use crate::scene::{Api, SOON, directory};

/// 32 bytes, known to everybody.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A controller with short leases, on a database of its own.
pub(crate) struct Cluster {
    pub(crate) api: Api,
    pub(crate) admin_key: String,
    /// Where edges talk to the controller.
    pub(crate) url: String,
    pub(crate) controller: Headworks,
    pub(crate) directory: tempfile::TempDir,
    arguments: [OsString; 3],
    launch: Launch,
    pub(crate) database: Postgres,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::launch(|_| Launch::default())
    }

    /// With more environment for the controller, once it is known where the database is.
    pub(crate) fn launch(more: impl FnOnce(&Postgres) -> Launch) -> Self {
        let database = Postgres::throw_away().expect("starts");
        let directory = directory();
        let config = directory.path().join("controller.toml");
        fs::write(&config, "").expect("writes");
        let arguments = ["controller".into(), "--config".into(), config.into()];
        let mut launch = Launch::default()
            .env("HEADWORKS__CONTROLLER__LISTEN", "127.0.0.1:0")
            .env("HEADWORKS__CONTROLLER__EDGE_LISTEN", "127.0.0.1:0")
            .env("HEADWORKS__CONTROLLER__DATABASE_URL", database.url())
            .env("HEADWORKS__CONTROLLER__MASTER_KEY", MASTER_KEY)
            .env("HEADWORKS__CONTROLLER__LEASE_RENEW", "200ms")
            .env("HEADWORKS__CONTROLLER__LEASE_SUSPECT", "1s")
            .env("HEADWORKS__CONTROLLER__LEASE_DEAD", "7s")
            .env("HEADWORKS__TELEMETRY__FORMAT", "json")
            .log(directory.path().join("controller.log"));
        launch.env.extend(more(&database).env);
        let controller = Headworks::run(&arguments, &launch).expect("runs");
        let (address, edge_address) = wait_until_it_listens(&controller, &launch, 1);
        let admin_key = wait_until("the controller prints a key", SOON, || {
            // It prints a line of words and then the key.
            controller.output().get(1).cloned()
        })
        .expect("does");
        // It can be found again where it was.
        let launch = launch
            .env("HEADWORKS__CONTROLLER__LISTEN", &address)
            .env("HEADWORKS__CONTROLLER__EDGE_LISTEN", &edge_address);
        Self {
            api: Api::new(&format!("http://{address}"), &admin_key),
            admin_key,
            url: format!("https://{edge_address}"),
            controller,
            directory,
            arguments,
            launch,
            database,
        }
    }

    /// What the controller reads at its next start, beside its environment.
    pub(crate) fn configure(&self, file: &str) {
        fs::write(&self.arguments[2], file).expect("writes");
    }

    /// Starts the controller again after it was killed or stopped, at the same addresses.
    pub(crate) fn restart(&mut self) {
        let starts = self.log_of("controller").matches(LISTENS).count();
        let controller = Headworks::run(&self.arguments, &self.launch).expect("runs");
        wait_until_it_listens(&controller, &self.launch, starts + 1);
        self.controller = controller;
    }

    /// Starts an edge; the first start of a name joins it.
    pub(crate) fn edge(&self, name: &str) -> Headworks {
        self.edge_with(name, Launch::default())
    }

    /// As [`Self::edge`], with more environment.
    pub(crate) fn edge_with(&self, name: &str, more: Launch) -> Headworks {
        let token = self.join_token(name);
        let launch = Launch {
            env: [self.edge_launch(name).env, more.env].concat(),
            ..self.edge_launch(name)
        };
        let launch = launch.env("HEADWORKS__EDGE__JOIN_TOKEN", token.expose());
        Headworks::run(&["edge".into()], &launch).expect("runs")
    }

    /// Starts an edge that has joined before: it needs no controller for that.
    pub(crate) fn edge_again(&self, name: &str, more: Launch) -> Headworks {
        let mut launch = self.edge_launch(name);
        launch.env.extend(more.env);
        Headworks::run(&["edge".into()], &launch).expect("runs")
    }

    pub(crate) fn join_token(&self, name: &str) -> Secret {
        let create = JoinTokenCreate {
            name: name.to_owned(),
            expires_in_seconds: 60,
            max_uses: 1,
        };
        let created = self.api.client.join_token_create(&create);
        self.api.call(created).secret
    }

    /// How the controller was started.
    pub(crate) fn controller_launch(&self) -> Launch {
        self.launch.clone()
    }

    fn edge_launch(&self, name: &str) -> Launch {
        Launch::default()
            .env("HEADWORKS__EDGE__CONTROLLER_URL", &self.url)
            .env("HEADWORKS__EDGE__NAME", name)
            .env("HEADWORKS__EDGE__OUTBOUND__ALLOW", "127.0.0.0/8")
            .env("HEADWORKS__EDGE__HTTP_LISTEN", "127.0.0.1:0")
            .env("HEADWORKS__EDGE__DATA", text(&self.data_of(name)))
            .log(self.directory.path().join(format!("{name}.log")))
    }

    /// The edge's data directory.
    pub(crate) fn data_of(&self, edge: &str) -> PathBuf {
        self.directory.path().join(edge)
    }

    /// Everything that `controller` or an edge has logged so far, in all its lives.
    pub(crate) fn log_of(&self, name: &str) -> String {
        let path = self.directory.path().join(format!("{name}.log"));
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    pub(crate) fn wait_until_ready(&self, edges: usize) {
        wait_until("the edges are ready", SOON, || {
            let nodes = self.api.attempt(self.api.client.node_list()).ok()?.items;
            let ready = nodes.iter().filter(|node| node.state == NodeState::Ready);
            (ready.count() == edges).then_some(())
        })
        .expect("they are");
    }
}

const LISTENS: &str = "\"controller listens\"";

/// The addresses of a controller that starts for the `start`-th time.
fn wait_until_it_listens(
    controller: &Headworks,
    launch: &Launch,
    start: usize,
) -> (String, String) {
    let log = launch.log.as_deref().expect("has one");
    wait_until("the controller listens", SOON, || {
        let log = fs::read_to_string(log).ok()?;
        log.lines().filter_map(listening).nth(start - 1)
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", controller.log()))
}

/// The addresses in the line of the log that says where the controller listens, for edges last.
pub(crate) fn listening(line: &str) -> Option<(String, String)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line[name].as_str().map(str::to_owned);
    (line["message"] == "controller listens")
        .then(|| address("local_addr").zip(address("edge_addr")))?
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("is text")
}
