//! HLS of a stream: one task cuts it while somebody watches, and another for those who get no sound.
//!
//! The task publishes what can be fetched as one [`Live`] after another in a watch channel. All
//! who wait for something (a playlist with a part that is not there yet, the part itself) wait on
//! that channel: each new part wakes them once, and whoever has what it waits for answers. What is
//! written for one viewer is written for all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use super::{Leave, NoPicture, Selection, Sound, Stream, ViewerGuard, entry::Entry, lock};
use crate::session::Session;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use headworks_hls::{Flavor, Position, Segmenter, Window};
use headworks_media::{Frame, TrackKind, Tracks, VIDEO_CLOCK, rescale};
use headworks_types::SessionId;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

/// A session that has asked for nothing for this long no longer counts as a viewer.
const SESSION_IDLE: Duration = Duration::from_secs(15);

/// Frames taken out of the ring at once.
const BATCH: u64 = 256;

/// The HLS side of a stream, with its sound or without.
#[derive(Default)]
pub(super) struct HlsOutput {
    state: Mutex<State>,
    /// Where the last task has stopped.
    position: Arc<Mutex<Position>>,
}

impl HlsOutput {
    /// One that goes on from there, and writes down there where it has come to.
    pub(super) fn new(position: Arc<Mutex<Position>>) -> Self {
        Self {
            state: Mutex::default(),
            position,
        }
    }

    /// Where it writes down where it has come to.
    pub(super) fn position(&self) -> Arc<Mutex<Position>> {
        Arc::clone(&self.position)
    }
}

#[derive(Default)]
struct State {
    /// What the task has cut, while it runs.
    windows: Option<Windows>,
    sessions: HashMap<SessionId, SessionUse>,
    /// Requests under way.
    requests: u32,
    last_request: Option<Instant>,
}

type Windows = watch::Receiver<Option<Arc<Live>>>;

struct SessionUse {
    /// Requests under way.
    requests: u32,
    last_request: Instant,
    session: Session,
    _guard: ViewerGuard,
}

/// What of a stream can be fetched at a moment, with its playlists.
#[derive(Debug)]
pub(crate) struct Live {
    window: Window,
    plain: OnceLock<Bytes>,
    low_latency: OnceLock<Bytes>,
    delta: OnceLock<Bytes>,
}

impl Live {
    fn new(window: Window) -> Self {
        Self {
            window,
            plain: OnceLock::new(),
            low_latency: OnceLock::new(),
            delta: OnceLock::new(),
        }
    }

    /// Segments and parts.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// A media playlist, written when the first viewer asks for it.
    pub(crate) fn playlist(&self, flavor: Flavor) -> Bytes {
        let place = match flavor {
            Flavor::Plain => &self.plain,
            Flavor::LowLatency => &self.low_latency,
            Flavor::Delta => &self.delta,
        };
        place
            .get_or_init(|| self.window.playlist(flavor).into())
            .clone()
    }
}

/// One request of an HLS viewer. While it lives the session counts as present, however long it
/// waits.
pub(crate) struct HlsRequest {
    windows: Windows,
    now: Arc<Live>,
    presence: Presence,
}

impl HlsRequest {
    /// What can be fetched now.
    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.now
    }

    /// Waits at most `limit` until what can be fetched is as wanted.
    pub(crate) async fn wait_for(
        mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Window) -> bool,
    ) -> Result<Arc<Live>, NoPicture> {
        let is_wanted = |live: &Option<Arc<Live>>| live.as_ref().is_some_and(|l| wanted(&l.window));
        let stream = &self.presence.stream;
        match timeout(limit, self.windows.wait_for(is_wanted)).await {
            Ok(Ok(live)) => live.clone().ok_or(NoPicture::Ended),
            Ok(Err(_)) => Err(NoPicture::Ended),
            Err(_) => Err(NoPicture::Because(stream.status().message)),
        }
    }
}

/// Counts a request of a session.
struct Presence {
    stream: Arc<Stream>,
    session: Session,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let now = self.stream.clock.monotonic();
        let mut state = self.stream.hls_state(Selection::of(&self.session));
        state.requests = state.requests.saturating_sub(1);
        state.last_request = Some(now);
        // It may be gone, with the task that has stopped meanwhile.
        if let Some(session) = state.sessions.get_mut(&self.session.about().id) {
            session.requests = session.requests.saturating_sub(1);
            session.last_request = now;
        }
    }
}

