//! How a subsystem receives: its mailbox and its place in the signal log under one waker.

use std::task::{Context, Poll};

use crate::mailbox::EdgeId;
use crate::reader::Reader;
use crate::signal::{Cursor, Next, View};
use crate::sync::Ordering;

/// Deliveries in a row after which a busy reader lets others on its worker run at the latest.
pub const YIELD_EVERY: u16 = 1024;
/// The same in time, nanoseconds, as far as timed messages tell.
pub const YIELD_AFTER_NANOS: u64 = 100_000;
/// Of how many sleeps one is timed, with the work that follows it.
const TIMED_EVERY: u8 = 64;
/// Timed messages without a sleep between, after which the reader's work is timed up to its next sleep, and that sleep
/// with it: one who never sleeps is not left out, and one who works in bursts does not count for more than it works.
const NEVER_SLEEPS: u8 = 64;

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
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timing {
    Off,
    Busy,
    Idle,
}

/// Receives messages and signals such that no message overtakes a signal that its sender had seen.
///
/// What every poll writes comes first: when a reader goes on on another core, that core has to fetch it.
#[repr(C)]
pub struct Inbound<T: Send, V: View> {
    turn: TurnClock,
    pub(crate) cursor: Cursor<V>,
    pub(crate) reader: Reader<T>,
}

/// How long the reader has been at it, in deliveries and as far as it is timed.
struct TurnClock {
    /// When the timed message that is being handled was delivered; 0 if there is none.
    handling_since: u64,
    /// When the first timed message since the last yield or sleep was delivered; 0 if there was none.
    awake_since: u64,
    /// Since when it is [timed](Timing).
    timed_since: u64,
    /// Since the last yield or sleep.
    deliveries: u16,
    /// The edge of the timed message that is being handled.
    handling: EdgeId,
    /// Below [`TIMED_EVERY`]: the first is timed.
    sleeps: u8,
    /// Timed messages since the last sleep.
    timed_in_a_row: u8,
    timing: Timing,
}

impl<T: Send, V: View> Inbound<T, V> {
    /// From a mailbox and a log.
    pub fn new(reader: Reader<T>, cursor: Cursor<V>) -> Self {
        let turn = TurnClock {
            handling_since: 0,
            awake_since: 0,
            timed_since: 0,
            deliveries: 0,
            handling: EdgeId(0),
            sleeps: 0,
            timed_in_a_row: 0,
            timing: Timing::Off,
        };
        Self { turn, cursor, reader }
    }

    /// The place in the log.
    pub fn cursor(&self) -> &Cursor<V> {
        &self.cursor
    }

    /// Mailbox and place in the log for one who starts again: messages are kept, signals come as one catch-up.
    pub fn restart(&mut self) {
        self.cursor.restart();
        self.turn.handling_since = 0;
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
        if self.turn.handling_since != 0 || self.turn.timing == Timing::Idle {
            self.time_poll();
        }
        if self.turn.deliveries >= YIELD_EVERY {
            self.turn.deliveries = 0;
            self.turn.awake_since = 0;
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
            self.turn.deliveries = 0;
            self.turn.awake_since = 0;
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
        self.turn.deliveries += 1;
        Poll::Ready(Incoming::Message(taken.value))
    }

    fn signal(&mut self) -> Poll<Incoming<T, V::Update>> {
        self.turn.deliveries += 1;
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
        let (meter, turn) = (self.reader.mailbox().meter(), &mut self.turn);
        let now = meter.now();
        meter.queued(edge, now.saturating_sub(stamp));
        (turn.handling, turn.handling_since) = (edge, now);
        if turn.awake_since == 0 {
            turn.awake_since = now;
        }
        if now.saturating_sub(turn.awake_since) >= YIELD_AFTER_NANOS {
            turn.deliveries = YIELD_EVERY;
        }
        turn.timed_in_a_row = turn.timed_in_a_row.saturating_add(1);
        match turn.timing {
            Timing::Busy => {
                meter.busy(now.saturating_sub(turn.timed_since));
                turn.timed_since = now;
            }
            Timing::Off if turn.timed_in_a_row >= NEVER_SLEEPS => (turn.timing, turn.timed_since) = (Timing::Busy, now),
            Timing::Off | Timing::Idle => {}
        }
    }

    #[cold]
    fn time_poll(&mut self) {
        let (meter, turn) = (self.reader.mailbox().meter(), &mut self.turn);
        let since = std::mem::take(&mut turn.handling_since);
        if since != 0 {
            meter.handled(turn.handling, meter.now().saturating_sub(since));
        }
        if turn.timing == Timing::Idle {
            let now = meter.now();
            meter.idle(now.saturating_sub(turn.timed_since));
            (turn.timing, turn.timed_since) = (Timing::Busy, now);
        }
    }

    /// What is timed is one sleep in so many and the work that follows it, up to the next sleep.
    fn time_sleep(&mut self) {
        let (meter, turn) = (self.reader.mailbox().meter(), &mut self.turn);
        let is_due = std::mem::take(&mut turn.timed_in_a_row) >= NEVER_SLEEPS || turn.sleeps == 0;
        turn.sleeps = (turn.sleeps + 1) % TIMED_EVERY;
        if turn.timing == Timing::Busy {
            meter.busy(meter.now().saturating_sub(turn.timed_since));
            turn.timing = Timing::Off;
        }
        if is_due {
            (turn.timing, turn.timed_since) = (Timing::Idle, meter.sleeps());
        }
    }
}
