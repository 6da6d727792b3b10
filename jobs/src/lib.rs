//! Work per scope: a relay parent, a session, a cluster height.
//!
//! **Role**: gives a subsystem's loop a set of scopes, each with tasks that are cancelled when the scope ends and whose
//! results come back to the loop as events. The overseer knows nothing of it (OV-7).
//!
//! - [`Jobs`] holds the scopes, each with the rule by which it ends ([`Ending`]); [`next`] is the loop's one wait, for
//!   its mailbox and its jobs at once.
//! - [`Nest`] is what a task holds to start more tasks in its own scope.
//! - [`Jobs::admit`] drops and counts a message whose scope has ended; [`next_scoped`] does so for every message that says
//!   it goes with its scope ([`Scoped`]), and takes those that are queued out of the mailbox when the scope ends.
//! - [`Router`] is for jobs that live as long as their scope and are told things: one bounded line each.
//!
//! **Receives** and **sends**: nothing of its own; what tasks send goes through
//! [`Context::jobs`](overseer::Context::jobs), as the subsystem declared in `JobSends`.
//!
//! **Invariants**: a task of an ended scope is never polled again; its result is never delivered. A task that panics is
//! reported with its scope and takes nobody with it, also when dropping it after it was cancelled, or a result that
//! nobody wants, panics. Dropping [`Jobs`] cancels every task, nested ones as well.
//!
//! **Limits**: at most [`SCOPES_MAX`] scopes and the given number of tasks per set, [`ENDS_IN_A_ROW_MAX`] ends before
//! an event; a [`Router`]'s lines are as long as it was told.
//!
//! **Conclude**: the loop drops its [`Jobs`] when it returns, and every task with them. One that must end first is
//! waited for, with [`Jobs::next`], within the time that subsystems have to conclude.
//!
//! # The loop
//!
//! Open a scope when work on something starts, spawn tasks in it, take their ends as events, end scopes by the view:
//!
//! ```
//! use jobs::{Ending, Input, Jobs, ScopeView};
//! use overseer::{Ask, Context, Event, Failure, Subsystem};
//! # use overseer::View;
//! # enum Days {}
//! # impl View for Days {
//! #     type Update = u32;
//! #     type State = u32;
//! #     fn apply(today: &mut u32, begins: &u32) { *today = *begins; }
//! #     fn catch_up(_: &u32, now: &u32) -> u32 { *now }
//! # }
//! # pub struct Forecast { pub day: u32 }
//! # overseer::inbox! { pub enum OfficeInbox for Office as "office" { ask { Forecast -> i32 } } }
//! # overseer::inbox! { pub enum ReaderInbox for Reads as "reader" {} }
//! # struct Today(u32);
//! # impl ScopeView<u32> for Today {
//! #     fn is_active(&self, day: &u32) -> bool { *day == self.0 }
//! #     fn is_in_view(&self, day: &u32, depth: u32) -> bool { self.0.checked_sub(*day).is_some_and(|age| age <= depth) }
//! #     fn finalized_height(&self) -> u32 { 0 }
//! # }
//!
//! struct Reader;
//! impl Subsystem for Reader {
//!     type Role = Reads;
//!     type View = Days;
//!     type Sends = ();
//!     type JobSends = (Ask<Forecast>,);
//!
//!     async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
//!         let mut jobs = Jobs::new(context.environment().clone(), 16);
//!         loop {
//!             match jobs::next(&mut context, &mut jobs).await {
//!                 Input::Event(Event::Signal(day)) => {
//!                     jobs.end_by_view(&Today(day)); // what was asked for an earlier day is of no use
//!                     jobs.open(day, Ending::UntilStop);
//!                     let office = context.jobs();
//!                     jobs.spawn(&day, "ask", async move { office.ask(Forecast { day }).await })?;
//!                 }
//!                 Input::Job(end) => {
//!                     if let Some((day, Ok(degrees))) = end.into_result() {
//!                         println!("day {day}: {degrees} degrees");
//!                     }
//!                 }
//!                 Input::Event(Event::Message(never)) => match never {},
//!                 Input::Event(Event::Conclude) => return Ok(()),
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! # One task
//!
//! ```
//! use jobs::{Ending, Jobs, Outcome};
//! let simulation = deterministic::Simulation::new(1);
//! let mut jobs = Jobs::<u32, &str>::new(simulation.environment("node"), 8);
//! jobs.open(7, Ending::UntilStop);
//! jobs.spawn(&7, "greet", async { "hello" })?;
//! let end = simulation.run_until(jobs.next()).expect("the task ends");
//! assert_eq!((end.scope, end.name), (7, "greet"));
//! assert!(matches!(end.outcome, Outcome::Done("hello")));
//! # Ok::<(), jobs::JobRefused>(())
//! ```

#![forbid(unsafe_code)]

mod event;
mod router;
mod set;
#[cfg(test)]
mod tests;

pub use event::{ENDS_IN_A_ROW_MAX, Input, Scoped, next, next_scoped, purge};
pub use router::{Line, NotRouted, Router};
pub use set::{Jobs, Nest};

use std::time::Duration;

/// Scopes open at once in one set: relay parents above the last finalized block on all forks, with room to spare.
pub const SCOPES_MAX: usize = 1024;

/// The rule by which a scope ends. It is applied when the loop calls [`Jobs::end_by_view`]; [`Jobs::end`] ends any
/// scope at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// When its leaf stops ([`ScopeView::is_active`]): a leaf lives for one block only.
    UntilStop,
    /// When it is neither an active leaf nor one of the last `depth` ancestors of one, within the same session.
    WhileInView(u32),
    /// When a block of at least this height is final.
    UntilFinal(u32),
    /// With its last task, whatever the view says: when the loop takes that one's end, no scope is left. Tasks have this
    /// much time from when their scope was opened with this rule, also if they ran by then; one that has not ended by then is dropped, as [`Outcome::TimedOut`].
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

/// Why a task was not started. Its future was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobRefused {
    /// The scope is not open, or has ended.
    #[error("scope has ended or was never opened")]
    NoScope,
    /// As many tasks run as [`Jobs::new`] allowed; how many.
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

/// The end of one task, as the loop hears of it.
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
    /// The result with its scope; a panic or a time-out is logged with task and scope instead, and is `None`. For loops
    /// to which a task that gives nothing is ordinary.
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
