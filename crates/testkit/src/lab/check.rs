//! Judges a history. Pure: entries in, verdicts out.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, What, history::FPS};

/// A connection that has brought more has brought media: handshake and commands are shorter.
const PUSHING: u64 = 8 << 10;

/// How far behind the camera a viewer may be, in seconds.
const BEHIND: f64 = 2.0;

/// What one viewer saw between two times.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Viewing {
    /// Different pictures.
    pub pictures: u64,
    /// Pictures of the camera that it did not see: after those that it had seen before, and up to the
    /// last that it saw, or must have seen by the end.
    pub lost: u64,
    /// Pictures that it saw again.
    pub repeated: u64,
    /// Pictures that could not be read.
    pub broken: u64,
    /// How often its player ended: it had to connect anew.
    pub interruptions: u64,
    /// The longest time without a picture, in seconds.
    pub longest_gap: f64,
}

/// What `viewer` saw from the time `from` until the time `until`.
#[must_use]
pub fn viewing(history: &[Entry], viewer: &str, from: f64, until: f64) -> Viewing {
    let mut seen = BTreeSet::new();
    let mut viewing = Viewing::default();
    let mut last = from;
    let of_viewer = |entry: &&Entry| entry.actor == viewer;
    let number = |entry: &Entry| match entry.what {
        What::Picture { number } => Some(number),
        _ => None,
    };
    let before = between(history, 0.0, from)
        .filter(of_viewer)
        .filter_map(number)
        .max();
    for entry in between(history, from, until).filter(of_viewer) {
        match &entry.what {
            What::Picture { number } => {
                if !seen.insert(*number) {
                    viewing.repeated += 1;
                }
                viewing.longest_gap = viewing.longest_gap.max(entry.at - last);
                last = entry.at;
            }
            What::Broken => viewing.broken += 1,
            What::Ended { .. } => viewing.interruptions += 1,
            _ => {}
        }
    }
    viewing.longest_gap = viewing.longest_gap.max(until - last);
    viewing.pictures = seen.len() as u64;
    let due = ((until - BEHIND) * f64::from(FPS)) as u64;
    let last = seen.last().copied().unwrap_or(0).max(due);
    let first = before.map(|before| before + 1).or(seen.first().copied());
    if let Some(first) = first {
        // What comes again later counts as seen, not as lost.
        viewing.lost = (first..=last)
            .filter(|number| !seen.contains(number))
            .count() as u64;
    }
    viewing
}

/// How many seconds after `fault` one of the viewers saw a picture that the camera made after it.
#[must_use]
pub fn back(history: &[Entry], viewers: &[&str], fault: f64) -> Option<f64> {
    let newer = fault * f64::from(FPS);
    between(history, fault, f64::INFINITY)
        .filter(|entry| viewers.contains(&&*entry.actor))
        .find(|entry| matches!(entry.what, What::Picture { number } if number as f64 > newer))
        .map(|entry| entry.at - fault)
}

/// What the API made of changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Changes that it acknowledged.
    pub acknowledged: u64,
    /// Changes of which nobody knows.
    pub unanswered: u64,
    /// The longest time without an acknowledgement, in seconds.
    pub longest_gap: f64,
    /// Acknowledged changes that are not there in the end, in words.
    pub lost: Vec<String>,
}

/// Compares what was acknowledged with what was found at the end. One program at a time changes an
/// object, and waits for the answer. In the end the object must be as it was acknowledged last, or
/// as somebody asked for after that without an answer.
#[must_use]
pub fn changes(history: &[Entry]) -> Changes {
    let mut changes = Changes::default();
    // What each object may be; the first is what was acknowledged.
    let mut may_be: BTreeMap<&str, Vec<Option<u64>>> = BTreeMap::new();
    let mut found: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    let mut last = None;
    for entry in history {
        match &entry.what {
            What::Asked { object, value } => {
                let none = || vec![None];
                may_be.entry(object).or_insert_with(none).push(*value);
            }
            What::Acknowledged { object, value } => {
                may_be.insert(object, vec![*value]);
                changes.acknowledged += 1;
                let gap = last.map_or(0.0, |last| entry.at - last);
                changes.longest_gap = changes.longest_gap.max(gap);
                last = Some(entry.at);
            }
            What::Refused { object, .. } => {
                // It was the last that was asked for.
                may_be.entry(object).and_modify(|values| {
                    if values.len() > 1 {
                        values.pop();
                    }
                });
            }
            What::Unanswered { .. } => changes.unanswered += 1,
            What::Found { object, value } => {
                found.insert(object, *value);
            }
            _ => {}
        }
    }
    for (object, values) in may_be {
        match found.get(object) {
            Some(value) if values.contains(value) => {}
            Some(value) => changes.lost.push(format!(
                "{object} is {}, and was acknowledged as {}",
                word(*value),
                word(values[0])
            )),
            None => changes.lost.push(format!("nobody looked for {object}")),
        }
    }
    changes
}

fn word(value: Option<u64>) -> String {
    value.map_or("gone".to_owned(), |value| value.to_string())
}

/// Times when two sources pushed at once, in words: both had brought media, and the one that began
/// earlier went on after the other had begun.
#[must_use]
pub fn double_pushes(history: &[Entry]) -> Vec<String> {
    struct Push<'a> {
        from: &'a str,
        began: Option<f64>,
        last: f64,
    }
    let mut pushes: BTreeMap<u64, Push<'_>> = BTreeMap::new();
    for entry in history {
        match &entry.what {
            What::PushOpened { connection, from } => {
                let push = Push {
                    from,
                    began: None,
                    last: entry.at,
                };
                pushes.insert(*connection, push);
            }
            What::Pushed { connection, bytes } => {
                if let Some(push) = pushes.get_mut(connection) {
                    push.last = entry.at;
                    if *bytes >= PUSHING {
                        push.began.get_or_insert(entry.at);
                    }
                }
            }
            _ => {}
        }
    }
    let pushing: Vec<_> = pushes
        .iter()
        .filter_map(|(number, push)| Some((number, push.from, push.began?, push.last)))
        .collect();
    let mut found = Vec::new();
    for (at, one) in pushing.iter().enumerate() {
        for two in &pushing[at + 1..] {
            let overlap = one.3.min(two.3) - one.2.max(two.2);
            if one.1 != two.1 && overlap > 0.0 {
                found.push(format!(
                    "{} and {} pushed at once for {overlap:.3} s (connections {} and {})",
                    one.1, two.1, one.0, two.0
                ));
            }
        }
    }
    found
}

/// How many connections have brought media.
#[must_use]
pub fn pushes(history: &[Entry]) -> usize {
    let brought = history.iter().filter_map(|entry| match entry.what {
        What::Pushed { connection, bytes } if bytes >= PUSHING => Some(connection),
        _ => None,
    });
    brought.collect::<BTreeSet<_>>().len()
}

fn between(history: &[Entry], from: f64, until: f64) -> impl Iterator<Item = &Entry> {
    let inside = move |entry: &&Entry| (from..=until).contains(&entry.at);
    history.iter().filter(inside)
}
