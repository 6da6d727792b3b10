//! What a tap does on each way of sending: a send, a place reserved ahead, a question, each kind of cast; from the loop
//! and from jobs. Casts that have an outbox are in `outbox.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use deterministic::Simulation;
use futures::future::AbortHandle;
use overseer::mailbox::MailboxLimits;
use overseer::port::Tapped;
use overseer::{
    Ask, AskError, Cast, Context, Event, Failure, Handle, Message, Nothing, Outside, Subsystem, Wait, WhenFull,
};

/// What the ear hears, each with a number.
macro_rules! words {
    ($($word:ident $({ $($items:tt)* })?),*) => {
        $( pub(crate) struct $word(u32);
        impl From<u32> for $word {
            fn from(number: u32) -> Self {
                Self(number)
            }
        }
        impl From<$word> for u32 {
            fn from(word: $word) -> u32 {
                word.0
            }
        } )*
        overseer::inbox! {
            /// Words and one question.
            pub(crate) enum EarInbox for Ear as "ear" {
                tell { $( $word $({ $($items)* })? ),* }
                ask { Query -> u32 }
            }
        }
        fn number(message: EarInbox) -> u32 {
            match message {
                $( EarInbox::$word($word(number)) => number, )*
                EarInbox::Query(Query(number), reply) => {
                    let _ = reply.answer(number);
                    number
                }
            }
        }
    };
}
words! {
    Sent, Placed, Late, Said,
    Lossy,
    Merged {
        const WHEN_FULL: WhenFull = WhenFull::Merged(1);
        fn merge(&mut self, newer: Self) -> Option<Self> {
            self.0 += newer.0;
            None
        }
    },
    Budgeted { const WHEN_FULL: WhenFull = WhenFull::Budgeted(2); }
}
pub(crate) struct Query(u32);
impl From<u32> for Query {
    fn from(number: u32) -> Self {
        Self(number)
    }
}
impl From<Query> for u32 {
    fn from(query: Query) -> u32 {
        query.0
    }
}

overseer::inbox! {
    /// Nothing.
    pub(crate) enum MouthInbox for Mouth as "mouth" {}
}
overseer::node! {
    /// One who talks, one who hears.
    pub(crate) struct Head, built by HeadBuilder { mouth: Mouth, ear: Ear }
}

/// What happened, and when in whole seconds.
type Notes = Arc<Mutex<Vec<(u64, String)>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Send,
    Place,
    Ask,
    CastLossy,
    CastMerged,
    CastBudgeted,
    JobSend,
    JobPlace,
    JobAsk,
    JobCast,
}

/// Sends 1 and then 2 in one way, and notes when it goes on.
struct Talks(Way, Notes);
impl Subsystem for Talks {
    type Role = Mouth;
    type View = Nothing;
    type Sends = (Wait<Sent>, Wait<Placed>, Ask<Query>, Cast<Lossy>, Cast<Merged>, Cast<Budgeted>);
    type JobSends = (Wait<Late>, Wait<Said>, Ask<Query>, Cast<Lossy>);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let jobs = context.jobs();
        for number in [1, 2] {
            match self.0 {
                Way::Send => context.send(Sent(number)).await?,
                Way::Place => context.reserve::<Placed, _>(4).await?.send(Placed(number))?,
                Way::Ask => {
                    let answer = context.ask(Query(number)).await;
                    note(context.environment(), &self.1, &format!("{answer:?}"));
                }
                Way::CastLossy => context.cast(Lossy(number))?,
                Way::CastMerged => context.cast(Merged(number))?,
                Way::CastBudgeted => context.cast(Budgeted(number))?,
                Way::JobSend => jobs.send(Late(number)).await?,
                Way::JobPlace => jobs.reserve::<Said, _>(4).await?.send(Said(number))?,
                Way::JobAsk => {
                    let answer = jobs.ask(Query(number)).await;
                    note(context.environment(), &self.1, &format!("{answer:?}"));
                }
                Way::JobCast => jobs.cast(Lossy(number))?,
            }
        }
        note(context.environment(), &self.1, "done");
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

fn note(environment: &overseer::Environment, notes: &Notes, words: &str) {
    // Simulations begin at a fixed moment.
    let second = environment.clock.now().as_secs() % 1_000;
    notes.lock().expect("one thread").push((second, words.to_owned()));
}

/// Notes each number that it hears.
struct Hears(Notes);
impl Subsystem for Hears {
    type Role = Ear;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(message) => {
                    let words = number(message).to_string();
                    note(context.environment(), &self.0, &words);
                }
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
            }
        }
    }
}

fn tap<M: Message + From<u32> + Into<u32>>(verdict: Verdict) -> impl Fn(M) -> Tapped<M> + Send + Sync + 'static {
    move |message| match (message.into(), verdict) {
        (1, Verdict::Replace) => Tapped::Pass(M::from(11)),
        (1, Verdict::Drop) => Tapped::Drop,
        (1, Verdict::Duplicate) => Tapped::Duplicate(M::from(1), M::from(11)),
        (1, Verdict::Delay) => Tapped::Delay(M::from(1), Duration::from_secs(10)),
        (number, _) => Tapped::Pass(M::from(number)),
    }
}

