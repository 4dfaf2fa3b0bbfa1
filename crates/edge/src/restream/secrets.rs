//! Keeps what is secret out of logs and reports.

use url::Url;

/// Shorter parts of a URL are no secrets, and would take half of a sentence away.
const SHORTEST: usize = 4;

/// What may not stand in a text that people see.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// What `whole`, the URL that is connected to, has more than `base`, and what else is known to
    /// be secret.
    pub(super) fn new<'a>(whole: &str, base: &Url, others: impl Iterator<Item = &'a str>) -> Self {
        let parts = |text: &str| -> Vec<String> {
            let parts = text.split(['/', '?', '&', '=', '-']);
            parts.map(str::to_owned).collect()
        };
        let known = parts(base.as_str());
        let mut found: Vec<_> = parts(whole)
            .into_iter()
            .filter(|part| !known.contains(part))
            .chain(others.flat_map(|other| [parts(other), vec![other.to_owned()]].concat()))
            .filter(|part| part.len() >= SHORTEST)
            .collect();
        // A part of another goes after it.
        found.sort_by_key(|part| std::cmp::Reverse(part.len()));
        found.dedup();
        Self(found)
    }

    /// The text with `…` in place of every secret.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "…");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_targets_repeat_of_a_url_is_hidden() {
        let base = "rtmp://push.example.com/live/cam1".parse().expect("parses");
        for whole in [
            "rtmp://push.example.com/live/cam1?auth_key=1444435200-0-0-80cd3862d699b7118eed99103f2a3a4f",
            "rtmp://push.example.com/201508150800/80cd3862d699b7118eed99103f2a3a4f/live/cam1",
            "rtmp://push.example.com/live/cam1/80cd3862d699b7118eed99103f2a3a4f?k=1",
        ] {
            let secrets = Secrets::new(whole, &base, ["p@ssword"].into_iter());
            let told = format!("no such stream: {whole} for p@ssword");
            let hidden = secrets.hide(&told);
            assert!(
                hidden.contains("no such stream: rtmp://push.example.com/"),
                "{hidden}"
            );
            assert!(!hidden.contains("80cd3862"), "{hidden}");
            assert!(!hidden.contains("p@ss"), "{hidden}");
        }
    }
}
