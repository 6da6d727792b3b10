//! The harness: a test's hands on a node whose slots are captors but for the subject's.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deterministic::simulation::CostTable;
use deterministic::{Environment, Simulation};
use messages::{LeavesUpdate, RelayParents};
use overseer::mailbox::MailboxLimits;
use overseer::message::Post;
use overseer::node::{Builder, ExitCause};
use overseer::port::Tap;
use overseer::replay::{Recordable, Tape};
use overseer::{Ask, AskError, Handle, Message, Outside, Request, Role, Subsystem, View, Wait};

use crate::desk::{Captor, Describe, Desk, Fate, Stub, lock};
use crate::{notes, roles};

/// The environment label of the subject and its tasks.
const SUBJECT: &str = "subject";

/// The test as a sender of one message.
struct Tells<M>(PhantomData<fn() -> M>);
impl<M: Post> Outside for Tells<M> {
    const NAME: &'static str = "test";
    type Sends = (Wait<M>,);
}

/// The test as an asker of one question.
struct Asks<M>(PhantomData<fn() -> M>);
impl<M: Request> Outside for Asks<M> {
    const NAME: &'static str = "test";
    type Sends = (Ask<M>,);
}

enum Answer<T> {
    Awaited,
    /// The test looked, and it was not there yet.
    Missed,
    Here(Result<T, AskError>),
    Taken,
}

/// An answer that the test waits for: from [`Harness::ask`].
pub struct Waiting<T> {
    answer: Arc<Mutex<Answer<T>>>,
    /// Tells the harness whether the test can still look.
    _held: Arc<()>,
}

impl<T> Waiting<T> {
    /// The answer, or why there is none, if either is there; `None` while the subject owes it, and after it was taken.
    pub fn take(&self) -> Option<Result<T, AskError>> {
        let mut answer = lock(&self.answer);
        match std::mem::replace(&mut *answer, Answer::Taken) {
            Answer::Here(result) => Some(result),
            Answer::Awaited | Answer::Missed => {
                *answer = Answer::Missed;
                None
            }
            Answer::Taken => None,
        }
    }
}

/// The slots of a node that [`node_with`] puts together: what is not filled is mocked.
///
/// A slot that is filled or mocked twice holds what came last, but for [`mock`](Self::mock), which leaves a real
/// subsystem where it is.
pub struct Slots {
    builder: Builder,
    roles: Vec<&'static str>,
    desk: Arc<Mutex<Desk>>,
    environment: Environment,
}

impl Slots {
    /// Clock, randomness, spawner and computing, for subsystems that want them when they are made.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Puts a real subsystem into its slot.
    pub fn fill<S: Subsystem>(&mut self, subsystem: S) {
        self.name_role::<S::Role>();
        self.builder.fill(subsystem);
    }

    /// Puts a real subsystem into its slot, and all that crosses its context onto a tape, for
    /// [`overseer::replay::replay`].
    pub fn record<S: Recordable>(&mut self, tape: &Tape, subsystem: S) {
        self.name_role::<S::Role>();
        self.builder.fill_recorded(tape, subsystem);
    }

    /// Puts a captor into a slot that is empty. The slots of the parachain host need not be named; those of a node of
    /// your own do.
    pub fn mock<R: Role>(&mut self) {
        self.name_role::<R>();
        if !self.builder.is_filled::<R>() {
            self.builder.fill(Captor::<R>::new(self.desk.clone(), self.environment.clock.clone()));
        }
    }

    /// The limits of a role's mailbox, as of a neighbour that is soon full; call before its slot is filled.
    pub fn mailbox_limits<R: Role>(&mut self, limits: MailboxLimits) {
        self.builder.mailbox_limits::<R>(limits);
    }

    /// Puts a tap on what role `R` sends as `M`.
    pub fn tap<R: Role, M: Message>(&mut self, tap: impl Tap<M>) {
        self.builder.tap::<R, M>(tap);
    }

    fn name_role<R: Role>(&mut self) {
        if !self.roles.contains(&R::NAME) {
            self.roles.push(R::NAME);
        }
    }
}

