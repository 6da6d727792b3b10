//! The environment of a recorded or replayed subsystem.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use deterministic::{BoxFuture, Clock, Compute, ComputeKind, Entropy, Environment, Spawner};

use super::forms::copy_of;
use super::tape::{Reel, Text};

/// Every use of it is an event. `live` is there while recording.
pub(super) fn taped(reel: &Reel, live: Option<Environment>) -> Environment {
    let taped = Arc::new(Taped { reel: reel.clone(), live });
    Environment { spawner: taped.clone(), clock: taped.clone(), entropy: taped.clone(), compute: taped }
}

struct Taped {
    reel: Reel,
    live: Option<Environment>,
}

impl Taped {
    /// What is played has nobody to be handed to.
    fn live<T: Default>(&self, act: impl FnOnce(&Environment) -> T) -> T {
        self.live.as_ref().map(act).unwrap_or_default()
    }
}

impl Clock for Taped {
    fn now(&self) -> Duration {
        self.reel.act(Text::new(format_args!("reads the clock")), |_| self.live(|live| live.clock.now())).1
    }

    fn steady(&self) -> Duration {
        self.reel.act(Text::new(format_args!("reads the steady clock")), |_| self.live(|live| live.clock.steady())).1
    }

    fn sleep_until(&self, at: Duration) -> BoxFuture<()> {
        let reel = self.reel.clone();
        let (event, ()) = reel.act(Text::new(format_args!("sleeps until {at:?}")), |_| ());
        let sleep = self.live.as_ref().map(|live| live.clock.sleep_until(at));
        let over = move |(): &()| Text::new(format_args!("its sleep of event {event} is over"));
        Box::pin(async move { reel.wait(event, copy_of::<()>, over, sleep.unwrap_or_else(never)).await })
    }
}

fn never() -> BoxFuture<()> {
    Box::pin(std::future::pending())
}

impl Entropy for Taped {
    fn fill(&self, out: &mut [u8]) {
        let length = out.len();
        let draw = |_| {
            let mut bytes = vec![0; length];
            self.live(|live| live.entropy.fill(&mut bytes));
            bytes
        };
        let (_, bytes) = self.reel.act(Text::new(format_args!("draws {length} bytes")), draw);
        // Of another length only after the first difference.
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }
}

impl Spawner for Taped {
    fn spawn(&self, name: &str, task: BoxFuture<()>) {
        let (event, ()) = self.reel.act(Text::new(format_args!("spawns {name}")), |_| ());
        let label = format!("task {event} ({name})");
        let task = Box::pin(self.reel.in_turns(event, &label, task, |()| None));
        match &self.live {
            Some(live) => live.spawner.spawn(name, task),
            None => self.reel.spawn(event, task),
        }
    }
}

impl Compute for Taped {
    fn run(&self, kind: ComputeKind, bytes: usize, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        let (reel, live) = (self.reel.clone(), self.live.clone());
        Box::pin(async move {
            let (event, ()) = reel.act(Text::new(format_args!("computes {kind:?} of {bytes} bytes")), |_| ());
            let over = move |(): &()| Text::new(format_args!("its work of event {event} is done"));
            let done = match live {
                Some(live) => live.compute.run(kind, bytes, work),
                None => {
                    // As on any pool, a panic ends the work alone; who waits for its result sees that.
                    let _ = catch_unwind(AssertUnwindSafe(work));
                    never()
                }
            };
            reel.wait(event, copy_of::<()>, over, done).await;
        })
    }
}
