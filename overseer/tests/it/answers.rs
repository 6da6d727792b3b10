//! Deadlines of answers, places reserved ahead, restarts, the flight recorder.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deterministic::{BoxFuture, Clock, Simulation};
use futures::FutureExt as _;
use overseer::answer::{FeedError, FeedSender, WatchError};
use overseer::mailbox::{MailboxLimits, RefusedReason};
use overseer::recorder::Recorded;
use overseer::{Ask, AskError, Context, Event, Failure, Feed, Handle, Outside, Responder, Subsystem, Wait, Watch};

use crate::Beats;

pub(crate) struct Note(u32);
pub(crate) struct Urgent(u32);
pub(crate) struct Slow;
overseer::inbox! {
    /// What the clerk hears.
    pub(crate) enum Inbox for Clerk as "clerk" {
        tell { Note, Urgent { const LANE: overseer::message::Lane = overseer::message::Lane::High; } }
        ask { Slow -> u32 { const ANSWER_WITHIN: Option<std::time::Duration> = Some(std::time::Duration::from_secs(2)); } }
    }
}
overseer::node! {
    /// One slot.
    pub(crate) struct Office, built by OfficeBuilder { clerk: Clerk }
}

struct Visitor;
impl Outside for Visitor {
    const NAME: &'static str = "visitor";
    type Sends = (Wait<Note>, Wait<Urgent>, Ask<Slow>);
}

#[derive(Clone, Default)]
struct Desk {
    notes: Arc<Mutex<Vec<u32>>>,
    beats: Arc<Mutex<Vec<u64>>>,
    started: Arc<AtomicU32>,
}

/// Keeps every question and never answers; falls over note 13.
struct Keeps(Desk);
impl Subsystem for Keeps {
    type Role = Clerk;
    type View = Beats;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        self.0.started.fetch_add(1, Ordering::Relaxed);
        let mut kept: Vec<Responder<u32>> = Vec::new();
        loop {
            match context.recv().await {
                Event::Signal(beat) => self.0.beats.lock().expect("one thread").push(beat),
                Event::Message(Inbox::Note(Note(13))) => panic!("unlucky"),
                Event::Message(Inbox::Note(Note(number))) => self.0.notes.lock().expect("one thread").push(number),
                Event::Message(Inbox::Urgent(Urgent(number))) => {
                    self.0.notes.lock().expect("one thread").push(number);
                }
                Event::Message(Inbox::Slow(Slow, reply)) => kept.push(reply),
                Event::Conclude => return Ok(()),
            }
        }
    }
}

fn start(builder: OfficeBuilder, simulation: &Simulation) -> Handle {
    let overseer = builder.build().expect("one slot");
    let handle = overseer.handle();
    simulation.environment("node").spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    simulation.run_until_stalled().expect("no live-lock");
    handle
}

#[test]
fn a_question_without_an_answer_ends_at_its_deadline_and_leaves_no_timer() {
    let simulation = Simulation::new(1);
    let desk = Desk::default();
    let handle = start(OfficeBuilder::new(simulation.environment("node")).clerk(Keeps(desk)), &simulation);
    let visitor = handle.outlet::<Visitor>().expect("there is a clerk");
    let before = simulation.now();
    let answer = simulation.run_until(visitor.ask(Slow)).expect("the deadline comes");
    assert_eq!(answer, Err(AskError::TimedOut { message: "Slow", by: "clerk" }));
    let took = simulation.now().saturating_sub(before);
    assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(2_100), "{took:?}");
    handle.stop();
    simulation.run_until_stalled().expect("no live-lock");
    assert!(simulation.tasks().is_empty(), "left behind: {:?}", simulation.tasks());
}

/// A clock that is set, this many seconds off, over one that nobody sets.
struct Wall(Arc<dyn Clock>, Arc<AtomicU64>);
impl Clock for Wall {
    fn now(&self) -> Duration {
        self.0.now() + Duration::from_secs(self.1.load(Ordering::Relaxed))
    }
    fn steady(&self) -> Duration {
        self.0.steady()
    }
    fn sleep_until(&self, at: Duration) -> BoxFuture<()> {
        let wall = Self(self.0.clone(), self.1.clone());
        Box::pin(async move {
            while wall.now() < at {
                wall.0.sleep(Duration::from_secs(1)).await;
            }
        })
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        self.0.sleep(duration)
    }
}

