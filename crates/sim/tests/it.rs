//! Thousands of worlds, and one that is told.

use headworks_sim::{Keeps, run};

#[test]
fn replay() {
    let Ok(seed) = std::env::var("HEADWORKS_SIM_SEED") else {
        return;
    };
    let seed = seed.parse().expect("is a number");
    match run(seed, Keeps::default(), true) {
        Ok(summary) => println!("all is well: {summary:?}"),
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn seeds() {
    let count: u64 = std::env::var("HEADWORKS_SIM_SEEDS")
        .map_or(1000, |count| count.parse().expect("is a number"));
    let mut bad = 0;
    let mut kinds = std::collections::BTreeMap::new();
    let mut steps = 0;
    let (mut a, mut d, mut h, mut l) = (0, 0, 0, 0);
    for seed in 0..count {
        match run(seed, Keeps::default(), false) {
            Ok(summary) => {
                steps += summary.steps;
                a += summary.assignments;
                d += summary.deaths;
                h += summary.handovers;
                l += summary.lost;
            }
            Err(violation) => {
                bad += 1;
                let k: String = violation.what.chars().take(24).collect();
                let e = kinds.entry(k).or_insert((0, Vec::new()));
                e.0 += 1;
                if e.1.len() < 3 {
                    println!("{violation}");
                    e.1.push(seed);
                }
            }
        }
    }
    println!("{a} assignments {d} deaths {h} handovers {l} lost");
    println!("{bad} bad, {steps} steps, {kinds:?}");
}

#[test]
fn mutants() {
    let count: u64 = std::env::var("HEADWORKS_SIM_SEEDS")
        .map_or(1000, |count| count.parse().expect("is a number"));
    let mutants: Vec<(&str, fn(&mut Keeps))> = vec![
        ("term", |k| k.database.term = false),
        ("above_reported", |k| k.database.above_reported = false),
        ("bound", |k| k.database.bound = false),
        ("margin", |k| k.database.margin = 0),
        ("waits_for_strict", |k| k.edge.waits_for_strict = false),
        ("fenced", |k| k.edge.fenced = false),
        ("keeps_epochs", |k| k.edge.keeps_epochs = false),
        ("awaits_health", |k| k.replica.awaits_health = false),
        ("extends_leases", |k| k.replica.extends_leases = false),
        ("era", |k| k.database.era = false),
        ("neither", |k| {
            k.replica.extends_leases = false;
            k.replica.awaits_health = false
        }),
        ("compares_other", |k| k.replica.compares_other = false),
    ];
    for (name, mutate) in mutants {
        let mut keeps = Keeps::default();
        mutate(&mut keeps);
        let found: Vec<_> = (0..count)
            .filter_map(|seed| run(seed, keeps, false).err())
            .collect();
        println!(
            "{name}: {} of {count}, first {:?}",
            found.len(),
            found.first().map(|f| (f.seed, f.what.clone()))
        );
    }
}
