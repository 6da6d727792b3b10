//! Who waits for whom, who lags, what is never used; taps that delay; views.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use deterministic::Simulation;
use overseer::mailbox::MailboxLimits;
use overseer::port::Tapped;
use overseer::{Ask, Cast, Context, Event, Failure, Handle, Nothing, Outside, Subsystem, View, Wait};

use crate::Beats;

pub(crate) struct Job(u32);
pub(crate) struct Unused;
pub(crate) struct Forgotten;
pub(crate) struct Query;
overseer::inbox! {
    /// What the front hears.
    pub(crate) enum FrontInbox for Front as "front" { tell { Job, Forgotten } }
}
overseer::inbox! {
    /// What the back hears.
    pub(crate) enum BackInbox for Back as "back" { tell { Unused } ask { Query -> u32 } }
}
overseer::node! {
    /// A front that asks a back.
    pub(crate) struct House, built by HouseBuilder { front: Front, back: Back }
}

/// Asks the back for each job, in its loop.
struct Asks;
impl Subsystem for Asks {
    type Role = Front;
    type View = Beats;
    type Sends = (Ask<Query>, Cast<Unused>);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(FrontInbox::Job(_)) => drop(context.ask(Query).await),
                Event::Message(FrontInbox::Forgotten(_)) | Event::Signal(_) => {}
                Event::Conclude => return Ok(()),
            }
        }
    }
}

/// Keeps the questions.
struct Silent;
impl Subsystem for Silent {
    type Role = Back;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut kept = Vec::new();
        loop {
            match context.recv().await {
                Event::Signal(never) => match never {},
                Event::Message(message) => kept.push(message),
                Event::Conclude => return Ok(()),
            }
        }
    }
}

struct Street;
impl Outside for Street {
    const NAME: &'static str = "street";
    type Sends = (Wait<Job>,);
}

fn house(simulation: &Simulation, builder: HouseBuilder) -> Handle {
    let overseer = builder.outside::<Street>().build().expect("no cycle");
    let handle = overseer.handle();
    simulation.environment("node").spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    simulation.run_until_stalled().expect("no live-lock");
    handle
}

#[test]
fn a_long_wait_is_named_as_a_chain_and_a_lag_with_its_length() {
    let simulation = Simulation::new(1);
    let environment = simulation.environment("node");
    let builder = HouseBuilder::new(environment.clone())
        .mailbox_limits::<Front>(MailboxLimits { messages: 1, bytes: 1024 })
        .front(Asks)
        .back(Silent);
    let handle = house(&simulation, builder);
    let street = handle.outlet::<Street>().expect("there is a front");
    let sending = async move {
        for number in 0..3 {
            drop(street.send(Job(number)).await);
        }
    };
    environment.spawner.spawn("street", Box::pin(sending));
    let (watching, clock) = (handle.clone(), environment.clone());
    environment.spawner.spawn("watch", Box::pin(async move { watching.watch(&clock).await }));
    simulation.run_for(Duration::from_secs(3)).expect("no live-lock");
    assert!(handle.readiness().is_ready(), "{:?}", handle.readiness());
    (0..20).for_each(|beat| assert!(handle.publish::<Beats>(beat)));
    simulation.run_for(Duration::from_secs(7)).expect("no live-lock");
    let readiness = handle.readiness();
    assert_eq!(readiness.lagging, [("front", 20)]);
    let [chain] = &readiness.chains[..] else { panic!("one chain: {readiness:?}") };
    let words: String = chain.chars().filter(|letter| !letter.is_ascii_digit()).collect();
    assert_eq!(words, "street waits . s with Job at front, which waits . s for the answer to Query of back");
    let edge = handle.edges().into_iter().find(|edge| edge.declared.message == "Query").expect("declared");
    assert_eq!(edge.in_flight, 1);
}

#[test]
fn a_queue_that_was_taken_out_and_not_yet_handled_shows_as_full() {
    let simulation = Simulation::new(1);
    let environment = simulation.environment("node");
    let builder = HouseBuilder::new(environment.clone())
        .mailbox_limits::<Front>(MailboxLimits { messages: 8, bytes: 1024 })
        .front(Asks)
        .back(Silent);
    let handle = house(&simulation, builder);
    let street = handle.outlet::<Street>().expect("there is a front");
    let sending = async move {
        for number in 0..9 {
            drop(street.send(Job(number)).await);
        }
    };
    environment.spawner.spawn("street", Box::pin(sending));
    simulation.run_for(Duration::from_secs(1)).expect("no live-lock");
    let edge = handle.edges().into_iter().find(|edge| edge.from == "street").expect("declared");
    assert_eq!((edge.queued, edge.fill(), edge.waiting), (8, 1.0, 1));
    let queue = handle.queues().into_iter().find(|queue| queue.subsystem == "front").expect("wired");
    assert_eq!((queue.waiting, queue.limit), (8, 8));
    assert!(handle.live_topology().starts_with("front: 8 of 8 messages wait"), "{}", handle.live_topology());
}

