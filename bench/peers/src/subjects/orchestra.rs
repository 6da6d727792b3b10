//! `orchestra`: subsystems wired by its macro, with bounded queues, signals that messages cannot overtake, and meters,
//! on the channels that Polkadot's node chooses.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ::orchestra::{
    FromOrchestra, OrchestraError, SpawnedSubsystem, Spawner, Subsystem, SubsystemContext, SubsystemSender,
};
use futures::channel::oneshot;

use crate::allocation::held_by;
use crate::course::{
    Finish, Hook, Number, Payload, Sample, Start, WORKERS, on_workers, passing_hook, settle, timed, timed_work,
};
use crate::workload::{FAN_IN_SENDERS, HEARERS, Run, Workload};

/// The heartbeat.
#[allow(unreachable_pub, reason = "named in what orchestra's macro makes public")]
#[derive(Clone, Copy, Debug)]
pub struct Beat(#[allow(dead_code, reason = "a signal carries something, as a real one does")] u64);

/// Nothing is told to the orchestra itself.
#[allow(unreachable_pub, reason = "named in what orchestra's macro makes public")]
#[derive(Debug)]
pub struct NoEvent;

/// A number and the way back.
#[allow(unreachable_pub, reason = "named in what orchestra's macro makes public")]
#[derive(Debug)]
pub struct Question(u64, oneshot::Sender<u64>);

/// Spawns onto the runtime that it is called on.
#[derive(Clone)]
struct Tasks;

impl Spawner for Tasks {
    fn spawn_blocking(
        &self,
        name: &'static str,
        group: Option<&'static str>,
        future: futures::future::BoxFuture<'static, ()>,
    ) {
        self.spawn(name, group, future);
    }

    fn spawn(&self, _: &'static str, _: Option<&'static str>, future: futures::future::BoxFuture<'static, ()>) {
        tokio::spawn(future);
    }
}

fn spawned(
    future: impl Future<Output = Result<(), OrchestraError>> + Send + 'static,
) -> SpawnedSubsystem<OrchestraError> {
    SpawnedSubsystem { name: "bench", future: Box::pin(future) }
}

/// Sends messages once the clock runs, through a hook if it has one.
struct Source<M> {
    messages: u64,
    start: Start,
    hook: Option<fn(&Hook, M) -> Option<M>>,
}

impl<M, C> Subsystem<C, OrchestraError> for Source<M>
where
    M: Sample,
    C: SubsystemContext<Signal = Beat, Error = OrchestraError>,
    C::Sender: SubsystemSender<M>,
{
    fn start(self, mut context: C) -> SpawnedSubsystem<OrchestraError> {
        spawned(async move {
            let hook = passing_hook();
            self.start.opened().await;
            for index in 0..self.messages {
                let message = match self.hook {
                    None => Some(M::sample(index)),
                    Some(look) => look(&hook, M::sample(index)),
                };
                if let Some(message) = message {
                    context.sender().send_message(message).await;
                }
            }
            loop {
                context.recv().await?;
            }
        })
    }
}

/// Takes all messages, then reports.
struct Sink {
    left: u64,
    finish: Arc<Finish>,
}

impl<C: SubsystemContext<Signal = Beat, Error = OrchestraError>> Subsystem<C, OrchestraError> for Sink {
    fn start(mut self, mut context: C) -> SpawnedSubsystem<OrchestraError> {
        spawned(async move {
            loop {
                if let FromOrchestra::Communication { msg } = context.recv().await? {
                    black_box(msg);
                    self.left -= 1;
                    if self.left == 0 {
                        self.finish.arrive();
                    }
                }
            }
        })
    }
}

/// Asks one question after the other.
struct Asker {
    questions: u64,
    start: Start,
    finish: Arc<Finish>,
}

impl<C> Subsystem<C, OrchestraError> for Asker
where
    C: SubsystemContext<Signal = Beat, Error = OrchestraError>,
    C::Sender: SubsystemSender<Question>,
{
    fn start(self, mut context: C) -> SpawnedSubsystem<OrchestraError> {
        spawned(async move {
            self.start.opened().await;
            for index in 0..self.questions {
                let (reply, answer) = oneshot::channel();
                context.sender().send_message(Question(index, reply)).await;
                black_box(answer.await?);
            }
            self.finish.arrive();
            loop {
                context.recv().await?;
            }
        })
    }
}

struct Answerer;

impl<C> Subsystem<C, OrchestraError> for Answerer
where
    C: SubsystemContext<Message = Question, Signal = Beat, Error = OrchestraError>,
{
    fn start(self, mut context: C) -> SpawnedSubsystem<OrchestraError> {
        spawned(async move {
            loop {
                if let FromOrchestra::Communication { msg: Question(number, reply) } = context.recv().await? {
                    // Who asked waits for the answer.
                    let _asked = reply.send(number);
                }
            }
        })
    }
}

/// A token of the ring: the number of hops left. One type per node, as each node consumes its own.
trait Token: std::fmt::Debug + Send + 'static {
    fn with(hops: u64) -> Self;
    fn hops(&self) -> u64;
}

