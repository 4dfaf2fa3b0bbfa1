//! The running controller.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use headworks_bootstrap::{Clock, Tasks, Visitors, bind};
use headworks_types::Secret;

use crate::{
    Config, app, database, http,
    keys::Keys,
    reconcile,
    state::{Ids, State, Wake},
};

/// A running controller. It runs on the tasks that it was started with, until they are shut down.
pub struct Service {
    state: State,
    local_addr: SocketAddr,
    admin_key: Option<Secret>,
}

impl Service {
    /// Waits for the database, brings its schema up to date, listens, and sets up an empty
    /// database.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the configuration, the database or the address.
    pub async fn start(config: Config, tasks: Tasks) -> anyhow::Result<Self> {
        headworks_bootstrap::config::check(&config.validate())?;
        let master = config
            .master_key
            .as_ref()
            .context("controller.master_key is missing")?;
        let keys = Keys::new(master).context("controller.master_key")?;
        let auth = app::auth::SignInDesk::new(&config)?;
        let clock = Clock::system();
        let pool = database::open(&config, &clock).await?;
        // Before the database is set up: the admin key must not be lost to an address in use.
        let listener = bind("controller.listen", &config.listen).await?;
        let local_addr = listener.local_addr()?;
        let limits = http::Limits::new(&config.rate_limit, clock.clone());
        let visitors = Visitors::new(config.connections_per_address, clock.clone());
        let state = State {
            pool,
            keys: Arc::new(keys),
            config: Arc::new(config),
            wake: Wake::default(),
            tasks: tasks.clone(),
            ids: Ids::new(clock.clone()),
            edges: app::edge::Edges::default(),
            refusals: app::audit::Refusals::default(),
            limits,
            auth,
            clock,
        };
        let admin_key = app::bootstrap::set_up(&state).await?;
        reconcile::spawn(&state, &tasks);
        let router = http::router(state.clone());
        http::serve(listener, router, visitors, &tasks);
        tracing::info!(%local_addr, "controller listens");
        Ok(Self {
            state,
            local_addr,
            admin_key,
        })
    }

    /// Where the API listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The first admin key, if this start has created it. It is stored nowhere.
    #[must_use]
    pub fn admin_key(&self) -> Option<Secret> {
        self.admin_key.clone()
    }

    /// Makes one more key that may do everything, for whoever has lost the first one.
    ///
    /// # Errors
    ///
    /// If the database is away.
    pub async fn new_admin_key(&self) -> anyhow::Result<Secret> {
        app::bootstrap::admin_key(&self.state)
            .await
            .context("make an admin key")
    }

    /// A join token that works for a short time, for an edge of the same process.
    ///
    /// # Errors
    ///
    /// If the database is away.
    pub async fn join_token(&self) -> anyhow::Result<Secret> {
        app::bootstrap::join_token(&self.state)
            .await
            .context("make a join token")
    }
}
