//! What one other edge tells goes into the hub.

use std::{sync::Arc, time::Duration};

use headworks_bootstrap::Clock;
use headworks_media::Tracks;
use headworks_types::edge::SlotState;
use tokio::time::Instant;

use super::called;
use crate::{
    hub::Relayed,
    ingest::Feed,
    relay::{
        Counters, Shared,
        link::{Failure, Link},
        wire::Tell,
    },
};

/// The edge that gives the camera now.
pub(super) struct Feeding {
    link: Link,
    /// What its frames consist of.
    tracks: Option<Arc<Tracks>>,
    /// What the hub was told of them.
    begun: Option<(u64, Arc<Tracks>)>,
    /// When it gave a frame last; before that, when it was asked.
    fed: Instant,
    is_well: bool,
    hungry: Duration,
    counters: Counters,
    clock: Clock,
}

impl Feeding {
    pub(super) fn new(shared: &Shared, link: Link, feed: &mut Feed) -> Self {
        feed.begin(label(&link));
        Self {
            link,
            tracks: None,
            begun: None,
            fed: shared.clock.monotonic(),
            is_well: false,
            hungry: shared.config.pace.hungry,
            counters: shared.counters.clone(),
            clock: shared.clock.clone(),
        }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn into_link(self) -> Link {
        self.link
    }

    /// True if it has given a frame.
    pub(super) fn is_well(&self) -> bool {
        self.is_well
    }

    /// True if it has not given a frame for some time.
    pub(super) fn is_hungry(&self) -> bool {
        self.clock.monotonic() - self.fed >= self.hungry
    }

    /// What it tells next. Losing the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Tell, Failure> {
        self.link.next().await
    }

    /// Takes that, and what has come together with it.
    pub(super) fn take(
        &mut self,
        told: Result<Tell, Failure>,
        feed: &mut Feed,
        epoch: &mut i64,
    ) -> Result<(), Failure> {
        let mut next = Some(told?);
        let end = loop {
            let Some(tell) = next.take() else {
                break Ok(());
            };
            let taken = self.take_one(tell, feed, epoch);
            match taken.and_then(|()| self.link.ready()) {
                Ok(ready) => next = ready,
                Err(failure) => break Err(failure),
            }
        };
        self.flush(feed);
        end
    }

    /// Takes its first frame, which has come already.
    pub(super) fn begin(
        &mut self,
        tracks: Arc<Tracks>,
        first: Relayed,
        feed: &mut Feed,
        epoch: &mut i64,
    ) -> Result<(), Failure> {
        self.link.is_heard();
        self.tracks = Some(tracks);
        self.take(Ok(Tell::Frame(first)), feed, epoch)
    }

    fn take_one(&mut self, tell: Tell, feed: &mut Feed, epoch: &mut i64) -> Result<(), Failure> {
        match tell {
            Tell::Frame(frame) => self.frame(frame, feed, epoch),
            Tell::Tracks(tracks) => {
                self.tracks = Some(tracks);
                Ok(())
            }
            Tell::Status {
                state: SlotState::Live,
                ..
            } => {
                // Its frames say so, and what they are.
                self.flush(feed);
                if feed.stream().status().state != SlotState::Live {
                    feed.begin(label(&self.link));
                    self.begun = None;
                }
                Ok(())
            }
            Tell::Status { state, words } => {
                feed.set_status(state, &format!("{}: {words}", label(&self.link)));
                Ok(())
            }
            // The link has taken note of it.
            Tell::Source(_) | Tell::Alive | Tell::Refused { .. } => Ok(()),
            Tell::Welcome { .. } => Err(Failure::OutOfTurn),
        }
    }

    /// Also of use without a new frame: sound may have waited for a picture long enough.
    fn flush(&self, feed: &mut Feed) {
        if self.begun.is_some() {
            feed.flush();
        }
    }

    fn frame(&mut self, frame: Relayed, feed: &mut Feed, epoch: &mut i64) -> Result<(), Failure> {
        let source = self.link.source();
        let incarnation = source.incarnation.ok_or(Failure::OutOfTurn)?;
        let tracks = self.tracks.as_ref().ok_or(Failure::OutOfTurn)?;
        // Nothing goes back to an assignment that is over.
        if source.epoch < *epoch {
            return Err(Failure::Superseded);
        }
        *epoch = source.epoch;
        let is_begun = self
            .begun
            .as_ref()
            .is_some_and(|(of, begun)| *of == incarnation && Arc::ptr_eq(begun, tracks));
        if !is_begun {
            feed.relay_tracks(incarnation, Arc::clone(tracks));
            self.begun = Some((incarnation, Arc::clone(tracks)));
        }
        if !self.is_well {
            self.is_well = true;
            self.note_start(incarnation, frame.sequence, feed);
        }
        self.fed = self.clock.monotonic();
        feed.relay(frame);
        Ok(())
    }

    /// Counts what became of the change from another edge, if there was another.
    fn note_start(&self, incarnation: u64, sequence: u64, feed: &Feed) {
        let before = feed.stream().relayed_up_to();
        if let Some((of, next)) = before {
            self.counters.switches.inc();
            if of == incarnation && sequence <= next {
                self.counters.resumes.inc();
            }
        }
    }
}

fn label(link: &Link) -> String {
    format!("relay from {}", called(link.peer()))
}
