//! RTSP: serves players and takes publishers, plain and over TLS, with RTP in the connection or
//! beside it in datagrams.
//!
//! [`connection`] drives the engine of `headworks-rtsp` with a socket. [`play`] checks a player's
//! token and gives its socket to a writer shard of the hub; the connection's own task goes on
//! reading, and steers. [`publish`] checks a stream key and gives what comes to the camera's feed.
//! [`datagrams`] has the one pair of UDP sockets that all sessions share.

mod connection;
mod datagrams;
pub(crate) mod describe;
mod play;
mod publish;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, ops::ControlFlow, sync::Arc, time::Duration};

use headworks_bootstrap::{Clock, Tasks};
use headworks_rtsp::{
    auth::{Realm, Schemes},
    server::{Asked, Event},
};
use headworks_types::CameraId;
use rand::RngExt as _;
use tokio::{net::TcpListener, time::timeout};
use url::Url;

use crate::{
    elsewhere::{self, Base, Secret},
    ingest::Ingests,
    socket::Incoming,
    tls::Acceptor,
    viewing::Viewing,
    visitors::Visitors,
};
use connection::Connection;
pub(crate) use datagrams::Datagrams;

/// Connections at once, players included; more wait in the kernel's queue.
pub(crate) const MAX_CONNECTIONS: usize = 20_000;

/// How long a nonce of Digest would live; we ask for Basic only.
const NONCES: Duration = Duration::from_secs(300);

/// How long who takes nothing is waited for to take a goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a player may take to leave a camera that is over.
const LINGER: Duration = Duration::from_secs(2);

/// Why everything ends at the end.
const STOPS: &str = "this edge stops";

/// RTSP of an edge. Clones are the same.
#[derive(Clone)]
pub(crate) struct Rtsp(Arc<Shared>);

/// What connections share.
struct Shared {
    viewing: Viewing,
    ingests: Ingests,
    visitors: Visitors,
    realm: Realm,
    /// Absent if there is no UDP.
    datagrams: Option<Datagrams>,
    clock: Clock,
    tasks: Tasks,
}

/// No, in RTSP's words.
enum Refusal {
    /// Show a password first.
    Challenge,
    /// A status and the reason.
    Status(u16, String),
    /// Ask there.
    Elsewhere(Url),
}

/// What the client of a connection is.
enum Role {
    Nobody,
    Viewer(Box<play::Watch>),
    Publisher(Box<publish::Publish>),
}

/// Why a connection ends; for the log and for the camera's status.
type End = ControlFlow<String>;

const GOES_ON: End = ControlFlow::Continue(());

fn ends(why: impl Into<String>) -> End {
    ControlFlow::Break(why.into())
}

impl Rtsp {
    pub(crate) fn new(
        viewing: Viewing,
        ingests: Ingests,
        visitors: Visitors,
        datagrams: Option<Datagrams>,
        clock: Clock,
        tasks: Tasks,
    ) -> Self {
        let secret = rand::rng().random();
        let now = clock.monotonic().into_std();
        Self(Arc::new(Shared {
            viewing,
            ingests,
            visitors,
            realm: Realm::new("Headworks", secret, NONCES, now),
            datagrams,
            clock,
            tasks,
        }))
    }

    /// Serves `listener` until the edge stops; with TLS if there is an acceptor.
    pub(crate) fn serve(&self, listener: TcpListener, tls: Option<Acceptor>) {
        let rtsp = self.clone();
        let name = if tls.is_some() { "rtsps" } else { "rtsp" };
        let drive = move |socket, place| {
            let (rtsp, tls) = (rtsp.clone(), tls.clone());
            async move {
                let welcome = Incoming::welcome(socket, place, &rtsp.0.visitors, tls.as_ref());
                if let Some(Some(incoming)) = rtsp.until_stop(welcome).await {
                    rtsp.drive(incoming).await;
                }
            }
        };
        headworks_bootstrap::accept(name, listener, MAX_CONNECTIONS, &self.0.tasks, drive);
    }

    /// Serves one client until it leaves.
    async fn drive(&self, incoming: Incoming) {
        let mut connection = Connection::new(incoming, &self.0.realm, self.0.clock.clone());
        let mut role = Role::Nobody;
        let why = loop {
            let step = self.step(&mut connection, &mut role);
            match self.until_stop(step).await {
                Some(ControlFlow::Continue(())) => {}
                Some(ControlFlow::Break(why)) => break why,
                None => break STOPS.to_owned(),
            }
        };
        tracing::debug!(address = %connection.address(), reason = why, "RTSP connection ended");
        match role {
            Role::Publisher(publish) => publish.leave(&why),
            Role::Viewer(watch) => {
                connection.end_viewer().await;
                let _ = timeout(GOODBYE, watch.say_goodbye(self, &mut connection)).await;
                if watch.is_cut_off() {
                    let _ = timeout(LINGER, self.part(&mut connection)).await;
                }
            }
            Role::Nobody => {}
        }
    }

