//! Nodes.

use headworks_types::{Node, NodeId, Page};

use crate::{Call, Client, Create};

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
}
