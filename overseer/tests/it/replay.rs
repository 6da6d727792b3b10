//! A full recording plays into a fresh instance, and says where a changed one first does something else.

use std::time::Duration;

use deterministic::{ComputeKind, Simulation};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use overseer::mailbox::MailboxLimits;
use overseer::replay::{Tape, replay};
use overseer::wiring::FromJobs;
use overseer::{Ask, Cast, Context, Event, Failure, Handle, Nothing, Outlet, Outside, Subsystem, Wait, WhenFull};
use tokio::sync::mpsc;

use crate::Beats;

#[derive(Clone, Debug)]
pub(crate) struct Order(u32);
#[derive(Clone, Debug)]
pub(crate) struct Total;
#[derive(Clone, Debug)]
pub(crate) struct Price(u32);
#[derive(Clone, Debug)]
pub(crate) struct Sold {
    item: u32,
    price: u32,
    receipt: u8,
}
#[derive(Clone, Debug)]
pub(crate) struct Line(u32);
overseer::inbox! {
    /// What the shop hears.
    pub(crate) enum ShopInbox for Shop as "shop" { tell { Order } ask { Total -> u32 } }
}
overseer::inbox! {
    /// What the office hears.
    pub(crate) enum OfficeInbox for Office as "office" {
        tell { Sold, Line { const WHEN_FULL: WhenFull = WhenFull::Outbox(100); } }
        ask { Price -> u32 }
    }
}
overseer::node! {
    /// A shop and its office.
    pub(crate) struct Street, built by StreetBuilder { shop: Shop, office: Office }
}

/// What a changed shop does differently.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Cheaper,
    Asleep,
    Silent,
    Twice,
    Forgetful,
    Curious,
    Deaf,
    Dear,
}

/// Sells: a job per order asks the price, draws a receipt, waits; the loop books it in the outbox.
struct Sells(Change);
impl Subsystem for Sells {
    type Role = Shop;
    type View = Beats;
    type Sends = (Cast<Line>, Wait<Sold>);
    type JobSends = (Ask<Price>,);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let (done, mut ends) = mpsc::channel(16);
        let (mut total, mut beats) = (0, 0);
        loop {
            tokio::select! {
                biased;
                Some((item, price, receipt)) = ends.recv() => {
                    let price = if self.0 == Change::Cheaper && item == 2 { price - 1 } else { price };
                    total += price;
                    context.cast(Line(price))?;
                    if self.0 != Change::Silent || item != 3 {
                        context.send(Sold { item, price, receipt }).await?;
                    }
                    if self.0 == Change::Twice && item == 4 {
                        context.cast(Line(0))?;
                    }
                }
                event = context.recv() => match event {
                    Event::Signal(_) if self.0 == Change::Deaf => {}
                    Event::Signal(beat) => beats = beat,
                    Event::Message(ShopInbox::Order(Order(item))) => {
                        let (environment, jobs, done) = (context.environment().clone(), context.jobs(), done.clone());
                        let asleep = self.0 == Change::Asleep && item == 2;
                        let other = if self.0 == Change::Curious && item == 4 { 200 } else { 100 };
                        let job = async move {
                            let delay = Duration::from_millis(if asleep { 70 } else { u64::from(10 * item) });
                            let sold = sell(&environment, &jobs, (item, item + other), delay).await;
                            let _ = done.send(sold).await;
                        };
                        context.environment().spawner.spawn("sale", Box::pin(job));
                    }
                    Event::Message(ShopInbox::Total(Total, reply)) if self.0 == Change::Forgetful => drop(reply),
                    Event::Message(ShopInbox::Total(Total, reply)) => {
                        let dear = u32::from(self.0 == Change::Dear);
                        let _ = reply.answer(total + dear + u32::try_from(beats)?);
                    }
                    Event::Conclude => return Ok(()),
                },
            }
        }
    }
}

async fn sell(
    environment: &overseer::Environment,
    jobs: &Outlet<FromJobs<Sells>>,
    (item, other): (u32, u32),
    delay: Duration,
) -> (u32, u32, u8) {
    // Polls only those of its parts that were woken.
    let mut prices: FuturesUnordered<_> = [item, other].map(|item| jobs.ask(Price(item))).into_iter().collect();
    let mut price = 0;
    while let Some(part) = prices.next().await {
        price += part.unwrap_or(1);
    }
    environment.clock.sleep(delay).await;
    let receipt = deterministic::below(&*environment.entropy, 200) as u8;
    let price = deterministic::compute(&*environment.compute, ComputeKind::Hash, 1, move || price * 2).await;
    (item, price.unwrap_or(0), receipt)
}

/// Knows prices but for one, which it refuses to tell; slow, so that its queue is full.
struct Keeps;
impl Subsystem for Keeps {
    type Role = Office;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Signal(never) => match never {},
                Event::Message(OfficeInbox::Price(Price(5), reply)) => drop(reply),
                Event::Message(OfficeInbox::Price(Price(item), reply)) => {
                    let _ = reply.answer(item * 7);
                }
                Event::Message(OfficeInbox::Sold(Sold { item, price, receipt })) => {
                    assert!(item <= 6 && price > 0 && receipt < 200);
                }
                Event::Message(OfficeInbox::Line(Line(_price))) => {
                    context.environment().clock.sleep(Duration::from_millis(40)).await;
                }
                Event::Conclude => return Ok(()),
            }
        }
    }
}

