//! Child processes that never outlive us.

#![expect(
    unsafe_code,
    reason = "prctl and kill have no safe form in the standard library"
)]

use std::{
    collections::VecDeque,
    fs,
    io::{self, BufRead, BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

use crate::Deadline;

/// How many of its last lines on standard error a process keeps for error messages.
const TAIL_LINES: usize = 200;

/// How long the last lines of a process that has ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// As by Ctrl-C.
    Interrupt,
    /// As by a service manager.
    Terminate,
    /// Ends it at once.
    Kill,
    /// Stops it from running, as if it hung.
    Stop,
    /// Lets it run on.
    Continue,
}

impl Signal {
    fn number(self) -> libc::c_int {
        match self {
            Self::Interrupt => libc::SIGINT,
            Self::Terminate => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
            Self::Stop => libc::SIGSTOP,
            Self::Continue => libc::SIGCONT,
        }
    }
}

/// Where a line of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A running child. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    program: String,
    child: Child,
    tail: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts `command` in a process group of its own. It gets `if_orphaned` should we die first.
    /// `on_line` is called from other threads with every line that it prints.
    pub fn spawn(
        mut command: Command,
        if_orphaned: Signal,
        on_line: impl FnMut(Stream, &str) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        die_with_us(&mut command, if_orphaned);
        let mut child = Spawner::spawn(command).with_context(|| format!("run {program}"))?;
        let tail = Arc::default();
        let on_line = Arc::new(Mutex::new(on_line));
        let mut readers = Vec::new();
        if let Some(output) = child.stdout.take() {
            readers.push(read_lines(output, Stream::Output, &on_line, &tail));
        }
        if let Some(error) = child.stderr.take() {
            readers.push(read_lines(error, Stream::Error, &on_line, &tail));
        }
        Ok(Self {
            program,
            child,
            tail,
            readers,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: Signal) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Ok(pid) = libc::pid_t::try_from(self.child.id())
        {
            // SAFETY: kill takes two integers and touches no memory. The child is not yet
            // collected, so the number is still its own.
            unsafe { libc::kill(pid, signal.number()) };
        }
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end and for its last words; none if it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Deadline::after(limit);
        loop {
            if let Some(status) = self.try_wait() {
                self.wait_for_readers();
                return Some(status);
            }
            if deadline.has_passed() {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it printed last may still be on its way to us. A grandchild that holds the pipe open
    /// is not waited for.
    fn wait_for_readers(&self) {
        let deadline = Deadline::after(LAST_WORDS);
        while !self.readers.iter().all(thread::JoinHandle::is_finished) && !deadline.has_passed() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The last lines that it printed on standard error.
    #[must_use]
    pub fn tail(&self) -> String {
        let tail = lock(&self.tail);
        tail.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What a test waits for in vain may only be missing because of this.
        if let Some(status) = self.try_wait()
            && matches!(status.signal(), Some(libc::SIGABRT | libc::SIGSEGV))
        {
            let (program, tail) = (&self.program, self.tail());
            eprintln!("{program} crashed ({status}):\n{tail}");
        }
        self.kill();
    }
}

/// Kills the one child of `parent` that has `word` among its arguments, and gives its process id.
pub(crate) fn kill_child(parent: u32, word: &str) -> anyhow::Result<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("list processes")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse::<libc::pid_t>().ok()) else {
            continue;
        };
        // Processes end while we look.
        let read = |file| fs::read_to_string(path.join(file)).unwrap_or_default();
        if parent_in(&read("stat")) == Some(parent)
            && read("cmdline").split('\0').any(|w| w == word)
        {
            found.push(pid);
        }
    }
    let [pid] = found[..] else {
        bail!("{parent} has {} children with {word}", found.len());
    };
    // SAFETY: kill takes two integers and touches no memory. The parent has not collected the
    // child, or does so in this moment: no other process has its number so soon.
    unsafe { libc::kill(pid, Signal::Kill.number()) };
    Ok(pid.unsigned_abs())
}

/// The parent's number in `/proc/<pid>/stat`: the second field behind the name, which stands in
/// parentheses and may have any in it.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// A death signal fires when the *thread* that spawned the child ends, and a test's or a runtime's
/// thread may end before the child should. So one thread spawns all, and it never ends.
struct Spawner;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

impl Spawner {
    fn spawn(command: Command) -> io::Result<Child> {
        static ORDERS: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
            let (orders, inbox) = mpsc::channel::<Order>();
            thread::spawn(move || {
                for (mut command, answer) in inbox {
                    let _ = answer.send(command.spawn());
                }
            });
            Mutex::new(orders)
        });
        let (answer, child) = mpsc::channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        lock(&ORDERS).send((command, answer)).map_err(|_| gone())?;
        child.recv().map_err(|_| gone())?
    }
}

fn die_with_us(command: &mut Command, signal: Signal) {
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: prctl with PR_SET_PDEATHSIG takes an integer and touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal.number()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if std::os::unix::process::parent_id() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec, `prepare` makes two system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

fn read_lines<F: FnMut(Stream, &str) + Send + 'static>(
    pipe: impl Read + Send + 'static,
    stream: Stream,
    on_line: &Arc<Mutex<F>>,
    tail: &Arc<Mutex<VecDeque<String>>>,
) -> thread::JoinHandle<()> {
    let (on_line, tail) = (Arc::clone(on_line), Arc::clone(tail));
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while pipe.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned();
            bytes.clear();
            (lock(&on_line))(stream, &line);
            if stream == Stream::Error {
                let mut tail = lock(&tail);
                if tail.len() == TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
        }
    })
}

/// A test that panics elsewhere must not hide behind a poisoned lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ctrl-C and its like, held back so that a tool can clean up first.
#[derive(Debug)]
pub struct Interrupt {
    signals: libc::sigset_t,
}

impl Interrupt {
    /// Holds back SIGINT, SIGTERM and SIGHUP from now on. To be called while there is but one
    /// thread: the others inherit it. Children do not.
    pub fn hold() -> io::Result<Self> {
        let mut signals = std::mem::MaybeUninit::uninit();
        // SAFETY: sigemptyset initializes the set that the other calls then use; all pointers
        // are to live values of this function.
        unsafe {
            libc::sigemptyset(signals.as_mut_ptr());
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(signals.as_mut_ptr(), signal);
            }
            let result =
                libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), std::ptr::null_mut());
            if result != 0 {
                return Err(io::Error::from_raw_os_error(result));
            }
            Ok(Self {
                signals: signals.assume_init(),
            })
        }
    }

    /// Waits for one of the signals; false if none has come within `limit`.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> bool {
        let limit = libc::timespec {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        // SAFETY: both pointers are to live values; the null one means that nobody wants details.
        unsafe {
            libc::sigtimedwait(
                &raw const self.signals,
                std::ptr::null_mut(),
                &raw const limit,
            ) > 0
        }
    }
}
