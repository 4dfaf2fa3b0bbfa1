//! The control plane of a lab: PostgreSQL, `PgBouncer` before it, three controllers, and a load
//! balancer before them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;

use super::{Namespace, network::CONTROL};
use crate::{
    Headworks, Launch, PgBouncer, Postgres, PostgresOptions, Process, Signal, http, wait_until,
};

/// From nothing to an admin key.
const START: Duration = Duration::from_secs(90);
/// 32 bytes, known to everybody.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Sessions with the database: fewer than the controllers have loops.
const SESSIONS: u32 = 8;
/// How many controllers there are.
pub const CONTROLLERS: usize = 3;

/// All of it. It ends when this is dropped.
#[derive(Debug)]
pub struct Control {
    controllers: Vec<Option<Headworks>>,
    admin_key: String,
    _balancer: Process,
    _pooler: PgBouncer,
    database: Option<Postgres>,
    database_options: PostgresOptions,
    launch: Launch,
    directory: PathBuf,
    _namespace: Arc<Namespace>,
}

impl Control {
    /// Starts everything and waits until the load balancer leads to a controller.
    pub(super) fn start(
        namespace: &Arc<Namespace>,
        directory: &Path,
        binary: &Path,
    ) -> anyhow::Result<Self> {
        let database_options = PostgresOptions::new(directory.join("database"));
        let database = Postgres::start(&database_options)?;
        let pooler = PgBouncer::start_in(&namespace.place(), &database, 6432, SESSIONS)?;
        let launch = Launch {
            binary: Some(binary.to_owned()),
            place: namespace.place(),
            ..Launch::default()
        }
        .env("HEADWORKS__CONTROLLER__DATABASE_URL", pooler.url())
        .env("HEADWORKS__CONTROLLER__DATABASE_POOLED", "true")
        .env("HEADWORKS__CONTROLLER__MASTER_KEY", MASTER_KEY);
        let mut control = Self {
            controllers: (0..CONTROLLERS).map(|_| None).collect(),
            admin_key: String::new(),
            _balancer: balance(namespace, directory)?,
            _pooler: pooler,
            database: Some(database),
            database_options,
            launch,
            directory: directory.to_owned(),
            _namespace: Arc::clone(namespace),
        };
        // The first one sets up the database, and says the key.
        control.start_controller(0)?;
        control.admin_key = control.first_key()?;
        for number in 1..CONTROLLERS {
            control.start_controller(number)?;
        }
        let ready = format!("http://{CONTROL}:8080/readyz");
        wait_until("the load balancer leads to a controller", START, || {
            let answer = namespace.with(|| http::get(&ready)).ok()?.ok()?;
            (answer.status == 200).then_some(())
        })?;
        Ok(control)
    }

    fn first_key(&mut self) -> anyhow::Result<String> {
        let first = self.controllers[0].as_mut().context("it was started")?;
        let key = wait_until("the first controller prints a key", START, || {
            // A line of words, and then the key.
            let key = first.output().get(1).cloned();
            match first.wait(Duration::ZERO) {
                Ok(status) => Some(key.with_context(|| format!("it ended ({status})"))),
                Err(_) => key.map(Ok),
            }
        });
        key.and_then(|key| key).with_context(|| first.log())
    }

    /// May do everything.
    #[must_use]
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// Starts a controller that does not run.
    pub fn start_controller(&mut self, number: usize) -> anyhow::Result<()> {
        let name = name(number);
        let launch = self
            .launch
            .clone()
            .env("HEADWORKS__CONTROLLER__LISTEN", address(8100, number))
            .env("HEADWORKS__CONTROLLER__EDGE_LISTEN", address(8200, number))
            .log(self.directory.join(format!("{name}.log")));
        self.controllers[number] = Some(Headworks::run(&["controller".into()], &launch)?);
        Ok(())
    }

    /// Ends a controller at once.
    pub fn kill_controller(&mut self, number: usize) {
        if let Some(mut controller) = self.controllers[number].take() {
            controller.kill();
        }
    }

    /// Ends a controller as a service manager does, and waits.
    pub fn stop_controller(&mut self, number: usize) {
        self.controllers[number] = None;
    }

    /// Waits until a controller that was started says that it listens.
    pub fn wait_until_listens(&mut self, number: usize, limit: Duration) -> anyhow::Result<()> {
        let controller = self.controllers[number].as_ref().context("it runs")?;
        wait_until("the controller listens", limit, || {
            controller
                .log()
                .contains("controller listens")
                .then_some(())
        })
        .with_context(|| controller.log())
    }

    /// The controller that plans, by its own words.
    #[must_use]
    pub fn planner(&self) -> Option<usize> {
        let last = |number: usize| {
            self.controllers[number].as_ref()?;
            let log = fs::read_to_string(self.log(number)).ok()?;
            let said = log.lines().rev().find(|line| line.contains(" plans "))?;
            said.contains("this controller plans now").then_some(number)
        };
        (0..CONTROLLERS).find_map(last)
    }

    /// Everything that a controller has logged.
    #[must_use]
    pub fn log(&self, number: usize) -> PathBuf {
        self.directory.join(format!("{}.log", name(number)))
    }

    /// Ends the database.
    pub fn stop_database(&mut self) {
        self.database = None;
    }

    /// Starts it again.
    pub fn start_database(&mut self) -> anyhow::Result<()> {
        self.database = Some(Postgres::start(&self.database_options)?);
        Ok(())
    }
}

/// What a controller is called.
fn name(number: usize) -> String {
    format!("controller-{}", number + 1)
}

fn address(port: usize, number: usize) -> String {
    format!("127.0.0.1:{}", port + number)
}

/// A load balancer that passes on TCP, for the API and for edges, to controllers that say that they
/// are ready.
fn balance(namespace: &Namespace, directory: &Path) -> anyhow::Result<Process> {
    let backend = |first: usize| -> String {
        let server = |number: usize| {
            format!(
                "  server {} {} check port {}\n",
                name(number),
                address(first, number),
                8100 + number
            )
        };
        (0..CONTROLLERS).map(server).collect()
    };
    let config = directory.join("haproxy.cfg");
    fs::write(
        &config,
        format!(
            "global\n  nbthread 1\n  maxconn 2000\n\
             defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 1h\n  timeout server 1h\n\
             \x20 timeout check 1s\n  option redispatch\n  retries 3\n  option httpchk GET /readyz\n\
             \x20 default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions\n\
             listen api\n  bind {CONTROL}:8080\n  balance roundrobin\n{}\
             listen edges\n  bind {CONTROL}:8443\n  balance leastconn\n{}",
            backend(8100),
            backend(8200)
        ),
    )?;
    let mut command: Command = namespace.place().command("haproxy");
    command.args(["-db", "-q", "-f"]).arg(&config);
    Process::spawn(command, Signal::Kill, |_, _| {}).context("haproxy needs `cargo xtask setup`")
}
