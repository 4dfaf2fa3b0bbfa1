//! `headworks session …`

use clap::Subcommand;
use headworks_types::{CameraId, NodeId, Session, SessionId, UserId};

use super::{Noun, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with the sessions of viewers.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionVerb {
    /// List who watches what now, in the whole cluster
    List {
        /// Only who watches this camera
        #[arg(long, value_name = "ID")]
        camera: Option<CameraId>,
        /// Only what this user watches
        #[arg(long, value_name = "ID")]
        user: Option<UserId>,
        /// Only who watches on this node
        #[arg(long, value_name = "ID")]
        node: Option<NodeId>,
    },
    /// Show one session
    View {
        /// The session's id
        id: SessionId,
    },
    /// End a session; whoever may still watch can open another one
    End {
        /// The session's id
        id: SessionId,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<SessionVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        SessionVerb::List { camera, user, node } => {
            let mut list = client.session_list().limit(1000);
            if let Some(id) = camera {
                list = list.of_camera(id);
            }
            if let Some(id) = user {
                list = list.of_user(id);
            }
            if let Some(id) = node {
                list = list.on_node(id);
            }
            output::list(&list.all().await?, json)
        }
        SessionVerb::View { id } => output::one(&client.session_view(id).await?, json, record),
        SessionVerb::End { id } => output::one(&client.session_end(id).await?, json, record),
    }
}

/// The subject, and whom its issuer says it is.
fn who(session: &Session) -> String {
    match &session.viewer_id {
        Some(viewer) => format!("{} ({viewer})", session.subject),
        None => session.subject.clone(),
    }
}

impl Row for Session {
    const COLUMNS: &'static [&'static str] = &[
        "ID", "WHO", "CAMERA", "NODE", "PROTOCOL", "ADDRESS", "MIB", "SINCE",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            who(self),
            self.camera_id.to_string(),
            self.node_id.to_string(),
            self.protocol.as_str().to_owned(),
            self.address.to_string(),
            (self.bytes_sent >> 20).to_string(),
            show_time(self.started_at),
        ]
    }
}

fn record(session: &Session) -> Vec<(&'static str, String)> {
    vec![
        ("id", session.id.to_string()),
        ("who", who(session)),
        ("camera", session.camera_id.to_string()),
        ("node", session.node_id.to_string()),
        ("protocol", session.protocol.as_str().to_owned()),
        ("sound", if session.sound { "yes" } else { "no" }.to_owned()),
        ("address", session.address.to_string()),
        ("token", session.token_id.clone().unwrap_or_default()),
        ("sent", format!("{} MiB", session.bytes_sent >> 20)),
        ("since", show_time(session.started_at)),
        ("until", show_time(session.watch_until)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_says_who_watches_by_both_names() {
        let json = serde_json::json!({
            "id": "sess_00000000000000000000000000000001",
            "project_id": "prj_00000000000000000000000000000001",
            "camera_id": "cam_00000000000000000000000000000001",
            "node_id": "node_00000000000000000000000000000001",
            "subject": "key_00000000000000000000000000000001", "viewer_id": "ann",
            "protocol": "rtsps", "address": "192.0.2.7", "bytes_sent": 5 << 20,
            "started_at": "2026-11-27T10:00:00Z", "watch_until": "2026-11-27T14:00:00Z",
        });
        let session: Session = serde_json::from_value(json).expect("parses");
        let cells = session.cells();
        assert_eq!(cells.len(), Session::COLUMNS.len());
        assert_eq!(cells[1], "key_00000000000000000000000000000001 (ann)");
        assert_eq!(
            cells[4..],
            ["rtsps", "192.0.2.7", "5", "2026-11-27T10:00:00Z"]
        );
    }
}
