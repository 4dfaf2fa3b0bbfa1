//! Sessions: who watches.

use headworks_types::{CameraId, NodeId, Page, Session, SessionId, User, UserId};

use crate::{Call, Client, Create};

impl Client {
    /// `GET /v1/sessions`
    pub fn session_list(&self) -> Call<Page<Session>> {
        self.get(&["v1", "sessions"])
    }

    /// `GET /v1/sessions/{session_id}`
    pub fn session_view(&self, id: SessionId) -> Call<Session> {
        self.get(&["v1", "sessions", &id.to_string()])
    }

    /// `POST /v1/sessions/{session_id}:end`
    pub fn session_end(&self, id: SessionId) -> Call<Session, Create> {
        self.act(&["v1", "sessions", &format!("{id}:end")])
    }

    /// `POST /v1/users/{user_id}:revoke_sessions`
    pub fn user_revoke_sessions(&self, id: UserId) -> Call<User, Create> {
        self.act(&["v1", "users", &format!("{id}:revoke_sessions")])
    }
}

impl Call<Page<Session>> {
    /// Only who watches this camera.
    pub fn of_camera(self, id: CameraId) -> Self {
        self.with_query("camera", id.to_string())
    }

    /// Only what this user watches.
    pub fn of_user(self, id: UserId) -> Self {
        self.with_query("user", id.to_string())
    }

    /// Only who watches on this node.
    pub fn on_node(self, id: NodeId) -> Self {
        self.with_query("node", id.to_string())
    }
}
