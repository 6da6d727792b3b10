//! How a run can end before its goal.

/// Why a simulation did not get to where it was to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// Nothing can run, no timer is pending, and what was awaited has not come.
    #[error("stalled: nothing is ready and no timer is pending; {live} tasks wait for ever, such as {tasks:?}")]
    Stalled {
        /// Live tasks.
        live: usize,
        /// The first of them.
        tasks: Vec<TaskInfo>,
    },
    /// Too many steps: a live-lock, or a longer run than the limit allows.
    #[error(
        "no end after {steps} steps, {at_one_instant} of them with the clock standing still; busiest tasks: {busiest:?}"
    )]
    StepLimit {
        /// Steps in this run.
        steps: u64,
        /// How many of them were taken since the clock moved.
        at_one_instant: u64,
        /// Tasks and their steps in this run, the busiest first.
        busiest: Vec<(String, u64)>,
    },
    /// A task panicked; it is gone, the others can be run on.
    #[error("task {task} panicked: {message}")]
    TaskPanicked {
        /// The task.
        task: TaskInfo,
        /// The panic's message.
        message: String,
    },
    /// A `run_` method was called from inside a run, or from two threads at once.
    #[error("the simulation is already being run")]
    AlreadyRunning,
}

/// A live task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskInfo {
    /// The label of the environment that spawned it.
    pub group: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}
