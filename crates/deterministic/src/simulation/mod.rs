//! A seeded world on one thread: executor, virtual clock, randomness, computing.
//!
//! Nothing in it knows real time. A step polls one of the ready tasks, which one is drawn from the seed; when
//! none is ready the clock jumps to the next timer. Wakes may come from any thread, but only those that come
//! from the simulation's own tasks come in a repeatable order.

use std::{
    collections::BTreeMap,
    future::Future,
    hash::Hasher,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use rand_chacha::{ChaCha8Rng, ChaCha20Rng};
use rand_core::{Rng, SeedableRng};
use twox_hash::XxHash64;

use crate::{BoxFuture, Environment, entropy::below_with, panic_message};

mod cost;
mod error;
mod ports;
#[cfg(test)]
mod tests;

pub use cost::{Cost, CostTable};
pub use error::{SimulationError, TaskInfo};

/// Where virtual clocks start: a round number of seconds after the Unix epoch.
pub const START: Duration = Duration::from_secs(1_600_000_000);

/// Steps that one call of a `run_` method may take, unless set otherwise: minutes of real time.
pub const STEP_LIMIT: u64 = 100_000_000;

/// Steps in a row during which the clock may stand still: more is a live-lock.
pub const STEPS_PER_INSTANT_MAX: u64 = 2_000_000;

/// Tasks that an error names.
const NAMED_TASKS_MAX: usize = 8;

/// Names of ended tasks whose steps are counted apart.
const ENDED_NAMES_MAX: usize = 1_024;

type TaskId = u64;

/// What [`Simulation::run_until`] awaits is a task of this id, which is never in the task list.
const ROOT: TaskId = 0;

/// Tasks that were woken and not yet polled.
#[derive(Default)]
struct Ready(Mutex<Vec<Arc<TaskWaker>>>);

struct TaskWaker {
    id: TaskId,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl TaskWaker {
    fn new(id: TaskId, ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Self { id, queued: AtomicBool::new(false), ready: ready.clone() })
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let ready = self.ready.clone();
            lock(&ready.0).push(self);
        }
    }
}

struct Task {
    name: String,
    group: Arc<Group>,
    /// Absent while it is polled.
    future: Option<BoxFuture<()>>,
    steps: u64,
}

/// The tasks of one label, from its first use to its end by [`Simulation::kill`].
struct Group {
    label: String,
    alive: AtomicBool,
    entropy: Mutex<ChaCha20Rng>,
}

struct State {
    now: Duration,
    tasks: BTreeMap<TaskId, Task>,
    next_task: TaskId,
    timers: BTreeMap<(Duration, u64), Waker>,
    next_timer: u64,
    groups: BTreeMap<String, Arc<Group>>,
    /// How often each label was killed.
    deaths: BTreeMap<String, u64>,
    schedule: ChaCha8Rng,
    trace: XxHash64,
    step_limit: u64,
    /// Steps of tasks that ended in this run, by name.
    ended_steps: BTreeMap<String, u64>,
    costs: CostTable,
}

struct Shared {
    seed: u64,
    state: Mutex<State>,
    ready: Arc<Ready>,
    running: AtomicBool,
}

/// Locks of the simulation are never held across foreign code, so a poisoned one still holds a whole value.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A seeded world. Clones are handles to the same one, which ends with the original: its tasks are dropped then
/// (they hold handles themselves, so nothing else would ever free them).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// let simulation = deterministic::Simulation::new(7);
/// let node = simulation.environment("alice");
/// let clock = node.clock.clone();
/// let began = clock.now();
/// simulation.run_until(clock.sleep(Duration::from_secs(3600))).expect("a timer ends");
/// assert_eq!(clock.now() - began, Duration::from_secs(3600));
/// ```
pub struct Simulation {
    shared: Arc<Shared>,
    /// In the original handle only.
    _owner: Option<Owner>,
}

/// Ends the world when dropped.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let doomed = {
            let mut state = lock(&self.shared.state);
            for group in state.groups.values() {
                group.alive.store(false, Ordering::Release);
            }
            std::mem::take(&mut state.tasks)
        };
        drop(doomed);
        let woken = std::mem::take(&mut *lock(&self.shared.ready.0));
        drop(woken);
    }
}

