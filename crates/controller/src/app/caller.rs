//! Who asks, and what they may do. Default deny: what no grant allows is refused.
//!
//! Everything that is granted comes with the caller ([`Rights`]). Questions about the cluster and
//! projects are answered from that; for those about cameras it goes along with the query that
//! reads them ([`Sight`]).

use std::{fmt, net::IpAddr};

use headworks_types::{Action, ApiKeyId, AuthRights, ProjectId, SignInId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Error, Result,
    access::{self, Actions, Holder, Holding, Rights, Sight},
    auth,
};
use crate::{
    credential,
    db::{api_key::api_key_sign_in, project::project_list_ids, sign_in::sign_in_caller},
    state::State,
};

/// Who asks: a person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// A person, signed in.
    User(UserId),
    /// A program, by its API key.
    ApiKey(ApiKeyId),
}

impl Identity {
    /// The id without its prefix; no user has the one of a key.
    pub(crate) fn uuid(self) -> Uuid {
        match self {
            Self::User(id) => id.uuid(),
            Self::ApiKey(id) => id.uuid(),
        }
    }

    /// What a refusal calls the caller.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::User(_) => "this user",
            Self::ApiKey(_) => "this key",
        }
    }
}

/// As ids are written: `usr_…` or `key_…`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::ApiKey(id) => id.fmt(f),
        }
    }
}

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The client's address; none if it did not come over a socket.
    pub(crate) address: Option<IpAddr>,
    /// The request's id, which the answer carries too.
    pub(crate) request_id: String,
}

