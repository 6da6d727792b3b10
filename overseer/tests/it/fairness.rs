//! Who sends all the time lets others run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use deterministic::{Environment, Simulation};
use overseer::mailbox::MailboxLimits;
use overseer::{Context, Event, Failure, Nothing, Outside, Subsystem, Wait};

/// More than anybody sends in a turn.
const MESSAGES: u32 = 5_000;

struct Item;
overseer::inbox! {
    /// Nothing.
    enum MakerInbox for Maker as "maker" {}
}
overseer::inbox! {
    /// Items.
    enum TakerInbox for Taker as "taker" { tell { Item } }
}
overseer::node! {
    /// One makes, one takes.
    struct Plant, built by PlantBuilder { maker: Maker, taker: Taker }
}
struct Supplier;
impl Outside for Supplier {
    const NAME: &'static str = "supplier";
    type Sends = (Wait<Item>,);
}

/// Sends all there is, without a look at its own mailbox.
struct Makes(u32, Arc<AtomicU32>);
impl Subsystem for Makes {
    type Role = Maker;
    type View = Nothing;
    type Sends = (Wait<Item>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        for _ in 0..self.0 {
            context.send(Item).await?;
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

/// Looks how much was sent when its first item comes.
struct Takes(Arc<AtomicU32>, Arc<AtomicU32>);
impl Subsystem for Takes {
    type Role = Taker;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut left = MESSAGES;
        loop {
            match context.recv().await {
                Event::Message(TakerInbox::Item(Item)) => {
                    left -= 1;
                    if left == MESSAGES - 1 {
                        self.1.store(self.0.load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                }
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

/// A plant in which nobody ever waits for a place; what was sent, and how much of it when the first was taken.
fn plant(environment: Environment, made_inside: u32) -> (overseer::Overseer, Arc<AtomicU32>, Arc<AtomicU32>) {
    let (sent, sent_at_first) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let roomy = MailboxLimits { messages: MESSAGES as usize + 1, ..MailboxLimits::default() };
    let overseer = PlantBuilder::new(environment)
        .mailbox_limits::<Taker>(roomy)
        .maker(Makes(made_inside, sent.clone()))
        .taker(Takes(sent.clone(), sent_at_first.clone()))
        .outside::<Supplier>()
        .build()
        .expect("no cycle");
    (overseer, sent, sent_at_first)
}

#[test]
fn a_loop_that_only_sends_lets_others_run() {
    let simulation = Simulation::new(1);
    let environment = simulation.environment("node");
    let (overseer, sent, sent_at_first) = plant(environment.clone(), MESSAGES);
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(sent.load(Ordering::Relaxed), MESSAGES);
    assert!(sent_at_first.load(Ordering::Relaxed) < MESSAGES, "{sent_at_first:?} were sent before one was taken");
}

#[test]
fn one_outside_who_only_sends_lets_others_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let environment = Environment::system().expect("this is a runtime");
        let (overseer, sent, sent_at_first) = plant(environment, 0);
        let handle = overseer.handle();
        let running = tokio::spawn(overseer.run());
        let supplier = handle.outlet::<Supplier>().expect("there is a taker");
        let counts = sent.clone();
        let supplying = tokio::spawn(async move {
            for _ in 0..MESSAGES {
                supplier.send(Item).await.expect("it takes");
                counts.fetch_add(1, Ordering::Relaxed);
            }
        });
        supplying.await.expect("it does not panic");
        handle.stop();
        running.await.expect("it does not panic");
        assert!(sent_at_first.load(Ordering::Relaxed) < MESSAGES, "{sent_at_first:?} were sent before one was taken");
    });
}
