//! `ractor`: an actor is a task with an unbounded queue. It has no bounded one, so that both one-way queues are the same.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use ::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, rpc::CallResult};

use crate::allocation::held_by;
use crate::course::{
    Finish, Number, Payload, Sample, Start, WORKERS, on_workers, passing_hook, settle, timed, timed_work,
};
use crate::workload::{FAN_IN_SENDERS, HEARERS, RING_NODES, Run, Workload};

async fn spawn<A>(actor: A, arguments: A::Arguments) -> ActorRef<A::Msg>
where
    A: Actor,
{
    Actor::spawn(None, actor, arguments).await.expect("an actor whose start cannot fail starts").0
}

/// Takes all messages, then reports.
struct Sink<M>(PhantomData<fn() -> M>);

struct SinkState {
    left: u64,
    finish: Arc<Finish>,
}

impl<M: Sample> Actor for Sink<M> {
    type Msg = M;
    type State = SinkState;
    type Arguments = SinkState;

    async fn pre_start(&self, _: ActorRef<M>, state: SinkState) -> Result<SinkState, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(&self, _: ActorRef<M>, message: M, state: &mut SinkState) -> Result<(), ActorProcessingErr> {
        black_box(message);
        state.left -= 1;
        if state.left == 0 {
            state.finish.arrive();
        }
        Ok(())
    }
}

enum Question {
    Number(Number, RpcReplyPort<u64>),
}

struct Answerer;

impl Actor for Answerer {
    type Msg = Question;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Question>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Question>, question: Question, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let Question::Number(Number(number), reply) = question;
        // Who asked waits for the answer.
        let _asked = reply.send(number);
        Ok(())
    }
}

enum Token {
    Next(ActorRef<Token>),
    Hops(u64),
}

struct Node;

impl Actor for Node {
    type Msg = Token;
    type State = (Option<ActorRef<Token>>, Arc<Finish>);
    type Arguments = Arc<Finish>;

    async fn pre_start(&self, _: ActorRef<Token>, finish: Arc<Finish>) -> Result<Self::State, ActorProcessingErr> {
        Ok((None, finish))
    }

    async fn handle(
        &self,
        _: ActorRef<Token>,
        token: Token,
        (next, finish): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match token {
            Token::Next(node) => *next = Some(node),
            Token::Hops(0) => finish.arrive(),
            Token::Hops(hops) => {
                if let Some(next) = next {
                    next.cast(Token::Hops(hops - 1))?;
                }
            }
        }
        Ok(())
    }
}

/// Hears signals; a stalled one never returns from its first.
struct Hearer;

impl Actor for Hearer {
    type Msg = Number;
    type State = (bool, Arc<Finish>);
    type Arguments = (bool, Arc<Finish>);

    async fn pre_start(&self, _: ActorRef<Self::Msg>, state: Self::State) -> Result<Self::State, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        signal: Self::Msg,
        (stalled, finish): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if *stalled {
            std::future::pending::<()>().await;
        }
        black_box(signal);
        finish.arrive();
        Ok(())
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

async fn sink<M: Sample>(run: Run) -> (ActorRef<M>, Arc<Finish>) {
    let finish = Finish::after(1);
    let state = SinkState { left: run.operations, finish: finish.clone() };
    (spawn(Sink(PhantomData), state).await, finish)
}

async fn many_to_one<M: Sample>(run: Run, senders: usize) -> Duration {
    let start = Start::new();
    let (sink, finish) = sink::<M>(run).await;
    for _ in 0..senders {
        let (sink, start) = (sink.clone(), start.clone());
        tokio::spawn(async move {
            start.opened().await;
            for index in 0..run.operations / senders as u64 {
                sink.cast(M::sample(index)).expect("the sink lives as long as the course");
                // The queue has no bound to wait for; without a budget the sender would never let go of its worker.
                tokio::task::coop::consume_budget().await;
            }
        });
    }
    timed(start, finish).await
}

async fn tapped(run: Run) -> Duration {
    let start = Start::new();
    let (sink, finish) = sink::<Number>(run).await;
    let (hook, opened) = (passing_hook(), start.clone());
    tokio::spawn(async move {
        opened.opened().await;
        for index in 0..run.operations {
            if let Some(message) = hook(Number(index)) {
                sink.cast(message).expect("the sink lives as long as the course");
            }
            tokio::task::coop::consume_budget().await;
        }
    });
    timed(start, finish).await
}

async fn ask(run: Run) -> Duration {
    let (start, finish) = (Start::new(), Finish::after(1));
    let answerer = spawn(Answerer, ()).await;
    let (opened, done) = (start.clone(), finish.clone());
    tokio::spawn(async move {
        opened.opened().await;
        for index in 0..run.operations {
            let answer = answerer.call(|reply| Question::Number(Number(index), reply), None).await;
            assert!(matches!(answer, Ok(CallResult::Success(number)) if number == index), "every question is answered");
        }
        done.arrive();
    });
    timed(start, finish).await
}

async fn ring(run: Run) -> Duration {
    let finish = Finish::after(run.tokens() as usize);
    let mut nodes = Vec::with_capacity(RING_NODES);
    for _ in 0..RING_NODES {
        nodes.push(spawn(Node, finish.clone()).await);
    }
    for (index, node) in nodes.iter().enumerate() {
        let next = nodes[(index + 1) % RING_NODES].clone();
        node.cast(Token::Next(next)).expect("a node lives as long as the course");
    }
    timed_work(async {
        for _ in 0..run.tokens() {
            nodes[0].cast(Token::Hops(run.hops_per_token())).expect("a node lives as long as the course");
        }
        finish.all().await;
    })
    .await
}

async fn signals(run: Run) -> Duration {
    let hearing = HEARERS - run.stalled();
    let finish = Finish::after(hearing);
    let mut hearers = Vec::with_capacity(HEARERS);
    for index in 0..HEARERS {
        hearers.push(spawn(Hearer, (index >= hearing, finish.clone())).await);
    }
    timed_work(async {
        for index in 0..run.operations {
            finish.again(hearing);
            for hearer in &hearers {
                hearer.cast(Number(index)).expect("a hearer lives as long as the course");
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
                hearers.push(spawn(Hearer, (false, finish.clone())).await);
            }
            settle().await;
        })
        .await;
        bytes / HEARERS as u64
    })
}
