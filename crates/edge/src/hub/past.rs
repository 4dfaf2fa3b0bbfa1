//! Where the playlists of streams stood that have ended. A relay ends when nobody has wanted it for
//! a while; a player that goes on then asks for a playlist that has gone on, too.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use headworks_hls::Position;
use headworks_types::CameraId;

use super::format::ByHearing;

/// So many streams are remembered.
const MOST: usize = 4096;

/// How far a stream's playlists have come, with its sound and without.
pub(super) type Playlists = ByHearing<Arc<Mutex<Position>>>;

/// What is known of streams that have ended.
#[derive(Debug, Default)]
pub(super) struct Past {
    playlists: HashMap<CameraId, Playlists>,
    /// Who is forgotten first.
    order: VecDeque<CameraId>,
}

impl Past {
    /// The stream of a camera has ended.
    pub(super) fn keep(&mut self, camera: CameraId, playlists: Playlists) {
        self.take(camera);
        self.playlists.insert(camera, playlists);
        self.order.push_back(camera);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.playlists.remove(&oldest);
        }
    }

    /// What there is of a camera whose stream begins anew.
    pub(super) fn take(&mut self, camera: CameraId) -> Option<Playlists> {
        let known = self.playlists.remove(&camera)?;
        self.order.retain(|other| *other != camera);
        Some(known)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut past = Past::default();
        let camera = |number| CameraId::from(Uuid::from_u128(number));
        for number in 0..=MOST as u128 {
            past.keep(camera(number), Playlists::default());
            past.keep(camera(1), Playlists::default());
        }
        assert_eq!((past.order.len(), past.playlists.len()), (MOST, MOST));
        assert!(past.take(camera(0)).is_none());
        assert!(past.take(camera(1)).is_some(), "it was used");
        assert!(past.take(camera(1)).is_none());
    }
}
