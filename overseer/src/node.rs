//! Putting a node together, running it, and ending it in order.
//!
//! [`node!`](crate::node!) declares slots and makes a typed builder on top of [`Builder`]; that gives an [`Overseer`],
//! whose [`Handle`] is the way in from outside.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deterministic::{BoxFuture, Environment};
use tokio::sync::{mpsc, watch};

use crate::exit::cause_of;
use crate::health::Health;
use crate::mailbox::{BusyTime, Mailbox, MailboxLimits};
use crate::message::{Message, Role};
use crate::port::{EdgeSnapshot, Outlet, Tap, TapSlot};
use crate::recorder::{self, Recording};
use crate::replay::{self, Recordable, Tape};
use crate::restart::{self, Outcome};
use crate::signal::{SignalLog, View};
use crate::subsystem::{Screen, Subsystem};
use crate::task::{AbortHandle, End, Launch};
use crate::topology::{Edge, Topology};
use crate::wiring::{Origin, SendList, Sender, Switchboard};

pub use crate::exit::{ExitCause, ExitReport};

/// Time that subsystems have to return after the conclude signal.
pub const CONCLUDE_DEADLINE: Duration = Duration::from_secs(3);

/// Time that is given to subsystems which are dropped, to be gone and to leave their last events. One that blocks its
/// thread is not gone by then.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// Why a node was not built. Each names who and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A slot was left empty.
    #[error("slot {0} is empty: fill it, or drain it")]
    EmptySlot(&'static str),
    /// A message has no consumer in this node.
    #[error("{from} sends {message} to {to}, but no such slot is filled")]
    NoConsumer {
        /// The sender.
        from: &'static str,
        /// The message.
        message: &'static str,
        /// Its consumer's role.
        to: &'static str,
    },
    /// Sends that wait for each other in a circle, a step each: who waits, with what, at whom. Make one of them a
    /// [`Cast`](crate::Cast), or send it from a job.
    #[error("sends wait for each other in a circle: {}", .0.join("; "))]
    WaitingCycle(Vec<String>),
}

/// Somebody who is not a subsystem but sends: a block author, a network's pump, an operator's request, a test.
///
/// # Examples
/// ```
/// # use overseer::{Ask, Outside};
/// # pub struct Total;
/// # overseer::inbox! { pub enum Inbox for Counter as "counter" { ask { Total -> u64 } } }
/// struct Reader;
/// impl Outside for Reader {
///     const NAME: &'static str = "reader";
///     type Sends = (Ask<Total>,);
/// }
/// ```
pub trait Outside: 'static {
    /// The name in topologies and metrics.
    const NAME: &'static str;
    /// What it sends.
    type Sends: SendList;
}

/// An [`Outside`] as a sender.
pub struct FromOutside<O>(std::marker::PhantomData<fn() -> O>);

impl<O: Outside> Sender for FromOutside<O> {
    type Sends = O::Sends;
}

/// All logs of a node, by view.
#[derive(Default)]
pub(crate) struct Logs {
    typed: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
    conclude: Vec<Arc<dyn Fn() + Send + Sync>>,
    concluded: bool,
}

impl Logs {
    pub(crate) fn of<V: View>(&mut self) -> Arc<SignalLog<V>> {
        if let Some(log) = self.get::<V>() {
            return log;
        }
        let log = Arc::new(SignalLog::<V>::new());
        if self.concluded {
            log.conclude();
        }
        self.typed.insert(TypeId::of::<V>(), log.clone());
        let concluding = log.clone();
        self.conclude.push(Arc::new(move || concluding.conclude()));
        log
    }

    fn get<V: View>(&self) -> Option<Arc<SignalLog<V>>> {
        self.typed.get(&TypeId::of::<V>()).cloned().and_then(|log| log.downcast().ok())
    }
}

/// A queue and its reader, without their types.
pub(crate) trait Gauge: Send + Sync {
    fn messages(&self) -> &'static [&'static str];
    fn waiting(&self) -> usize;
    fn used(&self) -> (usize, usize);
    fn limits(&self) -> MailboxLimits;
    fn busy(&self) -> BusyTime;
}

