//! Takes a connection's socket away from hyper.
//!
//! A handler calls [`Takeover::request`] and then waits for ever. The connection's driver
//! (`server`) sees that, takes hyper's connection apart, which drops the handler, and passes the
//! socket on. hyper's own upgrade would do the same only for answers with status 101.
//!
//! On a connection that is kept alive, an answer before this request may still be in hyper's
//! buffer; [`Socket`] knows when all of it has gone out.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::visitors::Place;

/// A client that takes nothing for this long is gone.
const WRITE_STALL: Duration = Duration::from_secs(30);

type Continue = Box<dyn FnOnce(TcpStream, Place) -> Boxed + Send>;
type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Lets the handler of a request ask for its connection's socket; an extension of the request.
#[derive(Clone, Default)]
pub(super) struct Takeover(Arc<Slot>);

#[derive(Default)]
struct Slot {
    next: Mutex<Option<Continue>>,
    /// hyper has bytes that it could not write yet.
    unwritten: AtomicBool,
}

impl Takeover {
    /// Asks for the socket. `next` gets it, with the connection's place in the server.
    pub(super) fn request<F, R>(&self, next: F)
    where
        F: FnOnce(TcpStream, Place) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        *self.slot() = Some(Box::new(|socket, place| Box::pin(next(socket, place))));
    }

    /// What has been asked for, once everything before it has been written.
    pub(super) fn take(&self) -> Option<Continue> {
        if self.0.unwritten.load(Ordering::Relaxed) {
            return None;
        }
        self.slot().take()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Continue>> {
        self.0.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's socket while hyper has it.
pub(super) struct Socket {
    inner: TokioIo<TcpStream>,
    takeover: Takeover,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(socket: TcpStream, takeover: Takeover) -> Self {
        Self {
            inner: TokioIo::new(socket),
            takeover,
            stalled: None,
        }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.inner.into_inner()
    }

    /// Notes a write; one that waits too long becomes an error.
    fn note(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.takeover.0.unwritten.store(true, Ordering::Relaxed);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(WRITE_STALL)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.note(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes the socket when, and only when, its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.takeover.0.unwritten.store(false, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
