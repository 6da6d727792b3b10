//! Times of deliveries: one message in 64, so that a clock is read rarely; memory on first use only.

use std::collections::BTreeMap;
use std::sync::Arc;
// Never part of an invariant, so the models need not follow it.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::mailbox::EdgeId;

/// Nanoseconds since some fixed moment.
pub type NanosClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Buckets of a histogram: bucket `n` counts what took less than 2ⁿ⁺⁸ ns, the last one everything longer.
pub const BUCKETS: usize = 32;

/// A histogram over powers of two, from 256 ns to about nine minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Observations per bucket; see [`Histogram::upper_bound_nanos`].
    pub buckets: [u32; BUCKETS],
    /// Sum of all observations, nanoseconds.
    pub sum_nanos: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum_nanos: 0 }
    }
}

impl Histogram {
    /// Adds an observation.
    pub fn observe(&mut self, nanos: u64) {
        let bits = (u64::BITS - nanos.leading_zeros()) as usize;
        let bucket = &mut self.buckets[bits.saturating_sub(8).min(BUCKETS - 1)];
        *bucket = bucket.saturating_add(1);
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// Below which the observations of a bucket lie.
    pub fn upper_bound_nanos(bucket: usize) -> u64 {
        1 << (bucket + 8)
    }

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().copied().map(u64::from).sum()
    }
}

/// Times of one edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeTimes {
    /// From send to receive.
    pub queued: Histogram,
    /// From receive to the reader's next look at its mailbox.
    pub handled: Histogram,
}

/// How a reader spends its time, over the periods that were timed: its first sleep and one in 64 after that, each with
/// the work that follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusyTime {
    /// Nanoseconds at work.
    pub busy_nanos: u64,
    /// Nanoseconds asleep, with a timed sleep that lasts.
    pub idle_nanos: u64,
}

impl BusyTime {
    /// The busy share, from 0 to 1; `None` while nothing was timed.
    pub fn share(&self) -> Option<f64> {
        let all = self.busy_nanos + self.idle_nanos;
        (all > 0).then(|| self.busy_nanos as f64 / all as f64)
    }
}

#[derive(Default)]
struct Times {
    edges: BTreeMap<EdgeId, Box<EdgeTimes>>,
    busy: BusyTime,
}

/// The times of one mailbox.
pub struct Meter {
    clock: Option<NanosClock>,
    /// Since when a sleep lasts that is timed; 0 if none does. Here, so that one who only sleeps needs no `times`.
    asleep_since: AtomicU64,
    /// Made when the first time is taken.
    times: Mutex<Option<Box<Times>>>,
}

impl Meter {
    pub(crate) fn new(clock: Option<NanosClock>) -> Self {
        Self { clock, asleep_since: AtomicU64::new(0), times: Mutex::default() }
    }

    /// Now, in nanoseconds, never 0; 0 without a clock.
    pub fn now(&self) -> u64 {
        self.clock.as_ref().map_or(0, |clock| clock().max(1))
    }

    fn with(&self, change: impl FnOnce(&mut Times)) {
        change(self.times.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default());
    }

    pub(crate) fn queued(&self, edge: EdgeId, nanos: u64) {
        self.with(|times| times.edges.entry(edge).or_default().queued.observe(nanos));
    }

    pub(crate) fn handled(&self, edge: EdgeId, nanos: u64) {
        self.with(|times| times.edges.entry(edge).or_default().handled.observe(nanos));
    }

    pub(crate) fn busy(&self, nanos: u64) {
        self.with(|times| times.busy.busy_nanos += nanos);
    }

    /// A sleep that is timed begins, now.
    pub(crate) fn sleeps(&self) -> u64 {
        let now = self.now();
        self.asleep_since.store(now, Ordering::Relaxed);
        now
    }

    /// It has ended, after so many nanoseconds.
    pub(crate) fn idle(&self, nanos: u64) {
        self.asleep_since.store(0, Ordering::Relaxed);
        self.with(|times| times.busy.idle_nanos += nanos);
    }

    /// The times of an edge, if one of its messages was timed.
    pub fn edge(&self, edge: EdgeId) -> Option<EdgeTimes> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.as_ref()?.edges.get(&edge).map(|times| EdgeTimes::clone(times))
    }

    /// How the reader spends its time.
    pub fn busy_time(&self) -> BusyTime {
        let since = self.asleep_since.load(Ordering::Relaxed);
        let lasts = if since == 0 { 0 } else { self.now().saturating_sub(since) };
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let timed = times.as_ref().map_or_else(BusyTime::default, |times| times.busy);
        BusyTime { idle_nanos: timed.idle_nanos + lasts, ..timed }
    }
}
