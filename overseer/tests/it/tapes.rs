//! Tapes of instances that are harder to play: one that panics, one that never waits, one that purges.

use std::collections::BTreeSet;
use std::time::Duration;

use deterministic::Simulation;
use overseer::replay::{Recordable, Tape, replay};
use overseer::wiring::FitsInto;
use overseer::{Cast, Context, Event, Failure, Nothing, Outside, Subsystem, Wait};

use crate::Beats;

#[derive(Clone, Debug)]
struct Order(u32);
#[derive(Clone, Debug)]
struct Note(#[expect(dead_code, reason = "a tape shows it")] u64);
overseer::inbox! {
    enum ClerkInbox for Clerk as "clerk" { tell { Order } }
}
overseer::inbox! {
    enum FileInbox for File as "file" { tell { Note } }
}
overseer::node! {
    struct Desk, built by DeskBuilder { clerk: Clerk, file: File }
}
struct Customer;
impl Outside for Customer {
    const NAME: &'static str = "customer";
    type Sends = (Wait<Order>,);
}

/// A tape of one who gets five orders, and whose node is stopped when it rests.
fn recorded<S>(clerk: S) -> Tape
where
    S: Recordable + Subsystem<Role = Clerk>,
    S::Sends: FitsInto<Desk, S>,
    S::JobSends: FitsInto<Desk, S>,
{
    let (simulation, tape) = (Simulation::new(3), Tape::new());
    let builder = DeskBuilder::new(simulation.environment("node")).recorded(&tape, clerk).drain_empty_slots();
    let node = builder.outside::<Customer>().build().expect("no cycle");
    let handle = node.handle();
    let customer = handle.outlet::<Customer>().expect("there is a clerk");
    simulation.environment("node").spawner.spawn("node", Box::pin(async { drop(node.run().await) }));
    for number in 0..5 {
        simulation.run_until(customer.send(Order(number))).expect("an end").expect("it is open");
    }
    // One of its tasks may have panicked, which ends none of the others.
    let _ = simulation.run_until_idle();
    handle.stop();
    let _ = simulation.run_until_idle();
    assert!(tape.lines().last().expect("events").ends_with("clerk ends: Ok(())"), "{:#?}", tape.lines());
    tape
}

/// One of its tasks panics, with what it holds.
struct Panics(&'static str);
struct Speaks(overseer::Environment);
impl Drop for Speaks {
    fn drop(&mut self) {
        self.0.clock.now();
    }
}
impl Subsystem for Panics {
    type Role = Clerk;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(ClerkInbox::Order(Order(number))) => {
                    let (words, environment) = (self.0, context.environment().clone());
                    let task = async move {
                        let _speaks = Speaks(environment.clone());
                        environment.clock.sleep(Duration::from_secs(1)).await;
                        assert!(number != 2, "{words}");
                    };
                    context.environment().spawner.spawn("task", Box::pin(task));
                }
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn a_task_that_panicked_panics_again() {
    let tape = recorded(Panics("oh"));
    assert!(tape.lines().iter().any(|line| line.ends_with("(task) ends: panicked: oh")), "{:#?}", tape.lines());
    assert_eq!(replay(&tape, Panics("oh")), Ok(tape.len()));
    let difference = replay(&tape, Panics("ah")).expect_err("it panicked otherwise");
    assert!(difference.expected.ends_with("ends: panicked: oh"), "{difference}");
    assert!(difference.came.ends_with("ends: panicked: ah"), "{difference}");
}

/// Draws two numbers per order that it has never drawn, and waits for a clock that goes on while it looks.
struct Draws(u64);
impl Subsystem for Draws {
    type Role = Clerk;
    type View = Nothing;
    type Sends = (Cast<Note>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut drawn = BTreeSet::new();
        loop {
            match context.recv().await {
                Event::Message(ClerkInbox::Order(Order(number))) => {
                    context.cast(Note(self.0 * u64::from(number)))?;
                    for _ in 0..2 {
                        while !drawn.insert(deterministic::u64(&*context.environment().entropy)) {}
                    }
                    while context.environment().clock.now().is_zero() {}
                }
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn the_first_difference_ends_also_one_who_would_go_on_for_ever() {
    let tape = recorded(Draws(1));
    assert_eq!(replay(&tape, Draws(1)), Ok(tape.len()));
    let difference = replay(&tape, Draws(2)).expect_err("it casts otherwise");
    assert_eq!((&*difference.expected, &*difference.came), ("casts Note(1) to file", "casts Note(2) to file"));
}

/// Takes all that waits with each order it gets, and tells how much that was, and how often it caught up.
struct Purges(u32);
impl Subsystem for Purges {
    type Role = Clerk;
    type View = Beats;
    type Sends = (Cast<Note>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let clock = context.environment().clock.clone();
        loop {
            match context.recv().await {
                Event::Message(ClerkInbox::Order(Order(first))) => {
                    clock.sleep(Duration::from_secs(1)).await;
                    let gone = context.purge(|_| true).unwrap_or_default();
                    let sum: u32 = gone.iter().map(|ClerkInbox::Order(Order(number))| *number).sum();
                    context.cast(Note(u64::from(self.0 * first + sum) + context.catch_ups()))?;
                }
                Event::Signal(_) => {}
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn what_was_purged_is_handed_out_again() {
    let tape = recorded(Purges(1));
    let lines = tape.lines();
    let purged = lines.iter().position(|line| line.ends_with("purges its queue")).expect("it purged");
    assert!(lines[purged + 1].ends_with("receives Order(1)"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with("casts Note(10) to file")), "{lines:#?}");
    assert_eq!(replay(&tape, Purges(1)), Ok(tape.len()));
}