/// Who asks, signed in, with what grants allow.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) origin: Origin,
    pub(crate) project_id: ProjectId,
    /// Which time of signing in it is; keys do not sign in.
    pub(crate) sign_in_id: Option<SignInId>,
    /// What an API key may do at most; everything for others.
    scopes: Actions,
    rights: Rights,
    /// All projects there are, if something is denied on some of them.
    projects: Vec<Uuid>,
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

    /// One project, in which something was found already.
    pub(crate) fn of(project: ProjectId) -> Self {
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

impl Caller {
    /// Signs in with an API key.
    pub(crate) async fn sign_in(state: &State, origin: Origin, key: &str) -> Result<Self> {
        const BAD: Error = Error::Unauthenticated("the API key is not known, expired or revoked");
        let presented = credential::parse(credential::Kind::ApiKey, key).ok_or(BAD)?;
        let mut conn = state.pool.acquire().await?;
        let found = api_key_sign_in(&mut conn, presented.lookup).await?;
        let found = found.ok_or(BAD)?;
        if !presented.matches(&state.keys, &found.digest) {
            return Err(BAD);
        }
        let scopes = match &found.scopes {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => Actions::ALL,
        };
        let identity = Identity::ApiKey(found.id.into());
        Self::load(&mut conn, identity, origin, found.project_id.into(), scopes).await
    }

    /// A person, by an access token.
    pub(crate) async fn of_user(state: &State, origin: Origin, token: &str) -> Result<Self> {
        const ENDED: Error = Error::Unauthenticated("you are signed out; sign in again");
        let auth::AccessClaims { sub, sid, .. } = auth::verify(state, token).await?;
        let mut conn = state.pool.acquire().await?;
        let project = sign_in_caller(&mut conn, sid, sub).await?.ok_or(ENDED)?;
        let identity = Identity::User(sub);
        let caller = Self::load(&mut conn, identity, origin, project, Actions::ALL).await?;
        Ok(Self {
            sign_in_id: Some(sid),
            ..caller
        })
    }

    /// The caller with the grants that hold now: one query. Who it is must have been proved.
    pub(crate) async fn load(
        conn: &mut PgConnection,
        identity: Identity,
        origin: Origin,
        project_id: ProjectId,
        scopes: Actions,
    ) -> Result<Self> {
        let address = origin.address.map(Into::into);
        let rules = access::rules(conn, identity, Holding::At(None, address)).await?;
        let rights = Rights::new(&rules, scopes);
        let projects = if rights.spare_projects() {
            project_list_ids(conn).await?
        } else {
            Vec::new()
        };
        Ok(Self {
            identity,
            origin,
            project_id,
            sign_in_id: None,
            scopes,
            rights,
            projects,
        })
    }

    /// The person and what they are signed in to; refuses a program.
    pub(crate) fn person(&self) -> Result<(UserId, SignInId)> {
        match (self.identity, self.sign_in_id) {
            (Identity::User(user), Some(sign_in)) => Ok((user, sign_in)),
            _ => Err(Error::Forbidden(
                "this is for people who have signed in, not for API keys".to_owned(),
            )),
        }
    }

    /// What it may do on the cluster, on the projects that grants are on, and on at least one
    /// camera by a grant on it or its group.
    pub(crate) fn rights(&self) -> (Vec<Action>, Vec<AuthRights>, Vec<Action>) {
        let projects = self.rights.projects().map(|id| AuthRights {
            project_id: id.into(),
            actions: self.rights.on_project(id.into()).iter().collect(),
        });
        let cluster = self.rights.on_cluster().iter().collect();
        let cameras = self.rights.on_some_camera().iter().collect();
        (cluster, projects.collect(), cameras)
    }

    /// What the caller may let others do ([`Holding::Always`]).
    pub(crate) async fn gifts(&self, conn: &mut PgConnection) -> Result<Rights> {
        let rules = access::rules(conn, self.identity, Holding::Always).await?;
        Ok(Rights::new(&rules, self.scopes))
    }

    /// Of these actions those that an API key has a scope for.
    pub(crate) fn within_scopes(&self, actions: Actions) -> Actions {
        actions.and(self.scopes)
    }

    /// The caller as one who has to go on being allowed something.
    pub(crate) fn holder(&self) -> Holder {
        Holder {
            id: self.identity.uuid(),
            scopes: self.scopes,
            network: self
                .origin
                .address
                .map(|address| address.to_canonical().into()),
        }
    }

    /// True if the right holds on the scope itself. Something in it may be denied nevertheless.
    pub(crate) fn may(&self, action: Action, scope: Scope) -> bool {
        let actions = match scope {
            Scope::Cluster => self.rights.on_cluster(),
            Scope::Project(id) => self.rights.on_project(id),
        };
        actions.include(action)
    }

    /// Refuses, unless the right holds on the scope.
    pub(crate) fn require(&self, action: Action, scope: Scope) -> Result<()> {
        if self.may(action, scope) {
            return Ok(());
        }
        let on = match scope {
            Scope::Cluster => "the cluster".to_owned(),
            Scope::Project(id) => id.to_string(),
        };
        Err(self.lacks(&[action], &on))
    }

    /// Where the right may be used; refuses if nowhere.
    pub(crate) fn reach(&self, action: Action) -> Result<Reach> {
        let reach = self.reach_any(action.into());
        match reach.projects() {
            Some([]) => Err(Error::Forbidden(format!(
                "{} has {action} on no project",
                self.identity.noun()
            ))),
            _ => Ok(reach),
        }
    }

    /// The projects that the caller may know of: those it may do anything with.
    pub(crate) fn known_projects(&self) -> Result<Reach> {
        let reach = self.reach_any(Actions::ALL);
        match reach.projects() {
            Some([]) => Err(Error::Forbidden(format!(
                "{} has rights on no project",
                self.identity.noun()
            ))),
            _ => Ok(reach),
        }
    }

    /// The cameras that the caller may see; refuses if it cannot be any.
    pub(crate) fn sight(&self) -> Result<Sight> {
        self.sight_of(&[Action::CameraViewLive, Action::CameraManage])
    }

    /// The cameras that the caller may manage; refuses if it cannot be any.
    pub(crate) fn sight_of_managed(&self) -> Result<Sight> {
        self.sight_of(&[Action::CameraManage])
    }

    /// The cameras that the caller may do any of this with; refuses if it cannot be any.
    pub(crate) fn sight_of(&self, actions: &[Action]) -> Result<Sight> {
        let mask = actions.iter().copied().collect();
        let sight = self.rights.sight(mask);
        if sight.is_blind() && !self.rights.on_some_camera().intersect(mask) {
            let names: Vec<_> = actions.iter().map(Action::to_string).collect();
            return Err(Error::Forbidden(format!(
                "{} has {} on no camera",
                self.identity.noun(),
                names.join(" and ")
            )));
        }
        Ok(sight)
    }

    /// The refusal of what needs one of these rights.
    pub(crate) fn lacks(&self, actions: &[Action], on: &str) -> Error {
        let names: Vec<_> = actions.iter().map(Action::to_string).collect();
        let who = self.identity.noun();
        Error::Forbidden(format!("{who} has no {} on {on}", names.join(" and no ")))
    }

    fn reach_any(&self, actions: Actions) -> Reach {
        let any = |id: &Uuid| {
            let project = ProjectId::from(*id);
            self.rights.on_project(project).intersect(actions)
        };
        if !self.rights.on_cluster().intersect(actions) {
            return Reach(Some(self.rights.projects().filter(any).collect()));
        }
        if self.projects.iter().all(any) {
            return Reach(None);
        }
        Reach(Some(self.projects.iter().copied().filter(any).collect()))
    }
}
