//! `headworks cluster …`

use clap::Subcommand;
use headworks_types::{BrakeRelease, Cluster};

use super::{Noun, seconds, show_optional_time, show_time};
use crate::{failure::Failure, output};

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    /// Show nodes, brake, planner and database
    #[command(alias = "view")]
    Status,
    /// Let silent nodes be declared dead for some time, however many they are
    ReleaseBrake {
        /// For how long: 10s to 1h
        #[arg(long = "for", value_name = "TIME", default_value = "5m", value_parser = seconds)]
        time: u32,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<ClusterVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let cluster = match command.verb {
        ClusterVerb::Status => client.cluster_view().await?,
        ClusterVerb::ReleaseBrake { time: seconds } => {
            client
                .cluster_release_brake(&BrakeRelease { seconds })
                .await?
        }
    };
    output::one(&cluster, command.api.json, record)
}

fn record(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let nodes = &cluster.nodes;
    let brake = &cluster.brake;
    let silent = brake
        .silent
        .iter()
        .map(|node| format!("{} (last seen {})", node.name, show_time(node.last_seen_at)));
    let planner = cluster.planner.as_ref();
    vec![
        (
            "nodes",
            format!(
                "{} ready, {} suspect, {} dead",
                nodes.ready, nodes.suspect, nodes.dead
            ),
        ),
        (
            "take no work",
            format!(
                "{} cordoned, {} of them draining; {} unsteady",
                nodes.cordoned, nodes.draining, nodes.unsteady
            ),
        ),
        (
            "slots",
            format!(
                "{} placed, {} without a node",
                cluster.slots.placed, cluster.slots.unplaced
            ),
        ),
        ("brake", if brake.on { "on" } else { "off" }.to_owned()),
        ("brake since", show_optional_time(brake.since)),
        ("because", brake.message.clone().unwrap_or_default()),
        ("released until", show_optional_time(brake.released_until)),
        ("silent", silent.collect::<Vec<_>>().join(", ")),
        (
            "planner",
            match planner {
                Some(planner) if planner.holds => {
                    format!("{}, term {}", planner.holder, planner.term)
                }
                Some(planner) => format!("nobody, after term {}", planner.term),
                None => "nobody".to_owned(),
            },
        ),
        ("database time", show_time(cluster.database.now)),
        ("database up", show_time(cluster.database.started_at)),
        (
            "last outage",
            show_optional_time(cluster.database.leases_extended_at),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brake_is_told_in_words() {
        let json = serde_json::json!({
            "nodes": {"ready": 1, "suspect": 4, "dead": 0, "cordoned": 2, "draining": 1,
                      "unsteady": 0},
            "slots": {"placed": 7, "unplaced": 1},
            "brake": {"on": true, "since": "2026-11-27T10:00:00Z", "message": "too many",
                      "silent": [{"node_id": "node_00000000000000000000000000000001",
                                  "name": "edge-1", "last_seen_at": "2026-11-27T09:59:00Z"}]},
            "planner": {"holder": "00000000-0000-0000-0000-000000000001", "term": 3,
                        "expires_at": "2026-11-27T10:00:00Z", "holds": false},
            "database": {"now": "2026-11-27T10:00:00Z", "started_at": "2026-11-27T09:00:00Z"},
        });
        let cluster: Cluster = serde_json::from_value(json).expect("parses");
        let shown = record(&cluster);
        let field = |name| {
            &shown
                .iter()
                .find(|(key, _)| *key == name)
                .expect("is there")
                .1
        };
        assert_eq!(field("nodes"), "1 ready, 4 suspect, 0 dead");
        assert_eq!(field("brake"), "on");
        assert_eq!(field("silent"), "edge-1 (last seen 2026-11-27T09:59:00Z)");
        assert_eq!(field("planner"), "nobody, after term 3");
        assert_eq!(field("last outage"), "");
    }
}
