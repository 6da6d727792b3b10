//! The mailbox: bounded in messages and bytes, two lanes, one reader, one waker.
//!
//! One short mutex around two deques. The reader takes out a batch of messages per lock and counts them
//! against the limit until it has used them. Waiting senders are granted places first come, first served; a sender that
//! is dropped while it waits has put nothing in and passes on a place that it had been granted.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::message::{Inbox, Lane, WhenFull};
use crate::signal::Wakeable;

/// Messages that the reader takes out per lock.
pub(crate) const BATCH_MAX: usize = 64;
/// High-lane deliveries after which one normal message is delivered.
const HIGH_BURST_MAX: u32 = 16;

/// The limits of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Messages waiting or being delivered.
    pub messages: usize,
    /// Their bytes. A single larger message is refused at once.
    pub bytes: usize,
}

impl Default for MailboxLimits {
    /// 1,024 messages, 64 MiB: some PoVs of 10 MiB fit, a flood of them does not.
    fn default() -> Self {
        Self { messages: 1024, bytes: 64 * 1024 * 1024 }
    }
}

/// Why a cast was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedReason {
    /// The queue is full and the message is lossy, or all places of its kind are taken.
    #[error("queue is full")]
    Full,
    /// More messages in flight than the sender's declared budget: an invariant of the sender is broken.
    #[error("more in flight than the budget of {0}")]
    OverBudget(usize),
    /// The message alone is larger than the mailbox.
    #[error("message is larger than the mailbox")]
    TooLarge,
    /// The consumer has ended.
    #[error("consumer has ended")]
    Closed,
}

struct Item<T> {
    value: T,
    bytes: usize,
    place: Place,
}

