//! The shared signal log: one heartbeat that no message can overtake.
//!
//! One append-only log per view; each subsystem holds a cursor. Publishing stores an entry and wakes those who hear the
//! view; it never waits for a subsystem. The log keeps [`SIGNAL_LOG_MAX`] entries: a cursor that falls behind, or
//! starts late, gets one catch-up entry made from what it knew and what is so now.
//!
//! Entries are written once, into segments that the log and the cursors in them share: a cursor takes the log's lock
//! once per segment, and reads in between without one, while others are published.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};

use crate::sync::{Apart, AtomicU64, Mutex, Ordering, lock};

/// Entries that a log keeps for cursors that are behind.
pub const SIGNAL_LOG_MAX: usize = if cfg!(loom) { 2 } else { 256 };
/// Entries of a segment. A cursor that stands still keeps one segment alive.
const SEGMENT: u64 = if cfg!(loom) { 2 } else { 16 };
/// Entries by which the log's own state may lag while cursors that catch up copy it: well within those that are kept.
const STATE_LAG_MAX: u64 = SIGNAL_LOG_MAX as u64 / 2;

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

/// Entries in a row, each written once. The entry is there before the head tells of it.
struct Segment<U>([OnceLock<U>; SEGMENT as usize]);

impl<U> Segment<U> {
    fn entry(&self, position: u64) -> &OnceLock<U> {
        &self.0[(position % SEGMENT) as usize]
    }
}

impl<U> Default for Segment<U> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }
}

struct Entries<V: View> {
    /// All that a cursor may still read, the newest last. The last one may have no entry yet.
    segments: VecDeque<Arc<Segment<V::Update>>>,
    /// Number of the first segment kept: its first entry has this times [`SEGMENT`] as its position.
    first: u64,
    /// What is so after the first `applied` entries. Cursors that catch up copy it outside of the lock, and hold it
    /// meanwhile.
    state: Arc<V::State>,
    applied: u64,
    /// Those who wait for a state, by number.
    watchers: Vec<(u64, Waker)>,
    next_watcher: u64,
}

impl<V: View> Entries<V> {
    /// The segment that holds an entry, if that is kept still.
    fn segment(&self, position: u64) -> Option<&Arc<Segment<V::Update>>> {
        let index = (position / SEGMENT).checked_sub(self.first)?;
        self.segments.get(usize::try_from(index).ok()?)
    }

    /// Brings the state up to a number of entries. While somebody copies it, it is left as it is, unless somebody waits
    /// for a state or it would fall out of the log: then it is copied here.
    fn apply(&mut self, published: u64) {
        let must = !self.watchers.is_empty() || published - self.applied > STATE_LAG_MAX;
        if !must && Arc::get_mut(&mut self.state).is_none() {
            return;
        }
        while let Some(segment) = self.segment(self.applied).filter(|_| self.applied < published).cloned() {
            self.applied += 1;
            if let Some(update) = segment.entry(self.applied - 1).get() {
                V::apply(Arc::make_mut(&mut self.state), update);
            }
        }
    }
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
                segments: VecDeque::new(),
                first: 0,
                state: Arc::default(),
                applied: 0,
                watchers: Vec::new(),
                next_watcher: 0,
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

    /// Whether it is at its end.
    pub fn is_concluded(&self) -> bool {
        self.head.0.load(Ordering::Acquire) & 1 == 1
    }

    /// Appends an entry and wakes those who hear the view: one store and one wake each, whatever they are doing. It does
    /// not wait while somebody catches up. The state is copied here only when such a copy is under way and either
    /// somebody waits for a state ([`wait_until`](Self::wait_until)) or half of the log was published meanwhile.
    ///
    /// # Errors
    /// Hands the entry back if the log is concluded: nobody would be told of it.
    pub fn publish(&self, update: V::Update) -> Result<(), V::Update> {
        let (watchers, dropped) = {
            let mut log = lock(&self.entries);
            let head = self.head.0.load(Ordering::Relaxed);
            if head & 1 == 1 {
                return Err(update);
            }
            let position = head / 2;
            if position.is_multiple_of(SEGMENT) {
                log.segments.push_back(Arc::default());
            }
            if let Some(last) = log.segments.back() {
                // Nobody else writes, and this is the first time at this position: it is empty.
                let _ = last.entry(position).set(update);
            }
            // With this entry, the oldest that is kept is one of the second segment or later.
            let is_past = position + 1 >= (log.first + 1) * SEGMENT + SIGNAL_LOG_MAX as u64;
            let dropped = if is_past {
                log.first += 1;
                log.segments.pop_front()
            } else {
                None
            };
            self.head.0.fetch_add(2, Ordering::Release);
            // Last: if the view panics in it, the entry is published all the same.
            log.apply(position + 1);
            (std::mem::take(&mut log.watchers), dropped)
        };
        drop(dropped);
        self.wake_all();
        watchers.into_iter().for_each(|(_, watcher)| watcher.wake());
        Ok(())
    }

