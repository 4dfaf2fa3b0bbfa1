//! Puts figures into `README.md`, between two marks of each benchmark.

use std::fs;

use anyhow::Context;
use headworks_testkit::tool;

const README: &str = "crates/xtask/src/bench/README.md";

/// Replaces what stands between the marks of `name`.
pub(super) fn write(name: &str, figures: &str) -> anyhow::Result<()> {
    let file = tool::workspace().join(README);
    let text = fs::read_to_string(&file).with_context(|| format!("read {README}"))?;
    let text = replace(&text, name, figures)?;
    fs::write(&file, text).with_context(|| format!("write {README}"))
}

fn replace(text: &str, name: &str, figures: &str) -> anyhow::Result<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let at = text.find(&begin).with_context(|| format!("no {begin:?}"))? + begin.len();
    let until = text[at..]
        .find(&end)
        .with_context(|| format!("no {end:?}"))?
        + at;
    let (before, after) = (&text[..at], &text[until..]);
    Ok(format!("{before}```\n{}\n```\n{after}", figures.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n";
        let once = replace(text, "x", "new\n").expect("has marks");
        assert_eq!(
            once,
            "a\n<!-- x -->\n```\nnew\n```\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n"
        );
        assert_eq!(replace(&once, "x", "new").expect("has marks"), once);
        assert!(replace(text, "z", "new").is_err());
    }
}
