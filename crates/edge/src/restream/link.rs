//! A connection to a target: bytes out and in, and no byte without the right to send it.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use headworks_bootstrap::Clock;
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::AsyncWrite as _,
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;
use tokio_util::{either::Either, io::poll_read_buf};
use url::Url;

use super::{board::Board, failure::Failure, fence::Permit};
use crate::{
    ingest::{self, dial},
    outbound::Gate,
};

/// Slices in one write.
const MOST_SLICES: usize = 32;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// A connection. Dropped without [`Link::close`], it is cut off at once: what the kernel holds
/// for the target is thrown away.
pub(super) struct Link {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    local: SocketAddr,
    peer: SocketAddr,
    permit: Permit,
    meter: Meter,
    out: VecDeque<Bytes>,
    queued: usize,
    /// What was written may still be in TLS.
    flush: bool,
    input: BytesMut,
    clock: Clock,
    stall: Duration,
    /// When the target last took something.
    progress: Instant,
    closed: bool,
}

/// Counts what is sent.
#[derive(Clone)]
pub(super) struct Meter {
    pub(super) board: Arc<Board>,
    pub(super) total: Counter,
}

impl Meter {
    pub(super) fn sent(&self, bytes: usize) {
        self.board.sent(bytes as u64);
        self.total.inc_by(bytes as u64);
    }
}

/// What has happened on a connection.
#[derive(Debug)]
pub(super) enum Came {
    /// The target says something.
    Input(Bytes),
    /// It has taken something.
    Written,
    /// It has closed the connection.
    Closed,
}

impl Link {
    /// Connects to the host of `url`, which is resolved once. With a scheme that ends in `s` it
    /// speaks TLS.
    pub(super) async fn open(
        gate: &Gate,
        url: &Url,
        tls_verify: bool,
        stall: Duration,
        clock: Clock,
        permit: Permit,
        meter: Meter,
    ) -> Result<Self, Failure> {
        let failure = |error: io::Error| Failure::from(&error);
        let tcp = connect(gate, url, &permit).await?;
        let local = tcp.local_addr().map_err(failure)?;
        let peer = tcp.peer_addr().map_err(failure)?;
        let stream = if url.scheme().ends_with('s') {
            let host = url.host_str().unwrap_or_default();
            Either::Right(Box::new(dial::tls(tcp, host, tls_verify).await?))
        } else {
            Either::Left(tcp)
        };
        Ok(Self {
            stream,
            local,
            peer,
            permit,
            meter,
            out: VecDeque::new(),
            queued: 0,
            flush: false,
            input: BytesMut::new(),
            progress: clock.monotonic(),
            clock,
            stall,
            closed: false,
        })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.stream, Either::Right(_))
    }

    /// Writes these bytes after all before them.
    pub(super) fn queue(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.queued == 0 {
            self.progress = self.clock.monotonic();
        }
        self.queued += bytes.len();
        self.out.push_back(bytes);
    }

    /// Bytes that wait for the target.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// To be asked before datagrams go beside the connection.
    ///
    /// # Errors
    /// If the right to send has run out.
    pub(super) fn may_send(&self) -> Result<(), Failure> {
        self.permit.holds().then_some(()).ok_or(Failure::Fenced)
    }

    /// Counts a datagram that went beside the connection.
    pub(super) fn sent(&self, bytes: usize) {
        self.meter.sent(bytes);
    }

    /// Writes, and reads, as far as the target lets it. Losing the future loses nothing.
    ///
    /// # Errors
    /// Also if the target takes nothing for too long.
    pub(super) async fn turn(&mut self) -> Result<Came, Failure> {
        let stalled = (self.queued > 0).then(|| self.progress + self.stall);
        let limit = self.stall;
        let stalled = async {
            match stalled {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            came = std::future::poll_fn(|context| self.poll(context)) => came,
            () = stalled => Err(Failure::Stalled(limit)),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Came, Failure>> {
        if self.queued > 0 {
            self.may_send()?;
            if let Poll::Ready(written) = self.poll_write(context) {
                let came = written.map(|()| Came::Written);
                return Poll::Ready(came.map_err(|error| Failure::from(&error)));
            }
        } else if self.flush
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context)
        {
            flushed.map_err(|error| Failure::from(&error))?;
            self.flush = false;
        }
        self.poll_read(context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(&self.out) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        let stream = Pin::new(&mut self.stream);
        let mut written = ready!(stream.poll_write_vectored(context, &slices[..count]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.meter.sent(written);
        self.queued -= written;
        self.progress = self.clock.monotonic();
        self.flush = true;
        while let Some(first) = self.out.front_mut() {
            if written < first.len() {
                first.advance(written);
                break;
            }
            written -= first.len();
            self.out.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Came, Failure>> {
        const READ: usize = 16 << 10;
        self.input.reserve(READ);
        let stream = Pin::new(&mut self.stream);
        Poll::Ready(
            match ready!(poll_read_buf(stream, context, &mut self.input)) {
                Ok(0) => Ok(Came::Closed),
                Ok(_) => Ok(Came::Input(self.input.split().freeze())),
                Err(error) => Err(Failure::from(&error)),
            },
        )
    }

    /// Writes what is left, within a short time, and closes the connection in order.
    pub(super) async fn close(mut self) {
        let write = async {
            while self.queued > 0 || self.flush {
                match self.turn().await {
                    Ok(Came::Closed) | Err(_) => return false,
                    Ok(Came::Input(_) | Came::Written) => {}
                }
            }
            true
        };
        self.closed = timeout(GOODBYE, write).await.unwrap_or(false);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.closed {
            let tcp = match &self.stream {
                Either::Left(tcp) => tcp,
                Either::Right(tls) => tls.get_ref().0,
            };
            let _ = tcp.set_zero_linger();
        }
    }
}

/// Connects to the first open address that answers.
async fn connect(gate: &Gate, url: &Url, permit: &Permit) -> Result<TcpStream, Failure> {
    let usual = match url.scheme() {
        "rtmp" => 1935,
        "rtmps" => 443,
        "rtsp" => 554,
        _ => 322,
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().unwrap_or(usual);
    let connected = gate.connect(host, port, || permit.holds()).await;
    connected
        .map_err(ingest::Failure::from)?
        .ok_or(Failure::Fenced)
}
