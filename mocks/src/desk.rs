//! Where everything that crosses the subject's ports comes together: what was captured, stubs, the transcript.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use overseer::message::Inbox as _;
use overseer::{ExitReport, Role, View};
use tokio::sync::watch;

use crate::captor::Captures;

/// Lines that a transcript holds; of more the number is told. A test that needs them is several tests.
pub const TRANSCRIPT_LINES_MAX: usize = 4096;

/// What was sent to a mocked role.
pub(crate) struct Captured {
    pub(crate) role: &'static str,
    pub(crate) message: &'static str,
    /// The message; away while its stub looks at it.
    pub(crate) inbox: Option<Box<dyn Any + Send>>,
    /// Its line in the transcript, if there was room for it.
    line: Option<usize>,
    /// No stub has looked at it yet.
    is_new: bool,
}

impl Captured {
    pub(crate) fn is_for<R: Role>(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| inbox.is::<R::Inbox>())
    }
}

pub(crate) type Stub<R> = Box<dyn FnMut(<R as Role>::Inbox) -> Option<<R as Role>::Inbox> + Send>;
pub(crate) type Describe<R> = Box<dyn Fn(&<R as Role>::Inbox) -> String + Send>;

/// What a message is about, in words, and whether a signal has announced it.
pub(crate) type About<R> = Box<dyn Fn(&<R as Role>::Inbox, &Announced) -> Option<(String, bool)> + Send>;
/// Adds what an entry of a view announces, and says it in words.
pub(crate) type Announces<V> = Box<dyn Fn(&<V as View>::Update, &mut Announced) -> String + Send>;

/// Everything that signals have announced: a set for each type of thing.
#[derive(Default)]
pub(crate) struct Announced(BTreeMap<TypeId, Box<dyn Any + Send>>);

impl Announced {
    pub(crate) fn contains<K: Ord + 'static>(&self, thing: &K) -> bool {
        let things = self.0.get(&TypeId::of::<K>()).and_then(|things| things.downcast_ref::<BTreeSet<K>>());
        things.is_some_and(|things| things.contains(thing))
    }

    pub(crate) fn extend<K: Ord + Send + 'static>(&mut self, more: impl IntoIterator<Item = K>) {
        let things = self.0.entry(TypeId::of::<K>()).or_insert_with(|| Box::new(BTreeSet::<K>::new()));
        if let Some(things) = things.downcast_mut::<BTreeSet<K>>() {
            things.extend(more);
        }
    }
}

/// What has become of something that the test told or asked.
pub(crate) enum Fate {
    /// Received, answered, or looked at by the test.
    Settled,
    /// It still waits for a place in the subject's mailbox.
    Outside,
    /// The subject still owes the answer, and the test never looked.
    Waiting,
    /// The subject dropped it, with this error, and the test did not look.
    Refused(String),
}

