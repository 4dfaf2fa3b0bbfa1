//! Users.

use headworks_types::{OidcIdentity, Page, User, UserCreate, UserId, UserUpdate};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `GET /v1/users`
    pub fn user_list(&self) -> Call<Page<User>> {
        self.get(&["v1", "users"])
    }

    /// `POST /v1/users`
    pub fn user_create(&self, user: &UserCreate) -> Call<User, Create> {
        self.post(&["v1", "users"], user)
    }

    /// `GET /v1/users/{user_id}`
    pub fn user_view(&self, id: UserId) -> Call<User> {
        self.get(&["v1", "users", &id.to_string()])
    }

    /// `PATCH /v1/users/{user_id}`
    pub fn user_update(&self, id: UserId, change: &UserUpdate) -> Call<User, Change> {
        self.patch(&["v1", "users", &id.to_string()], change)
    }

    /// `DELETE /v1/users/{user_id}`
    pub fn user_delete(&self, id: UserId) -> Call<(), Change> {
        self.delete(&["v1", "users", &id.to_string()])
    }

    /// `POST /v1/users/{user_id}:link`
    pub fn user_link(&self, id: UserId, identity: &OidcIdentity) -> Call<User, Create> {
        self.post(&["v1", "users", &format!("{id}:link")], identity)
    }

    /// `POST /v1/users/{user_id}:unlink`
    pub fn user_unlink(&self, id: UserId, identity: &OidcIdentity) -> Call<User, Create> {
        self.post(&["v1", "users", &format!("{id}:unlink")], identity)
    }
}
