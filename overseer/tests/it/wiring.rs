//! What the builder refuses, and what it lets through: empty slots, circles of waits, taps, answers, outboxes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use deterministic::Simulation;
use overseer::node::BuildError;
use overseer::port::Tapped;
use overseer::{Ask, AskError, Cast, Context, Event, Failure, Nothing, Outside, Subsystem, Wait, WhenFull, subsystem};

pub(crate) struct Ping(u32);
pub(crate) struct Later(u32);
pub(crate) struct Sum;
overseer::inbox! {
    /// What the left hears.
    pub(crate) enum LeftInbox for Left as "left" { tell { Pong } }
}
overseer::inbox! {
    /// What the right hears.
    pub(crate) enum RightInbox for Right as "right" {
        tell { Ping, Later { const WHEN_FULL: WhenFull = WhenFull::Outbox(10_000); } }
        ask { Sum -> u32 }
    }
}
pub(crate) struct Pong;
overseer::node! {
    /// Two who talk.
    pub(crate) struct Both, built by BothBuilder { left: Left, right: Right }
}

struct WaitsForRight;
impl Subsystem for WaitsForRight {
    type Role = Left;
    type View = Nothing;
    type Sends = (Wait<Ping>, Cast<Later>);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        for number in 0..5_000 {
            context.cast(Later(number))?;
        }
        context.send(Ping(5)).await?;
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

struct WaitsForLeft;
impl Subsystem for WaitsForLeft {
    type Role = Right;
    type View = Nothing;
    type Sends = (Wait<Pong>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.send(Pong).await?;
        Ok(())
    }
}

struct Sums(Arc<Mutex<Vec<u32>>>);
impl Subsystem for Sums {
    type Role = Right;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut sum = 0;
        loop {
            match context.recv().await {
                Event::Signal(never) => match never {},
                Event::Message(RightInbox::Ping(Ping(number))) => sum += number,
                Event::Message(RightInbox::Later(Later(number))) => self.0.lock().expect("one thread").push(number),
                Event::Message(RightInbox::Sum(Sum, reply)) => {
                    if sum > 0 {
                        reply.answer(sum).expect("the asker waits");
                    }
                }
                Event::Conclude => return Ok(()),
            }
        }
    }
}

struct Asker;
impl Outside for Asker {
    const NAME: &'static str = "asker";
    type Sends = (Ask<Sum>,);
}

#[test]
fn an_empty_slot_is_named() {
    let builder = BothBuilder::new(Simulation::new(0).environment("node")).left(WaitsForRight);
    assert_eq!(builder.build().err(), Some(BuildError::EmptySlot("right")));
}

mod twin {
    overseer::inbox! {
        /// Nothing, under a name that is taken.
        pub(crate) enum Inbox for Twin as "left" {}
    }
}
overseer::node! {
    /// Two slots of one name.
    struct Twins, built by TwinsBuilder { left: Left, twin: twin::Twin }
}

#[test]
fn two_of_one_name_are_refused() {
    let builder = TwinsBuilder::new(Simulation::new(0).environment("node")).drain_empty_slots();
    assert_eq!(builder.build().err(), Some(BuildError::TwoOfOneName("left")));
}

#[test]
fn a_circle_of_waits_is_refused_and_printed() {
    let builder = BothBuilder::new(Simulation::new(0).environment("node")).left(WaitsForRight).right(WaitsForLeft);
    let error = builder.build().err().expect("a circle").to_string();
    assert_eq!(
        error,
        "sends wait for each other in a circle: \
         left (loop) waits with Ping at right; right (loop) waits with Pong at left"
    );
}

fn sum_with(tap: Option<u32>) -> Result<u32, AskError> {
    sum_of(tap, |builder| builder)
}

fn sum_of(tap: Option<u32>, wrap: impl FnOnce(BothBuilder) -> BothBuilder) -> Result<u32, AskError> {
    let simulation = Simulation::new(4);
    let environment = simulation.environment("node");
    let mut builder = wrap(BothBuilder::new(environment.clone()).left(WaitsForRight).right(Sums(Arc::default())));
    if let Some(change) = tap {
        builder = builder.tap::<Left, Ping>(move |Ping(number)| match change {
            0 => Tapped::Drop,
            1 => Tapped::Duplicate(Ping(number), Ping(number)),
            _ => Tapped::Pass(Ping(change)),
        });
    }
    let overseer = builder.build().expect("no cycle");
    let handle = overseer.handle();
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    simulation.run_until_stalled().expect("no live-lock");
    let asker = handle.outlet::<Asker>().expect("right has a slot");
    simulation.run_until(asker.ask(Sum)).expect("an answer or its loss")
}

#[test]
fn a_tap_passes_drops_replaces_and_duplicates() {
    assert_eq!(sum_with(None), Ok(5));
    assert_eq!(sum_with(Some(1)), Ok(10));
    assert_eq!(sum_with(Some(7)), Ok(7));
    assert_eq!(sum_with(Some(0)), Err(AskError::Dropped { message: "Sum", by: "right" }));
}

