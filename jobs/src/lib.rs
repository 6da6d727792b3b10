//! Work per scope: a relay parent, a session, a cluster height.
//!
//! **Role**: gives a subsystem's loop a set of scopes, each with tasks that are cancelled when the scope ends and whose
//! results come back to the loop as events. The overseer knows nothing of it (OV-7).
//!
//! **Invariants**: a task of an ended scope is never polled again; its result is never delivered. A task that panics is
//! reported with its scope and takes nobody with it. Dropping [`Jobs`] cancels every task.
//!
//! **Limits**: at most [`SCOPES_MAX`] scopes and the given number of tasks per set.

#![forbid(unsafe_code)]

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use deterministic::Environment;
use futures::FutureExt as _;
use futures::future::AbortHandle;
use overseer::{Context, Event, Subsystem};
use tokio::sync::mpsc;

/// Scopes open at once in one set: relay parents above the last finalized block on all forks, with room to spare.
pub const SCOPES_MAX: usize = 1024;

/// The rule by which a scope ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// When its leaf stops: a leaf lives for one block only.
    UntilStop,
    /// When it is neither an active leaf nor one of the last `depth` ancestors of one, within the same session.
    WhileInView(u32),
    /// When a block of at least this height is final.
    UntilFinal(u32),
    /// After this time, whatever the chain does.
    Detached(Duration),
}

/// What decides the endings: the state of a view over scopes of type `K`.
pub trait ScopeView<K> {
    /// Whether the scope itself is active.
    fn is_active(&self, scope: &K) -> bool;
    /// Whether the scope is active or one of the last `depth` ancestors, of the same session, of one that is.
    fn is_in_view(&self, scope: &K, depth: u32) -> bool;
    /// The height of the last final block.
    fn finalized_height(&self) -> u32;
}

/// A task that was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobRefused {
    /// The scope is not open, or has ended.
    #[error("scope has ended or was never opened")]
    NoScope,
    /// As many tasks run as are allowed.
    #[error("{0} tasks run already")]
    TooMany(usize),
}

/// How a task ended.
#[derive(Debug)]
pub enum Outcome<T> {
    /// With its result.
    Done(T),
    /// By a panic, with the message.
    Panicked(String),
    /// Its scope was [`Ending::Detached`] and the time is over.
    TimedOut,
}

/// The end of one task.
#[derive(Debug)]
pub struct JobEnd<K, T> {
    /// The scope it belonged to.
    pub scope: K,
    /// The task's name.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome<T>,
}

impl<K: std::fmt::Debug, T> JobEnd<K, T> {
    /// The result; a panic or a time-out is logged with its scope instead.
    pub fn into_result(self) -> Option<(K, T)> {
        match self.outcome {
            Outcome::Done(result) => return Some((self.scope, result)),
            Outcome::Panicked(message) => {
                tracing::error!(job = self.name, scope = ?self.scope, message, "job panicked")
            }
            Outcome::TimedOut => tracing::debug!(job = self.name, scope = ?self.scope, "job ran out of time"),
        }
        None
    }
}

struct Scope {
    ending: Ending,
    tasks: BTreeMap<u64, AbortHandle>,
}

/// A subsystem's scopes and their running tasks. `T` is what tasks bring back to the loop.
pub struct Jobs<K, T> {
    environment: Environment,
    scopes: BTreeMap<K, Scope>,
    running: usize,
    limit: usize,
    next_id: u64,
    ends: mpsc::Receiver<(u64, JobEnd<K, T>)>,
    ended: mpsc::Sender<(u64, JobEnd<K, T>)>,
}

impl<K: Ord + Clone + Send + 'static, T: Send + 'static> Jobs<K, T> {
    /// An empty set that runs at most `limit` tasks at once.
    pub fn new(environment: Environment, limit: usize) -> Self {
        // A place for each task that may run, so that no task ever waits to report.
        let (ended, ends) = mpsc::channel(limit.max(1));
        Self { environment, scopes: BTreeMap::new(), running: 0, limit, next_id: 0, ends, ended }
    }

    /// Opens a scope; one that is open keeps its tasks and takes the new rule. Returns whether there was room.
    pub fn open(&mut self, scope: K, ending: Ending) -> bool {
        if self.scopes.len() >= SCOPES_MAX && !self.scopes.contains_key(&scope) {
            return false;
        }
        self.scopes.entry(scope).or_insert_with(|| Scope { ending, tasks: BTreeMap::new() }).ending = ending;
        true
    }