impl Clone for Simulation {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), _owner: None }
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = lock(&self.shared.state);
        f.debug_struct("Simulation")
            .field("seed", &self.shared.seed)
            .field("now", &state.now)
            .field("tasks", &state.tasks.len())
            .finish()
    }
}

/// What a run is for: decides when it ends.
#[derive(Clone, Copy)]
enum Goal {
    /// The root future.
    Root,
    /// Nothing is ready; the clock stands still.
    Stalled,
    /// Nothing is ready and no timer is pending.
    Idle,
    /// The clock has reached this, and nothing is ready.
    Time(Duration),
}

/// What a step found to do.
enum Step {
    Poll(Arc<TaskWaker>),
    Advanced,
    Nothing,
}

impl Simulation {
    /// A world with the given seed, its clock at [`START`].
    pub fn new(seed: u64) -> Self {
        let shared = Arc::new(Shared {
            seed,
            state: Mutex::new(State {
                now: START,
                tasks: BTreeMap::new(),
                next_task: ROOT + 1,
                timers: BTreeMap::new(),
                next_timer: 0,
                groups: BTreeMap::new(),
                deaths: BTreeMap::new(),
                schedule: ChaCha8Rng::from_seed(derive(seed, "schedule of tasks", 0)),
                trace: XxHash64::with_seed(seed),
                step_limit: STEP_LIMIT,
                ended_steps: BTreeMap::new(),
                costs: CostTable::default(),
            }),
            ready: Arc::default(),
            running: AtomicBool::new(false),
        });
        Self { shared: shared.clone(), _owner: Some(Owner { shared }) }
    }

    /// The seed, for messages of failing tests.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// The environment of a node (or of anything that lives and dies as one).
    ///
    /// Environments of one label share one stream of randomness and one group of tasks; other labels have no
    /// influence on the former. After [`Simulation::kill`] the label begins anew, with other randomness.
    pub fn environment(&self, label: &str) -> Environment {
        ports::environment(self, self.group(label))
    }

    fn group(&self, label: &str) -> Arc<Group> {
        let mut state = lock(&self.shared.state);
        let life = state.deaths.get(label).copied().unwrap_or_default();
        let seed = self.shared.seed;
        let new = || {
            Arc::new(Group {
                label: label.to_string(),
                alive: AtomicBool::new(true),
                entropy: Mutex::new(ChaCha20Rng::from_seed(derive(seed, label, life + 1))),
            })
        };
        state.groups.entry(label.to_string()).or_insert_with(new).clone()
    }

