//! Grants: who may do what with what, and when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Action, ApiKeyId, CameraGroupId, CameraId, GrantId, Network, ProjectId, RoleRef, Schedule,
    UserGroupId, UserId, Validate, Violations, action::check_actions,
};

const MAX_NETWORKS: usize = 64;

/// Who is granted something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Principal {
    /// A user.
    User {
        /// Which.
        id: UserId,
    },
    /// Everybody in a group of users.
    UserGroup {
        /// Which.
        id: UserGroupId,
    },
    /// An API key.
    ApiKey {
        /// Which.
        id: ApiKeyId,
    },
}

/// What the actions are granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GrantObject {
    /// One camera.
    Camera {
        /// Which.
        id: CameraId,
    },
    /// A camera group with everything below it.
    CameraGroup {
        /// Which.
        id: CameraGroupId,
    },
    /// A project and everything in it.
    Project {
        /// Which.
        id: ProjectId,
    },
    /// The whole cluster: nodes, and every project.
    Cluster,
}

/// Which way a grant goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It allows, unless another one denies.
    #[default]
    Allow,
    /// It denies, whatever others allow.
    Deny,
}

/// When a grant holds: if all of these do. What is absent holds always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrantConditions {
    /// Only in these hours of the week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Only from addresses in any of these networks, 1 to 64. An address that nobody knows is in
    /// no network of a grant that allows, and in every network of one that denies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 64)]
    pub networks: Option<Vec<Network>>,
    /// Not before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// No more from this on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<DateTime<Utc>>,
}

impl GrantConditions {
    /// True if there are none: it holds always.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Validate for GrantConditions {
    fn validate(&self, found: &mut Violations) {
        if let Some(schedule) = &self.schedule {
            found.within("schedule", |found| schedule.validate(found));
        }
        if let Some(networks) = &self.networks
            && !(1..=MAX_NETWORKS).contains(&networks.len())
        {
            found.report(
                "networks",
                format!("must have 1 to {MAX_NETWORKS} networks; empty never means all"),
            );
        }
        if let (Some(from), Some(to)) = (self.not_before, self.not_after)
            && to <= from
        {
            found.report("not_after", "must be after `not_before`");
        }
    }
}

/// A rule: the principal may do the actions on the object, or may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The project of the principal.
    pub project_id: ProjectId,
    /// Which way it goes.
    pub effect: Effect,
    /// Who.
    pub principal: Principal,
    /// On what.
    pub object: GrantObject,
    /// As what; absent if the actions were named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<RoleRef>,
    /// What; with a role, what that comes to now.
    pub actions: Vec<Action>,
    /// When.
    #[serde(default, skip_serializing_if = "GrantConditions::is_empty")]
    pub conditions: GrantConditions,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A grant to be. Nobody can allow what they may not do themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantCreate {
    /// Which way it goes. Default `allow`.
    #[serde(default)]
    pub effect: Effect,
    /// Who.
    pub principal: Principal,
    /// On what. A role that the project made can be granted on things of that project only.
    pub object: GrantObject,
    /// As what; either this or `actions`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<RoleRef>,
    /// What; at least one action, each once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_items = 1)]
    pub actions: Option<Vec<Action>>,
    /// When it holds. Default: always.
    #[serde(default, skip_serializing_if = "GrantConditions::is_empty")]
    pub conditions: GrantConditions,
}

impl GrantCreate {
    /// One that allows these actions always.
    #[must_use]
    pub fn allow(principal: Principal, object: GrantObject, actions: Vec<Action>) -> Self {
        Self {
            effect: Effect::Allow,
            principal,
            object,
            role: None,
            actions: Some(actions),
            conditions: GrantConditions::default(),
        }
    }
}

impl Validate for GrantCreate {
    fn validate(&self, found: &mut Violations) {
        match (&self.role, &self.actions) {
            (None, Some(actions)) => {
                found.within("actions", |found| {
                    check_actions(actions, found);
                    self.object.check(actions, found);
                });
            }
            (Some(_), None) => {}
            (Some(_), Some(_)) => found.report("actions", "either `role` or `actions`, not both"),
            (None, None) => found.report("actions", "either `actions` or `role` must be there"),
        }
        found.within("conditions", |found| self.conditions.validate(found));
    }
}

impl GrantObject {
    /// Reports actions that mean nothing on it.
    fn check(&self, actions: &[Action], found: &mut Violations) {
        for (index, action) in actions.iter().enumerate() {
            if !action.is_on(self) {
                let wrong = if *action == Action::NodeManage {
                    format!("{action} can be granted on the cluster only")
                } else {
                    format!("{action} cannot be granted on a camera")
                };
                found.report(&index.to_string(), wrong);
            }
        }
    }
}
