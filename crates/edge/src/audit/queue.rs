//! The queue on the disk: files of lines, which only grow, and are deleted when they are delivered.
//!
//! A record is in the file, and so safe from the end of this process, when [`Queue::append`]
//! returns. It is safe from the end of the machine when [`Queue::sync`] does, which is once a second
//! and before anything is delivered: no number is ever given to two records that a controller sees.
//! What a crash has cut off is the end of the last file, and is cut away.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use headworks_bootstrap::file;
use headworks_types::edge::AuditEntry;
use uuid::Uuid;

/// A file is this long at most, or an eighth of all.
const SEGMENT: u64 = 1 << 20;

/// One file: the records from this number up to the next file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    first: i64,
    bytes: u64,
}

/// The queue. Its files belong to it alone.
pub(super) struct Queue {
    directory: PathBuf,
    id: Uuid,
    /// All files together, bytes.
    limit: u64,
    /// Oldest first; never none. The last one is never deleted: it knows the next number.
    segments: VecDeque<Segment>,
    last: File,
    next: i64,
    /// Everything up to here is delivered or thrown away.
    done: i64,
    is_dirty: bool,
}

impl Queue {
    /// Opens the queue in this directory, or makes one.
    ///
    /// # Errors
    /// What is wrong with the directory.
    pub(super) fn open(directory: &Path, limit: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("make the directory {}", directory.display()))?;
        let id = identity(directory)?;
        let done = match file::read(&directory.join("done"))? {
            Some(text) => String::from_utf8_lossy(&text).trim().parse().unwrap_or(0),
            None => 0,
        };
        let mut segments = list(directory)?;
        let (last, next) = match segments.back_mut() {
            Some(segment) => reopen(directory, segment)?,
            None => {
                segments.push_back(Segment { first: 1, bytes: 0 });
                (create(directory, 1)?, 1)
            }
        };
        Ok(Self {
            directory: directory.to_owned(),
            id,
            limit: limit.max(1 << 12),
            segments,
            last,
            next,
            done: done.min(next - 1),
            is_dirty: false,
        })
    }

    /// What its numbers belong to.
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Numbers the record and writes it. To make room, the oldest go; returns how many did that
    /// nobody has seen.
    ///
    /// # Errors
    /// When it cannot be written even so.
    pub(super) fn append(&mut self, entry: &mut AuditEntry) -> io::Result<u64> {
        entry.sequence = self.next;
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let size = line.len() as u64;
        let mut dropped = 0;
        let segment = SEGMENT.min(self.limit / 8);
        if self.back().bytes > 0 && self.back().bytes + size > segment {
            self.rotate().or_else(|_| {
                dropped += self.drop_oldest();
                self.rotate()
            })?;
        }
        while self.bytes() + size > self.limit && self.segments.len() > 1 {
            dropped += self.drop_oldest();
        }
        while let Err(error) = self.last.write_all(&line) {
            // Half a line must not stay.
            self.last.set_len(self.back().bytes)?;
            if self.segments.len() == 1 {
                return Err(error);
            }
            dropped += self.drop_oldest();
        }
        self.is_dirty = true;
        self.next += 1;
        if let Some(back) = self.segments.back_mut() {
            back.bytes += size;
        }
        Ok(dropped)
    }

    /// Makes what was written outlive the machine's power.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.last.sync_data()?;
            self.is_dirty = false;
        }
        Ok(())
    }

    /// The oldest records that are not delivered, at most so many and about so many bytes of them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn peek(&mut self, most: usize, bytes: usize) -> anyhow::Result<Vec<AuditEntry>> {
        self.sync()?;
        let mut found = Vec::new();
        let mut size = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            let end = self.segments.get(index + 1).map_or(self.next, |s| s.first);
            if end <= self.done + 1 {
                continue;
            }
            let content = fs::read(path(&self.directory, segment.first))?;
            for line in content.split(|byte| *byte == b'\n') {
                // What is damaged is passed over: it will not get better.
                let Ok(entry) = serde_json::from_slice::<AuditEntry>(line) else {
                    continue;
                };
                if entry.sequence <= self.done {
                    continue;
                }
                size += line.len();
                if found.len() == most || (size > bytes && !found.is_empty()) {
                    return Ok(found);
                }
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// Everything up to this number is delivered.
    ///
    /// # Errors
    /// When that cannot be remembered: then it is delivered again after a restart, which does no
    /// harm.
    pub(super) fn forget(&mut self, sequence: i64) -> anyhow::Result<()> {
        self.done = self.done.max(sequence.min(self.next - 1));
        while self
            .segments
            .get(1)
            .is_some_and(|s| s.first <= self.done + 1)
        {
            self.drop_oldest();
        }
        let text = self.done.to_string();
        file::write(&self.directory.join("done"), text.as_bytes())
    }

    fn back(&self) -> Segment {
        let empty = Segment {
            first: self.next,
            bytes: 0,
        };
        self.segments.back().copied().unwrap_or(empty)
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Begins another file.
    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        self.last = create(&self.directory, self.next)?;
        self.segments.push_back(Segment {
            first: self.next,
            bytes: 0,
        });
        Ok(())
    }

    /// Deletes the oldest file, unless it is the only one; returns how many of its records nobody
    /// has seen.
    fn drop_oldest(&mut self) -> u64 {
        if self.segments.len() < 2 {
            return 0;
        }
        let Some(oldest) = self.segments.pop_front() else {
            return 0;
        };
        // One that cannot be deleted is found again at the next start.
        let _ = fs::remove_file(path(&self.directory, oldest.first));
        let until = self.back_of_front();
        let unseen = until - oldest.first.max(self.done + 1);
        self.done = self.done.max(until - 1);
        u64::try_from(unseen).unwrap_or(0)
    }

    fn back_of_front(&self) -> i64 {
        self.segments.front().map_or(self.next, |front| front.first)
    }
}

