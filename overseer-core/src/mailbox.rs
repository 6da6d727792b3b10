//! The mailbox: bounded in messages and bytes, two lanes, one reader, one waker.
//!
//! One short mutex around two deques. The reader takes out all that is queued under one lock, by exchanging it for an
//! empty queue, and counts it against the limit until it has used it. A waiting sender holds a ticket: tickets are
//! granted in order, and one is granted exactly when it stands no longer in the queue of waiters, so that waiting
//! allocates nothing of its own. A cast that is kept stands in the same line, with its message.
//!
//! # Order
//! Messages of one edge leave, lane by lane, exactly in the order in which their sends ended; so do those of all edges
//! together, where that order is the one in which the mailbox's lock was taken. What is folded into a queued message
//! keeps that one's place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use crate::meter::{Meter, NanosClock};
use crate::reader::KEPT_CAPACITY;
use crate::signal::Wakeable;
use crate::sync::{Apart, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, lock};

/// Of how many messages of an edge one is timed.
pub const SAMPLE_EVERY: u64 = 64;

/// The limits of a mailbox. A message counts against both until it was delivered and its place is given back, which
/// happens for up to [`RELEASE_EVERY`](crate::reader::RELEASE_EVERY) messages together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Messages waiting or being delivered; 0 counts as 1, which would else let nobody through. Budgeted and merged casts have places beyond it.
    pub messages: usize,
    /// Their bytes; 0 counts as 1, anything above 4 GiB as 4 GiB. A single larger message is refused at once, as
    /// [`TooLarge`](RefusedReason::TooLarge).
    pub bytes: usize,
}

impl Default for MailboxLimits {
    /// 1,024 messages, 64 MiB: some PoVs of 10 MiB fit, a flood of them does not.
    fn default() -> Self {
        Self { messages: 1024, bytes: 64 * 1024 * 1024 }
    }
}

/// Why a message was not taken. The message itself is handed back beside it.
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

/// What happens to a cast when the consumer's queue is full. A cast never waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Refused, counted and handed back. Never for what carries a signature of ours.
    Lossy,
    /// Folded into a queued message with the same key (the message's `merge`); takes a place of its own only if there
    /// is none, up to the given number of places beyond the queue's limit. With those taken it is refused as
    /// [`Full`](RefusedReason::Full). For what has a newest value or a sum.
    Merged(usize),
    /// The given number of places is reserved beyond the queue's limit, for all senders of the message together. More
    /// in flight is a broken invariant of the sender, reported as [`OverBudget`](RefusedReason::OverBudget). For what
    /// must not be lost and has a natural bound.
    Budgeted(usize),
    /// Kept for the consumer, in line with all who wait for a place there, and put into the queue in its turn; its sender
    /// goes on. The given number is that of the sender's places for it, its outbox;
    /// [`OverBudget`](RefusedReason::OverBudget) beyond that, and beyond as many bytes as the consumer's mailbox takes.
    /// What is kept still when the consumer ends is lost, and counted as refused.
    Outbox(usize),
}

/// The lanes of a mailbox. Both share its limits; order is kept within each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// First come, first served.
    Normal,
    /// Before all that is in the normal lane, which still gets one delivery after
    /// [`HIGH_BURST_MAX`](crate::reader::HIGH_BURST_MAX) of this one.
    High,
}

/// What a reader has used up since it began, both modulo 2³²: their differences are what counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UsedUp {
    pub(crate) places: u32,
    pub(crate) bytes: u32,
}

impl UsedUp {
    #[inline]
    pub(crate) fn add(&mut self, bytes: u32) {
        self.places = self.places.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes);
    }

    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.places) << 32 | u64::from(self.bytes)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn from_bits(bits: u64) -> Self {
        Self { places: (bits >> 32) as u32, bytes: bits as u32 }
    }
}

/// One sender of one message at one mailbox: its index in the mailbox's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub(crate) u16);

/// What is counted of one edge, under the mailbox's own lock.
#[derive(Clone, Copy, Default)]
struct Tally {
    sent: u64,
    refused: u64,
    merged: u64,
    waited: u64,
    held: u32,
    /// In the normal lane now.
    normal: u32,
    /// In what the reader took out of it last, delivered since or not.
    batch: u32,
    /// What is kept of it outside the queue.
    kept: u32,
    kept_bytes: u32,
}

