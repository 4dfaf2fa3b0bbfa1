//! API keys.

use headworks_types::{ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyId, Page};

use crate::{Call, Client, Create};

impl Client {
    /// `GET /v1/api_keys`
    pub fn api_key_list(&self) -> Call<Page<ApiKey>> {
        self.get(&["v1", "api_keys"])
    }

    /// `POST /v1/api_keys`
    pub fn api_key_create(&self, key: &ApiKeyCreate) -> Call<ApiKeyCreated, Create> {
        self.post(&["v1", "api_keys"], key)
    }

    /// `GET /v1/api_keys/{api_key_id}`
    pub fn api_key_view(&self, id: ApiKeyId) -> Call<ApiKey> {
        self.get(&["v1", "api_keys", &id.to_string()])
    }

    /// `POST /v1/api_keys/{api_key_id}:revoke`
    pub fn api_key_revoke(&self, id: ApiKeyId) -> Call<ApiKey, Create> {
        self.act(&["v1", "api_keys", &format!("{id}:revoke")])
    }
}
