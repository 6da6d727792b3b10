//! Bare channels between bare tasks: the measure of all others, and nothing of what a framework is for.

use std::hint::black_box;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::allocation::held_by;
use crate::course::{
    Finish, Number, Payload, Sample, Start, WORKERS, on_workers, passing_hook, settle, timed, timed_work,
};
use crate::workload::{FAN_IN_SENDERS, HEARERS, RING_NODES, Run, Workload};

/// Signals that [`Select`] keeps for who is slow.
const SIGNALS_KEPT: usize = 16;

/// A bounded channel between tasks.
pub(super) trait Channel: 'static {
    type Sender<T: Send + 'static>: Clone + Send + Sync + 'static;
    type Receiver<T: Send + 'static>: Send + 'static;
    fn bounded<T: Send + 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>);
    fn send<T: Send + 'static>(sender: &Self::Sender<T>, value: T) -> impl Future<Output = ()> + Send;
    fn recv<T: Send + 'static>(receiver: &mut Self::Receiver<T>) -> impl Future<Output = Option<T>> + Send;
}

/// `tokio::sync::mpsc`.
pub(super) struct Tokio;

impl Channel for Tokio {
    type Sender<T: Send + 'static> = tokio::sync::mpsc::Sender<T>;
    type Receiver<T: Send + 'static> = tokio::sync::mpsc::Receiver<T>;

    fn bounded<T: Send + 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>) {
        tokio::sync::mpsc::channel(capacity)
    }

    async fn send<T: Send + 'static>(sender: &Self::Sender<T>, value: T) {
        // Nobody receives any more once a course has ended.
        let _ended = sender.send(value).await;
    }

    async fn recv<T: Send + 'static>(receiver: &mut Self::Receiver<T>) -> Option<T> {
        receiver.recv().await
    }
}

/// `tokio::sync::mpsc` in a loop that hears signals as well, by a `select!` over two channels: the least that somebody
/// writes who needs both and takes no framework. It promises no order between the two.
pub(super) struct Select;

pub(super) struct Hearing<T> {
    messages: tokio::sync::mpsc::Receiver<T>,
    signals: tokio::sync::broadcast::Receiver<u64>,
    /// Open as long as somebody listens; nothing is ever published.
    _publisher: tokio::sync::broadcast::Sender<u64>,
}

impl Channel for Select {
    type Sender<T: Send + 'static> = tokio::sync::mpsc::Sender<T>;
    type Receiver<T: Send + 'static> = Hearing<T>;

    fn bounded<T: Send + 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>) {
        let (sender, messages) = tokio::sync::mpsc::channel(capacity);
        let (publisher, signals) = tokio::sync::broadcast::channel(SIGNALS_KEPT);
        (sender, Hearing { messages, signals, _publisher: publisher })
    }

    async fn send<T: Send + 'static>(sender: &Self::Sender<T>, value: T) {
        Tokio::send(sender, value).await;
    }

    async fn recv<T: Send + 'static>(receiver: &mut Self::Receiver<T>) -> Option<T> {
        loop {
            tokio::select! {
                biased;
                signal = receiver.signals.recv() => drop(black_box(signal)),
                message = receiver.messages.recv() => return message,
            }
        }
    }
}

/// `kanal`'s asynchronous channel.
pub(super) struct Kanal;

impl Channel for Kanal {
    type Sender<T: Send + 'static> = kanal::AsyncSender<T>;
    type Receiver<T: Send + 'static> = kanal::AsyncReceiver<T>;

    fn bounded<T: Send + 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>) {
        kanal::bounded_async(capacity)
    }

    async fn send<T: Send + 'static>(sender: &Self::Sender<T>, value: T) {
        // Nobody receives any more once a course has ended.
        let _ended = sender.send(value).await;
    }

    async fn recv<T: Send + 'static>(receiver: &mut Self::Receiver<T>) -> Option<T> {
        receiver.recv().await.ok()
    }
}

pub(super) fn run<C: Channel>(run: Run) -> Duration {
    on_workers(run.workers, async move {
        match run.workload {
            Workload::OneWay1024 | Workload::OneWay64 => many_to_one::<C, Number>(run, 1).await,
            Workload::OneWayPayload => many_to_one::<C, Payload>(run, 1).await,
            Workload::FanIn8 => many_to_one::<C, Number>(run, FAN_IN_SENDERS).await,
            Workload::Tapped => tapped::<C>(run).await,
            Workload::Ask => ask::<C>(run).await,
            Workload::Ring1 | Workload::Ring64 => ring::<C>(run).await,
            Workload::Signal24 | Workload::SignalStalled => signals::<C>(run).await,
        }
    })
}

