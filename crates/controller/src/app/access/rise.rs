//! Nobody rises. Whoever manages users or cameras gives, becomes and takes no more than they have:
//!
//! * who lets somebody do something, or becomes somebody who may, must be able to give all of it
//!   ([`require_gifts`]);
//! * who takes something from somebody may do no less than they ([`require_own`]);
//! * who moves cameras comes to nothing by that ([`require_move`]).

use std::collections::BTreeMap;

use headworks_types::{Action, CameraGroupId, GrantObject, ProjectId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Actions, Object, Rule, require_all, require_each};
use crate::{
    app::{Caller, Result, Scope},
    db::access::rule_list_of,
};

/// All that is granted to these users, groups or keys of the project, and to the groups of the
/// users: also what does not hold now.
pub(crate) async fn everything_of(
    conn: &mut PgConnection,
    project: ProjectId,
    principals: &[Uuid],
) -> Result<Vec<Rule>> {
    Ok(rule_list_of(conn, project, principals).await?)
}

/// Refuses unless the caller could make all these grants, of which what they are bound to does not
/// count; for those that deny, unless it could lift them.
pub(crate) async fn require_gifts(
    conn: &mut PgConnection,
    caller: &Caller,
    rules: impl IntoIterator<Item = &Rule>,
) -> Result<()> {
    let mut wanted: BTreeMap<Object, Actions> = BTreeMap::new();
    for rule in rules {
        *wanted.entry(rule.object).or_default() |= rule.actions;
    }
    let wanted = wanted.into_iter().map(|(object, actions)| {
        let object = GrantObject::from(object);
        (object, meaningful(actions, object))
    });
    require_each(conn, caller, &wanted.collect::<Vec<_>>()).await?;
    Ok(())
}

/// Refuses unless the caller, too, may do what these grants allow on projects and the cluster. Of
/// what they allow on cameras and their groups it is enough to manage the principal: there, whoever
/// manages users can always take away.
pub(crate) fn require_own<'a>(
    caller: &Caller,
    rules: impl IntoIterator<Item = &'a Rule>,
) -> Result<()> {
    for rule in rules.into_iter().filter(|rule| rule.allows) {
        let scope = match rule.object {
            Object::Camera(_) | Object::Group(_) => continue,
            Object::Project(id) => Scope::Project(id.into()),
            Object::Cluster => Scope::Cluster,
        };
        let mut actions = meaningful(rule.actions, rule.object.into()).iter();
        actions.try_for_each(|action| caller.require(action, scope))?;
    }
    Ok(())
}

/// Refuses to move a camera, or a group with all below it, if the caller could do more with it
/// there: by what it is allowed on groups that are entered, or is denied on those that are left.
/// Each place is given by the groups above.
pub(crate) async fn require_move(
    conn: &mut PgConnection,
    caller: &Caller,
    thing: GrantObject,
    before: &[CameraGroupId],
    after: &[CameraGroupId],
) -> Result<()> {
    let own = everything_of(conn, caller.project_id, &[caller.identity.uuid()]).await?;
    let gain = caller.within_scopes(gain(&own, before, after));
    require_all(conn, caller, thing, meaningful(gain, thing)).await
}

/// What somebody with these grants may come to, whatever they are bound to.
fn gain(rules: &[Rule], before: &[CameraGroupId], after: &[CameraGroupId]) -> Actions {
    let sum = |counts: &dyn Fn(&Rule) -> bool| {
        let rules = rules.iter().filter(|rule| counts(rule));
        rules.fold(Actions::default(), |sum, rule| sum | rule.actions)
    };
    let only_in = |object, these: &[CameraGroupId], others: &[CameraGroupId]| match object {
        Object::Group(id) => these.contains(&id.into()) && !others.contains(&id.into()),
        _ => false,
    };
    let entered = sum(&|rule| rule.allows && only_in(rule.object, after, before));
    let left = sum(&|rule| !rule.allows && only_in(rule.object, before, after));
    entered | left.and(sum(&|rule| rule.allows))
}

/// Of the actions those that mean something on the object.
fn meaningful(actions: Actions, object: GrantObject) -> Actions {
    let on = |action: &Action| action.is_on(&object);
    actions.iter().filter(on).collect()
}
