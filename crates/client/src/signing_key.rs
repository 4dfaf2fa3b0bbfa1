//! Signing keys.

use headworks_types::{Page, SigningKey};

use crate::{Call, Client, Create};

impl Client {
    /// `GET /v1/signing_keys`
    pub fn signing_key_list(&self) -> Call<Page<SigningKey>> {
        self.get(&["v1", "signing_keys"])
    }

    /// `POST /v1/signing_keys:rotate`
    pub fn signing_key_rotate(&self) -> Call<SigningKey, Create> {
        self.act(&["v1", "signing_keys:rotate"])
    }

    /// `POST /v1/signing_keys/{kid}:revoke`
    pub fn signing_key_revoke(&self, kid: &str) -> Call<SigningKey, Create> {
        self.act(&["v1", "signing_keys", &format!("{kid}:revoke")])
    }
}
