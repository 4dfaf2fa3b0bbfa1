//! `headworks playback`: where a camera is watched best.

use std::net::IpAddr;

use clap::Args;
use headworks_types::{CameraId, CameraPlayback, CameraPlaybackRequest, CameraState, UserId};

use super::{
    Api, show_time,
    token::{all_ways, page},
};
use crate::{failure::Failure, output};

/// `headworks playback`
#[derive(Debug, Args)]
pub(crate) struct PlaybackArguments {
    #[command(flatten)]
    pub(crate) api: Api,
    /// The camera's id
    camera: CameraId,
    /// The zone that the viewer is in [default: that of the address]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// The viewer's address [default: that of whoever asks]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// The user who will watch [default: whoever asks]
    #[arg(long, value_name = "ID", conflicts_with = "viewer")]
    user: Option<UserId>,
    /// Your own name for who will watch; sessions show it
    #[arg(long, value_name = "NAME")]
    viewer: Option<String>,
    /// Print every way to watch at the fall-backs, too
    #[arg(long)]
    all: bool,
}

/// Does it.
pub(crate) async fn run(arguments: PlaybackArguments) -> Result<(), Failure> {
    let ask = CameraPlaybackRequest {
        zone: arguments.zone,
        address: arguments.address.map(|address| address.to_string()),
        user_id: arguments.user,
        viewer_id: arguments.viewer,
        ..CameraPlaybackRequest::default()
    };
    let client = arguments.api.client()?;
    let playback = client.camera_playback(arguments.camera, &ask).await?;
    if arguments.api.json {
        output::json(&playback)
    } else {
        output::line(&text(&playback, arguments.all))
    }
}

fn text(playback: &CameraPlayback, all: bool) -> String {
    let mut text = format!(
        "Opens until {}; who has opened may watch until {}.",
        show_time(playback.expires_at),
        show_time(playback.watch_until)
    );
    if playback.state != CameraState::Live {
        text.push_str(&format!("\nThere is no picture now: {}.", playback.message));
    }
    for (index, edge) in playback.edges.iter().enumerate() {
        let rank = if index == 0 { "" } else { "Else " };
        text.push_str(&format!("\n\n{rank}{}: {}", edge.name, edge.reason));
        text.push_str(&if all || index == 0 {
            all_ways(&edge.urls)
        } else {
            page(&edge.urls)
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use headworks_types::{Advertise, PlaybackEdge, PlaybackUrls, Secret};

    use super::*;

    #[test]
    fn people_get_the_best_edge_and_what_to_try_else() {
        let camera = "cam_00000000000000000000000000000001";
        let camera = camera.parse().expect("parses");
        let secret = Secret::new("a.b.c");
        let edge = |name: &str, reason: &str| {
            let node = Advertise {
                rtmp: Some(format!("rtmp://{name}:1935/").parse().expect("parses")),
                ..Advertise::new(format!("http://{name}:8081/").parse().expect("parses"))
            };
            PlaybackEdge {
                node_id: "node_00000000000000000000000000000001"
                    .parse()
                    .expect("parses"),
                name: name.to_owned(),
                zone: "lyon".to_owned(),
                reason: reason.to_owned(),
                urls: PlaybackUrls::new(&node, camera, &secret),
            }
        };
        let mut playback = CameraPlayback {
            camera_id: camera,
            state: CameraState::Live,
            message: "live".to_owned(),
            token_id: "t".to_owned(),
            expires_at: "2026-11-22T12:00:00Z".parse().expect("parses"),
            watch_until: "2026-11-22T16:00:00Z".parse().expect("parses"),
            zone: Some("lyon".to_owned()),
            edges: vec![
                edge("edge-1", "in your zone; has the camera already"),
                edge("edge-2", "in zone paris; brings the camera in"),
            ],
            token: secret.clone(),
        };
        insta::assert_snapshot!("playback", text(&playback, false));
        playback.state = CameraState::Connecting;
        playback.message = "waits for the camera's first picture".to_owned();
        insta::assert_snapshot!("playback_all", text(&playback, true));
    }
}
