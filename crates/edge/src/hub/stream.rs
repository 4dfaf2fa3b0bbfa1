//! One camera's media on this edge.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use headworks_bootstrap::{Clock, Tasks};
use headworks_media::{TrackKind, VIDEO_CLOCK, rescale};
use headworks_types::{CameraId, Track, edge::SlotState};
use tokio::sync::watch;

use super::{
    Config, Counters, Status,
    entry::{Description, Entry},
    format::{ByHearing, Selection, Sound},
    hls::HlsOutput,
    line::Line,
    lock, numbering,
    past::Playlists,
    ring::Ring,
    shard::Link,
    transport::Transport,
};
use crate::printable::printable;

/// FFmpeg has started within this time, or it is too busy to be waited for.
const AAC_WAIT: Duration = Duration::from_secs(3);

/// One camera's media on this edge: written by one [`Publisher`](super::Publisher) after the other,
/// read by many.
pub(crate) struct Stream {
    camera: CameraId,
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) counters: Counters,
    /// Taken before the ring, where both are needed.
    line: Mutex<Line>,
    ring: Mutex<Ring>,
    transport: ByHearing<Mutex<Transport>>,
    /// The shards that have viewers of it.
    links: Mutex<Vec<Arc<Link>>>,
    progress: watch::Sender<Progress>,
    /// Viewers and restreams: the camera is pulled for both.
    viewers: watch::Sender<u32>,
    restreams: AtomicU32,
    /// Those of the viewers that cannot take any other sound than AAC.
    aac_viewers: watch::Sender<u32>,
    /// AAC for them is due, and worth waiting for.
    aac_due: watch::Sender<bool>,
    status: watch::Sender<Status>,
    /// What people call the camera.
    name: Mutex<String>,
    ended: AtomicBool,
    /// Bytes of media that came in.
    received: AtomicU64,
    /// No other writer will come when the last one has gone.
    is_final: AtomicBool,
    pub(super) hls: ByHearing<HlsOutput>,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The sequence number that the next frame will get.
    pub(super) next: u64,
    /// True if nothing will follow.
    pub(super) ended: bool,
}

/// Why a viewer gets no picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoPicture {
    /// The stream is not on this edge any more.
    Ended,
    /// The camera's own words.
    Because(String),
}

/// Counts one viewer, or one restream, of a stream for as long as it lives. An on-demand camera is
/// pulled while there is one.
pub(crate) struct ViewerGuard {
    stream: Arc<Stream>,
    sound: Option<Sound>,
    is_restream: bool,
}

impl ViewerGuard {
    /// True if it counts a viewer of this stream.
    pub(crate) fn is_of(&self, stream: &Arc<Stream>) -> bool {
        Arc::ptr_eq(&self.stream, stream)
    }
}

impl Drop for ViewerGuard {
    fn drop(&mut self) {
        self.stream.viewers.send_modify(|count| *count -= 1);
        if self.is_restream {
            self.stream.restreams.fetch_sub(1, Ordering::Relaxed);
        }
        if self.sound == Some(Sound::Aac) {
            self.stream.aac_viewers.send_modify(|count| *count -= 1);
        }
    }
}

/// A key frame at which a viewer can start.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// Its number in the ring.
    pub(super) number: u64,
    /// What it is made of.
    pub(crate) description: Arc<Description>,
    rtp: [RtpStart; 2],
}

/// Where a track starts for a viewer that gets RTP (RTP-Info, RFC 2326 §12.33).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RtpStart {
    /// Who sends it.
    pub(crate) ssrc: u32,
    /// The number of its first packet.
    pub(crate) sequence: u16,
    /// The timestamp that belongs to the first picture, in the track's own clock.
    pub(crate) timestamp: u32,
}

impl Start {
    /// Where a track starts.
    pub(crate) fn rtp(&self, track: TrackKind) -> RtpStart {
        self.rtp[numbering::place(track)]
    }

    fn new(number: u64, key: &Entry) -> Self {
        let description = Arc::clone(&key.description);
        let rtp = [TrackKind::Video, TrackKind::Audio].map(|track| {
            let rate = match (track, &description.tracks.audio) {
                (TrackKind::Audio, Some(audio)) => audio.clock_rate(),
                _ => VIDEO_CLOCK,
            };
            let sender = description.sender(track);
            let shown = rescale(key.frame.pts, VIDEO_CLOCK, rate);
            RtpStart {
                ssrc: sender.ssrc,
                sequence: key.numbers.sequence(track),
                timestamp: headworks_rtp::timestamp(shown, sender.timestamp_offset),
            }
        });
        Self {
            number,
            description,
            rtp,
        }
    }
}

