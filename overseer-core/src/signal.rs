//! The shared signal log: one heartbeat that no message can overtake.
//!
//! One append-only log per view; each subsystem holds a cursor. Publishing stores an entry and wakes those who hear the
//! view; it never waits for a subsystem. The log keeps [`SIGNAL_LOG_MAX`] entries: a cursor that falls behind, or
//! starts late, gets one catch-up entry made from what it knew and what is so now.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::sync::{Apart, AtomicU64, Mutex, Ordering, lock};

/// Entries that a log keeps for cursors that are behind.
pub const SIGNAL_LOG_MAX: usize = if cfg!(loom) { 2 } else { 256 };

/// What a subsystem hears of the node's heartbeat: what an entry is, and what is so after a number of them.
///
/// A node may have several views: each is a log of its own, and publishing to one wakes nobody who hears another. A
/// subsystem that falls behind by more than [`SIGNAL_LOG_MAX`] entries, starts late or starts again is given one entry
/// that [`catch_up`](Self::catch_up) makes, so an entry must be able to say everything that may have changed.
///
/// # Examples
/// ```
/// use overseer_core::View;
/// use std::collections::BTreeSet;
///
/// /// Which rooms are lit.
/// enum Lights {}
///
/// #[derive(Clone)]
/// struct Switched { off: Vec<u32>, on: Vec<u32> }
///
/// impl View for Lights {
///     type Update = Switched;
///     type State = BTreeSet<u32>;
///     fn apply(lit: &mut BTreeSet<u32>, switched: &Switched) {
///         lit.retain(|room| !switched.off.contains(room));
///         lit.extend(&switched.on);
///     }
///     fn catch_up(seen: &BTreeSet<u32>, now: &BTreeSet<u32>) -> Switched {
///         Switched { off: seen.difference(now).copied().collect(), on: now.difference(seen).copied().collect() }
///     }
/// }
/// ```
pub trait View: Send + Sync + 'static {
    /// One entry: everything that changed at once.
    type Update: Clone + Send + Sync + 'static;
    /// What is so after a number of entries; the default is before the first. The log and each subsystem keep one.
    type State: Clone + Default + Send + Sync + 'static;
    /// Folds an entry into the state. Called under the log's lock: no waiting, no long work.
    fn apply(state: &mut Self::State, update: &Self::Update);
    /// The one entry that brings a reader from `seen` to `now`: applied to `seen` it gives `now`.
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
pub trait Wakeable: Send + Sync {
    /// Wakes the reader, if it sleeps. Never waits for it.
    fn wake(&self);
}

struct Entries<V: View> {
    entries: VecDeque<V::Update>,
    /// Sequence number of the first entry kept.
    first: u64,
    state: V::State,
    watchers: Vec<Waker>,
}

/// The log of one view.
pub struct SignalLog<V: View> {
    entries: Mutex<Entries<V>>,
    /// Twice the number of entries ever published; one more once it is concluded. Every reader looks at it before each
    /// delivery, so it has cache lines of its own.
    head: Apart<AtomicU64>,
    readers: Mutex<Vec<Arc<dyn Wakeable>>>,
}

impl<V: View> Default for SignalLog<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: View> SignalLog<V> {
    /// An empty log.
    pub fn new() -> Self {
        Self {
            entries: Mutex::new(Entries {
                entries: VecDeque::new(),
                first: 0,
                state: V::State::default(),
                watchers: Vec::new(),
            }),
            head: Apart(AtomicU64::new(0)),
            readers: Mutex::new(Vec::new()),
        }
    }

    /// Adds somebody to wake at each entry and at the end.
    pub fn add_reader(&self, reader: Arc<dyn Wakeable>) {
        lock(&self.readers).push(reader);
    }

    /// Entries ever published.
    pub fn published(&self) -> u64 {
        self.head.0.load(Ordering::Acquire) / 2
    }

    /// Appends an entry and wakes those who hear the view: one store and one wake each, whatever they are doing.
    pub fn publish(&self, update: V::Update) {
        let (watchers, dropped) = {
            let mut log = lock(&self.entries);
            V::apply(&mut log.state, &update);
            log.entries.push_back(update);
            let dropped = if log.entries.len() > SIGNAL_LOG_MAX {
                log.first += 1;
                log.entries.pop_front()
            } else {
                None
            };
            self.head.0.fetch_add(2, Ordering::Release);
            (std::mem::take(&mut log.watchers), dropped)
        };
        drop(dropped);
        self.wake_all();
        watchers.into_iter().for_each(Waker::wake);
    }

    /// The last entry: after it a cursor says so and stays there.
    pub fn conclude(&self) {
        self.head.0.fetch_or(1, Ordering::Release);
        // After the head: whoever begins to wait from now on sees it.
        let watchers = std::mem::take(&mut lock(&self.entries).watchers);
        self.wake_all();
        watchers.into_iter().for_each(Waker::wake);
    }

