//! `headworks up`: controller, one edge and a private PostgreSQL in one process, for one machine.
//!
//! Parts start in the order database, controller, edge, and stop in the opposite one, also when a
//! signal or an error comes in the middle of the start.

mod data;
mod database;
mod ready;

use headworks_bootstrap::{Tasks, limit, telemetry};
use headworks_types::Secret;

use crate::{
    arguments::UpArguments,
    failure::Failure,
    serve::CONTROLLER_STOP,
    settings::{Settings, check},
    stop::Stop,
};

use data::Data;
use database::Database;
use ready::Ready;

/// Runs everything until a signal.
pub(crate) async fn run(arguments: UpArguments) -> Result<(), Failure> {
    let mut settings = Settings::load(arguments.config.as_deref())?;
    let directory = match arguments.data {
        Some(directory) => directory,
        None => data::default_directory()?,
    };
    let data = Data::open(&directory)?;
    complete(&mut settings, &data)?;
    let _telemetry = telemetry::init(&settings.telemetry, "headworks")?;
    limit::raise_open_files();
    if data.is_new() {
        tracing::info!(data = %directory.display(), "made the data directory");
    }

    let stop = Stop::listen()?;
    let mut parts = Parts::default();
    let edge_stop = settings.edge.stop_deadline;
    let result = match stop
        .or(Box::pin(parts.start(
            settings,
            &data,
            arguments.new_admin_key,
        )))
        .await
    {
        Some(Ok(ready)) => {
            let shown = ready
                .print(arguments.json)
                .and_then(|()| data.forget_admin_key());
            if shown.is_ok() {
                stop.requested().await;
            }
            shown
        }
        Some(Err(failure)) => Err(failure),
        None => Ok(()),
    };
    parts.edge.shutdown(edge_stop).await;
    parts.controller.shutdown(CONTROLLER_STOP).await;
    if let Some(database) = parts.database {
        database.stop().await;
    }
    stop.done().await;
    result
}

/// Fills in what one machine has by itself, and checks the rest.
fn complete(settings: &mut Settings, data: &Data) -> Result<(), Failure> {
    let own_database = settings.controller.database_url.is_none();
    if settings.controller.master_key.is_none() {
        settings.controller.master_key = Some(data.master_key(own_database)?);
    }
    let edge_listen = &mut settings.controller.edge_listen;
    edge_listen.get_or_insert_with(|| "127.0.0.1:0".to_owned());
    settings.edge.data.get_or_insert_with(|| data.edge());
    let relay_listen = &mut settings.edge.relay_listen;
    relay_listen.get_or_insert_with(|| ([127, 0, 0, 1], 0).into());
    let mut checked = settings.clone();
    // These become known as the parts start.
    checked
        .controller
        .database_url
        .get_or_insert_with(|| Secret::new("postgres:"));
    checked.edge.controller_url = "https://localhost/".parse().ok();
    let mut found = checked.telemetry.validate();
    found.extend(checked.controller.validate());
    found.extend(checked.edge.validate());
    check(&found)
}

/// What runs, as far as it has started.
#[derive(Default)]
struct Parts {
    database: Option<Database>,
    controller: Tasks,
    edge: Tasks,
    services: Option<(headworks_controller::Service, headworks_edge::Service)>,
}

impl Parts {
    async fn start(
        &mut self,
        settings: Settings,
        data: &Data,
        new_admin_key: bool,
    ) -> Result<Ready, Failure> {
        let mut config = settings.controller;
        if config.database_url.is_none() {
            let database = self.database.insert(Database::start(data.database()));
            config.database_url = Some(database.url().await?);
        }
        let controller =
            headworks_controller::Service::start(config, self.controller.clone()).await?;
        let key = match controller.admin_key() {
            None if new_admin_key => Some(controller.new_admin_key().await?),
            first => first,
        };
        if let Some(key) = key {
            data.keep_admin_key(&key)?;
        }
        let scheme = |has_tls| if has_tls { "https" } else { "http" };
        let api = ready::local_url(scheme(controller.has_tls()), controller.local_addr());
        let edge_api = ready::local_url("https", controller.edge_addr());

        let mut config = settings.edge;
        config.controller_url = Some(edge_api.parse().map_err(Failure::from_error)?);
        config.join_token = Some(controller.join_token().await?);
        config.allow_loopback();
        let edge = headworks_edge::Service::start(config, self.edge.clone()).await?;

        let ready = Ready {
            api,
            edge_api,
            admin_key: data.kept_admin_key()?,
            http: ready::local_url("http", edge.http_addr()),
            data: data.directory().to_owned(),
        };
        self.services = Some((controller, edge));
        Ok(ready)
    }
}
