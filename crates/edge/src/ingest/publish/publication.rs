//! The right to publish, and how long it lasts.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use headworks_types::{
    CameraId, Publisher, StreamKeyId,
    edge::{AuditAction, StreamKeyDigest},
};
use tokio::{sync::watch, time::sleep};

use super::{Seat, meter::Meter};
use crate::{
    audit::{Audit, Guest, Known},
    ingest::Feed,
};

/// How long a publisher may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Its key is good until then.
    expires_at: Option<DateTime<Utc>>,
    /// It may send so much.
    max_bitrate_kbit: Option<u32>,
    /// Why it has to go at once.
    pub(super) ended: Option<Ended>,
}

impl Standing {
    /// As the key says.
    pub(super) fn of(key: &StreamKeyDigest) -> Self {
        Self {
            expires_at: key.expires_at,
            max_bitrate_kbit: key.bounds.max_bitrate_kbit,
            ended: None,
        }
    }
}

/// Why a publisher has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ended {
    #[error("another publisher took over")]
    TakenOver,
    #[error("the stream key was revoked")]
    Revoked,
    #[error("the stream key has expired")]
    Expired,
    #[error("the stream key was changed, and is not for its network or its protocol any more")]
    Narrowed,
    #[error("it sent more than {0} kbit/s, the most that the stream key allows")]
    TooFast(u32),
    #[error("this edge does not take this camera any more")]
    Closed,
}

/// The right to publish one camera, for as long as it lives.
pub(crate) struct Publication {
    feed: Option<Feed>,
    publisher: Publisher,
    standing: watch::Receiver<Standing>,
    meter: Meter,
    /// Bytes that have come.
    received: u64,
    last_words: String,
    seat: Arc<Seat>,
    /// Who has to hear of its end.
    recorded: Option<Recorded>,
}

/// A publication that the audit log knows.
struct Recorded {
    audit: Audit,
    camera: CameraId,
    protocol: &'static str,
}

impl Publication {
    pub(super) fn new(
        feed: Feed,
        publisher: Publisher,
        standing: watch::Receiver<Standing>,
        meter: Meter,
        seat: Arc<Seat>,
    ) -> Self {
        Self {
            feed: Some(feed),
            publisher,
            standing,
            meter,
            received: 0,
            last_words: String::new(),
            seat,
            recorded: None,
        }
    }

    /// Counts what has come in its connection or beside it. Fails when that is more than the key
    /// allows, which whoever looks at the camera sees. The clock is asked only if there is a cap.
    pub(crate) fn count(&mut self, bytes: usize) -> Result<(), Ended> {
        let bytes = bytes as u64;
        self.received += bytes;
        let Some(most) = self.standing.borrow().max_bitrate_kbit else {
            return Ok(());
        };
        let now = self.seat.clock().monotonic();
        self.meter.add(bytes, now);
        if !self.meter.is_over(most, now) {
            return Ok(());
        }
        let ended = Ended::TooFast(most);
        let reason = ended.to_string();
        self.seat.note_refused(self.publisher.address, &reason);
        Err(ended)
    }

    /// Where its media goes.
    pub(crate) fn feed(&mut self) -> &mut Feed {
        self.feed
            .as_mut()
            .expect("it is taken out only when the publication is dropped")
    }

    /// The key that let it in.
    pub(crate) fn key(&self) -> StreamKeyId {
        self.publisher.stream_key_id
    }

    /// Tells the audit log that it has begun, and later that it has ended.
    pub(in crate::ingest) fn record(
        &mut self,
        audit: &Audit,
        camera: CameraId,
        guest: Guest<'static>,
    ) {
        let recorded = Recorded {
            audit: audit.clone(),
            camera,
            protocol: guest.protocol,
        };
        self.tell(&recorded, |audit, known| {
            audit.admitted(AuditAction::PublishStart, known);
        });
        self.recorded = Some(recorded);
    }

    fn tell(&self, recorded: &Recorded, tell: impl FnOnce(&Audit, &Known<'_>)) {
        let known = Known {
            guest: Guest {
                protocol: recorded.protocol,
                address: self.publisher.address.ip(),
            },
            camera: recorded.camera,
            subject: &self.publisher.stream_key_id.to_string(),
            viewer_id: None,
            session_id: None,
        };
        tell(&recorded.audit, &known);
    }

    /// Returns when it has to go, and why.
    pub(crate) async fn ended(&self) -> Ended {
        let mut standing = self.standing.clone();
        loop {
            let Standing {
                expires_at, ended, ..
            } = *standing.borrow_and_update();
            if let Some(why) = ended {
                return why;
            }
            let expiry = async {
                match expires_at {
                    Some(end) => {
                        let left = end - self.seat.clock().now();
                        sleep(left.to_std().unwrap_or_default()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = standing.changed() => if changed.is_err() {
                    // Without its seat it has nothing to publish to.
                    return Ended::Closed;
                },
                () = expiry => return Ended::Expired,
            }
        }
    }

    /// Ends it, and says why in the camera's status.
    pub(crate) fn leave(mut self, why: &str) {
        why.clone_into(&mut self.last_words);
    }

    /// Ends it, since what it sends is of no use.
    pub(crate) fn refuse(self, reason: &str) {
        self.seat.note_refused(self.publisher.address, reason);
        self.leave(reason);
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if let Some(mut feed) = self.feed.take() {
            feed.flush();
            let meter = std::mem::take(&mut self.meter);
            self.seat.give_back(feed, &self.last_words, meter);
        }
        if let Some(recorded) = &self.recorded {
            self.tell(recorded, |audit, known| {
                let bytes = Some(self.received);
                audit.left(AuditAction::PublishEnd, known, bytes, &self.last_words);
            });
        }
    }
}
