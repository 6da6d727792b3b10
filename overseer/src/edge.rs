//! What is counted on one edge, and who waits on it.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use overseer_core::meter::Meter;
use overseer_core::sync::lock;

use crate::mailbox::{EdgeId, EdgeTimes, Mailbox, MailboxLimits};
use crate::message::Inbox;
use crate::wiring::{DeclaredSend, Origin};

/// The counters of one edge at one moment, as read by [`Handle::edges`](crate::Handle::edges). All counts are since the
/// node was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeSnapshot {
    /// The sender.
    pub from: &'static str,
    /// Which part of it.
    pub origin: Origin,
    /// What is sent, to whom, how.
    pub declared: DeclaredSend,
    /// Messages put into the queue.
    pub sent: u64,
    /// Casts refused, and messages of all kinds that nobody took because their consumer had ended.
    pub refused: u64,
    /// Casts folded into a message that was queued already.
    pub merged: u64,
    /// Its messages in the consumer's queue now, with the one that is being handled. The consumer takes many out at once;
    /// what it has left of them is divided among their senders in proportion, rounded up. One of the high lane that is being
    /// handled counts for those, not for its own sender.
    pub queued: u64,
    /// How many messages of all senders that queue takes.
    pub queue_limit: u64,
    /// Sends that found the queue full and waited.
    pub waited: u64,
    /// Sends that wait for a place now.
    pub waiting: u64,
    /// Questions without an answer yet.
    pub in_flight: u64,
    /// Answers that are feeds or watches and still open.
    pub open_feeds: u64,
    /// How long its messages were queued and handled, one in
    /// [`SAMPLE_EVERY`](overseer_core::mailbox::SAMPLE_EVERY) of the consumer's; `None` while none was timed.
    pub times: Option<EdgeTimes>,
}

impl EdgeSnapshot {
    /// The share of the consumer's places that its messages take, from 0 to 1; above 1 with places beyond the limit.
    pub fn fill(&self) -> f64 {
        self.queued as f64 / self.queue_limit.max(1) as f64
    }
}

/// A queue and its reader, whatever the type.
pub(crate) trait Gauge: Send + Sync {
    fn messages(&self) -> &'static [&'static str];
    fn used(&self) -> (usize, usize);
    fn limits(&self) -> MailboxLimits;
    fn counts(&self, edge: EdgeId) -> overseer_core::EdgeCounts;
    fn meter(&self) -> &Meter;
    fn progress(&self) -> (usize, u64);
}

impl<T: Inbox> Gauge for Mailbox<T> {
    fn messages(&self) -> &'static [&'static str] {
        T::messages()
    }
    fn used(&self) -> (usize, usize) {
        Mailbox::used(self)
    }
    fn limits(&self) -> MailboxLimits {
        Mailbox::limits(self)
    }
    fn counts(&self, edge: EdgeId) -> overseer_core::EdgeCounts {
        Mailbox::counts(self, edge)
    }
    fn meter(&self) -> &Meter {
        Mailbox::meter(self)
    }
    fn progress(&self) -> (usize, u64) {
        Mailbox::progress(self)
    }
}

/// One edge: who sends what to whom, and its counters.
pub struct EdgeRecord {
    pub(crate) from: &'static str,
    pub(crate) origin: Origin,
    pub(crate) declared: DeclaredSend,
    pub(crate) id: EdgeId,
    gauge: Arc<dyn Gauge>,
    flights: Flights,
    pub(crate) open_feeds: AtomicU32,
}

impl EdgeRecord {
    pub(crate) fn new<T: Inbox>(
        from: &'static str,
        origin: Origin,
        declared: DeclaredSend,
        mailbox: Arc<Mailbox<T>>,
    ) -> Self {
        let id = mailbox.register_edge();
        Self { from, origin, declared, id, gauge: mailbox, flights: Flights::default(), open_feeds: AtomicU32::new(0) }
    }

    pub(crate) fn snapshot(&self) -> EdgeSnapshot {
        let counts = self.gauge.counts(self.id);
        EdgeSnapshot {
            from: self.from,
            origin: self.origin,
            declared: self.declared,
            sent: counts.sent,
            refused: counts.refused,
            merged: counts.merged,
            queued: counts.queued,
            queue_limit: self.gauge.limits().messages as u64,
            waited: counts.waited,
            waiting: counts.waiting,
            in_flight: self.flights.count(),
            open_feeds: self.open_feeds.load(Ordering::Relaxed).into(),
            times: self.gauge.meter().edge(self.id),
        }
    }

    /// Since how many nanoseconds somebody waits here at least, for a place and for an answer; and whether places are
    /// held here.
    pub(crate) fn waits(&self) -> (Option<u64>, Option<u64>, bool) {
        let now = self.gauge.meter().now();
        let counts = self.gauge.counts(self.id);
        let place = (counts.waiting > 0).then(|| now.saturating_sub(counts.waiting_since));
        (place, self.flights.oldest(now), counts.held > 0)
    }
}

/// Generations of questions that are told apart by age.
const GENERATIONS: usize = 4;
/// How long a generation takes in questions, if another is free by then.
const GENERATION_NANOS: u64 = 1_000_000_000;

/// Questions in flight by generation: their age is known without reading a clock for each.
#[derive(Default)]
struct Flights {
    counts: [AtomicU32; GENERATIONS],
    current: AtomicUsize,
    /// When each generation began and when it took its last question, as far as somebody looked.
    periods: Mutex<[(u64, u64); GENERATIONS]>,
}

impl Flights {
    fn count(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(count.load(Ordering::Relaxed))).sum()
    }

    /// A lower bound of the age of the oldest question in flight, as precise as somebody looks often. Starts the next
    /// generation when its time has come.
    fn oldest(&self, now: u64) -> Option<u64> {
        let mut periods = lock(&self.periods);
        let current = self.current.load(Ordering::Relaxed);
        let is_empty = |index: usize| self.counts[index].load(Ordering::Relaxed) == 0;
        if periods[current].0 == 0 || is_empty(current) {
            periods[current].0 = now;
        }
        periods[current].1 = now;
        if now.saturating_sub(periods[current].0) >= GENERATION_NANOS
            && let Some(next) = (0..GENERATIONS).find(|index| *index != current && is_empty(*index))
        {
            periods[next] = (now, now);
            self.current.store(next, Ordering::Relaxed);
        }
        let current = self.current.load(Ordering::Relaxed);
        (0..GENERATIONS)
            .filter(|index| *index != current && !is_empty(*index))
            .map(|index| now.saturating_sub(periods[index].1))
            .max()
    }
}

/// One question in flight.
pub(crate) struct Flight<'a> {
    edge: &'a EdgeRecord,
    generation: usize,
}

impl<'a> Flight<'a> {
    pub(crate) fn begin(edge: &'a EdgeRecord) -> Self {
        let generation = edge.flights.current.load(Ordering::Relaxed);
        edge.flights.counts[generation].fetch_add(1, Ordering::Relaxed);
        Self { edge, generation }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.edge.flights.counts[self.generation].fetch_sub(1, Ordering::Relaxed);
    }
}