/// A node of the parachain host, with real subsystems where `make` fills a slot and captors everywhere else. The same
/// seed gives the same run.
///
/// # Panics
/// If what `make` filled sends in a circle of waits, or to a role of your own that has no slot; who and what is named.
///
/// # Examples
/// ```
/// # fn one() -> overseer::subsystem::Drain<messages::provisioner::Provisioner> { Default::default() }
/// # fn other() -> overseer::subsystem::Drain<messages::candidate_backing::CandidateBacking> { Default::default() }
/// let harness = mocks::node_with(7, |slots| {
///     slots.fill(one());
///     slots.fill(other());
/// });
/// harness.finish();
/// ```
pub fn node_with(seed: u64, make: impl FnOnce(&mut Slots)) -> Harness {
    let simulation = Simulation::new(seed);
    // Computing takes no virtual time here, so that a test need not wait for it.
    simulation.set_costs(CostTable::free());
    let desk = Arc::new(Mutex::new(Desk::default()));
    let environment = simulation.environment(SUBJECT);
    let mut slots = Slots {
        builder: Builder::new(environment.clone(), &[]),
        roles: Vec::new(),
        desk: desk.clone(),
        environment: environment.clone(),
    };
    make(&mut slots);
    roles::mock_all(&mut slots);
    let Slots { mut builder, roles, .. } = slots;
    builder.set_roles(&roles);
    let overseer = builder.build().unwrap_or_else(|error| panic!("this node cannot be built: {error}"));
    let handle = overseer.handle();
    let exit = desk.clone();
    environment.spawner.spawn(
        "overseer",
        Box::pin(async move {
            let report = overseer.run().await;
            lock(&exit).exit = Some(report);
        }),
    );
    let harness = Harness { simulation, handle, desk };
    harness.settle();
    harness
}

/// One subsystem alone, or a few, in a real overseer under virtual time. See the [guide](crate).
///
/// Nothing here waits in real time: each method runs the node, on the test's own thread, until nothing can run at this
/// moment of virtual time. The subject never runs in between.
///
/// # Panics
/// Every method that runs the node panics, with the seed, when the subject panicked, failed or returned early, when it
/// sent a message about a relay parent that no signal has announced, or when a task never stops running.
pub struct Harness {
    simulation: Simulation,
    handle: Handle,
    desk: Arc<Mutex<Desk>>,
}

impl Harness {
    /// Starts the subject that `make` builds from its environment; every other slot of the parachain host is mocked.
    /// For a node with roles of your own: [`node_with`].
    pub fn new<S: Subsystem>(seed: u64, make: impl FnOnce(&Environment) -> S) -> Self {
        node_with(seed, |slots| {
            let subject = make(slots.environment());
            slots.fill(subject);
        })
    }

    /// Like [`new`](Self::new), with everything that crosses the subject's context on a tape.
    pub fn recorded<S: Recordable>(seed: u64, tape: &Tape, make: impl FnOnce(&Environment) -> S) -> Self {
        node_with(seed, |slots| {
            let subject = make(slots.environment());
            slots.record(tape, subject);
        })
    }

    fn check(&self, result: Result<(), deterministic::SimulationError>) {
        let seed = self.simulation.seed();
        if let Err(error) = result {
            panic!("seed {seed}: {error}");
        }
        let desk = lock(&self.desk);
        if let Some(report) = &desk.exit
            && !matches!(report.cause, ExitCause::Stopped)
        {
            panic!("seed {seed}: the subject ended: {}", report.cause);
        }
        if let Some(too_early) = &desk.too_early {
            panic!("seed {seed}: {too_early}");
        }
    }

    fn note(&self, line: String) {
        lock(&self.desk).tell(self.simulation.now(), line);
    }

    /// Runs until nothing can run at this moment; time stands still.
    pub fn settle(&self) {
        self.check(self.simulation.run_until_stalled());
    }

    /// Lets virtual time pass: timers that are due within it fire in order, and what they set going is run.
    pub fn run_for(&self, duration: Duration) {
        self.check(self.simulation.run_for(duration));
    }

    /// Runs until nothing can run and no timer is pending, however much virtual time passes.
    ///
    /// # Panics
    /// For a subject that keeps time for ever, once the simulation's limit of steps is reached.
    pub fn run_until_idle(&self) {
        self.check(self.simulation.run_until_idle());
    }

