//! HLS of a stream: one task cuts it while somebody watches.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use headworks_hls::{Position, Segmenter, Window};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use super::{Stream, ViewerGuard, entry::Entry, lock};

/// A session that has asked for nothing for this long no longer counts as a viewer.
const SESSION_IDLE: Duration = Duration::from_secs(15);

/// The sessions that are counted; more can watch.
const MAX_SESSIONS: usize = 10_000;

/// Frames taken out of the ring at once.
const BATCH: u64 = 256;

/// The HLS side of a stream.
#[derive(Default)]
pub(super) struct HlsOutput(Mutex<State>);

#[derive(Default)]
struct State {
    /// What the task has cut, while it runs.
    windows: Option<watch::Receiver<Option<Arc<Window>>>>,
    /// Where the last task has stopped.
    position: Position,
    sessions: HashMap<Uuid, SessionUse>,
    last_request: Option<Instant>,
}

struct SessionUse {
    last_request: Instant,
    _guard: ViewerGuard,
}

impl Stream {
    /// What of the stream HLS viewers can fetch now. Starts cutting if nobody did, and waits at
    /// most `limit` for the first segment; `None` if there is none until then.
    pub(crate) async fn hls(
        self: &Arc<Self>,
        session: Uuid,
        limit: Duration,
    ) -> Option<Arc<Window>> {
        let first = async {
            loop {
                let mut windows = self.join_hls(session);
                let window = windows.wait_for(Option::is_some).await;
                match window.map(|window| window.clone()) {
                    Ok(window) => return window,
                    Err(_) if self.has_ended() => return None,
                    // The task has just stopped, since nobody had asked; start another.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        timeout(limit, first).await.ok()?
    }

    fn join_hls(self: &Arc<Self>, session: Uuid) -> watch::Receiver<Option<Arc<Window>>> {
        let now = self.clock.monotonic();
        let mut state = lock(&self.hls.0);
        state.last_request = Some(now);
        if state.sessions.len() < MAX_SESSIONS {
            let entry = state.sessions.entry(session);
            entry
                .or_insert_with(|| SessionUse {
                    last_request: now,
                    _guard: self.add_viewer(),
                })
                .last_request = now;
        }
        if let Some(windows) = &state.windows {
            return windows.clone();
        }
        let (sender, windows) = watch::channel(None);
        state.windows = Some(windows.clone());
        let packager = Packager {
            stream: Arc::clone(self),
            windows: sender,
            segmenter: None,
            description: 0,
            next: 0,
        };
        self.tasks.spawn("hls packager", packager.run());
        windows
    }
}

/// Cuts one stream for as long as somebody watches.
struct Packager {
    stream: Arc<Stream>,
    windows: watch::Sender<Option<Arc<Window>>>,
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
        // With the buffered past there is a segment to begin with.
        self.next = {
            let ring = self.stream.ring();
            ring.oldest_key().unwrap_or(ring.next())
        };
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
        let mut state = lock(&self.stream.hls.0);
        state
            .sessions
            .retain(|_, session| now - session.last_request < SESSION_IDLE);
        let quiet = state.last_request.map(|last| now - last);
        let is_idle = quiet.is_none_or(|quiet| quiet >= self.stream.config.hls.idle);
        if is_idle {
            self.leave(&mut state);
        }
        is_idle
    }

    fn finish(&self) {
        self.leave(&mut lock(&self.stream.hls.0));
    }

    /// Leaves the state so that a later task can go on.
    fn leave(&self, state: &mut State) {
        state.windows = None;
        if let Some(segmenter) = &self.segmenter {
            state.position = segmenter.position();
        }
        state.sessions.clear();
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
            let mut cut = false;
            for (index, entry) in entries.iter().enumerate() {
                cut |= self.push(entry, lost && index == 0);
            }
            if cut && let Some(window) = self.segmenter.as_ref().and_then(Segmenter::window) {
                self.windows.send_replace(Some(Arc::new(window.clone())));
            }
        }
    }

    /// Returns true if a segment is complete.
    fn push(&mut self, entry: &Entry, lost: bool) -> bool {
        let known = entry.description.number == self.description;
        let restart = lost || entry.starts_session || !known;
        let tracks = || Arc::clone(&entry.description.tracks);
        let outcome = match &mut self.segmenter {
            Some(segmenter) if restart => segmenter.restart(tracks()),
            Some(_) => Ok(false),
            None if known => return false,
            None => {
                let config = self.stream.config.hls.segmenter();
                let gop = self.stream.ring().longest_gop();
                let position = lock(&self.stream.hls.0).position;
                Segmenter::resume(config, tracks(), gop, position).map(|segmenter| {
                    self.segmenter = Some(segmenter);
                    false
                })
            }
        };
        self.description = entry.description.number;
        let cut = outcome.unwrap_or_else(|error| {
            let camera = self.stream.camera();
            tracing::warn!(camera.id = %camera, %error, "this stream cannot be cut for HLS");
            false
        });
        match &mut self.segmenter {
            Some(segmenter) => segmenter.push(entry.frame.clone()) || cut,
            None => cut,
        }
    }
}
