//! The table as Markdown.

use std::{fmt::Write as _, fs};

use anyhow::{Context, ensure};
use headworks_testkit::{interop::Verdict, tool};

use super::Line;

const README: &str = "crates/xtask/src/interop/README.md";
const BEGIN: &str = "<!-- cargo xtask interop --write: begin -->\n";
const END: &str = "<!-- cargo xtask interop --write: end -->\n";

/// One sign for each verdict.
pub(super) fn mark(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✓",
        Verdict::Failed(_) => "✗",
        Verdict::Skipped(_) => "skipped",
    }
}

/// One line for each row, and the sum.
pub(super) fn markdown(lines: &[Line], seconds: u32) -> String {
    let mut text = String::from(
        "| peer | direction | protocol | codecs | transport | frames | errors | A/V offset, ms | composition times kept | result |\n\
         | --- | --- | --- | --- | --- | ---: | ---: | ---: | --- | --- |\n",
    );
    for line in lines {
        text.push_str(&of_line(line));
    }
    let count = |wanted: &str| {
        let marks = lines.iter().map(|(_, outcome)| mark(&outcome.verdict));
        marks.filter(|mark| *mark == wanted).count()
    };
    let _ = writeln!(
        text,
        "\n{} passed, {} failed, {} skipped; {seconds} s of each.",
        count("✓"),
        count("✗"),
        count("skipped")
    );
    text
}

fn of_line((row, outcome): &Line) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let reason = match outcome.reason().replace('|', "/") {
        reason if reason.is_empty() => reason,
        reason => format!(" {reason}"),
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {}{reason} |\n",
        row.peer,
        row.role(),
        row.protocol,
        row.clip.name(),
        row.transport,
        or_dash(outcome.pictures.map(|pictures| pictures.to_string())),
        outcome.errors.len(),
        or_dash(outcome.offset_ms.map(|offset| format!("{offset:+.0}"))),
        or_dash(outcome.composition.map(|kept| yes_or_no(kept).to_owned())),
        mark(&outcome.verdict),
    )
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// Puts the table into the README.
pub(super) fn write_readme(table: &str) -> anyhow::Result<()> {
    let path = tool::workspace().join(README);
    let text = fs::read_to_string(&path).with_context(|| format!("read {README}"))?;
    fs::write(&path, replaced(&text, table)?).with_context(|| format!("write {README}"))
}

fn replaced(text: &str, table: &str) -> anyhow::Result<String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    ensure!(parts.is_some(), "{README} has no place for the table");
    let (before, after) = parts.unwrap_or_default();
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_last_one() {
        let text = format!("a\n{BEGIN}old\n{END}b\n");
        let expected = format!("a\n{BEGIN}new\n{END}b\n");
        assert_eq!(replaced(&text, "new\n").expect("has a place"), expected);
        assert!(replaced("nothing", "new").is_err());
    }

    #[test]
    fn the_readme_has_a_place_for_the_table() {
        let text = fs::read_to_string(tool::workspace().join(README)).expect("is there");
        replaced(&text, "").expect("has a place");
    }
}