    /// The last entry: after it a cursor says so and stays there.
    pub fn conclude(&self) {
        let watchers = {
            let mut log = lock(&self.entries);
            self.head.0.fetch_or(1, Ordering::Release);
            // Whoever begins to wait from now on sees the head.
            std::mem::take(&mut log.watchers)
        };
        self.wake_all();
        watchers.into_iter().for_each(|(_, watcher)| watcher.wake());
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
        let mut watching = Watching { log: self, number: None };
        std::future::poll_fn(|cx| {
            let mut replaced = None;
            let mut log = lock(&self.entries);
            let number = *watching.number.get_or_insert_with(|| {
                log.next_watcher += 1;
                log.next_watcher
            });
            match log.watchers.iter_mut().find(|(known, _)| *known == number) {
                Some((_, watcher)) if watcher.will_wake(cx.waker()) => {}
                // Dropped after the lock.
                Some((_, watcher)) => replaced = Some(std::mem::replace(watcher, cx.waker().clone())),
                None => log.watchers.push((number, cx.waker().clone())),
            }
            // Somebody waits now: the state is as new as the log.
            log.apply(self.published());
            if condition(&log.state) {
                return Poll::Ready(true);
            }
            if self.is_concluded() {
                return Poll::Ready(false);
            }
            drop(log);
            drop(replaced);
            Poll::Pending
        })
        .await
    }
}

/// Somebody who waits for a state; takes the waker away that it left.
struct Watching<'a, V: View> {
    log: &'a SignalLog<V>,
    number: Option<u64>,
}

impl<V: View> Drop for Watching<'_, V> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let left = {
            let mut log = lock(&self.log.entries);
            let position = log.watchers.iter().position(|(known, _)| *known == number);
            position.map(|position| log.watchers.swap_remove(position))
        };
        // Outside the lock: it may be the last handle of a task.
        drop(left);
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

/// A subsystem's place in its log. What each entry changes comes first.
#[repr(C)]
pub struct Cursor<V: View> {
    log: Arc<SignalLog<V>>,
    /// The head up to which everything was taken.
    taken: u64,
    /// The segment of the entry that was taken last.
    segment: Option<Arc<Segment<V::Update>>>,
    seen: V::State,
    catch_ups: u64,
    restarted: bool,
}

impl<V: View> Cursor<V> {
    /// A cursor before the first entry. Entries that are gone already come as one catch-up.
    pub fn new(log: Arc<SignalLog<V>>) -> Self {
        Self { log, taken: 0, segment: None, seen: V::State::default(), catch_ups: 0, restarted: false }
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
        let (position, published) = (self.taken / 2, head / 2);
        if published > position {
            let is_gone = published - position > SIGNAL_LOG_MAX as u64;
            if let Some(update) = if is_gone || self.restarted { None } else { self.entry(position) } {
                V::apply(&mut self.seen, &update);
                self.advance(position + 1);
                return Next::Update(update);
            }
            return Next::Update(self.catch_up());
        }
        if head != self.taken {
            self.taken |= 1;
            return Next::Concluded;
        }
        Next::Nothing
    }

    /// The entry at a position that was published; `None` if it is no longer kept.
    fn entry(&mut self, position: u64) -> Option<V::Update> {
        if position.is_multiple_of(SEGMENT) || self.segment.is_none() {
            self.segment = lock(&self.log.entries).segment(position).cloned();
        }
        self.segment.as_ref()?.entry(position).get().cloned()
    }

    #[cold]
    fn catch_up(&mut self) -> V::Update {
        // The segment of the next entry is looked up when that is there.
        let left = self.segment.take();
        let (now, position) = {
            let log = lock(&self.log.entries);
            (log.state.clone(), log.applied)
        };
        drop(left);
        // Outside of the lock: it may take long, and nobody who publishes waits for it.
        let now = V::State::clone(&now);
        self.advance(position);
        self.catch_ups += u64::from(!std::mem::take(&mut self.restarted));
        let update = V::catch_up(&self.seen, &now);
        self.seen = now;
        update
    }

