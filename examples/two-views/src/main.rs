//! Two heartbeats in one node: relay parents, and a counter a thousand times as fast. Each subsystem declares the one it
//! hears; entries of the other cost it not even a wake.
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use deterministic::Simulation;
use overseer::{Context, Event, Failure, Subsystem, View};

/// Relay parents, by height: an entry starts one and stops its parent.
enum RelayParents {}
impl View for RelayParents {
    type Update = u32;
    type State = u32;
    fn apply(state: &mut u32, height: &u32) {
        *state = *height;
    }
    fn catch_up(_seen: &u32, now: &u32) -> u32 {
        *now
    }
}

/// A fast counter: an entry says by how much it grew.
enum Ticks {}
impl View for Ticks {
    type Update = u64;
    type State = u64;
    fn apply(state: &mut u64, ticks: &u64) {
        *state += ticks;
    }
    fn catch_up(seen: &u64, now: &u64) -> u64 {
        now - seen
    }
}

overseer::inbox! { enum BuilderInbox for Builds as "builder" {} }
overseer::inbox! { enum PacerInbox for Paces as "pacer" {} }
overseer::node! { struct Node, built by NodeBuilder { builder: Builds, pacer: Paces } }

/// What a subsystem leaves behind: how often it was woken, and the sum of what it heard.
#[derive(Clone, Default)]
struct Seen {
    polls: Arc<AtomicU32>,
    sum: Arc<AtomicU32>,
}

impl Seen {
    /// Counts how often `work` is polled.
    async fn counting<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            self.polls.fetch_add(1, Ordering::Relaxed);
            work.as_mut().poll(cx)
        })
        .await
    }

    fn read(&self) -> (u32, u32) {
        (self.polls.load(Ordering::Relaxed), self.sum.load(Ordering::Relaxed))
    }
}

struct OnBlocks(Seen);
impl Subsystem for OnBlocks {
    type Role = Builds;
    type View = RelayParents;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        while let Event::Signal(height) = self.0.counting(context.recv()).await {
            self.0.sum.fetch_add(height, Ordering::Relaxed);
        }
        Ok(())
    }
}

struct OnTicks(Seen);
impl Subsystem for OnTicks {
    type Role = Paces;
    type View = Ticks;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        while let Event::Signal(ticks) = self.0.counting(context.recv()).await {
            self.0.sum.fetch_add(ticks as u32, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    let (builder, pacer) = (Seen::default(), Seen::default());
    let simulation = Simulation::new(1);
    let node = NodeBuilder::new(simulation.environment("node"))
        .builder(OnBlocks(builder.clone()))
        .pacer(OnTicks(pacer.clone()))
        .build()?;
    let handle = node.handle();
    simulation.environment("node").spawner.spawn("node", Box::pin(async { drop(node.run().await) }));
    simulation.run_until_idle()?;
    handle.publish::<RelayParents>(1);
    simulation.run_until_idle()?;
    let before = builder.read().0;
    for _ in 0..1000 {
        handle.publish::<Ticks>(1);
        simulation.run_until_idle()?;
    }
    let after = builder.read().0;
    handle.publish::<RelayParents>(2);
    simulation.run_until_idle()?;
    let ((_, heights), (polls, ticks)) = (builder.read(), pacer.read());
    println!("the pacer heard {ticks} ticks and was polled {polls} times");
    println!("the builder heard both blocks, and was polled {} times while the ticks came", after - before);
    handle.stop();
    simulation.run_until_idle()?;
    if (after, heights, ticks) == (before, 3, 1000) { Ok(()) } else { Err("a view was heard by the wrong one".into()) }
}
