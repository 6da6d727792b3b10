//! A slow consumer: who waits is slowed down with it, who casts is refused, the queue never grows, the counters tell.
//!
//! Under virtual time: half a second of work is over in a moment, and every run is the same.
use std::time::Duration;

use deterministic::Simulation;
use overseer::mailbox::MailboxLimits;
use overseer::{Cast, Context, Event, Failure, Nothing, Subsystem, Wait};

const QUEUE: usize = 16;
const JOBS: u32 = 500;
const SLOW: Duration = Duration::from_millis(1);

/// Must arrive: its sender waits.
struct Job(u32);
/// May be lost when there is no room, which [`overseer::WhenFull::Lossy`], the default, says.
struct Hint;
overseer::inbox! { enum WorkerInbox for Worker as "worker" { tell { Job, Hint } } }
overseer::inbox! { enum BossInbox for Boss as "boss" {} }
overseer::inbox! { enum GossipInbox for Gossip as "gossip" {} }
overseer::node! { struct Office, built by OfficeBuilder { worker: Worker, boss: Boss, gossip: Gossip } }

struct Slow;
impl Subsystem for Slow {
    type Role = Worker;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let clock = context.environment().clock.clone();
        let mut expected = 0;
        loop {
            match context.recv().await {
                Event::Message(WorkerInbox::Job(Job(number))) => {
                    assert_eq!(number, expected, "waiting changes no order");
                    expected += 1;
                    clock.sleep(SLOW).await;
                }
                Event::Message(WorkerInbox::Hint(Hint)) => {}
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

struct Hands;
impl Subsystem for Hands {
    type Role = Boss;
    type View = Nothing;
    type Sends = (Wait<Job>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        for number in 0..JOBS {
            context.send(Job(number)).await?;
        }
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

struct Whispers;
impl Subsystem for Whispers {
    type Role = Gossip;
    type View = Nothing;
    type Sends = (Cast<Hint>,);
    type JobSends = ();
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let clock = context.environment().clock.clone();
        for _ in 0..10 {
            clock.sleep(SLOW * 10).await;
            // Never waits: a refused hint comes back, and is dropped here on purpose.
            drop(context.cast(Hint));
        }
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    let simulation = Simulation::new(1);
    let office = OfficeBuilder::new(simulation.environment("office"))
        .mailbox_limits::<Worker>(MailboxLimits { messages: QUEUE, ..MailboxLimits::default() })
        .worker(Slow)
        .boss(Hands)
        .gossip(Whispers)
        .build()?;
    let handle = office.handle();
    simulation.environment("office").spawner.spawn("office", Box::pin(async { drop(office.run().await) }));
    simulation.run_until_idle()?;
    for edge in handle.edges() {
        let (from, message) = (edge.from, edge.declared.message);
        println!("{from} → worker {message}: {} sent, {} waited, {} refused", edge.sent, edge.waited, edge.refused);
    }
    let (jobs, hints) = (&handle.edges()[0], &handle.edges()[1]);
    // The queue is refilled as a whole once it has been worked off.
    let rounds = u64::from(JOBS) / QUEUE as u64;
    let held = jobs.sent == u64::from(JOBS) && jobs.waited >= rounds && hints.refused > 0;
    handle.stop();
    simulation.run_until_idle()?;
    if held { Ok(()) } else { Err("the queue did not hold its senders back".into()) }
}
