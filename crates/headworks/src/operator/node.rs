//! `headworks node …`

use std::time::Duration;

use clap::Subcommand;
use headworks_client::{Client, Error};
use headworks_types::{Advertise, DrainState, Node, NodeDrainRequest, NodeId};

use super::{Noun, seconds, show_labels, show_name, show_optional_time, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// How often a drain is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How many seconds longer than its deadline a drain may take: what is on its way arrives.
const AFTER_DEADLINE: u32 = 60;

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// List nodes
    List,
    /// Show one node
    #[command(alias = "show")]
    View {
        /// The node's id or name
        node: Which,
    },
    /// Give a node no new work; it keeps what it does
    Cordon {
        /// The node's id or name
        node: Which,
    },
    /// Give a node new work again, whatever kept it from that
    Uncordon {
        /// The node's id or name
        node: Which,
    },
    /// Empty a node: its work goes to others, and it gets no new work
    Drain {
        /// The node's id or name
        node: Which,
        /// How long it may take: 90s, 10m, 2h; then the rest is taken away where another node can
        /// take it, and stays where none can
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
        deadline: u32,
        /// Wait until it has ended, and show how far it is
        #[arg(long)]
        wait: bool,
    },
    /// Leave a node that is being drained as it was before
    CancelDrain {
        /// The node's id or name
        node: Which,
    },
    /// Remove a node that is stopped or dead; its work goes to others
    Remove {
        /// The node's id or name
        node: Which,
        /// Also if it runs: it stops what it does
        #[arg(long)]
        force: bool,
    },
    /// Refuse a node that is lost or stolen; it may come back only by a join token
    Revoke {
        /// The node's id or name
        node: Which,
    },
}

/// A node by its id or its name.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    Id(NodeId),
    Name(String),
}

impl std::str::FromStr for Which {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::Name(text.to_owned()), Self::Id))
    }
}

impl Which {
    async fn id(self, client: &Client) -> Result<NodeId, Failure> {
        let name = match self {
            Self::Id(id) => return Ok(id),
            Self::Name(name) => name,
        };
        let nodes = client.node_list().limit(1000).all().await?;
        let found = nodes.iter().find(|node| node.name == name);
        found.map(|node| node.id).ok_or_else(|| {
            Failure::user(format!("there is no node named `{name}`"))
                .with_hint("`headworks node list` shows all of them")
        })
    }
}

/// Does it.
pub(crate) async fn run(command: Noun<NodeVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    let node = match command.verb {
        NodeVerb::List => {
            return output::list(&client.node_list().limit(1000).all().await?, json);
        }
        NodeVerb::Remove { node, force } => {
            return Ok(client.node_delete(node.id(&client).await?, force).await?);
        }
        NodeVerb::View { node } => client.node_view(node.id(&client).await?).await?,
        NodeVerb::Cordon { node } => client.node_cordon(node.id(&client).await?).await?,
        NodeVerb::Uncordon { node } => client.node_uncordon(node.id(&client).await?).await?,
        NodeVerb::CancelDrain { node } => client.node_cancel_drain(node.id(&client).await?).await?,
        NodeVerb::Revoke { node } => client.node_revoke(node.id(&client).await?).await?,
        NodeVerb::Drain {
            node,
            deadline,
            wait,
        } => drain(&client, node.id(&client).await?, deadline, wait).await?,
    };
    output::one(&node, json, record)
}

/// Begins a drain; waits for its end if that is wanted.
async fn drain(
    client: &Client,
    id: NodeId,
    deadline_seconds: u32,
    wait: bool,
) -> Result<Node, Failure> {
    let node = client
        .node_drain(id, &NodeDrainRequest { deadline_seconds })
        .await?;
    if !wait {
        return Ok(node);
    }
    let mut last = String::new();
    // Controllers may come and go meanwhile; the drain goes on.
    for _ in 0..deadline_seconds.saturating_add(AFTER_DEADLINE) {
        match client.node_view(id).await {
            Ok(node) => {
                let progress = progress(&node);
                if progress != last {
                    output::error(&progress);
                    last = progress;
                }
                match node.drain.as_ref().map(|drain| drain.state) {
                    Some(DrainState::Draining) => {}
                    Some(DrainState::Drained) => return Ok(node),
                    Some(DrainState::Expired) => return Err(Failure::user(last)),
                    None => return Err(Failure::user("the drain was cancelled")),
                }
            }
            Err(error @ (Error::Unreachable { .. } | Error::Timeout { .. })) => {
                output::error(&format!("{error}; it is asked again"));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::user("the drain has not ended by its deadline")
        .with_hint("`headworks cluster status` shows whether somebody plans"))
}

/// How far the drain is, on one line.
fn progress(node: &Node) -> String {
    match &node.drain {
        Some(drain) if drain.state == DrainState::Draining => format!(
            "{}: {} of {} slots left, {} viewers",
            node.name, drain.slots_left, drain.slots_total, drain.viewers_left
        ),
        Some(drain) => format!("{}: {}", node.name, drain.message),
        None => format!("{}: is not drained", node.name),
    }
}

impl Row for Node {
    const COLUMNS: &'static [&'static str] = &[
        "ID", "NAME", "SITE", "STATE", "SINCE", "TAKES", "USED", "CPU", "VIEWERS", "ADDRESS",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.site.clone(),
            show_name(&self.state),
            show_optional_time(self.since),
            takes(self),
            format!("{}/{}", self.used, self.capacity),
            format!("{:.2}", self.load.cpu_cores),
            with_limit(&self.load.viewers, self.limits.max_viewers, "/"),
            self.advertise.http.to_string(),
        ]
    }
}

