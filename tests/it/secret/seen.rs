//! What can be seen of a run from outside, in files of one directory.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use headworks_testkit::http;
use serde_json::Value;

/// The directory.
pub(super) struct Seen(tempfile::TempDir);

impl Seen {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Checks that there is really something to see in the file: what is no secret.
    pub(super) fn shows(&self, file: &str, there: &str) {
        let bytes = fs::read(self.file(file)).expect("is there");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(there), "nothing to see in {file}");
    }

    /// Keeps an answer.
    pub(super) fn record(&self, answer: &http::Answer, what: &str) -> Value {
        let mut text = format!("{what}: {}\n", answer.status);
        for (name, value) in &answer.headers {
            let _ = writeln!(text, "{name}: {value}");
        }
        self.keep("answers", &[text.as_bytes(), &answer.body].concat());
        answer.json().unwrap_or_default()
    }

    pub(super) fn keep(&self, file: &str, bytes: &[u8]) {
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.file(file));
        let mut file = file.expect("opens");
        file.write_all(bytes).expect("writes");
        file.write_all(b"\n").expect("writes");
    }

    /// The arguments of our processes and of all that they have started.
    pub(super) fn cmdlines(&self, mut ours: Vec<u32>) -> String {
        let mut lines = String::new();
        let processes = processes();
        loop {
            let count = ours.len();
            for (pid, parent, _) in &processes {
                if ours.contains(parent) && !ours.contains(pid) {
                    ours.push(*pid);
                }
            }
            if ours.len() == count {
                break;
            }
        }
        for (_, _, line) in processes.iter().filter(|(pid, ..)| ours.contains(pid)) {
            lines.push_str(line);
            lines.push('\n');
        }
        self.keep("cmdlines", lines.as_bytes());
        lines
    }
}

/// Numbers, parents' numbers and arguments of all processes.
fn processes() -> Vec<(u32, u32, String)> {
    let entries = fs::read_dir("/proc").expect("there is /proc");
    let read = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let parent = fields.split_whitespace().nth(1)?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        Some((pid, parent, line))
    };
    entries.flatten().filter_map(read).collect()
}
