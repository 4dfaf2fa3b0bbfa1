//! Playback tokens: who may watch is decided here, once; edges only verify.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use headworks_types::{
    Action, CameraId, EventKind, GrantObject, PLAYBACK_AUDIENCE, PLAYBACK_TYP, PlaybackCamera,
    PlaybackClaims, PlaybackToken, PlaybackTokenCreate, PlaybackTokenRevoke, PlaybackUrls,
    ProjectId, Secret, UserId, edge::RevocationKind,
};
use ipnet::IpNet;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Begun, Caller, Error, Identity, Once, Result,
    access::{self, Actions, Holder, Holding, Rights, Sight, Wanted, first_loss},
    signing_key::sign,
};
use crate::{
    db::{
        access::denied_below,
        api_key::api_key_expiry,
        camera::{CameraAccess, camera_list_access, camera_list_access_of_subject},
        camera_group::camera_group_list_access,
        event::{NewEvent, event_insert},
        revocation::{
            NewRevocation, revocation_count_tokens, revocation_insert, revocation_issue_time,
        },
        slot::playback_list,
        user::user_get,
    },
    state::State,
};

/// The most tokens of a project that are revoked at once: every edge has all of them, and no token
/// need exist to be revoked.
const MOST_REVOKED: i64 = 2000;

/// Issues a token for a user, for the caller itself, or for somebody whom only the caller knows. It
/// allows no more than whom it is for and the caller may do.
pub(crate) async fn playback_token_issue(
    state: &State,
    caller: &Caller,
    once: Once,
    ask: PlaybackTokenCreate,
) -> Result<PlaybackToken> {
    check_viewer(caller, &ask)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(token) => return Ok(token),
    };
    let conn = write.conn();
    let issued = issue(state, conn, caller, ask).await?;
    let answer = PlaybackToken {
        token_id: issued.token_id,
        cameras: places(conn, &issued.cameras, &issued.token).await?,
        token: issued.token,
        expires_at: issued.expires_at,
        watch_until: issued.watch_until,
    };
    write.commit(&answer).await?;
    Ok(answer)
}

/// A token that is signed, in a transaction that is still to be committed.
pub(super) struct Issued {
    /// Its `jti`.
    pub(super) token_id: String,
    pub(super) token: Secret,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) watch_until: DateTime<Utc>,
    /// The cameras that it names.
    cameras: Vec<CameraId>,
}

/// Signs the token, if whom it is for and the caller may do what it says, and tells of it.
/// [`check_viewer`] comes before.
pub(super) async fn issue(
    state: &State,
    conn: &mut PgConnection,
    caller: &Caller,
    mut ask: PlaybackTokenCreate,
) -> Result<Issued> {
    let subject = ask.user_id.map_or(caller.identity, Identity::User);
    let granted = authorize(conn, caller, subject, &ask).await?;
    if let Some(network) = granted.network {
        ask.ip = Some(network.to_string());
    }
    let names = [subject.to_string(), caller.identity.to_string()];
    let issued = revocation_issue_time(conn, &names).await?;
    let [name, issuer] = names;
    let claims = claims(name, issued, granted.actions, ask).issued_by(issuer);
    let claims = within_rights(conn, caller, subject, issued, claims).await?;
    let token = sign(conn, &state.keys, PLAYBACK_TYP, &claims).await?;
    announce(conn, caller, granted.project, &claims).await?;
    let at = |seconds: i64| issued + TimeDelta::seconds(seconds - claims.iat);
    Ok(Issued {
        token,
        expires_at: at(claims.exp),
        watch_until: at(claims.watch_until()),
        token_id: claims.jti.unwrap_or_default(),
        cameras: claims.cams,
    })
}

/// Takes a token back: it opens nothing any more, and its sessions end.
pub(crate) async fn playback_token_revoke(
    state: &State,
    caller: &Caller,
    once: Once,
    revoke: PlaybackTokenRevoke,
) -> Result<PlaybackTokenRevoke> {
    let project = revoke.project_id.unwrap_or(caller.project_id);
    if !caller.reach(Action::UserManage)?.covers(project) {
        return Err(Error::not_found(project));
    }
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(token) => return Ok(token),
    };
    let conn = write.conn();
    if revocation_count_tokens(conn, project, &revoke.token_id).await? >= MOST_REVOKED {
        return Err(Error::Conflict(format!(
            "the project has {MOST_REVOKED} revoked tokens that have not expired; end all sessions \
             of a user, or revoke the key that the tokens are of"
        )));
    }
    let new = NewRevocation {
        kind: RevocationKind::Token,
        value: &revoke.token_id,
        project: Some(project),
        ends_sessions: true,
    };
    revocation_insert(conn, &[new]).await?;
    let event = NewEvent {
        project_id: Some(project),
        kind: EventKind::PlaybackTokenRevoked,
        subject: revoke.token_id.clone(),
        actor: &caller.identity.to_string(),
        message: format!("token {} was revoked", revoke.token_id),
    };
    event_insert(conn, event).await?;
    let answer = PlaybackTokenRevoke {
        project_id: Some(project),
        ..revoke
    };
    write.commit(&answer).await?;
    Ok(answer)
}

