//! Puts the edge together: listener, hub, work, access, agent, and the routes that tell how it is.

use std::{
    fs::{DirBuilder, File, TryLockError},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use headworks_bootstrap::{Clock, Tasks, bind, limit};
use headworks_types::{Problem, ProblemCode};
use tokio::{net::TcpListener, sync::watch::Receiver, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    access::{Access, TicketKey},
    agent::{Agent, Bound, Own, Refused, Status},
    audit::{self, Audit},
    directory::Directory,
    ffmpeg::Ffmpeg,
    http,
    hub::Hub,
    ingest::{self, Ingests},
    metrics::{self, Metrics},
    outbound::Outbound,
    relay::{self, Relays},
    restream::{self, Restreams},
    rtmp::{self, Rtmp},
    rtsp::{self, Datagrams, Rtsp},
    session::Sessions,
    tls::Acceptor,
    viewing::Viewing,
    visitors::Visitors,
    work::Work,
};

/// How often sessions are reviewed.
const REVIEW: Duration = Duration::from_secs(1);

/// A running edge. It stops with its tasks.
#[derive(Debug)]
pub struct Service {
    bound: Bound,
    _lock: File,
}

/// What listens.
struct Listeners {
    http: TcpListener,
    https: Option<TcpListener>,
    rtmp: TcpListener,
    rtmps: Option<TcpListener>,
    rtsp: TcpListener,
    rtsps: Option<TcpListener>,
    relay: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let optional = async |key, address: Option<SocketAddr>| match address {
            Some(address) => bind(key, address).await.map(Some),
            None => Ok(None),
        };
        Ok(Self {
            http: bind("edge.http_listen", config.http_listen).await?,
            https: optional("edge.https_listen", config.https_listen).await?,
            rtmp: bind("edge.rtmp_listen", config.rtmp_listen).await?,
            rtmps: optional("edge.rtmps_listen", config.rtmps_listen).await?,
            rtsp: bind("edge.rtsp_listen", config.rtsp_listen).await?,
            rtsps: optional("edge.rtsps_listen", config.rtsps_listen).await?,
            relay: bind("edge.relay_listen", config.relay_listen()).await?,
        })
    }

    /// How many connections they take at once.
    fn places(&self) -> usize {
        let secure = |listener: &Option<TcpListener>| usize::from(listener.is_some());
        http::MAX_CONNECTIONS * (1 + secure(&self.https))
            + rtmp::MAX_CONNECTIONS * (1 + secure(&self.rtmps))
            + rtsp::MAX_CONNECTIONS * (1 + secure(&self.rtsps))
            + relay::MAX_CONNECTIONS
    }

    /// Lets everybody in.
    fn serve(
        self,
        http: http::Server,
        rtmp: &Rtmp,
        rtsp: &Rtsp,
        relays: &Relays,
        tls: Option<Acceptor>,
        tasks: &Tasks,
    ) {
        http.clone().serve(self.http, None, tasks);
        rtmp.serve(self.rtmp, None);
        rtsp.serve(self.rtsp, None);
        relays.serve(self.relay);
        let Some(tls) = tls else {
            return;
        };
        if let Some(listener) = self.https {
            http.serve(listener, Some(tls.clone()), tasks);
        }
        if let Some(listener) = self.rtmps {
            rtmp.serve(listener, Some(tls.clone()));
        }
        if let Some(listener) = self.rtsps {
            rtsp.serve(listener, Some(tls));
        }
    }

    /// Where each of them really listens.
    fn bound(&self) -> std::io::Result<Bound> {
        let address = |listener: &Option<TcpListener>| {
            let listener = listener.as_ref();
            listener.map(TcpListener::local_addr).transpose()
        };
        Ok(Bound {
            https: address(&self.https)?,
            rtmp: Some(self.rtmp.local_addr()?),
            rtmps: address(&self.rtmps)?,
            rtsp: Some(self.rtsp.local_addr()?),
            rtsps: address(&self.rtsps)?,
            relay: Some(self.relay.local_addr()?),
            ..Bound::new(self.http.local_addr()?)
        })
    }
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
        let listeners = Listeners::bind(&config).await?;
        limit::check_open_files(listeners.places());
        let bound = listeners
            .bound()
            .context("find out where the edge listens")?;
        let datagrams = match config.rtsp_udp_listen {
            Some(address) => Some(Datagrams::bind(address, &tasks).await?),
            None => None,
        };
        let tls = Acceptor::load(&config.tls, 2 * config.hub.viewer_stall, tasks.clone())?;

        let (audit, outlet) = Audit::new(clock.clone());
        let store = audit::Store::open(&data, &config.audit)?;
        tasks.spawn("audit", audit::keep(outlet, store.clone(), tasks.token()));
        let sessions = Sessions::new(config.max_viewers, audit.clone(), clock.clone());
        sessions.remember(data.join("ended.json"))?;
        let ticket_key = TicketKey::load(&data.join("ticket.key"))?;
        let access = Access::new(ticket_key, sessions, audit.clone(), clock.clone());
        let hub = Hub::new(config.hub, clock.clone(), tasks.clone());
        let outbound = Outbound::new(config.outbound.clone());
        let ingests = Ingests::new(
            pull(&config, &outbound),
            hub.clone(),
            audit.clone(),
            clock.clone(),
            tasks.clone(),
        );
        let (own, directory) = (Own::default(), Directory::default());
        let relays = Relays::new(
            config.relay,
            own.clone(),
            directory.clone(),
            hub.clone(),
            ingests.clone(),
            clock.clone(),
            tasks.clone(),
        );
        let visitors = visitors(&config, &clock);
        let streams = relays.streams();
        ingests.follow(streams.clone());
        let viewing = Viewing::new(streams, access.clone());
        let rtmp = Rtmp::new(
            viewing.clone(),
            ingests.clone(),
            visitors.clone(),
            clock.clone(),
            tasks.clone(),
        );
        let rtsp = Rtsp::new(
            viewing.clone(),
            ingests.clone(),
            visitors.clone(),
            datagrams,
            clock.clone(),
            tasks.clone(),
        );
        let restreams = Restreams::new(
            push(&config, outbound),
            hub.clone(),
            Ffmpeg::new(config.ffmpeg.clone(), tasks.clone()),
            clock.clone(),
            tasks.clone(),
        );
        let pushed = restreams.sent().clone();
        let work = Work::new(ingests, restreams);
        let agent = Agent::load(
            &config,
            &data,
            bound,
            work.clone(),
            access.clone(),
            directory,
            clock.clone(),
        )?
        .with_own(own)
        .with_audit(audit, store);

        tasks.spawn("session review", review(access.clone(), tasks.token()));
        let metrics = Metrics::new(
            &hub,
            pushed,
            relays.counters(),
            work,
            &access,
            agent.status(),
        );
        let health = Health::new(agent.status(), metrics);
        let server = http::Server {
            router: http::router(viewing).merge(health_routes(health)),
            visitors,
        };
        listeners.serve(server, &rtmp, &rtsp, &relays, tls, &tasks);
        bound.log();

        agent.start(&tasks).await?;
        Ok(Self { bound, _lock: lock })
    }

    /// Where playback listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.bound.http
    }

    /// Where playback over TLS listens, if it does.
    #[must_use]
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.bound.https
    }

    /// Where RTMP listens.
    #[must_use]
    pub fn rtmp_addr(&self) -> Option<SocketAddr> {
        self.bound.rtmp
    }

    /// Where RTMP over TLS listens, if it does.
    #[must_use]
    pub fn rtmps_addr(&self) -> Option<SocketAddr> {
        self.bound.rtmps
    }

    /// Where RTSP listens.
    #[must_use]
    pub fn rtsp_addr(&self) -> Option<SocketAddr> {
        self.bound.rtsp
    }

    /// Where RTSP over TLS listens, if it does.
    #[must_use]
    pub fn rtsps_addr(&self) -> Option<SocketAddr> {
        self.bound.rtsps
    }
}