/// A tap of every message the mouth sends.
fn tapped(builder: HeadBuilder, verdict: Verdict) -> HeadBuilder {
    let builder = builder.tap::<Mouth, Sent>(tap(verdict)).tap::<Mouth, Placed>(tap(verdict));
    let builder = builder.tap::<Mouth, Late>(tap(verdict)).tap::<Mouth, Said>(tap(verdict));
    let builder = builder.tap::<Mouth, Query>(tap(verdict)).tap::<Mouth, Lossy>(tap(verdict));
    builder.tap::<Mouth, Merged>(tap(verdict)).tap::<Mouth, Budgeted>(tap(verdict))
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Pass,
    Replace,
    Drop,
    Duplicate,
    Delay,
}

fn head(way: Way, verdict: Verdict, limits: MailboxLimits) -> (Simulation, Handle, Notes) {
    let (simulation, notes) = (Simulation::new(7), Notes::default());
    let environment = simulation.environment("node");
    let builder = HeadBuilder::new(environment.clone())
        .mailbox_limits::<Ear>(limits)
        .mouth(Talks(way, notes.clone()))
        .ear(Hears(notes.clone()));
    let overseer = tapped(builder, verdict).build().expect("no cycle");
    let handle = overseer.handle();
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    (simulation, handle, notes)
}

/// What is heard in one way under one verdict, with the second of each; and when the sender was through.
fn heard(way: Way, verdict: Verdict) -> (Vec<(u64, String)>, u64) {
    let (simulation, handle, notes) = head(way, verdict, MailboxLimits::default());
    simulation.run_for(Duration::from_secs(30)).expect("no live-lock");
    handle.stop();
    drop(handle);
    simulation.run_until_stalled().expect("no live-lock");
    assert!(simulation.tasks().is_empty(), "{way:?} {verdict:?} leaves behind {:?}", simulation.tasks());
    let mut notes = std::mem::take(&mut *notes.lock().expect("one thread"));
    let done = notes.iter().position(|(_, words)| words == "done").expect("it goes on");
    let (second, _) = notes.remove(done);
    (notes, second)
}

fn at(second: u64, words: &str) -> (u64, String) {
    (second, words.to_owned())
}

#[test]
fn each_verdict_does_what_it_says_on_each_way_of_sending() {
    for way in [
        Way::Send,
        Way::Place,
        Way::CastLossy,
        Way::CastMerged,
        Way::CastBudgeted,
        Way::JobSend,
        Way::JobPlace,
        Way::JobCast,
    ] {
        let is_place = matches!(way, Way::Place | Way::JobPlace);
        assert_eq!(heard(way, Verdict::Pass), (vec![at(0, "1"), at(0, "2")], 0), "{way:?}");
        assert_eq!(heard(way, Verdict::Replace), (vec![at(0, "11"), at(0, "2")], 0), "{way:?}");
        assert_eq!(heard(way, Verdict::Drop), (vec![at(0, "2")], 0), "{way:?}");
        let twice = vec![at(0, "1"), at(0, "11"), at(0, "2")];
        let once = vec![at(0, "1"), at(0, "2")];
        assert_eq!(heard(way, Verdict::Duplicate), (if is_place { once.clone() } else { twice }, 0), "{way:?}");
        let (late, done) = match way {
            Way::Place | Way::JobPlace => (once, 0),
            // Held itself, and what it sends then with it.
            Way::JobSend => (vec![at(10, "1"), at(10, "2")], 10),
            _ => (vec![at(0, "2"), at(10, "1")], 0),
        };
        assert_eq!(heard(way, Verdict::Delay), (late, done), "{way:?}");
    }
}

#[test]
fn each_verdict_does_what_it_says_on_a_question() {
    let dropped = r#"Err(Dropped { message: "Query", by: "tap" })"#;
    for way in [Way::Ask, Way::JobAsk] {
        let of = |verdict| heard(way, verdict).0;
        let second = [at(0, "2"), at(0, "Ok(2)")];
        let with = |first: &[(u64, String)]| [first, &second].concat();
        assert_eq!(of(Verdict::Pass), with(&[at(0, "1"), at(0, "Ok(1)")]), "{way:?}");
        assert_eq!(of(Verdict::Replace), with(&[at(0, "11"), at(0, "Ok(11)")]), "{way:?}");
        assert_eq!(of(Verdict::Drop), with(&[at(0, dropped)]), "{way:?}");
        assert_eq!(of(Verdict::Duplicate), with(&[at(0, "1"), at(0, "Ok(1)")]), "a question passes once");
        let late = [at(10, "1"), at(10, "Ok(1)"), at(10, "2"), at(10, "Ok(2)")];
        assert_eq!(of(Verdict::Delay), late, "{way:?}");
    }
}

