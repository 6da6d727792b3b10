use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deterministic::simulation::CostTable;
use deterministic::{Environment, Simulation};
use messages::{LeavesUpdate, RelayParents};
use overseer::message::{Inbox, Post};
use overseer::node::{Builder, ExitCause};
use overseer::{
    Ask, AskError, Context, Event, ExitReport, Failure, Handle, Nothing, Outside, Request, Role, Subsystem, Wait,
};
use tokio::sync::watch;

/// The environment label of the subject and its tasks.
const SUBJECT: &str = "subject";

/// A message on its way to a captor.
struct Captured {
    role: &'static str,
    message: &'static str,
    inbox: Box<dyn Any + Send>,
}

type Stub<R> = Box<dyn FnMut(<R as Role>::Inbox) -> Option<<R as Role>::Inbox> + Send>;

#[derive(Default)]
struct Desk {
    captured: VecDeque<Captured>,
    stubs: BTreeMap<TypeId, Box<dyn Any + Send>>,
    paused: watch::Sender<BTreeSet<TypeId>>,
    exit: Option<ExitReport>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands in a neighbour's slot: stubs first, the rest is kept for the test.
struct Captor<R> {
    desk: Arc<Mutex<Desk>>,
    role: PhantomData<fn() -> R>,
}

impl<R: Role> Subsystem for Captor<R> {
    type Role = R;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut paused = lock(&self.desk).paused.subscribe();
        loop {
            // The desk outlives every captor, so there is always somebody to end the pause.
            let _ = paused.wait_for(|roles| !roles.contains(&TypeId::of::<R>())).await;
            match context.recv().await {
                Event::Signal(never) => match never {},
                Event::Conclude => return Ok(()),
                Event::Message(inbox) => {
                    let mut desk = lock(&self.desk);
                    let stub = desk.stubs.get_mut(&TypeId::of::<R>()).and_then(|stub| stub.downcast_mut::<Stub<R>>());
                    let left = match stub {
                        Some(stub) => stub(inbox),
                        None => Some(inbox),
                    };
                    if let Some(inbox) = left {
                        let message = inbox.message_name();
                        desk.captured.push_back(Captured { role: R::NAME, message, inbox: Box::new(inbox) });
                    }
                }
            }
        }
    }
}

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

/// An answer that the test waits for.
pub struct Waiting<T> {
    answer: Arc<Mutex<Option<Result<T, AskError>>>>,
}

impl<T> Waiting<T> {
    /// The answer, if it is there.
    pub fn take(&self) -> Option<Result<T, AskError>> {
        lock(&self.answer).take()
    }
}

/// One subsystem alone, in a real overseer under virtual time.
pub struct Harness {
    simulation: Simulation,
    handle: Handle,
    desk: Arc<Mutex<Desk>>,
}

impl Harness {
    /// Starts the subject that `make` builds from its environment. The same seed gives the same run.
    pub fn new<S: Subsystem>(seed: u64, make: impl FnOnce(&Environment) -> S) -> Self {
        let simulation = Simulation::new(seed);
        // Computing takes no virtual time here, so that a test need not wait for it.
        simulation.set_costs(CostTable::free());
        let desk = Arc::new(Mutex::new(Desk::default()));
        let environment = simulation.environment(SUBJECT);
        let mut roles = Vec::new();
        let mut builder = Builder::new(environment.clone(), &[]);
        macro_rules! neighbours {
            ($($role:ty),* $(,)?) => { $(
                roles.push(<$role as Role>::NAME);
                builder.fill(Captor::<$role> { desk: desk.clone(), role: PhantomData });
            )* };
        }
        neighbours!(
            messages::collation_generation::CollationGeneration,
            messages::collation_distribution::CollationDistribution,
            messages::candidate_selection::CandidateSelection,
            messages::candidate_validation::CandidateValidation,
            messages::candidate_backing::CandidateBacking,
            messages::statement_distribution::StatementDistribution,
            messages::pov_distribution::PoVDistribution,
            messages::provisioner::Provisioner,
            messages::availability_store::AvailabilityStore,
            messages::availability_distribution::AvailabilityDistribution,
            messages::availability_recovery::AvailabilityRecovery,
            messages::bitfield_signing::BitfieldSigning,
            messages::bitfield_distribution::BitfieldDistribution,
            messages::misbehavior_arbitration::MisbehaviorArbitration,
            messages::network_bridge::NetworkBridge,
            messages::peer_set_manager::PeerSetManager,
            messages::runtime_api::RuntimeApi,
            messages::chain_api::ChainApi,
        );
        builder.set_roles(&roles);
        builder.fill(make(&environment));
        let overseer = builder.build().expect("a subject among captors that send nothing has no cycle");
        let handle = overseer.handle();
        let exit = desk.clone();
        environment.spawner.spawn(
            "overseer",
            Box::pin(async move {
                let report = overseer.run().await;
                lock(&exit).exit = Some(report);
            }),
        );
        let harness = Self { simulation, handle, desk };
        harness.settle();
        harness
    }

