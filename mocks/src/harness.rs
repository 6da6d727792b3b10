//! The harness: a test's hands on a node whose slots are captors but for the subject's.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use deterministic::simulation::CostTable;
use deterministic::{Environment, Simulation};
use messages::{LeavesUpdate, RelayParents};
use overseer::mailbox::MailboxLimits;
use overseer::message::Post;
use overseer::node::{Builder, ExitCause};
use overseer::port::Tap;
use overseer::replay::{Recordable, Tape};
use overseer::{Ask, AskError, Handle, Message, Outside, Request, Responder, Role, Subsystem, View, Wait};

use crate::captor::Captor;
use crate::desk::{Captured, Describe, Desk, Doors, Fate, Stub, lock};
use crate::{notes, roles};

/// Steps of tasks that one call of a [`Harness`] may take: a subject that never rests fails within seconds.
pub const STEPS_MAX: u64 = 500_000;

/// The test as a sender, and the label of its tasks.
const TEST: &str = "test";

/// The environment label of the subject and its tasks.
const SUBJECT: &str = "subject";

/// The test as a sender of one message.
struct Tells<M>(PhantomData<fn() -> M>);
impl<M: Post> Outside for Tells<M> {
    const NAME: &'static str = TEST;
    type Sends = (Wait<M>,);
}

