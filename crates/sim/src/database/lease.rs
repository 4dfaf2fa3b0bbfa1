//! `controller/src/db/lease.rs`.

use headworks_duty::Life;
use headworks_types::{NodeId, edge::NO_REVISION};
use uuid::Uuid;

use super::{Database, LeaseRow, Rules, SECOND, Stamp};

/// One node's renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Which node.
    pub node_id: NodeId,
    /// Which process.
    pub instance: Uuid,
    /// It stops.
    pub goodbye: bool,
    /// What it has applied.
    pub revision: i64,
}

/// What `lease_census` counts, without the server's times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    /// See `headworks_duty::Census`.
    pub living: usize,
    /// See there.
    pub died: usize,
    /// See there.
    pub silent: Vec<NodeId>,
    /// See there.
    pub returned: Vec<NodeId>,
}

impl Database {
    /// Renews one lease for `lease`; true if it counts.
    ///
    /// The revision is read afterwards, by [`Self::lease_told`]: whoever takes strict work from a node
    /// holds its lease meanwhile.
    pub fn lease_renew(
        &mut self,
        now: Stamp,
        rules: &Rules,
        renewal: &Renewal,
        lease: Stamp,
    ) -> bool {
        if !self.nodes.contains_key(&renewal.node_id) {
            return false;
        }
        let new = LeaseRow {
            instance: renewal.instance,
            renewed_at: now,
            expires_at: now + lease,
            goodbye: renewal.goodbye,
            applied_revision: renewal.revision,
            strict_after: Stamp::MIN,
        };
        let Some(row) = self.leases.get_mut(&renewal.node_id) else {
            self.leases.insert(renewal.node_id, new);
            return true;
        };
        let counts =
            row.instance <= renewal.instance || row.goodbye || row.expires_at + rules.margin < now;
        if counts {
            let strict_after = if row.instance == renewal.instance || row.goodbye {
                row.strict_after
            } else {
                row.strict_after.max(row.expires_at + rules.margin)
            };
            *row = LeaseRow {
                strict_after,
                ..new
            };
        }
        counts
    }

    /// The revision that a renewal that counts is answered with.
    #[must_use]
    pub fn lease_told(&self, held: bool, node: NodeId) -> Option<i64> {
        let revision = self.revision_get(node)?;
        Some(if held { NO_REVISION } else { revision })
    }

    /// True while a process before the node's, or one that a lost database knew, may still do strict
    /// work.
    #[must_use]
    pub fn lease_held(&self, now: Stamp, rules: &Rules, node: NodeId) -> bool {
        let lease = self.leases.get(&node);
        self.era_is_over(rules) || lease.is_some_and(|lease| lease.strict_after >= now)
    }

    /// Gives every living node `lease` from now.
    pub fn lease_extend_all(&mut self, now: Stamp, lease: Stamp) -> usize {
        let mut extended = 0;
        for (node, row) in &mut self.leases {
            let lives = self.nodes.get(node).is_some_and(|n| n.died_at.is_none());
            if lives && !row.goodbye {
                row.expires_at = row.expires_at.max(now + lease);
                extended += 1;
            }
        }
        extended
    }

    /// Counts the living and the silent.
    #[must_use]
    pub fn lease_census(&self, now: Stamp) -> Count {
        let mut count = Count::default();
        for (id, node) in &self.nodes {
            let lease = self.leases.get(id);
            let goodbye = lease.is_some_and(|lease| lease.goodbye);
            let expired = lease.map(|lease| lease.expires_at < now);
            let listed = node.died_at.is_none_or(|died| died > now - 60 * SECOND)
                || (expired == Some(false) && !goodbye);
            match (node.died_at.is_some(), goodbye, expired) {
                _ if !listed => {}
                (true, false, Some(false)) => count.returned.push(*id),
                (true, ..) => {
                    count.living += 1;
                    count.died += 1;
                }
                (false, true, _) | (false, _, None) => {}
                (false, false, Some(expired)) => {
                    count.living += 1;
                    if expired {
                        count.silent.push(*id);
                    }
                }
            }
        }
        count
    }

    /// Declares those of the nodes dead whose lease has run out still.
    pub fn node_die(&mut self, now: Stamp, nodes: &[NodeId]) -> Vec<NodeId> {
        let mut died = Vec::new();
        for id in nodes {
            let silent = self
                .leases
                .get(id)
                .is_some_and(|lease| lease.expires_at < now && !lease.goodbye);
            if let Some(node) = self.nodes.get_mut(id)
                && silent
                && node.died_at.is_none()
            {
                node.died_at = Some(now);
                died.push(*id);
            }
        }
        died
    }

    /// Takes those of the nodes back into life that renew their lease.
    pub fn node_return(&mut self, now: Stamp, nodes: &[NodeId]) -> Vec<NodeId> {
        let mut returned = Vec::new();
        for id in nodes {
            let renews = self
                .leases
                .get(id)
                .is_some_and(|lease| lease.expires_at >= now && !lease.goodbye);
            if let Some(node) = self.nodes.get_mut(id)
                && renews
                && node.died_at.take().is_some()
            {
                returned.push(*id);
            }
        }
        returned
    }

    /// How the node lives.
    #[must_use]
    pub fn life(&self, now: Stamp, node: NodeId) -> Life {
        let lease = self.leases.get(&node);
        let row = self.nodes.get(&node);
        Life {
            died: row.is_some_and(|node| node.died_at.is_some()),
            goodbye: lease.is_some_and(|lease| lease.goodbye),
            silence: lease.map(|lease| seconds(now - lease.renewed_at)),
        }
    }
}

fn seconds(stamp: Stamp) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "hours in microseconds are exact"
    )]
    let micros = stamp as f64;
    micros / 1e6
}
