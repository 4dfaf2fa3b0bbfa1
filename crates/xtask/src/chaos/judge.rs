//! What a scenario's history comes to.

use headworks_testkit::lab::{
    Entry,
    check::{self, Changes, Viewing},
};

use super::stage::Done;

/// The figures of one scenario.
pub(super) struct Judged {
    pub(super) name: &'static str,
    /// Seconds until somebody who looks for it has a picture from after the fault.
    pub(super) back: Option<f64>,
    /// The same at the target of the push.
    pub(super) pushed: Option<f64>,
    /// How soon it must be, in seconds.
    pub(super) bar: Option<f64>,
    /// Viewers at edges that the fault struck.
    pub(super) harmed: Vec<Viewing>,
    /// The others.
    pub(super) unharmed: Vec<Viewing>,
    /// The audience of the push.
    pub(super) audience: Viewing,
    pub(super) changes: Changes,
    /// How often somebody began to push.
    pub(super) pushes: usize,
    pub(super) double_pushes: Vec<String>,
}

impl Judged {
    pub(super) fn new(
        name: &'static str,
        history: &[Entry],
        done: &Done,
        harmed: &[&str],
        unharmed: &[&str],
        seeker: &str,
        audience: &str,
    ) -> Self {
        let viewing = |names: &[&str]| {
            let one = |name: &&str| check::viewing(history, name, done.fault, done.over);
            names.iter().map(one).collect()
        };
        Self {
            name,
            back: check::back(history, &[seeker], done.mended),
            pushed: check::back(history, &[audience], done.mended),
            bar: done.bar,
            harmed: viewing(harmed),
            unharmed: viewing(unharmed),
            audience: check::viewing(history, audience, done.fault, done.over),
            changes: check::changes(history),
            pushes: check::pushes(history),
            double_pushes: check::double_pushes(history),
        }
    }

    /// Viewers that the fault had nothing to do with, and that had to connect anew.
    pub(super) fn interrupted(&self) -> u64 {
        self.unharmed.iter().map(|one| one.interruptions).sum()
    }

    /// What must not be, in words.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut found = Vec::new();
        found.extend(self.changes.lost.iter().cloned());
        found.extend(self.double_pushes.iter().cloned());
        if self.interrupted() > 0 {
            found.push(format!("{} viewers were interrupted", self.interrupted()));
        }
        if self.back.is_none() {
            found.push("the picture did not come back".to_owned());
        }
        found
            .iter()
            .map(|one| format!("{}: {one}", self.name))
            .collect()
    }
}
