//! The few system calls on processes that the standard library does not have.
//!
//! This is the crate's only unsafe code: a child's death signal, signals to a process, and the
//! question who we are.

#![expect(
    unsafe_code,
    reason = "prctl, kill and geteuid have no safe form in the standard library"
)]

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{self, Command},
};

use crate::account::Account;

/// A signal that we send.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    /// PostgreSQL: end all sessions, write everything, exit ("fast shutdown").
    Interrupt = libc::SIGINT as isize,
    /// PostgreSQL: exit without writing; the next start replays the log ("immediate shutdown").
    Quit = libc::SIGQUIT as isize,
    /// The end.
    Kill = libc::SIGKILL as isize,
}

/// A command that runs as `account` in a process group of its own, so that Ctrl-C in a terminal
/// reaches us only, and with nothing of our environment that PostgreSQL would listen to.
pub(crate) fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").process_group(0).env("LC_ALL", "C");
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Has the child interrupted when the thread that spawns it ends, also by `kill -9`.
///
/// The change of user clears this setting, so it is made after that, in the child.
pub(crate) fn interrupt_with_thread(command: &mut Command) {
    let parent = process::id();
    let prepare = move || {
        // SAFETY: prctl with PR_SET_PDEATHSIG takes an integer and touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGINT) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if std::os::unix::process::parent_id() != parent {
            // The parent died before the setting was made.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec, `prepare` makes two system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Sends a signal; false if there is no such process.
pub(crate) fn signal(pid: u32, signal: Signal) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else {
        return false;
    };
    // SAFETY: kill takes two integers and touches no memory.
    unsafe { libc::kill(pid, signal as libc::c_int) == 0 }
}

pub(crate) fn effective_uid() -> u32 {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}
