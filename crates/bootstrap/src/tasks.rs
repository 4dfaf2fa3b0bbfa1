//! Owner of tasks: everything that is spawned is named, cancelled together and waited for.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinHandle},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// A scope of tasks. Clones are the same scope.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Scope>);

#[derive(Debug)]
struct Scope {
    token: CancellationToken,
    tracker: TaskTracker,
    running: Arc<Mutex<Running>>,
    parent: Option<Tasks>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    tasks: BTreeMap<u64, (&'static str, Option<AbortHandle>)>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// An empty scope.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Scope {
            token: CancellationToken::new(),
            tracker: TaskTracker::new(),
            running: Arc::default(),
            parent: None,
        }))
    }

    /// A scope inside this one: it can be shut down alone, and goes down with this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(Arc::new(Scope {
            token: self.0.token.child_token(),
            tracker: TaskTracker::new(),
            running: Arc::default(),
            parent: Some(self.clone()),
        }))
    }

    /// Is cancelled when the scope shuts down. Every task watches it.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.0.token.clone()
    }

    /// Runs `future` as a task of this scope. `name` is what the logs call it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on(&Handle::current(), name, future)
    }

    /// As [`Tasks::spawn`], on another runtime than the caller's.
    pub fn spawn_on<F>(
        &self,
        runtime: &Handle,
        name: &'static str,
        future: F,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let ended = self.enter(name);
        let id = ended.first().map(|ended| ended.id);
        let task = async move {
            let _ended = ended;
            future.await
        };
        let handle = self.0.tracker.spawn_on(task, runtime);
        if let Some(id) = id
            && let Some(entry) = lock(&self.0.running).tasks.get_mut(&id)
        {
            entry.1 = Some(handle.abort_handle());
        }
        handle
    }

    /// Cancels the scope and waits until every task has ended. Tasks that have not after
    /// `deadline` are named in the log and aborted.
    pub async fn shutdown(&self, deadline: Duration) {
        self.0.token.cancel();
        self.0.tracker.close();
        if tokio::time::timeout(deadline, self.0.tracker.wait())
            .await
            .is_ok()
        {
            return;
        }
        let hung: Vec<_> = lock(&self.0.running).tasks.values().cloned().collect();
        for (name, handle) in hung {
            tracing::error!(task = name, ?deadline, "task did not stop in time");
            if let Some(handle) = handle {
                handle.abort();
            }
        }
    }

    /// Registers a task here and in all outer scopes; they all wait for it.
    fn enter(&self, name: &'static str) -> Vec<Ended> {
        let mut ended = Vec::new();
        let mut scope = Some(self);
        while let Some(Self(inner)) = scope {
            let mut running = lock(&inner.running);
            let id = running.next;
            running.next += 1;
            running.tasks.insert(id, (name, None));
            drop(running);
            ended.push(Ended {
                name,
                id,
                running: Arc::clone(&inner.running),
                // The scope's own tracker counts the task already.
                outer: (!ended.is_empty()).then(|| inner.tracker.token()),
            });
            scope = inner.parent.as_ref();
        }
        ended
    }
}

/// Takes the task off the list however it ends.
struct Ended {
    name: &'static str,
    id: u64,
    running: Arc<Mutex<Running>>,
    /// What an outer scope waits for; absent in the task's own scope.
    outer: Option<TaskTrackerToken>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        lock(&self.running).tasks.remove(&self.id);
        if std::thread::panicking() && self.outer.is_none() {
            tracing::error!(task = self.name, "task panicked");
        }
    }
}

fn lock(running: &Mutex<Running>) -> std::sync::MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shutdown_waits_for_tasks_that_obey() {
        let tasks = Tasks::new();
        let token = tasks.token();
        let handle = tasks.spawn("obedient", async move {
            token.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            7
        });
        tasks.shutdown(Duration::from_secs(5)).await;
        assert_eq!(handle.await.expect("ended by itself"), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_does_not_wait_for_ever() {
        let tasks = Tasks::new();
        let hung = tasks.spawn("deaf", std::future::pending::<()>());
        tasks.shutdown(Duration::from_secs(5)).await;
        assert!(hung.await.expect_err("was aborted").is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_outer_scope_takes_the_inner_down_and_waits_for_it() {
        let outer = Tasks::new();
        let inner = outer.child();
        let token = inner.token();
        let handle = inner.spawn("inner", async move { token.cancelled().await });
        outer.shutdown(Duration::from_secs(5)).await;
        assert!(handle.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn the_inner_scope_goes_down_alone() {
        let outer = Tasks::new();
        let inner = outer.child();
        inner.shutdown(Duration::from_secs(5)).await;
        assert!(!outer.token().is_cancelled());
    }

    #[tokio::test]
    async fn a_panicking_task_leaves_no_trace() {
        let tasks = Tasks::new();
        let handle = tasks.spawn("panics", async { panic!("on purpose") });
        assert!(handle.await.expect_err("panicked").is_panic());
        assert!(lock(&tasks.0.running).tasks.is_empty());
    }
}
