//! Where a program runs: here, or in a network namespace of a [`lab`](crate::lab).

use std::{ffi::OsStr, process::Command};

/// Where a program runs; here by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Whose namespaces it shares.
    holder: Option<u32>,
}

impl Place {
    /// In the network and among the mounts of this process.
    pub(crate) fn of(holder: u32) -> Self {
        Self {
            holder: Some(holder),
        }
    }

    /// A command that runs there. It is the program's own process: no other is between.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(holder) = self.holder else {
            return Command::new(program);
        };
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{holder}/ns/net"))
            .arg(format!("--mount=/proc/{holder}/ns/mnt"))
            .arg("--")
            .arg(program);
        command
    }
}