fn pull(config: &Config, outbound: &Outbound) -> ingest::Config {
    ingest::Config {
        ffmpeg: config.ffmpeg.clone(),
        outbound: outbound.clone(),
        ..config.pull.clone()
    }
}

fn push(config: &Config, outbound: Outbound) -> restream::Config {
    restream::Config {
        outbound,
        ..config.restream.clone()
    }
}

fn visitors(config: &Config, clock: &Clock) -> Visitors {
    Visitors::new(
        config.connections_per_address,
        config.trusted_proxies.clone(),
        clock.clone(),
    )
}

/// Ends sessions that may not go on because time has passed.
async fn review(access: Access, stop: CancellationToken) {
    let forever = async {
        loop {
            sleep(REVIEW).await;
            access.review();
        }
    };
    stop.run_until_cancelled(forever).await;
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

#[derive(Clone)]
struct Health {
    status: Receiver<Status>,
    metrics: Arc<Metrics>,
}

impl Health {
    fn new(status: Receiver<Status>, metrics: Metrics) -> Self {
        Self {
            status,
            metrics: Arc::new(metrics),
        }
    }
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
    match refused {
        Some(Refused::Removed) => unavailable("the node was removed from the cluster"),
        Some(Refused::Doubled) => {
            unavailable("another process that was started later has the identity of this node")
        }
        None if ready => "ok\n".into_response(),
        None => unavailable("no controller has said yet what to do"),
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
