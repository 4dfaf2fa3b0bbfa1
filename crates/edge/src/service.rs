//! Puts the edge together: listener, hub, work, access, agent, and the routes that tell how it is.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use headworks_bootstrap::{Clock, Tasks};
use headworks_types::{Problem, ProblemCode};
use tokio::{net::TcpListener, sync::watch::Receiver};

use crate::{
    Config,
    access::{Access, TicketKey},
    agent::{Agent, Bound, Status},
    http::{self, PlaybackState},
    hub::Hub,
    ingest::{self, Ingests},
    metrics::{self, Metrics},
    work::Work,
};

/// A running edge. It stops with its tasks.
#[derive(Debug)]
pub struct Service {
    http: SocketAddr,
    _lock: File,
}

impl Service {
    /// Starts the edge: it serves at once, with what is known from disk, and returns as soon as it
    /// is a node of the cluster. Only the first start ever waits for a controller.
    ///
    /// # Errors
    /// When the data directory or the port cannot be used, or the cluster does not take this edge.
    pub async fn start(config: Config, tasks: Tasks) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let config = Arc::new(config);
        let data = config.data.clone().context("edge.data is missing")?;
        let lock = open_data(&data)?;
        let listener = bind(config.http_listen).await?;
        let bound = listener.local_addr().context("edge.http_listen")?;

        let access = Access::new(TicketKey::load(&data.join("ticket.key"))?, clock.clone());
        let hub = Hub::new(config.hub, clock.clone(), tasks.clone());
        let ingests = Ingests::new(
            ingest::Config {
                ffmpeg: config.ffmpeg.clone(),
                ..config.pull.clone()
            },
            hub.clone(),
            clock.clone(),
            tasks.clone(),
        )
        .context("start threads for cameras")?;
        let work = Work::new(ingests);
        let agent = Agent::load(
            &config,
            &data,
            Bound::new(bound),
            work.clone(),
            access.clone(),
            clock.clone(),
        )?;

        let health = Health {
            status: agent.status(),
            metrics: Arc::new(Metrics::new(&hub, work, &access, agent.status())),
        };
        let playback = PlaybackState::new(hub, access, clock);
        let router = http::router(playback).merge(health_routes(health));
        http::serve(listener, router, &tasks);
        tracing::info!(%bound, "playback listens");

        agent.start(&tasks).await?;
        Ok(Self {
            http: bound,
            _lock: lock,
        })
    }

    /// Where playback listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }
}

/// Makes the directory, and keeps other edges out of it for as long as the file is open.
fn open_data(data: &Path) -> anyhow::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("edge.data: make the directory {}", data.display()))?;
    let path = data.join("lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("edge.data: open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("edge.data: another edge uses {}", data.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("edge.data: lock {}", path.display()))
        }
    }
}

/// `[::]` means every address; on a machine without IPv6, every IPv4 address.
async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let mut bound = TcpListener::bind(address).await;
    if address.is_ipv6() && address.ip().is_unspecified() && bound.as_ref().is_err_and(no_ipv6) {
        bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await;
    }
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "edge.http_listen: {address} is in use by another program; choose another port"
        ),
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "edge.http_listen: {address} is not allowed; ports below 1024 need privileges"
        ),
        _ => anyhow::Error::new(error).context(format!("edge.http_listen: listen on {address}")),
    })
}

fn no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

#[derive(Clone)]
struct Health {
    status: Receiver<Status>,
    metrics: Arc<Metrics>,
}

fn health_routes(health: Health) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_view))
        .with_state(health)
}

/// The process answers; it asks nobody.
async fn livez() -> &'static str {
    "ok\n"
}

/// It knows what to do, from disk or from a controller.
async fn readyz(State(health): State<Health>) -> Response {
    let (ready, refused) = {
        let status = health.status.borrow();
        (status.ready, status.refused)
    };
    if refused {
        unavailable("the node was removed from the cluster")
    } else if ready {
        "ok\n".into_response()
    } else {
        unavailable("no controller has said yet what to do")
    }
}

async fn metrics_view(State(health): State<Health>) -> Response {
    match health.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn unavailable(detail: &str) -> Response {
    let problem = Problem::new(ProblemCode::Unavailable).with_detail(detail);
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::CONTENT_TYPE, "application/problem+json")],
        axum::Json(problem).into_response().into_body(),
    )
        .into_response()
}