/// Only programs have viewers of their own.
pub(super) fn check_viewer(caller: &Caller, ask: &PlaybackTokenCreate) -> Result<()> {
    if ask.viewer_id.is_some() && matches!(caller.identity, Identity::User(_)) {
        return Err(Error::invalid(
            "/viewer_id",
            "is for API keys; a user gets tokens for itself",
        ));
    }
    Ok(())
}

/// What a token opens.
struct Scope {
    /// Of everything in it.
    project: Option<ProjectId>,
    /// What everybody who was looked at may do everywhere in it.
    common: Actions,
}

impl Scope {
    fn new() -> Self {
        Self {
            project: None,
            common: Actions::ALL,
        }
    }

    /// Adds something on which somebody may do `actions`, if that is enough.
    fn add(
        &mut self,
        ask: &PlaybackTokenCreate,
        (subject, thing): (&str, &str),
        (project, actions): (ProjectId, Actions),
        pointer: impl FnOnce() -> String,
    ) -> Result<()> {
        let mut needed = ask.needed_actions().iter();
        if let Some(action) = needed.find(|action| !actions.include(**action)) {
            return Err(Error::Forbidden(format!(
                "{subject} has no {action} on {thing}"
            )));
        }
        self.common = self.common.and(actions);
        if *self.project.get_or_insert(project) != project {
            return Err(Error::invalid(
                pointer(),
                "is of another project; ask for a token for each project",
            ));
        }
        Ok(())
    }
}

/// What may be put into the token.
struct Granted {
    project: ProjectId,
    /// What may be done everywhere in it.
    actions: Actions,
    /// The network that it has to be bound to.
    network: Option<IpNet>,
}

/// What the token may open, if whom it is for and the caller may do all of it.
async fn authorize(
    conn: &mut PgConnection,
    caller: &Caller,
    subject: Identity,
    ask: &PlaybackTokenCreate,
) -> Result<Granted> {
    let home = match ask.user_id {
        Some(user) => home_of(conn, caller, user).await?,
        None => caller.project_id,
    };
    // First what the caller may know of.
    let sight = caller.sight()?;
    let found = camera_list_access(conn, &sight, &ask.camera_ids).await?;
    let name = caller.identity.to_string();
    let mut scope = Scope::new();
    add_cameras(&mut scope, &name, ask, &found)?;
    add_groups(conn, &mut scope, &name, &sight, ask).await?;
    let nothing = || Error::invalid("/camera_ids", "must name 1 to 50 cameras, or groups");
    let project = scope.project.ok_or_else(nothing)?;
    let (actions, network) = network_of(conn, caller, (subject, home), ask).await?;
    Ok(Granted {
        project,
        actions: scope.common.and(actions),
        network,
    })
}

/// What whom the token is for may do with all of it, and from where: from everywhere, or else from
/// the network that the token is bound to anyhow. What is granted or denied in some networks is about
/// those who watch, so that a program's own address counts for nothing. A person who asks for themself
/// is where they watch: then the token is bound to that address.
async fn network_of(
    conn: &mut PgConnection,
    caller: &Caller,
    subject: (Identity, ProjectId),
    ask: &PlaybackTokenCreate,
) -> Result<(Actions, Option<IpNet>)> {
    let is_own = subject.0 == caller.identity && matches!(subject.0, Identity::User(_));
    let own = caller.origin.address.filter(|_| is_own);
    let own = own.map(|address| IpNet::from(address.to_canonical()));
    let refused = match check_subject(conn, subject, ask, None).await {
        Ok(actions) => return Ok((actions, ask.network())),
        Err(refused @ (Error::Forbidden(_) | Error::NotFound(_))) => refused,
        Err(error) => return Err(error),
    };
    let network = ask.network().or(own).ok_or(refused)?;
    let actions = check_subject(conn, subject, ask, Some(network)).await?;
    Ok((actions, Some(network)))
}

/// What this user or key may do with all of it from everywhere in the network; refuses if that is too
/// little.
async fn check_subject(
    conn: &mut PgConnection,
    (subject, home): (Identity, ProjectId),
    ask: &PlaybackTokenCreate,
    network: Option<IpNet>,
) -> Result<Actions> {
    let rules = access::rules(conn, subject, Holding::At(None, network)).await?;
    let sight = Rights::new(&rules, Actions::ALL).sight(Actions::ALL);
    let found = camera_list_access_of_subject(conn, home, &sight, &ask.camera_ids).await?;
    let subject = subject.to_string();
    let mut scope = Scope::new();
    add_cameras(&mut scope, &subject, ask, &found)?;
    add_groups(conn, &mut scope, &subject, &sight, ask).await?;
    Ok(scope.common)
}

fn add_cameras(
    scope: &mut Scope,
    subject: &str,
    ask: &PlaybackTokenCreate,
    found: &[CameraAccess],
) -> Result<()> {
    for (index, id) in ask.camera_ids.iter().enumerate() {
        let camera = found
            .iter()
            .find(|camera| camera.id == *id)
            .ok_or_else(|| Error::not_found(id))?;
        let may = (camera.project_id, camera.actions);
        let pointer = || format!("/camera_ids/{index}");
        scope.add(ask, (subject, &id.to_string()), may, pointer)?;
    }
    Ok(())
}

