//! The figures as a table, for people and for `README.md`.

use std::fs;

use anyhow::Context;
use headworks_testkit::{lab::check::Viewing, tool};

use super::{Length, judge::Judged};

const README: &str = "crates/xtask/src/chaos/README.md";
const MARKS: [&str; 2] = ["<!-- table -->\n", "<!-- /table -->"];

/// All of them.
pub(super) fn markdown(judged: &[Judged], length: Length) -> String {
    let mut table = format!(
        "{} form.\n\n\
         | scenario | picture elsewhere, s | at the target, s | frames lost (longest gap, s) there | frames lost (longest gap, s) at edges \
         struck | at the others | interrupted there | changes acknowledged | lost | unanswered (longest \
         gap, s) | pushes | at once |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        match length {
            Length::Short => "Short",
            Length::Long => "Long",
        }
    );
    for one in judged {
        let cells = [
            one.name.to_owned(),
            time(one.back, one.bar),
            time(one.pushed, None),
            viewers(std::slice::from_ref(&one.audience)),
            viewers(&one.harmed),
            viewers(&one.unharmed),
            zero(one.interrupted()),
            one.changes.acknowledged.to_string(),
            zero(one.changes.lost.len() as u64),
            format!(
                "{} ({:.1})",
                one.changes.unanswered, one.changes.longest_gap
            ),
            one.pushes.to_string(),
            zero(one.double_pushes.len() as u64),
        ];
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

/// One of them, in words.
pub(super) fn line(one: &Judged) -> String {
    format!(
        "  picture elsewhere after {} s, at the target after {} s, lost there {}\n  \
         lost at edges struck: {}; at the others: {}, {} interrupted\n  \
         {} changes acknowledged, {} lost, {} unanswered, {:.1} s without an answer\n  \
         {} pushes, {} at once",
        time(one.back, one.bar),
        time(one.pushed, None),
        viewers(std::slice::from_ref(&one.audience)),
        viewers(&one.harmed),
        viewers(&one.unharmed),
        one.interrupted(),
        one.changes.acknowledged,
        one.changes.lost.len(),
        one.changes.unanswered,
        one.changes.longest_gap,
        one.pushes,
        one.double_pushes.len(),
    )
}

fn time(time: Option<f64>, bar: Option<f64>) -> String {
    let time_text = time.map_or("never".to_owned(), |time| format!("{time:.1}"));
    match bar {
        Some(bar) if time.is_none_or(|time| time > bar) => format!("{time_text} (over {bar:.0})"),
        _ => time_text,
    }
}

/// Frames lost and the longest gap of each.
fn viewers(all: &[Viewing]) -> String {
    let each = |one: &Viewing| format!("{} ({:.1})", one.lost, one.longest_gap);
    match all {
        [] => "–".to_owned(),
        _ => all.iter().map(each).collect::<Vec<_>>().join(", "),
    }
}

/// What must be zero stands out if it is not.
fn zero(count: u64) -> String {
    match count {
        0 => "0".to_owned(),
        count => format!("**{count}**"),
    }
}

/// Replaces what stands between the marks.
pub(super) fn write_readme(table: &str) -> anyhow::Result<()> {
    let file = tool::workspace().join(README);
    let text = fs::read_to_string(&file).with_context(|| format!("read {README}"))?;
    let text = replace(&text, table).with_context(|| format!("no marks in {README}"))?;
    fs::write(&file, text).with_context(|| format!("write {README}"))
}

fn replace(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = "a\n<!-- table -->\nold\n<!-- /table -->\nb\n";
        let once = replace(text, "new\n").expect("has marks");
        assert_eq!(once, "a\n<!-- table -->\nnew\n<!-- /table -->\nb\n");
        assert_eq!(replace(&once, "new\n"), Some(once));
        assert_eq!(replace("b", "new"), None);
    }

    #[test]
    fn what_is_over_its_bar_says_so() {
        assert_eq!(time(Some(3.04), Some(12.0)), "3.0");
        assert_eq!(time(Some(13.0), Some(12.0)), "13.0 (over 12)");
        assert_eq!(time(None, None), "never");
    }
}