/// Which limit a queued message counts against.
#[derive(Clone, Copy)]
enum Place {
    /// The queue's own.
    Ordinary,
    /// Places of one message type beyond the queue's limit.
    Extra(&'static str),
}

#[derive(Default)]
struct Grant {
    granted: bool,
    closed: bool,
    waker: Option<Waker>,
}

struct Waiter {
    bytes: usize,
    grant: Arc<Mutex<Grant>>,
}

struct State<T> {
    normal: VecDeque<Item<T>>,
    high: VecDeque<Item<T>>,
    /// Places and bytes taken: queued, in the reader's batch, or granted.
    used: usize,
    used_bytes: usize,
    extra: BTreeMap<&'static str, usize>,
    waiters: VecDeque<Waiter>,
    reader: Option<Waker>,
    closed: bool,
}

/// The shared part of a mailbox; senders hold it.
pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    limits: MailboxLimits,
    high_waiting: AtomicBool,
    /// Length and fill for metrics, without the lock.
    length: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Inbox> Mailbox<T> {
    pub(crate) fn new(limits: MailboxLimits) -> Self {
        Self {
            state: Mutex::new(State {
                normal: VecDeque::new(),
                high: VecDeque::new(),
                used: 0,
                used_bytes: 0,
                extra: BTreeMap::new(),
                waiters: VecDeque::new(),
                reader: None,
                closed: false,
            }),
            limits,
            high_waiting: AtomicBool::new(false),
            length: AtomicUsize::new(0),
        }
    }

    /// Messages waiting, not counting the reader's batch.
    pub(crate) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    pub(crate) fn limits(&self) -> MailboxLimits {
        self.limits
    }

    fn fits(&self, state: &State<T>, bytes: usize) -> bool {
        state.used < self.limits.messages && state.used_bytes + bytes <= self.limits.bytes
    }

    /// Puts an item in and returns the reader to wake, if it sleeps.
    fn push(&self, state: &mut State<T>, lane: Lane, item: Item<T>) -> Option<Waker> {
        match lane {
            Lane::Normal => state.normal.push_back(item),
            Lane::High => {
                state.high.push_back(item);
                self.high_waiting.store(true, Ordering::Release);
            }
        }
        self.length.store(state.normal.len() + state.high.len(), Ordering::Relaxed);
        state.reader.take()
    }

    /// Takes a place at once if there is one and nobody waits for it.
    pub(crate) fn try_send(&self, value: T, bytes: usize, lane: Lane) -> Result<(), (T, RefusedReason)> {
        if bytes > self.limits.bytes {
            return Err((value, RefusedReason::TooLarge));
        }
        let waker = {
            let mut state = lock(&self.state);
            if state.closed {
                return Err((value, RefusedReason::Closed));
            }
            if !state.waiters.is_empty() || !self.fits(&state, bytes) {
                return Err((value, RefusedReason::Full));
            }
            state.used += 1;
            state.used_bytes += bytes;
            self.push(&mut state, lane, Item { value, bytes, place: Place::Ordinary })
        };
        wake(waker);
        Ok(())
    }

    /// A cast: [`try_send`](Self::try_send), then what the message says for a full queue.
    pub(crate) fn cast(
        &self,
        value: T,
        bytes: usize,
        lane: Lane,
        name: &'static str,
        when_full: WhenFull,
    ) -> Result<(), (T, RefusedReason)> {
        let value = match self.try_send(value, bytes, lane) {
            Err((value, RefusedReason::Full)) => value,
            other => return other,
        };
        let (places, over) = match when_full {
            WhenFull::Lossy | WhenFull::Outbox(_) => return Err((value, RefusedReason::Full)),
            WhenFull::Merged(places) => (places, RefusedReason::Full),
            WhenFull::Budgeted(places) => (places, RefusedReason::OverBudget(places)),
        };
        let mut state = lock(&self.state);
        if state.closed {
            return Err((value, RefusedReason::Closed));
        }
        let mut value = value;
        if matches!(when_full, WhenFull::Merged(_)) {
            for queued in state.normal.iter_mut().rev() {
                match queued.value.merge(value) {
                    None => return Ok(()),
                    Some(unmerged) => value = unmerged,
                }
            }
        }
        let taken = state.extra.entry(name).or_insert(0);
        if *taken >= places {
            return Err((value, over));
        }
        *taken += 1;
        let waker = self.push(&mut state, lane, Item { value, bytes, place: Place::Extra(name) });
        drop(state);
        wake(waker);
        Ok(())
    }

    /// Waits for a place. First come, first served; dropping the future gives the place back.
    pub(crate) fn reserve(&self, bytes: usize) -> Reserve<'_, T> {
        Reserve { mailbox: self, bytes, grant: None }
    }

    /// Uses a place that was reserved.
    fn send_reserved(&self, value: T, bytes: usize, lane: Lane) -> Result<(), T> {
        let waker = {
            let mut state = lock(&self.state);
            if state.closed {
                return Err(value);
            }
            self.push(&mut state, lane, Item { value, bytes, place: Place::Ordinary })
        };
        wake(waker);
        Ok(())
    }

    /// Gives back places and grants them to those who wait, in order.
    fn release(&self, state: &mut State<T>, places: usize, bytes: usize) -> Vec<Waker> {
        state.used -= places;
        state.used_bytes -= bytes;
        let mut wakers = Vec::new();
        while let Some(waiter) = state.waiters.front() {
            if !self.fits(state, waiter.bytes) {
                break;
            }
            let Some(waiter) = state.waiters.pop_front() else { break };
            state.used += 1;
            state.used_bytes += waiter.bytes;
            let mut grant = lock(&waiter.grant);
            grant.granted = true;
            wakers.extend(grant.waker.take());
        }
        wakers
    }

    fn close(&self) {
        let (wakers, items) = {
            let mut state = lock(&self.state);
            state.closed = true;
            state.reader = None;
            let wakers: Vec<Waker> = std::mem::take(&mut state.waiters)
                .into_iter()
                .filter_map(|waiter| {
                    let mut grant = lock(&waiter.grant);
                    grant.closed = true;
                    grant.waker.take()
                })
                .collect();
            self.length.store(0, Ordering::Relaxed);
            (wakers, (std::mem::take(&mut state.normal), std::mem::take(&mut state.high)))
        };
        wakers.into_iter().for_each(Waker::wake);
        // Dropped outside the lock: a message may own a way back whose drop runs foreign code.
        drop(items);
    }
}

