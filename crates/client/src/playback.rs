//! Playback tokens and the keys that sign them.

use headworks_types::{Jwks, PlaybackToken, PlaybackTokenCreate, PlaybackTokenRevoke};

use crate::{Call, Client, Create};

impl Client {
    /// `POST /v1/playback_tokens`
    pub fn playback_token_issue(&self, token: &PlaybackTokenCreate) -> Call<PlaybackToken, Create> {
        self.post(&["v1", "playback_tokens"], token)
    }

    /// `POST /v1/playback_tokens:revoke`
    pub fn playback_token_revoke(
        &self,
        token: &PlaybackTokenRevoke,
    ) -> Call<PlaybackTokenRevoke, Create> {
        self.post(&["v1", "playback_tokens:revoke"], token)
    }

    /// `GET /.well-known/jwks.json`
    pub fn jwks_view(&self) -> Call<Jwks> {
        self.get(&[".well-known", "jwks.json"])
    }
}