    fn wake_all(&self) {
        for reader in lock(&self.readers).iter() {
            reader.wake();
        }
    }

    /// Waits until the state fulfils a condition, which is looked at now and after each entry, under the log's lock.
    /// Returns whether it does: `false` if the log was concluded before.
    ///
    /// # Cancel safety
    /// It may be dropped at any time: it only looks.
    pub async fn wait_until(&self, mut condition: impl FnMut(&V::State) -> bool) -> bool {
        std::future::poll_fn(|cx| {
            let mut log = lock(&self.entries);
            if condition(&log.state) {
                return Poll::Ready(true);
            }
            if self.head.0.load(Ordering::Acquire) & 1 == 1 {
                return Poll::Ready(false);
            }
            if !log.watchers.iter().any(|watcher| watcher.will_wake(cx.waker())) {
                log.watchers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// What a cursor finds.
pub enum Next<U> {
    /// An entry.
    Update(U),
    /// The end; once.
    Concluded,
    /// Nothing new.
    Nothing,
}

/// A subsystem's place in its log.
pub struct Cursor<V: View> {
    log: Arc<SignalLog<V>>,
    /// The head up to which everything was taken.
    taken: u64,
    seen: V::State,
    catch_ups: u64,
    restarted: bool,
    /// For others to read: entries taken.
    progress: Arc<std::sync::atomic::AtomicU64>,
}

impl<V: View> Cursor<V> {
    /// A cursor before the first entry. Entries that are gone already come as one catch-up.
    pub fn new(log: Arc<SignalLog<V>>) -> Self {
        Self { log, taken: 0, seen: V::State::default(), catch_ups: 0, restarted: false, progress: Arc::default() }
    }

    /// Whether there is an entry that was not taken: one load.
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.log.head.0.load(Ordering::Acquire) != self.taken
    }

    /// Takes the next entry: the next one published, or one catch-up for all that are gone from the log; then, once,
    /// the end.
    pub fn take_next(&mut self) -> Next<V::Update> {
        let head = self.log.head.0.load(Ordering::Acquire);
        let position = self.taken / 2;
        if head / 2 > position {
            let log = lock(&self.log.entries);
            if position >= log.first && !self.restarted {
                let update = log.entries[(position - log.first) as usize].clone();
                drop(log);
                V::apply(&mut self.seen, &update);
                self.advance(position + 1);
                return Next::Update(update);
            }
            let now = log.state.clone();
            let position = log.first + log.entries.len() as u64;
            drop(log);
            self.advance(position);
            self.catch_ups += u64::from(!std::mem::take(&mut self.restarted));
            let update = V::catch_up(&self.seen, &now);
            self.seen = now;
            return Next::Update(update);
        }
        if head != self.taken {
            self.taken |= 1;
            return Next::Concluded;
        }
        Next::Nothing
    }

    fn advance(&mut self, position: u64) {
        self.taken = position * 2 + (self.taken & 1);
        self.progress.store(position, std::sync::atomic::Ordering::Relaxed);
    }

    /// Forgets what was seen: the next entry is one catch-up from nothing to now, if anything was ever published. For a
    /// subsystem that starts again.
    pub fn restart(&mut self) {
        self.seen = V::State::default();
        self.taken &= 1;
        self.restarted = true;
    }

    /// How often this cursor fell out of the log.
    pub fn catch_ups(&self) -> u64 {
        self.catch_ups
    }

    /// Whether the end was taken.
    pub fn is_concluded(&self) -> bool {
        self.taken & 1 == 1
    }

    /// The log.
    pub fn log(&self) -> &Arc<SignalLog<V>> {
        &self.log
    }

    /// Entries taken so far, to be read by others.
    pub fn progress(&self) -> Arc<std::sync::atomic::AtomicU64> {
        self.progress.clone()
    }
}

#[cfg(all(test, not(loom)))]
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
        match cursor.take_next() {
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
        assert!(matches!(cursor.take_next(), Next::Concluded));
        assert!(matches!(cursor.take_next(), Next::Nothing));
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

    #[test]
    fn one_that_starts_again_is_told_what_is_so_in_one_entry() {
        let log = Arc::new(SignalLog::<Numbers>::new());
        let mut cursor = Cursor::new(log.clone());
        log.publish((vec![], vec![1]));
        log.publish((vec![1], vec![2, 3]));
        assert_eq!(take(&mut cursor), Some((vec![], vec![1])));
        cursor.restart();
        assert_eq!(take(&mut cursor), Some((vec![], vec![2, 3])));
        assert_eq!(take(&mut cursor), None);
        log.publish((vec![2], vec![]));
        assert_eq!(take(&mut cursor), Some((vec![2], vec![])));
        let mut fresh = Cursor::new(Arc::new(SignalLog::<Numbers>::new()));
        fresh.restart();
        assert_eq!(take(&mut fresh), None, "nothing was ever published");
    }
}