impl<T: Inbox> Wakeable for Mailbox<T> {
    fn wake(&self) {
        let waker = lock(&self.state).reader.take();
        wake(waker);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A place in a mailbox, not yet used. Dropping it gives the place back.
pub(crate) struct Permit<'a, T: Inbox> {
    mailbox: &'a Mailbox<T>,
    bytes: usize,
    used: bool,
}

impl<T: Inbox> Permit<'_, T> {
    pub(crate) fn send(mut self, value: T, lane: Lane) -> Result<(), T> {
        self.used = true;
        self.mailbox.send_reserved(value, self.bytes, lane)
    }
}

impl<T: Inbox> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        if !self.used {
            let wakers = {
                let mut state = lock(&self.mailbox.state);
                self.mailbox.release(&mut state, 1, self.bytes)
            };
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// Waits for a place in a mailbox.
pub(crate) struct Reserve<'a, T: Inbox> {
    mailbox: &'a Mailbox<T>,
    bytes: usize,
    grant: Option<Arc<Mutex<Grant>>>,
}

impl<'a, T: Inbox> Future for Reserve<'a, T> {
    type Output = Result<Permit<'a, T>, RefusedReason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (mailbox, bytes) = (self.mailbox, self.bytes);
        if let Some(grant) = &self.grant {
            let mut grant = lock(grant);
            if grant.closed {
                drop(grant);
                self.grant = None;
                return Poll::Ready(Err(RefusedReason::Closed));
            }
            if grant.granted {
                drop(grant);
                self.grant = None;
                return Poll::Ready(Ok(Permit { mailbox, bytes, used: false }));
            }
            grant.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if bytes > mailbox.limits.bytes {
            return Poll::Ready(Err(RefusedReason::TooLarge));
        }
        let mut state = lock(&mailbox.state);
        if state.closed {
            return Poll::Ready(Err(RefusedReason::Closed));
        }
        if state.waiters.is_empty() && mailbox.fits(&state, bytes) {
            state.used += 1;
            state.used_bytes += bytes;
            return Poll::Ready(Ok(Permit { mailbox, bytes, used: false }));
        }
        let grant = Arc::new(Mutex::new(Grant { waker: Some(cx.waker().clone()), ..Grant::default() }));
        state.waiters.push_back(Waiter { bytes, grant: grant.clone() });
        drop(state);
        self.grant = Some(grant);
        Poll::Pending
    }
}

