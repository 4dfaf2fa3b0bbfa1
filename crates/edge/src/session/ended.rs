//! Which sessions were ended before their time: their tickets would be good for hours.
//!
//! The list is on disk too, so that a restart does not bring them back, and a controller need not
//! remember them for us. Only sessions with tickets are in it, until the tickets expire.

use std::{collections::HashMap, path::PathBuf};

use headworks_bootstrap::file;
use headworks_types::SessionId;

/// More than anybody ends in twelve hours; beyond, those go first that expire first.
const MOST: usize = 50_000;

/// Ended sessions, and until when their tickets would be good (seconds since 1970).
#[derive(Default)]
pub(super) struct Ended {
    path: Option<PathBuf>,
    sessions: HashMap<SessionId, i64>,
    is_unsaved: bool,
}

/// What is to be written.
pub(super) struct Unsaved {
    path: PathBuf,
    sessions: HashMap<SessionId, i64>,
}

impl Ended {
    /// Reads what was saved. A damaged file counts as nothing: whoever was ended is then refused
    /// only if the controller says so again.
    pub(super) fn load(path: PathBuf, now: i64) -> anyhow::Result<Self> {
        let mut sessions: HashMap<SessionId, i64> = match file::read(&path)? {
            None => HashMap::new(),
            Some(bytes) => serde_json::from_slice(&bytes)
                .inspect_err(|error| {
                    tracing::error!(path = %path.display(), %error, "the list of ended sessions is damaged");
                })
                .unwrap_or_default(),
        };
        sessions.retain(|_, until| *until > now);
        Ok(Self {
            path: Some(path),
            sessions,
            is_unsaved: false,
        })
    }

    pub(super) fn insert(&mut self, id: SessionId, until: i64) {
        if self.has(id) {
            return;
        }
        if self.sessions.len() >= MOST {
            let mut all = self.sessions.iter();
            let first = all.by_ref().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(id, _)| *id) {
                self.sessions.remove(&first);
            }
        }
        self.sessions.insert(id, until);
        self.is_unsaved = true;
    }

    pub(super) fn has(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    /// What was taken could not be written.
    pub(super) fn is_unsaved(&mut self) {
        self.is_unsaved = true;
    }

    /// What is to be written, if something is new and there is a file for it.
    pub(super) fn take_unsaved(&mut self, now: i64) -> Option<Unsaved> {
        if !std::mem::take(&mut self.is_unsaved) {
            return None;
        }
        self.sessions.retain(|_, until| *until > now);
        Some(Unsaved {
            path: self.path.clone()?,
            sessions: self.sessions.clone(),
        })
    }
}

impl Unsaved {
    pub(super) fn write(&self) -> anyhow::Result<()> {
        file::write(&self.path, &serde_json::to_vec(&self.sessions)?)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_was_ended_is_known_after_a_restart_until_its_ticket_expires() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ended.json");
        let id = |number| SessionId::from(Uuid::from_u128(number));
        let mut ended = Ended::load(path.clone(), 0).expect("there is none");
        assert!(ended.take_unsaved(0).is_none());
        ended.insert(id(1), 100);
        ended.insert(id(2), 200);
        let unsaved = ended.take_unsaved(0).expect("is new");
        unsaved.write().expect("writes");
        assert!(ended.take_unsaved(0).is_none());
        let again = Ended::load(path.clone(), 150).expect("reads");
        assert!(!again.has(id(1)) && again.has(id(2)));
        std::fs::write(&path, "{").expect("writes");
        assert!(!Ended::load(path, 0).expect("goes on").has(id(2)));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut ended = Ended::default();
        for number in 0..=MOST {
            let until = 1000 + number as i64;
            ended.insert(Uuid::from_u128(number as u128).into(), until);
        }
        assert_eq!(ended.sessions.len(), MOST);
        assert!(!ended.has(Uuid::from_u128(0).into()));
    }
}
