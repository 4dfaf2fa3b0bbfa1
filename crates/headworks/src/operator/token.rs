//! `headworks token …`

use clap::{Args, Subcommand};
use headworks_types::{
    Action, CameraGroupId, CameraId, PlaybackToken, PlaybackTokenCreate, PlaybackTokenRevoke,
    PlaybackUrls, ProjectId, UserId,
};

use super::{Noun, action, seconds, show_time};
use crate::{failure::Failure, output};

/// What to do with playback tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Issue a playback token, and print where to watch with it
    Issue(Box<Issue>),
    /// Take a playback token back; whoever watches with it watches no more
    Revoke {
        /// The token's id: its claim `jti`
        token_id: String,
        /// The project of its cameras [default: that of whoever asks]
        #[arg(long, value_name = "ID")]
        project: Option<ProjectId>,
    },
}

/// A token to be.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// A camera; may be given several times
    #[arg(long, value_name = "ID", required_unless_present = "group")]
    camera: Vec<CameraId>,
    /// A camera group with everything below it; may be given several times
    #[arg(long, value_name = "ID")]
    group: Vec<CameraGroupId>,
    /// The user who will watch [default: whoever asks]
    #[arg(long, value_name = "ID", conflicts_with = "viewer")]
    user: Option<UserId>,
    /// Your own name for who will watch; sessions show it
    #[arg(long, value_name = "NAME")]
    viewer: Option<String>,
    /// What it allows; may be given several times [default: to watch live, and to hear if whoever
    /// watches may hear all of it]
    #[arg(long, value_name = "ACTION", value_parser = action)]
    action: Vec<Action>,
    /// For how long it opens sessions, at most 10m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = seconds)]
    expires: u32,
    /// For how long a session may watch, at most 12h
    #[arg(long, value_name = "TIME", default_value = "4h", value_parser = seconds)]
    watch: u32,
    /// The address or network that viewers have to come from
    #[arg(long, value_name = "NETWORK")]
    ip: Option<String>,
    /// The web origin that viewers have to come from: scheme, host and port
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// How many sessions it may have at once
    #[arg(long, value_name = "COUNT")]
    max_sessions: Option<u32>,
    /// Print every way to watch, not only the page: addresses for players of HLS, HTTP-FLV,
    /// MPEG-TS, RTMP and RTSP
    #[arg(long)]
    all: bool,
}

impl Issue {
    fn into_request(self) -> PlaybackTokenCreate {
        let mut request = PlaybackTokenCreate {
            user_id: self.user,
            viewer_id: self.viewer,
            camera_group_ids: self.group,
            expires_in_seconds: self.expires,
            watch_seconds: self.watch,
            ip: self.ip,
            origin: self.origin,
            max_sessions: self.max_sessions,
            ..PlaybackTokenCreate::for_cameras(self.camera)
        };
        if !self.action.is_empty() {
            request.actions = Some(self.action);
        }
        request
    }
}

/// Does it.
pub(crate) async fn run(command: Noun<TokenVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    match command.verb {
        TokenVerb::Issue(issue) => {
            let all = issue.all;
            let token = client.playback_token_issue(&issue.into_request()).await?;
            if command.api.json {
                output::json(&token)
            } else {
                output::line(&text(&token, all))
            }
        }
        TokenVerb::Revoke { token_id, project } => {
            let token = PlaybackTokenRevoke {
                token_id,
                project_id: project,
            };
            let revoked = client.playback_token_revoke(&token).await?;
            output::one(&revoked, command.api.json, |revoked| {
                vec![("revoked", revoked.token_id.clone())]
            })
        }
    }
}

fn text(token: &PlaybackToken, all: bool) -> String {
    let mut text = format!(
        "Opens until {}; who has opened may watch until {}.",
        show_time(token.expires_at),
        show_time(token.watch_until)
    );
    for camera in &token.cameras {
        text.push_str(&format!("\n\n{}", camera.camera_id));
        match &camera.urls {
            Some(urls) if all => text.push_str(&all_ways(urls)),
            Some(urls) => text.push_str(&page(urls)),
            None => text.push_str("\n  is on no node now; `headworks camera view` says why"),
        }
    }
    if !all {
        text.push_str("\n\nOpen it in a browser. --all prints addresses for other players.");
    }
    text
}

/// Every way to watch, each in lines of its own.
pub(super) fn all_ways(urls: &PlaybackUrls) -> String {
    let way = |(name, url)| format!("\n\n  {}\n  {url}", title(name));
    urls.named().map(way).collect()
}

/// The page, in a line of its own.
pub(super) fn page(urls: &PlaybackUrls) -> String {
    format!("\n  {}", urls.page)
}

/// What people call a way to watch.
fn title(name: &str) -> &str {
    match name {
        "page" => "A page for browsers",
        "hls" => "HLS",
        "flv" => "HTTP-FLV",
        "flv_ws" => "HTTP-FLV over WebSocket",
        "ts" => "MPEG-TS over HTTP",
        "rtmp" => "RTMP",
        "rtmps" => "RTMP over TLS",
        "rtsp" => "RTSP",
        "rtsps" => "RTSP over TLS",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use headworks_types::{Advertise, PlaybackCamera, Secret};

    use super::*;

    #[test]
    fn people_get_addresses_to_paste() {
        let camera: CameraId = "cam_00000000000000000000000000000001"
            .parse()
            .expect("parses");
        let node = Advertise {
            rtmp: Some("rtmp://edge:1935/".parse().expect("parses")),
            rtsps: Some("rtsps://edge:8322/".parse().expect("parses")),
            ..Advertise::new("http://edge:8081/".parse().expect("parses"))
        };
        let secret = Secret::new("a.b.c");
        let place = |urls| PlaybackCamera {
            camera_id: camera,
            node_id: None,
            urls,
        };
        let token = PlaybackToken {
            token_id: "t".to_owned(),
            expires_at: "2026-11-22T12:00:00Z".parse().expect("parses"),
            watch_until: "2026-11-22T16:00:00Z".parse().expect("parses"),
            cameras: vec![
                place(Some(PlaybackUrls::new(&node, camera, &secret))),
                place(None),
            ],
            token: secret,
        };
        insta::assert_snapshot!("token_issue", text(&token, false));
        insta::assert_snapshot!("token_issue_all", text(&token, true));
    }
}
