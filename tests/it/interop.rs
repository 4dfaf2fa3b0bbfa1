//! The quick rows of the interop matrix; `cargo xtask interop` runs all of them, and for longer.

use headworks_testkit::{
    Launch,
    interop::{Lab, rows},
};

/// Long enough for two flashes.
const SECONDS: u32 = 3;
/// Peers mostly wait.
const AT_ONCE: usize = 3;

#[test]
fn real_peers_publish_and_play() {
    let mut rows = rows();
    rows.retain(|row| row.quick);
    assert!(rows.len() > 5);
    let lab = Lab::start(Launch::default(), SECONDS).expect("starts");
    let outcomes = lab.run_all(&rows, AT_ONCE, |_, _, _| {});
    let failures: Vec<String> = rows
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| !outcome.passed())
        .map(|(row, outcome)| format!("{}: {:#?}", row.name(), outcome.verdict))
        .collect();
    assert!(
        failures.is_empty(),
        "{}\n{}",
        failures.join("\n"),
        lab.log()
    );
}
