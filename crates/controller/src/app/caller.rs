//! Who asks, and what they may do. Default deny: what no grant allows is refused.
//!
//! Rights on the cluster and on projects are few and come with the caller. Rights on single
//! cameras may be thousands, so the query that reads a camera decides them ([`Sight`]).

use std::collections::BTreeMap;

use headworks_types::{Action, ApiKeyId, ProjectId};
use uuid::Uuid;

use super::{Error, Result};
use crate::{credential, db, state::State};

/// A set of actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Actions(u8);

impl Actions {
    /// True if `action` is in it.
    pub(crate) fn include(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Names that this version does not know allow nothing.
impl<T: AsRef<str>> FromIterator<T> for Actions {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let known = names
            .into_iter()
            .filter_map(|name| Action::from_name(name.as_ref()));
        Self(known.fold(0, |bits, action| bits | (1 << action as u8)))
    }
}

impl std::ops::BitOrAssign for Actions {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The program that asks, signed in by its API key.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) api_key_id: ApiKeyId,
    pub(crate) project_id: ProjectId,
    cluster: Actions,
    projects: BTreeMap<ProjectId, Actions>,
    /// What it may do with at least one camera, by grants on single cameras.
    cameras: Actions,
}

/// Where a right is needed that is not on a single camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Cluster,
    Project(ProjectId),
}

/// The projects that a caller may use a right in. Only a [`Caller`] can make one, and the queries
/// of a project's things ask for one: that is how no query forgets the tenant.
#[derive(Debug, Clone)]
pub(crate) struct Reach(Option<Vec<Uuid>>);

impl Reach {
    /// The caller's own project, for what needs no right.
    pub(crate) fn own(caller: &Caller) -> Self {
        Self(Some(vec![caller.project_id.uuid()]))
    }

    /// Every project, for what the controller does by itself.
    pub(crate) fn everywhere() -> Self {
        Self(None)
    }

    /// For tests of the queries that ask for one.
    #[cfg(test)]
    pub(crate) fn only(project: ProjectId) -> Self {
        Self(Some(vec![project.uuid()]))
    }

    /// The ids for SQL; `None` means every project.
    pub(crate) fn projects(&self) -> Option<&[Uuid]> {
        self.0.as_deref()
    }

    /// True if the project is among them.
    pub(crate) fn covers(&self, project: ProjectId) -> bool {
        self.0
            .as_ref()
            .is_none_or(|ids| ids.contains(&project.uuid()))
    }
}

/// Which cameras a caller may see: those of some projects, and single ones that the key was
/// granted. Only a [`Caller`] can make one.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// All of these projects' cameras may be seen.
    pub(crate) seen: Reach,
    /// All of these projects' cameras may be managed.
    pub(crate) managed: Reach,
    /// All of these projects' cameras may be watched.
    pub(crate) watched: Reach,
    /// Whose grants on single cameras count.
    pub(crate) api_key_id: ApiKeyId,
}

impl Caller {
    /// Signs in with an API key: one query.
    pub(crate) async fn sign_in(state: &State, key: &str) -> Result<Self> {
        const BAD: Error = Error::Unauthenticated("the API key is not known, expired or revoked");
        let presented = credential::parse(credential::Kind::ApiKey, key).ok_or(BAD)?;
        let mut conn = state.pool.acquire().await?;
        let rows = db::api_key::api_key_sign_in(&mut conn, presented.lookup).await?;
        let first = rows.first().ok_or(BAD)?;
        if !presented.matches(&state.keys, &first.digest) {
            return Err(BAD);
        }
        let mut caller = Self::powerless(first.id.into(), first.project_id.into());
        for row in rows {
            let actions: Actions = row.actions.iter().flatten().collect();
            match (row.on_cluster, row.object_project_id) {
                (Some(true), _) => caller.cluster |= actions,
                (_, Some(project)) => {
                    *caller.projects.entry(project.into()).or_default() |= actions;
                }
                _ => caller.cameras |= actions,
            }
        }
        Ok(caller)
    }

    fn powerless(api_key_id: ApiKeyId, project_id: ProjectId) -> Self {
        Self {
            api_key_id,
            project_id,
            cluster: Actions::default(),
            projects: BTreeMap::new(),
            cameras: Actions::default(),
        }
    }

    /// True if the right holds in all of the scope.
    pub(crate) fn may(&self, action: Action, scope: Scope) -> bool {
        self.cluster.include(action)
            || matches!(scope, Scope::Project(id)
                if self.projects.get(&id).is_some_and(|actions| actions.include(action)))
    }

    /// Refuses, unless the right holds in all of the scope.
    pub(crate) fn require(&self, action: Action, scope: Scope) -> Result<()> {
        if self.may(action, scope) {
            return Ok(());
        }
        let on = match scope {
            Scope::Cluster => "the cluster".to_owned(),
            Scope::Project(id) => id.to_string(),
        };
        Err(Error::Forbidden(format!(
            "this key has no {} on {on}",
            action.as_str()
        )))
    }

    /// Where the right may be used; refuses if nowhere.
    pub(crate) fn reach(&self, action: Action) -> Result<Reach> {
        let reach = self.reach_any(&[action]);
        match reach.projects() {
            Some([]) => Err(Error::Forbidden(format!(
                "this key has {} on no project",
                action.as_str()
            ))),
            _ => Ok(reach),
        }
    }

    /// The projects that the caller may know of: those it may do anything with.
    pub(crate) fn known_projects(&self) -> Result<Reach> {
        if !self.cluster.is_empty() {
            return Ok(Reach(None));
        }
        let ids: Vec<_> = self.projects.keys().map(|id| id.uuid()).collect();
        if ids.is_empty() {
            return Err(Error::Forbidden(
                "this key has rights on no project".to_owned(),
            ));
        }
        Ok(Reach(Some(ids)))
    }

    /// The cameras that the caller may see; refuses if it cannot be any.
    pub(crate) fn sight(&self) -> Result<Sight> {
        let shows = [Action::CameraViewLive, Action::CameraManage];
        let sight = Sight {
            seen: self.reach_any(&shows),
            managed: self.reach_any(&[Action::CameraManage]),
            watched: self.reach_any(&[Action::CameraViewLive]),
            api_key_id: self.api_key_id,
        };
        let nothing = sight.seen.projects().is_some_and(<[_]>::is_empty);
        if nothing && !shows.iter().any(|&action| self.cameras.include(action)) {
            return Err(Error::Forbidden(
                "this key has camera.view_live and camera.manage on no camera".to_owned(),
            ));
        }
        Ok(sight)
    }

    /// As [`Caller::sight`]; refuses also if the caller can manage none of the cameras.
    pub(crate) fn sight_of_managed(&self) -> Result<Sight> {
        let sight = self.sight()?;
        let nothing = sight.managed.projects().is_some_and(<[_]>::is_empty);
        if nothing && !self.cameras.include(Action::CameraManage) {
            return Err(Error::Forbidden(
                "this key has camera.manage on no camera".to_owned(),
            ));
        }
        Ok(sight)
    }

    fn reach_any(&self, actions: &[Action]) -> Reach {
        let any = |set: &Actions| actions.iter().any(|&action| set.include(action));
        if any(&self.cluster) {
            return Reach(None);
        }
        let having = self.projects.iter().filter(|(_, set)| any(set));
        Reach(Some(having.map(|(id, _)| id.uuid()).collect()))
    }
}
