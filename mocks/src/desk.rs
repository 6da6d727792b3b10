//! Where everything that crosses the subject's ports comes together: captors, stubs, the transcript.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deterministic::Clock;
use overseer::message::Inbox as _;
use overseer::{Context, Event, ExitReport, Failure, Nothing, Role, Subsystem};
use primitives::Hash;
use tokio::sync::watch;

use crate::notes;

/// Lines that a transcript holds; of more the number is told. A test that needs them is several tests.
pub const TRANSCRIPT_LINES_MAX: usize = 4096;

/// A message on its way to a captor.
pub(crate) struct Captured {
    pub(crate) role: &'static str,
    pub(crate) message: &'static str,
    pub(crate) inbox: Box<dyn Any + Send>,
}

pub(crate) type Stub<R> = Box<dyn FnMut(<R as Role>::Inbox) -> Option<<R as Role>::Inbox> + Send>;
pub(crate) type Describe<R> = Box<dyn Fn(&<R as Role>::Inbox) -> String + Send>;

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
    pub(crate) captured: VecDeque<Captured>,
    pub(crate) stubs: BTreeMap<TypeId, Box<dyn Any + Send>>,
    pub(crate) describes: BTreeMap<TypeId, Box<dyn Any + Send>>,
    pub(crate) doors: watch::Sender<Doors>,
    pub(crate) exit: Option<ExitReport>,
    pub(crate) sent: Vec<Sent>,
    /// Finished or failed: nothing is left to check.
    pub(crate) over: bool,
    /// Relay parents that were ever announced, with the ancestors named then.
    pub(crate) announced: BTreeSet<Hash>,
    /// What was sent about a relay parent that nobody had been told of.
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
    /// Adds a line to the transcript, after one that says how much time has passed since the last.
    pub(crate) fn tell(&mut self, now: Duration, line: String) {
        let passed = self.told_at.replace(now).map_or(Duration::ZERO, |before| now.saturating_sub(before));
        if !passed.is_zero() {
            self.push(format!("  {passed:?} pass"));
        }
        self.push(line);
    }

    fn push(&mut self, line: String) {
        if self.lines.len() < TRANSCRIPT_LINES_MAX {
            self.lines.push(line);
        } else {
            self.lines_beyond += 1;
        }
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

    /// A message as the transcript shows it: its name, and in brackets what is told of its content.
    pub(crate) fn describe<R: Role>(&self, inbox: &R::Inbox) -> String {
        let name = inbox.message_name();
        let by_test =
            self.describes.get(&TypeId::of::<R>()).and_then(|describe| describe.downcast_ref::<Describe<R>>());
        let detail = match by_test {
            Some(describe) => describe(inbox),
            None => notes::relay_parent(inbox).map(|hash| notes::short(&hash)).unwrap_or_default(),
        };
        if detail.is_empty() { name.to_owned() } else { format!("{name}({detail})") }
    }

    /// Takes in what the subject sent to role `R`: to the stub first, what that leaves is kept for the test.
    fn receive<R: Role>(&mut self, now: Duration, inbox: R::Inbox) {
        let message = inbox.message_name();
        let line = format!("→ {} {}", R::NAME, self.describe::<R>(&inbox));
        let early = notes::relay_parent(&inbox).filter(|hash| !self.announced.contains(hash));
        if let Some(hash) = early
            && self.too_early.is_none()
        {
            let hash = notes::short(&hash);
            self.too_early = Some(format!(
                "{message} was sent to {} before the signal of its relay parent {hash}: nobody can know that block yet",
                R::NAME
            ));
        }
        let stub = self.stubs.get_mut(&TypeId::of::<R>()).and_then(|stub| stub.downcast_mut::<Stub<R>>());
        let left = match stub {
            Some(stub) => stub(inbox),
            None => Some(inbox),
        };
        let stubbed = if left.is_some() { "" } else { " [stub]" };
        self.tell(now, line + stubbed);
        if let Some(inbox) = left {
            self.captured.push_back(Captured { role: R::NAME, message, inbox: Box::new(inbox) });
        }
    }
}

/// Stands in a neighbour's slot.
pub(crate) struct Captor<R> {
    desk: Arc<Mutex<Desk>>,
    clock: Arc<dyn Clock>,
    role: PhantomData<fn() -> R>,
}

impl<R: Role> Captor<R> {
    pub(crate) fn new(desk: Arc<Mutex<Desk>>, clock: Arc<dyn Clock>) -> Self {
        Self { desk, clock, role: PhantomData }
    }
}

impl<R: Role> Subsystem for Captor<R> {
    type Role = R;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    /// Receives while the subject concludes as well, where the test wants to see that.
    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut doors = lock(&self.desk).doors.subscribe();
        let mut concluding = false;
        loop {
            // The desk outlives every captor, so there is always somebody to open the doors.
            let _ = doors.wait_for(|doors| !doors.paused.contains(&TypeId::of::<R>())).await;
            tokio::select! {
                biased;
                event = context.recv() => match event {
                    Event::Signal(never) => match never {},
                    Event::Conclude => concluding = true,
                    Event::Message(inbox) => lock(&self.desk).receive::<R>(self.clock.now(), inbox),
                },
                _ = doors.wait_for(|doors| !doors.held), if concluding => return Ok(()),
            }
        }
    }
}
