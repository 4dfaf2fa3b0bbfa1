//! Who writes a stream. Several may want to at once: an ingest that connects while a relay still
//! feeds viewers, or the other way round. Nobody stops before its successor has a key frame.

use headworks_types::edge::SlotState;
use tokio::sync::watch;

use super::Status;

/// Who may take a stream from whom: what comes later here may take it from what comes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It goes on only until there is another.
    GivesWay,
    /// It repeats what another edge has.
    Relay,
    /// The camera itself.
    Own,
}

/// Among those of a class, who has begun last has the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    class: Class,
    session: u64,
}

/// All handles on a stream.
#[derive(Debug, Default)]
pub(super) struct Writers {
    handles: Vec<Handle>,
    current: Option<Current>,
    /// The last number given to a handle or a session.
    last: u64,
}

#[derive(Debug)]
struct Handle {
    number: u64,
    /// Its newest session.
    rank: Option<Rank>,
    gives_way: bool,
    status: Status,
    lost: watch::Sender<bool>,
}

/// Whose frames are written.
#[derive(Debug, Clone, Copy)]
struct Current {
    number: u64,
    rank: Rank,
}

impl Handle {
    fn rank(&self, rank: Rank) -> Rank {
        let class = if self.gives_way {
            Class::GivesWay
        } else {
            rank.class
        };
        Rank { class, ..rank }
    }
}

impl Writers {
    /// Another handle; gives its number, and what tells it when it has lost.
    pub(super) fn add(&mut self, status: Status) -> (u64, watch::Receiver<bool>) {
        self.last += 1;
        let (lost, receiver) = watch::channel(false);
        self.handles.push(Handle {
            number: self.last,
            rank: None,
            gives_way: false,
            status,
            lost,
        });
        (self.last, receiver)
    }

    /// A handle is gone.
    pub(super) fn remove(&mut self, number: u64) {
        self.handles.retain(|handle| handle.number != number);
        self.current = self.current.filter(|current| current.number != number);
    }

    /// All handles.
    #[cfg(test)]
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.handles.iter().map(|handle| handle.number).collect()
    }

    /// True if nobody writes, or will.
    pub(super) fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// A session of a handle begins; gives its number.
    pub(super) fn begin(&mut self, number: u64, class: Class) -> u64 {
        self.last += 1;
        let session = self.last;
        if let Some(handle) = self.handle(number) {
            handle.rank = Some(Rank { class, session });
        }
        session
    }

    /// From now on the handle goes on only until there is another.
    pub(super) fn give_way(&mut self, number: u64, gives_way: bool) {
        if let Some(handle) = self.handle(number) {
            handle.gives_way = gives_way;
        }
    }

    /// True if the handle has the stream.
    pub(super) fn is_of(&self, number: u64) -> bool {
        self.current.is_some_and(|current| current.number == number)
    }

    /// True if frames of this session are written.
    pub(super) fn is_at(&self, number: u64, session: u64) -> bool {
        self.current
            .is_some_and(|current| current.number == number && current.rank.session == session)
    }

    /// True if anybody has the stream.
    pub(super) fn has_writer(&self) -> bool {
        self.current.is_some()
    }

    /// Gives the stream to a handle's newest session, unless who has it goes before. Those who
    /// cannot get it any more are told.
    pub(super) fn take(&mut self, number: u64) -> bool {
        let found = self.handles.iter().find(|handle| handle.number == number);
        let Some((rank, mine)) = found.and_then(|me| Some((me.rank?, me.rank(me.rank?)))) else {
            return false;
        };
        let theirs = self.current.filter(|current| current.number != number);
        let theirs = theirs.and_then(|current| {
            let handle = self.handles.iter().find(|h| h.number == current.number)?;
            Some(handle.rank(current.rank))
        });
        let is_refused = theirs.is_some_and(|theirs| mine < theirs);
        for handle in &self.handles {
            let is_mine = handle.number == number;
            let has_lost = match handle.rank {
                _ if is_mine => is_refused,
                _ if is_refused => continue,
                Some(rank) => handle.rank(rank) < mine,
                // It may be a better relay that connects, but the camera itself is best.
                None => mine.class == Class::Own || handle.gives_way,
            };
            if is_mine || has_lost {
                handle
                    .lost
                    .send_if_modified(|lost| std::mem::replace(lost, has_lost) != has_lost);
            }
        }
        if !is_refused {
            self.current = Some(Current { number, rank });
        }
        !is_refused
    }

    /// What a handle says of itself.
    pub(super) fn status(&self, number: u64) -> Option<&Status> {
        let mut handles = self.handles.iter();
        let handle = handles.find(|handle| handle.number == number)?;
        Some(&handle.status)
    }

    /// The same, to change it.
    pub(super) fn status_mut(&mut self, number: u64) -> Option<&mut Status> {
        Some(&mut self.handle(number)?.status)
    }

    /// What the stream shows: what who has it says; before that, what the newest says. One that
    /// gives way counts only as long as it has something to show.
    pub(super) fn shown(&self) -> Option<&Status> {
        let current = self.current.and_then(|current| {
            let mut handles = self.handles.iter();
            handles.find(|handle| handle.number == current.number)
        });
        let is_worth = |handle: &&Handle| {
            !handle.gives_way || handle.status.state == SlotState::Live || self.handles.len() == 1
        };
        let shown = current.filter(is_worth).or(self.handles.last());
        shown.map(|handle| &handle.status)
    }

    fn handle(&mut self, number: u64) -> Option<&mut Handle> {
        let mut handles = self.handles.iter_mut();
        handles.find(|handle| handle.number == number)
    }
}
