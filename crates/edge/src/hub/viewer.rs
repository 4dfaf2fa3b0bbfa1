//! One viewer: a socket, how far it has been served, and what is left of a broken-off write.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use tokio::time::Instant;

use super::{
    Config, Control, Format, Selection, Sink, Start, Stream, ViewerGuard,
    batch::{Batch, Position},
    control::{Orders, Play},
    entry::Entry,
    ring::Ring,
    udp::{self, Sent, UdpSink},
    wire::Vectors,
};
use crate::{
    jumps::Jumps,
    session::{Over, Session},
    visitors::Place,
};

/// The most frames of one batch.
const MAX_FRAMES: u64 = 32;

/// The most payload of one batch in datagrams: who starts gets the buffered GOP in portions that
/// socket buffers take.
const MAX_BURST: usize = 128 << 10;

/// A viewer to be served.
pub(crate) struct NewViewer {
    /// Its socket. Nothing else may write to it until the viewer has left.
    pub(crate) sink: Sink,
    /// How it wants the stream.
    pub(crate) format: Format,
    /// What it wants of it.
    pub(crate) selection: Selection,
    /// What goes out before the first byte of media. Empty where media is datagrams: those
    /// viewers are told everything else by somebody else.
    pub(crate) head: Bytes,
    /// What it watches.
    pub(crate) stream: Arc<Stream>,
    /// Where it starts; `None`: at the newest key frame.
    pub(crate) start: Option<Start>,
    /// Steers it. Without one the shard also reads, and forgets, what the viewer says.
    pub(crate) control: Option<Control>,
    /// Counts it.
    pub(crate) guard: ViewerGuard,
    /// When it has to go.
    pub(crate) watch_until: Instant,
    /// Its place among the connections that the server takes.
    pub(crate) connection: Option<Place>,
    /// Its place on the list of viewers, which may end it.
    pub(crate) session: Option<Session>,
}

/// Why a viewer is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It went away.
    Gone,
    /// It is too slow for the stream.
    Slow,
    /// The time to watch is over.
    WatchOver,
    /// Its session was ended.
    Over(Over),
    /// The stream is no longer here.
    StreamEnded,
    /// The camera's codecs have changed, and the viewer cannot be told.
    Changed,
    /// Its connection's task wanted it so.
    Asked,
    /// The edge stops.
    Stopping,
}

impl Leave {
    /// In words, for RTSP and for the audit log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "it has gone",
            Self::Slow => "it is too slow for the stream",
            Self::WatchOver => "the time to watch is over",
            Self::Over(_) => "the session was ended",
            Self::StreamEnded => "the camera is no longer here",
            Self::Changed => "the camera's codecs have changed",
            Self::Asked => "it stopped",
            Self::Stopping => "this edge stops",
        }
    }
}

/// How a write went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wrote {
    pub(super) bytes: u64,
    pub(super) leave: Option<Leave>,
}

impl Wrote {
    pub(super) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.leave = self.leave.or(other.leave);
    }
}

/// What a viewer gets of the stream now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Datagrams to it were lost.
    Lost,
    /// It can only go on at a key frame.
    NeedsKey,
    /// Each frame in turn.
    Playing,
    /// Nothing until it is told to go on.
    Paused,
    /// Nothing more.
    Ending,
}

pub(super) struct Viewer {
    /// By which its shard knows it.
    pub(super) number: u64,
    sink: Sink,
    /// What is left of a piece that was written in part, and messages behind it.
    rest: VecDeque<Bytes>,
    at: Position,
    mode: Mode,
    /// Its socket took no more; wait until it does.
    pub(super) blocked: bool,
    jumps: Jumps,
    last_progress: Instant,
    watch_until: Instant,
    session: Option<Session>,
    control: Option<Control>,
    _guard: ViewerGuard,
    _connection: Option<Place>,
}