/// Asks once.
struct AsksRight(Arc<Mutex<Option<Result<u32, AskError>>>>);
impl Subsystem for AsksRight {
    type Role = Left;
    type View = Nothing;
    type Sends = (Ask<Sum>, Cast<Ping>);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.cast(Ping(7))?;
        let answer = context.ask(Sum).await;
        *self.0.lock().expect("one thread") = Some(answer);
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

#[test]
fn a_tap_on_questions_and_casts_does_the_same() {
    let asked = |seconds: u64, ping: fn(Ping) -> Tapped<Ping>, sum: fn(Sum) -> Tapped<Sum>| {
        let simulation = Simulation::new(4);
        let environment = simulation.environment("node");
        let answer = Arc::new(Mutex::new(None));
        let builder = BothBuilder::new(environment.clone()).left(AsksRight(answer.clone())).right(Sums(Arc::default()));
        let overseer = builder.tap::<Left, Ping>(ping).tap::<Left, Sum>(sum).build().expect("no cycle");
        environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
        simulation.run_for(Duration::from_secs(seconds)).expect("no live-lock");
        answer.lock().expect("one thread").take()
    };
    let dropped = |by| Some(Err(AskError::Dropped { message: "Sum", by }));
    assert_eq!(asked(1, Tapped::Pass, Tapped::Pass), Some(Ok(7)));
    assert_eq!(asked(1, |Ping(number)| Tapped::Duplicate(Ping(number), Ping(1)), Tapped::Pass), Some(Ok(8)));
    assert_eq!(asked(1, |_| Tapped::Drop, Tapped::Pass), dropped("right"), "it has nothing to add up");
    assert_eq!(asked(1, Tapped::Pass, |_| Tapped::Drop), dropped("tap"));
    let late = |message| Tapped::Delay(message, Duration::from_secs(5));
    assert_eq!(asked(4, Tapped::Pass, late), None);
    assert_eq!(asked(6, Tapped::Pass, late), Some(Ok(7)));
    let late = |message| Tapped::Delay(message, Duration::from_secs(5));
    assert_eq!(asked(6, late, Tapped::Pass), dropped("right"), "the question came first");
}

#[test]
fn a_slot_is_replaced_wrapped_or_emptied_in_one_line_each() {
    let replaced = sum_of(None, |builder| builder.right(subsystem::Drain::default()));
    assert_eq!(replaced, Err(AskError::Dropped { message: "Sum", by: "right" }));
    let doubled = |message| match message {
        RightInbox::Ping(Ping(number)) => Some(RightInbox::Ping(Ping(2 * number))),
        other => Some(other),
    };
    assert_eq!(sum_of(None, |builder| builder.wrap::<Right>(doubled)), Ok(10));
    let answers = |message| match message {
        RightInbox::Sum(Sum, reply) => reply.answer(99).err().map(|_| unreachable!("the asker waits")),
        other => Some(other),
    };
    assert_eq!(sum_of(None, |builder| builder.wrap::<Right>(answers)), Ok(99));
    let deaf = sum_of(None, |builder| builder.wrap::<Right>(|_| None));
    assert_eq!(deaf, Err(AskError::Dropped { message: "Sum", by: "right" }));
}

#[test]
fn an_outbox_keeps_order_and_loses_nothing_while_the_queue_is_full() {
    let simulation = Simulation::new(5);
    let environment = simulation.environment("node");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let overseer =
        BothBuilder::new(environment.clone()).left(WaitsForRight).right(Sums(seen.clone())).build().expect("no cycle");
    let handle = overseer.handle();
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(*seen.lock().expect("one thread"), (0..5_000).collect::<Vec<u32>>());
    let page = handle.live_topology();
    let lines: Vec<&str> = page.lines().collect();
    assert!(lines[0].starts_with("left: 0 of 1024 messages wait, 0 signals behind"), "{page}");
    assert!(lines[1].starts_with("    Ping → right (wait, loop): 1 sent, 1 had to wait"), "{page}");
    assert!(lines[2].starts_with("    Later → right (cast outbox(10000), loop): 5000 sent, "), "{page}");
    assert!(lines[2].ends_with("in the queue, 0.0ns at work") && lines[3].starts_with("right: "), "{page}");
    let edge = handle.edges().into_iter().find(|edge| edge.declared.message == "Later").expect("declared");
    assert_eq!((edge.sent, edge.from, edge.declared.to), (5_000, "left", "right"));
}

#[test]
fn the_topology_names_every_edge() {
    let builder = BothBuilder::new(Simulation::new(0).environment("node"))
        .left(WaitsForRight)
        .drain_empty_slots()
        .outside::<Asker>();
    let topology = builder.topology();
    let lines: Vec<String> = topology
        .edges
        .iter()
        .map(|edge| format!("{} -> {}: {} ({})", edge.from, edge.declared.to, edge.declared.message, edge.kind()))
        .collect();
    assert_eq!(
        lines,
        ["left -> right: Ping (wait)", "left -> right: Later (cast outbox(10000))", "asker -> right: Sum (ask)"]
    );
    assert!(topology.to_dot().contains("\"asker\" [shape=ellipse]"));
    assert!(topology.to_mermaid().contains("left -.->|Later| right"));
    assert!(topology.to_json().contains(r#""message":"Sum","kind":"ask""#));
}

#[test]
fn a_tap_on_what_nobody_sends_is_refused_by_name() {
    let builder = || {
        let environment = Simulation::new(4).environment("node");
        BothBuilder::new(environment).left(WaitsForRight).right(Sums(Arc::default()))
    };
    let error = builder().tap::<Right, Sum>(|sum: Sum| Tapped::Pass(sum)).build().err().expect("right never asks");
    assert_eq!(error, BuildError::NothingToTap { from: "right", message: "Sum" });
    assert_eq!(
        error.to_string(),
        "tap on Sum of right: right does not declare that it sends Sum, or is not in this node"
    );
    let unknown = builder().tap_outside::<Asker, Sum>(|sum: Sum| Tapped::Pass(sum)).build().err();
    assert_eq!(
        unknown,
        Some(BuildError::NothingToTap { from: "asker", message: "Sum" }),
        "it was not named as outside"
    );
}
