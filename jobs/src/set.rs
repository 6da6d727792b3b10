//! The set of scopes and their running tasks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use deterministic::{Clock, Environment, drop_caught, panicked};
use futures::FutureExt as _;
use futures::future::{AbortHandle, Either, pending, select};
use overseer::Message;
use tokio::sync::watch;

use crate::{Ending, JobEnd, JobRefused, Outcome, SCOPES_MAX, ScopeView};

struct Scope {
    /// Tells this opening from an earlier one under the same key, whose nests are void.
    opening: u64,
    ending: Ending,
    /// When the tasks run out of time, if it is detached; they follow it.
    until: watch::Sender<Option<Duration>>,
    tasks: BTreeMap<u64, AbortHandle>,
}

/// Shared with nests: everything that starting a task needs.
struct Table<K, T> {
    scopes: BTreeMap<K, Scope>,
    running: usize,
    next_id: u64,
    /// Ends of tasks of open scopes that the loop has not taken; each still counts as running.
    ends: VecDeque<(u64, JobEnd<K, T>)>,
    /// The loop, while it waits for one.
    waker: Option<Waker>,
}

struct Shared<K, T> {
    environment: Environment,
    limit: usize,
    table: Mutex<Table<K, T>>,
}

/// Ends when the time of a scope is over, whatever becomes of it meanwhile.
async fn out_of_time(clock: Arc<dyn Clock>, mut until: watch::Receiver<Option<Duration>>) {
    loop {
        let limit = *until.borrow_and_update();
        let over = match limit {
            Some(limit) => Either::Left(clock.sleep(limit.saturating_sub(clock.steady()))),
            None => Either::Right(pending()),
        };
        match select(over, std::pin::pin!(until.changed())).await {
            Either::Left(_) => return,
            Either::Right((Ok(()), _)) => {}
            // Its scope has ended, and the task is cancelled.
            Either::Right((Err(_), _)) => return pending().await,
        }
    }
}

