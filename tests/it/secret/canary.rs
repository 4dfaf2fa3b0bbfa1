//! Secrets that can be recognised wherever they turn up.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::{BuildHasher, Hasher},
    path::Path,
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// Secrets, and what each is.
#[derive(Default)]
pub(super) struct Canaries(Vec<(String, String)>);

impl Canaries {
    /// Makes a secret that nobody else has.
    pub(super) fn make(&mut self, what: &str) -> String {
        let random = || RandomState::new().build_hasher().finish();
        let secret = format!("canary{:016x}{:016x}", random(), random());
        self.know(what, &secret);
        secret
    }

    /// Takes a secret that was given to us.
    pub(super) fn know(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= 16, "{what} can be found by chance");
        self.0.push((what.to_owned(), secret.to_owned()));
    }

    /// Takes what is secret of `<prefix>_<lookup>_<secret>`.
    pub(super) fn know_key(&mut self, what: &str, key: &str) {
        let secret = key.splitn(3, '_').nth(2).expect("has three parts");
        // The join token's fingerprint is no secret.
        let secret = secret.split('.').next().unwrap_or(secret);
        self.know(what, secret);
    }

    /// Takes what is secret of a signed token.
    pub(super) fn know_token(&mut self, what: &str, token: &str) {
        let (_, signature) = token.rsplit_once('.').expect("is signed");
        self.know(what, signature);
    }

    /// Where in the files of this directory any of them stands, in whatever form.
    pub(super) fn found_in(&self, directory: &Path) -> Vec<String> {
        let forms: Vec<_> = self
            .0
            .iter()
            .flat_map(|(what, secret)| forms(secret).map(move |form| (what, form)))
            .collect();
        let patterns = tempfile::NamedTempFile::new().expect("a file");
        let lines: Vec<_> = forms.iter().map(|(_, form)| form.as_str()).collect();
        fs::write(patterns.path(), lines.join("\n")).expect("writes");
        let output = Command::new("grep")
            .args(["--recursive", "--text", "--fixed-strings", "--file"])
            .arg(patterns.path())
            .arg(directory)
            .output()
            .expect("grep runs");
        assert!(output.status.code() < Some(2), "{output:?}");
        let lines = String::from_utf8_lossy(&output.stdout);
        let name = |line: &str| {
            let found = forms.iter().find(|(_, form)| line.contains(form.as_str()));
            let (what, form) = found.map_or(("", ""), |(what, form)| (what, form));
            let (before, after) = line.split_once(form).unwrap_or((line, ""));
            let before: String = before.chars().rev().take(300).collect();
            let before: String = before.chars().rev().collect();
            let after: String = after.chars().take(300).collect();
            format!("{what}: {before}<HERE>{after}")
        };
        lines.lines().map(name).collect()
    }
}

/// As it is, in hexadecimal digits (as PostgreSQL dumps bytes), and within base64 text, where it
/// may begin at each of three places.
fn forms(secret: &str) -> impl Iterator<Item = String> {
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = (0..3).map(move |shift| {
        let text = format!("{}{secret}", "-".repeat(shift));
        let encoded = STANDARD_NO_PAD.encode(&text);
        // The first and last characters also depend on the neighbours.
        let end = text.len() / 3 * 4;
        encoded[4.min(shift * 4)..end].to_owned()
    });
    [secret.to_owned(), hex]
        .into_iter()
        .chain(base64.collect::<Vec<_>>())
}

#[test]
fn every_form_is_found() {
    let mut canaries = Canaries::default();
    let secret = canaries.make("a password");
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(canaries.found_in(directory.path()), Vec::<String>::new());
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut texts = vec![format!("\0{secret}"), hex];
    for user in ["a", "ad", "adm"] {
        texts.push(STANDARD_NO_PAD.encode(format!("{user}:{secret}@")));
    }
    let count = texts.len();
    for (index, text) in texts.into_iter().enumerate() {
        let path = directory.path().join(index.to_string());
        fs::write(path, format!("before\n{text}\nafter")).expect("writes");
    }
    let found = canaries.found_in(directory.path());
    assert_eq!(found.len(), count, "{found:#?}");
}
