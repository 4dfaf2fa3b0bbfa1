//! The private PostgreSQL, started and stopped on a thread of its own, and started again should it
//! end (out of memory, say).
//!
//! The kernel ends the server when the thread that started it ends, so the thread lives as long
//! as the server should, whatever happens to the rest of the process.

use std::{
    io,
    path::PathBuf,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use headworks_postgres::{Error, Options, Server};
use headworks_types::Secret;
use tokio::sync::oneshot;

use crate::failure::Failure;

/// How long a stop waits for a server that is still starting. After that the kernel ends it.
const UNFINISHED_START: Duration = Duration::from_secs(3);
/// How often we look whether the server runs.
const LOOK: Duration = Duration::from_secs(1);

/// A server that starts, runs, or has failed to.
pub(crate) struct Database {
    started: Option<oneshot::Receiver<Result<String, Error>>>,
    /// Dropping it asks the thread to stop the server.
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Database {
    /// Begins to start a server in `directory`.
    pub(crate) fn start(directory: PathBuf) -> Self {
        let (tell, started) = oneshot::channel();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || run(&Options::new(directory), tell, &stopped));
        Self {
            started: Some(started),
            stop,
            thread,
        }
    }

    /// Where clients connect, once the server accepts connections.
    pub(crate) async fn url(&mut self) -> Result<Secret, Failure> {
        let ended = || Failure::bug("the thread that runs PostgreSQL has ended");
        let started = self.started.as_mut().ok_or_else(ended)?;
        let result = started.await;
        self.started = None;
        match result {
            Ok(Ok(url)) => Ok(Secret::new(url)),
            Ok(Err(error)) => Err(explain(error)),
            Err(_) => Err(ended()),
        }
    }

    /// Stops the server in order and waits for its end.
    pub(crate) async fn stop(self) {
        let Self {
            started,
            stop,
            thread,
        } = self;
        drop(stop);
        if let Some(started) = started
            && tokio::time::timeout(UNFINISHED_START, started)
                .await
                .is_err()
        {
            tracing::warn!("PostgreSQL was still starting; it is ended as it is");
            return;
        }
        let joined = tokio::task::spawn_blocking(move || thread.join());
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the thread that runs PostgreSQL has panicked");
        }
    }
}

/// Starts the server and keeps it running until `stopped` ends.
fn run(
    options: &Options,
    tell: oneshot::Sender<Result<String, Error>>,
    stopped: &mpsc::Receiver<()>,
) {
    let mut server = match Server::start(options) {
        Ok(server) => {
            // Nobody may be waiting any more; then `stopped` has ended, too.
            let _ = tell.send(Ok(server.url()));
            Some(server)
        }
        Err(error) => {
            let _ = tell.send(Err(error));
            return;
        }
    };
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        if server.as_ref().is_some_and(runs) {
            continue;
        }
        tracing::error!("PostgreSQL has ended; it is started again");
        // The old one holds the lock of its directory.
        drop(server.take());
        server = match Server::start(options) {
            Ok(server) => Some(server),
            Err(error) => {
                tracing::error!(%error, "PostgreSQL does not start");
                None
            }
        };
    }
}

/// False once the process has ended (it stays as a zombie until it is dropped). Who cannot tell,
/// for want of file descriptors say, leaves it alone.
fn runs(server: &Server) -> bool {
    match std::fs::read_to_string(format!("/proc/{}/stat", server.pid())) {
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_none_or(|(_, rest)| !rest.starts_with('Z')),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn explain(error: Error) -> Failure {
    let hint = match &error {
        Error::NotInstalled | Error::NoAccount => {
            "or use a PostgreSQL that runs elsewhere: set DATABASE_URL=postgres://…"
        }
        Error::Unreachable { .. } => "for example: headworks up --data /var/lib/headworks",
        Error::InUse(_) => "stop the other one, or give this one its own directory with --data",
        _ => return Failure::from_error(error),
    };
    Failure::from_error(error).with_hint(hint)
}
