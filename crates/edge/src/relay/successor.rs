//! Another edge to take a camera from, while the one before still gives it.

use std::{sync::Arc, time::Duration};

use headworks_media::Tracks;
use headworks_types::NodeId;
use tokio::time::{timeout, timeout_at};

use super::{
    Shared,
    link::{Failure, Link, Wanted},
    wire::{Place, Tell},
};
use crate::hub::{Relayed, Stream};

/// A connection whose first frame is there.
pub(super) struct Successor {
    pub(super) link: Link,
    pub(super) tracks: Arc<Tracks>,
    pub(super) first: Relayed,
}

/// Where the frames of another edge go on.
pub(super) fn place(stream: &Stream) -> Option<Place> {
    let (incarnation, sequence) = stream.relayed_up_to()?;
    Some(Place {
        incarnation,
        sequence,
    })
}

impl Successor {
    /// Connects to `node`, and asks for frames when it has been well for as long as `trial`. It has to
    /// have the camera by the assignment `least` or a newer one.
    pub(super) async fn find(
        shared: Arc<Shared>,
        wanted: Wanted,
        least: i64,
        node: NodeId,
        trial: Duration,
        stream: Arc<Stream>,
    ) -> Result<Self, Failure> {
        let mut link = Link::connect(&shared, wanted, node, None).await?;
        let until = shared.clock.monotonic() + trial;
        while let Ok(told) = timeout_at(until, link.next()).await {
            told?;
        }
        link.play(place(&stream)).await?;
        let first = timeout(shared.config.pace.first_frame, first(&mut link)).await;
        let (tracks, first) = first.unwrap_or(Err(Failure::NoFrame))?;
        if link.source().epoch < least {
            return Err(Failure::Superseded);
        }
        Ok(Self {
            link,
            tracks,
            first,
        })
    }

    /// True if it can follow what the stream has without a hole, or has to begin anew anyway.
    pub(super) fn fits(&self, stream: &Stream) -> bool {
        stream.relayed_up_to().is_none_or(|(incarnation, next)| {
            self.link.source().incarnation != Some(incarnation) || self.first.sequence <= next
        })
    }
}

async fn first(link: &mut Link) -> Result<(Arc<Tracks>, Relayed), Failure> {
    let mut tracks = None;
    loop {
        match link.next().await? {
            Tell::Tracks(told) => tracks = Some(told),
            Tell::Frame(frame) => return Ok((tracks.ok_or(Failure::OutOfTurn)?, frame)),
            Tell::Welcome { .. } => return Err(Failure::OutOfTurn),
            Tell::Source(_) | Tell::Status { .. } | Tell::Alive | Tell::Refused { .. } => {}
        }
    }
}
