//! One connection of another edge that wants a camera from here.
//!
//! It is a reader of the camera's ring: nothing waits for it, and one that is too slow jumps to a key
//! frame. It counts as demand, so that a camera is pulled for it, but not as a viewer.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::BytesMut;
use futures::FutureExt as _;
use headworks_media::Tracks;
use headworks_types::{CameraId, NodeId};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    counters::Counted,
    listener::GOODBYE,
    wire::{self, Ask, Decoder, Place, Refusal, Source, Tell},
};
use crate::hub::{Entry, Reader, Sound, Status, Stream, ViewerGuard};

/// From the handshake to the greeting.
const HELLO: Duration = Duration::from_secs(5);

/// Something is said at least so often.
const ALIVE: Duration = Duration::from_millis(250);

/// Who only listens for signs of life does so at most for so long.
const STANDBY: Duration = Duration::from_secs(60);

/// Frames that are there leave together, up to about so many bytes.
const BATCH: usize = 64 << 10;

/// A payload from this length on is not copied to be written.
const LARGE: usize = 8 << 10;

/// Another edge at the other end of a connection.
pub(super) struct Guest<'a> {
    shared: &'a Arc<Shared>,
    node: NodeId,
    input: Input,
    output: Output,
    told: Told,
}

/// What it was told last.
#[derive(Default)]
struct Told {
    source: Option<Source>,
    status: Option<Status>,
    tracks: Option<Arc<Tracks>>,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("{0}")]
    Refused(Refusal),
    #[error("it has the camera from elsewhere")]
    Left,
    #[error("it went away")]
    Gone,
    #[error("the camera is not here any more")]
    Over,
    #[error("it takes nothing")]
    Stalled,
    #[error("it says nothing")]
    Silent,
    #[error("it says something out of turn")]
    OutOfTurn,
    #[error(transparent)]
    Wire(#[from] wire::Error),
    #[error(transparent)]
    Socket(#[from] io::Error),
}

/// What is read for it.
struct Watch {
    stream: Arc<Stream>,
    status: watch::Receiver<Status>,
    reader: Reader,
    jumps: u64,
    _demand: ViewerGuard,
    _counted: Counted,
}

impl<'a> Guest<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, node: NodeId, stream: TlsStream<TcpStream>) -> Self {
        let (reading, writing) = split(stream);
        Self {
            shared,
            node,
            input: Input {
                half: reading,
                decoder: Decoder::default(),
            },
            output: Output {
                half: writing,
                buffer: BytesMut::new(),
                is_torn: false,
                stall: shared.hub.config().viewer_stall,
                last: shared.clock.monotonic(),
            },
            told: Told::default(),
        }
    }

    /// Serves it until it leaves or has to go.
    pub(super) async fn serve(mut self, stop: &CancellationToken) -> End {
        let why = match stop.run_until_cancelled(self.talk()).await {
            Some(Ok(never)) => match never {},
            Some(Err(End::Refused(why))) => why,
            Some(Err(end)) => return end,
            None => Refusal::Stops,
        };
        self.shared.counters.refused.inc();
        // Behind what is half written nothing can be said, and the end says enough.
        if !self.output.is_torn {
            Tell::Refused { why }.write(&mut self.output.buffer);
            let goodbye = async {
                self.output.flush(self.shared).await?;
                Ok::<_, End>(self.output.half.shutdown().await?)
            };
            let _ = timeout(GOODBYE, goodbye).await;
        }
        End::Refused(why)
    }

    async fn talk(&mut self) -> Result<Infallible, End> {
        self.admit()?;
        let hello = timeout(HELLO, self.input.next()).await;
        let Ask::Hello {
            version,
            camera,
            epoch,
            origin,
        } = hello.map_err(|_| End::Silent)??
        else {
            return Err(End::OutOfTurn);
        };
        if version == 0 {
            return Err(End::Refused(Refusal::Version));
        }
        self.shared.learn(camera, epoch, origin);
        if !self.shared.knows(camera) {
            return Err(End::Refused(Refusal::Unknown));
        }
        Tell::Welcome {
            version: version.min(wire::VERSION),
        }
        .write(&mut self.output.buffer);
        self.converse(camera).await
    }

    /// Only who is in the directory has anything from here.
    fn admit(&self) -> Result<(), End> {
        match self.shared.directory.peer(self.node) {
            Some(_) => Ok(()),
            None => Err(End::Refused(Refusal::Stranger)),
        }
    }

    async fn converse(&mut self, camera: CameraId) -> Result<Infallible, End> {
        let place = self.stand_by(camera).await?;
        let mut watch = self.open(camera, place)?;
        let mut changes = self.shared.directory.changes();
        loop {
            self.tell_source(camera)?;
            self.tell_status(&watch);
            self.output.flush(self.shared).await?;
            tokio::select! {
                entry = watch.reader.next() => {
                    let entry = entry.ok_or(End::Over)?;
                    self.frames(camera, &mut watch, entry).await?;
                }
                ask = self.input.next() => self.obey(camera, &ask?)?,
                _ = watch.status.changed() => {}
                () = sleep_until(self.output.last + ALIVE) => {
                    Tell::Alive.write(&mut self.output.buffer);
                }
                _ = changes.changed() => self.admit()?,
            }
        }
    }

    /// Tells where the camera would come from, until frames are wanted.
    async fn stand_by(&mut self, camera: CameraId) -> Result<Option<Place>, End> {
        let until = self.shared.clock.monotonic() + STANDBY;
        loop {
            self.tell_source(camera)?;
            self.output.flush(self.shared).await?;
            tokio::select! {
                biased;
                ask = self.input.next() => match ask? {
                    Ask::Play { resume } => return Ok(resume),
                    other => self.obey(camera, &other)?,
                },
                () = sleep_until(until) => return Err(End::Silent),
                () = sleep_until(self.output.last + ALIVE) => {
                    self.admit()?;
                    Tell::Alive.write(&mut self.output.buffer);
                }
            }
        }
    }

    /// Finds the camera's stream, if need be by having it from yet another edge.
    fn open(&self, camera: CameraId, place: Option<Place>) -> Result<Watch, End> {
        let stream = self.shared.find(camera);
        let stream = stream.ok_or(End::Refused(Refusal::Unknown))?;
        let resumed = place.and_then(|place| {
            Reader::resume(Arc::clone(&stream), place.incarnation, place.sequence)
        });
        let reader = resumed.unwrap_or_else(|| Reader::newest(Arc::clone(&stream)));
        Ok(Watch {
            status: stream.follow_status(),
            reader,
            jumps: 0,
            _demand: stream.add_restream(Sound::Original),
            _counted: Counted::new(&self.shared.counters.outgoing),
            stream,
        })
    }

    fn obey(&self, camera: CameraId, ask: &Ask) -> Result<(), End> {
        match ask {
            Ask::Leave { epoch, origin } => {
                self.shared.learn(camera, *epoch, *origin);
                Err(End::Left)
            }
            Ask::Hello { .. } | Ask::Play { .. } => Err(End::OutOfTurn),
        }
    }

    /// Tells where the frames come from that it has, or would have, if that is new.
    fn tell_source(&mut self, camera: CameraId) -> Result<(), End> {
        let told = self.told.source.as_ref();
        let incarnation = told.and_then(|told| told.incarnation);
        let mut source = self.shared.source(camera, incarnation);
        // What is left of a source that has gone is still by the same assignment.
        if let Some(told) = told.filter(|_| incarnation.is_some()) {
            source.epoch = source.epoch.max(told.epoch);
        }
        self.tell(source)
    }

    fn tell(&mut self, source: Source) -> Result<(), End> {
        if source.path.contains(&self.node) || source.path.len() >= wire::MAX_PATH {
            return Err(End::Refused(Refusal::Loop));
        }
        if self.told.source.as_ref() != Some(&source) {
            Tell::Source(source.clone()).write(&mut self.output.buffer);
            self.told.source = Some(source);
        }
        Ok(())
    }

    /// Tells how the source is doing, if that is new.
    fn tell_status(&mut self, watch: &Watch) {
        let status = watch.stream.status();
        let told = self.told.status.as_ref();
        let is_new =
            told.is_none_or(|told| told.state != status.state || told.message != status.message);
        if is_new {
            Tell::Status {
                state: status.state,
                words: status.message.clone(),
            }
            .write(&mut self.output.buffer);
            self.told.status = Some(status);
        }
    }

    /// Writes a frame, and those behind it that are there already.
    async fn frames(
        &mut self,
        camera: CameraId,
        watch: &mut Watch,
        first: Arc<Entry>,
    ) -> Result<(), End> {
        let mut next = Some(first);
        while let Some(entry) = next {
            self.frame(camera, &entry).await?;
            next = if self.output.buffer.len() < BATCH {
                // The end is seen by who asks next.
                watch.reader.next().now_or_never().flatten()
            } else {
                None
            };
        }
        let jumps = watch.reader.jumps();
        self.shared.counters.jumps.inc_by(jumps - watch.jumps);
        watch.jumps = jumps;
        Ok(())
    }

    async fn frame(&mut self, camera: CameraId, entry: &Entry) -> Result<(), End> {
        let incarnation = Some(entry.source.incarnation);
        let told = self.told.source.as_ref();
        if told.is_none_or(|told| told.incarnation != incarnation) {
            let source = self.shared.source(camera, incarnation);
            self.tell(source)?;
        }
        let tracks = &entry.description.tracks;
        let told = self.told.tracks.as_ref();
        if told.is_none_or(|told| !Arc::ptr_eq(told, tracks)) {
            Tell::Tracks(Arc::clone(tracks)).write(&mut self.output.buffer);
            self.told.tracks = Some(Arc::clone(tracks));
        }
        let relayed = entry.relayed();
        wire::frame_head(&mut self.output.buffer, &relayed);
        self.output
            .payload(self.shared, &relayed.frame.payload)
            .await
    }
}

