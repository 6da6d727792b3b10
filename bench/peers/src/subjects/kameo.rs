//! `kameo`: an actor is a task with a bounded queue of boxed messages.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ::kameo::actor::{Actor, ActorRef, Spawn};
use ::kameo::error::Infallible;
use ::kameo::mailbox::bounded;
use ::kameo::message::{Context, Message};

use crate::allocation::held_by;
use crate::course::{
    Finish, Number, Payload, Sample, Start, WORKERS, on_workers, passing_hook, settle, timed, timed_work,
};
use crate::workload::{FAN_IN_SENDERS, HEARERS, RING_NODES, Run, Workload};

/// Takes all messages, then reports.
struct Sink<M> {
    left: u64,
    finish: Arc<Finish>,
    _takes: PhantomData<fn() -> M>,
}

impl<M: Sample> Actor for Sink<M> {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(state: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(state)
    }
}

impl<M: Sample> Message<M> for Sink<M> {
    type Reply = ();

    async fn handle(&mut self, message: M, _: &mut Context<Self, ()>) {
        black_box(message);
        self.left -= 1;
        if self.left == 0 {
            self.finish.arrive();
        }
    }
}

#[derive(::kameo::Actor)]
struct Answerer;

impl Message<Number> for Answerer {
    type Reply = u64;

    async fn handle(&mut self, Number(number): Number, _: &mut Context<Self, u64>) -> u64 {
        number
    }
}

#[derive(::kameo::Actor)]
struct Node {
    next: Option<ActorRef<Node>>,
    finish: Arc<Finish>,
}

struct Next(ActorRef<Node>);

impl Message<Next> for Node {
    type Reply = ();

    async fn handle(&mut self, Next(next): Next, _: &mut Context<Self, ()>) {
        self.next = Some(next);
    }
}

impl Message<Number> for Node {
    type Reply = ();

    async fn handle(&mut self, Number(hops): Number, _: &mut Context<Self, ()>) {
        match (hops.checked_sub(1), &self.next) {
            (Some(left), Some(next)) => next.tell(Number(left)).await.expect("a node lives as long as the course"),
            _ => self.finish.arrive(),
        }
    }
}

/// Hears signals; a stalled one never returns from its first.
#[derive(::kameo::Actor)]
struct Hearer {
    stalled: bool,
    finish: Arc<Finish>,
}

impl Message<Number> for Hearer {
    type Reply = ();

    async fn handle(&mut self, signal: Number, _: &mut Context<Self, ()>) {
        if self.stalled {
            std::future::pending::<()>().await;
        }
        black_box(signal);
        self.finish.arrive();
    }
}

pub(super) fn run(run: Run) -> Duration {
    on_workers(run.workers, async move {
        match run.workload {
            Workload::OneWay1024 | Workload::OneWay64 => many_to_one::<Number>(run, 1).await,
            Workload::OneWayPayload => many_to_one::<Payload>(run, 1).await,
            Workload::FanIn8 => many_to_one::<Number>(run, FAN_IN_SENDERS).await,
            Workload::Tapped => tapped(run).await,
            Workload::Ask => ask(run).await,
            Workload::Ring1 | Workload::Ring64 => ring(run).await,
            Workload::Signal24 | Workload::SignalStalled => signals(run).await,
        }
    })
}

fn sink<M: Sample>(run: Run) -> (ActorRef<Sink<M>>, Arc<Finish>) {
    let finish = Finish::after(1);
    let sink = Sink { left: run.operations, finish: finish.clone(), _takes: PhantomData };
    (Sink::spawn_with_mailbox(sink, bounded(run.capacity())), finish)
}

async fn many_to_one<M: Sample>(run: Run, senders: usize) -> Duration {
    let start = Start::new();
    let (sink, finish) = sink::<M>(run);
    for _ in 0..senders {
        let (sink, start) = (sink.clone(), start.clone());
        tokio::spawn(async move {
            start.opened().await;
            for index in 0..run.operations / senders as u64 {
                sink.tell(M::sample(index)).await.expect("the sink lives as long as the course");
            }
        });
    }
    timed(start, finish).await
}

async fn tapped(run: Run) -> Duration {
    let start = Start::new();
    let (sink, finish) = sink::<Number>(run);
    let (hook, opened) = (passing_hook(), start.clone());
    tokio::spawn(async move {
        opened.opened().await;
        for index in 0..run.operations {
            if let Some(message) = hook(Number(index)) {
                sink.tell(message).await.expect("the sink lives as long as the course");
            }
        }
    });
    timed(start, finish).await
}

async fn ask(run: Run) -> Duration {
    let (start, finish) = (Start::new(), Finish::after(1));
    let answerer = Answerer::spawn_with_mailbox(Answerer, bounded(run.capacity()));
    let (opened, done) = (start.clone(), finish.clone());
    tokio::spawn(async move {
        opened.opened().await;
        for index in 0..run.operations {
            black_box(answerer.ask(Number(index)).await.expect("every question is answered"));
        }
        done.arrive();
    });
    timed(start, finish).await
}

async fn ring(run: Run) -> Duration {
    let finish = Finish::after(run.tokens() as usize);
    let nodes: Vec<ActorRef<Node>> = (0..RING_NODES)
        .map(|_| Node::spawn_with_mailbox(Node { next: None, finish: finish.clone() }, bounded(run.capacity())))
        .collect();
    for (index, node) in nodes.iter().enumerate() {
        let next = nodes[(index + 1) % RING_NODES].clone();
        node.tell(Next(next)).await.expect("a node lives as long as the course");
    }
    timed_work(async {
        for _ in 0..run.tokens() {
            nodes[0].tell(Number(run.hops_per_token())).await.expect("a node lives as long as the course");
        }
        finish.all().await;
    })
    .await
}

async fn signals(run: Run) -> Duration {
    let hearing = HEARERS - run.stalled();
    let finish = Finish::after(hearing);
    let hearers: Vec<ActorRef<Hearer>> = (0..HEARERS)
        .map(|index| Hearer { stalled: index >= hearing, finish: finish.clone() })
        .map(|hearer| Hearer::spawn_with_mailbox(hearer, bounded(run.capacity())))
        .collect();
    timed_work(async {
        for index in 0..run.operations {
            finish.again(hearing);
            for hearer in &hearers {
                hearer.tell(Number(index)).await.expect("a hearer lives as long as the course");
            }
            finish.all().await;
        }
    })
    .await
}

pub(super) fn idle_bytes() -> u64 {
    on_workers(WORKERS, async {
        let finish = Finish::after(HEARERS);
        let mut hearers = Vec::with_capacity(HEARERS);
        let bytes = held_by(async {
            for _ in 0..HEARERS {
                let hearer = Hearer { stalled: false, finish: finish.clone() };
                hearers.push(Hearer::spawn_with_mailbox(hearer, bounded(1024)));
            }
            settle().await;
        })
        .await;
        bytes / HEARERS as u64
    })
}
