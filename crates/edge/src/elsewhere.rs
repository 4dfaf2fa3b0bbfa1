//! Sends those who come to other edges: viewers when this one is to be left or has enough of them,
//! publishers to where their camera is brought in.
//!
//! Who was sent carries a [mark](MARK), and is not sent on: two edges that think each other free would
//! play ball with him.

use headworks_types::{
    Action, Advertise, CameraId, NodeState,
    edge::{Peer, rendezvous},
};
use url::Url;

use crate::{
    access::{Access, Denied},
    directory::Directory,
    session::{Client, Sessions},
};

/// The parameter of who was sent here by another edge.
pub(crate) const MARK: &str = "redirected";

/// A secret that may be in a query.
pub(crate) type Secret<'a> = Option<(&'a str, &'a str)>;

/// Where who comes should go. Clones are the same.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    directory: Directory,
    sessions: Sessions,
}

/// What to do with a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advice {
    /// He is served here.
    Stay,
    /// He goes to this base URL.
    Go(Url),
    /// Nobody can serve him now, and why.
    Full(&'static str),
}

/// A viewer who comes.
pub(crate) struct Asked<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) camera: CameraId,
    pub(crate) client: &'a Client,
    pub(crate) base: Base,
    /// Another edge has sent him.
    pub(crate) is_marked: bool,
}

/// Which of an edge's addresses is meant.
pub(crate) type Base = fn(&Advertise) -> Option<&Url>;

impl Elsewhere {
    pub(crate) fn new(directory: Directory, sessions: Sessions) -> Self {
        Self {
            directory,
            sessions,
        }
    }

    /// Where a viewer of the camera should go who comes anew; `is_marked`: another edge has sent
    /// him.
    pub(crate) fn viewer(&self, camera: CameraId, base: Base, is_marked: bool) -> Advice {
        let own = self
            .directory
            .own()
            .and_then(|own| self.directory.peer(own));
        let is_draining = own.as_ref().is_some_and(|own| own.draining);
        let is_full = own.as_ref().is_some_and(|own| own.full) || self.sessions.is_full();
        if !is_draining && !is_full {
            return Advice::Stay;
        }
        let other = own.filter(|_| !is_marked);
        let other = other.and_then(|own| self.best(&own, camera, base));
        match other {
            Some(url) => Advice::Go(url),
            None if is_full && is_marked => Advice::Full(
                "this edge serves as many viewers as it may, and so does the one before it; try \
                 again later",
            ),
            None if is_full => Advice::Full(
                "this edge serves as many viewers as it may, and no other one has room; try again \
                 later",
            ),
            // Better here than nowhere, as long as it is here.
            None => Advice::Stay,
        }
    }

    /// The same once it is known that he may watch; who watches already stays.
    pub(crate) fn direct(&self, access: &Access, asked: &Asked<'_>) -> Result<Advice, Denied> {
        let advice = self.viewer(asked.camera, asked.base, asked.is_marked);
        if advice == Advice::Stay {
            return Ok(advice);
        }
        let action = Action::CameraViewLive;
        let about = access.check(asked.token, asked.camera, action, asked.client)?;
        // Browsers do not say any more, when they are sent on, from which page they come.
        let is_bound = about.origin.is_some() && matches!(advice, Advice::Go(_));
        if is_bound || self.sessions.has(about.id) {
            return Ok(Advice::Stay);
        }
        if let Advice::Go(url) = &advice {
            tracing::debug!(camera.id = %asked.camera, to = url.host_str(), "viewer sent to another edge");
        }
        Ok(advice)
    }

    /// Where a publisher should go whose camera is brought in by another edge.
    pub(crate) fn publisher(&self, camera: CameraId, base: Base) -> Option<Url> {
        let origin = self.directory.route(camera)?.origin?;
        let own = self.directory.own()?;
        let peer = self.directory.peer(origin).filter(|peer| peer.id != own)?;
        base(&peer.advertise).cloned()
    }

    /// The edge that has room for a viewer of the camera: near, and one that has the camera already
    /// if possible; else always the same for a camera, and different ones for different cameras.
    fn best(&self, own: &Peer, camera: CameraId, base: Base) -> Option<Url> {
        let origin = self.directory.route(camera).and_then(|route| route.origin);
        let entries = self.directory.entries();
        let others = entries.peers.values().filter(|peer| {
            peer.id != own.id && peer.state == NodeState::Ready && !peer.draining && !peer.full
        });
        let found = others.filter_map(|peer| {
            // Who came to us in secret is not sent into the open.
            let url = base(&peer.advertise).filter(|url| {
                base(&own.advertise).is_none_or(|own| own.scheme() == url.scheme())
            })?;
            let rank = (
                peer.zone != own.zone,
                peer.site != own.site,
                Some(peer.id) != origin,
                rendezvous(camera, peer.id),
            );
            Some((rank, url))
        });
        let best = found.min_by_key(|(rank, _)| *rank);
        best.map(|(_, url)| url.clone())
    }
}

/// `path` below `base`, with the query that there was and the mark. `secret` is put into the query if
/// it came in another way, which would be lost.
pub(crate) fn address(base: &Url, path: &str, query: Option<&str>, secret: Secret<'_>) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        let path = path.split('/').filter(|segment| !segment.is_empty());
        segments.pop_if_empty().extend(path);
    }
    url.set_query(query.filter(|query| !query.is_empty()));
    let has = |name: &str| url.query_pairs().any(|(known, _)| known == name);
    let added = secret.filter(|(name, _)| !has(name));
    let mut pairs = url.query_pairs_mut();
    if let Some((name, value)) = added {
        pairs.append_pair(name, value);
    }
    pairs.append_pair(MARK, "1");
    drop(pairs);
    url
}

#[cfg(test)]
mod tests;
