//! User groups.

use headworks_types::{
    Page, UserGroup, UserGroupCreate, UserGroupId, UserGroupMember, UserGroupMemberAdd,
    UserGroupUpdate, UserId,
};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `GET /v1/user_groups`
    pub fn user_group_list(&self) -> Call<Page<UserGroup>> {
        self.get(&["v1", "user_groups"])
    }

    /// `POST /v1/user_groups`
    pub fn user_group_create(&self, group: &UserGroupCreate) -> Call<UserGroup, Create> {
        self.post(&["v1", "user_groups"], group)
    }

    /// `GET /v1/user_groups/{user_group_id}`
    pub fn user_group_view(&self, id: UserGroupId) -> Call<UserGroup> {
        self.get(&["v1", "user_groups", &id.to_string()])
    }

    /// `PATCH /v1/user_groups/{user_group_id}`
    pub fn user_group_update(
        &self,
        id: UserGroupId,
        change: &UserGroupUpdate,
    ) -> Call<UserGroup, Change> {
        self.patch(&["v1", "user_groups", &id.to_string()], change)
    }

    /// `DELETE /v1/user_groups/{user_group_id}`
    pub fn user_group_delete(&self, id: UserGroupId) -> Call<(), Change> {
        self.delete(&["v1", "user_groups", &id.to_string()])
    }

    /// `GET /v1/user_groups/{user_group_id}/members`
    pub fn user_group_member_list(&self, id: UserGroupId) -> Call<Page<UserGroupMember>> {
        self.get(&["v1", "user_groups", &id.to_string(), "members"])
    }

    /// `POST /v1/user_groups/{user_group_id}/members`
    pub fn user_group_member_add(
        &self,
        id: UserGroupId,
        member: &UserGroupMemberAdd,
    ) -> Call<UserGroupMember, Create> {
        let path = ["v1", "user_groups", &id.to_string(), "members"];
        self.post(&path, member)
    }

    /// `DELETE /v1/user_groups/{user_group_id}/members/{user_id}`
    pub fn user_group_member_remove(&self, id: UserGroupId, user: UserId) -> Call<(), Change> {
        let (id, user) = (id.to_string(), user.to_string());
        self.delete(&["v1", "user_groups", &id, "members", &user])
    }

    /// `GET /v1/users/{user_id}/user_groups`
    pub fn user_group_list_of_user(&self, id: UserId) -> Call<Page<UserGroup>> {
        self.get(&["v1", "users", &id.to_string(), "user_groups"])
    }
}
