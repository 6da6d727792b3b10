//! Outboxes: what is kept while a queue is full, for whom, in which order, and through which tap.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use deterministic::Simulation;
use overseer::mailbox::{MailboxLimits, RefusedReason};
use overseer::port::Tapped;
use overseer::{Cast, Context, Event, Failure, Handle, Nothing, Subsystem, WhenFull};

/// Places of each message in the outbox.
const PLACES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fast(u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slow(u32);
struct Aside(u32);
overseer::inbox! {
    /// Nothing.
    enum TalkerInbox for Talker as "talker" {}
}
overseer::inbox! {
    /// What a quick ear hears.
    enum QuickInbox for Quick as "quick" { tell { Fast { const WHEN_FULL: WhenFull = WhenFull::Outbox(PLACES); } } }
}
overseer::inbox! {
    /// What a late ear hears.
    enum LateInbox for Late as "late" {
        tell {
            Slow { const WHEN_FULL: WhenFull = WhenFull::Outbox(PLACES); },
            Aside { const WHEN_FULL: WhenFull = WhenFull::Outbox(PLACES); },
        }
    }
}
overseer::node! {
    /// One who talks to two.
    struct Street, built by StreetBuilder { talker: Talker, quick: Quick, late: Late }
}

/// Casts all at once, and says what came back.
struct Talks(u32, Arc<Mutex<Vec<String>>>);
impl Subsystem for Talks {
    type Role = Talker;
    type View = Nothing;
    type Sends = (Cast<Slow>, Cast<Fast>, Cast<Aside>);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut refused = Vec::new();
        for number in 0..self.0 {
            refused.extend(context.cast(Slow(number)).err().map(|error| (error.message.0, error.reason)));
            context.cast(Fast(number))?;
            // Keeps its place behind the other message to the same consumer.
            refused.extend(context.cast(Aside(number)).err().map(|error| (error.message.0, error.reason)));
        }
        for (number, reason) in refused {
            assert_eq!(reason, RefusedReason::OverBudget(PLACES));
            self.1.lock().expect("one thread").push(format!("refused {number}"));
        }
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

/// Hears at once, or one message a second.
struct Hears(Option<Duration>, Arc<Mutex<Vec<String>>>);
macro_rules! ear {
    ($name:ident, $role:ident, $inbox:ident { $($message:ident),* }) => {
        struct $name(Hears);
        impl Subsystem for $name {
            type Role = $role;
            type View = Nothing;
            type Sends = ();
            type JobSends = ();

            async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
                loop {
                    match context.recv().await {
                        $( Event::Message($inbox::$message($message(number))) => {
                            if let Some(time) = self.0.0 {
                                context.environment().clock.sleep(time).await;
                            }
                            self.0.1.lock().expect("one thread").push(format!("{} {number}", stringify!($message)));
                        } )*
                        Event::Signal(never) => match never {},
                        Event::Conclude => return Ok(()),
                    }
                }
            }
        }
    };
}
ear!(QuickEar, Quick, QuickInbox { Fast });
ear!(LateEar, Late, LateInbox { Slow, Aside });

/// What the two heard, and the counters of what was cast to the late one.
struct Heard {
    simulation: Simulation,
    handle: Handle,
    refused: Arc<Mutex<Vec<String>>>,
    quick: Arc<Mutex<Vec<String>>>,
    late: Arc<Mutex<Vec<String>>>,
}

fn street(casts: u32, change: impl FnOnce(StreetBuilder) -> StreetBuilder) -> Heard {
    let simulation = Simulation::new(1);
    let environment = simulation.environment("node");
    let [refused, quick, late] = [(); 3].map(|()| Arc::new(Mutex::new(Vec::new())));
    let small = MailboxLimits { messages: 2, bytes: 1024 };
    let builder = StreetBuilder::new(environment.clone())
        .mailbox_limits::<Quick>(small)
        .mailbox_limits::<Late>(small)
        .talker(Talks(casts, refused.clone()))
        .quick(QuickEar(Hears(None, quick.clone())))
        .late(LateEar(Hears(Some(Duration::from_secs(1)), late.clone())));
    let overseer = change(builder).build().expect("no cycle");
    let handle = overseer.handle();
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    simulation.run_until_stalled().expect("no live-lock");
    Heard { simulation, handle, refused, quick, late }
}

fn lines(heard: &Arc<Mutex<Vec<String>>>) -> Vec<String> {
    heard.lock().expect("one thread").clone()
}

#[test]
fn a_slow_consumer_holds_up_nobody_elses_messages() {
    let heard = street(4, |builder| builder);
    assert_eq!(lines(&heard.quick), ["Fast 0", "Fast 1", "Fast 2", "Fast 3"], "while the late one hears its first");
    assert!(lines(&heard.late).is_empty());
    heard.simulation.run_for(Duration::from_secs(60)).expect("no live-lock");
    let expected: Vec<String> =
        (0..4).flat_map(|number| [format!("Slow {number}"), format!("Aside {number}")]).collect();
    assert_eq!(lines(&heard.late), expected, "in the order in which they were cast");
    assert!(lines(&heard.refused).is_empty());
    let slow = heard.handle.edges().into_iter().find(|edge| edge.declared.message == "Slow").expect("declared");
    assert_eq!((slow.sent, slow.refused), (4, 0), "what is kept was not refused");
}

#[test]
fn each_message_has_its_own_number_of_places_and_what_is_beyond_comes_back() {
    let heard = street(10, |builder| builder);
    heard.simulation.run_for(Duration::from_secs(60)).expect("no live-lock");
    // One of each went into the queue, eight of each are kept.
    assert_eq!(lines(&heard.refused), ["refused 9", "refused 9"]);
    assert_eq!(lines(&heard.late).len(), 18);
    let slow = heard.handle.edges().into_iter().find(|edge| edge.declared.message == "Slow").expect("declared");
    assert_eq!((slow.sent, slow.refused), (9, 1));
}

#[test]
fn a_tap_sees_each_message_once_whether_it_is_kept_or_not() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let heard = street(4, move |builder| {
        builder.tap::<Talker, Slow>(move |slow: Slow| {
            sees.lock().expect("one thread").push(slow.0);
            match slow.0 {
                1 => Tapped::Drop,
                2 => Tapped::Duplicate(slow, Slow(20)),
                3 => Tapped::Delay(slow, Duration::from_secs(30)),
                _ => Tapped::Pass(slow),
            }
        })
    });
    heard.simulation.run_for(Duration::from_secs(20)).expect("no live-lock");
    assert_eq!(*seen.lock().expect("one thread"), [0, 1, 2, 3]);
    let expected = ["Slow 0", "Aside 0", "Aside 1", "Slow 2", "Slow 20", "Aside 2", "Slow 3", "Aside 3"];
    assert_eq!(lines(&heard.late), expected, "what finds no place to be delayed in is kept as any other");
}