#[test]
fn a_clock_that_is_set_moves_no_deadline_and_makes_nobody_wait_long() {
    for (from, to) in [(7200, 0), (0, 7200)] {
        let simulation = Simulation::new(1);
        let mut environment = simulation.environment("node");
        let ahead = Arc::new(AtomicU64::new(from));
        environment.clock = Arc::new(Wall(environment.clock.clone(), ahead.clone()));
        let handle = start(OfficeBuilder::new(environment.clone()).clerk(Keeps(Desk::default())), &simulation);
        let visitor = handle.outlet::<Visitor>().expect("there is a clerk");
        let answer = Arc::new(Mutex::new(None));
        let place = answer.clone();
        let asking = async move { *place.lock().unwrap() = Some(visitor.ask(Slow).await) };
        environment.spawner.spawn("visitor", Box::pin(asking));
        simulation.run_for(Duration::from_secs(1)).expect("no live-lock");
        ahead.store(to, Ordering::Relaxed);
        simulation.run_for(Duration::from_millis(500)).expect("no live-lock");
        assert_eq!(*answer.lock().unwrap(), None, "the clock went from {from} to {to}");
        assert!(handle.readiness().is_ready(), "{:?}", handle.readiness());
        simulation.run_for(Duration::from_secs(1)).expect("no live-lock");
        let over = Err(AskError::TimedOut { message: "Slow", by: "clerk" });
        assert_eq!(*answer.lock().unwrap(), Some(over), "the clock went from {from} to {to}");
    }
}

#[test]
fn a_restarted_subsystem_keeps_its_mailbox_and_hears_what_is_so() {
    let simulation = Simulation::new(2);
    let desk = Desk::default();
    let made = desk.clone();
    let builder = OfficeBuilder::new(simulation.environment("node")).restarting(2, move || Keeps(made.clone()));
    let handle = start(builder, &simulation);
    let visitor = handle.outlet::<Visitor>().expect("there is a clerk");
    handle.publish::<Beats>(1);
    handle.publish::<Beats>(2);
    simulation.run_until_stalled().expect("no live-lock");
    for note in [1, 13, 2, 3] {
        simulation.run_until(visitor.send(Note(note))).expect("there is room").expect("the mailbox stays open");
    }
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(desk.started.load(Ordering::Relaxed), 2);
    assert_eq!(*desk.notes.lock().unwrap(), [1, 2, 3]);
    assert_eq!(*desk.beats.lock().unwrap(), [1, 2, 2], "one catch-up entry after the restart");
    handle.stop();
    simulation.run_until_stalled().expect("no live-lock");
    assert!(simulation.tasks().is_empty(), "left behind: {:?}", simulation.tasks());
}

#[test]
fn a_restarted_subsystem_keeps_both_lanes_in_order_and_who_waits_for_a_place() {
    let simulation = Simulation::new(2);
    let desk = Desk::default();
    let made = desk.clone();
    let builder = OfficeBuilder::new(simulation.environment("node"))
        .mailbox_limits::<Clerk>(MailboxLimits { messages: 5, bytes: 1024 })
        .restarting(2, move || Keeps(made.clone()));
    let overseer = builder.build().expect("one slot");
    let handle = overseer.handle();
    let visitor = handle.outlet::<Visitor>().expect("there is a clerk");
    // All of it is queued before anything is heard.
    for note in [13, 1, 2] {
        simulation.run_until(visitor.send(Note(note))).expect("there is room").expect("open");
    }
    for urgent in [10, 11] {
        simulation.run_until(visitor.send(Urgent(urgent))).expect("there is room").expect("open");
    }
    let waiting = handle.outlet::<Visitor>().expect("there is a clerk");
    let waits = async move {
        waiting.send(Note(3)).await.expect("the mailbox stays open");
        waiting.send(Note(13)).await.expect("the mailbox stays open");
        waiting.send(Note(4)).await.expect("the mailbox stays open");
        waiting.send(Urgent(12)).await.expect("the mailbox stays open");
    };
    let environment = simulation.environment("node");
    environment.spawner.spawn("visitor", Box::pin(waits));
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(handle.edges()[0].waiting, 1);
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(desk.started.load(Ordering::Relaxed), 3);
    let notes = desk.notes.lock().unwrap().clone();
    let of =
        |range: std::ops::Range<u32>| notes.iter().copied().filter(|note| range.contains(note)).collect::<Vec<_>>();
    assert_eq!((&notes[..2], of(0..10), of(10..20)), (&[10, 11][..], vec![1, 2, 3, 4], vec![10, 11, 12]));
}

/// Panics when it is dropped while armed.
struct Bomb(Arc<std::sync::atomic::AtomicBool>);
impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0.load(Ordering::Relaxed), "it goes off");
    }
}

fn goes_off(work: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err()
}

