//! How a subsystem receives: its mailbox and its place in the signal log under one waker.

use std::task::{Context, Poll};

use crate::mailbox::EdgeId;
use crate::reader::Reader;
use crate::signal::{Cursor, Next, View};
use crate::sync::Ordering;

/// Deliveries in a row after which a busy reader lets others on its worker run at the latest.
pub const YIELD_EVERY: u32 = 1024;
/// The same in time, nanoseconds, as far as timed messages tell.
pub const YIELD_AFTER_NANOS: u64 = 100_000;
/// Of how many sleeps, or of how many deliveries without sleep, one is timed.
const TIMED_EVERY: u32 = 64;

/// What was received.
pub enum Incoming<T, U> {
    /// An entry of the signal log.
    Signal(U),
    /// A message.
    Message(T),
    /// The log is concluded; once.
    Conclude,
}

/// What the reader's clock is for at the moment.
#[derive(Clone, Copy)]
enum Timing {
    Off,
    BusySince(u64),
    IdleSince(u64),
}

/// Receives messages and signals such that no message overtakes a signal that its sender had seen.
pub struct Inbound<T: Send, V: View> {
    pub(crate) reader: Reader<T>,
    pub(crate) cursor: Cursor<V>,
    deliveries: u32,
    sleeps: u32,
    /// Since the last timed message.
    slept: bool,
    timing: Timing,
    /// The timed message that is being handled.
    handling: Option<(EdgeId, u64)>,
    /// When the first timed message since the last yield or sleep was delivered.
    awake_since: Option<u64>,
}

impl<T: Send, V: View> Inbound<T, V> {
    /// From a mailbox and a log.
    pub fn new(reader: Reader<T>, cursor: Cursor<V>) -> Self {
        Self {
            reader,
            cursor,
            deliveries: 0,
            sleeps: 0,
            slept: false,
            timing: Timing::Off,
            handling: None,
            awake_since: None,
        }
    }

    /// The place in the log.
    pub fn cursor(&self) -> &Cursor<V> {
        &self.cursor
    }

    /// Mailbox and place in the log for one who starts again: messages are kept, signals come as one catch-up.
    pub fn restart(&mut self) {
        self.cursor.restart();
        self.handling = None;
    }

    /// The next thing. After the end it goes on with the messages that are queued.
    ///
    /// # Cancel safety
    /// Nothing is taken before it is returned, so the caller may stop polling at any time.
    ///
    /// # Order
    /// A message is taken out first and the log looked at *after* that: whatever the message's sender had seen is
    /// visible by then. If there is a signal it goes first, and the message stays prepared until the log is read out.
    #[inline]
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming<T, V::Update>> {
        if self.handling.is_some() || matches!(self.timing, Timing::IdleSince(_)) {
            self.time_poll();
        }
        if self.deliveries >= YIELD_EVERY {
            self.deliveries = 0;
            self.awake_since = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.cursor.is_behind() {
            return self.signal();
        }
        if !self.reader.prepare(Some(cx.waker())) {
            // A signal published after the look above finds the waker that is left now, or is seen here.
            if self.cursor.is_behind() {
                return self.signal();
            }
            self.deliveries = 0;
            self.awake_since = None;
            self.time_sleep();
            return Poll::Pending;
        }
        // The look that the order rests on: the message is ours by now, so whatever its sender had seen is visible.
        if self.cursor.is_behind() {
            return self.signal();
        }
        let Some(taken) = self.reader.take() else { return Poll::Pending };
        if taken.stamp != 0 {
            self.time_message(taken.edge, taken.stamp);
        }
        self.deliveries += 1;
        Poll::Ready(Incoming::Message(taken.value))
    }

    fn signal(&mut self) -> Poll<Incoming<T, V::Update>> {
        self.deliveries += 1;
        Poll::Ready(match self.cursor.take_next() {
            Next::Update(update) => {
                self.reader.mailbox.of_reader.0.heard.store(self.cursor.heard(), Ordering::Relaxed);
                Incoming::Signal(update)
            }
            // Nothing is left but the end: this is called by who saw that there is something.
            Next::Concluded | Next::Nothing => Incoming::Conclude,
        })
    }

    #[cold]
    fn time_message(&mut self, edge: EdgeId, stamp: u64) {
        let meter = self.reader.mailbox().meter();
        let now = meter.now();
        meter.queued(edge, now.saturating_sub(stamp));
        self.handling = Some((edge, now));
        let since = *self.awake_since.get_or_insert(now);
        if now.saturating_sub(since) >= YIELD_AFTER_NANOS {
            self.deliveries = YIELD_EVERY;
        }
        // One who never sleeps is timed as well.
        let slept = std::mem::take(&mut self.slept);
        match self.timing {
            Timing::BusySince(since) => {
                meter.busy(now.saturating_sub(since));
                self.timing = Timing::BusySince(now);
            }
            Timing::Off if !slept => self.timing = Timing::BusySince(now),
            Timing::Off | Timing::IdleSince(_) => {}
        }
    }

    #[cold]
    fn time_poll(&mut self) {
        let meter = self.reader.mailbox().meter();
        if let Some((edge, since)) = self.handling.take() {
            meter.handled(edge, meter.now().saturating_sub(since));
        }
        if let Timing::IdleSince(since) = self.timing {
            let now = meter.now();
            meter.idle(now.saturating_sub(since));
            self.timing = Timing::BusySince(now);
        }
    }

    /// What is timed is one sleep in so many and the work that follows it, up to the next sleep.
    fn time_sleep(&mut self) {
        self.sleeps = self.sleeps.wrapping_add(1);
        self.slept = true;
        let meter = self.reader.mailbox().meter();
        match self.timing {
            Timing::BusySince(since) => {
                meter.busy(meter.now().saturating_sub(since));
                self.timing = Timing::Off;
            }
            Timing::Off if self.sleeps.is_multiple_of(TIMED_EVERY) => self.timing = Timing::IdleSince(meter.now()),
            Timing::Off | Timing::IdleSince(_) => {}
        }
    }
}
