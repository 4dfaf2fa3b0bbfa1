//! Keeps what is secret out of logs and reports, also where somebody at the other end repeats it.

use url::{Url, form_urlencoded};

/// Shorter parts of a URL are no secrets, and would take half of a sentence away.
const SHORTEST: usize = 4;

/// What may not stand in a text that people see.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// Hidden wherever they stand, the longest first.
    anywhere: Vec<String>,
    /// Too short for that: hidden where they are a word.
    words: Vec<String>,
}

impl Secrets {
    /// What `whole`, the URL that is connected to, has more than `base`, and what else is `known` to
    /// be secret.
    pub(crate) fn new<'a>(
        whole: &'a str,
        base: &Url,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Self {
        let open = parts(base.as_str());
        let more = parts(whole).filter(|part| !open.clone().any(|open| open == *part));
        let mut secrets = Self::default();
        for part in more.chain(known.clone().flat_map(parts)) {
            secrets.add_long(part);
        }
        secrets.add_known(known)
    }

    /// Whole secrets.
    pub(crate) fn known<'a>(known: impl Iterator<Item = &'a str>) -> Self {
        Self::default().add_known(known)
    }

    fn add_known<'a>(mut self, known: impl Iterator<Item = &'a str>) -> Self {
        for secret in known {
            for form in forms(secret) {
                if form.len() >= SHORTEST {
                    self.anywhere.push(form);
                } else if !form.is_empty() {
                    self.words.push(form);
                }
            }
        }
        // A part of another goes after it.
        for list in [&mut self.anywhere, &mut self.words] {
            list.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
            list.dedup();
        }
        self
    }

    fn add_long(&mut self, part: &str) {
        let long = forms(part)
            .into_iter()
            .filter(|form| form.len() >= SHORTEST);
        self.anywhere.extend(long);
    }

    /// The text with `…` in place of every secret.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.anywhere {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "…");
            }
        }
        for secret in &self.words {
            text = without_word(&text, secret);
        }
        text
    }
}

fn parts(text: &str) -> std::str::Split<'_, [char; 5]> {
    text.split(['/', '?', '&', '=', '-'])
}

/// As it is, and as those at the other end may repeat it: decoded, or encoded in one of two ways.
fn forms(secret: &str) -> [String; 4] {
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent = form.replace('+', "%20");
    [secret.to_owned(), decoded(secret), form, percent]
}

/// Without percent encoding: by way of a query with one value.
fn decoded(text: &str) -> String {
    let query = format!("={}", text.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

/// `…` for the word, but not within longer ones.
fn without_word(text: &str, word: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in text.match_indices(word) {
        let end = at + word.len();
        let touches = text[..at].ends_with(char::is_alphanumeric)
            || text[end..].starts_with(char::is_alphanumeric);
        if !touches {
            out.push_str(&text[done..at]);
            out.push('…');
            done = end;
        }
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn other_forms_of_a_secret_are_hidden() {
        let base = "rtmp://push.example.com/live".parse().expect("parses");
        let whole = "rtmp://push.example.com/live/top%2Bsecret%3d";
        let secrets = Secrets::new(whole, &base, ["top%2Bsecret%3d"].into_iter());
        for told in ["top%2Bsecret%3d", "top+secret="] {
            assert_eq!(secrets.hide(&format!("no `{told}`")), "no `…`");
        }
        let login = Secrets::known(["pass word&1"].into_iter());
        for told in ["pass word&1", "pass+word%261", "pass%20word%261"] {
            assert_eq!(login.hide(&format!("?pass={told}")), "?pass=…");
        }
    }

    #[test]
    fn a_short_secret_is_hidden_but_not_within_words() {
        let secrets = Secrets::known(["abc", "1", ""].into_iter());
        assert_eq!(
            secrets.hide("abc: cannot abcd, dabc or é1 (abc,1) 10 abc"),
            "…: cannot abcd, dabc or é1 (…,…) 10 …"
        );
    }

    proptest! {
        #[test]
        fn nothing_known_is_told(secret in "[^…]{4,12}", before in ".{0,8}", after in ".{0,8}") {
            let secrets = Secrets::known([secret.as_str()].into_iter());
            let hidden = secrets.hide(&format!("{before}{secret}{after}"));
            prop_assert!(!hidden.contains(&secret), "{hidden}");
        }

        #[test]
        fn no_text_panics(secret in ".{0,3}", text in ".{0,20}") {
            let _ = Secrets::known([secret.as_str()].into_iter()).hide(&text);
        }
    }
}
