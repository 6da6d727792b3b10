//! OV-1: the first that ends, fails or panics is named and takes the node down in order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deterministic::Simulation;
use overseer::node::{CONCLUDE_DEADLINE, ExitCause};
use overseer::recorder::Recorded;
use overseer::{Ask, Context, Event, ExitReport, Failure, Nothing, Overseer, Role, Subsystem, Wait};

use crate::Beats;

overseer::inbox! {
    /// Nothing.
    pub(crate) enum FirstInbox for First as "first" {}
}
overseer::inbox! {
    /// Nothing.
    pub(crate) enum SecondInbox for Second as "second" {}
}
overseer::node! {
    /// One who misbehaves, one who does not.
    pub(crate) struct Two, built by TwoBuilder { first: First, second: Second }
}

enum Fate {
    Fails,
    Panics,
    Returns,
    IgnoresConclude,
    FailsAtTheEnd,
    PanicsAtTheEnd,
    Obeys,
}

impl Subsystem for Fate {
    type Role = First;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        match self {
            Self::Fails => Err("disk on fire".into()),
            Self::Panics => panic!("index out of {}", "luck"),
            Self::Returns => Ok(()),
            Self::IgnoresConclude => {
                context.recv().await;
                std::future::pending().await
            }
            Self::Obeys | Self::FailsAtTheEnd | Self::PanicsAtTheEnd => {
                while !matches!(context.recv().await, Event::Conclude) {}
                match self {
                    Self::FailsAtTheEnd => Err("disk is full".into()),
                    Self::PanicsAtTheEnd => panic!("nothing to flush"),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn run(fate: Fate, stop: bool) -> ExitReport {
    let simulation = Simulation::new(3);
    let overseer = TwoBuilder::new(simulation.environment("node"))
        .first(fate)
        .drain_empty_slots()
        .build()
        .expect("two slots, both filled");
    end(&simulation, overseer, stop)
}

/// How a node ends, by itself or stopped. Nothing of it is left behind.
pub(crate) fn end(simulation: &Simulation, overseer: Overseer, stop: bool) -> ExitReport {
    if stop {
        overseer.handle().stop();
    }
    let report = simulation.run_until(overseer.run()).expect("it ends");
    simulation.run_until_stalled().expect("no live-lock, and nothing of it panics later");
    assert!(simulation.tasks().is_empty(), "left behind: {:?}", simulation.tasks());
    report
}

#[test]
fn causes_are_named() {
    for (fate, expected) in [
        (Fate::Fails, "first failed: disk on fire"),
        (Fate::Panics, "first panicked: index out of luck"),
        (Fate::Returns, "first ended without being told to"),
    ] {
        let report = run(fate, false);
        assert_eq!(report.cause.to_string(), expected);
        assert!(report.unfinished.is_empty());
    }
}

#[test]
fn one_that_does_not_conclude_is_dropped_and_named() {
    let report = run(Fate::IgnoresConclude, true);
    assert!(matches!(report.cause, ExitCause::Stopped));
    assert_eq!(report.unfinished, ["first"]);
    assert_eq!(report.last_events["first"], [Recorded::Conclude]);
}

#[test]
fn one_that_fails_or_panics_while_concluding_is_no_clean_end() {
    for (fate, expected) in [
        (Fate::FailsAtTheEnd, "first failed: disk is full"),
        (Fate::PanicsAtTheEnd, "first panicked: nothing to flush"),
    ] {
        let report = run(fate, true);
        assert_eq!(report.cause.to_string(), expected);
        assert!(!report.is_clean() && report.unfinished.is_empty());
    }
}

#[test]
fn one_that_cannot_be_made_is_named() {
    let simulation = Simulation::new(3);
    let builder = TwoBuilder::new(simulation.environment("node"));
    let make = || -> Fate { panic!("no {}", "parts") };
    let overseer = builder.restarting(1, make).drain_empty_slots().build().expect("two slots, both filled");
    let report = simulation.run_until(overseer.run()).expect("it ends");
    assert_eq!(report.cause.to_string(), "first panicked: no parts");
}

/// What one of two does after a second, and how long it takes to conclude.
struct Timed<R> {
    fails: Option<Arc<Mutex<Vec<&'static str>>>>,
    concludes_in: Duration,
    role: std::marker::PhantomData<fn() -> R>,
}

fn timed<R>(fails: Option<&Arc<Mutex<Vec<&'static str>>>>, concludes_in: Duration) -> Timed<R> {
    Timed { fails: fails.cloned(), concludes_in, role: std::marker::PhantomData }
}

impl<R: Role> Subsystem for Timed<R> {
    type Role = R;
    type View = Beats;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let clock = context.environment().clock.clone();
        if let Some(order) = self.fails {
            clock.sleep(Duration::from_secs(1)).await;
            order.lock().expect("one thread").push(R::NAME);
            return Err("disk on fire".into());
        }
        while !matches!(context.recv().await, Event::Conclude) {}
        clock.sleep(self.concludes_in).await;
        Ok(())
    }
}

/// How two end, and after which time of the simulation.
fn end_of_two(seed: u64, first: Timed<First>, second: Timed<Second>, stop: bool) -> (ExitReport, Duration) {
    let simulation = Simulation::new(seed);
    let builder = TwoBuilder::new(simulation.environment("node")).first(first).second(second);
    let overseer = builder.build().expect("two slots, both filled");
    let before = simulation.now();
    let report = end(&simulation, overseer, stop);
    (report, simulation.now().saturating_sub(before))
}

#[test]
fn of_two_that_fail_in_the_same_instant_the_first_is_named() {
    let mut named = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let order = Arc::new(Mutex::new(Vec::new()));
        let (first, second) = (timed(Some(&order), Duration::ZERO), timed(Some(&order), Duration::ZERO));
        let (report, took) = end_of_two(seed, first, second, false);
        let ExitCause::Failed(subsystem, _) = report.cause else { panic!("seed {seed}: {}", report.cause) };
        let order = order.lock().expect("one thread");
        assert_eq!((order.len(), order[0], took.as_secs()), (2, subsystem, 1), "seed {seed}");
        assert!(report.unfinished.is_empty(), "both have returned");
        named.insert(subsystem);
    }
    assert_eq!(named.len(), 2, "either was the first under some schedule");
}

#[test]
fn who_needs_all_of_the_time_to_conclude_has_it_and_who_needs_more_is_dropped() {
    let tick = Duration::from_millis(1);
    let (report, took) = end_of_two(3, timed(None, CONCLUDE_DEADLINE - tick), timed(None, tick), true);
    assert!(report.is_clean() && took >= CONCLUDE_DEADLINE - tick, "{took:?}");
    let (report, took) = end_of_two(3, timed(None, CONCLUDE_DEADLINE * 9), timed(None, tick), true);
    assert_eq!(report.unfinished, ["first"], "the other one did not have to wait for it");
    assert!(took >= CONCLUDE_DEADLINE && took < CONCLUDE_DEADLINE + Duration::from_secs(1), "{took:?}");
    // A failure of the one gives the other its time as well.
    let order = Arc::new(Mutex::new(Vec::new()));
    let (report, took) = end_of_two(3, timed(Some(&order), tick), timed(None, Duration::from_secs(2)), false);
    assert_eq!(report.cause.to_string(), "first failed: disk on fire");
    assert!(report.unfinished.is_empty() && took >= Duration::from_secs(3), "{took:?}");
}

/// Takes an hour for each signal.
struct Slow;
impl Subsystem for Slow {
    type Role = First;
    type View = Beats;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Signal(_) => context.environment().clock.sleep(Duration::from_secs(3_600)).await,
                Event::Message(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn one_that_is_slow_is_named_and_not_stopped() {
    let simulation = Simulation::new(3);
    let environment = simulation.environment("node");
    let overseer = TwoBuilder::new(environment.clone()).first(Slow).drain_empty_slots().build().expect("two slots");
    let handle = overseer.handle();
    let report = Arc::new(Mutex::new(None));
    let ending = report.clone();
    let running = async move { *ending.lock().expect("one thread") = Some(overseer.run().await) };
    environment.spawner.spawn("overseer", Box::pin(running));
    (0..20).for_each(|beat| assert!(handle.publish::<Beats>(beat)));
    simulation.run_for(Duration::from_secs(60)).expect("no live-lock");
    assert_eq!(handle.readiness().lagging, [("first", 19)]);
    simulation.run_for(Duration::from_secs(24 * 3_600)).expect("no live-lock");
    assert!(report.lock().expect("one thread").is_none(), "a day of it ends nothing");
    assert!(handle.readiness().is_ready(), "and then it has caught up");
    handle.stop();
    simulation.run_until_stalled().expect("no live-lock");
    assert!(report.lock().expect("one thread").as_ref().is_some_and(ExitReport::is_clean));
}

#[test]
fn stopping_is_clean() {
    assert!(run(Fate::Obeys, true).is_clean());
}

/// How much is kept.
pub(crate) struct Kept;
/// Something to keep.
pub(crate) struct Put;
overseer::inbox! {
    /// What is kept.
    pub(crate) enum StoreInbox for Store as "store" { tell { Put } ask { Kept -> u32 } }
}
overseer::inbox! {
    /// Nothing.
    pub(crate) enum SourceInbox for Source as "source" {}
}
overseer::node! {
    /// One who sends to the other.
    pub(crate) struct Pair, built by PairBuilder { source: Source, store: Store }
}

/// Sends as long as somebody takes it.
struct Pours;
impl Subsystem for Pours {
    type Role = Source;
    type View = Nothing;
    type Sends = (Wait<Put>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            context.send(Put).await?;
        }
    }
}

/// Fails at the first message, and takes so long to be gone.
struct FailsSlowly(Duration);
impl Subsystem for FailsSlowly {
    type Role = Store;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.recv().await;
        let clock = context.environment().clock.clone();
        drop(context);
        clock.sleep(self.0).await;
        Err("disk on fire".into())
    }
}

#[test]
fn who_failed_first_is_named_though_another_is_gone_before_it() {
    for (takes, cause, unfinished) in [
        (Duration::from_secs(1), "store failed: disk on fire", vec![]),
        // Nobody knows its failure: what it led to is all there is.
        (CONCLUDE_DEADLINE * 2, "source failed: Put to store was not delivered: consumer has ended", vec!["store"]),
    ] {
        let simulation = Simulation::new(3);
        let builder = PairBuilder::new(simulation.environment("node")).source(Pours).store(FailsSlowly(takes));
        let overseer = builder.build().expect("two slots, both filled");
        let report = simulation.run_until(overseer.run()).expect("it ends");
        assert_eq!((report.cause.to_string().as_str(), report.unfinished), (cause, unfinished));
    }
}

/// What one sends when its node concludes.
#[derive(Clone, Copy)]
enum LastWords {
    Sends,
    Reserves,
    Asks,
}

/// Has its last words, if the other is there still, and does the rest of its work after what it sends.
struct HasLastWords {
    words: LastWords,
    /// Not before it has heard of the end; else some time after that has come, in the middle of its work.
    was_told: bool,
    done: Arc<Mutex<u32>>,
}
impl Subsystem for HasLastWords {
    type Role = Source;
    type View = Nothing;
    type Sends = (Wait<Put>, Ask<Kept>);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        if !self.was_told {
            let clock = context.environment().clock.clone();
            clock.sleep(Duration::from_secs(1)).await;
            self.say(&mut context).await?;
        }
        while !matches!(context.recv().await, Event::Conclude) {}
        if self.was_told {
            self.say(&mut context).await?;
        }
        *self.done.lock().expect("one thread") += 1;
        Ok(())
    }
}

impl HasLastWords {
    async fn say(&self, context: &mut Context<Self>) -> Result<(), Failure> {
        match self.words {
            LastWords::Sends => context.send(Put).await?,
            LastWords::Reserves => context.reserve::<Put, _>(1).await?.send(Put)?,
            LastWords::Asks => drop(context.ask(Kept).await?),
        }
        Ok(())
    }
}

/// Counts what is worth a warning.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);
impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_stop_is_clean_whoever_of_two_hears_of_it_first() {
    const SCHEDULES: u32 = 200;
    let warnings = Warnings::default();
    let _listening = tracing::subscriber::set_default(warnings.clone());
    for (words, was_told) in [LastWords::Sends, LastWords::Reserves, LastWords::Asks]
        .into_iter()
        .flat_map(|words| [(words, true), (words, false)])
    {
        let done = Arc::new(Mutex::new(0));
        let mut refused = 0;
        for seed in 0..SCHEDULES {
            let simulation = Simulation::new(seed.into());
            let source = HasLastWords { words, was_told, done: done.clone() };
            let builder = PairBuilder::new(simulation.environment("node")).source(source).drain_empty_slots();
            let overseer = builder.build().expect("two slots, both filled");
            let handle = overseer.handle();
            handle.stop();
            let report = simulation.run_until(overseer.run()).expect("it ends");
            assert!(report.is_clean(), "seed {seed}: {report:?}");
            refused += handle.edges().iter().map(|edge| edge.refused).sum::<u64>();
        }
        let done = *done.lock().expect("one thread");
        match words {
            LastWords::Asks => assert!(done < SCHEDULES, "sometimes the other one was gone"),
            _ => assert_eq!((done, refused), (SCHEDULES, SCHEDULES.into()), "all its work, none taken"),
        }
    }
    assert_eq!(warnings.0.load(Ordering::Relaxed), 0, "nobody has to look at it");
}
