//! Casts that a full queue refused, kept by the loop that made them until there is room.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::task::Context;

use deterministic::BoxFuture;

use overseer_core::Lane;

/// The outbox of one loop: a queue per consumer and lane, so that a slow consumer holds up nobody else's messages.
#[derive(Default)]
pub(crate) struct Outbox {
    /// One for each consumer and lane that ever refused; there are few.
    queues: Vec<Queue>,
    /// Whether the loop was told to conclude.
    pub(crate) is_concluding: bool,
}

/// What is kept for one lane of one consumer, in order.
pub(crate) struct Queue {
    to: &'static str,
    lane: Lane,
    waiting: VecDeque<(&'static str, usize, BoxFuture<()>)>,
    /// How many of them by message.
    counts: BTreeMap<&'static str, usize>,
    bytes: usize,
}

impl Outbox {
    /// Whether nothing is kept for anybody.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.iter().all(Queue::is_empty)
    }

    pub(crate) fn queue(&mut self, to: &'static str, lane: Lane) -> &mut Queue {
        let known = self.queues.iter().position(|queue| queue.to == to && queue.lane == lane);
        let index = known.unwrap_or_else(|| {
            self.queues.push(Queue { to, lane, waiting: VecDeque::new(), counts: BTreeMap::new(), bytes: 0 });
            self.queues.len() - 1
        });
        &mut self.queues[index]
    }

    /// Sends what there is room for.
    #[cold]
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        self.queues.iter_mut().for_each(|queue| queue.flush(cx));
    }

    /// Waits for something else, and sends what there is room for meanwhile.
    pub(crate) async fn beside<T>(&mut self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = std::pin::pin!(waiting);
        poll_fn(|cx| {
            let polled = waiting.as_mut().poll(cx);
            if polled.is_pending() {
                self.flush(cx);
            }
            polled
        })
        .await
    }
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many of a message are kept.
    pub(crate) fn kept_of(&self, message: &'static str) -> usize {
        self.counts.get(message).copied().unwrap_or(0)
    }

    /// The bytes of all that is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps the sending of a message.
    pub(crate) fn keep(&mut self, message: &'static str, bytes: usize, sending: BoxFuture<()>) {
        self.waiting.push_back((message, bytes, sending));
        self.bytes += bytes;
        *self.counts.entry(message).or_default() += 1;
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        while let Some((message, bytes, sending)) = self.waiting.front_mut() {
            if sending.as_mut().poll(cx).is_pending() {
                return;
            }
            self.bytes -= *bytes;
            if let Some(count) = self.counts.get_mut(message) {
                *count -= 1;
            }
            self.waiting.pop_front();
        }
    }
}
