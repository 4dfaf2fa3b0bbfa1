//! The simulation would notice: with any rule missing, some world goes wrong in the way that the rule
//! is to prevent, within a number of seeds that stands beside it.

use std::sync::Mutex;

use headworks_sim::{Keeps, Violation};

use super::each;

/// Takes a rule away and looks for a world that goes wrong like this.
fn is_missed(rule: &str, seeds: u64, what: &str, without: impl Fn(&mut Keeps)) {
    let mut keeps = Keeps::default();
    without(&mut keeps);
    let found: Mutex<Option<Violation>> = Mutex::new(None);
    each(seeds, keeps, |ran| match ran {
        Err(violation) if violation.what.contains(what) => {
            found.lock().expect("is whole").get_or_insert(violation);
            true
        }
        _ => false,
    });
    let found = found.into_inner().expect("is whole");
    assert!(found.is_some(), "nobody misses {rule} in {seeds} worlds");
}

#[test]
fn the_term_of_a_planner() {
    is_missed("the check of the term", 500, "I6: ", |keeps| {
        keeps.database.term = false;
    });
}

#[test]
fn epochs_above_all_reported() {
    is_missed("GREATEST(reported)", 2000, "I1: ", |keeps| {
        keeps.database.above_reported = false;
    });
}

#[test]
fn the_hand_over_of_strict_slots() {
    is_missed("slot_bound", 500, "I3: ", |keeps| {
        keeps.database.bound = false;
    });
}

#[test]
fn the_margin_of_strict_slots() {
    is_missed("STRICT_MARGIN", 10_000, "I3: ", |keeps| {
        keeps.database.margin = 0;
    });
}

#[test]
fn the_wait_for_strict_work_that_stops() {
    is_missed("the wait for the end of pushes", 10_000, "I3: ", |keeps| {
        keeps.edge.waits_for_strict = false;
    });
}

#[test]
fn the_fence() {
    is_missed("the fence", 100, "I3: ", |keeps| {
        keeps.edge.fenced = false;
    });
}

#[test]
fn epochs_that_were_seen() {
    is_missed("the epochs that were seen", 10_000, "I2: ", |keeps| {
        keeps.edge.keeps_epochs = false;
    });
}

#[test]
fn a_healthy_database_before_a_death() {
    is_missed("a healthy database", 500, "declared dead", |keeps| {
        keeps.replica.awaits_health = false;
    });
}

/// Leases that start anew after an outage are a second lock on the same door: alone nobody misses
/// them, and without both even more nodes die for nothing.
#[test]
fn new_leases_after_an_outage() {
    is_missed("health and new leases", 200, "declared dead", |keeps| {
        keeps.replica.awaits_health = false;
        keeps.replica.extends_leases = false;
    });
}

/// Without eras, revisions of a lost database are taken for those of the new one.
#[test]
fn revisions_of_a_new_era() {
    is_missed("eras", 4000, "runs", |keeps| {
        keeps.database.era = false;
    });
}

/// Without eras, a process that only a lost database knew pushes beside another one.
#[test]
fn strict_work_of_a_new_era() {
    is_missed("eras", 10_000, "I3: ", |keeps| {
        keeps.database.era = false;
    });
}
