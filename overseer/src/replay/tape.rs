//! The tape, and the reel that writes it or plays it back.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::future::{Future, poll_fn};
use std::hash::{DefaultHasher, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;

use deterministic::{BoxFuture, panic_message};
use overseer_core::sync::lock;

use super::Difference;

/// Events that a tape holds; what comes after is not recorded. Some minutes of a busy subsystem.
pub const TAPE_EVENTS_MAX: usize = 1 << 18;
/// Characters of an event's text that are kept to be shown; the whole text is compared.
pub const SHOWN_CHARS_MAX: usize = 1024;
/// Events that a [`Difference`] shows before it.
const SHOWN_BEFORE: usize = 6;

/// What waits for the mailbox waits for this, what begins outside of a tape for nothing on it.
const MAILBOX: usize = usize::MAX - 1;
const UNRECORDED: usize = usize::MAX;

/// What an event brought, to be handed out again.
pub(crate) type Value = Box<dyn Any + Send>;

/// The words of an event: its beginning to be shown, a digest of all of it to be compared.
pub(crate) struct Text {
    shown: String,
    shown_chars: usize,
    hasher: DefaultHasher,
}

impl Text {
    pub(crate) fn new(words: fmt::Arguments<'_>) -> Self {
        let mut text = Self { shown: String::new(), shown_chars: 0, hasher: DefaultHasher::new() };
        // A `Debug` that fails leaves what it has written.
        let _ = text.write_fmt(words);
        text
    }

    fn digest(&self) -> u64 {
        self.hasher.finish()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.hasher.write(part.as_bytes());
        let room = SHOWN_CHARS_MAX - self.shown_chars;
        let kept = part.char_indices().nth(room).map_or(part.len(), |(end, _)| end);
        self.shown.push_str(&part[..kept]);
        self.shown_chars += part[..kept].chars().count();
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// A task of the subsystem is polled: its loop, or the one that this event spawned.
    Turn(usize),
    /// The subsystem does something; what it is given in return at once is the value.
    Act,
    /// What it waits for since that event is there.
    Arrival(usize),
}

pub(crate) struct Entry {
    what: What,
    text: Text,
    value: Value,
}

/// A full recording of one subsystem: everything that crossed its context, in order. Cheap to clone; all clones are the
/// same tape.
///
/// It is filled by [`Builder::fill_recorded`](crate::node::Builder::fill_recorded) and played by
/// [`replay`](super::replay). At most [`TAPE_EVENTS_MAX`] events are kept: of a longer run the beginning.
#[derive(Clone, Default)]
pub struct Tape {
    pub(crate) entries: Arc<Mutex<Vec<Entry>>>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        lock(&self.entries).len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events in words, a line each, with the number of each.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.entries).iter().enumerate().map(|(at, entry)| format!("{at} {}", entry.text.shown)).collect()
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tape of {} events", self.len())
    }
}

/// Where a tape is played.
#[derive(Default)]
struct Playing {
    position: usize,
    in_turn: bool,
    difference: Option<Difference>,
    /// Of those who wait for an arrival.
    wakers: BTreeMap<usize, Waker>,
    spawned: Vec<(usize, BoxFuture<()>)>,
}

enum Mode {
    Records {
        /// The tasks of a recorded subsystem take turns: two of them polled at once have no order.
        turns: Mutex<()>,
        holder: Mutex<Option<ThreadId>>,
    },
    Plays(Mutex<Playing>),
}

/// What a recorded or replayed context goes through; made by the framework.
#[derive(Clone)]
pub struct Reel {
    entries: Arc<Mutex<Vec<Entry>>>,
    mode: Arc<Mode>,
}

impl Reel {
    pub(crate) fn recording(tape: &Tape) -> Self {
        let mode = Mode::Records { turns: Mutex::default(), holder: Mutex::default() };
        Self { entries: tape.entries.clone(), mode: Arc::new(mode) }
    }

    pub(crate) fn playing(tape: &Tape) -> Self {
        Self { entries: tape.entries.clone(), mode: Arc::new(Mode::Plays(Mutex::default())) }
    }

    /// Appends an event; [`UNRECORDED`] when the tape is full or what happens is no doing of the subsystem's tasks:
    /// what is dropped with them at the end, or done by work that was handed to other threads.
    fn push(&self, what: What, text: Text, value: Value) -> usize {
        if let Mode::Records { holder, .. } = &*self.mode
            && *lock(holder) != Some(std::thread::current().id())
        {
            return UNRECORDED;
        }
        let mut entries = lock(&self.entries);
        if entries.len() >= TAPE_EVENTS_MAX {
            return UNRECORDED;
        }
        entries.push(Entry { what, text, value });
        entries.len() - 1
    }

