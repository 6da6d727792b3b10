//! `jobs::next` on tokio's own runtime, whose tasks have a budget. It stands here because `jobs` itself knows no runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use jobs::{ENDS_IN_A_ROW_MAX, Ending, Input, Jobs, next};
use overseer::node::Builder;
use overseer::{Context, Event, Failure, Nothing, Outside, Role as _, Subsystem, Wait};
use tokio::task::coop;

struct Anyway;
overseer::inbox! {
    enum Inbox for Worker as "worker" { tell { Anyway } }
}
struct Test;
impl Outside for Test {
    const NAME: &'static str = "test";
    type Sends = (Wait<Anyway>,);
}

/// Has spent all that tokio lets a task do in one turn before each look at what is next; starts a job for each that
/// ends, and counts messages and ends.
struct Spent(Arc<AtomicU32>);
/// More end at once than come in a row.
const CHAINS: u32 = 2 * ENDS_IN_A_ROW_MAX;
const TAKEN: u32 = 10 * CHAINS;
const MESSAGES: u32 = 3 * CHAINS;
impl Subsystem for Spent {
    type Role = Worker;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Jobs::<u32, ()>::new(context.environment().clone(), CHAINS as usize);
        jobs.open(1, Ending::UntilStop);
        for _ in 0..CHAINS {
            jobs.spawn(&1, "chain", async {})?;
        }
        loop {
            let mut next = Box::pin(next(&mut context, &mut jobs));
            let input = std::future::poll_fn(|cx| {
                // Never asked when there is none left: that would wake this task for the loop's sake.
                while coop::has_budget_remaining() {
                    if let Poll::Ready(budget) = coop::poll_proceed(cx) {
                        budget.made_progress();
                    }
                }
                next.as_mut().poll(cx)
            });
            let input = input.await;
            drop(next);
            match input {
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Event(_) => {}
                Input::Job(_) => jobs.spawn(&1, "chain", async {})?,
            }
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_loop_whose_budget_is_spent_misses_no_wake_and_starves_nobody() {
    /// Turns that somebody beside the loop takes before the test gives up.
    const TURNS_MAX: u32 = 1_000_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it does not fail");
    let (turns, taken) = runtime.block_on(async {
        let environment = deterministic::Environment::system().expect("it does not fail");
        let taken = Arc::new(AtomicU32::new(0));
        let mut builder = Builder::new(environment, &[Worker::NAME]);
        builder.fill(Spent(taken.clone()));
        let node = builder.build().expect("it does not fail");
        let (handle, test) = (node.handle(), node.handle().outlet::<Test>().expect("it does not fail"));
        let node = tokio::spawn(node.run());
        let sending = tokio::spawn(async move {
            for _ in 0..MESSAGES {
                test.send(Anyway).await.expect("it does not fail");
            }
        });
        let mut turns = 0;
        while turns < TURNS_MAX && (taken.load(Ordering::Relaxed) < TAKEN || !sending.is_finished()) {
            turns += 1;
            tokio::task::yield_now().await;
        }
        handle.stop();
        assert!(node.await.expect("it does not fail").is_clean());
        (turns, taken.load(Ordering::Relaxed))
    });
    assert!(turns < TURNS_MAX, "it sleeps after {taken}");
    assert!(turns >= TAKEN / CHAINS / 2, "{turns} turns for others");
}
