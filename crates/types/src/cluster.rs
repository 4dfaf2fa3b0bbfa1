//! How the cluster as a whole is: its nodes, the brake, who plans, the database.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{NodeId, Validate, Violations};

/// The health of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// How many nodes there are, by their state.
    pub nodes: ClusterNodes,
    /// How much work there is.
    pub slots: ClusterSlots,
    /// What keeps nodes from being declared dead.
    pub brake: Brake,
    /// Who gives nodes their work; absent until a controller has done so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub planner: Option<ClusterPlanner>,
    /// What is known of the database.
    pub database: ClusterDatabase,
}

/// How many nodes there are. Those of the last three are counted by their state, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterNodes {
    /// They renew their leases.
    pub ready: u32,
    /// They have missed renewals, or have not come yet.
    pub suspect: u32,
    /// Their leases have run out, or they said goodbye.
    pub dead: u32,
    /// They take no new work because an operator said so.
    pub cordoned: u32,
    /// They are being emptied.
    pub draining: u32,
    /// They take no new work because they have died too often.
    pub unsteady: u32,
}

/// How much work there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterSlots {
    /// A node does it.
    pub placed: u64,
    /// It is wanted, and no node does it.
    pub unplaced: u64,
}

/// The brake: when too many nodes go silent at once it is more likely the network or the database
/// than the nodes, so none of them is declared dead and their work stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Brake {
    /// True while it holds.
    pub on: bool,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<DateTime<Utc>>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// Until when an operator has released it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub released_until: Option<DateTime<Utc>>,
    /// Nodes whose leases have run out and that are not declared dead, at most 100 of them.
    pub silent: Vec<SilentNode>,
}

/// A node that does not renew its lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SilentNode {
    /// Its id.
    pub node_id: NodeId,
    /// What people call it.
    pub name: String,
    /// When it last renewed its lease.
    pub last_seen_at: DateTime<Utc>,
}

/// How long the brake is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BrakeRelease {
    /// In seconds: 10 to 3600. Default 300.
    #[serde(default = "five_minutes")]
    #[schema(minimum = 10, maximum = 3600)]
    pub seconds: u32,
}

impl Validate for BrakeRelease {
    fn validate(&self, found: &mut Violations) {
        if !(10..=3600).contains(&self.seconds) {
            found.report("seconds", "must be 10 to 3600");
        }
    }
}

fn five_minutes() -> u32 {
    300
}

/// Which controller plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterPlanner {
    /// The run of a controller; it has another one after each start.
    pub holder: Uuid,
    /// Under which term. It rises each time another one takes over.
    pub term: i64,
    /// Until when, if it does not renew that.
    pub expires_at: DateTime<Utc>,
    /// True if it has not run out: then nobody else can plan.
    pub holds: bool,
}

/// What is known of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterDatabase {
    /// Its clock, by which leases run.
    pub now: DateTime<Utc>,
    /// When its server started.
    pub started_at: DateTime<Utc>,
    /// When a controller last found it back after an outage, and gave all nodes a new lease.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leases_extended_at: Option<DateTime<Utc>>,
}
