//! The running controller.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use headworks_bootstrap::{Clock, Tasks, Visitors, bind, tls::Certificate};
use headworks_types::Secret;
use tokio::{net::TcpListener, time::sleep};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::{
    Config, app,
    config::EDGE_LISTEN,
    database, http,
    keys::Keys,
    pki::CONTROLLER_RENEWAL,
    reconcile,
    state::{Ids, State, Wake},
};

/// A running controller. It runs on the tasks that it was started with, until they are shut down.
pub struct Service {
    state: State,
    local_addr: SocketAddr,
    edge_addr: SocketAddr,
    has_tls: bool,
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
        let keys = Keys::new(master, config.second_master_key.as_ref())
            .context("controller.master_key or controller.second_master_key")?;
        let auth = app::auth::SignInDesk::new(&config)?;
        let clock = Clock::system();
        let pool = database::open(&config, &clock).await?;
        let keys = app::bootstrap::open_keys(&pool, keys).await?;
        // Before the database is set up: the admin key must not be lost to an address in use.
        let listener = bind("controller.listen", &config.listen).await?;
        let local_addr = listener.local_addr()?;
        let edge_listen = config.edge_listen.as_deref().unwrap_or(EDGE_LISTEN);
        let edge_listener = bind("controller.edge_listen", edge_listen).await?;
        let edge_addr = edge_listener.local_addr()?;
        let tls = match config.tls.load("controller.tls", &tasks)? {
            Some(certificate) => Some(Arc::new(certificate.server_config()?)),
            None => None,
        };
        let has_tls = tls.is_some();
        let authority = app::bootstrap::open_authority(&pool, &keys, clock.now()).await?;
        let limits = http::Limits::new(&config.rate_limit, clock.clone());
        let state = State {
            pool,
            keys: Arc::new(keys),
            authority: Arc::new(authority),
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
        serve(&state, listener, tls);
        serve_edges(&state, edge_listener)?;
        tracing::info!(%local_addr, %edge_addr, "controller listens");
        Ok(Self {
            state,
            local_addr,
            edge_addr,
            has_tls,
            admin_key,
        })
    }

    /// Where the API listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where edges reach it, over TLS.
    #[must_use]
    pub fn edge_addr(&self) -> SocketAddr {
        self.edge_addr
    }

    /// True if the API is served over TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.has_tls
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

/// Serves operators and programs.
fn serve(state: &State, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
    let server = http::Server {
        name: "controller",
        router: http::router(state.clone()),
        visitors: visitors(state),
        tls,
    };
    server.serve(listener, &state.tasks);
}

/// Serves edges, with a certificate that is never old.
fn serve_edges(state: &State, listener: TcpListener) -> anyhow::Result<()> {
    let shown = Certificate::new(state.authority.certify_controller(state.clock.now())?);
    let tls = state.authority.server_config(&shown)?;
    let renewal = renew(state.clone(), shown, state.tasks.token());
    state.tasks.spawn("controller certificate", renewal);
    let server = http::Server {
        name: "edges",
        router: http::edge_router(state.clone()),
        visitors: visitors(state),
        tls: Some(Arc::new(tls)),
    };
    server.serve(listener, &state.tasks);
    Ok(())
}

/// Counts those of one listener, so that nobody keeps edges out by coming to the other one.
fn visitors(state: &State) -> Visitors {
    let config = &state.config;
    Visitors::new(
        config.connections_per_address,
        config.trusted_proxies.clone(),
        state.clock.clone(),
    )
}

/// Makes the certificate that edges see anew, long before it ends.
async fn renew(state: State, shown: Certificate, stop: CancellationToken) {
    let wait = || stop.run_until_cancelled(sleep(CONTROLLER_RENEWAL));
    while wait().await.is_some() {
        match state.authority.certify_controller(state.clock.now()) {
            Ok(certificate) => shown.replace(certificate),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the controller's certificate for edges is not renewed"
                );
            }
        }
    }
}
