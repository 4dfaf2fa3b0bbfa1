//! A row of `"grant"` as a grant.

use chrono::{DateTime, Utc};
use headworks_types::{
    Action, BuiltInRole, Grant, GrantConditions, GrantObject, Principal, RoleRef,
};
use serde_json::Value;
use uuid::Uuid;

use crate::db::from_json;

pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) project_id: Uuid,
    pub(super) effect: String,
    pub(super) user_id: Option<Uuid>,
    pub(super) user_group_id: Option<Uuid>,
    pub(super) api_key_id: Option<Uuid>,
    pub(super) camera_id: Option<Uuid>,
    pub(super) camera_group_id: Option<Uuid>,
    pub(super) object_project_id: Option<Uuid>,
    pub(super) actions: Option<Vec<String>>,
    pub(super) role: Option<String>,
    pub(super) role_id: Option<Uuid>,
    pub(super) schedule: Option<Value>,
    pub(super) networks: Option<Vec<String>>,
    pub(super) not_before: Option<DateTime<Utc>>,
    pub(super) not_after: Option<DateTime<Utc>>,
    pub(super) created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Grant {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let role = row.role()?;
        Ok(Self {
            id: row.id.into(),
            project_id: row.project_id.into(),
            effect: from_json(Value::String(row.effect.clone()))?,
            principal: row.principal()?,
            object: row.object(),
            role,
            actions: match (role, &row.actions) {
                (Some(RoleRef::BuiltIn(role)), _) => role.actions().to_vec(),
                (_, Some(names)) => from_names(names),
                (_, None) => Vec::new(),
            },
            conditions: GrantConditions {
                schedule: row.schedule.map(from_json).transpose()?,
                networks: row
                    .networks
                    .as_deref()
                    .map(crate::db::networks)
                    .transpose()?,
                not_before: row.not_before,
                not_after: row.not_after,
            },
            created_at: row.created_at,
        })
    }
}

impl Row {
    fn principal(&self) -> sqlx::Result<Principal> {
        match (self.user_id, self.user_group_id, self.api_key_id) {
            (Some(id), _, _) => Ok(Principal::User { id: id.into() }),
            (_, Some(id), _) => Ok(Principal::UserGroup { id: id.into() }),
            (_, _, Some(id)) => Ok(Principal::ApiKey { id: id.into() }),
            (None, None, None) => Err(bad("a grant without principal")),
        }
    }

    fn object(&self) -> GrantObject {
        match (self.camera_id, self.camera_group_id, self.object_project_id) {
            (Some(id), _, _) => GrantObject::Camera { id: id.into() },
            (_, Some(id), _) => GrantObject::CameraGroup { id: id.into() },
            (_, _, Some(id)) => GrantObject::Project { id: id.into() },
            (None, None, None) => GrantObject::Cluster,
        }
    }

    fn role(&self) -> sqlx::Result<Option<RoleRef>> {
        match (&self.role, self.role_id) {
            (Some(name), _) => BuiltInRole::from_name(name)
                .map(|role| Some(RoleRef::BuiltIn(role)))
                .ok_or_else(|| bad("a role of a newer release")),
            (None, Some(id)) => Ok(Some(RoleRef::Custom(id.into()))),
            (None, None) => Ok(None),
        }
    }
}

/// Actions as their names.
pub(in crate::db) fn to_names(actions: &[Action]) -> Vec<String> {
    actions.iter().map(Action::to_string).collect()
}

/// What a newer release may have granted is unknown here, and left out.
pub(in crate::db) fn from_names(names: &[String]) -> Vec<Action> {
    let known = names.iter().filter_map(|name| Action::from_name(name));
    known.collect()
}

fn bad(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(what.to_owned().into())
}