/// The counters of one edge at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeCounts {
    /// Messages put into the queue.
    pub sent: u64,
    /// Casts refused, and messages of all kinds that nobody took because the reader was gone.
    pub refused: u64,
    /// Casts folded into a message that was queued already.
    pub merged: u64,
    /// Messages waiting or being delivered now. The reader takes many out at once and counts them no more by sender:
    /// what is left of them is divided in the proportion in which it took them, rounded up. One of the high lane that is
    /// being delivered counts for those, not for its own sender.
    pub queued: u64,
    /// Sends that found the queue full and waited, and casts that were kept.
    pub waited: u64,
    /// Places that are [held](crate::sending::Permit) without a message now.
    pub held: u64,
    /// Sends that wait now, and casts that are kept meanwhile.
    pub waiting: u64,
    /// Nanoseconds since when the longest of them waits; 0 if none does.
    pub waiting_since: u64,
}

/// A message on its way, with what it costs and whom it counts against.
pub(crate) struct Item<T> {
    pub(crate) value: T,
    /// When it was sent, if it is one of the timed.
    pub(crate) stamp: u64,
    /// Bytes, edge and place in one word: a processor that has just written them one by one waits before it can copy them
    /// together, and each item is copied as soon as it is made.
    tag: u64,
}

impl<T> Item<T> {
    #[inline]
    pub(crate) fn new(value: T, bytes: u32, edge: EdgeId, place: u16) -> Self {
        Self { value, stamp: 0, tag: u64::from(bytes) << 32 | u64::from(edge.0) << 16 | u64::from(place) }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> u32 {
        (self.tag >> 32) as u32
    }

    #[inline]
    pub(crate) fn set_bytes(&mut self, bytes: u32) {
        self.tag = u64::from(bytes) << 32 | u64::from(self.tag as u32);
    }

    #[inline]
    pub(crate) fn edge(&self) -> EdgeId {
        EdgeId((self.tag >> 16) as u16)
    }

    /// 0: the queue's own places. Else one more than the index of the message's extra places.
    #[inline]
    pub(crate) fn place(&self) -> u16 {
        self.tag as u16
    }
}

struct Waiter<T> {
    ticket: u64,
    bytes: u32,
    edge: EdgeId,
    since: u64,
    waits: Waits<T>,
}

enum Waits<T> {
    /// Somebody, for a place.
    Sender(Waker),
    /// A message that was cast; boxed, so that who waits costs as little as before.
    Kept(Lane, Box<T>),
}

/// What every send writes comes first and shares one cache line with the mutex; what is below `reader` is only read
/// while nobody waits.
#[repr(C)]
pub(crate) struct State<T> {
    /// Places and bytes taken: queued, in the reader's batch, or granted.
    used: u32,
    used_bytes: u32,
    pub(crate) normal: VecDeque<Item<T>>,
    pub(crate) reader: Option<Waker>,
    edges: Vec<Tally>,
    /// What of the used up places was given back.
    given_back: UsedUp,
    pub(crate) high: VecDeque<Item<T>>,
    /// Places beyond the limit, by message; it grows with the first of each.
    pub(crate) extra: Box<[(&'static str, usize)]>,
    /// Ascending by ticket.
    waiters: VecDeque<Waiter<T>>,
    next_ticket: u64,
    closed: bool,
}

/// The shared part of a mailbox; senders hold it. Its one [`Reader`](crate::Reader) takes out of it.
pub struct Mailbox<T> {
    state: Apart<Mutex<State<T>>>,
    limits: MailboxLimits,
    /// Whether the reader's waker is there; written under the lock, and looked at by the reader before it takes it.
    pub(crate) is_armed: AtomicBool,
    /// Whether the reader left it with a message whose place it has still to give back (ADR 0026); under the lock.
    pub(crate) owes: AtomicBool,
    pub(crate) meter: Meter,
    pub(crate) of_reader: Apart<OfReader>,
}

/// What the reader looks at or writes with each delivery.
#[derive(Default)]
pub(crate) struct OfReader {
    /// Read by the reader before each delivery, written only when the high lane fills or empties.
    pub(crate) high_waiting: AtomicBool,
    /// Entries of the signal log that the reader has taken. Never part of an invariant.
    pub(crate) heard: AtomicU64,
    /// What it has [used up](UsedUp), in bits: it may be behind what the reader knows, never before it.
    pub(crate) used_up: AtomicU64,
    /// The [identity](crate::reader::identity) of the waker that was left last. The reader's alone, so the models need not
    /// follow it; here, where it takes no room.
    pub(crate) left: [std::sync::atomic::AtomicUsize; 2],
    /// Messages beyond the limit that were delivered.
    pub(crate) extra_used_up: AtomicU64,
}

/// Wakes everybody in a list and keeps the list's memory.
pub(crate) fn wake_all(wakers: &mut Vec<Waker>) {
    wakers.drain(..).for_each(Waker::wake);
}

impl<T> State<T> {
    fn fits(&self, limits: MailboxLimits, bytes: u32) -> bool {
        (self.used as usize) < limits.messages && self.used_bytes as usize + bytes as usize <= limits.bytes
    }

    /// Whether half of it is free, and nobody waits.
    pub(crate) fn is_roomy(&self, limits: MailboxLimits) -> bool {
        let is_half_free = |used: u32, limit: usize| used as usize <= limit / 2;
        is_half_free(self.used, limits.messages)
            && is_half_free(self.used_bytes, limits.bytes)
            && self.waiters.is_empty()
    }

    /// Counts places that are held.
    pub(crate) fn held(&mut self, edge: EdgeId, change: i32) {
        let held = &mut self.edges[usize::from(edge.0)].held;
        *held = held.saturating_add_signed(change);
    }

    /// The reader has taken the normal lane out.
    pub(crate) fn taken_out(&mut self) {
        self.edges.iter_mut().for_each(|tally| tally.batch = std::mem::take(&mut tally.normal));
    }

    /// Counts again what is in the normal lane and in what the reader took out of it.
    pub(crate) fn count_again(&mut self, batch: &VecDeque<Item<T>>) {
        self.edges.iter_mut().for_each(|tally| (tally.normal, tally.batch) = (0, 0));
        batch.iter().for_each(|item| self.edges[usize::from(item.edge().0)].batch += 1);
        self.normal.iter().for_each(|item| self.edges[usize::from(item.edge().0)].normal += 1);
    }

    fn position(&self, ticket: u64) -> Option<usize> {
        self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }
}

impl<T: Send> Mailbox<T> {
    /// An empty mailbox; it allocates nothing for messages until the first one. Without a clock nothing is timed.
    pub fn new(limits: MailboxLimits, clock: Option<NanosClock>) -> Self {
        let most = u32::MAX as usize;
        let limits = MailboxLimits { messages: limits.messages.clamp(1, most), bytes: limits.bytes.clamp(1, most) };
        Self {
            state: Apart(Mutex::new(State {
                used: 0,
                used_bytes: 0,
                normal: VecDeque::new(),
                reader: None,
                edges: Vec::new(),
                closed: false,
                high: VecDeque::new(),
                extra: Box::default(),
                waiters: VecDeque::new(),
                next_ticket: 0,
                given_back: UsedUp::default(),
            })),
            limits,
            is_armed: AtomicBool::default(),
            owes: AtomicBool::default(),
            meter: Meter::new(clock),
            of_reader: Apart::default(),
        }
    }

    /// Entries of its signal log that the reader has taken so far.
    pub fn heard(&self) -> u64 {
        self.of_reader.0.heard.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state.0)
    }

    /// Registers a sender of one message, for the counters. Done while a node is wired; a mailbox has at most 65,536 of
    /// them.
    ///
    /// # Panics
    /// At the 65,537th.
    pub fn register_edge(&self) -> EdgeId {
        let mut state = self.lock();
        let index = u16::try_from(state.edges.len()).expect("a node's wiring declares fewer than 65,536 edges");
        state.edges.reserve_exact(1);
        state.edges.push(Tally::default());
        EdgeId(index)
    }

    /// The counters of an edge. Looks at each edge and at each message of the high lane, under the mailbox's lock: for
    /// who looks now and then.
    ///
    /// # Panics
    /// If another mailbox registered it.
    pub fn counts(&self, edge: EdgeId) -> EdgeCounts {
        let state = self.lock();
        let Tally { sent, refused, merged, waited, held, normal, batch, .. } = state.edges[usize::from(edge.0)];
        let high = state.high.iter().filter(|item| item.edge() == edge).count() as u64;
        let taken_out: u64 = state.edges.iter().map(|tally| u64::from(tally.batch)).sum();
        let left = self.pending(&state).0.saturating_sub(state.normal.len() + state.high.len()) as u64;
        let of_batch = (u64::from(batch) * left.min(taken_out)).div_ceil(taken_out.max(1));
        let (queued, held) = (u64::from(normal) + high + of_batch, u64::from(held));
        let waits = || state.waiters.iter().filter(|waiter| waiter.edge == edge);
        let (waiting, waiting_since) = (waits().count() as u64, waits().next().map_or(0, |first| first.since.max(1)));
        EdgeCounts { sent, refused, merged, queued, waited, held, waiting, waiting_since }
    }

    /// Messages and bytes that count against the limits: waiting, being delivered, or delivered and not given back yet.
    pub fn used(&self) -> (usize, usize) {
        let state = self.lock();
        (state.used as usize, state.used_bytes as usize)
    }

    /// Messages that wait or are being delivered, and a number that changes whenever one was delivered: while it stays
    /// the same the reader is at one message, or has not come back for the first.
    pub fn progress(&self) -> (usize, u64) {
        let state = self.lock();
        let (pending, used_up) = self.pending(&state);
        let extra = self.of_reader.0.extra_used_up.load(Ordering::Relaxed);
        (pending, extra.wrapping_add(u64::from(used_up.places)))
    }

    /// Messages that wait or are being delivered, and what the reader has told that it used up.
    fn pending(&self, state: &State<T>) -> (usize, UsedUp) {
        let used_up = UsedUp::from_bits(self.of_reader.0.used_up.load(Ordering::Relaxed));
        let own = state.used.wrapping_sub(used_up.places.wrapping_sub(state.given_back.places));
        let extra: usize = state.extra.iter().map(|(_, taken)| *taken).sum();
        let held: u32 = state.edges.iter().map(|tally| tally.held).sum();
        // After the end nobody gives anything back, and nothing waits.
        let pending = if state.closed { 0 } else { own.saturating_sub(held) as usize + extra };
        (pending, used_up)
    }

    /// The limits.
    pub fn limits(&self) -> MailboxLimits {
        self.limits
    }

    /// Times of deliveries.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The cost of a message, or that it can never fit.
    pub(crate) fn cost(&self, bytes: usize) -> Result<u32, RefusedReason> {
        // The limit is at most `u32::MAX`.
        u32::try_from(bytes).ok().filter(|bytes| *bytes as usize <= self.limits.bytes).ok_or(RefusedReason::TooLarge)
    }

    /// Puts an item in and returns the reader to wake, if it sleeps.
    #[inline]
    pub(crate) fn push(&self, state: &mut State<T>, lane: Lane, mut item: Item<T>) -> Option<Waker> {
        let tally = &mut state.edges[usize::from(item.edge().0)];
        tally.sent += 1;
        if tally.sent % SAMPLE_EVERY == 1 {
            item.stamp = self.meter.now();
        }
        match lane {
            Lane::Normal => {
                tally.normal += 1;
                state.normal.push_back(item);
            }
            Lane::High => {
                state.high.push_back(item);
                self.of_reader.0.high_waiting.store(true, Ordering::Release);
            }
        }
        self.disarm(state)
    }

    /// The reader's waker, if it is there, to be woken without the lock.
    #[inline]
    pub(crate) fn disarm(&self, state: &mut State<T>) -> Option<Waker> {
        let waker = state.reader.take();
        if waker.is_some() {
            self.is_armed.store(false, Ordering::Release);
        }
        waker
    }

    /// Takes a place at once if there is one and nobody waits for it.
    ///
    /// # Errors
    /// Hands the message back: [`Full`](RefusedReason::Full), [`TooLarge`](RefusedReason::TooLarge) or
    /// [`Closed`](RefusedReason::Closed).
    #[inline]
    pub fn try_send(&self, edge: EdgeId, value: T, bytes: usize, lane: Lane) -> Result<(), (T, RefusedReason)> {
        let bytes = match self.cost(bytes) {
            Ok(bytes) => bytes,
            Err(reason) => return Err((value, reason)),
        };
        let waker = {
            let mut state = self.lock();
            if state.closed {
                return Err((value, RefusedReason::Closed));
            }
            if !state.waiters.is_empty() || !state.fits(self.limits, bytes) {
                return Err((value, RefusedReason::Full));
            }
            state.used += 1;
            state.used_bytes += bytes;
            self.push(&mut state, lane, Item::new(value, bytes, edge, 0))
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// A cast: like [`try_send`](Self::try_send), but places that are used up count as free, whether they were given
    /// back yet or not; then what the message says for a full queue. `merge` folds a newer message into a queued one and
    /// returns the bytes that this one counts as from now on, or hands the newer one back if their keys differ.
    ///
    /// Bytes of merged and budgeted messages count beyond the limit: nothing else is let in before they were delivered.
    ///
    /// # Errors
    /// Hands the message back, and counts it as refused.
    ///
    /// # Panics
    /// When `merge` does. It is called under the mailbox's lock, which survives that, as everything in the mailbox.
    pub fn cast(
        &self,
        edge: EdgeId,
        value: T,
        bytes: usize,
        lane: Lane,
        full: (&'static str, WhenFull),
        merge: impl FnMut(&mut T, T) -> Result<usize, T>,
    ) -> Result<(), (T, RefusedReason)> {
        let refused = match self.try_send(edge, value, bytes, lane) {
            // First and for itself: what is not there is not copied.
            Ok(()) => return Ok(()),
            Err((value, RefusedReason::Full)) => self.cast_when_full(edge, value, (bytes, lane), full, merge),
            refused => refused,
        };
        if refused.is_err() {
            self.count_refused(edge);
        }
        refused
    }

    /// Counts a message as refused, for who refuses it on the mailbox's behalf.
    pub fn count_refused(&self, edge: EdgeId) {
        self.lock().edges[usize::from(edge.0)].refused += 1;
    }

    #[cold]
    fn cast_when_full(
        &self,
        edge: EdgeId,
        value: T,
        (bytes, lane): (usize, Lane),
        (message, when_full): (&'static str, WhenFull),
        mut merge: impl FnMut(&mut T, T) -> Result<usize, T>,
    ) -> Result<(), (T, RefusedReason)> {
        self.reclaim();
        let mut value = match self.try_send(edge, value, bytes, lane) {
            Err((value, RefusedReason::Full)) => value,
            other => return other,
        };
        let (places, over) = match when_full {
            WhenFull::Lossy => return Err((value, RefusedReason::Full)),
            WhenFull::Outbox(places) => return self.keep(edge, value, (bytes, lane), places),
            WhenFull::Merged(places) => (places, RefusedReason::Full),
            WhenFull::Budgeted(places) => (places, RefusedReason::OverBudget(places)),
        };
        let mut state = self.lock();
        if state.closed {
            return Err((value, RefusedReason::Closed));
        }
        if matches!(when_full, WhenFull::Merged(_)) {
            let State { normal, high, edges, used_bytes, .. } = &mut *state;
            let queue = if lane == Lane::High { high } else { normal };
            for queued in queue.iter_mut().rev() {
                match merge(&mut queued.value, value) {
                    Ok(bytes) => {
                        edges[usize::from(edge.0)].merged += 1;
                        let others = *used_bytes - queued.bytes();
                        queued.set_bytes(u32::try_from(bytes).unwrap_or(u32::MAX).min(u32::MAX - others));
                        *used_bytes = others + queued.bytes();
                        drop(state);
                        // It may be smaller now.
                        self.reclaim();
                        return Ok(());
                    }
                    Err(unmerged) => value = unmerged,
                }
            }
        }
        let index = match state.extra.iter().position(|(name, _)| *name == message) {
            Some(index) => index,
            None => {
                let mut extra = std::mem::take(&mut state.extra).into_vec();
                extra.push((message, 0));
                state.extra = extra.into_boxed_slice();
                state.extra.len() - 1
            }
        };
        let Some(place) = u16::try_from(index + 1).ok().filter(|_| state.extra[index].1 < places) else {
            return Err((value, over));
        };
        state.extra[index].1 += 1;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(u32::MAX - state.used_bytes);
        state.used_bytes += bytes;
        let waker = self.push(&mut state, lane, Item::new(value, bytes, edge, place));
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Keeps a cast in line with those who wait. The next that is released puts it into the queue: nobody has to come
    /// back for that, so no place stands empty for it.
    fn keep(
        &self,
        edge: EdgeId,
        value: T,
        (bytes, lane): (usize, Lane),
        places: usize,
    ) -> Result<(), (T, RefusedReason)> {
        let bytes = match self.cost(bytes) {
            Ok(bytes) => bytes,
            Err(reason) => return Err((value, reason)),
        };
        let value = Box::new(value);
        let mut wakers = Vec::new();
        {
            let mut state = self.lock();
            if state.closed {
                return Err((*value, RefusedReason::Closed));
            }
            let tally = &mut state.edges[usize::from(edge.0)];
            let is_over =
                tally.kept as usize >= places || tally.kept_bytes as usize + bytes as usize > self.limits.bytes;
            if is_over {
                return Err((*value, RefusedReason::OverBudget(places)));
            }
            tally.kept += 1;
            tally.kept_bytes += bytes;
            self.wait(&mut state, (bytes, edge), Waits::Kept(lane, value));
            wakers.extend(self.disarm_owing(&mut state));
            // There may be room again by now.
            self.release(&mut state, 0, 0, &mut wakers);
        }
        wake_all(&mut wakers);
        Ok(())
    }

    /// Who begins to wait wakes a reader that went to sleep with a place to give back.
    #[cold]
    pub(crate) fn disarm_owing(&self, state: &mut State<T>) -> Option<Waker> {
        if self.owes.load(Ordering::Relaxed) { self.disarm(state) } else { None }
    }

    /// Takes a ticket.
    fn wait(&self, state: &mut State<T>, (bytes, edge): (u32, EdgeId), waits: Waits<T>) -> u64 {
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.edges[usize::from(edge.0)].waited += 1;
        state.waiters.push_back(Waiter { ticket, bytes, edge, since: self.meter.now(), waits });
        ticket
    }

    /// Gives back what the reader has used up.
    pub(crate) fn settle(&self, state: &mut State<T>, used_up: UsedUp, wakers: &mut Vec<Waker>) {
        let places = used_up.places.wrapping_sub(state.given_back.places);
        let bytes = used_up.bytes.wrapping_sub(state.given_back.bytes);
        state.given_back = used_up;
        self.release(state, places, bytes, wakers);
    }

    /// Gives back, on the reader's behalf, what it has used up as far as it told.
    fn reclaim(&self) {
        let mut wakers = Vec::new();
        {
            let mut state = self.lock();
            // Read under the lock: not before what was given back under it.
            let used_up = UsedUp::from_bits(self.of_reader.0.used_up.load(Ordering::Relaxed));
            self.settle(&mut state, used_up, &mut wakers);
        }
        wake_all(&mut wakers);
    }

    /// Gives back places and grants them to those who wait, in order.
    pub(crate) fn release(&self, state: &mut State<T>, places: u32, bytes: u32, wakers: &mut Vec<Waker>) {
        state.used -= places;
        state.used_bytes -= bytes;
        while let Some(waiter) = state.waiters.front() {
            if !state.fits(self.limits, waiter.bytes) {
                break;
            }
            let Some(Waiter { bytes, edge, waits, .. }) = state.waiters.pop_front() else { break };
            state.used += 1;
            state.used_bytes += bytes;
            match waits {
                Waits::Sender(waker) => wakers.push(waker),
                Waits::Kept(lane, value) => {
                    let tally = &mut state.edges[usize::from(edge.0)];
                    tally.kept -= 1;
                    tally.kept_bytes -= bytes;
                    wakers.extend(self.push(state, lane, Item::new(*value, bytes, edge, 0)));
                }
            }
        }
        if state.waiters.is_empty() && state.waiters.capacity() > KEPT_CAPACITY {
            state.waiters = VecDeque::new();
        }
    }

    /// Gives back a place that was held.
    pub(crate) fn give_back(&self, edge: EdgeId, bytes: u32) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        state.held(edge, -1);
        self.release(&mut state, 1, bytes, &mut wakers);
        drop(state);
        wake_all(&mut wakers);
    }

    /// Ends the wait of a ticket whose holder is gone, and passes on a place that it had been granted.
    pub(crate) fn cancel(&self, ticket: u64, bytes: u32) {
        let mut wakers = Vec::new();
        let waiter = {
            let mut state = self.lock();
            let waiter = state.position(ticket).and_then(|position| state.waiters.remove(position));
            // After closing nobody waits and nothing is granted any more.
            if !state.closed {
                let granted = u32::from(waiter.is_none());
                // Also without a place to give back: the one behind may fit where this one did not.
                self.release(&mut state, granted, granted * bytes, &mut wakers);
            }
            waiter
        };
        // A waker may own the last handle of a task: dropped outside the lock.
        drop(waiter);
        wake_all(&mut wakers);
    }

    /// Takes a place, or a ticket for one. `Ok(true)`: a place is taken and the ticket is spent. A waker that is replaced
    /// goes into `replaced`, to be dropped after the lock.
    #[inline]
    pub(crate) fn poll_place(
        &self,
        state: &mut State<T>,
        ticket: &mut Option<u64>,
        (bytes, edge): (u32, EdgeId),
        (waker, replaced): (&Waker, &mut Option<Waker>),
    ) -> Result<bool, RefusedReason> {
        if state.closed {
            *ticket = None;
            return Err(RefusedReason::Closed);
        }
        if ticket.is_none() && state.waiters.is_empty() && state.fits(self.limits, bytes) {
            state.used += 1;
            state.used_bytes += bytes;
            return Ok(true);
        }
        Ok(self.poll_ticket(state, ticket, (bytes, edge), (waker, replaced)))
    }

    /// Takes a ticket, or looks whether the one that is held was granted.
    #[cold]
    fn poll_ticket(
        &self,
        state: &mut State<T>,
        ticket: &mut Option<u64>,
        (bytes, edge): (u32, EdgeId),
        (waker, replaced): (&Waker, &mut Option<Waker>),
    ) -> bool {
        let Some(held) = *ticket else {
            let held = self.wait(state, (bytes, edge), Waits::Sender(waker.clone()));
            *ticket = Some(held);
            return false;
        };
        match state.position(held) {
            Some(position) => {
                let waits = &mut state.waiters[position].waits;
                if let Waits::Sender(known) = waits
                    && !known.will_wake(waker)
                {
                    *replaced = Some(std::mem::replace(known, waker.clone()));
                }
                false
            }
            None => {
                *ticket = None;
                true
            }
        }
    }

    pub(crate) fn is_closed(state: &State<T>) -> bool {
        state.closed
    }

    /// Takes nothing any more. What its reader had taken out and what is queued is refused.
    pub(crate) fn close(&self, taken_out: VecDeque<Item<T>>) {
        let (waiters, items, reader) = {
            let mut state = self.lock();
            state.closed = true;
            let State { normal, high, edges, .. } = &mut *state;
            for item in taken_out.iter().chain(&*normal).chain(&*high) {
                edges[usize::from(item.edge().0)].refused += 1;
            }
            let waiters = std::mem::take(&mut state.waiters);
            for Tally { refused, kept, kept_bytes, .. } in &mut state.edges {
                *refused += u64::from(std::mem::take(kept));
                *kept_bytes = 0;
            }
            let items = (std::mem::take(&mut state.normal), std::mem::take(&mut state.high));
            state.count_again(&VecDeque::new());
            (waiters, items, self.disarm(&mut state))
        };
        // Dropped outside the lock: a message may own a way back whose drop runs foreign code.
        for waiter in waiters {
            if let Waits::Sender(waker) = waiter.waits {
                waker.wake();
            }
        }
        drop((taken_out, items, reader));
    }
}

impl<T: Send> Wakeable for Mailbox<T> {
    fn wake(&self) {
        let waker = {
            let mut state = self.lock();
            // In any case: publishing costs the same, whoever sleeps.
            self.is_armed.store(false, Ordering::Release);
            state.reader.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A mailbox as its senders and its reader share it.
pub type SharedMailbox<T> = Arc<Mailbox<T>>;
