//! `overseer`, by its public doors only, with all that it always does: signals that no message overtakes, queues bounded
//! in messages and bytes, lanes, taps, counters.
//!
//! Its wiring refuses a circle of sends that wait, so that the ring is one of casts with as many places reserved as
//! there are tokens.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ::overseer::mailbox::MailboxLimits;
use ::overseer::message::Post;
use ::overseer::port::Tapped;
use ::overseer::{Ask, Cast, Context, Environment, Event, Failure, Overseer, Role, Subsystem, View, Wait, WhenFull};

use crate::allocation::held_by;
use crate::course::{Finish, Number, Payload, Sample, Start, WORKERS, on_workers, settle, timed, timed_work};
use crate::workload::{FAN_IN_SENDERS, HEARERS, RING_NODES, Run, Workload};

/// The heartbeat. Everybody hears it, also where none is published.
enum Beats {}

impl View for Beats {
    type Update = u64;
    type State = u64;

    fn apply(state: &mut u64, update: &u64) {
        *state = *update;
    }

    fn catch_up(_: &u64, now: &u64) -> u64 {
        *now
    }
}

struct Question(u64);

overseer::inbox! {
    /// Takes numbers.
    pub enum NumbersInbox for Numbers as "numbers" { tell { Number } }
}
overseer::inbox! {
    /// Takes payloads.
    pub enum PayloadsInbox for Payloads as "payloads" { tell { Payload } }
}
overseer::inbox! {
    /// Answers questions.
    enum AnswersInbox for Answers as "answers" { ask { Question -> u64 } }
}

/// Roles that receive nothing, or nothing that a course sends them.
macro_rules! roles {
    ($($module:ident $name:literal)*) => { $(
        mod $module {
            ::overseer::inbox! {
                /// Nothing.
                pub(super) enum Inbox for Here as $name {}
            }
        }
    )* };
}

roles! {
    s0 "sender-0" s1 "sender-1" s2 "sender-2" s3 "sender-3" s4 "sender-4" s5 "sender-5" s6 "sender-6" s7 "sender-7"
    h0 "hearer-0" h1 "hearer-1" h2 "hearer-2" h3 "hearer-3" h4 "hearer-4" h5 "hearer-5" h6 "hearer-6" h7 "hearer-7"
    h8 "hearer-8" h9 "hearer-9" h10 "hearer-10" h11 "hearer-11" h12 "hearer-12" h13 "hearer-13" h14 "hearer-14"
    h15 "hearer-15" h16 "hearer-16" h17 "hearer-17" h18 "hearer-18" h19 "hearer-19" h20 "hearer-20" h21 "hearer-21"
    h22 "hearer-22" h23 "hearer-23"
}

/// Tokens that may be on one edge of the ring at once.
const TOKENS_MAX: usize = 64;

/// A token of the ring: the number of hops left. One type per node, as each node consumes its own.
trait Token: Post {
    fn with(hops: u64) -> Self;
    fn hops(self) -> u64;
}

macro_rules! tokens {
    ($($module:ident $name:literal)*) => { $(
        mod $module {
            pub(super) struct Hops(u64);
            impl super::Token for Hops {
                fn with(hops: u64) -> Self { Self(hops) }
                fn hops(self) -> u64 { self.0 }
            }
            ::overseer::inbox! {
                /// Takes its token.
                pub(super) enum Inbox for Here as $name {
                    tell { Hops { const WHEN_FULL: super::WhenFull = super::WhenFull::Budgeted(super::TOKENS_MAX); } }
                }
            }
        }
    )* };
}

tokens! {
    n0 "node-0" n1 "node-1" n2 "node-2" n3 "node-3" n4 "node-4" n5 "node-5" n6 "node-6" n7 "node-7"
    n8 "node-8" n9 "node-9" n10 "node-10" n11 "node-11" n12 "node-12" n13 "node-13" n14 "node-14" n15 "node-15"
}