    fn check(&self, result: Result<(), deterministic::SimulationError>) {
        if let Err(error) = result {
            panic!("seed {}: {error}", self.simulation.seed());
        }
        if let Some(report) = &lock(&self.desk).exit
            && !matches!(report.cause, ExitCause::Stopped)
        {
            panic!("seed {}: the subject ended: {}", self.simulation.seed(), report.cause);
        }
    }

    /// Runs until nothing can run at this moment; time stands still.
    pub fn settle(&self) {
        self.check(self.simulation.run_until_stalled());
    }

    /// Lets virtual time pass.
    pub fn run_for(&self, duration: Duration) {
        self.check(self.simulation.run_for(duration));
    }

    /// The simulation, for its clock and tasks.
    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }

    /// Publishes an entry of the heartbeat, then runs until nothing can run.
    pub fn signal(&self, update: LeavesUpdate) {
        self.handle.publish::<RelayParents>(update);
        self.settle();
    }

    /// Sends a message to the subject, then runs until nothing can run.
    pub fn tell<M: Post>(&self, message: M) {
        let outlet = self.handle.outlet::<Tells<M>>().expect("every role has a slot");
        let environment = self.simulation.environment("test");
        environment.spawner.spawn(
            "tell",
            Box::pin(async move {
                outlet.send(message).await.expect("the subject runs");
            }),
        );
        self.settle();
    }

    /// Asks the subject, then runs until nothing can run.
    pub fn ask<M: Request>(&self, message: M) -> Waiting<M::Answer> {
        let outlet = self.handle.outlet::<Asks<M>>().expect("every role has a slot");
        let answer = Arc::new(Mutex::new(None));
        let place = answer.clone();
        let environment = self.simulation.environment("test");
        environment.spawner.spawn(
            "ask",
            Box::pin(async move {
                let result = outlet.ask(message).await;
                *lock(&place) = Some(result);
            }),
        );
        self.settle();
        Waiting { answer }
    }

    /// Answers for role `R` in the background from now on; what the stub hands back is kept for the test.
    pub fn stub<R: Role>(&self, stub: impl FnMut(R::Inbox) -> Option<R::Inbox> + Send + 'static) {
        let stub: Stub<R> = Box::new(stub);
        lock(&self.desk).stubs.insert(TypeId::of::<R>(), Box::new(stub));
    }

    /// Stops or resumes the reading of role `R`'s mailbox, as by a slow neighbour; it still takes the message it waits for.
    pub fn pause<R: Role>(&self, paused: bool) {
        lock(&self.desk).paused.send_modify(|roles| {
            if paused {
                roles.insert(TypeId::of::<R>());
            } else {
                roles.remove(&TypeId::of::<R>());
            }
        });
    }

    /// The next message the subject sent, which must be for role `R`.
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

    /// The first message for role `R` among those sent, whatever was sent to others before it.
    pub fn expect_any_order<R: Role>(&self) -> R::Inbox {
        self.try_expect::<R>()
            .unwrap_or_else(|| panic!("expected a message for {}; sent: {:?}", R::NAME, self.pending()))
    }

    /// The first message for role `R` among those sent, if there is one.
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
        let line = |captured: &Captured| format!("{} → {}", captured.message, captured.role);
        lock(&self.desk).captured.iter().map(line).collect()
    }

    /// Fails if anything was sent that no `expect` took.
    pub fn expect_nothing(&self) {
        let pending = self.pending();
        assert!(pending.is_empty(), "nothing was expected, but was sent: {pending:?}");
    }

    /// Ends the subject: nothing may be left that was sent, and no task may be left behind.
    pub fn finish(self) {
        self.expect_nothing();
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
}
