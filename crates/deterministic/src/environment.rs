//! Spawning, time, and the bundle of all that a subsystem is given.

use std::{future::Future, sync::Arc, time::Duration};

use futures::future::{Either, select};

use crate::{Compute, Entropy};

/// A future that owns all it needs and may move between threads.
pub type BoxFuture<T> = futures::future::BoxFuture<'static, T>;

/// Starts tasks that run beside their starter.
pub trait Spawner: Send + Sync {
    /// Starts `task` under `name`, which shows up in task lists, traces and errors.
    ///
    /// The task runs until it returns or its runtime ends; nobody waits for it. A spawner whose runtime (or,
    /// in the simulator, whose node) has ended drops the task unrun.
    fn spawn(&self, name: &str, task: BoxFuture<()>);
}

/// Time, as a length since the Unix epoch. Virtual clocks start at a fixed epoch.
pub trait Clock: Send + Sync {
    /// The time since the Unix epoch.
    ///
    /// The real clock follows the machine's and can step when that is set: take differences with
    /// `saturating_sub`.
    fn now(&self) -> Duration;

    /// The time since some moment of this clock's own, for measuring and for deadlines: it passes evenly, and does not
    /// step when the machine's clock is set.
    fn steady(&self) -> Duration {
        self.now()
    }

    /// Returns once [`Clock::now`] has reached `at`; at once if it already has.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes its timer.
    fn sleep_until(&self, at: Duration) -> BoxFuture<()>;

    /// Returns after `duration` has passed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes its timer.
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        self.sleep_until(self.now().saturating_add(duration))
    }
}

/// All that a subsystem is given instead of reaching for globals.
#[derive(Clone)]
pub struct Environment {
    /// Starts tasks.
    pub spawner: Arc<dyn Spawner>,
    /// Tells and awaits time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Runs long or blocking work off the loop.
    pub compute: Arc<dyn Compute>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("now", &self.clock.now()).finish_non_exhaustive()
    }
}

/// Awaits `future` for at most `duration`: `None` when the time ran out first.
///
/// The future is looked at first, so one that is ready wins even with a `duration` of zero.
///
/// # Cancel safety
///
/// On time-out `future` is dropped; it must be cancel-safe itself if that matters.
pub async fn timeout<F: Future>(clock: &dyn Clock, duration: Duration, future: F) -> Option<F::Output> {
    let sleep = clock.sleep(duration);
    match select(std::pin::pin!(future), sleep).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}
