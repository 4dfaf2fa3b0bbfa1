//! One FLV viewer: a socket, how far it has been served, and what is left of a broken-off write.

use std::{io, io::IoSlice, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::Instant};

use super::{
    Config, Stream, ViewerGuard,
    ring::{Entry, Ring},
};

/// The most pieces that one system call writes.
const MAX_PIECES: usize = 64;

/// More jumps than allowed count only within this time.
const JUMP_MEMORY: Duration = Duration::from_secs(60);

/// A viewer to be served.
pub(crate) struct NewViewer {
    /// Its socket. It is set to be non-blocking; nothing else may read or write it.
    pub(crate) socket: TcpStream,
    /// What goes out before the first byte of media.
    pub(crate) head: Bytes,
    /// What it watches.
    pub(crate) stream: Arc<Stream>,
    /// Counts it.
    pub(crate) guard: ViewerGuard,
    /// When it has to go.
    pub(crate) watch_until: Instant,
    /// Its place among the connections that the server takes.
    pub(crate) connection: Option<OwnedSemaphorePermit>,
}

/// Something to write, and where a viewer stands once it is written.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// The number of the next frame afterwards.
    pub(super) next: u64,
    /// The description that the viewer knows afterwards.
    pub(super) description: u64,
}

/// The pieces of frames from `sequence` on, for one who knows the description `known` (0: none):
/// sequence headers where it does not know a frame's description, then the frame.
pub(super) fn pieces(
    out: &mut Vec<Piece>,
    mut sequence: u64,
    entries: &[Arc<Entry>],
    mut known: u64,
) {
    for entry in entries {
        let description = entry.description.number;
        if description != known {
            let bytes = match known {
                0 => entry.description.flv_start(),
                _ => entry.description.flv_headers(),
            };
            out.push(Piece {
                bytes,
                next: sequence,
                description,
            });
            known = description;
        }
        sequence += 1;
        out.push(Piece {
            bytes: entry.flv().clone(),
            next: sequence,
            description,
        });
    }
}

/// Why a viewer is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// It went away.
    Gone,
    /// It is too slow for the stream.
    Slow,
    /// The time to watch is over.
    WatchOver,
    /// The stream is no longer here.
    StreamEnded,
}

/// How a write went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wrote {
    pub(super) bytes: u64,
    pub(super) leave: Option<Leave>,
}

pub(super) struct Viewer {
    socket: TcpStream,
    /// What is left of a piece that was written in part.
    rest: Bytes,
    /// The number of the next frame that it gets.
    pub(super) next: u64,
    /// The number of the description that it knows; 0 for none.
    pub(super) description: u64,
    /// It can only go on at a key frame.
    needs_key: bool,
    /// Its socket took no more; wait until it does.
    pub(super) blocked: bool,
    last_progress: Instant,
    watch_until: Instant,
    jumps: u32,
    last_jump: Option<Instant>,
    _guard: ViewerGuard,
    _connection: Option<OwnedSemaphorePermit>,
}

impl Viewer {
    pub(super) fn new(new: NewViewer, now: Instant) -> Self {
        // Frames go out when they are due, not when a segment is full. Failing only costs delay.
        let _ = new.socket.set_nodelay(true);
        let next = {
            let ring = new.stream.ring();
            ring.newest_key().unwrap_or(ring.next())
        };
        Self {
            socket: new.socket,
            rest: new.head,
            next,
            description: 0,
            needs_key: true,
            blocked: false,
            last_progress: now,
            watch_until: new.watch_until,
            jumps: 0,
            last_jump: None,
            _guard: new.guard,
            _connection: new.connection,
        }
    }

    /// True if it has everything up to `head` and waits for more like all others.
    pub(super) fn is_at(&self, head: u64, description: u64) -> bool {
        self.next == head
            && self.description == description
            && self.rest.is_empty()
            && !self.needs_key
            && !self.blocked
    }