overseer::node! {
    /// One sender, one receiver, numbers.
    struct Small, built by SmallBuilder { source: s0::Here, sink: Numbers }
}
overseer::node! {
    /// One sender, one receiver, payloads.
    struct Large, built by LargeBuilder { source: s0::Here, sink: Payloads }
}
overseer::node! {
    /// One that asks, one that answers.
    struct Asking, built by AskingBuilder { asker: s0::Here, answerer: Answers }
}
overseer::node! {
    /// Eight senders, one receiver.
    struct Funnel, built by FunnelBuilder {
        s0: s0::Here, s1: s1::Here, s2: s2::Here, s3: s3::Here,
        s4: s4::Here, s5: s5::Here, s6: s6::Here, s7: s7::Here,
        sink: Numbers,
    }
}
overseer::node! {
    /// Sixteen nodes, each of which sends to the next.
    struct Ring, built by RingBuilder {
        n0: n0::Here, n1: n1::Here, n2: n2::Here, n3: n3::Here, n4: n4::Here, n5: n5::Here, n6: n6::Here,
        n7: n7::Here, n8: n8::Here, n9: n9::Here, n10: n10::Here, n11: n11::Here, n12: n12::Here, n13: n13::Here,
        n14: n14::Here, n15: n15::Here,
    }
}
overseer::node! {
    /// Twenty-four subsystems that hear signals.
    struct Crowd, built by CrowdBuilder {
        h0: h0::Here, h1: h1::Here, h2: h2::Here, h3: h3::Here, h4: h4::Here, h5: h5::Here, h6: h6::Here,
        h7: h7::Here, h8: h8::Here, h9: h9::Here, h10: h10::Here, h11: h11::Here, h12: h12::Here, h13: h13::Here,
        h14: h14::Here, h15: h15::Here, h16: h16::Here, h17: h17::Here, h18: h18::Here, h19: h19::Here,
        h20: h20::Here, h21: h21::Here, h22: h22::Here, h23: h23::Here,
    }
}

/// Sends messages once the clock runs.
struct Source<M, R> {
    messages: u64,
    start: Start,
    _is: PhantomData<fn() -> (M, R)>,
}

impl<M, R> Source<M, R> {
    fn new(messages: u64, start: &Start) -> Self {
        Self { messages, start: start.clone(), _is: PhantomData }
    }
}

impl<M: Post + Sample, R: Role> Subsystem for Source<M, R> {
    type Role = R;
    type View = Beats;
    type Sends = (Wait<M>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        self.start.opened().await;
        for index in 0..self.messages {
            context.send(M::sample(index)).await?;
        }
        until_concluded(context).await
    }
}

async fn until_concluded<S: Subsystem>(mut context: Context<S>) -> Result<(), Failure> {
    while !matches!(context.recv().await, Event::Conclude) {}
    Ok(())
}

/// Takes all messages, then reports.
struct Sink<R> {
    left: u64,
    finish: Arc<Finish>,
    _is: PhantomData<fn() -> R>,
}

impl<R> Sink<R> {
    fn new(messages: u64, finish: &Arc<Finish>) -> Self {
        Self { left: messages, finish: finish.clone(), _is: PhantomData }
    }
}

impl<R: Role> Subsystem for Sink<R> {
    type Role = R;
    type View = Beats;
    type Sends = ();
    type JobSends = ();

    async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                Event::Message(message) => {
                    black_box(message);
                    self.left -= 1;
                    if self.left == 0 {
                        self.finish.arrive();
                    }
                }
                Event::Conclude => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Asks one question after the other.
struct Asker {
    questions: u64,
    start: Start,
    finish: Arc<Finish>,
}

impl Subsystem for Asker {
    type Role = s0::Here;
    type View = Beats;
    type Sends = (Ask<Question>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        self.start.opened().await;
        for index in 0..self.questions {
            black_box(context.ask(Question(index)).await?);
        }
        self.finish.arrive();
        until_concluded(context).await
    }
}

struct Answerer;

impl Subsystem for Answerer {
    type Role = Answers;
    type View = Beats;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        loop {
            match context.recv().await {
                // Who asked waits for the answer.
                Event::Message(AnswersInbox::Question(Question(number), reply)) => drop(reply.answer(number)),
                Event::Conclude => return Ok(()),
                _ => {}
            }
        }
    }
}

/// A node of the ring; the first puts the tokens in.
struct Node<Here, Next> {
    tokens: u64,
    hops: u64,
    start: Start,
    finish: Arc<Finish>,
    _is: PhantomData<fn() -> (Here, Next)>,
}

