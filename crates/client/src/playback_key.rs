//! Customers' own keys for playback tokens.

use headworks_types::{Page, PlaybackKey, PlaybackKeyCreate, PlaybackKeyId};

use crate::{Call, Client, Create};

impl Client {
    /// `GET /v1/playback_keys`
    pub fn playback_key_list(&self) -> Call<Page<PlaybackKey>> {
        self.get(&["v1", "playback_keys"])
    }

    /// `POST /v1/playback_keys`
    pub fn playback_key_create(&self, key: &PlaybackKeyCreate) -> Call<PlaybackKey, Create> {
        self.post(&["v1", "playback_keys"], key)
    }

    /// `GET /v1/playback_keys/{playback_key_id}`
    pub fn playback_key_view(&self, id: PlaybackKeyId) -> Call<PlaybackKey> {
        self.get(&["v1", "playback_keys", &id.to_string()])
    }

    /// `POST /v1/playback_keys/{playback_key_id}:revoke`
    pub fn playback_key_revoke(&self, id: PlaybackKeyId) -> Call<PlaybackKey, Create> {
        self.act(&["v1", "playback_keys", &format!("{id}:revoke")])
    }
}