    /// The simulation, for its clock and tasks.
    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }

    /// The node's own handle: counters of its edges, its queues, its topology.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Publishes an entry of the parachain host's heartbeat, as [`chain::TestChain`](crate::chain::TestChain) makes
    /// them, then runs until nothing can run. From now on the blocks named in it may be spoken of.
    pub fn signal(&self, update: LeavesUpdate) {
        self.note(notes::heartbeat(&update));
        let blocks = update.started.iter().flat_map(|leaf| leaf.ancestors.iter().chain([&leaf.hash]));
        lock(&self.desk).announced.extend(blocks.chain(update.finalized.iter().map(|block| &block.hash)));
        self.handle.publish::<RelayParents>(update);
        self.settle();
    }

    /// Publishes an entry of any view, then runs until nothing can run.
    pub fn publish<V: View>(&self, update: V::Update) {
        let view = std::any::type_name::<V>();
        self.note(format!("* {}", view.rsplit("::").next().unwrap_or(view)));
        self.handle.publish::<V>(update);
        self.settle();
    }

    /// Sends a message to the subject, as a neighbour would, then runs until nothing can run. While the subject's
    /// mailbox is full it waits there, as any sender does.
    ///
    /// # Panics
    /// If no slot has the message's role.
    pub fn tell<M: Post>(&self, message: M) {
        let outlet = self.handle.outlet::<Tells<M>>().expect("every role has a slot");
        let inbox = message.into_inbox();
        let described = lock(&self.desk).describe::<M::To>(&inbox);
        self.note(format!("← {described}"));
        let message = M::from_inbox(inbox).expect("it was this message a moment ago");
        let environment = self.simulation.environment("test");
        environment.spawner.spawn(
            "tell",
            Box::pin(async move {
                outlet.send(message).await.expect("the subject runs");
            }),
        );
        self.settle();
    }

    /// Asks the subject, then runs until nothing can run. Who lets go of the [`Waiting`] without having looked must
    /// find an answer there when the harness is finished; who holds it may end the subject while it still owes one.
    ///
    /// # Panics
    /// If no slot has the question's role.
    pub fn ask<M: Request>(&self, message: M) -> Waiting<M::Answer> {
        let outlet = self.handle.outlet::<Asks<M>>().expect("every role has a slot");
        self.note(format!("← {}?", M::name()));
        let answer = Arc::new(Mutex::new(Answer::Awaited));
        let (place, clock, desk) = (answer.clone(), self.simulation.environment("test").clock, self.desk.clone());
        self.simulation.environment("test").spawner.spawn(
            "ask",
            Box::pin(async move {
                let result = outlet.ask(message).await;
                let outcome = if result.is_ok() { "answer to" } else { "no answer to" };
                lock(&desk).tell(clock.now(), format!("→ {outcome} {}", M::name()));
                *lock(&place) = Answer::Here(result);
            }),
        );
        let (seen, held) = (answer.clone(), Arc::new(()));
        let look = Arc::downgrade(&held);
        let fate = move || match &*lock(&seen) {
            Answer::Here(Err(error)) => Fate::Refused(error.to_string()),
            Answer::Awaited if look.strong_count() == 0 => Fate::Waiting,
            Answer::Awaited | Answer::Missed | Answer::Here(Ok(_)) | Answer::Taken => Fate::Settled,
        };
        lock(&self.desk).questions.push((M::name(), Box::new(fate)));
        self.settle();
        Waiting { answer, _held: held }
    }

    /// Answers for role `R` in the background from now on, in place of the stub that was there; what the stub hands
    /// back is kept for the test. What was sent before is kept as well.
    pub fn stub<R: Role>(&self, stub: impl FnMut(R::Inbox) -> Option<R::Inbox> + Send + 'static) {
        let stub: Stub<R> = Box::new(stub);
        lock(&self.desk).stubs.insert(TypeId::of::<R>(), Box::new(stub));
    }

    /// What transcripts show of messages to role `R`, in brackets behind their names, in place of the relay parent.
    pub fn describe<R: Role>(&self, describe: impl Fn(&R::Inbox) -> String + Send + 'static) {
        let describe: Describe<R> = Box::new(describe);
        lock(&self.desk).describes.insert(TypeId::of::<R>(), Box::new(describe));
    }

    /// Everything that crossed the ports since the last transcript, a line each: `*` a signal, `←` to the subject, `→`
    /// from it, `[stub]` where a stub took it, and between them how much time passed. Made for `expect_test`.
    pub fn transcript(&self) -> String {
        self.settle();
        lock(&self.desk).take_transcript()
    }

    /// Stops or resumes the reading of role `R`'s mailbox, as by a slow neighbour; it still takes the message it waits
    /// for.
    pub fn pause<R: Role>(&self, paused: bool) {
        lock(&self.desk).paused.send_modify(|roles| {
            if paused {
                roles.insert(TypeId::of::<R>());
            } else {
                roles.remove(&TypeId::of::<R>());
            }
        });
    }

    /// Takes the next message the subject sent, which must be for role `R`: *strict order*.
    ///
    /// # Panics
    /// If nothing was sent, or it is for another role; which is named.
    pub fn expect<R: Role>(&self) -> R::Inbox {
        self.settle();
        let captured = lock(&self.desk).captured.pop_front();
        let Some(captured) = captured else { panic!("expected a message for {}, nothing was sent", R::NAME) };
        let (role, message) = (captured.role, captured.message);
        match captured.inbox.downcast::<R::Inbox>() {
            Ok(inbox) => *inbox,
            Err(_) => panic!("expected a message for {}, but {message} was sent to {role}", R::NAME),
        }
    }

    /// Takes the first message for role `R` among those sent, whatever was sent to others before it: *free order*.
    ///
    /// # Panics
    /// If there is none; what there is is named.
    pub fn expect_any_order<R: Role>(&self) -> R::Inbox {
        self.try_expect::<R>()
            .unwrap_or_else(|| panic!("expected a message for {}; sent: {:?}", R::NAME, self.pending()))
    }

    /// Takes the first message for role `R` among those sent, if there is one.
    pub fn try_expect<R: Role>(&self) -> Option<R::Inbox> {
        self.settle();
        let mut desk = lock(&self.desk);
        let position = desk.captured.iter().position(|captured| captured.inbox.is::<R::Inbox>())?;
        let captured = desk.captured.remove(position)?;
        captured.inbox.downcast::<R::Inbox>().ok().map(|inbox| *inbox)
    }

    /// What was sent and not yet expected, as `message → role`.
    pub fn pending(&self) -> Vec<String> {
        self.settle();
        lock(&self.desk).captured.iter().map(|captured| format!("{} → {}", captured.message, captured.role)).collect()
    }

    /// Fails if anything was sent that no `expect` took and no stub answered.
    ///
    /// # Panics
    /// With what was sent.
    pub fn expect_nothing(&self) {
        let pending = self.pending();
        assert!(pending.is_empty(), "nothing was expected, but was sent: {pending:?}");
    }

    /// Ends the subject with Conclude and checks what must hold then. A test that does not call it checks none of this.
    ///
    /// # Panics
    /// If something was sent that no test took, a question of the test has no answer or was refused unseen, the subject
    /// did not return in time, or a task was left behind. Each is named.
    pub fn finish(self) {
        self.expect_nothing();
        self.expect_answers();
        lock(&self.desk).paused.send_replace(BTreeSet::new());
        self.handle.stop();
        self.settle();
        {
            let desk = lock(&self.desk);
            let report = desk.exit.as_ref().unwrap_or_else(|| panic!("the subject did not conclude"));
            assert!(report.is_clean(), "ended uncleanly: {report:?}");
        }
        let left: Vec<String> = self.simulation.tasks().iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "tasks left behind: {left:?}");
    }

    fn expect_answers(&self) {
        for (message, fate) in &lock(&self.desk).questions {
            match fate() {
                Fate::Settled => {}
                Fate::Waiting => panic!("{message} was asked and has no answer yet"),
                Fate::Refused(error) => panic!("{message} was asked and refused, which no test looked at: {error}"),
            }
        }
    }
}