#[test]
fn what_is_kept_at_the_end_is_counted_as_lost() {
    let heard = street(4, |builder| builder);
    heard.handle.stop();
    heard.simulation.run_for(Duration::from_secs(60)).expect("no live-lock");
    let edges = heard.handle.edges();
    for (message, refused) in [("Slow", 3), ("Aside", 4)] {
        let edge = edges.iter().find(|edge| edge.declared.message == message).expect("declared");
        assert_eq!(
            (edge.sent, edge.refused),
            (1, refused),
            "{message}: three were kept, one queued, and handled or not"
        );
    }
}

struct Crate(usize);
overseer::inbox! {
    /// Nothing.
    enum LoaderInbox for Loader as "loader" {}
}
overseer::inbox! {
    /// What the yard takes.
    enum YardInbox for Yard as "yard" {
        tell {
            Crate {
                const WHEN_FULL: WhenFull = WhenFull::Outbox(100);
                fn bytes(&self) -> usize {
                    self.0
                }
            },
        }
    }
}
overseer::node! {
    /// One who loads, one who takes nothing.
    struct Harbour, built by HarbourBuilder { loader: Loader, yard: Yard }
}

/// Casts crates of these sizes, and says what came back.
struct Loads(Vec<usize>, Arc<Mutex<Vec<(usize, RefusedReason)>>>);
impl Subsystem for Loads {
    type Role = Loader;
    type View = Nothing;
    type Sends = (Cast<Crate>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        for bytes in self.0 {
            if let Err(refused) = context.cast(Crate(bytes)) {
                self.1.lock().expect("one thread").push((refused.message.0, refused.reason));
            }
        }
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

/// Never looks.
struct Shut;
impl Subsystem for Shut {
    type Role = Yard;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, _context: Context<Self>) -> Result<(), Failure> {
        std::future::pending().await
    }
}

#[test]
fn an_outbox_keeps_no_more_bytes_than_its_consumer_takes() {
    let simulation = Simulation::new(1);
    let environment = simulation.environment("node");
    let refused = Arc::new(Mutex::new(Vec::new()));
    let overseer = HarbourBuilder::new(environment.clone())
        .mailbox_limits::<Yard>(MailboxLimits { messages: 100, bytes: 1000 })
        .loader(Loads(vec![900, 900, 1001, 200, 100], refused.clone()))
        .yard(Shut)
        .build()
        .expect("no cycle");
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    simulation.run_until_stalled().expect("no live-lock");
    let over = RefusedReason::OverBudget(100);
    assert_eq!(*refused.lock().expect("one thread"), [(1001, RefusedReason::TooLarge), (200, over)]);
}

struct Parcel(u32);
overseer::inbox! {
    /// Nothing.
    enum PorterInbox for Porter as "porter" {}
}
overseer::inbox! {
    /// What is taken at once.
    enum HallInbox for Hall as "hall" { tell { Parcel { const WHEN_FULL: WhenFull = WhenFull::Outbox(PLACES); } } }
}
overseer::node! {
    /// One who casts and goes away, one who takes all, and somebody outside.
    struct Station, built by StationBuilder { porter: Porter, hall: Hall }
}
/// Somebody outside.
struct Guest;
impl overseer::Outside for Guest {
    const NAME: &'static str = "guest";
    type Sends = (overseer::Wait<Parcel>,);
}

/// Casts three, is elsewhere for an hour and ends, or casts them from a job.
struct Carries {
    from_a_job: bool,
}
impl Subsystem for Carries {
    type Role = Porter;
    type View = Nothing;
    type Sends = (Cast<Parcel>,);
    type JobSends = (Cast<Parcel>,);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let outlet = context.jobs();
        for number in 0..3 {
            if self.from_a_job {
                outlet.cast(Parcel(number))?;
            } else {
                context.cast(Parcel(number))?;
            }
        }
        context.environment().clock.sleep(Duration::from_secs(3600)).await;
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

/// Takes all, from its second second on.
struct Takes(Arc<Mutex<Vec<u32>>>);
impl Subsystem for Takes {
    type Role = Hall;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        context.environment().clock.sleep(Duration::from_secs(1)).await;
        loop {
            match context.recv().await {
                Event::Message(HallInbox::Parcel(Parcel(number))) => self.0.lock().expect("one thread").push(number),
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

#[test]
fn what_is_kept_goes_in_while_its_sender_is_elsewhere_and_holds_up_nobody() {
    for from_a_job in [false, true] {
        let simulation = Simulation::new(1);
        let environment = simulation.environment("node");
        let taken = Arc::new(Mutex::new(Vec::new()));
        let overseer = StationBuilder::new(environment.clone())
            .mailbox_limits::<Hall>(MailboxLimits { messages: 1, bytes: 1024 })
            .porter(Carries { from_a_job })
            .hall(Takes(taken.clone()))
            .outside::<Guest>()
            .build()
            .expect("no cycle");
        let handle = overseer.handle();
        environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
        simulation.run_until_stalled().expect("no live-lock");
        let guest = handle.outlet::<Guest>().expect("it runs");
        let sending = async move { guest.send(Parcel(9)).await.map_err(drop).expect("the hall is open") };
        environment.spawner.spawn("guest", Box::pin(sending));
        simulation.run_for(Duration::from_secs(2)).expect("no live-lock");
        assert_eq!(*taken.lock().expect("one thread"), [0, 1, 2, 9], "from a job: {from_a_job}");
        assert!(handle.readiness().is_ready(), "{:?}", handle.readiness());
    }
}