impl<K, T> Shared<K, T> {
    /// No task runs under this lock, so a poisoned one still holds a whole value.
    fn table(&self) -> MutexGuard<'_, Table<K, T>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone + Send + 'static, T: Send + 'static> Shared<K, T> {
    fn spawn(
        self: &Arc<Self>,
        scope: &K,
        opening: Option<u64>,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<(), JobRefused> {
        let work = {
            let mut table = self.table();
            let table = &mut *table;
            let entry = table.scopes.get_mut(scope).filter(|entry| opening.is_none_or(|known| known == entry.opening));
            let Some(entry) = entry else { return Err(JobRefused::NoScope) };
            if table.running >= self.limit {
                return Err(JobRefused::TooMany(self.limit));
            }
            let id = table.next_id;
            table.next_id += 1;
            table.running += 1;
            let (work, abort) =
                futures::future::abortable(self.work(id, scope.clone(), name, entry.until.subscribe(), task));
            entry.tasks.insert(id, abort);
            work
        };
        // Outside the lock: a spawner whose runtime has ended drops the task here, with all that it holds.
        let run = async move {
            let mut work = work.boxed();
            let _ = (&mut work).await;
            // What was cancelled is dropped here, by foreign code that may panic: nobody is left to tell.
            drop_caught(work);
        };
        self.environment.spawner.spawn(name, run.boxed());
        Ok(())
    }

    fn work(
        self: &Arc<Self>,
        id: u64,
        scope: K,
        name: &'static str,
        until: watch::Receiver<Option<Duration>>,
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let shared = self.clone();
        async move {
            #[allow(clippy::redundant_async_block, reason = "what the task holds is dropped within `catch_unwind` too")]
            let task = AssertUnwindSafe(async move { task.await }).catch_unwind();
            let over = out_of_time(shared.environment.clock.clone(), until);
            // What is out of time is dropped in here, and that may panic too.
            let task = async move {
                match select(std::pin::pin!(task), std::pin::pin!(over)).await {
                    Either::Left((finished, _)) => Some(finished),
                    Either::Right(_) => None,
                }
            };
            let finished = AssertUnwindSafe(task).catch_unwind().await.unwrap_or_else(|panic| Some(Err(panic)));
            let outcome = match finished {
                Some(Ok(result)) => Outcome::Done(result),
                Some(Err(panic)) => Outcome::Panicked(panicked(panic)),
                None => Outcome::TimedOut,
            };
            shared.ended(id, JobEnd { scope, name, outcome });
        }
    }

    /// Keeps an end for the loop; one of an ended scope nobody wants, and it is dropped outside the lock.
    fn ended(&self, id: u64, end: JobEnd<K, T>) {
        let mut table = self.table();
        if !table.scopes.get(&end.scope).is_some_and(|scope| scope.tasks.contains_key(&id)) {
            drop(table);
            return drop_caught(end);
        }
        table.ends.push_back((id, end));
        let waker = table.waker.take();
        drop(table);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A subsystem's scopes and their running tasks. `K` names a scope; `T` is what tasks bring back to the loop.
///
/// Dropping it cancels every task.
pub struct Jobs<K, T> {
    shared: Arc<Shared<K, T>>,
    late: BTreeMap<&'static str, u64>,
    /// Since the last purge; of more than [`SCOPES_MAX`] the queued messages are dropped when their turn comes.
    pub(crate) ended: BTreeSet<K>,
    /// Ends that [`next`](crate::next) gave since it last looked for an event.
    pub(crate) ends_in_a_row: u32,
}

impl<K: Ord + Clone + Send + 'static, T: Send + 'static> Jobs<K, T> {
    /// An empty set that runs at most `limit` tasks at once, nested ones among them.
    pub fn new(environment: Environment, limit: usize) -> Self {
        let (scopes, ends) = (BTreeMap::new(), VecDeque::new());
        let table = Mutex::new(Table { scopes, running: 0, next_id: 0, ends, waker: None });
        let shared = Arc::new(Shared { environment, limit, table });
        Self { shared, late: BTreeMap::new(), ended: BTreeSet::new(), ends_in_a_row: 0 }
    }

    /// Opens a scope; one that is open keeps its tasks and takes the new rule, and so do they: a time that is given to
    /// them counts from now, and without one they have no limit any more. Returns whether there was room: `false`
    /// at [`SCOPES_MAX`] scopes, not counting detached ones in which no task was started, which make room.
    pub fn open(&mut self, scope: K, ending: Ending) -> bool {
        let until = match ending {
            Ending::Detached(limit) => Some(self.shared.environment.clock.steady().saturating_add(limit)),
            Ending::UntilStop | Ending::WhileInView(_) | Ending::UntilFinal(_) => None,
        };
        let mut table = self.shared.table();
        if let Some(open) = table.scopes.get_mut(&scope) {
            open.ending = ending;
            open.until.send_replace(until);
            return true;
        }
        if table.scopes.len() >= SCOPES_MAX {
            // A loop without a view never asks for these to end.
            table.scopes.retain(|_, open| !matches!(open.ending, Ending::Detached(_)) || !open.tasks.is_empty());
            if table.scopes.len() >= SCOPES_MAX {
                return false;
            }
        }
        let opening = table.next_id;
        table.next_id += 1;
        let until = watch::Sender::new(until);
        table.scopes.insert(scope, Scope { opening, ending, until, tasks: BTreeMap::new() });
        true
    }

    /// Whether a scope is open.
    pub fn is_open(&self, scope: &K) -> bool {
        self.shared.table().scopes.contains_key(scope)
    }

    /// The open scopes, in order.
    pub fn scopes(&self) -> Vec<K> {
        self.shared.table().scopes.keys().cloned().collect()
    }

    /// Tasks that run now, nested ones among them. One whose end the loop has not taken yet counts.
    pub fn running(&self) -> usize {
        self.shared.table().running
    }

    /// Starts a task in an open scope, at once and without waiting. `name` appears in task lists and in its
    /// [`JobEnd`]; several tasks may have the same.
    ///
    /// # Errors
    /// [`NoScope`](JobRefused::NoScope) if the scope is not open, [`TooMany`](JobRefused::TooMany) if as many tasks run
    /// as are allowed; the future is dropped then.
    ///
    /// # Panics
    /// Never: a panic in `task` is its [`Outcome::Panicked`].
    ///
    /// # Cancel safety
    /// `task` is dropped at any await when its scope ends.
    pub fn spawn(
        &mut self,
        scope: &K,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<(), JobRefused> {
        self.shared.spawn(scope, None, name, task)
    }

    /// What a task of an open scope needs to start more tasks in it; `None` if the scope is not open.
    pub fn nest(&self, scope: &K) -> Option<Nest<K, T>> {
        let opening = self.shared.table().scopes.get(scope)?.opening;
        Some(Nest { shared: self.shared.clone(), scope: scope.clone(), opening })
    }

    /// Ends a scope: its tasks are cancelled at once, dropped in the background, and their results never delivered. A
    /// scope that is not open is ended already.
    pub fn end(&mut self, scope: &K) {
        let results: VecDeque<_>;
        let mut table = self.shared.table();
        let Some(ended) = table.scopes.remove(scope) else { return };
        table.running -= ended.tasks.len();
        (results, table.ends) = table.ends.drain(..).partition(|(_, end)| end.scope == *scope);
        drop(table);
        ended.tasks.values().for_each(AbortHandle::abort);
        results.into_iter().for_each(drop_caught);
        if self.ended.len() < SCOPES_MAX {
            self.ended.insert(scope.clone());
        }
    }

    /// Ends every scope whose rule says so, as by [`end`](Self::end); returns which, in order. Call it at each signal.
    /// Of detached scopes only those end here in which no task was ever started.
    pub fn end_by_view(&mut self, view: &impl ScopeView<K>) -> Vec<K> {
        let over = |(scope, entry): &(&K, &Scope)| match entry.ending {
            Ending::UntilStop => !view.is_active(scope),
            Ending::WhileInView(depth) => !view.is_in_view(scope, depth),
            Ending::UntilFinal(height) => view.finalized_height() >= height,
            Ending::Detached(_) => entry.tasks.is_empty(),
        };
        let ended: Vec<K> = self.shared.table().scopes.iter().filter(over).map(|(scope, _)| scope.clone()).collect();
        ended.iter().for_each(|scope| self.end(scope));
        ended
    }

    /// The message back if its scope is open; else it is dropped and counted in [`late`](Self::late). A question's way
    /// back that is dropped with it tells the asker so.
    pub fn admit<M: Message>(&mut self, scope: &K, message: M) -> Option<M> {
        if self.is_open(scope) {
            return Some(message);
        }
        self.count_late(M::name());
        None
    }

    pub(crate) fn count_late(&mut self, message: &'static str) {
        *self.late.entry(message).or_insert(0) += 1;
    }

    /// Messages dropped because their scope had ended or was never opened, by name.
    pub fn late(&self) -> &BTreeMap<&'static str, u64> {
        &self.late
    }

    /// Waits for the next end of a task of an open scope; for ever while none runs. Loops use [`next`](crate::next),
    /// which waits for the mailbox as well.
    ///
    /// # Cancel safety
    /// Nothing is lost: an end is taken only when it is returned.
    ///
    /// # Back-pressure
    /// The result of a task that has ended is kept until the loop takes it, and counts against the limit that long.
    pub async fn next(&mut self) -> JobEnd<K, T> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<JobEnd<K, T>> {
        // Dropped after the lock: a waker may own the last handle of a task.
        let _before;
        let mut table = self.shared.table();
        let Some((id, end)) = table.ends.pop_front() else {
            _before = table.waker.replace(cx.waker().clone());
            return Poll::Pending;
        };
        table.running -= 1;
        let last = table.scopes.get_mut(&end.scope).is_some_and(|scope| {
            scope.tasks.remove(&id);
            matches!(scope.ending, Ending::Detached(_)) && scope.tasks.is_empty()
        });
        drop(table);
        if last {
            self.end(&end.scope);
        }
        Poll::Ready(end)
    }
}

impl<K, T> Drop for Jobs<K, T> {
    fn drop(&mut self) {
        // Without its scope no nest starts anything any more.
        let scopes = std::mem::take(&mut self.shared.table().scopes);
        let ends = std::mem::take(&mut self.shared.table().ends);
        scopes.values().flat_map(|scope| scope.tasks.values()).for_each(AbortHandle::abort);
        ends.into_iter().for_each(drop_caught);
    }
}

/// Starts tasks in one scope from within a task of it. They count against the set's limit, end with the scope, share
/// the time of a detached one, and report to the loop like any other. Void once the scope has ended, also when another
/// of the same name is opened. Cheap to clone.
///
/// # Examples
/// ```
/// use jobs::{Ending, Jobs};
/// let simulation = deterministic::Simulation::new(1);
/// let mut jobs = Jobs::new(simulation.environment("node"), 8);
/// jobs.open(7, Ending::UntilStop);
/// let nest = jobs.nest(&7).expect("it is open");
/// jobs.spawn(&7, "first", async move {
///     nest.spawn("second", async { "second" }).map_or("refused", |()| "first")
/// })?;
/// let mut results = Vec::new();
/// for _ in 0..2 {
///     results.extend(simulation.run_until(jobs.next()).expect("both end").into_result());
/// }
/// results.sort();
/// assert_eq!(results, [(7, "first"), (7, "second")]);
/// # Ok::<(), jobs::JobRefused>(())
/// ```
pub struct Nest<K, T> {
    shared: Arc<Shared<K, T>>,
    scope: K,
    opening: u64,
}

impl<K: Clone, T> Clone for Nest<K, T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), scope: self.scope.clone(), opening: self.opening }
    }
}

impl<K: Ord + Clone + Send + 'static, T: Send + 'static> Nest<K, T> {
    /// The scope it starts tasks in.
    pub fn scope(&self) -> &K {
        &self.scope
    }

    /// Starts a task beside the one that calls, as [`Jobs::spawn`] does.
    ///
    /// # Errors
    /// [`NoScope`](JobRefused::NoScope) if the scope has ended, [`TooMany`](JobRefused::TooMany) if as many tasks run
    /// as are allowed; the future is dropped then.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = T> + Send + 'static) -> Result<(), JobRefused> {
        self.shared.spawn(&self.scope, Some(self.opening), name, task)
    }
}
