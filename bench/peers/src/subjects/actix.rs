//! `actix`: actors on two arbiters, the system's own and one more, each a thread with a runtime of its own.
//!
//! `do_send` ignores the queue's bound, and `send` waits until the message was handled: what sends under a bound tries,
//! and waits only where the queue was full.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ::actix::dev::ToEnvelope;
use ::actix::prelude::{
    Actor, Addr, Arbiter, ArbiterHandle, AsyncContext as _, Context, Handler, Message, SendError, System,
};

use crate::allocation::held_by;
use crate::course::{Finish, Number, Payload, Sample, Start, passing_hook, settle, timed, timed_work};
use crate::workload::{FAN_IN_SENDERS, HEARERS, RING_NODES, Run, Workload};

#[derive(Message)]
#[rtype(result = "()")]
struct Posted<M>(M);

#[derive(Message)]
#[rtype(result = "u64")]
struct Question(u64);

#[derive(Message)]
#[rtype(result = "()")]
struct Next(Addr<Node>);

/// Takes all messages, then reports.
struct Sink<M> {
    left: u64,
    finish: Arc<Finish>,
    _takes: PhantomData<fn() -> M>,
}

impl<M: Sample> Actor for Sink<M> {
    type Context = Context<Self>;
}

impl<M: Sample> Handler<Posted<M>> for Sink<M> {
    type Result = ();

    fn handle(&mut self, message: Posted<M>, _: &mut Context<Self>) {
        black_box(message.0);
        self.left -= 1;
        if self.left == 0 {
            self.finish.arrive();
        }
    }
}

struct Answerer;

impl Actor for Answerer {
    type Context = Context<Self>;
}

impl Handler<Question> for Answerer {
    type Result = u64;

    fn handle(&mut self, Question(number): Question, _: &mut Context<Self>) -> u64 {
        number
    }
}

struct Node {
    next: Option<Addr<Node>>,
    finish: Arc<Finish>,
}

impl Actor for Node {
    type Context = Context<Self>;
}

impl Handler<Next> for Node {
    type Result = ();

    fn handle(&mut self, Next(next): Next, _: &mut Context<Self>) {
        self.next = Some(next);
    }
}

impl Handler<Posted<Number>> for Node {
    type Result = ();

    fn handle(&mut self, Posted(Number(hops)): Posted<Number>, _: &mut Context<Self>) {
        match (hops.checked_sub(1), &self.next) {
            // There are fewer tokens than places.
            (Some(left), Some(next)) => next.do_send(Posted(Number(left))),
            _ => self.finish.arrive(),
        }
    }
}

/// Hears signals; a stalled one waits for ever before its first.
struct Hearer {
    stalled: bool,
    finish: Arc<Finish>,
}

impl Actor for Hearer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if self.stalled {
            context.wait(::actix::fut::wrap_future(std::future::pending()));
        }
    }
}

impl Handler<Posted<Number>> for Hearer {
    type Result = ();

    fn handle(&mut self, Posted(signal): Posted<Number>, _: &mut Context<Self>) {
        black_box(signal);
        self.finish.arrive();
    }
}

/// Runs a course in a system of its own; `here` is its own arbiter, `there` the other.
fn in_system<T>(course: impl AsyncFnOnce(ArbiterHandle, ArbiterHandle) -> T) -> T {
    let system = System::new();
    let outcome = system.block_on(async {
        let there = Arbiter::new();
        let outcome = course(Arbiter::current(), there.handle()).await;
        there.stop();
        there.join().expect("an arbiter ends when it is told to");
        outcome
    });
    System::current().stop();
    outcome
}

pub(super) fn run(run: Run) -> Duration {
    in_system(async |here, there| match run.workload {
        Workload::OneWay1024 | Workload::OneWay64 => many_to_one::<Number>(run, 1, &there).await,
        Workload::OneWayPayload => many_to_one::<Payload>(run, 1, &there).await,
        Workload::FanIn8 => many_to_one::<Number>(run, FAN_IN_SENDERS, &there).await,
        Workload::Tapped => tapped(run, &there).await,
        Workload::Ask => ask(run, &there).await,
        Workload::Ring1 | Workload::Ring64 => ring(run, &[here, there]).await,
        Workload::Signal24 | Workload::SignalStalled => signals(run, &[here, there]).await,
    })
}

