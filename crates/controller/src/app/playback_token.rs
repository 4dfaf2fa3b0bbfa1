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
    access::{self, Actions, Holding, Rights, Sight},
    signing_key::sign,
};
use crate::{
    db::{
        access::denied_below,
        camera::{CameraAccess, camera_list_access, camera_list_access_of_subject},
        camera_group::camera_group_list_access,
        event::{NewEvent, event_insert},
        revocation::{NewRevocation, revocation_insert, revocation_issue_time},
        slot::playback_list,
        user::user_get,
    },
    state::State,
};

/// Issues a token for a user, for the caller itself, or for somebody whom only the caller knows. It
/// allows no more than whom it is for and the caller may do.
pub(crate) async fn playback_token_issue(
    state: &State,
    caller: &Caller,
    once: Once,
    mut ask: PlaybackTokenCreate,
) -> Result<PlaybackToken> {
    check_viewer(caller, &ask)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(token) => return Ok(token),
    };
    let conn = write.conn();
    let subject = ask.user_id.map_or(caller.identity, Identity::User);
    let (project, network) = authorize(conn, caller, subject, &ask).await?;
    if let Some(network) = network {
        ask.ip = Some(network.to_string());
    }
    let subject = subject.to_string();
    let issued = revocation_issue_time(conn, &subject).await?;
    let claims = claims(subject, issued, ask);
    let token = sign(conn, &state.keys, PLAYBACK_TYP, &claims).await?;
    let at = |seconds: i64| issued + TimeDelta::seconds(seconds - claims.iat);
    let answer = PlaybackToken {
        token_id: claims.jti.clone().unwrap_or_default(),
        cameras: places(conn, &claims.cams, &token).await?,
        token,
        expires_at: at(claims.exp),
        watch_until: at(claims.sxp.unwrap_or(claims.iat + PlaybackClaims::WATCH)),
    };
    announce(conn, caller, project, &claims).await?;
    write.commit(&answer).await?;
    Ok(answer)
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
fn check_viewer(caller: &Caller, ask: &PlaybackTokenCreate) -> Result<()> {
    if ask.viewer_id.is_some() && matches!(caller.identity, Identity::User(_)) {
        return Err(Error::invalid(
            "/viewer_id",
            "is for API keys; a user gets tokens for itself",
        ));
    }
    Ok(())
}

/// The project of what the token opens, if whom it is for and the caller may do all of it; and the
/// network that it has to be bound to.
async fn authorize(
    conn: &mut PgConnection,
    caller: &Caller,
    subject: Identity,
    ask: &PlaybackTokenCreate,
) -> Result<(ProjectId, Option<IpNet>)> {
    let home = match ask.user_id {
        Some(user) => home_of(conn, caller, user).await?,
        None => caller.project_id,
    };
    // First what the caller may know of.
    let sight = caller.sight()?;
    let found = camera_list_access(conn, &sight, &ask.camera_ids).await?;
    let name = caller.identity.to_string();
    let project = check(&name, ask, &found)?;
    let project = check_groups(conn, &name, &sight, ask, project).await?;
    let nothing = || Error::invalid("/camera_ids", "must name 1 to 50 cameras, or groups");
    let project = project.ok_or_else(nothing)?;
    let network = network_of(conn, caller, (subject, home), ask).await?;
    Ok((project, network))
}

/// From where whom the token is for may watch all of it: from everywhere, or else from the network
/// that the token is bound to anyhow. What is granted or denied in some networks is about those who
/// watch, so that a program's own address counts for nothing. A person who asks for themself is
/// where they watch: then the token is bound to that address.
async fn network_of(
    conn: &mut PgConnection,
    caller: &Caller,
    subject: (Identity, ProjectId),
    ask: &PlaybackTokenCreate,
) -> Result<Option<IpNet>> {
    let is_own = subject.0 == caller.identity && matches!(subject.0, Identity::User(_));
    let own = caller.origin.address.filter(|_| is_own);
    let own = own.map(|address| IpNet::from(address.to_canonical()));
    let refused = match check_subject(conn, subject, ask, None).await {
        Ok(()) => return Ok(ask.network()),
        Err(refused @ (Error::Forbidden(_) | Error::NotFound(_))) => refused,
        Err(error) => return Err(error),
    };
    let network = ask.network().or(own).ok_or(refused)?;
    check_subject(conn, subject, ask, Some(network)).await?;
    Ok(Some(network))
}

/// Refuses unless this user or key may do all of it from everywhere in the network.
async fn check_subject(
    conn: &mut PgConnection,
    (subject, home): (Identity, ProjectId),
    ask: &PlaybackTokenCreate,
    network: Option<IpNet>,
) -> Result<()> {
    let rules = access::rules(conn, subject, Holding::At(None, network)).await?;
    let sight = Rights::new(&rules, Actions::ALL).sight(Actions::ALL);
    let found = camera_list_access_of_subject(conn, home, &sight, &ask.camera_ids).await?;
    let subject = subject.to_string();
    let project = check(&subject, ask, &found)?;
    check_groups(conn, &subject, &sight, ask, project).await?;
    Ok(())
}

/// The project of all groups and of what was found before, if everything below the groups may be
/// watched: nothing there is denied.
async fn check_groups(
    conn: &mut PgConnection,
    subject: &str,
    sight: &Sight,
    ask: &PlaybackTokenCreate,
    mut project: Option<ProjectId>,
) -> Result<Option<ProjectId>> {
    for (index, &id) in ask.camera_group_ids.iter().enumerate() {
        let found = camera_group_list_access(conn, sight, &[id]).await?;
        let found = found.first().ok_or_else(|| Error::not_found(id))?;
        let denied = denied_below(conn, sight, GrantObject::CameraGroup { id }).await?;
        let actions = found.actions.without(denied);
        let missing = ask.actions.iter().find(|action| !actions.include(**action));
        if let Some(action) = missing {
            return Err(Error::Forbidden(format!(
                "{subject} has no {action} on all of {id}"
            )));
        }
        if *project.get_or_insert(found.project_id) != found.project_id {
            return Err(Error::invalid(
                format!("/camera_group_ids/{index}"),
                "is of another project; ask for a token for each project",
            ));
        }
    }
    Ok(project)
}

/// What the token says: nothing that edges take for granted.
fn claims(subject: String, issued: DateTime<Utc>, ask: PlaybackTokenCreate) -> PlaybackClaims {
    let iat = issued.timestamp();
    // Half of a random id: enough for tokens that live for hours, and short.
    let name = Uuid::new_v4();
    let claims = PlaybackClaims {
        iss: None,
        aud: PLAYBACK_AUDIENCE.to_owned(),
        sub: subject,
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
        act: ask.actions,
    };
    claims.with_watch_until(iat + i64::from(ask.watch_seconds))
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

/// The project of all cameras, if all may be watched.
fn check(
    subject: &str,
    ask: &PlaybackTokenCreate,
    found: &[CameraAccess],
) -> Result<Option<ProjectId>> {
    let mut project = None;
    for (index, id) in ask.camera_ids.iter().enumerate() {
        let camera = found
            .iter()
            .find(|camera| camera.id == *id)
            .ok_or_else(|| Error::not_found(id))?;
        let missing = ask.actions.iter().find(|action| !camera.may(**action));
        if let Some(action) = missing {
            return Err(Error::Forbidden(format!(
                "{subject} has no {action} on {id}"
            )));
        }
        if *project.get_or_insert(camera.project_id) != camera.project_id {
            return Err(Error::invalid(
                format!("/camera_ids/{index}"),
                "is of another project than the first; ask for a token for each project",
            ));
        }
    }
    Ok(project)
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
