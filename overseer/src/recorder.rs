//! The flight recorder: the last events of each subsystem, for the report of how a node ended
//! ([`ExitReport::last_events`](crate::ExitReport::last_events)). Names only, no contents; always on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use overseer_core::sync::lock;

/// Events that are kept per subsystem.
pub const RECORDED_EVENTS: usize = 32;

/// One thing that crossed a subsystem's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It received this message.
    Received(&'static str),
    /// It heard a signal.
    Signal,
    /// It was told to conclude.
    Conclude,
    /// Its loop sent, asked or cast this message.
    Sent(&'static str),
}

impl std::fmt::Display for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Received(message) => write!(f, "received {message}"),
            Self::Signal => f.write_str("heard a signal"),
            Self::Conclude => f.write_str("was told to conclude"),
            Self::Sent(message) => write!(f, "sent {message}"),
        }
    }
}

/// Where a recorder leaves its events when its context ends, be it by a panic.
#[derive(Default)]
pub(crate) struct Recording {
    events: Mutex<Vec<Recorded>>,
    was_concluded: AtomicBool,
    /// The how manieth of its node to [begin to end](Self::begin_to_end), from 1; 0 while it goes on.
    turn: AtomicU64,
    /// How many of its node have begun to end.
    ending: Arc<AtomicU64>,
}

impl Recording {
    pub(crate) fn new(ending: Arc<AtomicU64>) -> Self {
        Self { ending, ..Self::default() }
    }

    /// Counts its subsystem among those that end. Called before the mailbox closes: whoever ends because of that comes
    /// after it, however long its state takes to be dropped.
    pub(crate) fn begin_to_end(&self) {
        if self.turn() == 0 {
            self.turn.store(self.ending.fetch_add(1, Ordering::AcqRel) + 1, Ordering::Release);
        }
    }

    /// The how manieth it was to begin to end, from 1; 0 while it goes on.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    /// Whether its subsystem was told to conclude, however much it did after that.
    pub(crate) fn was_concluded(&self) -> bool {
        self.was_concluded.load(Ordering::Acquire)
    }

    /// The last events, oldest first.
    pub(crate) fn read(&self) -> Vec<Recorded> {
        lock(&self.events).clone()
    }
}

/// The last events, without a lock while the subsystem runs.
pub(crate) struct Recorder {
    /// A ring; made by the first event.
    events: Option<Box<[Recorded; RECORDED_EVENTS]>>,
    /// Events ever recorded. Not beside them, where it would be one more cache line to fetch.
    recorded: usize,
    pub(crate) left_at: Arc<Recording>,
}

impl Recorder {
    pub(crate) fn new(left_at: Arc<Recording>) -> Self {
        Self { events: None, recorded: 0, left_at }
    }

    #[inline]
    pub(crate) fn record(&mut self, event: Recorded) {
        let events = self.events.get_or_insert_with(|| Box::new([Recorded::Signal; RECORDED_EVENTS]));
        events[self.recorded % RECORDED_EVENTS] = event;
        self.recorded += 1;
    }

    #[inline]
    pub(crate) fn sends(&mut self, name: &'static str) {
        self.record(Recorded::Sent(name));
    }

    pub(crate) fn conclude(&mut self) {
        self.left_at.was_concluded.store(true, Ordering::Release);
        self.record(Recorded::Conclude);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let first = self.recorded.saturating_sub(RECORDED_EVENTS);
        let ring = self.events.take();
        let events = ring.iter().flat_map(|ring| (first..self.recorded).map(|index| ring[index % RECORDED_EVENTS]));
        *lock(&self.left_at.events) = events.collect();
    }
}

/// Events as one line.
pub(crate) fn line(events: &[Recorded]) -> String {
    events.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_one_was_told_to_conclude_outlasts_the_events_after_it() {
        let recording = Arc::new(Recording::default());
        let mut recorder = Recorder::new(recording.clone());
        assert!(!recording.was_concluded());
        recorder.conclude();
        (0..RECORDED_EVENTS).for_each(|_| recorder.sends("Later"));
        drop(recorder);
        assert!(recording.was_concluded());
        assert!(!recording.read().contains(&Recorded::Conclude), "it rolled out of the ring");
    }
}
