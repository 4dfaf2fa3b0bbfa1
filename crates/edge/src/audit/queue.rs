//! The queue on the disk: files of lines, which only grow, and are deleted when they are delivered.
//!
//! A record is in the file, and so safe from the end of this process, when [`Queue::append`]
//! returns. It is safe from the end of the machine when [`Queue::sync`] does, which is once a second
//! and before anything is delivered: no number is ever given to two records that a controller sees.
//! What a crash has cut off is the end of the last file, and is cut away. Files that somebody has
//! deleted are passed over, and what was in them is lost.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
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
    /// What records that nobody has seen counted when they were thrown away; to be told.
    lost: u64,
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
        let mut segments = list(directory)?;
        let id = identity(directory, segments.is_empty())?;
        let done = match file::read(&directory.join("done"))? {
            Some(text) => String::from_utf8_lossy(&text).trim().parse().unwrap_or(0),
            None => 0,
        };
        let (last, next) = match segments.back_mut() {
            Some(segment) => reopen(directory, segment)?,
            None => {
                segments.push_back(Segment { first: 1, bytes: 0 });
                (create(directory, 1)?, 1)
            }
        };
        // The file that had the numbers up to there may be lost: they were used all the same.
        let next = next.max(done + 1);
        Ok(Self {
            directory: directory.to_owned(),
            id,
            limit: limit.max(1 << 12),
            segments,
            last,
            next,
            done,
            lost: 0,
            is_dirty: false,
        })
    }

    /// What its numbers belong to.
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Numbers the record and writes it. To make room, the oldest go.
    ///
    /// # Errors
    /// When it cannot be written even so.
    pub(super) fn append(&mut self, entry: &mut AuditEntry) -> io::Result<()> {
        entry.sequence = self.next;
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let size = line.len() as u64;
        let segment = SEGMENT.min(self.limit / 8);
        if self.back().bytes > 0 && self.back().bytes + size > segment {
            self.rotate().or_else(|_| {
                self.drop_oldest();
                self.rotate()
            })?;
        }
        while self.bytes() + size > self.limit && self.segments.len() > 1 {
            self.drop_oldest();
        }
        while let Err(error) = self.last.write_all(&line) {
            // Half a line must not stay.
            self.last.set_len(self.back().bytes)?;
            if self.segments.len() == 1 {
                return Err(error);
            }
            self.drop_oldest();
        }
        self.is_dirty = true;
        self.next += 1;
        if let Some(back) = self.segments.back_mut() {
            back.bytes += size;
        }
        Ok(())
    }

    /// What the records counted that were thrown away since this was asked last.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
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
        self.pass_over_missing()?;
        let mut found = Vec::new();
        let mut size = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            let end = self.segments.get(index + 1).map_or(self.next, |s| s.first);
            if end <= self.done + 1 {
                continue;
            }
            let content = fs::read(path(&self.directory, segment.first))?;
            for (length, entry) in records(&content) {
                if entry.sequence <= self.done {
                    continue;
                }
                size += length;
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

    /// Deletes the oldest file, unless it is the only one. What nobody has seen of it is lost.
    fn drop_oldest(&mut self) {
        if self.segments.len() < 2 {
            return;
        }
        let Some(oldest) = self.segments.pop_front() else {
            return;
        };
        let until = self.segments.front().map_or(self.next, |s| s.first);
        if until > self.done + 1 {
            self.lost += self.unseen(oldest, until);
            self.done = until - 1;
        }
        // One that cannot be deleted is found again at the next start.
        let _ = fs::remove_file(path(&self.directory, oldest.first));
    }

    /// What the records of a file count that nobody has seen, of numbers below `until`.
    fn unseen(&self, segment: Segment, until: i64) -> u64 {
        let numbers = until - segment.first.max(self.done + 1);
        match fs::read(path(&self.directory, segment.first)) {
            Ok(content) => records(&content)
                .filter(|(_, entry)| entry.sequence > self.done)
                .map(|(_, entry)| entry.count)
                .sum(),
            // Each was one at least.
            Err(_) => u64::try_from(numbers).unwrap_or(0),
        }
    }

    /// Forgets files that somebody has deleted; in the place of the last one comes another.
    fn pass_over_missing(&mut self) -> io::Result<()> {
        let directory = self.directory.clone();
        let is_missing = |segment: &Segment| {
            let found = fs::metadata(path(&directory, segment.first));
            found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        if !self.segments.iter().any(is_missing) {
            return Ok(());
        }
        tracing::error!(
            directory = %directory.display(),
            "files of the audit log's queue were deleted; what was in them is lost"
        );
        // Behind the last record, so that each that is there has an end.
        if self.segments.back().is_some_and(is_missing) {
            self.last = create(&directory, self.next)?;
            if self.back().first == self.next {
                self.segments.pop_back();
            }
            self.segments.push_back(Segment {
                first: self.next,
                bytes: 0,
            });
        }
        let all = std::mem::take(&mut self.segments);
        let ends: Vec<_> = all.iter().skip(1).map(|s| s.first).collect();
        for (segment, until) in all.iter().zip(ends) {
            if is_missing(segment) {
                self.lost += self.unseen(*segment, until);
            } else {
                self.segments.push_back(*segment);
            }
        }
        self.segments.extend(all.back());
        Ok(())
    }
}

/// The records in a file, with their lengths. What is damaged is passed over: it will not get
/// better.
fn records(content: &[u8]) -> impl Iterator<Item = (usize, AuditEntry)> {
    content.split(|byte| *byte == b'\n').filter_map(|line| {
        let entry = serde_json::from_slice(line).ok()?;
        Some((line.len(), entry))
    })
}

fn path(directory: &Path, first: i64) -> PathBuf {
    directory.join(format!("{first:020}.log"))
}

/// The queue's id, drawn when it is made, and anew when all of its files are lost: the numbers that
/// they had must not come again under the same id.
fn identity(directory: &Path, is_empty: bool) -> anyhow::Result<Uuid> {
    let path = directory.join("id");
    if let Some(text) = file::read(&path)?
        && !is_empty
    {
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
    let numbers = records(&content[..whole]).map(|(_, entry)| entry.sequence);
    let next = numbers.max().map_or(segment.first, |last| last + 1);
    let file = File::options().append(true).open(&path)?;
    segment.bytes = whole as u64;
    file.set_len(segment.bytes)?;
    Ok((file, next))
}