/// Whether it takes new work, in a word or two.
fn takes(node: &Node) -> String {
    match &node.drain {
        Some(drain) if drain.state == DrainState::Draining => {
            format!("draining {}/{}", drain.slots_left, drain.slots_total)
        }
        Some(drain) => show_name(&drain.state),
        None if node.cordoned_at.is_some() => "cordoned".to_owned(),
        None if node.unsteady_until.is_some() => "unsteady".to_owned(),
        None => "work".to_owned(),
    }
}

/// `12/20000`
fn with_limit(count: &impl ToString, limit: Option<u32>, glue: &str) -> String {
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
    let drain = node.drain.as_ref();
    vec![
        ("id", node.id.to_string()),
        ("name", node.name.clone()),
        ("site", node.site.clone()),
        ("zone", node.zone.clone()),
        ("labels", show_labels(&node.labels)),
        ("state", show_name(&node.state)),
        ("message", node.message.clone()),
        ("since", show_optional_time(node.since)),
        ("last error", node.last_error.clone().unwrap_or_default()),
        ("takes", takes(node)),
        ("cordoned", show_optional_time(node.cordoned_at)),
        (
            "drain",
            drain.map(|drain| drain.message.clone()).unwrap_or_default(),
        ),
        (
            "drain started",
            show_optional_time(drain.map(|drain| drain.started_at)),
        ),
        (
            "drain deadline",
            show_optional_time(drain.map(|drain| drain.deadline_at)),
        ),
        ("unsteady until", show_optional_time(node.unsteady_until)),
        ("used", format!("{} of {}", node.used, node.capacity)),
        ("address", addresses(&node.advertise)),
        ("version", node.version.clone()),
        ("cpu", format!("{:.2} cores", node.load.cpu_cores)),
        ("memory", format!("{} MiB", node.load.memory_bytes >> 20)),
        ("streams", node.load.streams.to_string()),
        (
            "viewers",
            with_limit(&node.load.viewers, node.limits.max_viewers, " of "),
        ),
        (
            "sends",
            format!(
                "{} Mbit/s",
                with_limit(
                    &(node.load.sent_kbit / 1000),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(more: &serde_json::Value) -> Node {
        let mut json = serde_json::json!({
            "id": "node_00000000000000000000000000000001", "name": "edge-1", "site": "lyon",
            "zone": "lyon", "labels": {}, "capacity": 10, "used": 3, "state": "ready",
            "message": "renews its lease", "since": "2026-11-27T10:00:00Z",
            "advertise": {"http": "http://edge-1:8081/"}, "version": "0.1.0",
            "load": {"viewers": 4}, "created_at": "2026-11-27T09:00:00Z",
        });
        let fields = json.as_object_mut().expect("is an object");
        fields.extend(more.as_object().expect("is an object").clone());
        serde_json::from_value(json).expect("parses")
    }

    #[test]
    fn a_node_says_what_it_takes() {
        let drain = |state: &str| {
            serde_json::json!({"cordoned_at": "2026-11-27T10:00:00Z", "drain": {
                "state": state, "message": "words", "started_at": "2026-11-27T10:00:00Z",
                "deadline_at": "2026-11-27T10:10:00Z", "slots_total": 10, "slots_left": 3,
                "viewers_left": 4,
            }})
        };
        let until = "2026-11-27T10:00:30Z";
        for (more, words) in [
            (serde_json::json!({}), "work"),
            (serde_json::json!({"cordoned_at": until}), "cordoned"),
            (serde_json::json!({"unsteady_until": until}), "unsteady"),
            (drain("draining"), "draining 3/10"),
            (drain("drained"), "drained"),
            (drain("expired"), "expired"),
        ] {
            let node = node(&more);
            assert_eq!(takes(&node), words);
            let cells = node.cells();
            assert_eq!(cells.len(), Node::COLUMNS.len());
            assert_eq!(cells[5], words);
        }
        assert_eq!(
            progress(&node(&drain("draining"))),
            "edge-1: 3 of 10 slots left, 4 viewers"
        );
        assert_eq!(progress(&node(&drain("expired"))), "edge-1: words");
    }

    #[test]
    fn a_node_is_named_by_id_or_name() {
        let id = "node_00000000000000000000000000000001";
        let is_id = |text: &str| matches!(text.parse(), Ok(Which::Id(_)));
        assert!(is_id(id));
        assert!(!is_id("edge-1"));
    }
}
