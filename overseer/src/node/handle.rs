//! The way into a node from outside: what it hears, and how it is doing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use deterministic::drop_caught;
use overseer_core::sync::lock;
use tokio::sync::watch;

use crate::edge::Gauge;
use crate::exit::{ExitCause, cause_of, is_end_of_another};
use crate::health::Health;
use crate::mailbox::BusyTime;
use crate::node::{BuildError, FromOutside, Lag, Logs, Outside};
use crate::port::{EdgeSnapshot, Outlet};
use crate::recorder::Recording;
use crate::restart::Outcome;
use crate::signal::{SignalLog, View};
use crate::topology::Topology;
use crate::wiring::{Origin, SendList, Switchboard};

/// One subsystem, as seen from outside.
pub(crate) struct ReaderRecord {
    pub(crate) subsystem: &'static str,
    pub(crate) gauge: Arc<dyn Gauge>,
    pub(crate) lag: Lag,
    pub(crate) recording: Arc<Recording>,
}

pub(crate) struct Shared {
    pub(super) logs: Mutex<Logs>,
    pub(super) topology: Topology,
    pub(crate) switchboard: Mutex<Switchboard>,
    pub(crate) readers: Vec<ReaderRecord>,
    pub(crate) health: Health,
    pub(crate) stop: watch::Sender<bool>,
}

impl Shared {
    /// Tells everybody that it is the end.
    pub(super) fn conclude(&self) {
        lock(&self.switchboard).concluding.store(true, Ordering::Release);
        lock(&self.logs).conclude();
    }

    /// Who began to end before all others.
    pub(super) fn first_to_end(&self) -> Option<&'static str> {
        let ending = self.readers.iter().filter(|reader| reader.recording.turn() > 0);
        ending.min_by_key(|reader| reader.recording.turn()).map(|reader| reader.subsystem)
    }

    /// What went wrong with a subsystem that ended after the node had begun to. A failure that says no more than that a
    /// neighbour has ended already is in order; another one counts only of one that was told to conclude.
    pub(super) fn failed_concluding(&self, name: &'static str, outcome: Outcome) -> Option<ExitCause> {
        let was_told = |reader: &ReaderRecord| reader.subsystem == name && reader.recording.was_concluded();
        match outcome {
            Ok(Ok(())) => None,
            Ok(Err(failure)) if is_end_of_another(&failure) => {
                tracing::debug!(subsystem = name, %failure, "concluded after a neighbour had");
                drop_caught(failure);
                None
            }
            Ok(Err(failure)) if !self.readers.iter().any(was_told) => {
                tracing::warn!(subsystem = name, %failure, "ended early, while the node ends");
                drop_caught(failure);
                None
            }
            outcome => Some(cause_of(name, outcome)),
        }
    }
}

/// The queue of one subsystem at one moment, as read by [`Handle::queues`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// The subsystem.
    pub subsystem: &'static str,
    /// Messages waiting or being handled; above the limit with places beyond it.
    pub waiting: usize,
    /// How many may wait.
    pub limit: usize,
    /// Bytes that count against the limit, as [`Message::bytes`](crate::Message::bytes) counts them: of messages that wait
    /// or are being handled, of [places](crate::port::Place) that are held, and of what was handled but not given back yet,
    /// which is at most about half of the limit, and at most the last message once the subsystem rests.
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

    /// Tells the node to end. [`Overseer::run`](crate::Overseer::run) returns when it has. Never waits; once is enough.
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
                waiting: reader.gauge.progress().0,
                limit: limits.messages,
                bytes: reader.gauge.used().1,
                bytes_limit: limits.bytes,
                lag: (reader.lag)(),
                busy: reader.gauge.meter().busy_time(),
            }
        };
        self.shared.readers.iter().map(read).collect()
    }

    /// The graph this node was built from.
    pub fn topology(&self) -> &Topology {
        &self.shared.topology
    }
}
