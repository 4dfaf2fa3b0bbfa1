//! What the audit log is told: who watches and publishes here, and who was refused.
//!
//! Whoever decides calls [`Audit`], which never waits. [`keep()`] writes what it is told to a queue on
//! the disk, which outlives this process however it ends; [`deliver()`] gives it to a controller when
//! there is one, each record once. Refusals that are alike become one record a second with a count,
//! and refusals have room of their own ([`Kind`]): a stranger can knock as fast as he likes, and
//! displaces nobody who was let in. What finds no room is counted, and the count is told.

mod alike;
mod config;
mod deliver;
mod keep;
mod queue;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use headworks_bootstrap::Clock;
use headworks_types::{
    AuditResult, CameraId,
    edge::{AuditAction, AuditEntry},
};
use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) use config::Config;
pub(crate) use deliver::deliver;
pub(crate) use keep::{Store, keep};

/// Records that wait for the disk; refusals take half of the places at most.
const WAITING: usize = 8192;

/// What has room of its own, in memory and on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Who was let in, and has left.
    Admitted,
    /// Who was turned away.
    Refused,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Admitted, Self::Refused];

    fn of(entry: &AuditEntry) -> Self {
        match entry.result {
            AuditResult::Refused => Self::Refused,
            _ => Self::Admitted,
        }
    }
}

/// Takes what is to be remembered. Clones lead to the same place.
#[derive(Clone)]
pub(crate) struct Audit(Arc<Inner>);

struct Inner {
    entries: mpsc::Sender<AuditEntry>,
    /// Found no room, and were not told of yet; by kind.
    lost: [AtomicU64; 2],
    clock: Clock,
}

/// The other end of an [`Audit`].
pub(crate) struct Outlet {
    entries: mpsc::Receiver<AuditEntry>,
    audit: Audit,
}

#[cfg(test)]
impl Outlet {
    /// What was told and is not written yet.
    pub(crate) fn told(&mut self) -> Vec<AuditEntry> {
        std::iter::from_fn(|| self.entries.try_recv().ok()).collect()
    }
}

/// Somebody at the door.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest<'a> {
    /// `rtsp`, `hls`, …
    pub(crate) protocol: &'a str,
    pub(crate) address: IpAddr,
}

/// Somebody who was let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) guest: Guest<'a>,
    pub(crate) camera: CameraId,
    /// By token or key: `usr_…`, `key_…`, `pkey_…`, `skey_…`.
    pub(crate) subject: &'a str,
    /// The customer's own name of a viewer.
    pub(crate) viewer_id: Option<&'a str>,
    /// Of viewers.
    pub(crate) session_id: Option<Uuid>,
}

impl Audit {
    pub(crate) fn new(clock: Clock) -> (Self, Outlet) {
        let (sender, entries) = mpsc::channel(WAITING);
        let audit = Self(Arc::new(Inner {
            entries: sender,
            lost: Default::default(),
            clock,
        }));
        let outlet = Outlet {
            entries,
            audit: audit.clone(),
        };
        (audit, outlet)
    }

    /// A viewer (`SessionOpen`) or a publisher (`PublishStart`) was let in.
    pub(crate) fn admitted(&self, action: AuditAction, known: &Known<'_>) {
        self.push(self.entry(action, known));
    }

    /// A viewer or publisher has left, after so many bytes if somebody counted.
    pub(crate) fn left(
        &self,
        action: AuditAction,
        known: &Known<'_>,
        bytes: Option<u64>,
        reason: &str,
    ) {
        self.push(AuditEntry {
            bytes,
            reason: clean(reason, 256),
            ..self.entry(action, known)
        });
    }

    /// Somebody was turned away; `subject` is who, if that is sure.
    pub(crate) fn refused(
        &self,
        action: AuditAction,
        guest: Guest<'_>,
        camera: Option<CameraId>,
        subject: Option<&str>,
        reason: &str,
    ) {
        self.push(AuditEntry {
            result: AuditResult::Refused,
            subject: subject.and_then(|subject| clean(subject, 128)),
            camera_id: camera,
            reason: clean(reason, 256),
            ..self.of(action, guest)
        });
    }

    fn entry(&self, action: AuditAction, known: &Known<'_>) -> AuditEntry {
        AuditEntry {
            subject: clean(known.subject, 128),
            viewer_id: known.viewer_id.and_then(|name| clean(name, 256)),
            camera_id: Some(known.camera),
            session_id: known.session_id,
            ..self.of(action, known.guest)
        }
    }

    fn of(&self, action: AuditAction, guest: Guest<'_>) -> AuditEntry {
        AuditEntry {
            protocol: clean(guest.protocol, 32),
            address: Some(guest.address.to_canonical()),
            ..self.bare(action)
        }
    }

    fn bare(&self, action: AuditAction) -> AuditEntry {
        AuditEntry {
            // The queue numbers it.
            sequence: 0,
            at: self.0.clock.now(),
            action,
            result: AuditResult::Ok,
            subject: None,
            viewer_id: None,
            camera_id: None,
            protocol: None,
            address: None,
            session_id: None,
            bytes: None,
            reason: None,
            count: 1,
        }
    }

    fn push(&self, entry: AuditEntry) {
        let kind = Kind::of(&entry);
        let is_full = kind == Kind::Refused && self.0.entries.capacity() <= WAITING / 2;
        if is_full || self.0.entries.try_send(entry).is_err() {
            self.lose(kind, 1);
        }
    }

    /// So many could not be kept.
    fn lose(&self, kind: Kind, count: u64) {
        self.0.lost[kind as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// The record of those that were lost, if any were since it was asked last. It belongs where
    /// they would have been.
    fn take_lost(&self, kind: Kind) -> Option<AuditEntry> {
        let count = self.0.lost[kind as usize].swap(0, Ordering::Relaxed);
        (count > 0).then(|| AuditEntry {
            result: AuditResult::Failed,
            reason: (kind == Kind::Refused).then(|| "refusals".to_owned()),
            count,
            ..self.bare(AuditAction::AuditLost)
        })
    }
}

/// As the log takes texts: strangers may put anything into a token.
fn clean(text: &str, most: usize) -> Option<String> {
    let text: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(most)
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
