//! Finds a camera's stream, whoever asks by whatever protocol: what this edge brings in itself, or
//! else what a relay fetches from another edge as long as somebody wants it.

use std::sync::Arc;

use headworks_types::CameraId;

use crate::{
    directory::Directory,
    hub::{Hub, Stream},
};

/// Opens a relay of a camera, or gives the one that there is. `None` if it cannot be had from
/// anybody.
pub(crate) type Relays = Arc<dyn Fn(CameraId) -> Option<Arc<Stream>> + Send + Sync>;

/// All streams that can be watched here. Clones are the same.
#[derive(Clone)]
pub(crate) struct Streams {
    hub: Hub,
    directory: Directory,
    relays: Relays,
}

impl Streams {
    pub(crate) fn new(hub: Hub, directory: Directory, relays: Relays) -> Self {
        Self {
            hub,
            directory,
            relays,
        }
    }

    /// Only what this edge brings in itself, and what it has had from others before.
    #[cfg(test)]
    pub(crate) fn testing(hub: Hub) -> Self {
        Self::new(hub, Directory::default(), Arc::new(|_| None))
    }

    /// The stream of a camera. It may still be without a picture.
    pub(crate) fn find(&self, camera: CameraId) -> Option<Arc<Stream>> {
        let here = self.hub.stream(camera);
        match here.filter(|stream| stream.is_fed()) {
            Some(stream) => Some(stream),
            None => self.open(camera),
        }
    }

    /// The stream of a camera as other edges have it, beside what is here.
    pub(crate) fn open(&self, camera: CameraId) -> Option<Arc<Stream>> {
        self.directory.route(camera)?;
        (self.relays)(camera)
    }

    /// Where cameras are.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// True if the camera can be watched here, as far as anybody knows.
    pub(crate) fn knows(&self, camera: CameraId) -> bool {
        self.hub.stream(camera).is_some() || self.directory.route(camera).is_some()
    }

    /// What people call the camera; empty if nobody has said.
    pub(crate) fn name(&self, camera: CameraId) -> String {
        match self.hub.stream(camera) {
            Some(stream) => stream.name(),
            None => {
                let route = self.directory.route(camera);
                route.map_or_else(String::new, |route| route.camera_name.clone())
            }
        }
    }

    /// What stands behind it.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }
}
