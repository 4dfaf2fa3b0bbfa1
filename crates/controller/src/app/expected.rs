//! Changes that are made only to the version that the caller has seen.

use super::{Error, Result};

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
