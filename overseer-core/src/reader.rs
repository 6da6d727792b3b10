//! The reading side of a mailbox.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use crate::mailbox::{EdgeId, Item, Mailbox, State, UsedUp, wake_all};
use crate::sync::Ordering;

/// High-lane deliveries after which one normal message is delivered.
pub const HIGH_BURST_MAX: u32 = 16;

/// Messages after which their places are given back at the latest, while there is more to deliver. A smaller mailbox
/// gives them back by halves, as every mailbox does with bytes: one wake of a waiting sender is paid for by many of its
/// messages.
pub const RELEASE_EVERY: u32 = 512;
/// Places of memory that an idle queue may keep for ever.
pub(crate) const KEPT_CAPACITY: usize = 64;
/// Sleeps in a row after which a queue that did not need more gives its memory back.
const KEPT_SLEEPS: u32 = 16;

/// A message taken out, and when it was sent if it is one of the timed.
pub struct Taken<T> {
    /// The message.
    pub value: T,
    /// Which sender's.
    pub edge: EdgeId,
    /// Nanoseconds; 0 if it is not timed.
    pub stamp: u64,
}

/// What tells wakers apart while they live.
pub(crate) fn identity(waker: &Waker) -> [usize; 2] {
    [waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr()]
}

/// The reading side. Dropping it closes the mailbox: waiting senders are told, queued questions are dropped.
///
/// What every delivery writes comes first, in one cache line.
#[repr(C, align(64))]
pub struct Reader<T: Send> {
    pub(crate) mailbox: Arc<Mailbox<T>>,
    pub(crate) batch: VecDeque<Item<T>>,
    used_up: UsedUp,
    /// Used up since this side gave anything back.
    spent: u32,
    spent_bytes: u32,
    /// When to give them back.
    spent_max: u32,
    spent_bytes_max: u32,
    high_in_a_row: u32,
    /// Sleeps in a row in which the queues' memory was far too large.
    oversized: u32,
    /// One of the high lane, to be delivered before the batch.
    pub(crate) urgent: Option<Item<T>>,
    /// Senders to wake; kept for its memory.
    pub(crate) wakers: Vec<Waker>,
}

impl<T: Send> Reader<T> {
    /// The reader of a mailbox: there is one.
    pub fn new(mailbox: Arc<Mailbox<T>>) -> Self {
        let limits = mailbox.limits();
        let half = |limit: usize| u32::try_from(limit / 2).unwrap_or(u32::MAX).max(1);
        Self {
            mailbox,
            batch: VecDeque::new(),
            urgent: None,
            used_up: UsedUp::default(),
            spent: 0,
            spent_bytes: 0,
            spent_max: half(limits.messages).min(RELEASE_EVERY),
            spent_bytes_max: half(limits.bytes),
            high_in_a_row: 0,
            oversized: 0,
            wakers: Vec::new(),
        }
    }

    /// The mailbox it reads.
    pub fn mailbox(&self) -> &Arc<Mailbox<T>> {
        &self.mailbox
    }

    /// Takes the next message out of what is shared with the senders, to be [taken](Self::take). The high lane is
    /// looked at each time, whatever was taken out before. `false`: there is none, and the waker was left for the next.
    #[inline]
    pub fn prepare(&mut self, waker: Option<&Waker>) -> bool {
        if self.urgent.is_some() {
            return true;
        }
        if self.mailbox.of_reader.0.high_waiting.load(Ordering::Acquire) && self.prepare_high() {
            return true;
        }
        !self.batch.is_empty() || self.refill(waker)
    }

    /// The message that was [prepared](Self::prepare); `None` if none was.
    #[inline]
    pub fn take(&mut self) -> Option<Taken<T>> {
        let item = match self.urgent.take() {
            Some(item) => item,
            None => {
                self.high_in_a_row = 0;
                self.batch.pop_front()?
            }
        };
        if item.place() == 0 {
            // Those before it: the one that is delivered now counts until the next is asked for.
            if self.spent >= self.spent_max || self.spent_bytes >= self.spent_bytes_max {
                self.release();
            } else {
                self.tell();
            }
            self.used_up.add(item.bytes());
            self.spent += 1;
            self.spent_bytes += item.bytes();
        } else {
            self.release_extra(item.place(), item.bytes());
        }
        Some(Taken { edge: item.edge(), stamp: item.stamp, value: item.value })
    }

    /// The next message, if there is one; leaves no waker.
    pub fn pop(&mut self) -> Option<Taken<T>> {
        if self.prepare(None) { self.take() } else { None }
    }

    /// One from the high lane, unless it is the turn of the normal one.
    fn prepare_high(&mut self) -> bool {
        let mut state = self.mailbox.lock();
        if self.high_in_a_row >= HIGH_BURST_MAX && !(self.batch.is_empty() && state.normal.is_empty()) {
            return false;
        }
        self.urgent = state.high.pop_front();
        if state.high.is_empty() {
            self.mailbox.of_reader.0.high_waiting.store(false, Ordering::Release);
        }
        // The lock is held anyway: what was used is given back at once, so that a flood here starves no waiting sender.
        self.tell();
        (self.spent, self.spent_bytes) = (0, 0);
        self.mailbox.settle(&mut state, self.used_up, &mut self.wakers);
        drop(state);
        wake_all(&mut self.wakers);
        self.high_in_a_row += u32::from(self.urgent.is_some());
        self.urgent.is_some()
    }

