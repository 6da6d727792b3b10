//! Putting a node together, running it, and ending it in order.
//!
//! [`node!`](crate::node!) declares slots and makes a typed builder on top of [`Builder`]; that gives an [`Overseer`],
//! whose [`Handle`] is the way in from outside.

mod declare;
mod handle;
mod run;

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use deterministic::{BoxFuture, Environment};
use tokio::sync::{mpsc, watch};

use crate::answer::AskError;
use crate::edge::Gauge;
use crate::health::Health;
use crate::mailbox::{Mailbox, MailboxLimits};
use crate::message::{Message, Role};
use crate::port::{Tap, TapSlot};
use crate::recorder::Recording;
use crate::replay::{self, Recordable, Tape};
use crate::restart::{self, MailboxOf};
use crate::signal::{SignalLog, View};
use crate::subsystem::{Screen, Subsystem};
use crate::task::{AbortHandle, Launch};
use crate::topology::{Edge, Topology};
use crate::wiring::{Origin, SendList, Sender, Switchboard};

pub use handle::{Handle, QueueSnapshot};
pub(crate) use handle::{ReaderRecord, Shared};
pub use run::{CONCLUDE_DEADLINE, Overseer};

pub use crate::exit::{ExitCause, ExitReport};

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
    /// Two slots, or somebody outside beside a slot, have one name: metrics, limits, taps and the graph could not tell
    /// them apart.
    #[error("two of this node are called {0}: give each role, and each who sends from outside, a name of its own")]
    TwoOfOneName(&'static str),
    /// A tap on what nobody in this node sends.
    #[error("tap on {message} of {from}: {from} does not declare that it sends {message}, or is not in this node")]
    NothingToTap {
        /// Who was to be tapped.
        from: &'static str,
        /// The message.
        message: &'static str,
    },
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
    /// How many subsystems have begun to end.
    pub(crate) ending: Arc<AtomicU64>,
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

    /// Tells everybody that it is the end, and whoever comes later.
    fn conclude(&mut self) {
        self.concluded = true;
        self.conclude.iter().for_each(|conclude| conclude());
    }

    fn get<V: View>(&self) -> Option<Arc<SignalLog<V>>> {
        self.typed.get(&TypeId::of::<V>()).cloned().and_then(|log| log.downcast().ok())
    }
}

/// How many entries of its log a subsystem has not taken.
pub(crate) type Lag = Arc<dyn Fn() -> u64 + Send + Sync>;
pub(crate) type Connect =
    Box<dyn FnOnce(&mut Switchboard, &mut Logs, &Environment, Launch) -> Result<Connected, BuildError> + Send>;

/// A subsystem that waits for its node to run.
pub(crate) struct Connected {
    pub(crate) task: BoxFuture<()>,
    pub(crate) abort: AbortHandle,
    pub(crate) lag: Lag,
    pub(crate) recording: Arc<Recording>,
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
    /// Who is tapped for which message.
    taps: Vec<(&'static str, &'static str)>,
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
            taps: Vec::new(),
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
        self.put::<S>(|mailbox| restart::once(subsystem, mailbox));
    }

    /// Puts a subsystem into its slot that is made anew when it fails, panics or returns early, up to `restarts_max`
    /// times in the node's life. Its mailbox is kept, but for the message that it was handling; what the signals said
    /// comes as one catch-up entry from nothing to now. Each restart is logged with its cause. After that it ends the
    /// node like any other.
    ///
    /// Off by default: most failures are better seen than repaired.
    pub fn fill_restarting<S: Subsystem>(&mut self, restarts_max: u32, make: impl FnMut() -> S + Send + 'static) {
        self.put::<S>(|mailbox| restart::restarting(restarts_max, make, mailbox));
    }

    /// Puts a subsystem into its slot that is recorded from its start: everything that crosses its context goes onto the
    /// tape, for [`replay`](crate::replay::replay()).
    pub fn fill_recorded<S: Recordable>(&mut self, tape: &Tape, subsystem: S) {
        self.put::<S>(|mailbox| replay::recorded(tape, subsystem, mailbox));
    }

    fn put<S: Subsystem>(&mut self, connect: impl FnOnce(MailboxOf<S>) -> Connect) {
        let role = <S::Role as Role>::NAME;
        let clock = self.environment.clock.clone();
        let nanos = move || u64::try_from(clock.steady().as_nanos()).unwrap_or(u64::MAX);
        let limits = self.limits.get(role).copied().unwrap_or_default();
        let mailbox: MailboxOf<S> = Arc::new(Mailbox::new(limits, Some(Arc::new(nanos))));
        self.switchboard.mailboxes.insert(TypeId::of::<S::Role>(), Box::new(mailbox.clone()));
        let edges = edges::<S::Sends>(role, Origin::Loop).chain(edges::<S::JobSends>(role, Origin::Jobs)).collect();
        self.slots.insert(role, Slot { edges, gauge: mailbox.clone(), connect: connect(mailbox) });
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
    /// [`build`](Self::build) refuses one on what is never sent.
    pub fn tap<R: Role, M: Message>(&mut self, tap: impl Tap<M>) {
        self.tap_from(R::NAME, tap);
    }

    /// Puts a tap on what somebody outside sends as `M`, as [`tap`](Self::tap) does for a role; they are to be named as
    /// [outside](Self::outside).
    pub fn tap_outside<O: Outside, M: Message>(&mut self, tap: impl Tap<M>) {
        self.tap_from(O::NAME, tap);
    }

    fn tap_from<M: Message>(&mut self, from: &'static str, tap: impl Tap<M>) {
        let slot: TapSlot = Arc::new(Arc::new(tap) as Arc<dyn Tap<M>>);
        self.taps.push((from, M::name()));
        self.switchboard.taps.insert((from, TypeId::of::<M>()), slot);
    }

    /// Hears of each question that comes to its end: who asked, what, and why there is no answer, where there is none.
    /// For transcripts and tracing. Of one that was given up nothing is heard.
    pub fn on_answer(&mut self, hear: impl Fn(&'static str, &'static str, Option<&AskError>) + Send + Sync + 'static) {
        self.switchboard.on_answer = Some(Arc::new(hear));
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
    /// [`TwoOfOneName`](BuildError::TwoOfOneName), [`EmptySlot`](BuildError::EmptySlot),
    /// [`NoConsumer`](BuildError::NoConsumer), [`NothingToTap`](BuildError::NothingToTap) or
    /// [`WaitingCycle`](BuildError::WaitingCycle), each by name. The slots of [`node!`](crate::node!) make `NoConsumer` a
    /// compile error.
    pub fn build(mut self) -> Result<Overseer, BuildError> {
        let mut names = BTreeSet::new();
        let named = self.roles.iter().copied().chain(self.outsides.iter().map(|(name, _)| *name));
        if let Some(twice) = named.into_iter().find(|name| !names.insert(*name)) {
            return Err(BuildError::TwoOfOneName(twice));
        }
        if let Some(empty) = self.roles.iter().find(|role| !self.slots.contains_key(*role)) {
            return Err(BuildError::EmptySlot(empty));
        }
        let topology = self.topology();
        if let Some(cycle) = topology.waiting_cycle() {
            return Err(BuildError::WaitingCycle(cycle));
        }
        let is_sent = |tap: &(_, _)| topology.edges.iter().any(|edge| (edge.from, edge.declared.message) == *tap);
        if let Some(&(from, message)) = self.taps.iter().find(|tap| !is_sent(tap)) {
            return Err(BuildError::NothingToTap { from, message });
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