impl<Here: Token, Next: Token> Subsystem for Node<Here, Next> {
    type Role = Here::To;
    type View = Beats;
    type Sends = (Cast<Next>,);
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        if self.tokens > 0 {
            self.start.opened().await;
            for _ in 0..self.tokens {
                context.cast(Next::with(self.hops)).map_err(|refused| refused.to_string())?;
            }
        }
        loop {
            match context.recv().await {
                Event::Message(inbox) => match Here::from_inbox(inbox).and_then(|token| token.hops().checked_sub(1)) {
                    Some(left) => context.cast(Next::with(left)).map_err(|refused| refused.to_string())?,
                    None => self.finish.arrive(),
                },
                Event::Conclude => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Hears signals; a stalled one never takes any.
struct Hearer<R> {
    stalled: bool,
    finish: Arc<Finish>,
    _is: PhantomData<fn() -> R>,
}

impl<R: Role> Subsystem for Hearer<R> {
    type Role = R;
    type View = Beats;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        if self.stalled {
            std::future::pending::<()>().await;
        }
        loop {
            match context.recv().await {
                Event::Signal(signal) => {
                    black_box(signal);
                    self.finish.arrive();
                }
                Event::Conclude => return Ok(()),
                _ => {}
            }
        }
    }
}

fn environment() -> Environment {
    Environment::system().expect("a course runs on a runtime, and threads can be had")
}

/// Starts a node; its handle is all that a course needs of it.
fn started(node: Overseer) -> ::overseer::Handle {
    let handle = node.handle();
    tokio::spawn(node.run());
    handle
}

pub(super) fn run(run: Run) -> Duration {
    on_workers(run.workers, async move {
        match run.workload {
            Workload::OneWay1024 | Workload::OneWay64 | Workload::Tapped => one_way(run).await,
            Workload::OneWayPayload => payload(run).await,
            Workload::FanIn8 => fan_in(run).await,
            Workload::Ask => ask(run).await,
            Workload::Ring1 | Workload::Ring64 => ring(run).await,
            Workload::Signal24 | Workload::SignalStalled => signals(run).await,
        }
    })
}

async fn one_way(run: Run) -> Duration {
    let (start, finish) = (Start::new(), Finish::after(1));
    let limits = MailboxLimits { messages: run.capacity(), ..MailboxLimits::default() };
    let mut builder = SmallBuilder::new(environment())
        .mailbox_limits::<Numbers>(limits)
        .source(Source::<Number, s0::Here>::new(run.operations, &start))
        .sink(Sink::new(run.operations, &finish));
    if run.workload == Workload::Tapped {
        builder = builder.tap::<s0::Here, Number>(|message: Number| Tapped::Pass(black_box(message)));
    }
    let _handle = started(builder.build().expect("the wiring is whole"));
    timed(start, finish).await
}

async fn payload(run: Run) -> Duration {
    let (start, finish) = (Start::new(), Finish::after(1));
    let builder = LargeBuilder::new(environment())
        .source(Source::<Payload, s0::Here>::new(run.operations, &start))
        .sink(Sink::new(run.operations, &finish));
    let _handle = started(builder.build().expect("the wiring is whole"));
    timed(start, finish).await
}

async fn fan_in(run: Run) -> Duration {
    const { assert!(FAN_IN_SENDERS == 8) };
    fn source<R: Role>(run: Run, start: &Start) -> Source<Number, R> {
        Source::new(run.messages_per_sender(), start)
    }
    let (start, finish) = (Start::new(), Finish::after(1));
    let builder = FunnelBuilder::new(environment())
        .s0(source(run, &start))
        .s1(source(run, &start))
        .s2(source(run, &start))
        .s3(source(run, &start))
        .s4(source(run, &start))
        .s5(source(run, &start))
        .s6(source(run, &start))
        .s7(source(run, &start))
        .sink(Sink::new(run.operations, &finish));
    let _handle = started(builder.build().expect("the wiring is whole"));
    timed(start, finish).await
}

async fn ask(run: Run) -> Duration {
    let (start, finish) = (Start::new(), Finish::after(1));
    let builder = AskingBuilder::new(environment())
        .asker(Asker { questions: run.operations, start: start.clone(), finish: finish.clone() })
        .answerer(Answerer);
    let _handle = started(builder.build().expect("the wiring is whole"));
    timed(start, finish).await
}

async fn ring(run: Run) -> Duration {
    const { assert!(RING_NODES == 16) };
    fn node<H, N>(tokens: u64, run: Run, start: &Start, finish: &Arc<Finish>) -> Node<H, N> {
        Node { tokens, hops: run.hops_per_token(), start: start.clone(), finish: finish.clone(), _is: PhantomData }
    }
    let (start, finish) = (Start::new(), Finish::after(run.tokens() as usize));
    let builder = RingBuilder::new(environment())
        .n0(node::<n0::Hops, n1::Hops>(run.tokens(), run, &start, &finish))
        .n1(node::<n1::Hops, n2::Hops>(0, run, &start, &finish))
        .n2(node::<n2::Hops, n3::Hops>(0, run, &start, &finish))
        .n3(node::<n3::Hops, n4::Hops>(0, run, &start, &finish))
        .n4(node::<n4::Hops, n5::Hops>(0, run, &start, &finish))
        .n5(node::<n5::Hops, n6::Hops>(0, run, &start, &finish))
        .n6(node::<n6::Hops, n7::Hops>(0, run, &start, &finish))
        .n7(node::<n7::Hops, n8::Hops>(0, run, &start, &finish))
        .n8(node::<n8::Hops, n9::Hops>(0, run, &start, &finish))
        .n9(node::<n9::Hops, n10::Hops>(0, run, &start, &finish))
        .n10(node::<n10::Hops, n11::Hops>(0, run, &start, &finish))
        .n11(node::<n11::Hops, n12::Hops>(0, run, &start, &finish))
        .n12(node::<n12::Hops, n13::Hops>(0, run, &start, &finish))
        .n13(node::<n13::Hops, n14::Hops>(0, run, &start, &finish))
        .n14(node::<n14::Hops, n15::Hops>(0, run, &start, &finish))
        .n15(node::<n15::Hops, n0::Hops>(0, run, &start, &finish));
    let _handle = started(builder.build().expect("the wiring is whole"));
    timed(start, finish).await
}

/// Everybody hears but the last, if one is stalled.
fn crowd(environment: Environment, run: Run, finish: &Arc<Finish>) -> Overseer {
    const { assert!(HEARERS == 24) };
    fn hearer<R>(finish: &Arc<Finish>) -> Hearer<R> {
        Hearer { stalled: false, finish: finish.clone(), _is: PhantomData }
    }
    CrowdBuilder::new(environment)
        .h0(hearer(finish))
        .h1(hearer(finish))
        .h2(hearer(finish))
        .h3(hearer(finish))
        .h4(hearer(finish))
        .h5(hearer(finish))
        .h6(hearer(finish))
        .h7(hearer(finish))
        .h8(hearer(finish))
        .h9(hearer(finish))
        .h10(hearer(finish))
        .h11(hearer(finish))
        .h12(hearer(finish))
        .h13(hearer(finish))
        .h14(hearer(finish))
        .h15(hearer(finish))
        .h16(hearer(finish))
        .h17(hearer(finish))
        .h18(hearer(finish))
        .h19(hearer(finish))
        .h20(hearer(finish))
        .h21(hearer(finish))
        .h22(hearer(finish))
        .h23(Hearer { stalled: run.stalled() > 0, ..hearer(finish) })
        .build()
        .expect("the wiring is whole")
}

async fn signals(run: Run) -> Duration {
    let hearing = HEARERS - run.stalled();
    let finish = Finish::after(hearing);
    let handle = started(crowd(environment(), run, &finish));
    timed_work(async {
        for index in 0..run.operations {
            finish.again(hearing);
            handle.publish::<Beats>(index);
            finish.all().await;
        }
    })
    .await
}

pub(super) fn idle_bytes() -> u64 {
    on_workers(WORKERS, async {
        let finish = Finish::after(HEARERS);
        // Its pools of threads belong to the node, not to a subsystem.
        let environment = environment();
        let mut kept = None;
        let bytes = held_by(async {
            kept = Some(started(crowd(environment, Run::new(Workload::Signal24, true), &finish)));
            settle().await;
        })
        .await;
        drop(kept);
        bytes / HEARERS as u64
    })
}