/// The test as an asker of one question.
struct Asks<M>(PhantomData<fn() -> M>);
impl<M: Request> Outside for Asks<M> {
    const NAME: &'static str = TEST;
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
        self.name_real::<S::Role>();
        self.builder.fill(subsystem);
    }

    /// Puts a real subsystem into its slot that is made anew when it fails, up to `restarts_max` times; see
    /// [`Builder::fill_restarting`].
    pub fn restarting<S: Subsystem>(&mut self, restarts_max: u32, make: impl FnMut() -> S + Send + 'static) {
        self.name_real::<S::Role>();
        self.builder.fill_restarting(restarts_max, make);
    }

    /// Puts a real subsystem into its slot, and all that crosses its context onto a tape, for
    /// [`overseer::replay::replay`].
    pub fn record<S: Recordable>(&mut self, tape: &Tape, subsystem: S) {
        self.name_real::<S::Role>();
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

    /// The limits of a role's mailbox, as of a neighbour that is soon full; call before its slot is filled. A mocked one
    /// reads at once what it is sent, and fills up only while it is [paused](Harness::pause).
    pub fn mailbox_limits<R: Role>(&mut self, limits: MailboxLimits) {
        self.builder.mailbox_limits::<R>(limits);
    }

    /// Puts a tap on what role `R` sends as `M`.
    pub fn tap<R: Role, M: Message>(&mut self, tap: impl Tap<M>) {
        self.builder.tap::<R, M>(tap);
    }

    /// Says what the messages to role `R` are about, such as a block or a round; `None` for what is about nothing. One
    /// that the subject sends to a mocked slot before a signal has [announced](Self::announces) that thing fails the test,
    /// and transcripts show the thing in brackets. For the roles of the parachain host it is the relay parent; what is
    /// said here of one of them is in place of that.
    ///
    /// # Examples
    /// ```
    /// # use overseer::{Context, Event, Failure, Subsystem, View, Wait};
    /// # enum Rounds {}
    /// # impl View for Rounds {
    /// #     type Update = u32;
    /// #     type State = u32;
    /// #     fn apply(round: &mut u32, begins: &u32) { *round = *begins; }
    /// #     fn catch_up(_: &u32, now: &u32) -> u32 { *now }
    /// # }
    /// # pub struct Vote { pub round: u32 }
    /// # overseer::inbox! { pub enum BoxInbox for BallotBox as "ballot-box" { tell { Vote } } }
    /// # overseer::inbox! { pub enum VoterInbox for Voter as "voter" {} }
    /// # struct Votes;
    /// # impl Subsystem for Votes {
    /// #     type Role = Voter;
    /// #     type View = Rounds;
    /// #     type Sends = (Wait<Vote>,);
    /// #     type JobSends = ();
    /// #     async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
    /// #         loop {
    /// #             match context.recv().await {
    /// #                 Event::Signal(round) => context.send(Vote { round }).await?,
    /// #                 Event::Message(never) => match never {},
    /// #                 Event::Conclude => return Ok(()),
    /// #             }
    /// #         }
    /// #     }
    /// # }
    /// let harness = mocks::node_with(1, |slots| {
    ///     slots.fill(Votes);
    ///     slots.mock::<BallotBox>();
    ///     slots.announces::<Rounds, u32>(|begins| vec![*begins]);
    ///     slots.about::<BallotBox, u32>(|BoxInbox::Vote(vote)| Some(vote.round));
    /// });
    /// harness.publish::<Rounds>(3); // a vote of round 4 would fail the test here
    /// let BoxInbox::Vote(vote) = harness.expect::<BallotBox>();
    /// assert_eq!(vote.round, 3);
    /// assert_eq!(harness.transcript(), "* Rounds(3)\n→ ballot-box Vote(3)\n");
    /// harness.finish();
    /// ```
    pub fn about<R: Role, K: Ord + Debug + Send + 'static>(
        &mut self,
        about: impl Fn(&R::Inbox) -> Option<K> + Send + 'static,
    ) {
        lock(&self.desk).set_about::<R, K>(about, |thing| format!("{thing:?}"));
    }

    /// Says which things an entry of the view `V` announces: before it is published nobody can know of them. See
    /// [`about`](Self::about). For the heartbeat of the parachain host they are the blocks named in it.
    pub fn announces<V: View, K: Ord + Debug + Send + 'static>(
        &mut self,
        announces: impl Fn(&V::Update) -> Vec<K> + Send + 'static,
    ) {
        lock(&self.desk).set_announces::<V, K>(announces);
    }

    /// The slot of a real subsystem, whose messages the transcript shows as well.
    fn name_real<R: Role>(&mut self) {
        self.name_role::<R>();
        let (desk, clock) = (self.desk.clone(), self.environment.clock.clone());
        lock(&desk).told.entry(R::NAME).or_default();
        self.builder.wrap::<R>(move |inbox| {
            lock(&desk).pass::<R>(clock.now(), &inbox);
            Some(inbox)
        });
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
    simulation.set_step_limit(STEPS_MAX);
    let mut desk = Desk::default();
    notes::of_the_host(&mut desk);
    let desk = Arc::new(Mutex::new(desk));
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
    let (answers, clock) = (desk.clone(), environment.clock.clone());
    builder.on_answer(move |from, message, error| {
        let (way, no) = (if from == TEST { '→' } else { '←' }, if error.is_some() { "no " } else { "" });
        lock(&answers).tell(clock.now(), format!("{way} {no}answer to {message}"));
    });
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
    let harness = Harness { simulation, handle, desk, is_gathering: AtomicBool::new(false) };
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
/// sent a message about a relay parent (or what else [`Slots::about`] says) that no signal has announced, or when a task never stops running. A harness that
/// is dropped before it was [finished](Self::finish) panics too, because its test has checked half of what it seems to;
/// not while the test is failing already.
pub struct Harness {
    simulation: Simulation,
    handle: Handle,
    desk: Arc<Mutex<Desk>>,
    /// Within [`together`](Self::together).
    is_gathering: AtomicBool,
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

    /// Fails the test, which then need not finish.
    fn fail(&self, why: impl Display) -> ! {
        lock(&self.desk).over = true;
        panic!("seed {}: {why}", self.simulation.seed());
    }

    fn check(&self, result: Result<(), deterministic::SimulationError>) {
        if let Err(error) = result {
            self.fail(error);
        }
        let wrong = {
            let desk = lock(&self.desk);
            match &desk.exit {
                Some(report) if !matches!(report.cause, ExitCause::Stopped) => {
                    Some(format!("the subject ended: {}", report.cause))
                }
                _ => desk.too_early.clone(),
            }
        };
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
    }

    fn note(&self, line: String) {
        lock(&self.desk).tell(self.simulation.now(), line);
    }

    /// Runs until nothing can run at this moment; time stands still. Within [`together`](Self::together) it does nothing.
    pub fn settle(&self) {
        if !self.is_gathering.load(Ordering::Relaxed) {
            self.check(self.simulation.run_until_stalled());
        }
    }

    /// Gives several inputs at once: nothing runs before all that `inputs` signals, publishes, tells, asks and answers is
    /// given, and then what is told and asked comes in an order that each seed chooses. For what a second message finds
    /// in the middle of the first one's work. Within it nothing can be expected yet.
    pub fn together<T>(&self, inputs: impl FnOnce(&Self) -> T) -> T {
        let was_gathering = self.is_gathering.swap(true, Ordering::Relaxed);
        let given = inputs(self);
        self.is_gathering.store(was_gathering, Ordering::Relaxed);
        self.settle();
        given
    }

    /// Lets virtual time pass: timers that are due within it fire in order, and what they set going is run.
    pub fn run_for(&self, duration: Duration) {
        self.check(self.simulation.run_for(duration));
    }

    /// Runs until nothing can run and no timer is pending, however much virtual time passes.
    ///
    /// # Panics
    /// For a subject that keeps time for ever, after [`STEPS_MAX`] steps.
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
        self.look_at_queues();
        lock(&self.desk).announce::<RelayParents>(&update);
        self.handle.publish::<RelayParents>(update);
        self.settle();
    }

    /// Publishes an entry of any view, then runs until nothing can run. From now on what [`Slots::announces`] says of it
    /// may be spoken of.
    pub fn publish<V: View>(&self, update: V::Update) {
        let view = std::any::type_name::<V>();
        let view = view.rsplit("::").next().unwrap_or(view);
        self.look_at_queues();
        let announced = lock(&self.desk).announce::<V>(&update);
        self.note(if announced.is_empty() { format!("* {view}") } else { format!("* {view}({announced})") });
        self.handle.publish::<V>(update);
        self.settle();
    }

    /// What neighbours that do not read were sent was sent before what is announced now.
    fn look_at_queues(&self) {
        let captors = lock(&self.desk).captors.clone();
        captors.iter().filter_map(Weak::upgrade).for_each(|captor| captor.look_at_queue());
    }

    /// Sends a message to the subject, as a neighbour would, then runs until nothing can run. While the subject's
    /// mailbox is full it waits there, as any sender does; it must have been let in when the harness is finished.
    ///
    /// # Panics
    /// If neither a real subsystem nor a stub has the message's role.
    pub fn tell<M: Post>(&self, message: M) {
        let inbox = self.speak::<M>(message.into_inbox(), "");
        let message = M::from_inbox(inbox).expect("it was this message a moment ago");
        let outlet = self.handle.outlet::<Tells<M>>().expect("every role spoken to has a slot");
        let taken = Arc::new(AtomicBool::new(false));
        let seen = taken.clone();
        let fate = move || if seen.load(Ordering::Relaxed) { Fate::Settled } else { Fate::Outside };
        lock(&self.desk).sent.push((M::name(), Box::new(fate)));
        self.simulation
            .environment(TEST)
            .spawner
            .spawn("tell", Box::pin(async move { taken.store(outlet.send(message).await.is_ok(), Ordering::Relaxed) }));
        self.settle();
    }

    /// Puts what the test says into the transcript.
    fn speak<M: Message>(&self, inbox: <M::To as Role>::Inbox, mark: &str) -> <M::To as Role>::Inbox {
        let (name, role) = (M::name(), <M::To as Role>::NAME);
        let described = {
            let mut desk = lock(&self.desk);
            let is_real = desk.told.get_mut(role).map(|told| *told.entry(name).or_default() += 1).is_some();
            (is_real || desk.stubs.contains_key(&TypeId::of::<M::To>())).then(|| desk.describe::<M::To>(&inbox))
        };
        let Some(described) = described else {
            self.fail(format_args!("{name} is for {role}, whose slot is mocked: a test speaks to real subsystems"))
        };
        self.note(format!("← {described}{mark}"));
        inbox
    }

    /// Asks the subject, then runs until nothing can run. Without a look at the [`Waiting`] there must be an answer when
    /// the harness is finished; who has [looked](Waiting::take) may end the subject while it still owes one.
    ///
    /// # Panics
    /// If neither a real subsystem nor a stub has the question's role.
    pub fn ask<M: Request>(&self, message: M) -> Waiting<M::Answer> {
        let inbox = self.speak::<M>(message.into_inbox(Responder::to_nobody()), "?");
        let message = M::from_inbox(inbox).expect("it was this question a moment ago");
        let outlet = self.handle.outlet::<Asks<M>>().expect("every role spoken to has a slot");
        let answer = Arc::new(Mutex::new(Answer::Awaited));
        let place = answer.clone();
        self.simulation.environment(TEST).spawner.spawn(
            "ask",
            Box::pin(async move {
                let result = outlet.ask(message).await;
                *lock(&place) = Answer::Here(result);
            }),
        );
        let seen = answer.clone();
        let fate = move || match &*lock(&seen) {
            Answer::Here(Err(error)) => Fate::Refused(error.to_string()),
            Answer::Awaited => Fate::Waiting,
            Answer::Missed | Answer::Here(Ok(_)) | Answer::Taken => Fate::Settled,
        };
        lock(&self.desk).sent.push((M::name(), Box::new(fate)));
        self.settle();
        Waiting { answer }
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

    /// Everything that crossed the ports since the last transcript, a line each: `*` a signal with what it
    /// [announces](Slots::announces), `←` what a real subsystem is told, asked or answered, `→` what it sends, asks or
    /// answers, `[stub]` where a stub took it, `[real]` where another real one did, and between them how much time passed.
    /// In the order of sending; what a real subsystem is sent stands where it received it. Made for `expect_test`.
    pub fn transcript(&self) -> String {
        self.settle();
        lock(&self.desk).take_transcript()
    }

    /// Stops or resumes the reading of role `R`'s mailbox, as by a slow neighbour: its queue fills up, and what stands in
    /// it counts as sent when it reads on. Others read what they are sent at once.
    pub fn pause<R: Role>(&self, paused: bool) {
        lock(&self.desk).doors.send_modify(|doors| {
            if paused {
                doors.paused.insert(TypeId::of::<R>());
            } else {
                doors.paused.remove(&TypeId::of::<R>());
            }
        });
    }

    /// Takes the next message the subject sent, which must be for role `R`: *strict order*, that of sending, whoever of
    /// those it is sent to runs first.
    ///
    /// # Panics
    /// If nothing was sent, or it is for another role; which is named.
    pub fn expect<R: Role>(&self) -> R::Inbox {
        self.settle();
        let captured = lock(&self.desk).captured.pop_front();
        let Some(captured) = captured else {
            self.fail(format_args!("expected a message for {}, nothing was sent", R::NAME))
        };
        let (role, message) = (captured.role, captured.message);
        match captured.inbox.and_then(|inbox| inbox.downcast::<R::Inbox>().ok()) {
            Some(inbox) => *inbox,
            None => self.fail(format_args!("expected a message for {}, but {message} was sent to {role}", R::NAME)),
        }
    }

    /// Takes the first message for role `R` among those sent, whatever was sent to others before it: *free order*.
    ///
    /// # Panics
    /// If there is none; what there is is named.
    pub fn expect_any_order<R: Role>(&self) -> R::Inbox {
        self.try_expect::<R>().unwrap_or_else(|| {
            self.fail(format_args!("expected a message for {}; sent: {:?}", R::NAME, self.pending()))
        })
    }

    /// Takes the first message for role `R` among those sent, if there is one.
    pub fn try_expect<R: Role>(&self) -> Option<R::Inbox> {
        self.settle();
        let mut desk = lock(&self.desk);
        let position = desk.captured.iter().position(Captured::is_for::<R>)?;
        let captured = desk.captured.remove(position)?;
        captured.inbox?.downcast::<R::Inbox>().ok().map(|inbox| *inbox)
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
        if !pending.is_empty() {
            self.fail(format_args!("nothing was expected, but was sent: {pending:?}"));
        }
    }

    /// Tells the node to conclude and runs until nothing can run at this moment; what the subject then sends its
    /// neighbours still receive. For a test of what a subject does at its end: expect that, then
    /// [`finish`](Self::finish), which concludes by itself where this was not called.
    pub fn conclude(&self) {
        lock(&self.desk).doors.send_replace(Doors { paused: BTreeSet::new(), held: true });
        self.handle.stop();
        self.settle();
    }

    /// Ends the subject with Conclude and checks what must hold then.
    ///
    /// # Panics
    /// If something was sent that no test took, before or while the subject concluded; what the test told found no place
    /// in the subject's mailbox; a question of the test has no answer or was refused unseen; the subject did not return
    /// at this moment of virtual time; or a task was left behind. Each is named. For a subject that needs time to end:
    /// [`conclude`](Self::conclude), [`run_for`](Self::run_for), then this.
    pub fn finish(self) {
        self.expect_nothing();
        self.expect_received();
        self.conclude();
        let pending = self.pending();
        if !pending.is_empty() {
            self.fail(format_args!("nothing was expected while concluding, but was sent: {pending:?}"));
        }
        lock(&self.desk).doors.send_modify(|doors| doors.held = false);
        self.settle();
        let wrong = match &lock(&self.desk).exit {
            None => Some("the subject did not conclude".to_owned()),
            Some(report) if !report.is_clean() => Some(format!("ended uncleanly: {report:?}")),
            Some(_) => None,
        };
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
        let left: Vec<String> = self.simulation.tasks().iter().map(ToString::to_string).collect();
        if !left.is_empty() {
            self.fail(format_args!("tasks left behind: {left:?}"));
        }
        lock(&self.desk).over = true;
    }

    fn expect_received(&self) {
        let wrong = lock(&self.desk).sent.iter().find_map(|(message, fate)| match fate() {
            Fate::Settled => None,
            Fate::Outside => Some(format!("{message} was told and found no place in the subject's mailbox")),
            Fate::Waiting => Some(format!("{message} was asked and has no answer yet, which no test looked at")),
            Fate::Refused(error) => Some(format!("{message} was asked and refused, which no test looked at: {error}")),
        });
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if !lock(&self.desk).over && !std::thread::panicking() {
            panic!(
                "seed {}: the harness was dropped before it was finished: end the test with `harness.finish()`",
                self.simulation.seed()
            );
        }
    }
}
