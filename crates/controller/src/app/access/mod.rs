//! Who may do what. Default deny; a deny beats every allow; nothing has an order.
//!
//! A [`Rule`] is a grant that holds at some time and from some address. The rules of somebody come
//! from the database in one query ([`rules`]). What they come to is worked out in two ways that a
//! property test holds together: [`decide`] says for one camera which rules it was, and [`Rights`]
//! adds them up by object, for questions about projects in memory and about cameras in SQL.
//!
//! [`allowed`] answers many questions about many people at once, in one statement.

mod actions;
mod decision;
mod gift;
mod rights;
mod rise;
#[cfg(test)]
mod tests;
mod until;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use headworks_types::{Action, CameraId, Effect, Grant, GrantId, GrantObject, ProjectId};
use ipnet::IpNet;
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) use actions::Actions;
pub(crate) use decision::{Decision, decide};
pub(crate) use gift::{name, require_all, require_each};
pub(crate) use rights::{Rights, Sight};
pub(crate) use rise::{everything_of, require_gifts, require_move, require_own};
pub(crate) use until::{Holder, Wanted, first_loss};

use super::Identity;
use crate::db::access::{access_list, rule_list};

/// What a grant is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Object {
    Cluster,
    Project(Uuid),
    Group(Uuid),
    Camera(Uuid),
}

impl Object {
    /// As in the database: the cluster has no id.
    pub(crate) fn uuid(self) -> Uuid {
        match self {
            Self::Cluster => Uuid::nil(),
            Self::Project(id) | Self::Group(id) | Self::Camera(id) => id,
        }
    }
}

impl From<GrantObject> for Object {
    fn from(object: GrantObject) -> Self {
        match object {
            GrantObject::Camera { id } => Self::Camera(id.uuid()),
            GrantObject::CameraGroup { id } => Self::Group(id.uuid()),
            GrantObject::Project { id } => Self::Project(id.uuid()),
            GrantObject::Cluster => Self::Cluster,
        }
    }
}

impl From<Object> for GrantObject {
    fn from(object: Object) -> Self {
        match object {
            Object::Camera(id) => Self::Camera { id: id.into() },
            Object::Group(id) => Self::CameraGroup { id: id.into() },
            Object::Project(id) => Self::Project { id: id.into() },
            Object::Cluster => Self::Cluster,
        }
    }
}

/// A grant that holds.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: GrantId,
    /// True if it allows, false if it denies.
    pub(crate) allows: bool,
    pub(crate) object: Object,
    pub(crate) actions: Actions,
}

impl From<&Grant> for Rule {
    fn from(grant: &Grant) -> Self {
        Self {
            id: grant.id,
            allows: grant.effect == Effect::Allow,
            object: grant.object.into(),
            actions: grant.actions.iter().copied().collect(),
        }
    }
}

/// Where a camera is: what a grant on any of it reaches.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) camera: CameraId,
    /// From the top down to the camera's own group.
    pub(crate) groups: Vec<Uuid>,
    pub(crate) project: ProjectId,
}

impl Place {
    /// Everything that a grant on it reaches the camera.
    pub(crate) fn objects(&self) -> Vec<Object> {
        let groups = self.groups.iter().map(|&id| Object::Group(id));
        let above = [Object::Cluster, Object::Project(self.project.uuid())];
        let own = Object::Camera(self.camera.uuid());
        above.into_iter().chain(groups).chain([own]).collect()
    }

    /// True if what is granted on the object is granted here.
    pub(crate) fn is_in(&self, object: Object) -> bool {
        match object {
            Object::Cluster => true,
            Object::Project(id) => id == self.project.uuid(),
            Object::Group(id) => self.groups.contains(&id),
            Object::Camera(id) => id == self.camera.uuid(),
        }
    }
}

/// Which grants count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// Those that hold at this time, or now, from this address, or from all of this network: of
    /// those that deny, the ones that hold from some of it.
    At(Option<DateTime<Utc>>, Option<IpNet>),
    /// What somebody may give to others: what is allowed without conditions, and every deny
    /// whether it holds now or not. Else who may watch by day could let others watch by night.
    Always,
}

/// The grants of the user, its groups, or the key that count: one query.
pub(crate) async fn rules(
    conn: &mut PgConnection,
    identity: Identity,
    holding: Holding,
) -> sqlx::Result<Vec<Rule>> {
    rule_list(conn, identity.uuid(), holding).await
}

/// A question: may this user or key do this with this camera, from this address?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// A user's or an API key's, without its prefix.
    pub(crate) principal: Uuid,
    pub(crate) camera: Uuid,
    pub(crate) action: Action,
    /// None if nobody knows: then a grant that allows from some networks does not hold, and one
    /// that denies does.
    pub(crate) address: Option<IpAddr>,
}

/// Answers all questions for this time, or for now, in their order and in one statement: for the
/// issue of tokens, and for the loop that looks after those who watch. A user who is disabled or
/// gone and a key that is revoked or expired may do nothing; a key's scopes cap what it may do.
/// About a camera that is gone the answer is no.
///
/// Ask each question once: the cost is some index probes for each.
pub(crate) async fn allowed(
    conn: &mut PgConnection,
    questions: &[Question],
    at: Option<DateTime<Utc>>,
) -> sqlx::Result<Vec<bool>> {
    access_list(conn, questions, at).await
}