struct Customer;
impl Outside for Customer {
    const NAME: &'static str = "customer";
    type Sends = (Wait<Order>, Ask<Total>);
}

fn street(environment: overseer::Environment, tape: &Tape) -> overseer::Overseer {
    StreetBuilder::new(environment)
        .mailbox_limits::<Office>(MailboxLimits { messages: 2, bytes: 1024 })
        .recorded(tape, Sells(Change::Nothing))
        .office(Keeps)
        .outside::<Customer>()
        .build()
        .expect("no cycle")
}

async fn shopping(handle: Handle) -> u32 {
    let customer = handle.outlet::<Customer>().expect("there is a shop");
    for item in 1..=6 {
        handle.publish::<Beats>(u64::from(item));
        customer.send(Order(item)).await.expect("the shop is open");
    }
    customer.ask(Total).await.expect("the shop answers")
}

fn recorded(seed: u64) -> Tape {
    let (simulation, tape) = (Simulation::new(seed), Tape::new());
    let node = street(simulation.environment("node"), &tape);
    let handle = node.handle();
    simulation.environment("node").spawner.spawn("node", Box::pin(async { drop(node.run().await) }));
    simulation.run_until(shopping(handle.clone())).expect("an answer");
    simulation.run_until_idle().expect("no live-lock");
    simulation.run_until(shopping(handle.clone())).expect("an answer");
    simulation.run_until_idle().expect("no live-lock");
    handle.stop();
    simulation.run_until_idle().expect("no live-lock");
    assert!(simulation.tasks().is_empty(), "left behind: {:?}", simulation.tasks());
    tape
}

#[test]
fn a_fresh_instance_does_the_same_whatever_the_order_was() {
    for seed in 0..30 {
        let tape = recorded(seed);
        assert!(tape.lines().last().expect("events").ends_with("shop ends: Ok(())"), "{:?}", tape.lines().last());
        let replayed = replay(&tape, Sells(Change::Nothing));
        assert_eq!(replayed.as_ref().ok(), Some(&tape.len()), "seed {seed}: {replayed:?}");
        assert_eq!(replay(&tape, Sells(Change::Nothing)), replayed, "a tape can be played again");
    }
}

fn kind_of(line: &str) -> &str {
    let words = line.split_once(' ').map_or(line, |(_, words)| words);
    words.split([' ', '(']).next().unwrap_or(words)
}

#[test]
fn everything_that_crosses_the_context_is_on_the_tape() {
    let lines = recorded(3).lines();
    let kinds: std::collections::BTreeSet<&str> = lines.iter().map(|line| kind_of(line)).collect();
    for kind in [
        "shop", "task", "hears", "receives", "spawns", "asks", "reads", "sleeps", "draws", "computes", "casts",
        "sends", "answers", "its", "is",
    ] {
        assert!(kinds.contains(kind), "{kind} is missing: {kinds:?}");
    }
    let said = |words: &str| lines.iter().any(|line| line.contains(words));
    assert!(said("Err(Dropped { message: \"Price\", by: \"office\" })"), "a question that got no answer");
    assert!(said("asks Price(102) to office") && said("has the answer Ok(714)"), "{lines:#?}");
    assert!(said("task 3 (sale) ends") || said("(sale) ends"), "the ends of jobs");
}

#[test]
fn the_first_thing_that_a_changed_instance_does_differently_is_named() {
    let tape = recorded(1);
    for (change, expected, came) in [
        (Change::Cheaper, "casts Line(1456) to office", "casts Line(1455) to office"),
        (Change::Silent, "sends Sold { item: 3", "Line("),
        (Change::Asleep, "sleeps until 1600000000.02s", "sleeps until 1600000000.07s"),
        (Change::Curious, "asks Price(104) to office", "asks Price(204) to office"),
        // What it did not hear shows in the first thing that depends on it; an answer of another value is another answer.
        (Change::Deaf, "answers Total of event", "answers Total of event"),
        (Change::Dear, "answers Total of event", "answers Total of event"),
        (Change::Forgetful, "answers Total of event", "drops Total of event"),
    ] {
        let difference = replay(&tape, Sells(change)).expect_err("it was changed");
        let words = difference.to_string();
        assert!(difference.expected.starts_with(expected) && difference.came.contains(came), "{words}");
        assert!(tape.lines()[difference.at].ends_with(&difference.expected), "{words}");
        assert!(words.starts_with(&format!("event {}: expected `{expected}", difference.at)), "{words}");
        assert!(!difference.before.is_empty(), "{words}");
    }
    let twice = replay(&tape, Sells(Change::Twice)).expect_err("it was changed");
    assert!(twice.came.starts_with("casts Line(0) to "), "{twice}");
}

#[test]
fn a_recording_on_real_threads_plays_without_them() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    let tape = Tape::new();
    runtime.block_on(async {
        let node = street(overseer::Environment::system().expect("inside a runtime"), &tape);
        let handle = node.handle();
        let node = tokio::spawn(node.run());
        let shoppers: Vec<_> = (0..4).map(|_| tokio::spawn(shopping(handle.clone()))).collect();
        for shopper in shoppers {
            shopper.await.expect("no panic");
        }
        handle.stop();
        assert!(node.await.expect("no panic").is_clean());
    });
    assert_eq!(replay(&tape, Sells(Change::Nothing)), Ok(tape.len()));
}
