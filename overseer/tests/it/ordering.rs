//! OV-4: a message sent by somebody who has seen a signal is never handled by somebody who has not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deterministic::Simulation;
use overseer::mailbox::MailboxLimits;
use overseer::{Ask, Cast, Context, Event, Failure, Nothing, Outside, Subsystem, Wait, WhenFull};

use crate::Beats;

pub(crate) struct Told(u64);
pub(crate) struct Urgent(u64);
pub(crate) struct Newest(u64);
pub(crate) struct Rumour(u64);
pub(crate) struct Kept(u64);
pub(crate) struct Asked(u64);
pub(crate) struct AskedUrgently(u64);

overseer::inbox! {
    /// What the receiver hears: the newest beat that the sender had seen.
    pub(crate) enum Inbox for Receiver as "receiver" {
        tell {
            Told,
            Urgent {
                const LANE: overseer::message::Lane = overseer::message::Lane::High;
                const WHEN_FULL: WhenFull = WhenFull::Budgeted(1000);
            },
            Newest {
                const LANE: overseer::message::Lane = overseer::message::Lane::High;
                const WHEN_FULL: WhenFull = WhenFull::Merged(1);
                fn merge(&mut self, newer: Self) -> Option<Self> {
                    *self = newer;
                    None
                }
            },
            Rumour { const WHEN_FULL: WhenFull = WhenFull::Lossy; },
            Kept { const WHEN_FULL: WhenFull = WhenFull::Outbox(1000); },
        }
        ask {
            Asked -> u64,
            AskedUrgently -> u64 { const LANE: overseer::message::Lane = overseer::message::Lane::High; },
        }
    }
}

overseer::inbox! {
    /// Nothing.
    pub(crate) enum TalkerInbox for Talker as "talker" {}
}

overseer::node! {
    /// One who talks, one who checks.
    pub(crate) struct Pair, built by PairBuilder { receiver: Receiver, talker: Talker }
}

