//! Primitives that count what is done with them, and what publishing a signal does.
#![expect(missing_docs, reason = "the primitives are `std`'s, and only this crate's tests see these")]

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{LockResult, MutexGuard, TryLockResult, atomic};
use std::task::{Context, Wake, Waker};

use crate::{Cursor, Inbound, Lane, Mailbox, MailboxLimits, Reader, SignalLog, View};

thread_local! {
    /// Atomic operations of this thread, a lock being two: taken and left.
    static OPERATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count(operations: u64) {
    OPERATIONS.with(|counted| counted.set(counted.get() + operations));
}

macro_rules! counted {
    ($name:ident, $value:ty) => {
        #[derive(Debug, Default)]
        pub struct $name(atomic::$name);
        impl $name {
            pub fn load(&self, order: Ordering) -> $value {
                count(1);
                self.0.load(order)
            }
            pub fn store(&self, value: $value, order: Ordering) {
                count(1);
                self.0.store(value, order);
            }
        }
    };
}
counted!(AtomicBool, bool);
counted!(AtomicU64, u64);

impl AtomicU64 {
    pub fn new(value: u64) -> Self {
        Self(atomic::AtomicU64::new(value))
    }
    pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        count(1);
        self.0.fetch_add(value, order)
    }
    pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        count(1);
        self.0.fetch_or(value, order)
    }
}

#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);
impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        count(2);
        self.0.lock()
    }
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        count(2);
        self.0.try_lock()
    }
}

enum Beats {}
impl View for Beats {
    type Update = u64;
    type State = u64;
    fn apply(state: &mut u64, update: &u64) {
        *state = *update;
    }
    fn catch_up(_: &u64, now: &u64) -> u64 {
        *now
    }
}

struct Sleeper;
impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {}
}

/// Atomic operations of publishing each of so many signals to four subsystems, of which one may never come back for
/// them, with a queue that is full.
fn operations(signals: u64, stalled: bool) -> Vec<u64> {
    let log = Arc::new(SignalLog::<Beats>::new());
    let mut inbounds = Vec::new();
    for _ in 0..4 {
        let mailbox = Arc::new(Mailbox::new(MailboxLimits { messages: 2, bytes: 1024 }, None));
        let edge = mailbox.register_edge();
        if stalled && inbounds.len() == 3 {
            while mailbox.try_send(edge, 0, 1, Lane::Normal).is_ok() {}
        }
        log.add_reader(mailbox.clone());
        inbounds.push(Inbound::new(Reader::new(mailbox), Cursor::new(log.clone())));
    }
    let waker = Waker::from(Arc::new(Sleeper));
    let mut cx = Context::from_waker(&waker);
    let listening = if stalled { 3 } else { 4 };
    let publish = |signal| {
        for inbound in &mut inbounds[..listening] {
            while inbound.poll_next(&mut cx).is_ready() {}
        }
        let before = OPERATIONS.get();
        log.publish(signal).expect("it is not concluded");
        OPERATIONS.get() - before
    };
    (0..signals).map(publish).collect()
}

#[test]
fn publishing_costs_no_atomic_operation_more_while_one_subsystem_is_stalled() {
    // Long enough for the log to let go of its oldest entries, and for the stalled one to have lost its place in it.
    let signals = 4 * crate::SIGNAL_LOG_MAX as u64;
    let all = operations(signals, false);
    assert_eq!(operations(signals, true), all);
    // The log's lock, its head read and written, the list of readers, and a lock and a flag for each of the four.
    assert!(all.iter().all(|operations| *operations == 2 + 2 + 2 + 4 * (2 + 1)), "{all:?}");
}