impl Viewer {
    pub(super) fn new(number: u64, new: NewViewer, now: Instant) -> Self {
        new.sink.prepare();
        let mut viewer = Self {
            number,
            sink: new.sink,
            rest: VecDeque::new(),
            at: Position::default(),
            mode: Mode::NeedsKey,
            blocked: false,
            jumps: Jumps::default(),
            last_progress: now,
            watch_until: new.watch_until,
            session: new.session,
            control: new.control,
            _guard: new.guard,
            _connection: new.connection,
        };
        if !new.head.is_empty() {
            viewer.rest.push_back(new.head);
        }
        viewer.at.next = new.start.map_or_else(
            || {
                let ring = new.stream.ring();
                ring.newest_key().unwrap_or(ring.next())
            },
            |start| start.number,
        );
        viewer
    }

    /// True if it stands there and waits for more like all others.
    pub(super) fn is_at(&self, position: Position) -> bool {
        self.at == position && self.mode == Mode::Playing && self.rest.is_empty() && !self.blocked
    }

    /// True if nothing is due for it, whatever comes.
    pub(super) fn is_idle(&self) -> bool {
        self.blocked || self.mode == Mode::Paused && self.rest.is_empty()
    }

    pub(super) fn control(&self) -> Option<&Control> {
        self.control.as_ref()
    }

    /// Does what its handle has ordered.
    pub(super) fn obey(&mut self, orders: Orders) {
        self.rest.extend(orders.messages);
        match orders.play {
            Some(Play::Pause) => self.mode = Mode::Paused,
            Some(Play::From(start)) => {
                self.at.next = start.number;
                self.mode = Mode::NeedsKey;
            }
            None => {}
        }
        if orders.end {
            self.mode = Mode::Ending;
        }
    }

    /// Takes the frames that are due for it now, at most so many as one system call takes, and
    /// returns where they begin. `None` if it has fallen behind too often.
    pub(super) fn due(
        &mut self,
        ring: &Ring,
        out: &mut Vec<Arc<Entry>>,
        limit: u32,
        now: Instant,
    ) -> Option<Position> {
        out.clear();
        let is_behind = self.at.next < ring.first() && self.mode == Mode::Playing;
        if is_behind {
            self.at.next = ring.newest_key().unwrap_or(ring.next());
        }
        if is_behind || self.mode == Mode::Lost {
            if self.jumps.too_many(now, limit) {
                return None;
            }
            self.mode = Mode::NeedsKey;
        }
        if self.mode == Mode::NeedsKey {
            match ring.key_from(self.at.next) {
                Some(key) => {
                    self.at.next = key;
                    self.mode = Mode::Playing;
                }
                None => self.at.next = ring.next(),
            }
        }
        if self.mode == Mode::Playing {
            let numbers = self.at.next..self.at.next + MAX_FRAMES;
            let mut room = if self.is_lossy() {
                MAX_BURST
            } else {
                usize::MAX
            };
            out.extend(numbers.map_while(|number| {
                let entry = ring.get(number).filter(|_| room > 0)?;
                room = room.saturating_sub(entry.frame.payload.len());
                Some(Arc::clone(entry))
            }));
        }
        Some(self.at)
    }

    /// When it last had to jump.
    pub(super) fn last_jump(&self) -> Option<Instant> {
        self.jumps.last()
    }

    /// Writes a batch that begins where it stands, as far as its socket takes it in one call.
    /// `vectors` are those of the batch.
    pub(super) fn write(&mut self, batch: &Batch, vectors: &Vectors<'_>, now: Instant) -> Wrote {
        if let Sink::Udp(sink) = &self.sink {
            let sent = udp::send(batch.runs(), &[sink]);
            let sent = sent.into_iter().next().unwrap_or_default();
            return self.note_datagrams(sent, batch, now);
        }
        let written = self.sink.write(vectors.as_slice());
        let wrote = self.note(written, now);
        let count = wrote.bytes as usize;
        if count == batch.length {
            self.at = batch.end;
        } else {
            self.took_part(batch, count);
        }
        wrote
    }

    /// Takes note of a batch of datagrams. After a loss it goes on at a key frame.
    pub(super) fn note_datagrams(&mut self, sent: Sent, batch: &Batch, now: Instant) -> Wrote {
        self.at = batch.end;
        self.count(sent.bytes);
        self.last_progress = now;
        if sent.lost {
            self.mode = Mode::Lost;
        }
        Wrote {
            bytes: sent.bytes,
            leave: sent.broken.then_some(Leave::Gone),
        }
    }

