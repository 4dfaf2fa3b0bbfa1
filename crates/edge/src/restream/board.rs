//! How one push is doing, for reports.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use headworks_bootstrap::Clock;
use headworks_types::edge::{RestreamReport, SlotKey, SlotReport, SlotState};

use crate::{agent::process_ticks, printable::printable, work::Consumed};

/// How one push is doing, since its assignment. Texts in it hold no secret.
pub(super) struct Board {
    clock: Clock,
    key: SlotKey,
    sent: AtomicU64,
    /// The process that encodes for it; 0 if none does.
    encoder: AtomicU32,
    shown: Mutex<Shown>,
}

struct Shown {
    epoch: i64,
    state: SlotState,
    message: String,
    since: DateTime<Utc>,
    report: RestreamReport,
}

impl Board {
    pub(super) fn new(clock: Clock, key: SlotKey, epoch: i64) -> Self {
        let shown = Shown {
            epoch,
            state: SlotState::Idle,
            message: "just placed here".to_owned(),
            since: clock.now(),
            report: RestreamReport::default(),
        };
        Self {
            clock,
            key,
            sent: AtomicU64::new(0),
            encoder: AtomicU32::new(0),
            shown: Mutex::new(shown),
        }
    }

    /// It goes on under another assignment: counts begin anew.
    pub(super) fn assign(&self, epoch: i64) {
        let mut shown = self.shown();
        if shown.epoch != epoch {
            shown.epoch = epoch;
            self.sent.store(0, Ordering::Relaxed);
            let report = &mut shown.report;
            *report = RestreamReport {
                connected_at: report.connected_at,
                url_expires_at: report.url_expires_at,
                ..RestreamReport::default()
            };
        }
    }

    /// Says what it does. `since` stays while the state stays.
    pub(super) fn set(&self, state: SlotState, message: impl Into<String>) {
        let mut shown = self.shown();
        if shown.state != state {
            shown.since = self.clock.now();
        }
        shown.state = state;
        shown.message = printable(&message.into());
    }

    /// A connection is tried.
    pub(super) fn attempt(&self) {
        let mut shown = self.shown();
        shown.report.attempts = shown.report.attempts.saturating_add(1);
    }

    /// The target takes the stream.
    pub(super) fn live(&self, message: String, url_expires_at: Option<DateTime<Utc>>) {
        self.set(SlotState::Live, message);
        let mut shown = self.shown();
        shown.report.connected_at = Some(self.clock.now());
        shown.report.url_expires_at = url_expires_at;
    }

    /// There is no connection any more.
    pub(super) fn disconnected(&self) {
        self.encodes(None);
        let report = &mut self.shown().report;
        (report.connected_at, report.url_expires_at) = (None, None);
    }

    /// It does not get through. True if that is news.
    pub(super) fn failed(&self, why: &str) -> bool {
        let why = printable(why);
        let is_news = {
            let shown = self.shown();
            shown.state != SlotState::Failed || shown.message != why
        };
        self.set(SlotState::Failed, why.as_str());
        self.shown().report.last_error = Some(why);
        is_news
    }

    /// Bytes have been written.
    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn report(&self) -> SlotReport {
        let shown = self.shown();
        SlotReport {
            key: self.key,
            epoch: shown.epoch,
            state: shown.state,
            message: shown.message.clone(),
            since: shown.since,
            tracks: Vec::new(),
            viewers: 0,
            publisher: None,
            refused: None,
            published: Vec::new(),
            restream: Some(RestreamReport {
                bytes_sent: self.sent.load(Ordering::Relaxed),
                ..shown.report.clone()
            }),
            usage: None,
        }
    }

    /// This process encodes for it now.
    pub(super) fn encodes(&self, process: Option<u32>) {
        self.encoder.store(process.unwrap_or(0), Ordering::Relaxed);
    }

    /// What it has taken from this node.
    pub(super) fn consumed(&self) -> Consumed {
        let encoder = self.encoder.load(Ordering::Relaxed);
        Consumed {
            received: 0,
            sent: self.sent.load(Ordering::Relaxed),
            child_ticks: process_ticks(encoder),
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
