//! Running a node, and ending it in order.

use std::collections::BTreeMap;
use std::time::Duration;

use deterministic::{BoxFuture, Environment, drop_caught};
use tokio::sync::mpsc;

use crate::exit::{ExitCause, ExitReport, cause_of};
use crate::node::Handle;
use crate::recorder;
use crate::task::{AbortHandle, End};

/// Time that subsystems have to return after the conclude signal.
pub const CONCLUDE_DEADLINE: Duration = Duration::from_secs(3);

/// Time that is given to subsystems which are dropped, to be gone and to leave their last events. One that blocks its
/// thread is not gone by then.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// A node that was built. [`run`](Self::run) starts it; dropping it starts nothing.
pub struct Overseer {
    pub(super) environment: Environment,
    pub(super) tasks: Vec<(&'static str, BoxFuture<()>, AbortHandle)>,
    pub(super) ends: mpsc::Receiver<End>,
    pub(super) handle: Handle,
}

impl Overseer {
    /// The way in from outside. Take it before [`run`](Self::run), which consumes the overseer.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs every subsystem, each as a task of its own, until [`Handle::stop`] or the first that ends, fails or panics;
    /// then concludes: every subsystem hears [`Event::Conclude`](crate::Event::Conclude), has [`CONCLUDE_DEADLINE`] to
    /// return, and is dropped after that.
    ///
    /// The report names the first cause: who closed its mailbox first, though others whom that ended be gone before it
    /// has returned. After a stop, the first that panics or fails while it concludes is one. If that was no stop, or
    /// somebody did not return in time, it holds the last events of each subsystem
    /// ([`RECORDED_EVENTS`](recorder::RECORDED_EVENTS)) as well, which are also logged.
    ///
    /// # Cancel safety
    /// Not cancel-safe: subsystems that were started run on without a supervisor when the future is dropped. Use
    /// [`Handle::stop`].
    ///
    /// # Examples
    /// ```
    /// # use overseer::{Failure, node::ExitCause, subsystem::Drain};
    /// # pub struct Add(pub u64);
    /// # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
    /// # overseer::node! { pub struct Small, built by SmallBuilder { counter: Counter } }
    /// let simulation = deterministic::Simulation::new(1);
    /// let node = SmallBuilder::new(simulation.environment("node")).counter(Drain::default()).build()?;
    /// node.handle().stop();
    /// let report = simulation.run_until(node.run())?;
    /// assert!(report.is_clean() && matches!(report.cause, ExitCause::Stopped));
    /// # Ok::<(), Failure>(())
    /// ```
    pub async fn run(self) -> ExitReport {
        let mut ends = self.ends;
        let mut running: BTreeMap<&'static str, AbortHandle> = BTreeMap::new();
        for (name, task, abort) in self.tasks {
            running.insert(name, abort);
            self.environment.spawner.spawn(name, task);
        }

        let mut stop = self.handle.shared.stop.subscribe();
        // Others may end because of it, and be gone before it: it is the cause when it comes to its end.
        let mut first = None;
        let mut cause = tokio::select! {
            biased;
            end = ends.recv() => match end {
                Some((name, outcome)) => {
                    running.remove(name);
                    first = self.handle.shared.first_to_end();
                    cause_of(name, outcome)
                }
                None => ExitCause::Stopped,
            },
            _ = stop.wait_for(|stop| *stop) => ExitCause::Stopped,
        };
        if !matches!(cause, ExitCause::Stopped) {
            tracing::error!(%cause, first, "node ends");
            // For those who only look on.
            self.handle.stop();
        }
        self.handle.shared.conclude();
        let deadline = self.environment.clock.sleep(CONCLUDE_DEADLINE);
        let mut hear = |(name, outcome): End| {
            let is_first = first == Some(name);
            let failed = match is_first {
                true => Some(cause_of(name, outcome)),
                false => self.handle.shared.failed_concluding(name, outcome),
            };
            let Some(mut failed) = failed else { return };
            tracing::error!(cause = %failed, "while concluding");
            if is_first || matches!(cause, ExitCause::Stopped) {
                std::mem::swap(&mut cause, &mut failed);
            }
            drop_caught(failed);
        };
        let drain = async {
            while !running.is_empty() {
                let Some(end) = ends.recv().await else { break };
                running.remove(end.0);
                hear(end);
            }
        };
        tokio::select! {
            biased;
            () = drain => {}
            () = deadline => {}
        }
        for abort in running.values() {
            abort.abort();
        }
        let unfinished: Vec<&'static str> = running.into_keys().collect();
        if !unfinished.is_empty() {
            tracing::warn!(?unfinished, "subsystems did not return in time and were dropped");
            let deadline = self.environment.clock.sleep(DROP_DEADLINE);
            // Each task holds one sending side, and lets go of it after its subsystem.
            let gone = async {
                while let Some(end) = ends.recv().await {
                    hear(end);
                }
            };
            tokio::select! {
                biased;
                () = gone => {}
                () = deadline => {}
            }
        }
        let mut report = ExitReport { cause, unfinished, last_events: BTreeMap::new() };
        if !report.is_clean() {
            let readers = self.handle.shared.readers.iter();
            report.last_events = readers.map(|reader| (reader.subsystem, reader.recording.read())).collect();
            for (subsystem, events) in &report.last_events {
                tracing::info!(subsystem, events = %recorder::line(events), "last events");
            }
        }
        report
    }
}