fn path(directory: &Path, first: i64) -> PathBuf {
    directory.join(format!("{first:020}.log"))
}

/// The queue's id, drawn when it is made.
fn identity(directory: &Path) -> anyhow::Result<Uuid> {
    let path = directory.join("id");
    if let Some(text) = file::read(&path)? {
        let text = String::from_utf8_lossy(&text);
        if let Ok(id) = text.trim().parse() {
            return Ok(id);
        }
        tracing::error!(path = %path.display(), "the id of the audit queue is damaged; a new one");
    }
    let id = Uuid::new_v4();
    file::write(&path, id.to_string().as_bytes())?;
    Ok(id)
}

fn create(directory: &Path, first: i64) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path(directory, first))?;
    // The file's name, too, must outlive the machine's power.
    File::open(directory)?.sync_all()?;
    Ok(file)
}

/// The files that are there.
fn list(directory: &Path) -> anyhow::Result<VecDeque<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".log"));
        let Some(first) = first.and_then(|first| first.parse().ok()) else {
            continue;
        };
        let bytes = entry.metadata()?.len();
        segments.push(Segment { first, bytes });
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments.into())
}

/// Opens the last file, cuts off what is half, and finds the next number.
fn reopen(directory: &Path, segment: &mut Segment) -> anyhow::Result<(File, i64)> {
    let path = path(directory, segment.first);
    let content = fs::read(&path)?;
    let whole = content.iter().rposition(|byte| *byte == b'\n');
    let whole = whole.map_or(0, |at| at + 1);
    let lines = content[..whole].split(|byte| *byte == b'\n');
    let numbers = lines.filter_map(|line| {
        let entry = serde_json::from_slice::<AuditEntry>(line).ok()?;
        Some(entry.sequence)
    });
    let next = numbers.max().map_or(segment.first, |last| last + 1);
    let file = File::options().append(true).open(&path)?;
    segment.bytes = whole as u64;
    file.set_len(segment.bytes)?;
    Ok((file, next))
}