/// What the test told or asked: its name, and what has become of it.
pub(crate) type Sent = (&'static str, Box<dyn Fn() -> Fate + Send>);

/// What captors wait for beside their mailboxes.
#[derive(Default)]
pub(crate) struct Doors {
    /// Roles that do not read.
    pub(crate) paused: BTreeSet<TypeId>,
    /// Captors receive on after they were told to conclude: the test is not through with the subject's end.
    pub(crate) held: bool,
}

#[derive(Default)]
pub(crate) struct Desk {
    /// In the order of sending.
    pub(crate) captured: VecDeque<Captured>,
    pub(crate) captors: Vec<Weak<dyn Captures>>,
    pub(crate) stubs: BTreeMap<TypeId, Box<dyn Any + Send>>,
    pub(crate) describes: BTreeMap<TypeId, Box<dyn Any + Send>>,
    pub(crate) doors: watch::Sender<Doors>,
    pub(crate) exit: Option<ExitReport>,
    pub(crate) sent: Vec<Sent>,
    /// Finished or failed: nothing is left to check.
    pub(crate) over: bool,
    /// Of each real subsystem, by message: what the test has told it and it has not received.
    pub(crate) told: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// By role.
    abouts: BTreeMap<TypeId, Box<dyn Any + Send>>,
    /// By view.
    announces: BTreeMap<TypeId, Box<dyn Any + Send>>,
    announced: Announced,
    /// What was sent about something that no signal had announced.
    pub(crate) too_early: Option<String>,
    lines: Vec<String>,
    lines_beyond: usize,
    /// Virtual time of the last line.
    told_at: Option<Duration>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Adds a line to the transcript, after one that says how much time has passed since the last. Returns its place.
    pub(crate) fn tell(&mut self, now: Duration, line: String) -> Option<usize> {
        let passed = self.told_at.replace(now).map_or(Duration::ZERO, |before| now.saturating_sub(before));
        if !passed.is_zero() {
            self.push(format!("  {passed:?} pass"));
        }
        self.push(line)
    }

    fn push(&mut self, line: String) -> Option<usize> {
        if self.lines.len() >= TRANSCRIPT_LINES_MAX {
            self.lines_beyond += 1;
            return None;
        }
        self.lines.push(line);
        Some(self.lines.len() - 1)
    }

    /// Whether role `R` does not read.
    pub(crate) fn is_paused<R: Role>(&self) -> bool {
        self.doors.borrow().paused.contains(&TypeId::of::<R>())
    }

    /// The transcript so far, a line each; it begins anew.
    pub(crate) fn take_transcript(&mut self) -> String {
        let mut text: String = std::mem::take(&mut self.lines).into_iter().map(|line| line + "\n").collect();
        let beyond = std::mem::take(&mut self.lines_beyond);
        if beyond > 0 {
            text += &format!("and {beyond} lines more\n");
        }
        text
    }

    pub(crate) fn set_about<R: Role, K: Ord + Send + 'static>(
        &mut self,
        about: impl Fn(&R::Inbox) -> Option<K> + Send + 'static,
        show: fn(&K) -> String,
    ) {
        let about: About<R> =
            Box::new(move |inbox, announced| about(inbox).map(|thing| (show(&thing), announced.contains(&thing))));
        self.abouts.insert(TypeId::of::<R>(), Box::new(about));
    }

    pub(crate) fn set_announces<V: View, K: Ord + Debug + Send + 'static>(
        &mut self,
        announces: impl Fn(&V::Update) -> Vec<K> + Send + 'static,
    ) {
        let announces: Announces<V> = Box::new(move |update, announced| {
            let things = announces(update);
            let words = things.iter().map(|thing| format!("{thing:?}")).collect::<Vec<_>>().join(", ");
            announced.extend(things);
            words
        });
        self.announces.insert(TypeId::of::<V>(), Box::new(announces));
    }

    /// From now on what this entry announces may be spoken of. Returns it in words.
    pub(crate) fn announce<V: View>(&mut self, update: &V::Update) -> String {
        let announces = self.announces.get(&TypeId::of::<V>()).and_then(|it| it.downcast_ref::<Announces<V>>());
        announces.map(|announces| announces(update, &mut self.announced)).unwrap_or_default()
    }

    fn about<R: Role>(&self, inbox: &R::Inbox) -> Option<(String, bool)> {
        let about = self.abouts.get(&TypeId::of::<R>())?.downcast_ref::<About<R>>()?;
        about(inbox, &self.announced)
    }

    /// A message as the transcript shows it: its name, and in brackets what is told of its content.
    pub(crate) fn describe<R: Role>(&self, inbox: &R::Inbox) -> String {
        let name = inbox.message_name();
        let by_test =
            self.describes.get(&TypeId::of::<R>()).and_then(|describe| describe.downcast_ref::<Describe<R>>());
        let detail = match by_test {
            Some(describe) => describe(inbox),
            None => self.about::<R>(inbox).map(|(thing, _)| thing).unwrap_or_default(),
        };
        if detail.is_empty() { name.to_owned() } else { format!("{name}({detail})") }
    }

    /// Notes whether a message that a real subsystem has sent to role `R` came too early.
    pub(crate) fn look<R: Role>(&mut self, inbox: &R::Inbox) {
        if let Some((thing, false)) = self.about::<R>(inbox) {
            let (message, role) = (inbox.message_name(), R::NAME);
            self.too_early.get_or_insert_with(|| {
                format!(
                    "{message} was sent to {role} before the signal that announces {thing}: nobody can know of it yet"
                )
            });
        }
    }

    /// The transcript's line on what a real subsystem has sent to role `R`.
    fn arrival<R: Role>(&mut self, inbox: &R::Inbox) -> String {
        self.look::<R>(inbox);
        format!("→ {} {}", R::NAME, self.describe::<R>(inbox))
    }

    /// Looks at what a real subsystem receives: from the test, which is told already, or from another one.
    pub(crate) fn pass<R: Role>(&mut self, now: Duration, inbox: &R::Inbox) {
        let told = self.told.get_mut(R::NAME).and_then(|told| told.get_mut(inbox.message_name()));
        match told {
            Some(count) if *count > 0 => *count -= 1,
            _ => {
                let line = self.arrival::<R>(inbox);
                self.tell(now, line + " [real]");
            }
        }
    }

    /// Takes in what was sent to the mocked role `R`.
    pub(crate) fn receive<R: Role>(&mut self, now: Duration, inbox: R::Inbox) {
        let (line, message) = (self.arrival::<R>(&inbox), inbox.message_name());
        let line = self.tell(now, line);
        let inbox: Option<Box<dyn Any + Send>> = Some(Box::new(inbox));
        self.captured.push_back(Captured { role: R::NAME, message, inbox, line, is_new: true });
    }
}

/// Lets the stub of role `R` look at what has come for it; what that leaves stays where it is, for the test.
pub(crate) fn serve<R: Role>(desk: &Mutex<Desk>) {
    let mut at = 0;
    loop {
        let mut locked = lock(desk);
        let Desk { captured, stubs, .. } = &mut *locked;
        let is_due = |captured: &Captured| captured.is_new && captured.is_for::<R>();
        let Some(due) = captured.iter().skip(at).position(is_due) else { return };
        at += due;
        captured[at].is_new = false;
        let Some(mut stub) = stubs.remove(&TypeId::of::<R>()) else {
            at += 1;
            continue;
        };
        let inbox = captured[at].inbox.take().and_then(|inbox| inbox.downcast::<R::Inbox>().ok());
        // Not under the lock: a stub may send, and what it sends is captured, behind all that is here.
        drop(locked);
        let left = match (stub.downcast_mut::<Stub<R>>(), inbox) {
            (Some(stub), Some(inbox)) => stub(*inbox),
            _ => None,
        };
        let mut locked = lock(desk);
        let Desk { captured, stubs, lines, .. } = &mut *locked;
        stubs.insert(TypeId::of::<R>(), stub);
        match left {
            Some(inbox) => {
                captured[at].inbox = Some(Box::new(inbox));
                at += 1;
            }
            None => {
                let line = captured.remove(at).and_then(|captured| captured.line).and_then(|line| lines.get_mut(line));
                if let Some(line) = line {
                    line.push_str(" [stub]");
                }
            }
        }
    }
}
