//! `headworks node …`

use clap::Subcommand;
use headworks_types::{Advertise, Node, NodeId};

use super::{Noun, show_labels, show_name, show_optional_time, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// List nodes
    List,
    /// Show one node
    View {
        /// The node's id
        id: NodeId,
    },
    /// Refuse a node that is lost or stolen; it may come back only by a join token
    Revoke {
        /// The node's id
        id: NodeId,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<NodeVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        NodeVerb::List => output::list(&client.node_list().limit(1000).all().await?, json),
        NodeVerb::Revoke { id } => output::one(&client.node_revoke(id).await?, json, record),
        NodeVerb::View { id } => output::one(&client.node_view(id).await?, json, record),
    }
}

impl Row for Node {
    const COLUMNS: &'static [&'static str] = &[
        "ID", "NAME", "SITE", "STATE", "USED", "CPU", "VIEWERS", "ADDRESS",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.site.clone(),
            show_name(&self.state),
            format!("{}/{}", self.used, self.capacity),
            format!("{:.2}", self.load.cpu_cores),
            with_limit(self.load.viewers, self.limits.max_viewers, "/"),
            self.advertise.http.to_string(),
        ]
    }
}

/// `12/20000`
fn with_limit(count: impl ToString, limit: Option<u32>, glue: &str) -> String {
    match limit {
        Some(limit) => format!("{}{glue}{limit}", count.to_string()),
        None => count.to_string(),
    }
}

fn addresses(node: &Advertise) -> String {
    let others = [&node.rtmp, &node.rtmps, &node.rtsp, &node.rtsps];
    let all = std::iter::once(&node.http).chain(others.into_iter().flatten());
    let all: Vec<_> = all.map(ToString::to_string).collect();
    all.join(" ")
}

fn record(node: &Node) -> Vec<(&'static str, String)> {
    vec![
        ("id", node.id.to_string()),
        ("name", node.name.clone()),
        ("site", node.site.clone()),
        ("zone", node.zone.clone()),
        ("labels", show_labels(&node.labels)),
        ("state", show_name(&node.state)),
        ("message", node.message.clone()),
        ("used", format!("{} of {}", node.used, node.capacity)),
        ("address", addresses(&node.advertise)),
        ("version", node.version.clone()),
        ("cpu", format!("{:.2} cores", node.load.cpu_cores)),
        ("memory", format!("{} MiB", node.load.memory_bytes >> 20)),
        ("streams", node.load.streams.to_string()),
        (
            "viewers",
            with_limit(node.load.viewers, node.limits.max_viewers, " of "),
        ),
        (
            "sends",
            format!(
                "{} Mbit/s",
                with_limit(
                    node.load.sent_kbit / 1000,
                    node.limits.max_egress_mbit,
                    " of "
                )
            ),
        ),
        (
            "full",
            if node.full {
                "yes; viewers go elsewhere"
            } else {
                ""
            }
            .to_owned(),
        ),
        ("last seen", show_optional_time(node.last_seen_at)),
        ("revoked", show_optional_time(node.revoked_at)),
        ("joined", show_time(node.created_at)),
    ]
}