/// A node of the ring; the first puts the tokens in.
struct Node<Next> {
    tokens: u64,
    hops: u64,
    start: Start,
    finish: Arc<Finish>,
    _sends: std::marker::PhantomData<fn() -> Next>,
}

impl<Next, C> Subsystem<C, OrchestraError> for Node<Next>
where
    Next: Token,
    C: SubsystemContext<Signal = Beat, Error = OrchestraError>,
    C::Message: Token,
    C::Sender: SubsystemSender<Next>,
{
    fn start(self, mut context: C) -> SpawnedSubsystem<OrchestraError> {
        spawned(async move {
            if self.tokens > 0 {
                self.start.opened().await;
                for _ in 0..self.tokens {
                    context.sender().send_message(Next::with(self.hops)).await;
                }
            }
            loop {
                if let FromOrchestra::Communication { msg } = context.recv().await? {
                    match msg.hops().checked_sub(1) {
                        Some(left) => context.sender().send_message(Next::with(left)).await,
                        None => self.finish.arrive(),
                    }
                }
            }
        })
    }
}

/// Hears signals; a stalled one never takes any.
struct Hearer {
    stalled: bool,
    finish: Arc<Finish>,
}

impl<C: SubsystemContext<Signal = Beat, Error = OrchestraError>> Subsystem<C, OrchestraError> for Hearer {
    fn start(self, mut context: C) -> SpawnedSubsystem<OrchestraError> {
        spawned(async move {
            if self.stalled {
                std::future::pending::<()>().await;
            }
            loop {
                if let FromOrchestra::Signal(signal) = context.recv().await? {
                    black_box(signal);
                    self.finish.arrive();
                }
            }
        })
    }
}

pub(super) fn run(run: Run) -> Duration {
    on_workers(run.workers, async move {
        match run.workload {
            Workload::OneWay1024 | Workload::OneWay64 => small::one_way(run, None).await,
            Workload::Tapped => small::one_way(run, Some(|hook, message| hook(message))).await,
            Workload::OneWayPayload => large::one_way(run).await,
            Workload::FanIn8 => fan_in::run(run).await,
            Workload::Ask => asking::run(run).await,
            Workload::Ring1 | Workload::Ring64 => ring::run(run).await,
            Workload::Signal24 | Workload::SignalStalled => signals::run(run).await,
        }
    })
}

pub(super) fn idle_bytes() -> u64 {
    on_workers(WORKERS, signals::idle_bytes())
}