    /// The subsystem does something at once. Recording, it is done, and its outcome kept. Playing, it is compared, and
    /// the outcome is the recorded one. Returns the number of the event as well, for what is waited for because of it.
    ///
    /// # Panics
    /// Playing, at the first difference and after it, and at the end of a tape that is full: up to
    /// [`replay`](super::replay()).
    pub(crate) fn act<V>(&self, text: Text, live: impl FnOnce(usize) -> V) -> (usize, V)
    where
        V: Clone + Default + Send + 'static,
    {
        let Mode::Plays(playing) = &*self.mode else {
            let at = self.push(What::Act, text, Box::new(()));
            let outcome = live(at);
            if at != UNRECORDED {
                lock(&self.entries)[at].value = Box::new(outcome.clone());
            }
            return (at, outcome);
        };
        let mut playing = lock(playing);
        if !playing.in_turn {
            return (UNRECORDED, V::default());
        }
        let at = playing.position;
        let (outcome, expected) = match lock(&self.entries).get(at) {
            _ if playing.difference.is_some() => (None, None),
            Some(entry) if entry.what == What::Act && entry.text.digest() == text.digest() => {
                (entry.value.downcast_ref::<V>().cloned(), Some(String::new()))
            }
            Some(entry) => (None, Some(entry.text.shown.clone())),
            // Of a tape that is full nobody knows how it went on.
            None if at >= TAPE_EVENTS_MAX => (None, None),
            None => (None, Some("nothing more".to_owned())),
        };
        let Some(outcome) = outcome else {
            if let Some(expected) = expected {
                let beyond = if expected == text.shown { " (differs beyond what is shown)" } else { "" };
                playing.difference = Some(self.difference(at, expected, text.shown + beyond));
            }
            drop(playing);
            // Nothing is run after the first difference, also of one who would go on without ever waiting. What is
            // dropped on the way out goes on.
            if !std::thread::panicking() {
                resume_unwind(Box::new("the replay is over"));
            }
            return (UNRECORDED, V::default());
        };
        self.advance(playing);
        (at, outcome)
    }

