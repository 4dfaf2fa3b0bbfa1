//! What every protocol needs to serve a viewer: who may watch, what there is, and who should go to
//! another edge.

use crate::{
    access::{Access, Denied},
    elsewhere::{Advice, Asked, Elsewhere},
    streams::Streams,
};

/// All of it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Viewing {
    pub(crate) streams: Streams,
    pub(crate) access: Access,
    pub(crate) elsewhere: Elsewhere,
}

impl Viewing {
    /// Cameras of the whole cluster are watched as the directory of `streams` says.
    pub(crate) fn new(streams: Streams, access: Access) -> Self {
        let directory = streams.directory().clone();
        access.set_directory(directory.clone());
        let elsewhere = Elsewhere::new(directory, access.sessions().clone());
        Self {
            streams,
            access,
            elsewhere,
        }
    }

    /// Only what is in the hub.
    #[cfg(test)]
    pub(crate) fn testing(hub: crate::hub::Hub, access: Access) -> Self {
        Self::new(Streams::testing(hub), access)
    }

    /// Where a viewer is to be served who may watch.
    pub(crate) fn direct(&self, asked: &Asked<'_>) -> Result<Advice, Denied> {
        self.elsewhere.direct(&self.access, asked)
    }
}
