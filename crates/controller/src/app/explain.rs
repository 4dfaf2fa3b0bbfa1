//! Why somebody may do something with a camera, or may not.

use std::{collections::HashMap, net::IpAddr};

use chrono::{DateTime, Utc};
use headworks_types::{
    AccessExplanation, AccessGrant, Action, CameraId, Effect, Grant, GrantId, GrantObject,
    Principal,
};
use sqlx::PgConnection;

use super::{
    Caller, Error, Reach, Result,
    access::{Actions, Decision, Place, Question, Rule, allowed, decide, name},
};
use crate::{
    db::{
        access::{Standing, object_project, principal_project, standing_get, verdict_list},
        camera::camera_path,
        grant::{grant_get_many, principal_uuid},
    },
    state::State,
};

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) principal: Principal,
    pub(crate) camera: CameraId,
    pub(crate) action: Action,
    /// From where; from nowhere known if absent.
    pub(crate) address: Option<IpAddr>,
    /// When; now if absent.
    pub(crate) at: Option<DateTime<Utc>>,
}

/// Answers and says which grants decide. Needs `user.manage` where the principal and the camera
/// are.
pub(crate) async fn access_explain(
    state: &State,
    caller: &Caller,
    ask: Ask,
) -> Result<AccessExplanation> {
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let conn = &mut *conn;
    let home = principal_project(conn, &reach, ask.principal)
        .await?
        .ok_or_else(|| Error::not_found(who(ask.principal)))?;
    let place = place_of(conn, &reach, ask.camera).await?;
    let question = Question {
        principal: principal_uuid(ask.principal),
        camera: ask.camera.uuid(),
        action: ask.action,
        address: ask.address,
    };
    // What is said is what is done: the words are found for the answer that everybody gets.
    let allowed = allowed(conn, &[question], ask.at).await? == [true];
    let standing = standing_get(conn, home, ask.principal, ask.at).await?;
    let objects = place.objects();
    let verdicts = verdict_list(conn, ask.principal, &objects, ask.address, ask.at).await?;
    let ids: Vec<_> = verdicts.iter().map(|(id, _)| *id).collect();
    let mut idle: HashMap<_, _> = verdicts.into_iter().collect();
    let grants = grant_get_many(conn, home, &ids).await?.into_iter();
    let grants = grants
        .filter(|grant| grant.actions.contains(&ask.action))
        .map(|grant| {
            let idle = idle.remove(&grant.id).flatten();
            (grant, idle)
        });
    let grants = grants.collect();
    Ok(answer(&ask, allowed, standing.as_ref(), &place, grants))
}

/// Where the camera is, if that is within reach.
async fn place_of(conn: &mut PgConnection, reach: &Reach, camera: CameraId) -> Result<Place> {
    let unknown = || Error::not_found(camera);
    let object = GrantObject::Camera { id: camera };
    let project = object_project(conn, reach, object)
        .await?
        .ok_or_else(unknown)?;
    let groups = camera_path(conn, project, camera)
        .await?
        .ok_or_else(unknown)?;
    Ok(Place {
        camera,
        groups,
        project,
    })
}

/// Puts it in words. `grants` are those that are about the action and the place, each with why it
/// does not hold.
fn answer(
    ask: &Ask,
    allowed: bool,
    standing: Option<&Standing>,
    place: &Place,
    grants: Vec<(Grant, Option<String>)>,
) -> AccessExplanation {
    let held: Vec<_> = grants
        .iter()
        .filter(|(_, idle)| idle.is_none())
        .map(|(grant, _)| Rule::from(grant))
        .collect();
    let decision = decide(&held, ask.action, place);
    let obstacle = obstacle(ask, standing);
    let (reason, by) = reason(ask, &decision);
    AccessExplanation {
        principal: ask.principal,
        camera_id: ask.camera,
        action: ask.action,
        allowed,
        reason: obstacle.unwrap_or(reason),
        grants: grants
            .into_iter()
            .map(|(grant, idle)| AccessGrant {
                holds: idle.is_none(),
                decides: by.contains(&grant.id),
                words: words(&grant, idle.as_deref()),
                grant,
            })
            .collect(),
    }
}

/// What keeps the principal from anything, whatever it is granted.
fn obstacle(ask: &Ask, standing: Option<&Standing>) -> Option<String> {
    let who = who(ask.principal);
    let Some(standing) = standing else {
        return Some(format!("No: there is no {who} any more."));
    };
    if !standing.works {
        return Some(match ask.principal {
            Principal::ApiKey { .. } => format!("No: {who} is revoked or has expired."),
            _ => format!("No: {who} is disabled."),
        });
    }
    let capped = standing.scopes.as_ref().map(|scopes| {
        let scopes: Actions = scopes.iter().map(String::as_str).collect();
        !scopes.include(ask.action)
    });
    (capped == Some(true)).then(|| format!("No: {who} has no scope {}.", ask.action))
}

fn reason(ask: &Ask, decision: &Decision<'_>) -> (String, Vec<GrantId>) {
    let ids = |rules: &[&Rule]| rules.iter().map(|rule| rule.id).collect::<Vec<_>>();
    let list = |ids: &[GrantId]| {
        let texts: Vec<_> = ids.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    match decision {
        Decision::Allowed(by) => {
            let by = ids(by);
            (
                format!("Yes: {} allows it and nothing denies it.", list(&by)),
                by,
            )
        }
        Decision::Denied(by) => {
            let by = ids(by);
            (
                format!("No: {} denies it, whatever others allow.", list(&by)),
                by,
            )
        }
        Decision::Nothing => (
            format!(
                "No: no grant that holds allows {} {} on {}.",
                who(ask.principal),
                ask.action,
                ask.camera
            ),
            Vec::new(),
        ),
    }
}

fn words(grant: &Grant, idle: Option<&str>) -> String {
    let does = match grant.effect {
        Effect::Allow => "allows",
        Effect::Deny => "denies",
    };
    let what = match grant.role {
        Some(role) => format!("the role {role}"),
        None => "it".to_owned(),
    };
    let holds = match idle {
        None => String::new(),
        Some("not_before") => ", but not yet".to_owned(),
        Some("not_after") => ", but no more".to_owned(),
        Some("schedule") => ", but not at this hour".to_owned(),
        Some(_) => ", but not from this address".to_owned(),
    };
    let to = match grant.principal {
        Principal::UserGroup { id } => format!("everybody in {id}"),
        other => who(other),
    };
    format!("{does} {to} {what} on {}{holds}", name(grant.object))
}

fn who(principal: Principal) -> String {
    match principal {
        Principal::User { id } => id.to_string(),
        Principal::UserGroup { id } => id.to_string(),
        Principal::ApiKey { id } => id.to_string(),
    }
}
