//! The seeded sides of the traits.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rand_core::Rng;

use super::{Group, Simulation, lock};
use crate::{BoxFuture, Clock, Compute, ComputeKind, Entropy, Environment, Spawner};

pub(super) fn environment(simulation: &Simulation, group: Arc<Group>) -> Environment {
    let node = Arc::new(Node { simulation: simulation.clone(), group });
    Environment { spawner: node.clone(), clock: node.clone(), entropy: node.clone(), compute: node }
}

/// One label's share of the world.
struct Node {
    simulation: Simulation,
    group: Arc<Group>,
}

impl Spawner for Node {
    fn spawn(&self, name: &str, task: BoxFuture<()>) {
        self.simulation.spawn(&self.group, name, task);
    }
}

impl Entropy for Node {
    fn fill(&self, out: &mut [u8]) {
        lock(&self.group.entropy).fill_bytes(out);
    }
}

impl Clock for Node {
    fn now(&self) -> Duration {
        self.simulation.now()
    }

    fn sleep_until(&self, at: Duration) -> BoxFuture<()> {
        Box::pin(Sleep { simulation: self.simulation.clone(), at, timer: None })
    }
}

/// A timer of the virtual clock; dropping it removes it.
struct Sleep {
    simulation: Simulation,
    at: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let simulation = self.simulation.clone();
        // Foreign code as well as the dropping of it, so outside of the lock.
        let waker = context.waker().clone();
        let mut state = lock(&simulation.shared.state);
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let timer = *self.timer.get_or_insert_with(|| {
            state.next_timer += 1;
            state.next_timer
        });
        let replaced = state.timers.insert((self.at, timer), waker);
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            let removed = lock(&self.simulation.shared.state).timers.remove(&(self.at, timer));
            drop(removed);
        }
    }
}

impl Compute for Node {
    fn run(&self, kind: ComputeKind, bytes: usize, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        let simulation = self.simulation.clone();
        let sleep_from_now = move |duration| {
            let at = simulation.now().saturating_add(duration);
            Sleep { simulation: simulation.clone(), at, timer: None }
        };
        let cost = lock(&self.simulation.shared.state).costs.cost(kind).of(bytes);
        Box::pin(async move {
            // As on the real pool, a panic ends the work alone.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            if outcome.is_err() {
                tracing::error!(?kind, "work panicked");
            }
            sleep_from_now(cost).await;
        })
    }
}