    /// What was begun with the event `at` is there. Recording, `live` is awaited. Playing, its turn is.
    pub(crate) async fn wait<V: Send + 'static>(
        &self,
        at: usize,
        copy: impl Fn(&dyn Any) -> Option<Value>,
        words: impl FnOnce(&V) -> Text,
        live: impl Future<Output = V>,
    ) -> V {
        if let Mode::Records { .. } = &*self.mode {
            let value = live.await;
            if at != UNRECORDED
                && let Some(copied) = copy(&value)
            {
                self.push(What::Arrival(at), words(&value), copied);
            }
            return value;
        }
        let taken = |value: &Value, _| copy(&**value)?.downcast::<V>().ok().map(|value| *value);
        poll_fn(|cx| self.poll_arrival(at, cx, taken)).await
    }

    /// A message or signal was received. Returns the number of the event.
    pub(crate) fn received(&self, words: fmt::Arguments<'_>, value: Value) -> usize {
        self.push(What::Arrival(MAILBOX), Text::new(words), value)
    }

    /// Playing: what is received next, if its time has come.
    pub(crate) fn poll_received<T>(&self, cx: &mut Context<'_>, take: impl Fn(&Value, usize) -> Option<T>) -> Poll<T> {
        self.poll_arrival(MAILBOX, cx, take)
    }

    pub(crate) fn is_playing(&self) -> bool {
        matches!(&*self.mode, Mode::Plays(_))
    }

    fn poll_arrival<T>(&self, of: usize, cx: &mut Context<'_>, take: impl Fn(&Value, usize) -> Option<T>) -> Poll<T> {
        let Mode::Plays(playing) = &*self.mode else { return Poll::Pending };
        let mut playing = lock(playing);
        if playing.difference.is_some() || !playing.in_turn {
            return Poll::Pending;
        }
        let at = playing.position;
        let taken = match lock(&self.entries).get(at) {
            Some(entry) if entry.what == What::Arrival(of) => match take(&entry.value, at) {
                Some(value) => Ok(value),
                None => Err(entry.text.shown.clone()),
            },
            _ => {
                playing.wakers.insert(of, cx.waker().clone());
                return Poll::Pending;
            }
        };
        match taken {
            Ok(value) => {
                self.advance(playing);
                Poll::Ready(value)
            }
            Err(expected) => {
                let came = "a subsystem that hears no such thing".to_owned();
                playing.difference = Some(self.difference(at, expected, came));
                Poll::Pending
            }
        }
    }

    /// To the next event; who waits for it is woken, for futures that poll only those of their parts that were.
    fn advance(&self, mut playing: MutexGuard<'_, Playing>) {
        playing.position += 1;
        let next = lock(&self.entries).get(playing.position).map(|entry| entry.what);
        let waker = match next {
            Some(What::Arrival(of)) => playing.wakers.remove(&of),
            _ => None,
        };
        drop(playing);
        waker.into_iter().for_each(Waker::wake);
    }

    fn difference(&self, at: usize, expected: String, came: String) -> Difference {
        let entries = lock(&self.entries);
        let from = at.saturating_sub(SHOWN_BEFORE);
        let shown = entries[from..at.min(entries.len())].iter().enumerate();
        let before = shown.map(|(index, entry)| format!("{} {}", from + index, entry.text.shown)).collect();
        Difference { at, expected, came, before }
    }

    /// A task of the subsystem, such that its polls and its end are events. A panic is such an end, and goes on from there.
    pub(crate) fn in_turns<F>(
        &self,
        task: usize,
        name: &str,
        future: F,
        end: fn(&F::Output) -> Option<String>,
    ) -> impl Future<Output = F::Output> + Send + use<F>
    where
        F: Future + Send + 'static,
    {
        let (reel, name) = (self.clone(), name.to_owned());
        // Unconstrained: a budget that runs out in the middle of a poll is none of the subsystem's doing.
        let mut future = Some(Box::pin(tokio::task::unconstrained(future)));
        poll_fn(move |cx| {
            let _turn = reel.begin_turn(task, &name);
            let Some(running) = &mut future else { return Poll::Pending };
            let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
            let how = match &polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(output)) => end(output),
                Err(panic) => Some(format!("panicked: {}", panic_message(&**panic))),
            };
            // What the task held goes within its turn.
            future = None;
            let how = how.map(|how| format!(": {how}")).unwrap_or_default();
            reel.act(Text::new(format_args!("{name} ends{how}")), |_| ());
            polled.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    fn begin_turn(&self, task: usize, name: &str) -> Turn<'_> {
        let order = match &*self.mode {
            // Spawned by nobody on the tape: its doings are not on it either.
            Mode::Records { .. } if task == UNRECORDED => None,
            Mode::Records { turns, holder } => {
                let order = lock(turns);
                *lock(holder) = Some(std::thread::current().id());
                self.push(What::Turn(task), Text::new(format_args!("{name} runs")), Box::new(()));
                Some(order)
            }
            Mode::Plays(playing) => {
                lock(playing).in_turn = true;
                None
            }
        };
        Turn { reel: self, order }
    }

    /// Playing: adds a task that the subsystem has spawned.
    pub(crate) fn spawn(&self, at: usize, task: BoxFuture<()>) {
        if let Mode::Plays(playing) = &*self.mode
            && at != UNRECORDED
        {
            lock(playing).spawned.push((at, task));
        }
    }

    /// Playing: the tasks spawned since the last look.
    pub(crate) fn take_spawned(&self) -> Vec<(usize, BoxFuture<()>)> {
        let Mode::Plays(playing) = &*self.mode else { return Vec::new() };
        std::mem::take(&mut lock(playing).spawned)
    }

    /// Playing: whose turn is next; `None` at the end.
    pub(crate) fn next_turn(&self, is_alive: impl Fn(usize) -> bool) -> Result<Option<usize>, Difference> {
        let Mode::Plays(playing) = &*self.mode else { return Ok(None) };
        let mut playing = lock(playing);
        if let Some(difference) = playing.difference.take() {
            return Err(difference);
        }
        let at = playing.position;
        let (what, expected) = match lock(&self.entries).get(at) {
            None => return Ok(None),
            Some(entry) => (entry.what, entry.text.shown.clone()),
        };
        match what {
            What::Turn(task) if is_alive(task) => {
                self.advance(playing);
                Ok(Some(task))
            }
            What::Turn(_) => Err(self.difference(at, expected, "nothing: that task has ended".to_owned())),
            What::Act | What::Arrival(_) => Err(self.difference(at, expected, "nothing: it waits".to_owned())),
        }
    }
}

impl fmt::Debug for Reel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reel")
    }
}

/// While a task of the subsystem is polled.
struct Turn<'a> {
    reel: &'a Reel,
    order: Option<MutexGuard<'a, ()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        match &*self.reel.mode {
            Mode::Records { holder, .. } if self.order.is_some() => *lock(holder) = None,
            Mode::Records { .. } => {}
            Mode::Plays(playing) => lock(playing).in_turn = false,
        }
    }
}