    /// The frames that are due for it now, from `next` on and at most so many as one system call
    /// takes. `None` if it has fallen behind too often.
    pub(super) fn due(&mut self, ring: &Ring, limit: u32, now: Instant) -> Option<Vec<Arc<Entry>>> {
        if self.next < ring.first() && !self.needs_key {
            if self.last_jump.is_none_or(|last| now - last > JUMP_MEMORY) {
                self.jumps = 0;
            }
            self.jumps += 1;
            self.last_jump = Some(now);
            if self.jumps > limit {
                return None;
            }
            self.next = ring.newest_key().unwrap_or(ring.next());
            self.needs_key = true;
        }
        if self.needs_key {
            let Some(key) = ring.key_from(self.next) else {
                self.next = ring.next();
                return Some(Vec::new());
            };
            self.next = key;
            self.needs_key = false;
        }
        // Sequence headers may come on top of each.
        let sequences = self.next..self.next + MAX_PIECES as u64 / 2;
        Some(
            sequences
                .map_while(|sequence| ring.get(sequence).cloned())
                .collect(),
        )
    }

    /// When it last had to jump.
    pub(super) fn last_jump(&self) -> Option<Instant> {
        self.last_jump
    }

    /// True if part of a piece is still to be written.
    pub(super) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Writes what is left and then `due`, as far as the socket takes it.
    pub(super) fn write(&mut self, due: &[Piece], now: Instant) -> Wrote {
        let mut wrote = Wrote::default();
        let mut due = due;
        loop {
            if self.rest.is_empty() {
                // Empty pieces: frames that FLV cannot carry.
                while let Some((first, others)) = due.split_first()
                    && first.bytes.is_empty()
                {
                    self.advance(first);
                    due = others;
                }
            }
            if self.rest.is_empty() && due.is_empty() {
                return wrote;
            }
            match self.write_once(due) {
                Ok(0) => wrote.leave = Some(Leave::Gone),
                Ok(count) => {
                    wrote.bytes += count as u64;
                    self.last_progress = now;
                    due = self.consume(count, due);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => wrote.leave = Some(Leave::Gone),
            }
            return wrote;
        }
    }

    fn write_once(&self, due: &[Piece]) -> io::Result<usize> {
        let rest = (!self.rest.is_empty()).then_some(&self.rest);
        // The usual case, and cheaper than a vector of one.
        match (rest, due) {
            (None, [only]) => return self.socket.try_write(&only.bytes),
            (Some(rest), []) => return self.socket.try_write(rest),
            _ => {}
        }
        let mut slices = [IoSlice::new(&[]); MAX_PIECES];
        let pieces = rest.into_iter().chain(due.iter().map(|piece| &piece.bytes));
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        self.socket.try_write_vectored(&slices[..count])
    }

    /// Takes note of `count` written bytes; returns what is still untouched of `due`.
    fn consume<'a>(&mut self, mut count: usize, mut due: &'a [Piece]) -> &'a [Piece] {
        let of_rest = count.min(self.rest.len());
        self.rest.advance(of_rest);
        count -= of_rest;
        while count > 0
            && let Some((first, others)) = due.split_first()
        {
            self.advance(first);
            let written = count.min(first.bytes.len());
            if written < first.bytes.len() {
                self.rest = first.bytes.slice(written..);
            }
            count -= written;
            due = others;
        }
        due
    }

    fn advance(&mut self, piece: &Piece) {
        self.next = piece.next;
        self.description = piece.description;
    }

    /// Polls a blocked socket; true once it takes more.
    pub(super) fn poll_unblock(&mut self, context: &mut std::task::Context<'_>) -> bool {
        // An error shows at the next write.
        if self.blocked && self.socket.poll_write_ready(context).is_ready() {
            self.blocked = false;
            return true;
        }
        false
    }

    /// Looks whether it has to go, about once a second.
    pub(super) fn check(&self, config: &Config, now: Instant) -> Option<Leave> {
        if now >= self.watch_until {
            return Some(Leave::WatchOver);
        }
        if self.blocked && now - self.last_progress > config.viewer_stall {
            return Some(Leave::Slow);
        }
        // Whatever a viewer says after its request is read and forgotten, a bounded amount at a
        // time; its end is heard here even while the camera gives nothing to write.
        let mut scratch = [0; 1024];
        match self.socket.try_read(&mut scratch) {
            Ok(0) => Some(Leave::Gone),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(Leave::Gone),
        }
    }
}
