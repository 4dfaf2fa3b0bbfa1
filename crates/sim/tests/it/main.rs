//! Thousands of worlds; one that is told; and worlds in which a rule is missing.

mod rules;

use std::{
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use headworks_sim::{Keeps, Summary, Violation, run};

/// How many worlds there are; `HEADWORKS_SIM_SEEDS` for another number.
const SEEDS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("is a number"))
}

/// Runs the worlds of these seeds on all processors, until one says that it is enough.
fn each(seeds: u64, keeps: Keeps, take: impl Fn(Result<Summary, Violation>) -> bool + Sync) {
    let (next, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    if take(run(seed, keeps, false)) {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

#[test]
fn in_no_world_an_invariant_is_broken() {
    let seeds = number("HEADWORKS_SIM_SEEDS").unwrap_or(SEEDS);
    let (found, sum) = (Mutex::new(None), Mutex::new(Summary::default()));
    each(seeds, Keeps::default(), |ran| match ran {
        Ok(summary) => {
            sum.lock().expect("is whole").add(summary);
            false
        }
        Err(violation) => {
            found.lock().expect("is whole").get_or_insert(violation);
            true
        }
    });
    if let Some(violation) = found.into_inner().expect("is whole") {
        panic!("{violation}");
    }
    let sum = sum.into_inner().expect("is whole");
    println!("{seeds} worlds: {sum:?}");
    // Worlds in which nothing happens prove nothing.
    let each = |count: u64| assert!(count > seeds / 20, "{sum:?}");
    each(sum.assignments);
    each(sum.deaths);
    each(sum.handovers);
    each(sum.lost);
}

/// `HEADWORKS_SIM_SEED=… cargo test -p headworks-sim replay -- --nocapture`
#[test]
fn replay() {
    let seed = number("HEADWORKS_SIM_SEED");
    let told = seed.is_some();
    // Without a seed: a world is the same each time.
    let [first, second] = [told, false].map(|told| run(seed.unwrap_or(1), Keeps::default(), told));
    assert_eq!(first, second);
    match first {
        Ok(summary) if told => println!("all is well: {summary:?}"),
        Ok(_) => {}
        Err(violation) => panic!("{violation}"),
    }
}
