//! Playback tokens: who may watch is decided here, once; edges only verify.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use headworks_types::{
    Action, CameraId, EventKind, PLAYBACK_AUDIENCE, PLAYBACK_ISSUER, PLAYBACK_TYP, PlaybackCamera,
    PlaybackClaims, PlaybackToken, PlaybackTokenCreate, PlaybackUrls, ProjectId, Secret, UserId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Begun, Caller, Error, Identity, Once, Result,
    access::{self, Actions, Holding, Rights},
    signing_key::sign,
};
use crate::{
    db::{
        camera::{CameraAccess, camera_list_access, camera_list_access_of_user},
        event::{NewEvent, event_insert},
        slot::playback_list,
        user::user_get,
    },
    state::State,
};

/// Issues a token for a user, or for the caller itself.
pub(crate) async fn playback_token_issue(
    state: &State,
    caller: &Caller,
    once: Once,
    ask: PlaybackTokenCreate,
) -> Result<PlaybackToken> {
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(token) => return Ok(token),
    };
    let conn = write.conn();
    let (subject, access) = match ask.user_id {
        Some(user) => (
            user.to_string(),
            access_of_user(conn, caller, user, &ask).await?,
        ),
        None => {
            let sight = caller.sight()?;
            let found = camera_list_access(conn, &sight, &ask.camera_ids).await?;
            (caller.identity.to_string(), found)
        }
    };
    let project = check(&subject, &ask.camera_ids, &access)?;
    let now = state.clock.now();
    let expires_at = now + TimeDelta::seconds(ask.expires_in_seconds.into());
    let watch_until = now + TimeDelta::seconds(ask.watch_seconds.into());
    let claims = PlaybackClaims {
        iss: PLAYBACK_ISSUER.to_owned(),
        aud: PLAYBACK_AUDIENCE.to_owned(),
        sub: subject,
        jti: URL_SAFE_NO_PAD.encode(state.ids.next::<Uuid>()),
        iat: now.timestamp(),
        exp: expires_at.timestamp(),
        sxp: watch_until.timestamp(),
        cams: ask.camera_ids,
        act: vec![Action::CameraViewLive],
    };
    let token = sign(conn, &state.keys, PLAYBACK_TYP, &claims).await?;
    let answer = PlaybackToken {
        cameras: places(conn, &claims.cams, &token).await?,
        token,
        expires_at,
        watch_until,
    };
    announce(conn, caller, project, &claims).await?;
    write.commit(&answer).await?;
    Ok(answer)
}

async fn access_of_user(
    conn: &mut PgConnection,
    caller: &Caller,
    id: UserId,
    ask: &PlaybackTokenCreate,
) -> Result<Vec<CameraAccess>> {
    let reach = caller.reach(Action::UserManage)?;
    let user = user_get(conn, &reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?
        .thing;
    if !user.enabled {
        return Err(Error::Forbidden(format!("{id} is disabled")));
    }
    let rules = access::rules(conn, Identity::User(id), Holding::Now(None)).await?;
    let sight = Rights::new(&rules, Actions::ALL).sight(Actions::ALL);
    Ok(camera_list_access_of_user(conn, user.project_id, &sight, &ask.camera_ids).await?)
}

/// The project of all cameras, if all may be watched.
fn check(subject: &str, asked: &[CameraId], found: &[CameraAccess]) -> Result<ProjectId> {
    let mut project = None;
    for (index, id) in asked.iter().enumerate() {
        let camera = found
            .iter()
            .find(|camera| camera.id == *id)
            .ok_or_else(|| Error::not_found(id))?;
        if !camera.may(Action::CameraViewLive) {
            return Err(Error::Forbidden(format!(
                "{subject} has no {} on {id}",
                Action::CameraViewLive.as_str()
            )));
        }
        if *project.get_or_insert(camera.project_id) != camera.project_id {
            return Err(Error::invalid(
                format!("/camera_ids/{index}"),
                "is of another project than the first; ask for a token for each project",
            ));
        }
    }
    project.ok_or_else(|| Error::invalid("/camera_ids", "must name 1 to 50 cameras"))
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
        message: format!("token {} opens {}", claims.jti, cameras.join(", ")),
    };
    Ok(event_insert(conn, event).await?)
}
