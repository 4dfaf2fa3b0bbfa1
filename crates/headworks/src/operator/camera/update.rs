//! `headworks camera update`

use clap::Args;
use headworks_client::Client;
use headworks_types::{Camera, CameraId, CameraUpdate, Viewing};

use crate::failure::Failure;

/// What changes of a camera.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The camera's id
    id: CameraId,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// Whether it is pulled and shown at all
    #[arg(long, value_name = "TRUE|FALSE")]
    enabled: Option<bool>,
    /// Whether it refuses a second session, so that never two nodes are connected to it
    #[arg(long, value_name = "TRUE|FALSE")]
    exclusive_source: Option<bool>,
    /// Whether it goes dark on nodes that have not heard for ten minutes who may watch no more
    #[arg(long, value_name = "TRUE|FALSE")]
    sensitive: Option<bool>,
    /// How many may watch it at once on one node; 0 for as many as like
    #[arg(long, value_name = "COUNT")]
    max_viewers: Option<u32>,
}

impl Update {
    /// Changes it. How it is watched can only be said whole: what was not typed is read before,
    /// and nothing changes if somebody else is quicker.
    pub(crate) async fn send(self, client: &Client) -> Result<Camera, Failure> {
        let mut change = CameraUpdate {
            name: self.name,
            enabled: self.enabled,
            exclusive_source: self.exclusive_source,
            ..CameraUpdate::default()
        };
        if self.sensitive.is_none() && self.max_viewers.is_none() {
            return Ok(client.camera_update(self.id, &change).await?);
        }
        let before = client.camera_view(self.id).tagged().await?;
        let viewing = before.body.viewing;
        change.viewing = Some(Viewing {
            sensitive: self.sensitive.unwrap_or(viewing.sensitive),
            max_viewers: match self.max_viewers {
                Some(max) => Some(max).filter(|max| *max > 0),
                None => viewing.max_viewers,
            },
        });
        let mut call = client.camera_update(self.id, &change);
        if let Some(etag) = &before.etag {
            call = call.if_match(etag);
        }
        Ok(call.await?)
    }
}