    /// Answers a player that hears that nothing follows, and takes its own leave by PAUSE and
    /// TEARDOWN (RFC 2326 §10.6, §10.7).
    async fn part(&self, connection: &mut Connection) {
        let mut role = Role::Nobody;
        let talk = async {
            while connection.has_session() {
                if self.step(connection, &mut role).await.is_break() {
                    return;
                }
            }
            // What TEARDOWN is answered stands behind its event.
            while let Ok(Some(_)) = connection.poll().await {}
        };
        self.until_stop(talk).await;
    }

    async fn step(&self, connection: &mut Connection, role: &mut Role) -> End {
        match connection.poll().await {
            Ok(Some(event)) => self.take(event, connection, role).await,
            Ok(None) => self.wait(connection, role).await,
            Err(why) => ends(why),
        }
    }

    /// `None` if the edge stops before.
    async fn until_stop<F: Future>(&self, future: F) -> Option<F::Output> {
        self.0.tasks.token().run_until_cancelled(future).await
    }

    async fn take(&self, event: Event, connection: &mut Connection, role: &mut Role) -> End {
        match (event, &mut *role) {
            (Event::Describe(asked), _) => play::describe(self, connection, &asked, role).await,
            (Event::Announce(asked, description), _) => {
                publish::announce(self, connection, &asked, &description, role).await
            }
            (Event::Setup(setup), Role::Viewer(watch)) => watch.set_up(self, connection, &setup),
            (Event::Setup(setup), Role::Publisher(publish)) => {
                publish.set_up(self, connection, &setup)
            }
            (Event::Play { tracks, .. }, Role::Viewer(watch)) => {
                watch.play(self, connection, &tracks).await
            }
            (Event::Record { .. }, Role::Publisher(publish)) => publish.record(connection),
            (Event::Pause, Role::Viewer(watch)) => {
                watch.pause(connection);
                GOES_ON
            }
            (Event::Packet { track, kind, data }, Role::Publisher(publish)) => {
                publish.packet(self.now(), track, kind, &data);
                GOES_ON
            }
            (Event::Teardown, _) => {
                match std::mem::replace(role, Role::Nobody) {
                    Role::Publisher(publish) => publish.leave("it stopped"),
                    Role::Viewer(_) => connection.end_viewer().await,
                    Role::Nobody => {}
                }
                GOES_ON
            }
            (Event::Timeout, _) => ends("it said nothing or set up nothing for too long"),
            // Reports of viewers are signs of life, and the engine has seen them.
            (Event::Packet { .. } | Event::Pause | Event::KeepAlive, _) => GOES_ON,
            (Event::Setup(_) | Event::Play { .. } | Event::Record { .. }, _) => {
                connection.refuse(&Refusal::Status(
                    455,
                    "Method Not Valid in This State".into(),
                ));
                GOES_ON
            }
        }
    }

    /// Waits for the client, or for what its role waits for.
    async fn wait(&self, connection: &mut Connection, role: &mut Role) -> End {
        match role {
            Role::Nobody => {
                connection.wait().await;
                GOES_ON
            }
            Role::Viewer(watch) => watch.wait(connection).await,
            Role::Publisher(publish) => publish.wait(connection, &self.0.clock).await,
        }
    }

    fn now(&self) -> std::time::Instant {
        self.0.clock.monotonic().into_std()
    }

    /// The UDP that a client may use.
    fn datagrams_for(&self, connection: &Connection) -> Option<(&Datagrams, IpAddr)> {
        // What is secret in the connection does not go beside it in the clear.
        let datagrams = self
            .0
            .datagrams
            .as_ref()
            .filter(|_| !connection.is_secure());
        Some((datagrams?, connection.address().ip()))
    }
}

impl Connection {
    fn refuse(&mut self, refusal: &Refusal) {
        match refusal {
            Refusal::Challenge => {
                self.act(|server, now| server.challenge(now, Schemes::Basic, false));
            }
            Refusal::Status(status, words) => {
                self.act(|server, now| server.refuse(now, *status, Some(words)));
            }
            Refusal::Elsewhere(url) => self.act(|server, now| server.redirect(now, url)),
        }
    }
}

impl Refusal {
    /// The client should ask the edge at `base` for the same.
    fn go_to(base: &Url, asked: &Asked, secret: Secret<'_>) -> Self {
        let (path, query) = (asked.url.path(), asked.url.query());
        Self::Elsewhere(elsewhere::address(base, path, query, secret))
    }
}

/// The addresses of edges for those who come like this.
fn base(connection: &Connection) -> Base {
    match connection.is_secure() {
        true => |advertise| advertise.rtsps.as_ref(),
        false => |advertise| advertise.rtsp.as_ref(),
    }
}

/// True if another edge has sent the client.
fn is_marked(asked: &Asked) -> bool {
    asked.query(elsewhere::MARK).is_some()
}

/// The camera that a client names: `/live/<camera>`, or only `/<camera>`. `None` for what cannot
/// be one.
pub(crate) fn camera(asked: &Asked) -> Option<CameraId> {
    let path = asked.url.path().trim_matches('/');
    path.strip_prefix("live/").unwrap_or(path).parse().ok()
}
