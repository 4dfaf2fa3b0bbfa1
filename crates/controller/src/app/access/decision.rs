//! One question about one camera, with the reason for the answer.

use headworks_types::Action;

use super::{Place, Rule};

/// Whether somebody may do something, and by which of the rules.
#[derive(Debug)]
pub(crate) enum Decision<'a> {
    /// These deny it; whatever others allow does not count.
    Denied(Vec<&'a Rule>),
    /// These allow it, and none denies it.
    Allowed(Vec<&'a Rule>),
    /// No rule is about it.
    Nothing,
}

/// Judges by all of somebody's rules whether the action is allowed on the camera there.
pub(crate) fn decide<'a>(
    rules: impl IntoIterator<Item = &'a Rule>,
    action: Action,
    place: &Place,
) -> Decision<'a> {
    let about = |rule: &&Rule| rule.actions.include(action) && place.is_in(rule.object);
    let (allows, denies): (Vec<_>, Vec<_>) = rules
        .into_iter()
        .filter(about)
        .partition(|rule| rule.allows);
    match (allows.is_empty(), denies.is_empty()) {
        (_, false) => Decision::Denied(denies),
        (false, true) => Decision::Allowed(allows),
        (true, true) => Decision::Nothing,
    }
}