impl Stream {
    /// Lets an HLS viewer in. Starts cutting if nobody did, and waits at most `limit` for the
    /// first segment; `None` if there is none until then.
    pub(crate) async fn hls(
        self: &Arc<Self>,
        session: &Session,
        limit: Duration,
    ) -> Option<HlsRequest> {
        let first = async {
            loop {
                let (mut windows, presence) = self.join_hls(session);
                let window = windows.wait_for(Option::is_some).await;
                match window.map(|window| window.clone()) {
                    Ok(now) => {
                        return Some(HlsRequest {
                            windows,
                            now: now?,
                            presence,
                        });
                    }
                    Err(_) if self.has_ended() => return None,
                    // The task has just stopped, since nobody had asked; start another.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        timeout(limit, first).await.ok()?
    }

    fn hls_state(&self, selection: Selection) -> MutexGuard<'_, State> {
        lock(&self.hls.of(selection).state)
    }

    fn join_hls(self: &Arc<Self>, session: &Session) -> (Windows, Presence) {
        let now = self.clock.monotonic();
        let selection = Selection::of(session);
        let mut state = self.hls_state(selection);
        state.last_request = Some(now);
        state.requests += 1;
        let presence = Presence {
            stream: Arc::clone(self),
            session: session.clone(),
        };
        let entry = state.sessions.entry(session.about().id);
        let used = entry.or_insert_with(|| SessionUse {
            requests: 0,
            last_request: now,
            session: session.clone(),
            _guard: self.add_viewer_for(selection.sound(Sound::Aac)),
        });
        if used.session != *session {
            // The one before was ended, by somebody who may let its viewer in again.
            used.session = session.clone();
        }
        used.requests += 1;
        used.last_request = now;
        // One that has stopped without taking them back is of no more use.
        if let Some(windows) = &state.windows
            && windows.has_changed().is_ok()
        {
            return (windows.clone(), presence);
        }
        let (sender, windows) = watch::channel(None);
        state.windows = Some(windows.clone());
        let packager = Packager {
            stream: Arc::clone(self),
            selection,
            windows: sender,
            segmenter: None,
            description: 0,
            next: 0,
        };
        self.tasks.spawn("hls packager", packager.run());
        (windows, presence)
    }
}

/// Cuts one stream for as long as somebody watches.
struct Packager {
    stream: Arc<Stream>,
    selection: Selection,
    windows: watch::Sender<Option<Arc<Live>>>,
    segmenter: Option<Segmenter>,
    /// The number of the description that the segmenter knows.
    description: u64,
    /// The number of the next frame.
    next: u64,
}

impl Packager {
    async fn run(mut self) {
        let stop = self.stream.tasks.token();
        let mut progress = self.stream.progress();
        let mut check = interval(Duration::from_secs(1));
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if self.selection.has(TrackKind::Audio) {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.stream.wait_for_aac() => {}
            }
        }
        self.take_past();
        loop {
            self.take_frames();
            tokio::select! {
                () = stop.cancelled() => break,
                _ = check.tick() => if self.stop_if_idle() { return },
                changed = progress.changed() => {
                    if changed.is_err() || progress.borrow_and_update().ended {
                        break;
                    }
                }
            }
        }
        self.finish();
    }

    /// Forgets sessions that have gone, and finishes if nobody has asked for a while. In one step,
    /// so that nobody is let in between.
    fn stop_if_idle(&self) -> bool {
        let now = self.stream.clock.monotonic();
        let mut state = self.state();
        state.sessions.retain(|_, used| {
            let is_used = used.requests > 0 || now - used.last_request < SESSION_IDLE;
            is_used && used.session.why_over().is_none()
        });
        let quiet = state.last_request.map(|last| now - last);
        let is_idle =
            state.requests == 0 && quiet.is_none_or(|quiet| quiet >= self.stream.config.hls.idle);
        if is_idle {
            self.leave(&mut state);
        }
        is_idle
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.stream.hls_state(self.selection)
    }

    fn finish(&self) {
        let leave = if self.stream.has_ended() {
            Leave::StreamEnded
        } else {
            Leave::Stopping
        };
        let mut state = self.state();
        for used in state.sessions.values() {
            used.session.note_end(leave.as_str());
        }
        self.leave(&mut state);
    }

    /// Leaves the state so that a later task can go on.
    fn leave(&self, state: &mut State) {
        state.windows = None;
        if let Some(segmenter) = &self.segmenter {
            *lock(&self.stream.hls.of(self.selection).position) = segmenter.position();
        }
        state.sessions.clear();
    }

    /// With the buffered past there is a segment to begin with. AAC that was made just now for
    /// pictures of the past stands behind them there.
    fn take_past(&mut self) {
        let mut entries: Vec<_> = {
            let ring = self.stream.ring();
            let numbers = ring.oldest_key().unwrap_or(ring.next())..ring.next();
            self.next = numbers.end;
            numbers.filter_map(|n| ring.get(n).cloned()).collect()
        };
        entries.sort_by_key(|entry| entry.time());
        self.take(&entries, false);
    }

    fn take_frames(&mut self) {
        loop {
            let (lost, entries) = {
                let ring = self.stream.ring();
                let lost = self.next < ring.first();
                if lost {
                    self.next = ring.oldest_key().unwrap_or(ring.next());
                }
                let range = self.next..ring.next().min(self.next + BATCH);
                let entries = range.filter_map(|number| ring.get(number).cloned());
                (lost, entries.collect::<Vec<_>>())
            };
            if lost {
                self.stream.counters.jumps.inc();
            }
            if entries.is_empty() {
                return;
            }
            self.next += entries.len() as u64;
            self.take(&entries, lost);
        }
    }

    fn take(&mut self, entries: &[Arc<Entry>], lost: bool) {
        let mut news = false;
        for (index, entry) in entries.iter().enumerate() {
            news |= self.push(entry, lost && index == 0);
        }
        if news && let Some(window) = self.segmenter.as_ref().and_then(Segmenter::window) {
            let live = Live::new(window.clone());
            self.windows.send_replace(Some(Arc::new(live)));
        }
    }

    /// Returns true if there is something new to fetch.
    fn push(&mut self, entry: &Entry, lost: bool) -> bool {
        if !entry.is_for(Sound::Aac) || !self.selection.has(entry.frame.track) {
            return false;
        }
        let frame = &entry.frame;
        // Pictures lead: sound of the past may tell of what came after it.
        let news = match frame.track {
            TrackKind::Video => self.follow(entry, lost),
            TrackKind::Audio => false,
        };
        match &mut self.segmenter {
            Some(segmenter) => segmenter.push(frame.clone()) || news,
            None => news,
        }
    }

    /// Starts anew where a picture does not go on from the one before. Returns true if there is
    /// something new to fetch.
    fn follow(&mut self, entry: &Entry, lost: bool) -> bool {
        let known = entry.description.number == self.description;
        if known && (self.segmenter.is_none() || !lost && !entry.starts_session) {
            return false;
        }
        self.description = entry.description.number;
        let description = entry.description.seen_with(self.selection);
        let tracks = description.tracks_for_hls();
        let goes_on = !lost && !entry.starts_session;
        let segmenter = self.segmenter.as_ref();
        if goes_on && segmenter.is_some_and(|segmenter| *segmenter.tracks() == tracks) {
            return false;
        }
        self.restart(&tracks, &entry.frame).unwrap_or_else(|error| {
            let camera = self.stream.camera();
            tracing::warn!(camera.id = %camera, %error, "this stream cannot be cut for HLS");
            false
        })
    }

    /// What comes now does not continue what was before: `frame` is the first of it.
    fn restart(
        &mut self,
        tracks: &Arc<Tracks>,
        frame: &Frame,
    ) -> Result<bool, headworks_media::Error> {
        let tracks = Arc::clone(tracks);
        let news = if let Some(segmenter) = &mut self.segmenter {
            segmenter.restart(tracks)?
        } else {
            let config = self.stream.config.hls.segmenter();
            let gop = self.stream.ring().longest_gop();
            let position = *lock(&self.stream.hls.of(self.selection).position);
            self.segmenter = Some(Segmenter::resume(config, tracks, gop, position)?);
            false
        };
        let taken = self.taken_at(frame);
        if let Some(segmenter) = &mut self.segmenter {
            segmenter.set_wall(frame.dts, taken);
        }
        Ok(news)
    }

    /// When the camera took a picture, as far as we know: the newest one just now, and this one
    /// so long before.
    fn taken_at(&self, frame: &Frame) -> DateTime<Utc> {
        let newest = {
            let ring = self.stream.ring();
            let mut entries = (ring.first()..ring.next()).rev().map_while(|n| ring.get(n));
            let picture = entries.find(|entry| entry.frame.track == TrackKind::Video);
            picture.map_or(frame.dts, |entry| entry.frame.dts)
        };
        let ago = rescale(newest - frame.dts, VIDEO_CLOCK, 1_000_000);
        self.stream.clock.now() - TimeDelta::microseconds(ago)
    }
}