/// What the macro writes is the same for every node, so that each stands in a module of its own.
macro_rules! generated {
    ($(#[doc = $doc:literal])* mod $name:ident { $($body:tt)* }) => {
        $(#[doc = $doc])*
        #[allow(dead_code, missing_docs, unreachable_pub, clippy::all, reason = "written by orchestra's macro")]
        mod $name {
            use super::*;
            use ::orchestra::*;
            $($body)*
        }
    };
}

generated! {
    /// One sender, one receiver, numbers.
    mod small {
        use self::messages::*;

        #[orchestra(signal=Beat, event=NoEvent, error=OrchestraError, gen=AllMessages)]
        struct Pair {
            #[subsystem(sends: [Number])]
            source: Producer,
            #[subsystem(consumes: Number)]
            sink: Consumer,
        }

        pub(super) async fn one_way(run: Run, hook: Option<fn(&Hook, Number) -> Option<Number>>) -> Duration {
            let (start, finish) = (Start::new(), Finish::after(1));
            let (_orchestra, _handle) = Pair::builder()
                .source(Source { messages: run.operations, start: start.clone(), hook })
                .sink(Sink { left: run.operations, finish: finish.clone() })
                .spawner(Tasks)
                .message_channel_capacity(run.capacity())
                .build()
                .expect("both subsystems are there");
            timed(start, finish).await
        }
    }
}

generated! {
    /// One sender, one receiver, payloads.
    mod large {
        use self::messages::*;

        #[orchestra(signal=Beat, event=NoEvent, error=OrchestraError, gen=AllMessages)]
        struct Pair {
            #[subsystem(sends: [Payload])]
            source: Producer,
            #[subsystem(consumes: Payload)]
            sink: Consumer,
        }

        pub(super) async fn one_way(run: Run) -> Duration {
            let (start, finish) = (Start::new(), Finish::after(1));
            let (_orchestra, _handle) = Pair::builder()
                .source(Source::<Payload> { messages: run.operations, start: start.clone(), hook: None })
                .sink(Sink { left: run.operations, finish: finish.clone() })
                .spawner(Tasks)
                .message_channel_capacity(run.capacity())
                .build()
                .expect("both subsystems are there");
            timed(start, finish).await
        }
    }
}

generated! {
    /// One that asks, one that answers.
    mod asking {
        use self::messages::*;

        #[orchestra(signal=Beat, event=NoEvent, error=OrchestraError, gen=AllMessages)]
        struct Pair {
            #[subsystem(sends: [Question])]
            asker: Asks,
            #[subsystem(consumes: Question)]
            answerer: Answers,
        }

        pub(super) async fn run(run: Run) -> Duration {
            let (start, finish) = (Start::new(), Finish::after(1));
            let (_orchestra, _handle) = Pair::builder()
                .asker(Asker { questions: run.operations, start: start.clone(), finish: finish.clone() })
                .answerer(Answerer)
                .spawner(Tasks)
                .message_channel_capacity(run.capacity())
                .build()
                .expect("both subsystems are there");
            timed(start, finish).await
        }
    }
}

generated! {
    /// Eight senders, one receiver.
    mod fan_in {
        use self::messages::*;

        #[orchestra(signal=Beat, event=NoEvent, error=OrchestraError, gen=AllMessages)]
        struct Funnel {
            #[subsystem(sends: [Number])]
            s0: S0,
            #[subsystem(sends: [Number])]
            s1: S1,
            #[subsystem(sends: [Number])]
            s2: S2,
            #[subsystem(sends: [Number])]
            s3: S3,
            #[subsystem(sends: [Number])]
            s4: S4,
            #[subsystem(sends: [Number])]
            s5: S5,
            #[subsystem(sends: [Number])]
            s6: S6,
            #[subsystem(sends: [Number])]
            s7: S7,
            #[subsystem(consumes: Number)]
            sink: Consumer,
        }

        pub(super) async fn run(run: Run) -> Duration {
            const { assert!(FAN_IN_SENDERS == 8) };
            let (start, finish) = (Start::new(), Finish::after(1));
            let source =
                || Source::<Number> { messages: run.messages_per_sender(), start: start.clone(), hook: None };
            let (_orchestra, _handle) = Funnel::builder()
                .s0(source()).s1(source()).s2(source()).s3(source())
                .s4(source()).s5(source()).s6(source()).s7(source())
                .sink(Sink { left: run.operations, finish: finish.clone() })
                .spawner(Tasks)
                .message_channel_capacity(run.capacity())
                .build()
                .expect("all subsystems are there");
            timed(start, finish).await
        }
    }
}

generated! {
    /// Sixteen nodes, each of which sends to the next.
    mod ring {
        use crate::workload::RING_NODES;

        macro_rules! tokens {
            ($($token:ident)*) => { $(
                #[derive(Debug)]
                pub struct $token(u64);
                impl Token for $token {
                    fn with(hops: u64) -> Self { Self(hops) }
                    fn hops(&self) -> u64 { self.0 }
                }
            )* };
        }
        tokens! { T0 T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15 }

        #[orchestra(signal=Beat, event=NoEvent, error=OrchestraError, gen=AllMessages)]
        struct Ring {
            #[subsystem(consumes: T0, sends: [T1])]
            n0: N0,
            #[subsystem(consumes: T1, sends: [T2])]
            n1: N1,
            #[subsystem(consumes: T2, sends: [T3])]
            n2: N2,
            #[subsystem(consumes: T3, sends: [T4])]
            n3: N3,
            #[subsystem(consumes: T4, sends: [T5])]
            n4: N4,
            #[subsystem(consumes: T5, sends: [T6])]
            n5: N5,
            #[subsystem(consumes: T6, sends: [T7])]
            n6: N6,
            #[subsystem(consumes: T7, sends: [T8])]
            n7: N7,
            #[subsystem(consumes: T8, sends: [T9])]
            n8: N8,
            #[subsystem(consumes: T9, sends: [T10])]
            n9: N9,
            #[subsystem(consumes: T10, sends: [T11])]
            n10: N10,
            #[subsystem(consumes: T11, sends: [T12])]
            n11: N11,
            #[subsystem(consumes: T12, sends: [T13])]
            n12: N12,
            #[subsystem(consumes: T13, sends: [T14])]
            n13: N13,
            #[subsystem(consumes: T14, sends: [T15])]
            n14: N14,
            #[subsystem(consumes: T15, sends: [T0])]
            n15: N15,
        }

        pub(super) async fn run(run: Run) -> Duration {
            const { assert!(RING_NODES == 16) };
            let (start, finish) = (Start::new(), Finish::after(run.tokens() as usize));
            fn node<Next>(tokens: u64, run: Run, start: &Start, finish: &Arc<Finish>) -> Node<Next> {
                let (start, finish) = (start.clone(), finish.clone());
                Node { tokens, hops: run.hops_per_token(), start, finish, _sends: std::marker::PhantomData }
            }
            let (_orchestra, _handle) = Ring::builder()
                .n0(node::<T1>(run.tokens(), run, &start, &finish))
                .n1(node::<T2>(0, run, &start, &finish))
                .n2(node::<T3>(0, run, &start, &finish))
                .n3(node::<T4>(0, run, &start, &finish))
                .n4(node::<T5>(0, run, &start, &finish))
                .n5(node::<T6>(0, run, &start, &finish))
                .n6(node::<T7>(0, run, &start, &finish))
                .n7(node::<T8>(0, run, &start, &finish))
                .n8(node::<T9>(0, run, &start, &finish))
                .n9(node::<T10>(0, run, &start, &finish))
                .n10(node::<T11>(0, run, &start, &finish))
                .n11(node::<T12>(0, run, &start, &finish))
                .n12(node::<T13>(0, run, &start, &finish))
                .n13(node::<T14>(0, run, &start, &finish))
                .n14(node::<T15>(0, run, &start, &finish))
                .n15(node::<T0>(0, run, &start, &finish))
                .spawner(Tasks)
                .message_channel_capacity(run.capacity())
                .build()
                .expect("all subsystems are there");
            timed(start, finish).await
        }
    }
}

generated! {
    /// Twenty-four subsystems that hear signals.
    mod signals {
        macro_rules! work {
            ($($message:ident)*) => { $(
                #[derive(Debug)]
                pub struct $message;
            )* };
        }
        work! { W0 W1 W2 W3 W4 W5 W6 W7 W8 W9 W10 W11 W12 W13 W14 W15 W16 W17 W18 W19 W20 W21 W22 W23 }

        #[orchestra(signal=Beat, event=NoEvent, error=OrchestraError, gen=AllMessages)]
        struct Crowd {
            #[subsystem(consumes: W0)]
            h0: H0,
            #[subsystem(consumes: W1)]
            h1: H1,
            #[subsystem(consumes: W2)]
            h2: H2,
            #[subsystem(consumes: W3)]
            h3: H3,
            #[subsystem(consumes: W4)]
            h4: H4,
            #[subsystem(consumes: W5)]
            h5: H5,
            #[subsystem(consumes: W6)]
            h6: H6,
            #[subsystem(consumes: W7)]
            h7: H7,
            #[subsystem(consumes: W8)]
            h8: H8,
            #[subsystem(consumes: W9)]
            h9: H9,
            #[subsystem(consumes: W10)]
            h10: H10,
            #[subsystem(consumes: W11)]
            h11: H11,
            #[subsystem(consumes: W12)]
            h12: H12,
            #[subsystem(consumes: W13)]
            h13: H13,
            #[subsystem(consumes: W14)]
            h14: H14,
            #[subsystem(consumes: W15)]
            h15: H15,
            #[subsystem(consumes: W16)]
            h16: H16,
            #[subsystem(consumes: W17)]
            h17: H17,
            #[subsystem(consumes: W18)]
            h18: H18,
            #[subsystem(consumes: W19)]
            h19: H19,
            #[subsystem(consumes: W20)]
            h20: H20,
            #[subsystem(consumes: W21)]
            h21: H21,
            #[subsystem(consumes: W22)]
            h22: H22,
            #[subsystem(consumes: W23)]
            h23: H23,
        }

        /// A crowd of which the last `stalled` never hear anything; a macro, as its type has no short name.
        macro_rules! crowd {
            ($stalled:expr, $finish:expr, $capacity:expr) => {{
                const { assert!(HEARERS == 24) };
                let (mut left, stalled): (usize, usize) = (HEARERS, $stalled);
                let mut hearer = || {
                    left -= 1;
                    Hearer { stalled: left < stalled, finish: $finish.clone() }
                };
                Crowd::builder()
                    .h0(hearer()).h1(hearer()).h2(hearer()).h3(hearer()).h4(hearer()).h5(hearer())
                    .h6(hearer()).h7(hearer()).h8(hearer()).h9(hearer()).h10(hearer()).h11(hearer())
                    .h12(hearer()).h13(hearer()).h14(hearer()).h15(hearer()).h16(hearer()).h17(hearer())
                    .h18(hearer()).h19(hearer()).h20(hearer()).h21(hearer()).h22(hearer()).h23(hearer())
                    .spawner(Tasks)
                    .signal_channel_capacity($capacity)
                    .build()
                    .expect("all subsystems are there")
            }};
        }

        pub(super) async fn run(run: Run) -> Duration {
            let hearing = HEARERS - run.stalled();
            let finish = Finish::after(hearing);
            let (mut orchestra, _handle) = crowd!(run.stalled(), finish, run.capacity());
            timed_work(async {
                for index in 0..run.operations {
                    finish.again(hearing);
                    orchestra.broadcast_signal(Beat(index)).await.expect("every subsystem runs");
                    finish.all().await;
                }
            })
            .await
        }

        pub(super) async fn idle_bytes() -> u64 {
            let finish = Finish::after(HEARERS);
            let mut kept = None;
            let bytes = held_by(async {
                kept = Some(crowd!(0, finish, 64));
                settle().await;
            })
            .await;
            drop(kept);
            bytes / HEARERS as u64
        }
    }
}