impl Stream {
    pub(super) fn new(
        camera: CameraId,
        config: Config,
        clock: Clock,
        tasks: Tasks,
        counters: Counters,
        playlists: &Playlists,
    ) -> Self {
        let status = Status::fresh(clock.now());
        Self {
            camera,
            config,
            clock,
            tasks,
            counters,
            line: Mutex::default(),
            ring: Mutex::new(Ring::new(config.limits())),
            transport: ByHearing::default(),
            links: Mutex::default(),
            progress: watch::Sender::default(),
            viewers: watch::Sender::default(),
            restreams: AtomicU32::new(0),
            aac_viewers: watch::Sender::default(),
            aac_due: watch::Sender::default(),
            status: watch::Sender::new(status),
            name: Mutex::default(),
            ended: AtomicBool::new(false),
            received: AtomicU64::new(0),
            is_final: AtomicBool::new(false),
            hls: playlists.map(|position| HlsOutput::new(Arc::clone(position))),
        }
    }

    /// Whose media it is.
    pub(crate) fn camera(&self) -> CameraId {
        self.camera
    }

    /// What people call the camera; empty if nobody has said.
    pub(crate) fn name(&self) -> String {
        lock(&self.name).clone()
    }

    /// The camera is called so now.
    pub(crate) fn set_name(&self, name: &str) {
        name.clone_into(&mut lock(&self.name));
    }

    /// What its source does, as who writes it says.
    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Follows that.
    pub(crate) fn follow_status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// What a writer says that has just come.
    pub(super) fn fresh_status(&self) -> Status {
        Status::fresh(self.clock.now())
    }

    /// Says what the source of one writer does. Returns true if anything is new.
    pub(super) fn set_status_of(&self, writer: u64, state: SlotState, message: &str) -> bool {
        let now = self.clock.now();
        let mut line = self.line();
        let status = line.writers.status_mut(writer);
        let is_new = status.is_some_and(|status| status.set(state, printable(message), now));
        self.show(&line);
        is_new
    }

    /// Says what the camera is made of, as one writer sees it.
    pub(super) fn set_tracks_of(&self, writer: u64, tracks: Vec<Track>) {
        let mut line = self.line();
        if let Some(status) = line.writers.status_mut(writer) {
            status.tracks = tracks;
        }
        self.show(&line);
    }

    /// Says what the source does, whoever writes.
    #[cfg(test)]
    pub(crate) fn set_status(&self, state: SlotState, message: &str) {
        let writers = self.line().writers.numbers();
        for writer in writers {
            self.set_status_of(writer, state, message);
        }
    }

    /// Shows what whoever has the stream says. Without anybody, what was said last stays, but the
    /// stream is not live.
    pub(super) fn show(&self, line: &Line) {
        let shown = line.writers.shown();
        let now = self.clock.now();
        self.status.send_if_modified(|status| match shown {
            Some(shown) if shown == status => false,
            Some(shown) => {
                status.clone_from(shown);
                true
            }
            None => {
                let words = "its source has changed; waits for the next";
                status.set(SlotState::Connecting, words.to_owned(), now)
            }
        });
    }

    /// Another session has the stream.
    pub(super) fn taken(&self, line: &Line, aac_due: bool) {
        self.set_aac_due(aac_due);
        self.show(line);
    }

    /// True if anybody writes it, or will.
    pub(crate) fn is_fed(&self) -> bool {
        !self.line().writers.is_empty()
    }

    /// Where another edge's frames go on that are written here: incarnation, and sequence of the
    /// next. `None` if the newest frame is no other edge's.
    pub(crate) fn relayed_up_to(&self) -> Option<(u64, u64)> {
        self.line().expected()
    }

    /// Nobody else will write it: it ends at once when its writers have gone.
    pub(crate) fn set_final(&self, is_final: bool) {
        self.is_final.store(is_final, Ordering::Release);
    }

    pub(super) fn is_final(&self) -> bool {
        self.is_final.load(Ordering::Acquire)
    }

    /// How far its playlists have come, also when they go on after its end.
    pub(super) fn playlists(&self) -> Playlists {
        self.hls.map(HlsOutput::position)
    }

