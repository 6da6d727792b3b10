//! The shared signal log: one heartbeat that no message can overtake.
//!
//! One append-only log per view; each subsystem holds a cursor. Publishing stores an entry and wakes those who hear the
//! view; it never waits for a subsystem. The log keeps [`SIGNAL_LOG_MAX`] entries: a cursor that falls behind, or
//! starts late, gets one catch-up entry made from what it knew and what is so now.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Entries that a log keeps for cursors that are behind.
pub const SIGNAL_LOG_MAX: usize = 256;

/// What a subsystem hears of the node's heartbeat.
pub trait View: Send + Sync + 'static {
    /// One entry: everything that changed at once.
    type Update: Clone + Send + Sync + 'static;
    /// What is so after a number of entries.
    type State: Clone + Default + Send + Sync + 'static;
    /// Folds an entry into the state.
    fn apply(state: &mut Self::State, update: &Self::Update);
    /// The one entry that brings a reader from `seen` to `now`.
    fn catch_up(seen: &Self::State, now: &Self::State) -> Self::Update;
}

/// The view of a subsystem that hears no signal but the end: no cursor moves, nothing wakes it.
#[derive(Clone, Copy, Debug)]
pub enum Nothing {}

impl View for Nothing {
    type Update = std::convert::Infallible;
    type State = ();
    fn apply((): &mut (), _: &Self::Update) {}
    fn catch_up((): &(), (): &()) -> Self::Update {
        unreachable!("nothing is ever published to this view, so no cursor falls behind")
    }
}

/// Something that is woken when its log grows: a mailbox.
pub(crate) trait Wakeable: Send + Sync {
    fn wake(&self);
}

struct Entries<V: View> {
    entries: VecDeque<Arc<V::Update>>,
    /// Sequence number of the first entry kept.
    first: u64,
    state: V::State,
    watchers: Vec<Waker>,
}

pub(crate) struct SignalLog<V: View> {
    entries: Mutex<Entries<V>>,
    /// Number of entries ever published.
    published: AtomicU64,
    concluded: AtomicBool,
    readers: Mutex<Vec<Arc<dyn Wakeable>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V: View> SignalLog<V> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Mutex::new(Entries {
                entries: VecDeque::new(),
                first: 0,
                state: V::State::default(),
                watchers: Vec::new(),
            }),
            published: AtomicU64::new(0),
            concluded: AtomicBool::new(false),
            readers: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn add_reader(&self, reader: Arc<dyn Wakeable>) {
        lock(&self.readers).push(reader);
    }

    pub(crate) fn publish(&self, update: V::Update) {
        let (watchers, dropped) = {
            let mut log = lock(&self.entries);
            V::apply(&mut log.state, &update);
            log.entries.push_back(Arc::new(update));
            let dropped = if log.entries.len() > SIGNAL_LOG_MAX {
                log.first += 1;
                log.entries.pop_front()
            } else {
                None
            };
            self.published.fetch_add(1, Ordering::Release);
            (std::mem::take(&mut log.watchers), dropped)
        };
        drop(dropped);
        self.wake_all();
        watchers.into_iter().for_each(Waker::wake);
    }

    /// The last entry: after it a cursor says so and stays there.
    pub(crate) fn conclude(&self) {
        self.concluded.store(true, Ordering::Release);
        self.wake_all();
    }

    fn wake_all(&self) {
        for reader in lock(&self.readers).iter() {
            reader.wake();
        }
    }

