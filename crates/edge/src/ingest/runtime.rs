//! Threads of their own for what cameras send.
//!
//! The RTSP library reads an answer to its end however long it is, and does not yield while more
//! comes. A camera that floods us so keeps a thread busy; here that is none of the threads that
//! serve viewers and the API.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// The runtime that the camera workers run on. Dropping it does not wait for them.
#[derive(Debug)]
pub(super) struct Threads(Option<Runtime>, Handle);

impl Threads {
    /// One thread for each processor, two at least.
    pub(super) fn start() -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(processors.max(2))
            .thread_name("ingest")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    /// Where to spawn.
    pub(super) fn handle(&self) -> &Handle {
        &self.1
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