    /// The writing side.
    pub(super) fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        lock(&self.line)
    }

    /// Returns when nobody has wanted it for `limit`.
    pub(crate) async fn idle(&self, limit: Duration) {
        let mut demand = self.demand();
        loop {
            // Its sender is here.
            let _ = demand.wait_for(|viewers| *viewers == 0).await;
            tokio::select! {
                () = tokio::time::sleep(limit) => return,
                _ = demand.wait_for(|viewers| *viewers > 0) => {}
            }
        }
    }

    /// Bytes of media that came in, since it is here.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many watch it. A restream is no viewer.
    pub(crate) fn viewers(&self) -> u32 {
        let restreams = self.restreams.load(Ordering::Relaxed);
        self.viewers.borrow().saturating_sub(restreams)
    }

    /// True if somebody watches it or it is pushed on.
    pub(crate) fn is_wanted(&self) -> bool {
        *self.viewers.borrow() > 0
    }

    /// Follows how many want it: viewers and restreams.
    pub(crate) fn demand(&self) -> watch::Receiver<u32> {
        self.viewers.subscribe()
    }

    /// Follows how many watch it who can take no other sound than AAC.
    pub(crate) fn aac_demand(&self) -> watch::Receiver<u32> {
        self.aac_viewers.subscribe()
    }

    /// Counts a viewer that takes no other sound than AAC.
    #[cfg(test)]
    pub(crate) fn add_viewer(self: &Arc<Self>) -> ViewerGuard {
        self.add_viewer_for(Some(Sound::Aac))
    }

    /// Counts a viewer with this sound, or without any.
    pub(crate) fn add_viewer_for(self: &Arc<Self>, sound: Option<Sound>) -> ViewerGuard {
        self.add(sound, false)
    }

    /// Counts a restream, or another edge, with this sound.
    pub(crate) fn add_restream(self: &Arc<Self>, sound: Sound) -> ViewerGuard {
        self.add(Some(sound), true)
    }

    fn add(self: &Arc<Self>, sound: Option<Sound>, is_restream: bool) -> ViewerGuard {
        if is_restream {
            self.restreams.fetch_add(1, Ordering::Relaxed);
        }
        self.viewers.send_modify(|count| *count += 1);
        if sound == Some(Sound::Aac) {
            self.aac_viewers.send_modify(|count| *count += 1);
        }
        ViewerGuard {
            stream: Arc::clone(self),
            sound,
            is_restream,
        }
    }

    /// Where a viewer that comes now starts: the newest key frame, if there is one.
    pub(crate) fn start(&self) -> Option<Start> {
        let ring = self.ring();
        let number = ring.newest_key()?;
        Some(Start::new(number, ring.get(number)?))
    }

    /// Waits until a viewer can start, at most for `limit`. A source that fails is not waited
    /// for: it may take long, and the viewer wants to know why.
    pub(crate) async fn wait_for_picture(&self, limit: Duration) -> Result<(), NoPicture> {
        let mut progress = self.progress.subscribe();
        let mut status = self.status.subscribe();
        let wait = async {
            loop {
                if progress.borrow_and_update().ended {
                    return Err(NoPicture::Ended);
                }
                let (state, message) = {
                    let status = status.borrow_and_update();
                    (status.state, status.message.clone())
                };
                match state {
                    SlotState::Live if self.ring().newest_key().is_some() => return Ok(()),
                    SlotState::Failed => return Err(NoPicture::Because(message)),
                    _ => {}
                }
                tokio::select! {
                    _ = progress.changed() => {}
                    _ = status.changed() => {}
                }
            }
        };
        tokio::time::timeout(limit, wait)
            .await
            .unwrap_or_else(|_| Err(NoPicture::Because(self.status().message)))
    }

    /// Says whether AAC is on its way, so that who needs it had better wait.
    pub(super) fn set_aac_due(&self, due: bool) {
        self.aac_due
            .send_if_modified(|old| std::mem::replace(old, due) != due);
    }

    /// Lets one who needs AAC wait until it is there, or until that takes too long; then nobody
    /// else waits either. He has to be counted before, since nobody makes it for nobody.
    pub(crate) async fn wait_for_aac(&self) {
        let mut due = self.aac_due.subscribe();
        let wait = due.wait_for(|due| !due);
        if tokio::time::timeout(AAC_WAIT, wait).await.is_err() {
            self.set_aac_due(false);
        }
    }

    /// Until when frames can be read by their number.
    pub(super) fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        lock(&self.ring)
    }

    /// Sees to it that these entries have their MPEG-TS for those who get these tracks.
    pub(super) fn prepare_transport(
        &self,
        selection: Selection,
        first: u64,
        entries: &[Arc<Entry>],
    ) {
        let mut transport = lock(self.transport.of(selection));
        transport.prepare(&self.ring, selection, first, entries);
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn push(&self, entry: Arc<Entry>) {
        let bytes = entry.frame.payload.len() as u64;
        self.counters.received.inc_by(bytes);
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.ring().push(entry);
    }

    /// Tells readers that there is something new; what is urgent does not wait for more.
    pub(super) fn wake(&self, urgent: bool) {
        let next = self.ring().next();
        self.progress.send_if_modified(|progress| {
            let moved = progress.next != next;
            progress.next = next;
            moved
        });
        for link in lock(&self.links).iter() {
            link.wake(urgent);
        }
    }

    /// Nothing will follow: viewers go.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.progress.send_modify(|progress| progress.ended = true);
        self.wake(true);
    }

    pub(super) fn attach(&self, link: Arc<Link>) {
        lock(&self.links).push(link);
    }

    pub(super) fn detach(&self, link: &Arc<Link>) {
        lock(&self.links).retain(|other| !Arc::ptr_eq(other, link));
    }
}
