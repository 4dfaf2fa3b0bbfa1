//! Makes a child die with us, whatever kills us.
//!
//! This is the edge's only unsafe code.

#![expect(
    unsafe_code,
    reason = "a death signal has to be set between fork and exec, for which there is no safe form"
)]

use std::io;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::process::Command;

/// Has the child killed when the thread that spawns it ends, also by `kill -9`, and puts it into a
/// process group of its own, so that Ctrl-C in a terminal reaches only us. To be spawned from a
/// thread that lives as long as the runtime.
pub(super) fn with_us(command: &mut Command) {
    let parent = std::process::id();
    command.process_group(0);
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let is_alive = getppid().is_some_and(|pid| pid.as_raw_nonzero().get() as u32 == parent);
        if is_alive {
            Ok(())
        } else {
            // We died before the setting was made.
            Err(io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: between fork and exec, `prepare` makes two system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}