    /// Ends a node as a crash would: drops all its tasks where they stand, and whatever the old environment
    /// spawns from now on. Returns how many tasks there were. Its disk is the caller's to crash.
    pub fn kill(&self, label: &str) -> usize {
        let doomed: Vec<Task> = {
            let mut state = lock(&self.shared.state);
            let Some(group) = state.groups.remove(label) else {
                return 0;
            };
            group.alive.store(false, Ordering::Release);
            *state.deaths.entry(label.to_string()).or_default() += 1;
            let ids: Vec<TaskId> =
                state.tasks.iter().filter(|(_, task)| Arc::ptr_eq(&task.group, &group)).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| state.tasks.remove(id)).collect()
        };
        // Dropped outside of the lock: destructors wake others and remove timers.
        doomed.len()
    }

    /// The live tasks, in the order of their start.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        lock(&self.shared.state).tasks.values().map(info).collect()
    }

    /// The virtual time since the Unix epoch.
    pub fn now(&self) -> Duration {
        lock(&self.shared.state).now
    }

    /// Limits the steps of one call of a `run_` method; [`STEP_LIMIT`] at first.
    pub fn set_step_limit(&self, steps: u64) {
        lock(&self.shared.state).step_limit = steps;
    }

    /// Sets what computing costs in virtual time.
    pub fn set_costs(&self, costs: CostTable) {
        lock(&self.shared.state).costs = costs;
    }

    /// Folds `bytes` (a delivery, a block, anything that two runs should agree on) into the trace, with the time.
    pub fn trace(&self, bytes: &[u8]) {
        let mut state = lock(&self.shared.state);
        state.trace_number(bytes.len() as u64);
        state.trace.write(bytes);
    }

    /// The hash of all that was traced and of every step that was taken.
    pub fn trace_hash(&self) -> u64 {
        lock(&self.shared.state).trace.finish()
    }

    /// Runs until `future` is ready, and returns its output. Other tasks stay where they are then.
    ///
    /// # Errors
    ///
    /// [`SimulationError`]; the message names tasks. The simulation can be run on afterwards.
    pub fn run_until<F: Future>(&self, future: F) -> Result<F::Output, SimulationError> {
        let mut future = pin!(future);
        let mut output = None;
        self.run(Goal::Root, &mut |context| match future.as_mut().poll(context) {
            Poll::Ready(value) => {
                output = Some(value);
                true
            }
            Poll::Pending => false,
        })?;
        output.ok_or_else(|| self.stalled())
    }

    /// Runs all that can run at this instant; the clock stands still.
    ///
    /// # Errors
    ///
    /// [`SimulationError::StepLimit`], [`SimulationError::TaskPanicked`], [`SimulationError::AlreadyRunning`].
    pub fn run_until_stalled(&self) -> Result<(), SimulationError> {
        self.run(Goal::Stalled, &mut |_| false)
    }

    /// Runs until nothing is ready and no timer is pending; with a periodic timer that is never.
    ///
    /// # Errors
    ///
    /// As [`Simulation::run_until_stalled`].
    pub fn run_until_idle(&self) -> Result<(), SimulationError> {
        self.run(Goal::Idle, &mut |_| false)
    }

    /// Runs all that happens in the next `duration`, and leaves the clock at its end.
    ///
    /// # Errors
    ///
    /// As [`Simulation::run_until_stalled`].
    pub fn run_for(&self, duration: Duration) -> Result<(), SimulationError> {
        let end = self.now().saturating_add(duration);
        self.run(Goal::Time(end), &mut |_| false)
    }

    fn run(&self, goal: Goal, root: &mut dyn FnMut(&mut Context<'_>) -> bool) -> Result<(), SimulationError> {
        if self.shared.running.swap(true, Ordering::AcqRel) {
            return Err(SimulationError::AlreadyRunning);
        }
        // Also when the root future panics.
        let _running = Running(&self.shared.running);
        self.begin_run();
        if let Goal::Root = goal {
            TaskWaker::new(ROOT, &self.shared.ready).wake();
        }
        let (mut steps, mut at_one_instant) = (0, 0);
        loop {
            match self.next_step(goal) {
                Step::Nothing => {
                    return if let Goal::Root = goal { Err(self.stalled()) } else { Ok(()) };
                }
                Step::Advanced => at_one_instant = 0,
                Step::Poll(waker) => {
                    if steps >= lock(&self.shared.state).step_limit || at_one_instant >= STEPS_PER_INSTANT_MAX {
                        // Not lost: a later run finds it ready again.
                        waker.wake();
                        return Err(self.too_many_steps(steps, at_one_instant));
                    }
                    steps += 1;
                    at_one_instant += 1;
                    if self.poll(&waker, root)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Counts steps anew, and forgets what is left in the ready queue of an earlier root.
    fn begin_run(&self) {
        let mut state = lock(&self.shared.state);
        state.ended_steps.clear();
        for task in state.tasks.values_mut() {
            task.steps = 0;
        }
        lock(&self.shared.ready.0).retain(|waker| waker.id != ROOT);
    }

    fn next_step(&self, goal: Goal) -> Step {
        let mut state = lock(&self.shared.state);
        {
            let mut ready = lock(&self.shared.ready.0);
            if !ready.is_empty() {
                let picked = below_with(|| state.schedule.next_u64(), ready.len() as u64) as usize;
                let waker = ready.swap_remove(picked);
                waker.queued.store(false, Ordering::Release);
                state.trace_number(waker.id);
                return Step::Poll(waker);
            }
        }
        let next = state.timers.keys().next().map(|(at, _)| *at);
        let reached = match goal {
            Goal::Stalled => None,
            Goal::Root | Goal::Idle => next,
            Goal::Time(end) => {
                let at = next.map_or(end, |next| next.min(end));
                (at > state.now || next == Some(at)).then_some(at)
            }
        };
        let Some(reached) = reached else {
            return Step::Nothing;
        };
        let now = state.now.max(reached);
        state.now = now;
        let later = state.timers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.timers, later);
        // Wakers are foreign code: called and dropped outside of the lock.
        drop(state);
        due.into_values().for_each(Waker::wake);
        Step::Advanced
    }

    /// Polls one task; true when it is the root and has ended.
    fn poll(
        &self,
        task_waker: &Arc<TaskWaker>,
        root: &mut dyn FnMut(&mut Context<'_>) -> bool,
    ) -> Result<bool, SimulationError> {
        let id = task_waker.id;
        let waker = Waker::from(task_waker.clone());
        let mut context = Context::from_waker(&waker);
        if id == ROOT {
            return Ok(root(&mut context));
        }
        let taken = lock(&self.shared.state).tasks.get_mut(&id).and_then(|task| {
            task.steps += 1;
            task.future.take()
        });
        // Ended or killed after it was woken.
        let Some(mut future) = taken else {
            return Ok(false);
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        if let Ok(Poll::Pending) = outcome {
            if let Some(task) = lock(&self.shared.state).tasks.get_mut(&id) {
                task.future = Some(future);
            }
            // Else it was killed by what it did itself, and ends here.
            return Ok(false);
        }
        let ended = {
            let mut state = lock(&self.shared.state);
            let ended = state.tasks.remove(&id);
            if let Some(task) = &ended {
                state.count_ended(&task.name, task.steps);
            }
            ended
        };
        drop(future);
        match outcome {
            Ok(_) => Ok(false),
            Err(panic) => {
                let nobody = || TaskInfo { group: "killed".to_string(), name: "killed".to_string() };
                let task = ended.as_ref().map_or_else(nobody, info);
                Err(SimulationError::TaskPanicked { task, message: panic_message(&*panic) })
            }
        }
    }

    fn spawn(&self, group: &Arc<Group>, name: &str, future: BoxFuture<()>) {
        let mut state = lock(&self.shared.state);
        if !group.alive.load(Ordering::Acquire) {
            // The future is foreign code: dropped outside of the lock.
            drop(state);
            return;
        }
        let id = state.next_task;
        state.next_task += 1;
        state.tasks.insert(id, Task { name: name.to_string(), group: group.clone(), future: Some(future), steps: 0 });
        drop(state);
        TaskWaker::new(id, &self.shared.ready).wake();
    }

    fn stalled(&self) -> SimulationError {
        let state = lock(&self.shared.state);
        let tasks = state.tasks.values().take(NAMED_TASKS_MAX).map(info).collect();
        SimulationError::Stalled { live: state.tasks.len(), tasks }
    }

    fn too_many_steps(&self, steps: u64, at_one_instant: u64) -> SimulationError {
        let state = lock(&self.shared.state);
        let mut by_name = state.ended_steps.clone();
        for task in state.tasks.values() {
            *by_name.entry(info(task).to_string()).or_default() += task.steps;
        }
        let mut busiest: Vec<(String, u64)> = by_name.into_iter().filter(|(_, steps)| *steps > 0).collect();
        busiest.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        busiest.truncate(NAMED_TASKS_MAX);
        SimulationError::StepLimit { steps, at_one_instant, busiest }
    }
}

impl State {
    /// Folds a number into the trace, with the time.
    fn trace_number(&mut self, number: u64) {
        self.trace.write(&self.now.as_nanos().to_le_bytes());
        self.trace.write(&number.to_le_bytes());
    }

    fn count_ended(&mut self, name: &str, steps: u64) {
        let known = self.ended_steps.len() < ENDED_NAMES_MAX || self.ended_steps.contains_key(name);
        let name = if known { name } else { "others that have ended" };
        *self.ended_steps.entry(name.to_string()).or_default() += steps;
    }
}

/// Marks the simulation as not running when dropped.
struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn info(task: &Task) -> TaskInfo {
    TaskInfo { group: task.group.label.clone(), name: task.name.clone() }
}

/// A seed for one purpose, from the world's seed: any two purposes get unrelated streams.
pub(crate) fn derive(seed: u64, purpose: &str, life: u64) -> [u8; 32] {
    let mut out = [0; 32];
    for (index, part) in out.chunks_exact_mut(8).enumerate() {
        let mut hasher = XxHash64::with_seed(seed);
        hasher.write_u64(index as u64);
        hasher.write_u64(life);
        hasher.write(purpose.as_bytes());
        part.copy_from_slice(&hasher.finish().to_le_bytes());
    }
    out
}
