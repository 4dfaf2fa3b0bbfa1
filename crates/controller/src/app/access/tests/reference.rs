//! The rules, read word by word and slowly: "allow or deny × principal (user, group, key) × object
//! (camera, camera group with everything below it, project) × role or action × optional weekly time
//! window with zone, networks, not-before/not-after. Default deny, deny overrides, no order."

use chrono::{Datelike as _, Timelike as _};
use chrono_tz::Tz;
use headworks_types::{
    Action, Effect, GrantConditions, GrantCreate, GrantObject, Principal, RoleRef, Schedule,
};

use super::world::{Camera, Moment, Person, World};

/// Whether the person may do this with the camera then.
pub(super) fn may(
    world: &World,
    who: &Person,
    camera: &Camera,
    action: Action,
    moment: Moment,
) -> bool {
    let speaks = |grant: &&GrantCreate| {
        is_to(world, grant, who)
            && is_about(world, grant, action)
            && reaches(world, grant, camera)
            && holds(grant, moment)
    };
    let mut matching = world.grants.iter().filter(speaks);
    let mut allowed = false;
    let nothing_denied = matching.all(|grant| {
        allowed |= grant.effect == Effect::Allow;
        grant.effect != Effect::Deny
    });
    allowed && nothing_denied && who.works(moment.at) && who.scopes().include(action)
}

fn is_to(world: &World, grant: &GrantCreate, who: &Person) -> bool {
    match grant.principal {
        Principal::User { id } => id.uuid() == who.id,
        Principal::ApiKey { id } => id.uuid() == who.id,
        Principal::UserGroup { id } => world.members.contains(&(id, who.id)),
    }
}

fn is_about(world: &World, grant: &GrantCreate, action: Action) -> bool {
    match (grant.role, &grant.actions) {
        (Some(RoleRef::BuiltIn(role)), _) => role.actions().contains(&action),
        (Some(RoleRef::Custom(id)), _) => world.roles[&id].contains(&action),
        (None, actions) => actions.as_ref().is_some_and(|all| all.contains(&action)),
    }
}

fn reaches(world: &World, grant: &GrantCreate, camera: &Camera) -> bool {
    match grant.object {
        GrantObject::Cluster => true,
        GrantObject::Project { id } => id == camera.project,
        GrantObject::CameraGroup { id } => world.is_below(camera, id.uuid()),
        GrantObject::Camera { id } => id == camera.id,
    }
}

fn holds(grant: &GrantCreate, moment: Moment) -> bool {
    let GrantConditions {
        schedule,
        networks,
        not_before,
        not_after,
    } = &grant.conditions;
    let in_network = |networks: &Vec<headworks_types::Network>| match moment.address {
        Some(address) => networks.iter().any(|network| network.contains(address)),
        // Nobody is let in from somewhere unknown, and nobody gets around a deny from there.
        None => grant.effect == Effect::Deny,
    };
    schedule.as_ref().is_none_or(|s| is_in_hours(s, moment))
        && networks.as_ref().is_none_or(in_network)
        && not_before.is_none_or(|from| moment.at >= from)
        && not_after.is_none_or(|to| moment.at < to)
}

fn is_in_hours(schedule: &Schedule, moment: Moment) -> bool {
    let zone: Tz = schedule.zone.parse().expect("is a zone");
    let local = moment.at.with_timezone(&zone);
    let today = local.weekday().num_days_from_monday();
    let yesterday = (today + 6) % 7;
    let minute = local.hour() * 60 + local.minute();
    schedule.windows.iter().any(|window| {
        let (from, to) = (window.from.minutes().into(), window.to.minutes().into());
        window.days.iter().any(|day| {
            let day = *day as u32;
            if from < to {
                day == today && (from..to).contains(&minute)
            } else {
                day == today && minute >= from || day == yesterday && minute < to
            }
        })
    })
}