/// What the other edge says.
struct Input {
    half: ReadHalf<TlsStream<TcpStream>>,
    decoder: Decoder,
}

impl Input {
    /// The next message. Losing the future loses nothing.
    async fn next(&mut self) -> Result<Ask, End> {
        loop {
            if let Some(ask) = self.decoder.next()? {
                return Ok(ask);
            }
            if self.half.read_buf(self.decoder.buffer()).await? == 0 {
                return Err(End::Gone);
            }
        }
    }
}

/// What it is told.
struct Output {
    half: WriteHalf<TlsStream<TcpStream>>,
    /// What is not written yet.
    buffer: BytesMut,
    /// A write has begun, and not ended.
    is_torn: bool,
    /// How long it may take nothing.
    stall: Duration,
    /// When something was written last.
    last: Instant,
}

impl Output {
    /// Appends the payload of a frame; long ones are written at once.
    async fn payload(&mut self, shared: &Shared, payload: &[u8]) -> Result<(), End> {
        if payload.len() < LARGE {
            self.buffer.extend_from_slice(payload);
            return Ok(());
        }
        self.is_torn = true;
        let written = async {
            self.half.write_all(&self.buffer).await?;
            self.half.write_all(payload).await
        };
        let written = timeout(self.stall, written).await;
        written.map_err(|_| End::Stalled)??;
        self.is_torn = false;
        let length = self.buffer.len() + payload.len();
        shared.counters.sent.inc_by(length as u64);
        self.last = shared.clock.monotonic();
        self.buffer.clear();
        Ok(())
    }

    /// Writes what waits.
    async fn flush(&mut self, shared: &Shared) -> Result<(), End> {
        self.is_torn = true;
        let written = async {
            self.half.write_all(&self.buffer).await?;
            self.half.flush().await
        };
        let written = timeout(self.stall, written).await;
        written.map_err(|_| End::Stalled)??;
        self.is_torn = false;
        if !self.buffer.is_empty() {
            shared.counters.sent.inc_by(self.buffer.len() as u64);
            self.last = shared.clock.monotonic();
            self.buffer.clear();
        }
        Ok(())
    }
}