    fn advance(&mut self, position: u64) {
        self.taken = position * 2 + (self.taken & 1);
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

    /// Entries taken so far.
    pub fn heard(&self) -> u64 {
        self.taken / 2
    }

    /// The log.
    pub fn log(&self) -> &Arc<SignalLog<V>> {
        &self.log
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
        log.publish((vec![], vec![1])).expect("it is not concluded");
        log.publish((vec![1], vec![2])).expect("it is not concluded");
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
        log.publish((vec![], vec![0])).expect("it is not concluded");
        assert_eq!(take(&mut slow), Some((vec![], vec![0])));
        for number in 1..=(SIGNAL_LOG_MAX as u32 + 10) {
            log.publish((vec![number - 1], vec![number])).expect("it is not concluded");
        }
        assert_eq!(take(&mut slow), Some((vec![0], vec![SIGNAL_LOG_MAX as u32 + 10])));
        assert_eq!(take(&mut slow), None);
        assert_eq!(slow.catch_ups(), 1);
        let kept = lock(&log.entries).segments.len() as u64 * SEGMENT;
        assert!((SIGNAL_LOG_MAX as u64..SIGNAL_LOG_MAX as u64 + 2 * SEGMENT).contains(&kept), "{kept}");
    }

    mod gated {
        use super::*;
        use std::sync::mpsc::{Receiver, Sender, channel};

        /// Tells that it is cloned, and waits there until it is let go.
        pub(super) struct Gate(Mutex<(Sender<()>, Receiver<()>)>);

        /// A number; each clone of it passes a gate, if there is one.
        #[derive(Default)]
        pub(super) struct Number(pub(super) u64, pub(super) Option<Arc<Gate>>);
        impl Clone for Number {
            fn clone(&self) -> Self {
                if let Some(gate) = &self.1 {
                    let gate = gate.0.try_lock().expect("one copy at a time");
                    gate.0.send(()).expect("the test listens");
                    gate.1.recv().expect("the test lets it go");
                }
                Self(self.0, None)
            }
        }

        /// Adds up, from the entry that brings a gate on.
        pub(super) enum Sum {}
        impl View for Sum {
            type Update = (u64, Option<Arc<Gate>>);
            type State = Number;
            fn apply(state: &mut Number, (more, gate): &Self::Update) {
                state.0 += more;
                state.1 = gate.clone().or(state.1.take());
            }
            fn catch_up(seen: &Number, now: &Number) -> Self::Update {
                (now.0 - seen.0, None)
            }
        }

        /// The gate, who is told of each clone, and what lets it go.
        pub(super) fn gate() -> (Arc<Gate>, Receiver<()>, Sender<()>) {
            let ((began, begins), (go, goes)) = (channel(), channel());
            (Arc::new(Gate(Mutex::new((began, goes)))), begins, go)
        }
    }

    #[test]
    fn publishing_waits_for_nobody_who_catches_up_and_copies_nothing() {
        let log = Arc::new(SignalLog::<gated::Sum>::new());
        let publish = |more, gate| log.publish((more, gate)).map_err(drop).expect("it is not concluded");
        (0..SIGNAL_LOG_MAX).for_each(|_| publish(1, None));
        let (gate, begins, go) = gated::gate();
        publish(1, Some(gate));
        let mut late = Cursor::new(log.clone());
        let catching_up = std::thread::spawn(move || {
            let Next::Update((first, _)) = late.take_next() else { panic!("it is behind") };
            let mut rest = 0;
            while let Next::Update((more, _)) = late.take_next() {
                rest += more;
            }
            (first, rest, late.catch_ups())
        });
        begins.recv().expect("it copies the state");
        // It stands in the copy, outside of the lock. Each of these would panic at the gate if it copied as well.
        assert!(log.entries.try_lock().is_ok(), "it copies under the lock");
        (0..STATE_LAG_MAX).for_each(|_| publish(1, None));
        assert_eq!(lock(&log.entries).applied, SIGNAL_LOG_MAX as u64 + 1, "the state is in use");
        go.send(()).expect("it is there");
        let all = SIGNAL_LOG_MAX as u64 + 1;
        let (first, rest, catch_ups) = catching_up.join().expect("it does not panic");
        assert_eq!((first, rest, catch_ups), (all, STATE_LAG_MAX, 1), "what came meanwhile comes entry by entry");
        // Nobody copies it any more: it is brought up to date in place.
        publish(1, None);
        assert_eq!(lock(&log.entries).state.0, all + STATE_LAG_MAX + 1);
        assert!(begins.try_recv().is_err(), "it was copied once");
    }

    #[test]
    fn who_waits_for_a_state_sees_all_that_was_published_though_somebody_copies_it() {
        let log = SignalLog::<Numbers>::new();
        log.publish((vec![], vec![1])).expect("it is not concluded");
        let copied = lock(&log.entries).state.clone();
        log.publish((vec![], vec![2])).expect("it is not concluded");
        assert!(!lock(&log.entries).state.contains(&2), "it is in use");
        let mut cx = std::task::Context::from_waker(Waker::noop());
        let mut wait = Box::pin(log.wait_until(|lit| lit.contains(&3)));
        assert!(Box::pin(log.wait_until(|lit| lit.contains(&2))).as_mut().poll(&mut cx).is_ready());
        let copied = (copied, lock(&log.entries).state.clone());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        log.publish((vec![], vec![3])).expect("it is not concluded");
        assert!(wait.as_mut().poll(&mut cx).is_ready());
        // However long one copies, the state does not fall out of the log.
        drop(wait);
        let held = (copied, lock(&log.entries).state.clone());
        for number in 0..SIGNAL_LOG_MAX as u32 * 2 {
            log.publish((vec![], vec![number])).expect("it is not concluded");
            assert!(log.published() - lock(&log.entries).applied <= STATE_LAG_MAX);
        }
        assert!(lock(&log.entries).applied > SIGNAL_LOG_MAX as u64);
        drop(held);
    }

    #[test]
    fn a_wait_that_is_dropped_leaves_no_waker() {
        let log = SignalLog::<Numbers>::new();
        let mut cx = std::task::Context::from_waker(Waker::noop());
        {
            let (mut one, mut other) =
                (Box::pin(log.wait_until(|_| false)), Box::pin(log.wait_until(|lit| lit.contains(&1))));
            for _ in 0..3 {
                assert!(one.as_mut().poll(&mut cx).is_pending() && other.as_mut().poll(&mut cx).is_pending());
            }
            assert_eq!(lock(&log.entries).watchers.len(), 2);
            drop(one);
            assert_eq!(lock(&log.entries).watchers.len(), 1);
            log.publish((vec![], vec![1])).expect("it is not concluded");
            assert_eq!(other.as_mut().poll(&mut cx), Poll::Ready(true));
        }
        assert!(lock(&log.entries).watchers.is_empty());
    }

    #[test]
    fn what_is_published_after_the_end_comes_back_and_changes_nothing() {
        let log = Arc::new(SignalLog::<Numbers>::new());
        let mut cursor = Cursor::new(log.clone());
        log.conclude();
        assert_eq!(log.publish((vec![], vec![1])), Err((vec![], vec![1])));
        assert!(lock(&log.entries).state.is_empty());
        assert!(matches!(cursor.take_next(), Next::Concluded));
        assert!(!cursor.is_behind());
    }

    #[test]
    fn the_oldest_entry_kept_is_given_itself_and_one_older_is_not() {
        let log = Arc::new(SignalLog::<Numbers>::new());
        let (mut just, mut late) = (Cursor::new(log.clone()), Cursor::new(log.clone()));
        for number in 0..SIGNAL_LOG_MAX as u32 {
            log.publish((vec![], vec![number])).expect("it is not concluded");
        }
        for number in 0..SIGNAL_LOG_MAX as u32 {
            assert_eq!(take(&mut just), Some((vec![], vec![number])));
        }
        log.publish((vec![0], vec![])).expect("it is not concluded");
        assert_eq!(take(&mut just), Some((vec![0], vec![])));
        assert_eq!(take(&mut late), Some((vec![], (1..SIGNAL_LOG_MAX as u32).collect())));
        assert_eq!((just.catch_ups(), late.catch_ups()), (0, 1));
    }

    #[test]
    fn entries_that_nobody_can_read_are_dropped() {
        let log = Arc::new(SignalLog::<Counted>::new());
        let token = Arc::new(());
        let mut slow = Cursor::new(log.clone());
        log.publish(token.clone()).expect("it is not concluded");
        drop(slow.take_next());
        for _ in 0..SIGNAL_LOG_MAX as u32 * 3 {
            log.publish(token.clone()).expect("it is not concluded");
        }
        let most = SIGNAL_LOG_MAX + 3 * SEGMENT as usize;
        assert!(Arc::strong_count(&token) <= 1 + most, "{}", Arc::strong_count(&token));
    }

    enum Counted {}
    impl View for Counted {
        type Update = Arc<()>;
        type State = ();
        fn apply((): &mut (), _: &Self::Update) {}
        fn catch_up((): &(), (): &()) -> Self::Update {
            Arc::default()
        }
    }

    #[test]
    fn one_that_starts_again_is_told_what_is_so_in_one_entry() {
        let log = Arc::new(SignalLog::<Numbers>::new());
        let mut cursor = Cursor::new(log.clone());
        log.publish((vec![], vec![1])).expect("it is not concluded");
        log.publish((vec![1], vec![2, 3])).expect("it is not concluded");
        assert_eq!(take(&mut cursor), Some((vec![], vec![1])));
        cursor.restart();
        assert_eq!(take(&mut cursor), Some((vec![], vec![2, 3])));
        assert_eq!(take(&mut cursor), None);
        log.publish((vec![2], vec![])).expect("it is not concluded");
        assert_eq!(take(&mut cursor), Some((vec![2], vec![])));
        let mut fresh = Cursor::new(Arc::new(SignalLog::<Numbers>::new()));
        fresh.restart();
        assert_eq!(take(&mut fresh), None, "nothing was ever published");
    }
}
