//! Join tokens.

use headworks_types::{JoinToken, JoinTokenCreate, JoinTokenCreated, JoinTokenId, Page};

use crate::{Call, Client, Create};

impl Client {
    /// `GET /v1/join_tokens`
    pub fn join_token_list(&self) -> Call<Page<JoinToken>> {
        self.get(&["v1", "join_tokens"])
    }

    /// `POST /v1/join_tokens`
    pub fn join_token_create(&self, token: &JoinTokenCreate) -> Call<JoinTokenCreated, Create> {
        self.post(&["v1", "join_tokens"], token)
    }

    /// `POST /v1/join_tokens/{join_token_id}:revoke`
    pub fn join_token_revoke(&self, id: JoinTokenId) -> Call<JoinToken, Create> {
        self.act(&["v1", "join_tokens", &format!("{id}:revoke")])
    }
}