#[test]
fn what_is_delayed_counts_against_the_queue_and_a_cast_without_a_place_is_not_delayed() {
    let small = MailboxLimits { messages: 1, bytes: 1024 };
    for (way, expected) in [
        // The place is taken, so the second waits for it.
        (Way::Send, vec![at(0, "queued"), at(10, "1"), at(10, "done"), at(10, "2")]),
        // It does what its message says for a full queue: a place beyond the limit.
        (Way::CastBudgeted, vec![at(0, "done"), at(0, "2"), at(0, "queued"), at(10, "1")]),
        (Way::CastMerged, vec![at(0, "done"), at(0, "2"), at(0, "queued"), at(10, "1")]),
    ] {
        let (simulation, handle, notes) = head(way, Verdict::Delay, small);
        simulation.run_until_stalled().expect("no live-lock");
        let ear = handle.queues().into_iter().find(|queue| queue.subsystem == "ear").expect("a slot");
        assert_eq!((ear.waiting, ear.bytes), (0, 4), "{way:?}: its place is taken");
        notes.lock().expect("one thread").push(at(0, "queued"));
        simulation.run_for(Duration::from_secs(20)).expect("no live-lock");
        assert_eq!(*notes.lock().expect("one thread"), expected, "{way:?}");
    }
    let (simulation, _handle, notes) = head(Way::CastLossy, Verdict::Delay, small);
    simulation.run_for(Duration::from_secs(20)).expect("no live-lock");
    assert_eq!(
        *notes.lock().expect("one thread"),
        [],
        "the second is refused, which is a failure there; the node ends"
    );
}

/// Starts two jobs, one of which sends and one of which asks, and gives them up after a second.
struct GivesUp;
impl Subsystem for GivesUp {
    type Role = Mouth;
    type View = Nothing;
    type Sends = ();
    type JobSends = (Wait<Late>, Ask<Query>);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let (sending, asking) = (context.jobs(), context.jobs());
        let (send, first) = futures::future::abortable(async move { drop(sending.send(Late(1)).await) });
        let (ask, second): (_, AbortHandle) =
            futures::future::abortable(async move { drop(asking.ask(Query(1)).await) });
        context.environment().spawner.spawn("job", Box::pin(async move { assert!(send.await.is_err()) }));
        context.environment().spawner.spawn("job", Box::pin(async move { assert!(ask.await.is_err()) }));
        context.environment().clock.sleep(Duration::from_secs(1)).await;
        first.abort();
        second.abort();
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}

#[test]
fn what_is_delayed_for_a_job_goes_with_the_job() {
    let (simulation, notes) = (Simulation::new(7), Notes::default());
    let environment = simulation.environment("node");
    let builder = HeadBuilder::new(environment.clone()).mouth(GivesUp).ear(Hears(notes.clone()));
    let builder = builder.tap::<Mouth, Late>(tap(Verdict::Delay)).tap::<Mouth, Query>(tap(Verdict::Delay));
    let overseer = builder.build().expect("no cycle");
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    simulation.run_for(Duration::from_secs(2)).expect("no live-lock");
    let tasks: Vec<String> = simulation.tasks().into_iter().map(|task| task.name.to_string()).collect();
    assert!(!tasks.iter().any(|name| name == "job" || name == "tap-delay"), "{tasks:?}");
    simulation.run_for(Duration::from_secs(60)).expect("no live-lock");
    assert_eq!(*notes.lock().expect("one thread"), []);
}

/// Somebody outside, and another one with the same to say.
struct Friend;
struct Stranger;
impl Outside for Friend {
    const NAME: &'static str = "friend";
    type Sends = (Wait<Sent>, Ask<Query>);
}
impl Outside for Stranger {
    const NAME: &'static str = "stranger";
    type Sends = (Wait<Sent>,);
}

#[test]
fn what_is_sent_from_outside_goes_through_its_tap_too() {
    let (simulation, notes) = (Simulation::new(7), Notes::default());
    let environment = simulation.environment("node");
    let builder = HeadBuilder::new(environment.clone()).drain_empty_slots().ear(Hears(notes.clone()));
    let builder =
        builder.outside::<Friend>().tap_outside::<Friend, Sent>(|Sent(number)| Tapped::Pass(Sent(number + 10)));
    let overseer = builder.tap_outside::<Friend, Query>(|_: Query| Tapped::Drop).build().expect("no cycle");
    let handle = overseer.handle();
    environment.spawner.spawn("overseer", Box::pin(async move { drop(overseer.run().await) }));
    let friend = handle.outlet::<Friend>().expect("there is an ear");
    let stranger = handle.outlet::<Stranger>().expect("there is an ear");
    let talk = async move {
        friend.send(Sent(1)).await.expect("it is open");
        stranger.send(Sent(1)).await.expect("it is open");
        friend.ask(Query(1)).await
    };
    let answer = simulation.run_until(talk).expect("no live-lock");
    assert_eq!(answer, Err(AskError::Dropped { message: "Query", by: "tap" }));
    simulation.run_until_stalled().expect("no live-lock");
    assert_eq!(*notes.lock().expect("one thread"), [at(0, "11"), at(0, "1")]);
}
