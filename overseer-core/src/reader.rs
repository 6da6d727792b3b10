//! The reading side of a mailbox.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use crate::mailbox::{BATCH_MAX, EdgeId, Item, Mailbox, wake_all};
use crate::sync::{Ordering, lock};

/// High-lane deliveries after which one normal message is delivered.
pub const HIGH_BURST_MAX: u32 = 16;

/// A message taken out, and when it was sent if it is one of the timed.
pub struct Taken<T> {
    /// The message.
    pub value: T,
    /// Which sender's.
    pub edge: EdgeId,
    /// Nanoseconds; 0 if it is not timed.
    pub stamp: u64,
}

/// The reading side. Dropping it closes the mailbox: waiting senders are told, queued questions are dropped.
pub struct Reader<T: Send> {
    mailbox: Arc<Mailbox<T>>,
    batch: VecDeque<Item<T>>,
    /// Used up, not yet given back.
    spent: usize,
    spent_bytes: usize,
    high_in_a_row: u32,
    /// Senders to wake; kept for its memory.
    wakers: Vec<Waker>,
}

impl<T: Send> Reader<T> {
    /// The reader of a mailbox: there is one.
    pub fn new(mailbox: Arc<Mailbox<T>>) -> Self {
        Self { mailbox, batch: VecDeque::new(), spent: 0, spent_bytes: 0, high_in_a_row: 0, wakers: Vec::new() }
    }

    /// The mailbox it reads.
    pub fn mailbox(&self) -> &Arc<Mailbox<T>> {
        &self.mailbox
    }

    /// The next message, if there is one. The high lane is looked at before each, whatever was taken out before.
    #[inline]
    pub fn pop(&mut self) -> Option<Taken<T>> {
        if self.mailbox.high_waiting.0.load(Ordering::Acquire)
            && let Some(item) = self.pop_high()
        {
            return Some(self.spend(item));
        }
        self.high_in_a_row = 0;
        if self.batch.is_empty() {
            self.refill();
        }
        let item = self.batch.pop_front()?;
        Some(self.spend(item))
    }

    /// One from the high lane, unless it is the turn of the normal one.
    fn pop_high(&mut self) -> Option<Item<T>> {
        let mut state = lock(&self.mailbox.state);
        if self.high_in_a_row >= HIGH_BURST_MAX && !(self.batch.is_empty() && state.normal.is_empty()) {
            return None;
        }
        let item = state.high.pop_front();
        if state.high.is_empty() {
            self.mailbox.high_waiting.0.store(false, Ordering::Release);
        }
        // The lock is held anyway: what was used is given back at once, so that a flood here starves no waiting sender.
        let (spent, spent_bytes) = (std::mem::take(&mut self.spent), std::mem::take(&mut self.spent_bytes));
        self.mailbox.release(&mut state, spent, spent_bytes, &mut self.wakers);
        drop(state);
        wake_all(&mut self.wakers);
        self.high_in_a_row += u32::from(item.is_some());
        item
    }

    #[inline]
    fn spend(&mut self, item: Item<T>) -> Taken<T> {
        if item.place == 0 {
            self.spent += 1;
            self.spent_bytes += item.bytes as usize;
        } else if let Some((_, taken)) = lock(&self.mailbox.state).extra.get_mut(usize::from(item.place) - 1) {
            // A budget is what is in flight, so its place is free as soon as the message is delivered.
            *taken -= 1;
        }
        Taken { value: item.value, edge: item.edge, stamp: item.stamp }
    }

    /// Gives back what was used and takes the next batch.
    fn refill(&mut self) {
        {
            let mut state = lock(&self.mailbox.state);
            let (spent, spent_bytes) = (std::mem::take(&mut self.spent), std::mem::take(&mut self.spent_bytes));
            self.mailbox.release(&mut state, spent, spent_bytes, &mut self.wakers);
            if state.normal.len() <= BATCH_MAX {
                // The usual case: no message is moved under the lock, the two queues change places.
                std::mem::swap(&mut state.normal, &mut self.batch);
            } else {
                self.batch.extend(state.normal.drain(..BATCH_MAX));
            }
        }
        wake_all(&mut self.wakers);
    }

    /// Leaves the waker, unless there is something to read already. Call when [`pop`](Self::pop) found nothing.
    pub fn sleep(&mut self, waker: &Waker) -> bool {
        let mut state = lock(&self.mailbox.state);
        if !state.normal.is_empty() || !state.high.is_empty() {
            return false;
        }
        match &mut state.reader {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        // An idle queue holds no memory of its last flood.
        if state.normal.capacity() > BATCH_MAX {
            state.normal = VecDeque::new();
        }
        if state.high.capacity() > BATCH_MAX {
            state.high = VecDeque::new();
        }
        drop(state);
        if self.batch.capacity() > BATCH_MAX {
            self.batch = VecDeque::new();
        }
        true
    }
}

impl<T: Send> Drop for Reader<T> {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}
