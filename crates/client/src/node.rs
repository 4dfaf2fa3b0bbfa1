//! Nodes.

use headworks_types::{Node, NodeDrainRequest, NodeId, Page};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `POST /v1/nodes/{node_id}:revoke`
    pub fn node_revoke(&self, id: NodeId) -> Call<Node, Create> {
        self.act(&["v1", "nodes", &format!("{id}:revoke")])
    }

    /// `GET /v1/nodes`
    pub fn node_list(&self) -> Call<Page<Node>> {
        self.get(&["v1", "nodes"])
    }

    /// `GET /v1/nodes/{node_id}`
    pub fn node_view(&self, id: NodeId) -> Call<Node> {
        self.get(&["v1", "nodes", &id.to_string()])
    }

    /// `POST /v1/nodes/{node_id}:cordon`
    pub fn node_cordon(&self, id: NodeId) -> Call<Node, Create> {
        self.act(&["v1", "nodes", &format!("{id}:cordon")])
    }

    /// `POST /v1/nodes/{node_id}:uncordon`
    pub fn node_uncordon(&self, id: NodeId) -> Call<Node, Create> {
        self.act(&["v1", "nodes", &format!("{id}:uncordon")])
    }

    /// `POST /v1/nodes/{node_id}:drain`
    pub fn node_drain(&self, id: NodeId, body: &NodeDrainRequest) -> Call<Node, Create> {
        self.post(&["v1", "nodes", &format!("{id}:drain")], body)
    }

    /// `POST /v1/nodes/{node_id}:cancel_drain`
    pub fn node_cancel_drain(&self, id: NodeId) -> Call<Node, Create> {
        self.act(&["v1", "nodes", &format!("{id}:cancel_drain")])
    }

    /// `DELETE /v1/nodes/{node_id}`; with `force` also one that runs
    pub fn node_delete(&self, id: NodeId, force: bool) -> Call<(), Change> {
        self.delete(&["v1", "nodes", &id.to_string()])
            .with_query("force", force.to_string())
    }
}