impl<T: Inbox> Drop for Reserve<'_, T> {
    fn drop(&mut self) {
        let Some(grant) = self.grant.take() else { return };
        let wakers = {
            let mut state = lock(&self.mailbox.state);
            state.waiters.retain(|waiter| !Arc::ptr_eq(&waiter.grant, &grant));
            let granted = lock(&grant).granted;
            if granted {
                self.mailbox.release(&mut state, 1, self.bytes)
            } else {
                // The one behind us may fit where we did not.
                self.mailbox.release(&mut state, 0, 0)
            }
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The reading side. Dropping it closes the mailbox: waiting senders are told, queued questions are dropped.
pub(crate) struct Reader<T: Inbox> {
    mailbox: Arc<Mailbox<T>>,
    batch: VecDeque<Item<T>>,
    /// Used up from the batch, not yet given back.
    spent: usize,
    spent_bytes: usize,
    high_in_a_row: u32,
}

impl<T: Inbox> Reader<T> {
    pub(crate) fn new(mailbox: Arc<Mailbox<T>>) -> Self {
        Self { mailbox, batch: VecDeque::new(), spent: 0, spent_bytes: 0, high_in_a_row: 0 }
    }

    /// The next message, if there is one.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let high_waiting = self.mailbox.high_waiting.load(Ordering::Acquire);
        let may_burst = |reader: &Self| {
            reader.high_in_a_row < HIGH_BURST_MAX || (reader.batch.is_empty() && !reader.normal_waiting())
        };
        if high_waiting
            && may_burst(self)
            && let Some(value) = self.pop_high()
        {
            self.high_in_a_row += 1;
            return Some(value);
        }
        self.high_in_a_row = 0;
        if self.batch.is_empty() {
            self.refill();
        }
        let item = self.batch.pop_front()?;
        self.spend(item.bytes, item.place);
        Some(item.value)
    }

    fn normal_waiting(&self) -> bool {
        !lock(&self.mailbox.state).normal.is_empty()
    }

    fn pop_high(&mut self) -> Option<T> {
        let mut state = lock(&self.mailbox.state);
        let item = state.high.pop_front();
        if state.high.is_empty() {
            self.mailbox.high_waiting.store(false, Ordering::Release);
        }
        self.mailbox.length.store(state.normal.len() + state.high.len(), Ordering::Relaxed);
        drop(state);
        let item = item?;
        self.spend(item.bytes, item.place);
        Some(item.value)
    }

    fn spend(&mut self, bytes: usize, place: Place) {
        match place {
            Place::Ordinary => {
                self.spent += 1;
                self.spent_bytes += bytes;
            }
            Place::Extra(name) => {
                if let Some(taken) = lock(&self.mailbox.state).extra.get_mut(name) {
                    *taken -= 1;
                }
            }
        }
    }

    /// Gives back what was used and takes the next batch.
    fn refill(&mut self) {
        let wakers = {
            let mut state = lock(&self.mailbox.state);
            let (spent, spent_bytes) = (std::mem::take(&mut self.spent), std::mem::take(&mut self.spent_bytes));
            let wakers = self.mailbox.release(&mut state, spent, spent_bytes);
            let count = state.normal.len().min(BATCH_MAX);
            self.batch.extend(state.normal.drain(..count));
            if state.normal.is_empty() && state.normal.capacity() > BATCH_MAX {
                // An idle queue holds no memory of its last flood.
                state.normal = VecDeque::new();
            }
            self.mailbox.length.store(state.normal.len() + state.high.len(), Ordering::Relaxed);
            wakers
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Leaves the waker, unless there is something to read already. Call when [`pop`](Self::pop) found nothing.
    pub(crate) fn sleep(&mut self, waker: &Waker) -> bool {
        let mut state = lock(&self.mailbox.state);
        if !state.normal.is_empty() || !state.high.is_empty() {
            return false;
        }
        match &mut state.reader {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }
}

impl<T: Inbox> Drop for Reader<T> {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use futures::task::noop_waker;

    struct Number(u32);
    impl Inbox for Number {
        fn merge(&mut self, newer: Self) -> Option<Self> {
            if self.0 % 10 == newer.0 % 10 {
                self.0 = newer.0;
                None
            } else {
                Some(newer)
            }
        }
        fn message_name(&self) -> &'static str {
            "Number"
        }
    }

    fn mailbox(messages: usize) -> (Arc<Mailbox<Number>>, Reader<Number>) {
        let mailbox = Arc::new(Mailbox::new(MailboxLimits { messages, bytes: 100 }));
        (mailbox.clone(), Reader::new(mailbox))
    }

    fn put(mailbox: &Mailbox<Number>, number: u32, lane: Lane) -> Result<(), RefusedReason> {
        mailbox.try_send(Number(number), 1, lane).map_err(|(_, reason)| reason)
    }

    #[test]
    fn full_refuses_and_a_used_batch_frees() {
        let (mailbox, mut reader) = mailbox(2);
        put(&mailbox, 1, Lane::Normal).unwrap();
        put(&mailbox, 2, Lane::Normal).unwrap();
        assert_eq!(put(&mailbox, 3, Lane::Normal), Err(RefusedReason::Full));
        assert_eq!(reader.pop().map(|n| n.0), Some(1));
        assert_eq!(put(&mailbox, 3, Lane::Normal), Err(RefusedReason::Full), "the batch still counts");
        assert_eq!(reader.pop().map(|n| n.0), Some(2));
        assert!(reader.pop().is_none());
        put(&mailbox, 3, Lane::Normal).unwrap();
    }

    #[test]
    fn bytes_are_bounded_and_too_large_is_said_at_once() {
        let (mailbox, _reader) = mailbox(10);
        assert!(matches!(mailbox.try_send(Number(1), 101, Lane::Normal), Err((Number(1), RefusedReason::TooLarge))));
        mailbox.try_send(Number(1), 60, Lane::Normal).map_err(|_| ()).unwrap();
        assert!(matches!(mailbox.try_send(Number(2), 60, Lane::Normal), Err((Number(2), RefusedReason::Full))));
    }

    #[test]
    fn waiting_senders_are_served_in_order_and_a_dropped_one_passes_its_place_on() {
        let (mailbox, mut reader) = mailbox(1);
        put(&mailbox, 1, Lane::Normal).unwrap();
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut first = Box::pin(mailbox.reserve(1));
        let mut second = Box::pin(mailbox.reserve(1));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert_eq!(reader.pop().map(|n| n.0), Some(1));
        assert!(reader.pop().is_none(), "the empty batch gives its place back");
        assert!(second.as_mut().poll(&mut cx).is_pending(), "the place belongs to the first");
        drop(first);
        let Poll::Ready(Ok(permit)) = second.as_mut().poll(&mut cx) else { panic!("the place was passed on") };
        permit.send(Number(2), Lane::Normal).map_err(|_| ()).unwrap();
        assert_eq!(reader.pop().map(|n| n.0), Some(2));
    }

    #[test]
    fn an_unused_permit_gives_its_place_back() {
        let (mailbox, _reader) = mailbox(1);
        drop(mailbox.reserve(1).now_or_never().unwrap().map_err(|_| ()).unwrap());
        put(&mailbox, 1, Lane::Normal).unwrap();
    }

    #[test]
    fn the_high_lane_is_first_and_does_not_starve_the_normal_one() {
        let (mailbox, mut reader) = mailbox(64);
        for number in 0..20 {
            put(&mailbox, number, Lane::High).unwrap();
        }
        put(&mailbox, 100, Lane::Normal).unwrap();
        let order: Vec<u32> = std::iter::from_fn(|| reader.pop().map(|n| n.0)).collect();
        assert_eq!(order.iter().position(|n| *n == 100), Some(HIGH_BURST_MAX as usize));
        assert_eq!(order.len(), 21);
    }

    #[test]
    fn a_full_queue_merges_by_key_and_reserves_budgets() {
        let (mailbox, mut reader) = mailbox(1);
        let cast = |number, when_full| {
            mailbox.cast(Number(number), 1, Lane::Normal, "number", when_full).map_err(|(_, reason)| reason)
        };
        cast(1, WhenFull::Lossy).unwrap();
        assert_eq!(cast(2, WhenFull::Lossy), Err(RefusedReason::Full));
        cast(11, WhenFull::Merged(1)).unwrap();
        cast(2, WhenFull::Merged(1)).unwrap();
        assert_eq!(cast(3, WhenFull::Merged(1)), Err(RefusedReason::Full));
        assert_eq!(cast(3, WhenFull::Budgeted(1)), Err(RefusedReason::OverBudget(1)));
        cast(3, WhenFull::Budgeted(2)).unwrap();
        let order: Vec<u32> = std::iter::from_fn(|| reader.pop().map(|n| n.0)).collect();
        assert_eq!(order, [11, 2, 3]);
    }

    #[test]
    fn dropping_the_reader_tells_senders() {
        let (mailbox, reader) = mailbox(1);
        put(&mailbox, 1, Lane::Normal).unwrap();
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut waiting = Box::pin(mailbox.reserve(1));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        drop(reader);
        assert!(matches!(waiting.as_mut().poll(&mut cx), Poll::Ready(Err(RefusedReason::Closed))));
        assert_eq!(put(&mailbox, 2, Lane::Normal), Err(RefusedReason::Closed));
    }
}
