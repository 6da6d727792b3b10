//! Inputs that are there at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use overseer::{Context, Event, Failure, Nothing, Subsystem};

struct Go(u32);
overseer::inbox! { enum WorkerInbox for Worker as "worker" { tell { Go } } }

/// What it does, in order: begins each in the loop, ends it in a task.
struct Works(Arc<Mutex<Vec<String>>>);

impl Subsystem for Works {
    type Role = Worker;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(WorkerInbox::Go(Go(number))) => {
                    self.0.lock().expect("one thread").push(format!("begins {number}"));
                    let done = self.0.clone();
                    let work = async move { done.lock().expect("one thread").push(format!("ends {number}")) };
                    context.environment().spawner.spawn("work", Box::pin(work));
                }
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

/// All that happened under some seed, with two that are told one by one or together.
fn seen(together: bool) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    mocks::schedules(200, |seed| {
        let done = Arc::new(Mutex::new(Vec::new()));
        let harness = mocks::node_with(seed, |slots| slots.fill(Works(done.clone())));
        let tell = |harness: &mocks::Harness| {
            harness.tell(Go(1));
            harness.together(|harness| harness.tell(Go(2)));
        };
        if together {
            harness.together(tell)
        } else {
            tell(&harness)
        }
        harness.finish();
        seen.insert(done.lock().expect("one thread").join(", "));
    });
    seen
}

#[test]
fn what_comes_together_comes_in_every_order_and_in_the_middle_of_work() {
    assert_eq!(Vec::from_iter(seen(false)), ["begins 1, ends 1, begins 2, ends 2"]);
    let seen = seen(true);
    assert!(seen.contains("begins 1, ends 1, begins 2, ends 2"), "{seen:?}");
    assert!(seen.contains("begins 1, begins 2, ends 1, ends 2"), "in the middle of its work: {seen:?}");
    assert!(seen.iter().any(|order| order.starts_with("begins 2")), "{seen:?}");
}