    fn count(&self, bytes: u64) {
        if let Some(session) = &self.session {
            session.add_sent(bytes);
        }
    }

    /// Its place on the list of viewers.
    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Why its session was ended, if it was.
    pub(super) fn over(&self) -> Option<Leave> {
        let over = self.session.as_ref()?.why_over()?;
        Some(Leave::Over(over))
    }

    /// Where its datagrams go, if that is what it gets.
    pub(super) fn datagrams(&self) -> Option<&UdpSink> {
        match &self.sink {
            Sink::Udp(sink) => Some(sink),
            Sink::Tcp(_) | Sink::Unix(_) => None,
        }
    }

    /// True if what its socket does not take is lost.
    pub(super) fn is_lossy(&self) -> bool {
        self.datagrams().is_some()
    }

    /// Writes what is left of earlier writes, as far as its socket takes it.
    pub(super) fn write_rest(&mut self, now: Instant) -> Wrote {
        let mut wrote = Wrote::default();
        while !self.rest.is_empty() && !self.blocked && wrote.leave.is_none() {
            let once = {
                let vectors = Vectors::new(self.rest.iter());
                self.sink.write(vectors.as_slice())
            };
            let once = self.note(once, now);
            self.drop_from_rest(once.bytes as usize);
            wrote.add(once);
            if self.rest.is_empty()
                && let Some(control) = &self.control
            {
                control.taken();
            }
        }
        if self.rest.is_empty() && self.mode == Mode::Ending {
            wrote.leave = wrote.leave.or(Some(Leave::Asked));
        }
        wrote
    }

    /// Takes note of how a system call went.
    fn note(&mut self, written: io::Result<usize>, now: Instant) -> Wrote {
        let mut wrote = Wrote::default();
        match written {
            Ok(count) if count > 0 => {
                self.last_progress = now;
                wrote.bytes = count as u64;
                self.count(wrote.bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
            Ok(_) | Err(_) => wrote.leave = Some(Leave::Gone),
        }
        wrote
    }

    fn drop_from_rest(&mut self, mut count: usize) {
        while count > 0
            && let Some(first) = self.rest.front_mut()
        {
            let now = count.min(first.len());
            first.advance(now);
            count -= now;
            if first.is_empty() {
                self.rest.pop_front();
            }
        }
    }

    /// Takes note of `count` written bytes of a batch. A piece that was begun is its to finish.
    fn took_part(&mut self, batch: &Batch, mut count: usize) {
        for piece in &batch.pieces {
            if count == 0 {
                return;
            }
            self.at = piece.after;
            if count < piece.wire.len() {
                self.rest.extend(piece.wire.slices().iter().cloned());
                self.drop_from_rest(count);
                return;
            }
            count -= piece.wire.len();
        }
    }

    /// Stands behind a batch that has nothing for it.
    pub(super) fn skip_to(&mut self, position: Position) {
        self.at = position;
    }

    /// Polls a blocked socket; true once it takes more.
    pub(super) fn poll_unblock(&mut self, context: &mut std::task::Context<'_>) -> bool {
        if self.blocked && self.sink.poll_writable(context).is_ready() {
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
        if let Some(over) = self.over() {
            return Some(over);
        }
        if self.blocked && now - self.last_progress > config.viewer_stall {
            return Some(Leave::Slow);
        }
        // Its end is heard here even while the camera gives nothing to write.
        let gone = self.control.is_none() && !self.sink.discard_input();
        gone.then_some(Leave::Gone)
    }

    /// Tells it `end`, if its socket takes that now and nothing is half written, and its handle.
    pub(super) fn leave(self, leave: Leave, end: &Bytes) {
        if leave != Leave::Gone && self.rest.is_empty() && !self.blocked && !end.is_empty() {
            // A socket that is closed with unread input loses what was written last.
            self.sink.discard_input();
            let _ = self.sink.write(&[IoSlice::new(end)]);
        }
        if let Some(control) = &self.control {
            control.left(leave);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a viewer costs besides its socket and what is left of a broken-off write.
    #[test]
    fn a_viewer_is_small() {
        assert!(size_of::<Viewer>() <= 256, "{}", size_of::<Viewer>());
    }
}