/// Everything below the groups is opened: so nothing there may be denied.
async fn add_groups(
    conn: &mut PgConnection,
    scope: &mut Scope,
    subject: &str,
    sight: &Sight,
    ask: &PlaybackTokenCreate,
) -> Result<()> {
    for (index, &id) in ask.camera_group_ids.iter().enumerate() {
        let found = camera_group_list_access(conn, sight, &[id]).await?;
        let found = found.first().ok_or_else(|| Error::not_found(id))?;
        let denied = denied_below(conn, sight, GrantObject::CameraGroup { id }).await?;
        let may = (found.project_id, found.actions.without(denied));
        let pointer = || format!("/camera_group_ids/{index}");
        scope.add(ask, (subject, &format!("all of {id}")), may, pointer)?;
    }
    Ok(())
}

/// What the token says: nothing that edges take for granted. Where nothing is asked for, it is to
/// watch live, and to hear if that is among what is `common`.
fn claims(
    subject: String,
    issued: DateTime<Utc>,
    common: Actions,
    ask: PlaybackTokenCreate,
) -> PlaybackClaims {
    let sound = Action::CameraViewAudio;
    let sound = Some(sound).filter(|sound| ask.actions.is_none() && common.include(*sound));
    let act = ask.needed_actions().iter().copied().chain(sound).collect();
    let iat = issued.timestamp();
    // Half of a random id: enough for tokens that live for hours, and short.
    let name = Uuid::new_v4();
    let claims = PlaybackClaims {
        iss: None,
        aud: PLAYBACK_AUDIENCE.to_owned(),
        sub: subject,
        by: None,
        vid: ask.viewer_id.clone(),
        jti: Some(URL_SAFE_NO_PAD.encode(&name.as_bytes()[8..])),
        iat,
        nbf: None,
        exp: iat + i64::from(ask.expires_in_seconds),
        sxp: None,
        ip: ask.network(),
        org: ask.origin,
        max: ask.max_sessions,
        cams: ask.camera_ids,
        grps: ask.camera_group_ids,
        act,
    };
    claims.with_watch_until(iat + i64::from(ask.watch_seconds))
}

/// The token ends when whom it is for or the caller may no more do what it says, as far as that is
/// known already: so an edge that nobody can tell of it holds to it, too.
async fn within_rights(
    conn: &mut PgConnection,
    caller: &Caller,
    subject: Identity,
    issued: DateTime<Utc>,
    claims: PlaybackClaims,
) -> Result<PlaybackClaims> {
    let watcher = Holder {
        id: subject.uuid(),
        scopes: Actions::ALL,
        network: claims.ip,
    };
    let wanted = Wanted {
        cameras: &claims.cams,
        groups: &claims.grps,
        actions: claims.act.iter().copied().collect(),
    };
    let until = issued + TimeDelta::seconds(claims.watch_until() - claims.iat);
    let holders = [watcher, caller.holder()];
    let loss = first_loss(conn, &holders, &wanted, issued, until).await?;
    let expiry = match caller.identity {
        Identity::ApiKey(id) => api_key_expiry(conn, caller.project_id, id).await?,
        Identity::User(_) => None,
    };
    let end = loss.into_iter().chain(expiry).min();
    Ok(match end {
        Some(end) => claims.ending(end.timestamp()),
        None => claims,
    })
}

/// The project of a user who is enabled.
async fn home_of(conn: &mut PgConnection, caller: &Caller, id: UserId) -> Result<ProjectId> {
    let reach = caller.reach(Action::UserManage)?;
    let user = user_get(conn, &reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?
        .thing;
    if !user.enabled {
        return Err(Error::Forbidden(format!("{id} is disabled")));
    }
    Ok(user.project_id)
}

/// Where each camera can be watched now, in the order asked for.
async fn places(
    conn: &mut PgConnection,
    cameras: &[CameraId],
    token: &Secret,
) -> Result<Vec<PlaybackCamera>> {
    let places = playback_list(conn, cameras).await?;
    let place = |id: &CameraId| {
        let place = places.get(id);
        PlaybackCamera {
            camera_id: *id,
            node_id: place.map(|(node, _)| *node),
            urls: place.map(|(_, advertise)| PlaybackUrls::new(advertise, *id, token)),
        }
    };
    Ok(cameras.iter().map(place).collect())
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    project: ProjectId,
    claims: &PlaybackClaims,
) -> Result<()> {
    let cameras: Vec<_> = claims.cams.iter().map(ToString::to_string).collect();
    let event = NewEvent {
        project_id: Some(project),
        kind: EventKind::PlaybackTokenIssued,
        subject: claims.sub.clone(),
        actor: &caller.identity.to_string(),
        message: format!(
            "token {} opens {}",
            claims.jti.as_deref().unwrap_or_default(),
            cameras.join(", ")
        ),
    };
    Ok(event_insert(conn, event).await?)
}