    /// Whether a scope is open.
    pub fn is_open(&self, scope: &K) -> bool {
        self.scopes.contains_key(scope)
    }

    /// The open scopes, in order.
    pub fn scopes(&self) -> impl Iterator<Item = &K> {
        self.scopes.keys()
    }

    /// Tasks that run now.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Starts a task in an open scope.
    ///
    /// # Errors
    /// If the scope is not open or too many tasks run; the future is dropped then.
    pub fn spawn(
        &mut self,
        scope: &K,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<(), JobRefused> {
        let Some(entry) = self.scopes.get_mut(scope) else { return Err(JobRefused::NoScope) };
        if self.running >= self.limit {
            return Err(JobRefused::TooMany(self.limit));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.running += 1;
        let (environment, ended) = (self.environment.clone(), self.ended.clone());
        let (owner, ending) = (scope.clone(), entry.ending);
        let work = async move {
            let task = AssertUnwindSafe(task).catch_unwind();
            let finished = match ending {
                Ending::Detached(limit) => deterministic::timeout(&*environment.clock, limit, task).await,
                _ => Some(task.await),
            };
            let outcome = match finished {
                Some(Ok(result)) => Outcome::Done(result),
                Some(Err(panic)) => Outcome::Panicked(panic_message(&*panic)),
                None => Outcome::TimedOut,
            };
            // The set may be gone; then nobody wants the result.
            let _ = ended.send((id, JobEnd { scope: owner, name, outcome })).await;
        };
        let (work, abort) = futures::future::abortable(work);
        entry.tasks.insert(id, abort);
        self.environment.spawner.spawn(name, work.map(|_| ()).boxed());
        Ok(())
    }

    /// Ends a scope: its tasks are cancelled and their results dropped.
    pub fn end(&mut self, scope: &K) {
        if let Some(scope) = self.scopes.remove(scope) {
            self.running -= scope.tasks.len();
            scope.tasks.values().for_each(AbortHandle::abort);
        }
    }

    /// Ends every scope whose rule says so; returns which. Detached scopes end with their last task.
    pub fn end_by_view(&mut self, view: &impl ScopeView<K>) -> Vec<K> {
        let over = |(scope, entry): &(&K, &Scope)| match entry.ending {
            Ending::UntilStop => !view.is_active(scope),
            Ending::WhileInView(depth) => !view.is_in_view(scope, depth),
            Ending::UntilFinal(height) => view.finalized_height() >= height,
            Ending::Detached(_) => entry.tasks.is_empty(),
        };
        let ended: Vec<K> = self.scopes.iter().filter(over).map(|(scope, _)| scope.clone()).collect();
        ended.iter().for_each(|scope| self.end(scope));
        ended
    }

    /// The next end of a task of an open scope. Waits for ever while none runs.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> JobEnd<K, T> {
        loop {
            let Some((id, end)) = self.ends.recv().await else { return std::future::pending().await };
            // Results of a scope that has ended meanwhile are dropped.
            if let Some(scope) = self.scopes.get_mut(&end.scope)
                && scope.tasks.remove(&id).is_some()
            {
                self.running -= 1;
                return end;
            }
        }
    }
}

impl<K, T> Drop for Jobs<K, T> {
    fn drop(&mut self) {
        self.scopes.values().flat_map(|scope| scope.tasks.values()).for_each(AbortHandle::abort);
    }
}

/// What comes next for a loop with jobs.
pub enum Input<S: Subsystem, K, T> {
    /// From the overseer.
    Event(Event<S>),
    /// From a job.
    Job(JobEnd<K, T>),
}

/// The next event or end of a job, whichever is there; ends of jobs first, whose number is bounded.
///
/// # Cancel safety
/// Nothing is lost.
pub async fn next<S, K, T>(context: &mut Context<S>, jobs: &mut Jobs<K, T>) -> Input<S, K, T>
where
    S: Subsystem,
    K: Ord + Clone + Send + 'static,
    T: Send + 'static,
{
    tokio::select! {
        biased;
        end = jobs.next() => Input::Job(end),
        event = context.recv() => Input::Event(event),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&'static str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
