//! Versions of things that people change, so that two of them do not undo each other's work.

use super::{Error, Result};

/// A thing as of one version.
#[derive(Debug)]
pub(crate) struct Versioned<T> {
    pub(crate) version: i64,
    pub(crate) thing: T,
}

/// The versions that the caller is willing to change; `None` means whichever is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected(pub(crate) Option<Vec<i64>>);

impl Expected {
    /// Refuses if `current`, read under a lock, is none of them.
    pub(crate) fn check(&self, current: i64) -> Result<()> {
        match &self.0 {
            Some(versions) if !versions.contains(&current) => Err(Error::Changed { current }),
            _ => Ok(()),
        }
    }
}
