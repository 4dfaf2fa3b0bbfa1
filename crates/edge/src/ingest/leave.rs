//! How work is left. Where somebody watches a camera that another edge brings in now, a relay from
//! there takes its place here: the ingest goes on until that has a key frame, if the camera lets
//! two in, and viewers stay in any case.

use std::{sync::Arc, time::Duration};

use headworks_types::{
    CameraId, CameraSource,
    edge::{Role, SlotKey, SlotState},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Ingests, Slot, Slots};
use crate::{
    directory::Directory,
    hub::{Publisher, Stream},
    streams::Streams,
};

/// An ingest whose work is elsewhere stays at most so long.
const LINGER: Duration = Duration::from_secs(15);

/// The news of where a camera is needs at most so long to come here, too.
const NEWS: Duration = Duration::from_secs(3);

/// Work that is being left.
pub(super) struct Leaving {
    slot: Slot,
    /// Cancelled when the work comes back.
    back: CancellationToken,
}

/// What has become of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    /// Another edge brings it in.
    Elsewhere,
    /// It was deleted or disabled.
    Gone,
}

/// What keeps viewers until a relay is there.
enum Keeper {
    /// The ingest itself.
    Ingest(SlotKey),
    /// Nothing: viewers wait.
    Nobody(Publisher),
}

impl Ingests {
    /// From now on cameras that leave are looked for there.
    pub(crate) fn follow(&self, streams: Streams) {
        if self.0.streams.set(streams).is_err() {
            tracing::error!("it was said twice where cameras go");
        }
    }

    /// Ends work. If the camera is wanted, its viewers stay as long as it may be elsewhere.
    pub(crate) fn stop(&self, key: SlotKey) {
        let stopped = {
            let mut slots = self.slots();
            let slot = slots.running.remove(&key);
            slot.and_then(|slot| self.leave(&mut slots, key, slot))
        };
        // Not while the lock is held: it ends streams.
        drop(stopped);
    }

    /// Ends work and closes its viewers.
    pub(crate) fn stop_now(&self, key: SlotKey) {
        let (running, leaving) = {
            let mut slots = self.slots();
            (slots.running.remove(&key), slots.leaving.remove(&key))
        };
        if let Some(leaving) = &leaving {
            leaving.back.cancel();
        }
        for slot in running
            .into_iter()
            .chain(leaving.map(|leaving| leaving.slot))
        {
            slot.stream.set_final(true);
        }
    }

    /// Under which assignment this edge brings a camera in, if it does.
    pub(crate) fn epoch(&self, camera: CameraId) -> Option<i64> {
        let slots = self.slots();
        let slot = slots.running.get(&key(camera))?;
        let epoch = slot.desired.borrow().epoch;
        Some(epoch)
    }

    /// Another edge has the camera by a newer assignment than this, whatever the controller has
    /// said here last.
    pub(crate) fn supersede(&self, camera: CameraId, epoch: i64) {
        if self.epoch(camera).is_some_and(|own| own < epoch) {
            tracing::info!(camera.id = %camera, epoch, "another edge brings this camera in now");
            self.stop(key(camera));
        }
    }

    /// Work that is being left and has come back goes on as if nothing had been.
    pub(super) fn take_back(slots: &mut Slots, key: SlotKey) {
        if let Some(Leaving { slot, back }) = slots.leaving.remove(&key) {
            back.cancel();
            slot.writer.give_way(false);
            slots.running.insert(key, slot);
        }
    }

    /// Gives back what is to end at once.
    fn leave(&self, slots: &mut Slots, key: SlotKey, slot: Slot) -> Option<Slot> {
        let wanted = self.0.streams.get().filter(|_| slot.stream.is_wanted());
        let Some(streams) = wanted.cloned() else {
            return Some(slot);
        };
        if streams.directory().route(key.camera_id).is_none() {
            slot.stream.set_final(true);
            return Some(slot);
        }
        let (epoch, is_alone) = {
            let job = slot.desired.borrow();
            let is_published = job.work.source == CameraSource::Publish;
            (job.epoch, is_published || job.work.exclusive)
        };
        let stream = Arc::clone(&slot.stream);
        let back = CancellationToken::new();
        let (keeper, stopped) = if is_alone {
            let keeper = self.0.hub.publish(key.camera_id);
            keeper.set_status(SlotState::Connecting, "the camera moves to another edge");
            (Keeper::Nobody(keeper), Some(slot))
        } else {
            slot.writer.give_way(true);
            let back = back.clone();
            slots.leaving.insert(key, Leaving { slot, back });
            (Keeper::Ingest(key), None)
        };
        let (ingests, stop) = (self.clone(), self.0.tasks.token());
        self.0.tasks.spawn("camera leaves", async move {
            let hand_over = ingests.hand_over(&streams, &stream, epoch, keeper, &back);
            stop.run_until_cancelled(hand_over).await;
        });
        stopped
    }

    async fn hand_over(
        &self,
        streams: &Streams,
        stream: &Stream,
        epoch: i64,
        keeper: Keeper,
        back: &CancellationToken,
    ) {
        let follow = self.find_successor(streams, stream, epoch, &keeper);
        if back.run_until_cancelled(follow).await.is_none() {
            return;
        }
        if let Keeper::Ingest(key) = keeper {
            let left = {
                let mut slots = self.slots();
                let is_back = back.is_cancelled();
                (!is_back).then(|| slots.leaving.remove(&key)).flatten()
            };
            drop(left);
        }
    }

    /// Returns when what keeps viewers is of no more use.
    async fn find_successor(
        &self,
        streams: &Streams,
        stream: &Stream,
        epoch: i64,
        keeper: &Keeper,
    ) {
        let camera = stream.camera();
        let found = whereabouts(streams.directory(), camera, epoch);
        match timeout(NEWS, found).await {
            Ok(Whereabouts::Elsewhere) => {}
            Ok(Whereabouts::Gone) => return stream.set_final(true),
            Err(_) => return,
        }
        if streams.open(camera).is_none() {
            return;
        }
        if let Keeper::Ingest(key) = keeper
            && let Some(writer) = self.leaving_writer(*key)
        {
            tokio::select! {
                () = writer.lost() => {}
                () = sleep(LINGER) => {}
                () = stream.idle(Duration::ZERO) => {}
            }
        }
    }

    fn leaving_writer(&self, key: SlotKey) -> Option<crate::hub::Writer> {
        let slots = self.slots();
        Some(slots.leaving.get(&key)?.slot.writer.clone())
    }
}

/// Waits until it is known where a camera is that was here under this assignment.
async fn whereabouts(directory: &Directory, camera: CameraId, epoch: i64) -> Whereabouts {
    let mut changes = directory.changes();
    let is_other = |origin| Some(origin) != directory.own();
    loop {
        changes.mark_unchanged();
        match directory.route(camera) {
            None => return Whereabouts::Gone,
            Some(route) if route.epoch > epoch && route.origin.is_some_and(is_other) => {
                return Whereabouts::Elsewhere;
            }
            Some(_) => {}
        }
        // Its sender is in the directory.
        let _ = changes.changed().await;
    }
}

fn key(camera: CameraId) -> SlotKey {
    SlotKey {
        camera_id: camera,
        role: Role::Ingest,
        ordinal: 0,
    }
}