fn start_on<A: Actor<Context = Context<A>> + Send>(arbiter: &ArbiterHandle, capacity: usize, actor: A) -> Addr<A> {
    A::start_in_arbiter(arbiter, move |context| {
        context.set_mailbox_capacity(capacity);
        actor
    })
}

async fn send<A, M>(to: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    match to.try_send(message) {
        Ok(()) => {}
        // Waits for a place, and then until the message was handled.
        Err(SendError::Full(refused)) => {
            to.send(refused).await.map(drop).expect("an actor lives as long as the course")
        }
        Err(SendError::Closed(_)) => unreachable!("an actor lives as long as the course"),
    }
}

fn sink<M: Sample>(run: Run, there: &ArbiterHandle) -> (Addr<Sink<M>>, Arc<Finish>) {
    let finish = Finish::after(1);
    let sink = Sink { left: run.operations, finish: finish.clone(), _takes: PhantomData };
    (start_on(there, run.capacity(), sink), finish)
}

async fn many_to_one<M: Sample>(run: Run, senders: usize, there: &ArbiterHandle) -> Duration {
    let start = Start::new();
    let (sink, finish) = sink::<M>(run, there);
    for _ in 0..senders {
        let (sink, start) = (sink.clone(), start.clone());
        ::actix::spawn(async move {
            start.opened().await;
            for index in 0..run.operations / senders as u64 {
                send(&sink, Posted(M::sample(index))).await;
            }
        });
    }
    timed(start, finish).await
}

async fn tapped(run: Run, there: &ArbiterHandle) -> Duration {
    let start = Start::new();
    let (sink, finish) = sink::<Number>(run, there);
    let (hook, opened) = (passing_hook(), start.clone());
    ::actix::spawn(async move {
        opened.opened().await;
        for index in 0..run.operations {
            if let Some(message) = hook(Number(index)) {
                send(&sink, Posted(message)).await;
            }
        }
    });
    timed(start, finish).await
}

async fn ask(run: Run, there: &ArbiterHandle) -> Duration {
    let answerer = start_on(there, run.capacity(), Answerer);
    timed_work(async {
        for index in 0..run.operations {
            black_box(answerer.send(Question(index)).await.expect("every question is answered"));
        }
    })
    .await
}

async fn ring(run: Run, arbiters: &[ArbiterHandle; 2]) -> Duration {
    let finish = Finish::after(run.tokens() as usize);
    let nodes: Vec<Addr<Node>> = (0..RING_NODES)
        .map(|index| start_on(&arbiters[index % 2], run.capacity(), Node { next: None, finish: finish.clone() }))
        .collect();
    for (index, node) in nodes.iter().enumerate() {
        node.do_send(Next(nodes[(index + 1) % RING_NODES].clone()));
    }
    timed_work(async {
        for _ in 0..run.tokens() {
            nodes[0].do_send(Posted(Number(run.hops_per_token())));
        }
        finish.all().await;
    })
    .await
}

async fn signals(run: Run, arbiters: &[ArbiterHandle; 2]) -> Duration {
    let hearing = HEARERS - run.stalled();
    let finish = Finish::after(hearing);
    let hearers: Vec<Addr<Hearer>> = (0..HEARERS)
        .map(|index| {
            let hearer = Hearer { stalled: index >= hearing, finish: finish.clone() };
            start_on(&arbiters[index % 2], run.capacity(), hearer)
        })
        .collect();
    timed_work(async {
        for index in 0..run.operations {
            finish.again(hearing);
            for hearer in &hearers {
                send(hearer, Posted(Number(index))).await;
            }
            finish.all().await;
        }
    })
    .await
}

pub(super) fn idle_bytes() -> u64 {
    in_system(async |here, there| {
        let arbiters = [here, there];
        let finish = Finish::after(HEARERS);
        let mut hearers = Vec::with_capacity(HEARERS);
        settle().await;
        let bytes = held_by(async {
            for index in 0..HEARERS {
                let hearer = Hearer { stalled: false, finish: finish.clone() };
                hearers.push(start_on(&arbiters[index % 2], 1024, hearer));
            }
            settle().await;
        })
        .await;
        bytes / HEARERS as u64
    })
}