/// Tells the receiver of every beat: from its loop, from a job, and from a job of that job, in both lanes.
struct Talks;
impl Subsystem for Talks {
    type Role = Talker;
    type View = Beats;
    type Sends = (Wait<Told>, Cast<Urgent>, Cast<Kept>);
    type JobSends = (Wait<Told>, Ask<Asked>, Ask<AskedUrgently>, Cast<Rumour>);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Signal(beat) => {
                    context.send(Told(beat)).await?;
                    context.cast(Urgent(beat))?;
                    // Refused while as much is kept as the queue takes.
                    drop(context.cast(Kept(beat)));
                    context.reserve::<Told, _>(8).await?.send(Told(beat))?;
                    let jobs = context.jobs();
                    let (nested, spawner) = (jobs.clone(), context.environment().spawner.clone());
                    let job = async move {
                        // Refused while the queue is full.
                        drop(jobs.cast(Rumour(beat)));
                        drop(jobs.send(Told(beat)).await);
                        let asks = async move {
                            drop(nested.ask(Asked(beat)).await);
                            drop(nested.ask(AskedUrgently(beat)).await);
                        };
                        spawner.spawn("nested", Box::pin(asks));
                    };
                    context.environment().spawner.spawn("job", Box::pin(job));
                }
                Event::Message(inbox) => match inbox {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

/// Counts messages that came before their beat.
struct Checks {
    handled: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
}
impl Subsystem for Checks {
    type Role = Receiver;
    type View = Beats;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut seen = 0;
        loop {
            match context.recv().await {
                Event::Signal(beat) => seen = beat,
                Event::Message(message) => {
                    let beat = match message {
                        Inbox::Told(Told(beat))
                        | Inbox::Urgent(Urgent(beat))
                        | Inbox::Newest(Newest(beat))
                        | Inbox::Rumour(Rumour(beat))
                        | Inbox::Kept(Kept(beat)) => beat,
                        Inbox::Asked(Asked(beat), reply) | Inbox::AskedUrgently(AskedUrgently(beat), reply) => {
                            // The asker may be gone with the node.
                            let _ = reply.answer(seen);
                            beat
                        }
                    };
                    self.handled.fetch_add(1, Ordering::Relaxed);
                    self.broken.fetch_add(u64::from(beat > seen), Ordering::Relaxed);
                }
                Event::Conclude => return Ok(()),
            }
        }
    }
}

struct Author;
impl Outside for Author {
    const NAME: &'static str = "author";
    type Sends = (Wait<Told>, Wait<Urgent>, Cast<Newest>, Cast<Rumour>, Ask<Asked>, Ask<AskedUrgently>);
}

fn run(seed: u64) -> (u64, u64) {
    let simulation = Simulation::new(seed);
    let environment = simulation.environment("node");
    let (handled, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    // From a queue that is full all the time to one that never is.
    let limits = MailboxLimits { messages: 1 << (seed % 12), bytes: 64 << (seed % 7) };
    let overseer = PairBuilder::new(environment.clone())
        .mailbox_limits::<Receiver>(limits)
        .receiver(Checks { handled: handled.clone(), broken: broken.clone() })
        .talker(Talks)
        .outside::<Author>()
        .build()
        .expect("no cycle");
    let handle = overseer.handle();
    let author = handle.outlet::<Author>().expect("the receiver has a slot");
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    let (beats, spawner) = (handle.clone(), environment.spawner.clone());
    environment.spawner.spawn(
        "heart",
        Box::pin(async move {
            for beat in 1..=400 {
                beats.publish::<Beats>(beat);
                author.send(Told(beat)).await.expect("the receiver runs");
                let clone = author.clone();
                let asks = async move {
                    drop(clone.cast(Newest(beat)));
                    drop(clone.cast(Rumour(beat)));
                    clone.send(Urgent(beat)).await.expect("the receiver runs");
                    clone.send(Told(beat)).await.expect("the receiver runs");
                    let place = clone.reserve::<Told, _>(8).await.expect("the receiver runs");
                    place.send(Told(beat)).expect("the receiver runs");
                    for seen in [clone.ask(Asked(beat)).await, clone.ask(AskedUrgently(beat)).await] {
                        assert!(seen.expect("the receiver runs") >= beat);
                    }
                };
                spawner.spawn("asks", Box::pin(asks));
            }
        }),
    );
    simulation.run_until_stalled().expect("no live-lock");
    handle.stop();
    simulation.run_until_stalled().expect("no live-lock");
    (handled.load(Ordering::Relaxed), broken.load(Ordering::Relaxed))
}

#[test]
fn no_message_overtakes_its_signal_under_any_schedule() {
    for seed in 0..200 {
        let (handled, broken) = run(seed);
        assert_eq!(broken, 0, "seed {seed}");
        assert!(handled >= 1_200, "seed {seed}: only {handled} messages arrived");
    }
}

/// Hears nothing, receives everything.
struct Deaf(Arc<AtomicU64>);
impl Subsystem for Deaf {
    type Role = Receiver;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Signal(never) => match never {},
                Event::Message(_) => drop(self.0.fetch_add(1, Ordering::Relaxed)),
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn a_subsystem_without_a_view_works_and_still_concludes() {
    let simulation = Simulation::new(1);
    let environment = simulation.environment("node");
    let count = Arc::new(AtomicU64::new(0));
    let overseer = PairBuilder::new(environment).receiver(Deaf(count.clone())).talker(Talks).build().expect("no cycle");
    let handle = overseer.handle();
    handle.publish::<Beats>(1);
    let stopping = handle.clone();
    let report = simulation
        .run_until(async move {
            let (report, ()) = futures::join!(overseer.run(), async { stopping.stop() });
            report
        })
        .expect("it ends");
    assert!(report.is_clean(), "{report:?}");
}

/// On real threads a signal can be published between the two looks at the log: the seeded executor cannot do that.
#[test]
fn no_message_overtakes_its_signal_on_real_threads() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let environment = overseer::Environment::system().expect("inside a runtime");
        let (handled, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let overseer = PairBuilder::new(environment)
            .receiver(Checks { handled: handled.clone(), broken: broken.clone() })
            .drain_empty_slots()
            .outside::<Author>()
            .build()
            .expect("no cycle");
        let handle = overseer.handle();
        let node = tokio::spawn(overseer.run());
        let author = handle.outlet::<Author>().expect("the receiver has a slot");
        const BEATS: u64 = 100_000;
        let authors = tokio::spawn(async move {
            for beat in 1..=BEATS {
                handle.publish::<Beats>(beat);
                author.send(Told(beat)).await.expect("the receiver runs");
            }
            handle.stop();
        });
        authors.await.expect("the author does not panic");
        assert!(node.await.expect("the overseer does not panic").is_clean());
        assert_eq!(broken.load(Ordering::Relaxed), 0);
        assert!(handled.load(Ordering::Relaxed) > 0);
    });
}
