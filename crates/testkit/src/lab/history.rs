//! What everybody in a lab did and saw, and when: one line of JSON for each. [`check`](super::check)
//! judges it.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::{Stopwatch, deadline::unix_time, process::lock};

/// Pictures a second of every camera in a lab.
pub const FPS: u32 = 15;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since the history began.
    pub at: f64,
    /// Who did or saw it.
    pub actor: String,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// Something was broken.
    Fault {
        /// In words.
        fault: String,
    },
    /// It was mended.
    Mended {
        /// In words.
        fault: String,
    },
    /// A viewer's player was started.
    Connected {
        /// Where it watches.
        url: String,
    },
    /// It decoded a picture.
    Picture {
        /// Counted by the camera.
        number: u64,
    },
    /// It decoded a picture whose number cannot be read.
    Broken,
    /// It ended by itself.
    Ended {
        /// Its last words.
        why: String,
    },
    /// A program asks the API for a change: from now on the object may be so.
    Asked {
        /// Which object.
        object: String,
        /// What it is to be; none: gone.
        value: Option<u64>,
    },
    /// The API has said that it is so.
    Acknowledged {
        /// Which object.
        object: String,
        /// What it is; none: gone.
        value: Option<u64>,
    },
    /// It was not done for sure.
    Refused {
        /// Which object.
        object: String,
        /// What it was to be.
        value: Option<u64>,
    },
    /// Nobody knows whether it was done.
    Unanswered {
        /// Which object.
        object: String,
        /// What it was to be.
        value: Option<u64>,
    },
    /// At the end, it is so.
    Found {
        /// Which object.
        object: String,
        /// What it is; none: gone.
        value: Option<u64>,
    },
    /// Somebody connects to push.
    PushOpened {
        /// Which connection.
        connection: u64,
        /// From where.
        from: String,
    },
    /// Bytes came.
    Pushed {
        /// Which connection.
        connection: u64,
        /// How many, since it was opened.
        bytes: u64,
    },
    /// It is gone.
    PushClosed {
        /// Which connection.
        connection: u64,
    },
}

/// A history that is being written. Clones write into the same.
#[derive(Debug, Clone)]
pub struct History {
    inner: Arc<Mutex<Inner>>,
    watch: Stopwatch,
    /// Seconds of Unix.
    began: f64,
}

#[derive(Debug)]
struct Inner {
    entries: Vec<Entry>,
    file: BufWriter<File>,
}

impl History {
    /// Begins one, which is also written to this file.
    pub fn begin(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self {
            inner: Arc::new(Mutex::new(Inner {
                entries: Vec::new(),
                file: BufWriter::new(file),
            })),
            watch: Stopwatch::start(),
            began: unix_time(),
        })
    }

    /// When it began, in seconds of Unix: cameras number their pictures since then.
    #[must_use]
    pub fn began(&self) -> f64 {
        self.began
    }

    /// Seconds since then.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.watch.elapsed().as_secs_f64()
    }

    /// The number of the picture that a camera makes now.
    #[must_use]
    pub fn pictures(&self) -> u64 {
        (self.watch.elapsed().as_millis() * u128::from(FPS) / 1000)
            .try_into()
            .unwrap_or(u64::MAX)
    }

    /// Adds an entry.
    pub fn write(&self, actor: &str, what: What) {
        let mut inner = lock(&self.inner);
        // Under the lock: times never fall.
        let entry = Entry {
            at: self.now(),
            actor: actor.to_owned(),
            what,
        };
        if let Ok(line) = serde_json::to_string(&entry) {
            let _ = writeln!(inner.file, "{line}");
        }
        inner.entries.push(entry);
    }

    /// Everything so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut inner = lock(&self.inner);
        let _ = inner.file.flush();
        inner.entries.clone()
    }
}