    /// A budget is what is in flight, so its place is free as soon as the message is delivered.
    #[cold]
    fn release_extra(&mut self, place: u16, bytes: u32) {
        let mut state = self.mailbox.lock();
        if let Some((_, taken)) = state.extra.get_mut(usize::from(place) - 1) {
            *taken -= 1;
        }
        self.mailbox.of_reader.0.extra_used_up.fetch_add(1, Ordering::Relaxed);
        self.mailbox.release(&mut state, 0, bytes, &mut self.wakers);
        drop(state);
        wake_all(&mut self.wakers);
    }

    /// Lets those who cast see what was used up.
    #[inline]
    fn tell(&self) {
        self.mailbox.of_reader.0.used_up.store(self.used_up.to_bits(), Ordering::Relaxed);
    }

    /// Tells what was used up, to be [settled](Mailbox::settle) under the lock.
    pub(crate) fn tell_all(&mut self) -> UsedUp {
        self.tell();
        (self.spent, self.spent_bytes) = (0, 0);
        self.used_up
    }

    /// Gives back what was used, while there is more in the batch.
    fn release(&mut self) {
        let used_up = self.tell_all();
        self.mailbox.settle(&mut self.mailbox.lock(), used_up, &mut self.wakers);
        wake_all(&mut self.wakers);
    }

    /// Gives back what was used and takes all that is queued: no message is moved under the lock, the two queues change
    /// places. If nothing is queued the waker is left under the same lock.
    fn refill(&mut self, waker: Option<&Waker>) -> bool {
        // Looked at first: while it is there it lives, so that no other has its identity.
        let is_armed = self.mailbox.is_armed.load(Ordering::Acquire);
        if is_armed && waker.is_some_and(|waker| self.has_left(waker)) {
            // Nothing has come since it was left. Whoever takes it wakes this task.
            if self.spent > 0 {
                self.tell();
            }
            return false;
        }
        // Else nothing is written: who hears signals only keeps this cache line for reading.
        let used_up = (self.spent > 0).then(|| self.tell_all());
        // Dropped after the lock, as every waker: it may be the last handle of a task.
        let mut replaced = None;
        let mut state = self.mailbox.lock();
        if let Some(used_up) = used_up {
            self.mailbox.settle(&mut state, used_up, &mut self.wakers);
        }
        let is_small = state.normal.capacity().max(self.batch.capacity()) <= KEPT_CAPACITY;
        let found = if !state.normal.is_empty() {
            std::mem::swap(&mut state.normal, &mut self.batch);
            state.taken_out();
            true
        } else if !state.high.is_empty() {
            // Put in after the flag was looked at.
            self.urgent = state.high.pop_front();
            self.high_in_a_row = 1;
            if state.high.is_empty() {
                self.mailbox.of_reader.0.high_waiting.store(false, Ordering::Release);
            }
            true
        } else {
            if !is_small {
                Self::shrink(&mut self.oversized, &mut self.batch, &mut state);
            }
            false
        };
        // After a single message there is most likely none: who will sleep next leaves its waker now, and need not come
        // for that again.
        let sleeps_next = !found || (self.batch.len() == 1 && is_small && state.is_roomy(self.mailbox.limits()));
        if let Some(waker) = waker.filter(|_| sleeps_next) {
            self.mailbox.owes.store(found, Ordering::Relaxed);
            if !state.reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
                replaced = state.reader.replace(waker.clone());
                self.leaves(waker);
                self.mailbox.is_armed.store(true, Ordering::Release);
            }
        }
        drop(state);
        drop(replaced);
        if found && self.batch.len() > KEPT_CAPACITY {
            self.oversized = 0;
        }
        if !self.wakers.is_empty() {
            wake_all(&mut self.wakers);
        }
        found
    }

    fn has_left(&self, waker: &Waker) -> bool {
        self.mailbox.of_reader.0.left.each_ref().map(|left| left.load(Ordering::Relaxed)) == identity(waker)
    }

    fn leaves(&self, waker: &Waker) {
        for (left, part) in self.mailbox.of_reader.0.left.iter().zip(identity(waker)) {
            left.store(part, Ordering::Relaxed);
        }
    }

    /// Gives back the memory of queues that are empty, if they needed no more than a little for long.
    #[cold]
    fn shrink(oversized: &mut u32, batch: &mut VecDeque<Item<T>>, state: &mut State<T>) {
        *oversized += 1;
        if *oversized >= KEPT_SLEEPS {
            *oversized = 0;
            (state.normal, *batch) = (VecDeque::new(), VecDeque::new());
            state.high = VecDeque::new();
        }
    }
}

impl<T: Send> Drop for Reader<T> {
    fn drop(&mut self) {
        self.batch.extend(self.urgent.take());
        self.mailbox.close(std::mem::take(&mut self.batch));
    }
}
