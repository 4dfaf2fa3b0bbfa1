//! `headworks controller` and `headworks edge`: one part, until a signal.

use std::{path::Path, time::Duration};

use headworks_bootstrap::{Tasks, limit, telemetry};

use crate::{
    arguments::{ControllerArguments, ControllerVerb, ServeArguments},
    failure::Failure,
    operator::secret_file,
    output,
    settings::{Settings, check},
    stop::Stop,
};

/// How long a controller waits for requests that are under way.
pub(crate) const CONTROLLER_STOP: Duration = Duration::from_secs(10);

/// Runs a controller, or does what is to be done beside them.
pub(crate) async fn controller(arguments: &ControllerArguments) -> Result<(), Failure> {
    match &arguments.verb {
        None => run_controller(arguments).await,
        Some(_) if arguments.new_admin_key => Err(Failure::user(
            "--new-admin-key is for a controller that runs; `reseal` makes no key",
        )
        .with_hint("run them one after the other")),
        Some(ControllerVerb::Reseal {
            old_master_key_file,
        }) => reseal(&arguments.serve, old_master_key_file.as_deref()).await,
    }
}

/// Seals everything anew with the present master key.
async fn reseal(arguments: &ServeArguments, old_key: Option<&Path>) -> Result<(), Failure> {
    let mut settings = Settings::load(arguments.config.as_deref())?;
    if let Some(path) = old_key {
        settings.controller.second_master_key = Some(secret_file(path)?);
    }
    check(&settings.controller.validate())?;
    let done = headworks_controller::reseal(&settings.controller).await?;
    for column in &done {
        let (name, resealed) = (&column.column, column.resealed);
        let kept = match column.unreadable {
            0 => String::new(),
            kept => format!(", {kept} could not be opened"),
        };
        output::line(&format!("{name}: {resealed} sealed anew{kept}"))?;
    }
    if done.iter().any(|column| column.unreadable > 0) {
        return Err(Failure::user(
            "not everything could be opened with the master keys that were given",
        )
        .with_hint("name the one before with --old-master-key-file and try again"));
    }
    Ok(())
}

/// Runs a controller.
async fn run_controller(arguments: &ControllerArguments) -> Result<(), Failure> {
    let settings = Settings::load(arguments.serve.config.as_deref())?;
    let mut found = settings.telemetry.validate();
    found.extend(settings.controller.validate());
    check(&found)?;
    let _telemetry = telemetry::init(&settings.telemetry, "headworks-controller")?;
    limit::raise_open_files();
    let stop = Stop::listen()?;
    let tasks = Tasks::new();
    let start = async {
        let service =
            headworks_controller::Service::start(settings.controller, tasks.clone()).await?;
        let key = match service.admin_key() {
            None if arguments.new_admin_key => Some(service.new_admin_key().await?),
            first => first,
        };
        anyhow::Ok((service, key))
    };
    let result = match stop.or(Box::pin(start)).await {
        Some(Ok((_service, key))) => {
            if let Some(key) = key {
                show_key(key.expose());
            }
            stop.requested().await;
            Ok(())
        }
        Some(Err(error)) => Err(Failure::from(error)),
        None => Ok(()),
    };
    tasks.shutdown(CONTROLLER_STOP).await;
    stop.done().await;
    result
}

/// Runs an edge.
pub(crate) async fn edge(arguments: &ServeArguments) -> Result<(), Failure> {
    let settings = Settings::load(arguments.config.as_deref())?;
    let mut found = settings.telemetry.validate();
    found.extend(settings.edge.validate());
    check(&found)?;
    let _telemetry = telemetry::init(&settings.telemetry, "headworks-edge")?;
    limit::raise_open_files();
    let stop = Stop::listen()?;
    let tasks = Tasks::new();
    let deadline = settings.edge.stop_deadline;
    let start = headworks_edge::Service::start(settings.edge, tasks.clone());
    let service = stop.or(Box::pin(start)).await;
    if let Some(Ok(_)) = service {
        stop.requested().await;
    }
    tasks.shutdown(deadline).await;
    stop.done().await;
    match service {
        Some(Err(error)) => Err(Failure::from(error)),
        _ => Ok(()),
    }
}

/// Somebody must get the key. It goes to stdout, not into a log.
fn show_key(key: &str) {
    let text = format!(
        "The admin key, which is not shown again (to use it: export HEADWORKS_API_KEY=…):\n{key}"
    );
    if let Err(failure) = output::important_line(&text) {
        tracing::error!(%failure, "the admin key could not be printed");
    }
}