impl<T: crate::message::Inbox> Gauge for Mailbox<T> {
    fn messages(&self) -> &'static [&'static str] {
        T::messages()
    }
    fn waiting(&self) -> usize {
        self.len()
    }
    fn used(&self) -> (usize, usize) {
        Mailbox::used(self)
    }
    fn limits(&self) -> MailboxLimits {
        Mailbox::limits(self)
    }
    fn busy(&self) -> BusyTime {
        self.meter().busy_time()
    }
}

/// How many entries of its log a subsystem has not taken.
pub(crate) type Lag = Arc<dyn Fn() -> u64 + Send + Sync>;
pub(crate) type Connect =
    Box<dyn FnOnce(&mut Switchboard, &mut Logs, &Environment, Launch) -> Result<Connected, BuildError> + Send>;

/// A subsystem that waits for its node to run.
pub(crate) struct Connected {
    task: BoxFuture<()>,
    abort: AbortHandle,
    lag: Lag,
    recording: Arc<Recording>,
}

impl Connected {
    pub(crate) fn new((task, abort): (BoxFuture<()>, AbortHandle), lag: Lag, recording: Arc<Recording>) -> Self {
        Self { task, abort, lag, recording }
    }
}

struct Slot {
    edges: Vec<Edge>,
    gauge: Arc<dyn Gauge>,
    connect: Connect,
}

