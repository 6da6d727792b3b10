//! The flight recorder: the last events of each subsystem, for the report of how a node ended
//! ([`ExitReport::last_events`](crate::ExitReport::last_events)). Names only, no contents; always on.

use std::sync::{Arc, Mutex, PoisonError};

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
pub(crate) struct Recording(Mutex<Vec<Recorded>>);

impl Recording {
    /// The last events, oldest first.
    pub(crate) fn read(&self) -> Vec<Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The last events, without a lock while the subsystem runs.
pub(crate) struct Recorder {
    /// Made by the first event.
    ring: Option<Box<Ring>>,
    left_at: Arc<Recording>,
}

struct Ring {
    events: [Recorded; RECORDED_EVENTS],
    /// Events ever recorded.
    recorded: usize,
}

impl Recorder {
    pub(crate) fn new(left_at: Arc<Recording>) -> Self {
        Self { ring: None, left_at }
    }

    #[inline]
    fn record(&mut self, event: Recorded) {
        let ring = self.ring.get_or_insert_with(Ring::empty);
        ring.events[ring.recorded % RECORDED_EVENTS] = event;
        ring.recorded += 1;
    }

    #[inline]
    pub(crate) fn message(&mut self, name: &'static str) {
        self.record(Recorded::Received(name));
    }

    #[inline]
    pub(crate) fn sends(&mut self, name: &'static str) {
        self.record(Recorded::Sent(name));
    }

    pub(crate) fn signal(&mut self) {
        self.record(Recorded::Signal);
    }

    pub(crate) fn conclude(&mut self) {
        self.record(Recorded::Conclude);
    }
}

impl Ring {
    #[cold]
    fn empty() -> Box<Self> {
        Box::new(Self { events: [Recorded::Signal; RECORDED_EVENTS], recorded: 0 })
    }

    /// Oldest first.
    fn in_order(&self) -> Vec<Recorded> {
        let first = self.recorded.saturating_sub(RECORDED_EVENTS);
        (first..self.recorded).map(|index| self.events[index % RECORDED_EVENTS]).collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let events = self.ring.take().map(|ring| ring.in_order()).unwrap_or_default();
        *self.left_at.0.lock().unwrap_or_else(PoisonError::into_inner) = events;
    }
}

/// Events as one line.
pub(crate) fn line(events: &[Recorded]) -> String {
    events.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