    /// Waits until the state fulfils a condition.
    pub(crate) async fn wait_until(&self, mut condition: impl FnMut(&V::State) -> bool) {
        std::future::poll_fn(|cx| {
            let mut log = lock(&self.entries);
            if condition(&log.state) {
                return Poll::Ready(());
            }
            log.watchers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What a cursor finds.
pub(crate) enum Next<U> {
    Update(U),
    Concluded,
    Nothing,
}

/// A subsystem's place in its log.
pub(crate) struct Cursor<V: View> {
    log: Arc<SignalLog<V>>,
    position: u64,
    seen: V::State,
    concluded: bool,
    catch_ups: u64,
}

impl<V: View> Cursor<V> {
    pub(crate) fn new(log: Arc<SignalLog<V>>) -> Self {
        Self { log, position: 0, seen: V::State::default(), concluded: false, catch_ups: 0 }
    }

    /// Two loads: whether there is an entry that was not taken.
    pub(crate) fn is_behind(&self) -> bool {
        self.log.published.load(Ordering::Acquire) > self.position
            || (!self.concluded && self.log.concluded.load(Ordering::Acquire))
    }

    pub(crate) fn next(&mut self) -> Next<V::Update> {
        if self.log.published.load(Ordering::Acquire) > self.position {
            let log = lock(&self.log.entries);
            if self.position >= log.first {
                let index = (self.position - log.first) as usize;
                let update = Arc::clone(&log.entries[index]);
                drop(log);
                V::apply(&mut self.seen, &update);
                self.position += 1;
                return Next::Update(V::Update::clone(&update));
            }
            let now = log.state.clone();
            self.position = log.first + log.entries.len() as u64;
            drop(log);
            self.catch_ups += 1;
            let update = V::catch_up(&self.seen, &now);
            self.seen = now;
            return Next::Update(update);
        }
        if !self.concluded && self.log.concluded.load(Ordering::Acquire) {
            self.concluded = true;
            return Next::Concluded;
        }
        Next::Nothing
    }

    /// How often this cursor fell out of the log.
    pub(crate) fn catch_ups(&self) -> u64 {
        self.catch_ups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    enum Numbers {}
    impl View for Numbers {
        type Update = (Vec<u32>, Vec<u32>);
        type State = BTreeSet<u32>;
        fn apply(state: &mut Self::State, (stopped, started): &Self::Update) {
            stopped.iter().for_each(|number| {
                state.remove(number);
            });
            state.extend(started);
        }
        fn catch_up(seen: &Self::State, now: &Self::State) -> Self::Update {
            (seen.difference(now).copied().collect(), now.difference(seen).copied().collect())
        }
    }

    fn take(cursor: &mut Cursor<Numbers>) -> Option<(Vec<u32>, Vec<u32>)> {
        match cursor.next() {
            Next::Update(update) => Some(update),
            Next::Concluded | Next::Nothing => None,
        }
    }

    #[test]
    fn entries_come_in_order_and_conclude_last() {
        let log = Arc::new(SignalLog::<Numbers>::new());
        let mut cursor = Cursor::new(log.clone());
        log.publish((vec![], vec![1]));
        log.publish((vec![1], vec![2]));
        log.conclude();
        assert_eq!(take(&mut cursor), Some((vec![], vec![1])));
        assert_eq!(take(&mut cursor), Some((vec![1], vec![2])));
        assert!(matches!(cursor.next(), Next::Concluded));
        assert!(matches!(cursor.next(), Next::Nothing));
        assert!(!cursor.is_behind());
    }

    #[test]
    fn a_cursor_that_falls_behind_gets_one_catch_up_entry() {
        let log = Arc::new(SignalLog::<Numbers>::new());
        let mut slow = Cursor::new(log.clone());
        log.publish((vec![], vec![0]));
        assert_eq!(take(&mut slow), Some((vec![], vec![0])));
        for number in 1..=(SIGNAL_LOG_MAX as u32 + 10) {
            log.publish((vec![number - 1], vec![number]));
        }
        assert_eq!(take(&mut slow), Some((vec![0], vec![SIGNAL_LOG_MAX as u32 + 10])));
        assert_eq!(take(&mut slow), None);
        assert_eq!(slow.catch_ups(), 1);
        assert_eq!(lock(&log.entries).entries.len(), SIGNAL_LOG_MAX);
    }
}