/// Fills the slots of a node; [`node!`](crate::node!) puts one method per slot on top of it, with the checks that types
/// can make. Used directly only where the slots are not known when the program is written, as by a test kit.
///
/// # Examples
/// ```
/// # use overseer::{Role, node::{BuildError, Builder}, subsystem::Drain};
/// # pub struct Add(pub u64);
/// # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
/// let simulation = deterministic::Simulation::new(1);
/// let mut builder = Builder::new(simulation.environment("node"), &[Counter::NAME]);
/// assert!(!builder.is_filled::<Counter>());
/// builder.fill(Drain::<Counter>::default());
/// assert_eq!(builder.topology().slots, ["counter"]);
/// let node = builder.build()?;
/// # Ok::<(), BuildError>(())
/// ```
pub struct Builder {
    environment: Environment,
    roles: Vec<&'static str>,
    slots: BTreeMap<&'static str, Slot>,
    switchboard: Switchboard,
    outsides: Vec<(&'static str, Vec<Edge>)>,
    limits: BTreeMap<&'static str, MailboxLimits>,
}

fn edges<L: SendList>(from: &'static str, origin: Origin) -> impl Iterator<Item = Edge> {
    L::declared().into_iter().map(move |declared| Edge { from, origin, declared })
}

impl Builder {
    /// An empty node with these slots, in the order of the wiring.
    pub fn new(environment: Environment, roles: &[&'static str]) -> Self {
        let switchboard = Switchboard::new(environment.clone());
        Self {
            environment,
            roles: roles.to_vec(),
            slots: BTreeMap::new(),
            switchboard,
            outsides: Vec::new(),
            limits: BTreeMap::new(),
        }
    }

    /// Replaces the slots that must be filled, and their order.
    pub fn set_roles(&mut self, roles: &[&'static str]) {
        self.roles = roles.to_vec();
    }

    /// The limits of a role's mailbox, in place of [`MailboxLimits::default`]. Counts for what fills the slot after
    /// this call.
    pub fn mailbox_limits<R: Role>(&mut self, limits: MailboxLimits) {
        self.limits.insert(R::NAME, limits);
    }

    /// Puts a subsystem into its slot, in place of what was there.
    pub fn fill<S: Subsystem>(&mut self, subsystem: S) {
        let mailbox = self.mailbox::<S::Role>();
        let connect = restart::once(subsystem, mailbox.clone());
        self.put::<S>(mailbox, connect);
    }

    /// Puts a subsystem into its slot that is made anew when it fails, panics or returns early, up to `restarts_max`
    /// times in the node's life. Its mailbox is kept, but for the message that it was handling; what the signals said
    /// comes as one catch-up entry from nothing to now. Each restart is logged with its cause. After that it ends the
    /// node like any other.
    ///
    /// Off by default: most failures are better seen than repaired.
    pub fn fill_restarting<S: Subsystem>(&mut self, restarts_max: u32, make: impl FnMut() -> S + Send + 'static) {
        let mailbox = self.mailbox::<S::Role>();
        let connect = restart::restarting(restarts_max, make, mailbox.clone());
        self.put::<S>(mailbox, connect);
    }

    /// Puts a subsystem into its slot that is recorded from its start: everything that crosses its context goes onto the
    /// tape, for [`replay`](crate::replay::replay()).
    pub fn fill_recorded<S: Recordable>(&mut self, tape: &Tape, subsystem: S) {
        let mailbox = self.mailbox::<S::Role>();
        let connect = replay::recorded(tape, subsystem, mailbox.clone());
        self.put::<S>(mailbox, connect);
    }

    fn mailbox<R: Role>(&self) -> Arc<Mailbox<R::Inbox>> {
        let clock = self.environment.clock.clone();
        let nanos = move || u64::try_from(clock.now().as_nanos()).unwrap_or(u64::MAX);
        Arc::new(Mailbox::new(self.limits.get(R::NAME).copied().unwrap_or_default(), Some(Arc::new(nanos))))
    }

    fn put<S: Subsystem>(&mut self, mailbox: Arc<Mailbox<<S::Role as Role>::Inbox>>, connect: Connect) {
        let role = <S::Role as Role>::NAME;
        self.switchboard.mailboxes.insert(TypeId::of::<S::Role>(), Box::new(mailbox.clone()));
        let edges = edges::<S::Sends>(role, Origin::Loop).chain(edges::<S::JobSends>(role, Origin::Jobs)).collect();
        self.slots.insert(role, Slot { edges, gauge: mailbox, connect });
    }

    /// Whether a slot is filled.
    pub fn is_filled<R: Role>(&self) -> bool {
        self.slots.contains_key(R::NAME)
    }

    /// Names somebody outside who sends, for the topology and the graph of waits; its sending side is
    /// [`Handle::outlet`].
    pub fn outside<O: Outside>(&mut self) {
        self.outsides.push((O::NAME, edges::<O::Sends>(O::NAME, Origin::Outside).collect()));
    }

    /// Puts a tap on what role `R` (its loop and its jobs) sends as `M`, in place of the one that was there.
    pub fn tap<R: Role, M: Message>(&mut self, tap: impl Tap<M>) {
        let tap: Arc<dyn Tap<M>> = Arc::new(tap);
        let slot: TapSlot = Arc::new(tap);
        self.switchboard.taps.insert((R::NAME, TypeId::of::<M>()), slot);
    }

    /// Wraps the slot of role `R`, whatever fills it: each message it receives goes through `screen` first, which hands it
    /// on, replaces it, answers it, or takes it (a question is then answered as dropped). What it sends goes through
    /// [`tap`](Self::tap)s.
    pub fn wrap<R: Role>(&mut self, screen: impl FnMut(R::Inbox) -> Option<R::Inbox> + Send + 'static) {
        let screen: Screen<R> = Arc::new(Mutex::new(screen));
        self.switchboard.screens.insert(R::NAME, Box::new(screen));
    }

    /// The graph of what is filled so far.
    pub fn topology(&self) -> Topology {
        let slots: Vec<&'static str> =
            self.roles.iter().copied().filter(|role| self.slots.contains_key(role)).collect();
        let mut edges: Vec<Edge> = slots.iter().flat_map(|role| self.slots[role].edges.iter().copied()).collect();
        edges.extend(self.outsides.iter().flat_map(|(_, edges)| edges.iter().copied()));
        Topology { slots, outsides: self.outsides.iter().map(|(name, _)| *name).collect(), edges }
    }

    /// Connects everything. Nothing runs yet.
    ///
    /// # Errors
    /// [`EmptySlot`](BuildError::EmptySlot), [`NoConsumer`](BuildError::NoConsumer) or
    /// [`WaitingCycle`](BuildError::WaitingCycle), each by name. The slots of [`node!`](crate::node!) make the second a
    /// compile error.
    pub fn build(mut self) -> Result<Overseer, BuildError> {
        if let Some(empty) = self.roles.iter().find(|role| !self.slots.contains_key(*role)) {
            return Err(BuildError::EmptySlot(empty));
        }
        let topology = self.topology();
        if let Some(cycle) = topology.waiting_cycle() {
            return Err(BuildError::WaitingCycle(cycle));
        }
        let mut logs = Logs::default();
        let (ended, ends) = mpsc::channel(self.roles.len().max(1));
        let mut tasks = Vec::new();
        let mut readers = Vec::new();
        for role in &self.roles {
            let Some(slot) = self.slots.remove(role) else { continue };
            let launch = Launch { name: role, ended: ended.clone() };
            let Connected { task, abort, lag, recording } =
                (slot.connect)(&mut self.switchboard, &mut logs, &self.environment, launch)?;
            tasks.push((*role, task, abort));
            readers.push(ReaderRecord { subsystem: role, gauge: slot.gauge, lag, recording });
        }
        let (stop, _) = watch::channel(false);
        let shared = Arc::new(Shared {
            logs: Mutex::new(logs),
            topology,
            switchboard: Mutex::new(self.switchboard),
            readers,
            health: Health::default(),
            stop,
        });
        Ok(Overseer { environment: self.environment, tasks, ends, handle: Handle { shared } })
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One subsystem, as seen from outside.
pub(crate) struct ReaderRecord {
    pub(crate) subsystem: &'static str,
    pub(crate) gauge: Arc<dyn Gauge>,
    pub(crate) lag: Lag,
    recording: Arc<Recording>,
}

pub(crate) struct Shared {
    logs: Mutex<Logs>,
    topology: Topology,
    pub(crate) switchboard: Mutex<Switchboard>,
    pub(crate) readers: Vec<ReaderRecord>,
    pub(crate) health: Health,
    pub(crate) stop: watch::Sender<bool>,
}

impl Shared {
    /// What went wrong with a subsystem that ended after the node had begun to. A failure counts only of one that was
    /// told to conclude: before that it may be that a neighbour has ended already, which is in order.
    fn failed_concluding(&self, name: &'static str, outcome: Outcome) -> Option<ExitCause> {
        let was_told = |reader: &ReaderRecord| {
            reader.subsystem == name && reader.recording.read().contains(&recorder::Recorded::Conclude)
        };
        match outcome {
            Ok(Ok(())) => None,
            Ok(Err(_)) if !self.readers.iter().any(was_told) => None,
            outcome => Some(cause_of(name, outcome)),
        }
    }
}

/// The queue of one subsystem at one moment, as read by [`Handle::queues`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// The subsystem.
    pub subsystem: &'static str,
    /// Messages waiting.
    pub waiting: usize,
    /// How many may wait.
    pub limit: usize,
    /// Bytes of the messages waiting or being delivered, as [`Message::bytes`] counts them.
    pub bytes: usize,
    /// How many bytes may.
    pub bytes_limit: usize,
    /// Entries of its signal log that it has not taken.
    pub lag: u64,
    /// How it spends its time, over the periods that were timed.
    pub busy: BusyTime,
}

/// The outside's way into a node: signals, senders, counters, the end. Cheap to clone; it may be had before the node
/// runs, and holds nothing open.
///
/// # Examples
/// ```
/// # use overseer::{Failure, Handle, Outside, View, Wait};
/// # pub struct Add(pub u64);
/// # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
/// # enum Days {}
/// # impl View for Days {
/// #     type Update = u32;
/// #     type State = u32;
/// #     fn apply(today: &mut u32, begins: &u32) { *today = *begins; }
/// #     fn catch_up(_: &u32, now: &u32) -> u32 { *now }
/// # }
/// # struct Pump;
/// # impl Outside for Pump {
/// #     const NAME: &'static str = "pump";
/// #     type Sends = (Wait<Add>,);
/// # }
/// async fn drive(handle: &Handle) -> Result<(), Failure> {
///     let pump = handle.outlet::<Pump>()?;
///     handle.publish::<Days>(1);
///     pump.send(Add(7)).await?; // handled after day 1 began
///     handle.wait_until::<Days>(|today| *today >= 2).await; // until somebody publishes that
///     if !handle.readiness().is_ready() {
///         println!("{:?}", handle.readiness().chains); // who waits for whom
///     }
///     handle.stop();
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    fn log<V: View>(&self) -> Arc<SignalLog<V>> {
        lock(&self.shared.logs).of::<V>()
    }

    /// The sending side of somebody outside. Nobody waits for somebody outside, so it can be had at any time, and more
    /// than once: all are one sender in the counters.
    ///
    /// # Errors
    /// [`BuildError::NoConsumer`] if a message has no slot in this node.
    pub fn outlet<O: Outside>(&self) -> Result<Outlet<FromOutside<O>>, BuildError> {
        O::Sends::connect(&mut lock(&self.shared.switchboard), O::NAME, Origin::Outside).map(Outlet::new)
    }

    /// Publishes an entry to all who hear the view `V`: it is stored, then each of them is woken. Never waits, however
    /// far behind a subsystem is. Entries published before the node runs are heard when it does. Returns whether it was
    /// published: `false`, and the entry is gone, once the node has begun to end.
    ///
    /// Whatever is sent by somebody who knows of it comes to its consumer after it.
    pub fn publish<V: View>(&self, update: V::Update) -> bool {
        self.log::<V>().publish(update).is_ok()
    }

    /// Waits until what was published to the view fulfils a condition: a question sent after that is handled by nobody
    /// who has not seen the same. For an author who has just imported a block and asks about it. Returns whether it was
    /// fulfilled: `false` if the node began to end before.
    ///
    /// # Cancel safety
    /// Nothing is lost: it only looks.
    ///
    /// # Panics
    /// When `condition` does.
    pub async fn wait_until<V: View>(&self, condition: impl FnMut(&V::State) -> bool) -> bool {
        self.log::<V>().wait_until(condition).await
    }

    /// Tells the node to end. [`Overseer::run`] returns when it has. Never waits; once is enough.
    pub fn stop(&self) {
        self.shared.stop.send_replace(true);
    }

    /// Counters of every edge, by sender in the order of the wiring, since the node was built.
    pub fn edges(&self) -> Vec<EdgeSnapshot> {
        lock(&self.shared.switchboard).edges.iter().map(|edge| edge.snapshot()).collect()
    }

    /// Every subsystem's queue, in the order of the wiring.
    pub fn queues(&self) -> Vec<QueueSnapshot> {
        let read = |reader: &ReaderRecord| {
            let limits = reader.gauge.limits();
            QueueSnapshot {
                subsystem: reader.subsystem,
                waiting: reader.gauge.waiting(),
                limit: limits.messages,
                bytes: reader.gauge.used().1,
                bytes_limit: limits.bytes,
                lag: (reader.lag)(),
                busy: reader.gauge.busy(),
            }
        };
        self.shared.readers.iter().map(read).collect()
    }

    /// The graph this node was built from.
    pub fn topology(&self) -> &Topology {
        &self.shared.topology
    }
}

/// A node that was built. [`run`](Self::run) starts it; dropping it starts nothing.
pub struct Overseer {
    environment: Environment,
    tasks: Vec<(&'static str, BoxFuture<()>, AbortHandle)>,
    ends: mpsc::Receiver<End>,
    handle: Handle,
}

impl Overseer {
    /// The way in from outside. Take it before [`run`](Self::run), which consumes the overseer.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs every subsystem, each as a task of its own, until [`Handle::stop`] or the first that ends, fails or panics;
    /// then concludes: every subsystem hears [`Event::Conclude`](crate::Event::Conclude), has [`CONCLUDE_DEADLINE`] to
    /// return, and is dropped after that.
    ///
    /// The report names the first cause; after a stop, the first that panics or fails while it concludes is one. If
    /// that was no stop, or somebody did not return in time, it holds the last events of each subsystem
    /// ([`RECORDED_EVENTS`](recorder::RECORDED_EVENTS)) as well, which are also logged.
    ///
    /// # Cancel safety
    /// Not cancel-safe: subsystems that were started run on without a supervisor when the future is dropped. Use
    /// [`Handle::stop`].
    ///
    /// # Examples
    /// ```
    /// # use overseer::{Failure, node::ExitCause, subsystem::Drain};
    /// # pub struct Add(pub u64);
    /// # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
    /// # overseer::node! { pub struct Small, built by SmallBuilder { counter: Counter } }
    /// let simulation = deterministic::Simulation::new(1);
    /// let node = SmallBuilder::new(simulation.environment("node")).counter(Drain::default()).build()?;
    /// node.handle().stop();
    /// let report = simulation.run_until(node.run())?;
    /// assert!(report.is_clean() && matches!(report.cause, ExitCause::Stopped));
    /// # Ok::<(), Failure>(())
    /// ```
    pub async fn run(self) -> ExitReport {
        let mut ends = self.ends;
        let mut running: BTreeMap<&'static str, AbortHandle> = BTreeMap::new();
        for (name, task, abort) in self.tasks {
            running.insert(name, abort);
            self.environment.spawner.spawn(name, task);
        }

        let mut stop = self.handle.shared.stop.subscribe();
        let mut cause = tokio::select! {
            biased;
            end = ends.recv() => match end {
                Some((name, outcome)) => {
                    running.remove(name);
                    cause_of(name, outcome)
                }
                None => ExitCause::Stopped,
            },
            _ = stop.wait_for(|stop| *stop) => ExitCause::Stopped,
        };
        if !matches!(cause, ExitCause::Stopped) {
            tracing::error!(%cause, "node ends");
            // For those who only look on.
            self.handle.stop();
        }
        {
            let mut logs = lock(&self.handle.shared.logs);
            logs.concluded = true;
            logs.conclude.iter().for_each(|conclude| conclude());
        }
        let deadline = self.environment.clock.sleep(CONCLUDE_DEADLINE);
        let drain = async {
            while !running.is_empty() {
                let Some((name, outcome)) = ends.recv().await else { break };
                running.remove(name);
                let Some(failed) = self.handle.shared.failed_concluding(name, outcome) else { continue };
                tracing::error!(cause = %failed, "while concluding");
                if matches!(cause, ExitCause::Stopped) {
                    cause = failed;
                }
            }
        };
        tokio::select! {
            biased;
            () = drain => {}
            () = deadline => {}
        }
        for abort in running.values() {
            abort.abort();
        }
        let unfinished: Vec<&'static str> = running.into_keys().collect();
        if !unfinished.is_empty() {
            tracing::warn!(?unfinished, "subsystems did not return in time and were dropped");
            let deadline = self.environment.clock.sleep(DROP_DEADLINE);
            // Each task holds one sending side, and lets go of it after its subsystem.
            let gone = async { while ends.recv().await.is_some() {} };
            tokio::select! {
                biased;
                () = gone => {}
                () = deadline => {}
            }
        }
        let mut report = ExitReport { cause, unfinished, last_events: BTreeMap::new() };
        if !report.is_clean() {
            let readers = self.handle.shared.readers.iter();
            report.last_events = readers.map(|reader| (reader.subsystem, reader.recording.read())).collect();
            for (subsystem, events) in &report.last_events {
                tracing::info!(subsystem, events = %recorder::line(events), "last events");
            }
        }
        report
    }
}

/// Declares a node: its slots, one per role, in the order of the wiring. Makes a marker type and its builder with one
/// method per slot; filling a slot with a subsystem of another role, or with one that sends a message nobody consumes,
/// does not compile.
///
/// Beside the slots the builder has what [`Builder`](crate::node::Builder) has: `restarting`, `mailbox_limits`,
/// `outside`, `tap`, `topology`, `build`, and `drain_empty_slots`.
///
/// # Examples
/// ```
/// # pub struct Add(pub u64);
/// # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
/// overseer::node! {
///     /// A node with one slot.
///     pub struct Small, built by SmallBuilder {
///         /// Counts.
///         counter: Counter,
///     }
/// }
/// ```
#[macro_export]
macro_rules! node {
    (
        $(#[$meta:meta])*
        $vis:vis struct $node:ident, built by $builder:ident {
            $( $(#[$slot_meta:meta])* $slot:ident: $role:ty ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $node {}

        $( impl $crate::wiring::HasSlot<$role> for $node {} )*

        #[doc = concat!("Fills the slots of [`", stringify!($node), "`].")]
        $vis struct $builder {
            inner: $crate::node::Builder,
        }

        impl $builder {
            /// All slots empty.
            pub fn new(environment: $crate::Environment) -> Self {
                let roles = [$(<$role as $crate::Role>::NAME),*];
                Self { inner: $crate::node::Builder::new(environment, &roles) }
            }

            $(
                $(#[$slot_meta])*
                pub fn $slot<S>(mut self, subsystem: S) -> Self
                where
                    S: $crate::Subsystem<Role = $role>,
                    S::Sends: $crate::wiring::FitsInto<$node, S>,
                    S::JobSends: $crate::wiring::FitsInto<$node, S>,
                {
                    self.inner.fill(subsystem);
                    self
                }
            )*

            /// Fills every empty slot with [`Drain`]($crate::subsystem::Drain), which takes what comes and does
            /// nothing.
            pub fn drain_empty_slots(mut self) -> Self {
                $( if !self.inner.is_filled::<$role>() {
                    self.inner.fill($crate::subsystem::Drain::<$role>::default());
                } )*
                self
            }

            /// Fills a slot with a subsystem that is made anew when it fails; see
            /// [`Builder::fill_restarting`]($crate::node::Builder::fill_restarting).
            pub fn restarting<S>(
                mut self,
                restarts_max: u32,
                make: impl FnMut() -> S + ::core::marker::Send + 'static,
            ) -> Self
            where
                S: $crate::Subsystem,
                S::Sends: $crate::wiring::FitsInto<$node, S>,
                S::JobSends: $crate::wiring::FitsInto<$node, S>,
                $node: $crate::wiring::HasSlot<S::Role>,
            {
                self.inner.fill_restarting(restarts_max, make);
                self
            }

            /// Fills a slot with a subsystem that is recorded; see
            /// [`Builder::fill_recorded`]($crate::node::Builder::fill_recorded).
            pub fn recorded<S>(mut self, tape: &$crate::replay::Tape, subsystem: S) -> Self
            where
                S: $crate::replay::Recordable,
                S::Sends: $crate::wiring::FitsInto<$node, S>,
                S::JobSends: $crate::wiring::FitsInto<$node, S>,
                $node: $crate::wiring::HasSlot<S::Role>,
            {
                self.inner.fill_recorded(tape, subsystem);
                self
            }

            /// The limits of a role's mailbox; call before its slot is filled.
            pub fn mailbox_limits<R: $crate::Role>(mut self, limits: $crate::mailbox::MailboxLimits) -> Self {
                self.inner.mailbox_limits::<R>(limits);
                self
            }

            /// Names somebody outside who sends.
            pub fn outside<O: $crate::Outside>(mut self) -> Self
            where
                O::Sends: $crate::wiring::FitsInto<$node, O>,
            {
                self.inner.outside::<O>();
                self
            }

            /// Puts a tap on what role `R` sends as `M`.
            pub fn tap<R: $crate::Role, M: $crate::Message>(mut self, tap: impl $crate::port::Tap<M>) -> Self {
                self.inner.tap::<R, M>(tap);
                self
            }

            /// Wraps the slot of role `R`, whatever fills it; see [`Builder::wrap`]($crate::node::Builder::wrap).
            pub fn wrap<R: $crate::Role>(
                mut self,
                screen: impl FnMut(R::Inbox) -> ::core::option::Option<R::Inbox> + ::core::marker::Send + 'static,
            ) -> Self {
                self.inner.wrap::<R>(screen);
                self
            }

            /// The graph of what is filled so far.
            pub fn topology(&self) -> $crate::topology::Topology {
                self.inner.topology()
            }

            /// Connects everything; see [`Builder::build`]($crate::node::Builder::build).
            pub fn build(self) -> ::core::result::Result<$crate::Overseer, $crate::node::BuildError> {
                self.inner.build()
            }
        }
    };
}