#[test]
fn what_is_never_sent_and_what_is_never_declared_is_found() {
    let simulation = Simulation::new(2);
    let handle = house(&simulation, HouseBuilder::new(simulation.environment("node")).front(Asks).back(Silent));
    let unused = ["front → back: Query", "front → back: Unused", "street → front: Job"];
    assert_eq!(handle.never_sent(), unused, "also of an outside that nobody is yet");
    let street = handle.outlet::<Street>().expect("there is a front");
    simulation.run_until(street.send(Job(1))).expect("there is room").expect("the front is there");
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(handle.never_sent(), ["front → back: Unused"]);
    assert_eq!(handle.never_declared(), ["front: Forgotten"]);
}

/// Sends one job.
struct Sends;
impl Subsystem for Sends {
    type Role = Back;
    type View = Nothing;
    type Sends = (Wait<Job>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.send(Job(1)).await?;
        context.send(Job(2)).await?;
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

/// Counts jobs, and how often it is polled.
struct Counts<V>(Arc<AtomicU64>, Arc<AtomicU64>, std::marker::PhantomData<fn() -> V>);
impl<V: View> Subsystem for Counts<V> {
    type Role = Front;
    type View = V;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            let event = {
                let mut receiving = std::pin::pin!(context.recv());
                poll_fn(|cx| {
                    self.1.fetch_add(1, Ordering::Relaxed);
                    receiving.as_mut().poll(cx)
                })
                .await
            };
            match event {
                Event::Message(_) => drop(self.0.fetch_add(1, Ordering::Relaxed)),
                Event::Signal(_) => {}
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn a_tap_delays_and_what_it_delays_ends_with_the_node() {
    let simulation = Simulation::new(3);
    let jobs = Arc::new(AtomicU64::new(0));
    let builder = HouseBuilder::new(simulation.environment("node"))
        .front(Counts::<Nothing>(jobs.clone(), Arc::default(), std::marker::PhantomData))
        .back(Sends)
        .tap::<Back, Job>(|job: Job| match job {
            Job(1) => Tapped::Delay(job, Duration::from_secs(10)),
            _ => Tapped::Delay(job, Duration::from_secs(1_000)),
        });
    let handle = house(&simulation, builder);
    simulation.run_for(Duration::from_secs(9)).expect("no live-lock");
    assert_eq!(jobs.load(Ordering::Relaxed), 0);
    simulation.run_for(Duration::from_secs(2)).expect("no live-lock");
    assert_eq!(jobs.load(Ordering::Relaxed), 1);
    handle.stop();
    drop(handle);
    simulation.run_until_stalled().expect("no live-lock");
    assert!(simulation.tasks().is_empty(), "left behind: {:?}", simulation.tasks());
}

/// A second heartbeat.
enum Ticks {}
impl View for Ticks {
    type Update = u64;
    type State = u64;
    fn apply(state: &mut u64, update: &u64) {
        *state = *update;
    }
    fn catch_up(_: &u64, now: &u64) -> u64 {
        *now
    }
}

#[test]
fn entries_of_a_view_that_is_not_heard_cost_no_wake() {
    let simulation = Simulation::new(4);
    let polls = Arc::new(AtomicU64::new(0));
    let builder = HouseBuilder::new(simulation.environment("node"))
        .front(Counts::<Beats>(Arc::default(), polls.clone(), std::marker::PhantomData))
        .back(Silent);
    let handle = house(&simulation, builder);
    let polled = |publish: &dyn Fn()| {
        let before = polls.load(Ordering::Relaxed);
        publish();
        simulation.run_until_stalled().expect("no live-lock");
        polls.load(Ordering::Relaxed) - before
    };
    assert_eq!(polled(&|| (0..100).for_each(|tick| assert!(handle.publish::<Ticks>(tick)))), 0);
    assert!(polled(&|| assert!(handle.publish::<Beats>(1))) > 0);
}

#[test]
fn a_wait_until_that_is_polled_often_leaves_one_waker() {
    let simulation = Simulation::new(5);
    let handle = house(&simulation, HouseBuilder::new(simulation.environment("node")).front(Asks).back(Silent));
    let waiting = handle.clone();
    let seen = simulation.run_until(async move {
        let mut wait = std::pin::pin!(waiting.wait_until::<Beats>(|beats| beats.contains(&7)));
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            match wait.as_mut().poll(cx) {
                Poll::Pending if polls < 50 => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Pending => {
                    waiting.publish::<Beats>(7);
                    Poll::Pending
                }
                Poll::Ready(fulfilled) => {
                    assert!(fulfilled);
                    Poll::Ready(polls)
                }
            }
        })
        .await
    });
    assert_eq!(seen.expect("it comes"), 51);
}

#[test]
fn a_wait_until_ends_with_the_node() {
    let simulation = Simulation::new(5);
    let handle = house(&simulation, HouseBuilder::new(simulation.environment("node")).front(Asks).back(Silent));
    let fulfilled = simulation.run_until(async {
        let waiting = handle.wait_until::<Beats>(|beats| beats.contains(&7));
        let stopping = async { handle.stop() };
        futures::join!(waiting, stopping).0
    });
    assert_eq!(fulfilled.ok(), Some(false));
    // A view that nobody heard while it ran.
    let fulfilled = simulation.run_until(handle.wait_until::<Ticks>(|_| false));
    assert_eq!(fulfilled.ok(), Some(false));
}

#[test]
fn a_loop_that_comes_back_for_nothing_is_named_though_nobody_waits_for_it() {
    /// Takes one job and stays at it.
    struct Sticks;
    impl Subsystem for Sticks {
        type Role = Front;
        type View = Nothing;
        type Sends = ();
        type JobSends = ();

        async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
            context.recv().await;
            context.environment().clock.sleep(Duration::from_secs(60)).await;
            while !matches!(context.recv().await, Event::Conclude) {}
            Ok(())
        }
    }
    let simulation = Simulation::new(6);
    let builder = HouseBuilder::new(simulation.environment("node")).front(Sticks).back(Silent);
    let handle = house(&simulation, builder);
    let look = |seconds: u64| {
        simulation.run_for(Duration::from_secs(seconds)).expect("no live-lock");
        handle.readiness()
    };
    // Nothing to do is no fault.
    assert!((0..10).all(|_| look(1).is_ready()));
    let street = handle.outlet::<Street>().expect("there is a front");
    simulation.run_until(street.send(Job(1))).expect("there is room").expect("the front is there");
    assert!((0..5).all(|_| look(1).is_ready()), "not long enough");
    assert_eq!(look(1).stalled, [("front", Duration::from_secs(5))]);
    assert!(!look(1).is_ready());
    assert!(look(60).is_ready(), "it is done");
}

#[test]
fn places_that_are_held_are_named_and_a_circle_of_them_too() {
    struct Left;
    impl Outside for Left {
        const NAME: &'static str = "left";
        type Sends = (Wait<Job>, Wait<Unused>);
    }
    struct Right;
    impl Outside for Right {
        const NAME: &'static str = "right";
        type Sends = (Wait<Job>, Wait<Unused>);
    }
    /// Holds a place beside the others, and comes before them in the wiring.
    struct Beside;
    impl Outside for Beside {
        const NAME: &'static str = "beside";
        type Sends = (Wait<Job>,);
    }
    let simulation = Simulation::new(7);
    let environment = simulation.environment("node");
    let one = MailboxLimits { messages: 1, bytes: 1024 };
    let two = MailboxLimits { messages: 2, bytes: 1024 };
    let overseer = HouseBuilder::new(environment.clone())
        .mailbox_limits::<Front>(two)
        .mailbox_limits::<Back>(one)
        .front(Counts::<Nothing>(Arc::default(), Arc::default(), std::marker::PhantomData))
        .back(Silent)
        .outside::<Beside>()
        .outside::<Left>()
        .outside::<Right>()
        .build()
        .expect("no circle is known");
    let handle = overseer.handle();
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    let left = handle.outlet::<Left>().expect("both are there");
    let right = handle.outlet::<Right>().expect("both are there");
    let beside = handle.outlet::<Beside>().expect("the front is there");
    let held = |edge: &str| handle.edges().iter().find(|known| known.from == edge).map(|known| known.queued);
    let simulated = simulation.run_until(async {
        let beside = beside.reserve::<Job, _>(8).await.expect("there is room");
        let at_front = (left.reserve::<Job, _>(8).await.expect("there is room"), beside);
        let at_back = right.reserve::<Unused, _>(8).await.expect("there is room");
        (at_front, at_back)
    });
    let (at_front, at_back) = simulated.expect("nobody waits");
    assert_eq!(held("left"), Some(0), "no message is queued");
    simulation.run_for(Duration::from_secs(10)).expect("no live-lock");
    assert!(handle.readiness().is_ready(), "nobody waits, and nobody stands still: {:?}", handle.readiness());
    let (waiting_left, waiting_right) = (left.clone(), right.clone());
    let (left_end, right_end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (ends_left, ends_right) = (left_end.clone(), right_end.clone());
    environment.spawner.spawn(
        "left",
        Box::pin(async move {
            waiting_left.send(Unused).await.expect("the back is there");
            ends_left.store(1, Ordering::Relaxed);
        }),
    );
    environment.spawner.spawn(
        "right",
        Box::pin(async move {
            waiting_right.send(Job(1)).await.expect("the front is there");
            ends_right.store(1, Ordering::Relaxed);
        }),
    );
    simulation.run_for(Duration::from_secs(6)).expect("no live-lock");
    assert_eq!(
        handle.readiness().chain_names,
        ["left waits with Unused at back, where right holds a place and waits with Job at front, where beside holds \
          a place and left holds a place: a circle"]
    );
    drop(at_front);
    at_back.send(Unused).expect("the back is there");
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!((left_end.load(Ordering::Relaxed), right_end.load(Ordering::Relaxed)), (1, 1));
    assert!(handle.readiness().is_ready());
}
