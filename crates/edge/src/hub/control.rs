//! How a connection's own task steers its viewer: messages of its protocol between frames, pause,
//! the end.
//!
//! Orders wait in the handle until the shard takes them, and wake it; they are few and bounded.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    Leave, Start, lock,
    shard::{Bell, ViewerKey},
};

/// Messages that may wait for a viewer.
const MAX_MESSAGES: usize = 64;

/// Bytes of them.
const MAX_BYTES: usize = 64 << 10;

/// A viewer that does not take its protocol's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the viewer does not take its messages")]
pub(crate) struct NotTaken;

/// Steers one viewer. Dropping it ends the viewer.
pub(crate) struct ViewerHandle(Arc<Shared>);

/// The hub's side of a [`ViewerHandle`]; goes into a [`NewViewer`](super::NewViewer).
pub(crate) struct Control(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    left: watch::Sender<Option<Leave>>,
}

#[derive(Default)]
struct Waiting {
    orders: Orders,
    /// Bytes of messages that the viewer has not been written, here and at the shard.
    bytes: usize,
    messages: usize,
    /// Who is told of new orders, and by what it knows the viewer; absent before it has it.
    bell: Option<(Arc<Bell>, ViewerKey)>,
    rung: bool,
}

/// What a viewer is to do.
#[derive(Default)]
pub(super) struct Orders {
    /// To be written before any further frame.
    pub(super) messages: Vec<Bytes>,
    pub(super) play: Option<Play>,
    pub(super) end: bool,
}

/// Whether frames go out.
pub(super) enum Play {
    Pause,
    From(Start),
}

/// A handle, and what the hub needs of it.
pub(crate) fn control() -> (ViewerHandle, Control) {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        left: watch::Sender::default(),
    });
    (ViewerHandle(Arc::clone(&shared)), Control(shared))
}

impl ViewerHandle {
    /// Writes a message behind the frame that is under way, before all others.
    ///
    /// # Errors
    /// If too much waits already: the viewer takes nothing, and should be ended.
    pub(crate) fn send(&self, message: Bytes) -> Result<(), NotTaken> {
        self.order(|waiting| {
            if waiting.messages >= MAX_MESSAGES || waiting.bytes + message.len() > MAX_BYTES {
                return Err(NotTaken);
            }
            waiting.messages += 1;
            waiting.bytes += message.len();
            waiting.orders.messages.push(message);
            Ok(())
        })
    }

    /// The messages that the viewer had not taken when it left.
    pub(crate) fn take_back(&self) -> Vec<Bytes> {
        let mut waiting = lock(&self.0.waiting);
        std::mem::take(&mut waiting.orders.messages)
    }

    /// Stops frames; messages still go out.
    pub(crate) fn pause(&self) {
        self.order(|waiting| waiting.orders.play = Some(Play::Pause));
    }

    /// Goes on at `start`, behind all messages sent before.
    pub(crate) fn resume(&self, start: Start) {
        self.order(|waiting| waiting.orders.play = Some(Play::From(start)));
    }

    /// Ends the viewer once its messages are written; [`Self::left`] then tells that its socket
    /// is free.
    pub(crate) fn end(&self) {
        self.order(|waiting| waiting.orders.end = true);
    }

    /// Waits until the viewer is closed, and tells why.
    pub(crate) async fn left(&self) -> Leave {
        let mut left = self.0.left.subscribe();
        let reason = left.wait_for(Option::is_some).await;
        // Its sender is in the handle, so it is there.
        reason.map_or(Leave::Gone, |reason| reason.unwrap_or(Leave::Gone))
    }

    fn order<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let mut waiting = lock(&self.0.waiting);
        let answer = change(&mut waiting);
        if !waiting.rung
            && let Some((bell, viewer)) = waiting.bell.clone()
        {
            waiting.rung = true;
            bell.ring_for(viewer);
        }
        answer
    }
}

impl Drop for ViewerHandle {
    fn drop(&mut self) {
        self.end();
    }
}

impl Control {
    /// From now on orders ring `bell` for this viewer; takes those that were given before.
    pub(super) fn adopt(&self, bell: &Arc<Bell>, viewer: ViewerKey) -> Orders {
        let mut waiting = lock(&self.0.waiting);
        waiting.bell = Some((Arc::clone(bell), viewer));
        std::mem::take(&mut waiting.orders)
    }

    /// What has been ordered since.
    pub(super) fn take(&self) -> Orders {
        let mut waiting = lock(&self.0.waiting);
        waiting.rung = false;
        std::mem::take(&mut waiting.orders)
    }

    /// Tells the handle that the viewer is closed.
    pub(super) fn left(&self, leave: Leave) {
        self.0.left.send_if_modified(|left| {
            let is_first = left.is_none();
            *left = left.or(Some(leave));
            is_first
        });
    }

    /// All messages have been written.
    pub(super) fn taken(&self) {
        let mut waiting = lock(&self.0.waiting);
        let still = &waiting.orders.messages;
        let (messages, bytes) = (still.len(), still.iter().map(Bytes::len).sum());
        (waiting.messages, waiting.bytes) = (messages, bytes);
    }
}

/// A viewer that nobody closed went with its shard.
impl Drop for Control {
    fn drop(&mut self) {
        self.left(Leave::Gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_behind_the_end_of_a_viewer_is_given_back() {
        let (handle, control) = control();
        control.left(Leave::StreamEnded);
        let answer = Bytes::from_static(b"RTSP/1.0 200 OK\r\n\r\n");
        handle.send(answer.clone()).expect("there is room");
        assert_eq!(handle.left().await, Leave::StreamEnded);
        assert_eq!(handle.take_back(), [answer]);
        assert!(handle.take_back().is_empty());
    }
}