/// Takes all messages, then reports.
fn sink<C: Channel, M: Sample>(run: Run) -> (C::Sender<M>, std::sync::Arc<Finish>) {
    let finish = Finish::after(1);
    let (sender, mut receiver) = C::bounded::<M>(run.capacity());
    let done = finish.clone();
    tokio::spawn(async move {
        for _ in 0..run.operations {
            black_box(C::recv(&mut receiver).await);
        }
        done.arrive();
    });
    (sender, finish)
}

async fn many_to_one<C: Channel, M: Sample>(run: Run, senders: usize) -> Duration {
    let start = Start::new();
    let (sender, finish) = sink::<C, M>(run);
    for _ in 0..senders {
        let (sender, start) = (sender.clone(), start.clone());
        tokio::spawn(async move {
            start.opened().await;
            for index in 0..run.operations / senders as u64 {
                C::send(&sender, M::sample(index)).await;
            }
        });
    }
    timed(start, finish).await
}

async fn tapped<C: Channel>(run: Run) -> Duration {
    let start = Start::new();
    let (sender, finish) = sink::<C, Number>(run);
    let (hook, opened) = (passing_hook(), start.clone());
    tokio::spawn(async move {
        opened.opened().await;
        for index in 0..run.operations {
            if let Some(message) = hook(Number(index)) {
                C::send(&sender, message).await;
            }
        }
    });
    timed(start, finish).await
}

async fn ask<C: Channel>(run: Run) -> Duration {
    let (start, finish) = (Start::new(), Finish::after(1));
    let (sender, mut receiver) = C::bounded::<(Number, oneshot::Sender<u64>)>(run.capacity());
    tokio::spawn(async move {
        while let Some((Number(number), reply)) = C::recv(&mut receiver).await {
            // Who asked waits for the answer.
            let _asked = reply.send(number);
        }
    });
    let (opened, done) = (start.clone(), finish.clone());
    tokio::spawn(async move {
        opened.opened().await;
        for index in 0..run.operations {
            let (reply, answer) = oneshot::channel();
            C::send(&sender, (Number(index), reply)).await;
            black_box(answer.await.ok());
        }
        done.arrive();
    });
    timed(start, finish).await
}

async fn ring<C: Channel>(run: Run) -> Duration {
    let finish = Finish::after(run.tokens() as usize);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..RING_NODES).map(|_| C::bounded::<Number>(run.capacity())).unzip();
    for (index, mut receiver) in receivers.into_iter().enumerate() {
        let (next, done) = (senders[(index + 1) % RING_NODES].clone(), finish.clone());
        tokio::spawn(async move {
            while let Some(Number(hops)) = C::recv(&mut receiver).await {
                match hops.checked_sub(1) {
                    Some(left) => C::send(&next, Number(left)).await,
                    None => done.arrive(),
                }
            }
        });
    }
    timed_work(async {
        for _ in 0..run.tokens() {
            C::send(&senders[0], Number(run.hops_per_token())).await;
        }
        finish.all().await;
    })
    .await
}

async fn signals<C: Channel>(run: Run) -> Duration {
    let hearing = HEARERS - run.stalled();
    let finish = Finish::after(hearing);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..HEARERS).map(|_| C::bounded::<Number>(run.capacity())).unzip();
    for (index, mut receiver) in receivers.into_iter().enumerate() {
        let done = finish.clone();
        tokio::spawn(async move {
            if index >= hearing {
                std::future::pending::<()>().await;
            }
            while let Some(signal) = C::recv(&mut receiver).await {
                black_box(signal);
                done.arrive();
            }
        });
    }
    timed_work(async {
        for index in 0..run.operations {
            finish.again(hearing);
            for sender in &senders {
                C::send(sender, Number(index)).await;
            }
            finish.all().await;
        }
    })
    .await
}

pub(super) fn idle_bytes<C: Channel>() -> u64 {
    on_workers(WORKERS, async {
        let mut senders = Vec::with_capacity(HEARERS);
        let bytes = held_by(async {
            for _ in 0..HEARERS {
                let (sender, mut receiver) = C::bounded::<Number>(1024);
                senders.push(sender);
                tokio::spawn(async move { while C::recv(&mut receiver).await.is_some() {} });
            }
            settle().await;
        })
        .await;
        bytes / HEARERS as u64
    })
}