#[test]
fn a_value_whose_drop_panics_leaves_the_feed_as_it_should_be() {
    let armed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (sender, mut feed) = Feed::bounded("Prices", "market", 1);
    assert!(sender.push(Bomb(armed.clone())));
    armed.store(true, Ordering::Relaxed);
    assert!(goes_off(|| assert!(!sender.push(Bomb(armed.clone())))), "there is no room, so it is dropped");
    armed.store(false, Ordering::Relaxed);
    assert!(matches!(feed.next().now_or_never(), Some(Ok(Some(Bomb(_))))), "what it held");
    assert!(
        matches!(feed.next().now_or_never(), Some(Err(FeedError::Lagged(1)))),
        "the one that went off counts as missed"
    );

    let (sender, feed) = Feed::bounded("Prices", "market", 2);
    assert!(sender.push(Bomb(armed.clone())));
    armed.store(true, Ordering::Relaxed);
    assert!(goes_off(|| drop(feed)));
    armed.store(false, Ordering::Relaxed);
    assert!(!sender.push(Bomb(armed.clone())), "its sender hears that the reader went");
    assert_eq!(Arc::strong_count(&armed), 1, "nothing is left in it");
}

/// A waker that holds one end of a feed, as a task does.
struct HoldsEnd {
    _end: Mutex<FeedSender<u32>>,
}
impl std::task::Wake for HoldsEnd {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_reader_whose_old_waker_held_the_sender_is_not_locked_out() {
    let (sender, mut feed) = Feed::<u32>::bounded("Prices", "market", 1);
    let waker = std::task::Waker::from(Arc::new(HoldsEnd { _end: Mutex::new(sender) }));
    let mut next = std::pin::pin!(feed.next());
    assert!(next.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    drop(waker);
    // The waker that is replaced takes the sender with it.
    assert!(next.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
    let polled = next.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert_eq!(polled, std::task::Poll::Ready(Err(FeedError::Dropped { message: "Prices", by: "market" })));
}

#[test]
fn one_that_fails_too_often_ends_the_node_and_its_last_events_are_in_the_report() {
    let simulation = Simulation::new(3);
    let desk = Desk::default();
    let made = desk.clone();
    let overseer = OfficeBuilder::new(simulation.environment("node"))
        .restarting(1, move || Keeps(made.clone()))
        .build()
        .expect("one slot");
    let visitor = overseer.handle().outlet::<Visitor>().expect("there is a clerk");
    let report = simulation
        .run_until(async move {
            for note in [13, 7, 13] {
                visitor.send(Note(note)).await.expect("the mailbox is open");
            }
            overseer.run().await
        })
        .expect("it ends");
    assert_eq!(report.cause.to_string(), "clerk panicked: unlucky");
    assert_eq!(desk.started.load(Ordering::Relaxed), 2);
    assert_eq!(report.last_events["clerk"], [Recorded::Received("Note"), Recorded::Received("Note")]);
}

#[test]
fn a_place_that_was_reserved_waits_for_its_message() {
    let simulation = Simulation::new(4);
    let desk = Desk::default();
    let builder = OfficeBuilder::new(simulation.environment("node"))
        .mailbox_limits::<Clerk>(MailboxLimits { messages: 1, bytes: 1024 })
        .clerk(Keeps(desk.clone()));
    let handle = start(builder, &simulation);
    let visitor = handle.outlet::<Visitor>().expect("there is a clerk");
    let place = simulation.run_until(visitor.reserve::<Note, _>(4)).expect("there is room").expect("it is open");
    simulation.run_for(Duration::from_secs(60)).expect("no live-lock");
    assert!(desk.notes.lock().unwrap().is_empty());
    place.send(Note(5)).expect("it is open");
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(*desk.notes.lock().unwrap(), [5]);
}

#[test]
fn a_place_takes_nothing_larger_than_what_was_reserved() {
    let simulation = Simulation::new(6);
    let handle = start(OfficeBuilder::new(simulation.environment("node")).clerk(Keeps(Desk::default())), &simulation);
    let visitor = handle.outlet::<Visitor>().expect("there is a clerk");
    let place = simulation.run_until(visitor.reserve::<Note, _>(3)).expect("there is room").expect("it is open");
    let refused = place.send(Note(5)).expect_err("it counts as 4 bytes");
    assert_eq!((refused.message.0, refused.reason), (5, RefusedReason::TooLarge));
    assert_eq!(handle.queues()[0].bytes, 0, "the place is given back");
}

#[test]
fn a_question_that_finds_no_place_in_time_is_never_put() {
    let simulation = Simulation::new(5);
    let builder = OfficeBuilder::new(simulation.environment("node"))
        .mailbox_limits::<Clerk>(MailboxLimits { messages: 1, bytes: 1024 })
        .clerk(Keeps(Desk::default()));
    let handle = start(builder, &simulation);
    let visitor = handle.outlet::<Visitor>().expect("there is a clerk");
    let place = simulation.run_until(visitor.reserve::<Note, _>(4)).expect("there is room").expect("it is open");
    let answer = simulation.run_until(visitor.ask(Slow)).expect("the deadline comes");
    assert_eq!(answer, Err(AskError::TimedOut { message: "Slow", by: "clerk" }));
    drop(place);
    simulation.run_until_stalled().expect("no live-lock");
    assert!(handle.edges().iter().all(|edge| edge.sent == 0), "{:?}", handle.edges());
}

#[test]
fn a_feed_whose_reader_went_holds_nothing_and_one_without_capacity_holds_one() {
    let (sender, feed) = Feed::bounded("Prices", "market", 0);
    let value = Arc::new(());
    assert!(sender.push(value.clone()));
    drop(feed);
    assert_eq!(Arc::strong_count(&value), 1);
    drop(sender);
}

#[test]
fn a_feed_that_overflows_delivers_what_it_holds_and_ends_with_what_is_missing() {
    let (sender, mut feed) = Feed::bounded("Prices", "market", 2);
    assert_eq!(feed.next().now_or_never(), None, "it waits");
    assert!(sender.push(1) && sender.push(2));
    assert_eq!(feed.next().now_or_never(), Some(Ok(Some(1))));
    assert!(sender.push(3));
    assert!(!sender.push(4) && !sender.push(5), "a slow reader never slows the sender");
    assert_eq!(feed.next().now_or_never(), Some(Ok(Some(2))));
    assert!(!sender.push(6), "what comes after a gap is part of it");
    assert_eq!(feed.next().now_or_never(), Some(Ok(Some(3))));
    assert_eq!(feed.next().now_or_never(), Some(Err(FeedError::Lagged(3))));
}

#[test]
fn a_feed_says_whether_it_was_ended_or_dropped_and_its_sender_hears_of_a_reader_that_went() {
    let error = FeedError::Dropped { message: "Prices", by: "market" };
    assert_eq!(error.to_string(), "market dropped the feed of Prices before its end");
    for (end, says) in [(true, Ok(None)), (false, Err(error))] {
        let (sender, mut feed) = Feed::bounded("Prices", "market", 2);
        assert!(sender.push(1));
        if end {
            sender.end()
        } else {
            drop(sender)
        }
        assert_eq!(feed.next().now_or_never(), Some(Ok(Some(1))), "what it holds comes first");
        assert_eq!(feed.next().now_or_never(), Some(says));
        assert_eq!(feed.next().now_or_never(), Some(says), "and again");
    }
    let (sender, feed) = Feed::bounded("Prices", "market", 2);
    drop(feed);
    assert!(!sender.push(1));
}

#[test]
fn a_watch_shows_the_newest_value_and_says_whether_it_was_ended_or_dropped() {
    let error = WatchError { message: "Trend", by: "market" };
    assert_eq!(error.to_string(), "market dropped the watch of Trend before its end");
    for (end, says) in [(true, Ok(None)), (false, Err(error))] {
        let (setter, mut watch) = Watch::new("Trend", "market", 1);
        assert_eq!((watch.get(), watch.changed().now_or_never()), (1, None));
        setter.set(2);
        setter.set(3);
        assert_eq!(watch.changed().now_or_never(), Some(Ok(Some(3))));
        assert_eq!(watch.changed().now_or_never(), None);
        setter.set(4);
        if end {
            setter.end()
        } else {
            drop(setter)
        }
        assert_eq!(watch.changed().now_or_never(), Some(Ok(Some(4))), "the last value comes first");
        assert_eq!((watch.get(), watch.changed().now_or_never()), (4, Some(says)));
        assert_eq!(watch.changed().now_or_never(), Some(says), "and again");
    }
}

struct Trend;
overseer::inbox! {
    /// What the oracle hears.
    enum OracleInbox for Oracle as "oracle" { ask { Trend -> Watch<u32> } }
}
overseer::node! { struct Temple, built by TempleBuilder { oracle: Oracle } }

struct Pilgrim;
impl Outside for Pilgrim {
    const NAME: &'static str = "pilgrim";
    type Sends = (Ask<Trend>,);
}

/// Gives out one watch, and falls over at a beat.
struct Pythia;
impl Subsystem for Pythia {
    type Role = Oracle;
    type View = Beats;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let (_setter, watch) = Watch::new("Trend", "oracle", 7);
        loop {
            match context.recv().await {
                Event::Message(OracleInbox::Trend(Trend, reply)) => drop(reply.answer(watch.clone())),
                Event::Signal(_) => panic!("the vapours"),
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn every_reader_of_a_watch_is_counted_and_a_crash_is_no_end() {
    let simulation = Simulation::new(1);
    let overseer = TempleBuilder::new(simulation.environment("node")).oracle(Pythia).build().expect("one slot");
    let handle = overseer.handle();
    simulation.environment("node").spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    let pilgrim = handle.outlet::<Pilgrim>().expect("there is an oracle");
    let open = || handle.edges().iter().map(|edge| edge.open_feeds).collect::<Vec<_>>();
    let mut first = simulation.run_until(pilgrim.ask(Trend)).expect("it answers").expect("it is there");
    assert_eq!(open(), [1]);
    let second = first.clone();
    assert_eq!((second.get(), open()), (7, vec![2]));
    drop(second);
    assert_eq!(open(), [1], "one reader is gone");

    assert!(handle.publish::<Beats>(1));
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(open(), [1], "its end was not read");
    let dropped = WatchError { message: "Trend", by: "oracle" };
    assert_eq!((first.changed().now_or_never(), first.get()), (Some(Err(dropped)), 7));
    assert_eq!(open(), [0]);
}

struct Prices;
struct Price;
overseer::inbox! {
    /// What the market hears.
    enum MarketInbox for Market as "market" { ask { Prices -> Feed<u32>, Price -> u32 } }
}
overseer::node! { struct Town, built by TownBuilder { market: Market } }

struct Buyer;
impl Outside for Buyer {
    const NAME: &'static str = "buyer";
    type Sends = (Ask<Prices>, Ask<Price>);
}

/// Sends one value into each feed, and ends them when it is asked for a single one.
struct Sells;
impl Subsystem for Sells {
    type Role = Market;
    type View = Beats;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut feeds: Vec<FeedSender<u32>> = Vec::new();
        loop {
            match context.recv().await {
                Event::Signal(_) => panic!("the market is closed"),
                Event::Message(MarketInbox::Prices(Prices, reply)) => {
                    let (sender, feed) = Feed::bounded("Prices", "market", 2);
                    assert!(sender.push(7));
                    feeds.push(sender);
                    let _ = reply.answer(feed);
                }
                Event::Message(MarketInbox::Price(Price, reply)) => {
                    feeds.drain(..).for_each(FeedSender::end);
                    let _ = reply.answer(7);
                }
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn feeds_are_counted_while_they_are_open_and_a_crash_is_no_end() {
    let simulation = Simulation::new(1);
    let overseer = TownBuilder::new(simulation.environment("node")).market(Sells).build().expect("one slot");
    let handle = overseer.handle();
    simulation.environment("node").spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    let buyer = handle.outlet::<Buyer>().expect("there is a market");
    let open = || {
        let edges = handle.edges();
        assert!(edges.iter().all(|edge| edge.in_flight == 0), "a feed is no question that waits");
        edges.iter().map(|edge| (edge.declared.message, edge.open_feeds)).collect::<Vec<_>>()
    };
    let ask = || simulation.run_until(buyer.ask(Prices)).expect("it answers").expect("it is there");
    let (mut first, second) = (ask(), ask());
    assert_eq!(open(), [("Prices", 2), ("Price", 0)]);
    assert!(handle.live_topology().contains("Prices → market (ask, outside): 2 sent, 2 feeds open"));
    drop(second);
    assert_eq!(open(), [("Prices", 1), ("Price", 0)], "its reader is gone");
    assert_eq!(simulation.run_until(buyer.ask(Price)).expect("it answers"), Ok(7));
    assert_eq!(open(), [("Prices", 1), ("Price", 0)], "its end was not read");
    assert_eq!(first.next().now_or_never(), Some(Ok(Some(7))));
    assert_eq!(first.next().now_or_never(), Some(Ok(None)));
    assert_eq!(open(), [("Prices", 0), ("Price", 0)]);

    let mut third = ask();
    assert!(handle.publish::<Beats>(1));
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(third.next().now_or_never(), Some(Ok(Some(7))));
    let dropped = FeedError::Dropped { message: "Prices", by: "market" };
    assert_eq!(third.next().now_or_never(), Some(Err(dropped)), "the market fell over");
    assert_eq!(open(), [("Prices", 0), ("Price", 0)]);
}
