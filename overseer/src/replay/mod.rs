//! Full recordings: everything that crosses the context of one subsystem, in order, and its replay into a fresh instance.
//!
//! A [`Tape`] holds turns (one of the subsystem's tasks is polled), acts (it sends, asks, casts, answers, spawns, sleeps,
//! draws, reads the clock, purges, ends, panics) and arrivals (a message, a signal, an answer, a free place, the end of a sleep or of
//! computing). While it is recorded its tasks take turns, so that there is one order. [`replay()`] polls the same tasks in
//! the same order, hands out what arrived, and compares what the fresh instance does: the first [`Difference`] is named
//! with what was expected, what came, and at which event. It needs no executor, no clock and no neighbour.
//!
//! ```
//! use overseer::replay::{Tape, replay};
//! # use overseer::{Context, Event, Failure, Nothing, Outside, Subsystem, Wait};
//! # #[derive(Clone, Debug)] pub struct Add(pub u64);
//! # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
//! # struct Sum(u64);
//! # impl Subsystem for Sum {
//! #     type Role = Counter; type View = Nothing; type Sends = (); type JobSends = ();
//! #     async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
//! #         loop { match context.recv().await {
//! #             Event::Signal(never) => match never {},
//! #             Event::Message(Inbox::Add(Add(number))) => self.0 += number,
//! #             Event::Conclude => return Ok(()),
//! #         } }
//! #     }
//! # }
//! # overseer::node! { struct Small, built by SmallBuilder { counter: Counter } }
//! # let simulation = deterministic::Simulation::new(1);
//! let tape = Tape::new();
//! let node = SmallBuilder::new(simulation.environment("node")).recorded(&tape, Sum(0)).build()?;
//! node.handle().stop();
//! simulation.run_until(node.run())?;
//! assert_eq!(tape.lines().last().unwrap(), "2 counter ends: Ok(())");
//! assert_eq!(replay(&tape, Sum(0))?, tape.len());
//! # Ok::<(), Failure>(())
//! ```
//!
//! **What is not on the tape**: which messages a [purge](crate::Context::purge) left; an instance that is replayed is
//! handed those that were taken, whatever it would have taken. What the subsystem was made with (a keystore, a disk, a
//! network); the fresh instance needs
//! the same. Values of a [`Feed`](crate::Feed) or [`Watch`](crate::Watch) after it was handed over. What work that was
//! handed to computing threads draws or reads. Values whose `Debug` says less than they hold are compared by what it says.

mod environment;
mod forms;
mod tape;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use deterministic::{BoxFuture, Environment, drop_caught};
use futures::FutureExt as _;

use crate::mailbox::{Mailbox, MailboxLimits};
use crate::message::Role;
use crate::node::{Connect, Logs};
use crate::restart::{MailboxOf, Outcome, caught, connect, prepare};
use crate::subsystem::{Context as SubsystemContext, Start, Subsystem};
use crate::wiring::Switchboard;

pub(crate) use forms::{PortTape, Words, copy_of};
pub use forms::{Recordable, SendForm, Shown, Taped, TapedInbox, TapedSend, TapedSends, Taping};
pub(crate) use tape::Text;
pub use tape::{Reel, SHOWN_CHARS_MAX, TAPE_EVENTS_MAX, Tape};

/// The task of the loop.
const LOOP: usize = 0;

/// Where a replay first went another way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {at}: expected `{expected}`, came `{came}`; before it: {}", .before.join("; "))]
pub struct Difference {
    /// The number of the event.
    pub at: usize,
    /// What stands on the tape.
    pub expected: String,
    /// What the fresh instance did.
    pub came: String,
    /// The last events before it.
    pub before: Vec<String>,
}

/// The loop of a subsystem, in turns.
fn in_turns<S: Subsystem>(reel: &Reel, subsystem: S, context: SubsystemContext<S>) -> BoxFuture<Outcome> {
    let name = <S::Role as Role>::NAME;
    let running = caught(async move { subsystem.run(context).await });
    let how = |outcome: &Outcome| match outcome {
        Ok(result) => Some(format!("{result:?}")),
        Err(message) => Some(format!("panicked: {message}")),
    };
    Box::pin(reel.in_turns(LOOP, name, running, how))
}

/// Runs a subsystem and records it.
pub(crate) fn recorded<S: Recordable>(tape: &Tape, subsystem: S, mailbox: MailboxOf<S>) -> Connect {
    let reel = Reel::recording(tape);
    connect(mailbox, Some(S::taping(reel.clone())), move |mut start: Start<S>| {
        start.environment = environment::taped(&reel, Some(start.environment));
        in_turns(&reel, subsystem, SubsystemContext::new(start))
    })
}

/// Plays a tape into a fresh instance, of the same type or of another in the same slot. Returns the number of events
/// replayed: all of them. The tape must not be in the middle of a turn: play it when its node has ended or rests.
///
/// # Errors
/// The first [`Difference`]; nothing is run after it: the instance is unwound from what it does then.
pub fn replay<S: Recordable>(tape: &Tape, subsystem: S) -> Result<usize, Difference> {
    let reel = Reel::playing(tape);
    let environment = environment::taped(&reel, None);
    let running = alone(&reel, subsystem, &environment);
    let mut tasks: BTreeMap<usize, BoxFuture<()>> = BTreeMap::from([(LOOP, running.map(|_| ()).boxed())]);
    while let Some(turn) = reel.next_turn(|task| tasks.contains_key(&task))? {
        let mut cx = Context::from_waker(Waker::noop());
        // One that panics has ended as well, and its turn has said so; unless the replay is over.
        let polled = tasks.get_mut(&turn).map(|task| catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut cx))));
        if !matches!(polled, Some(Ok(Poll::Pending))) {
            tasks.remove(&turn);
        }
        drop_caught(polled);
        tasks.extend(reel.take_spawned());
    }
    Ok(tape.len())
}

/// A subsystem with ports that lead nowhere: a reel stands before each.
fn alone<S: Recordable>(reel: &Reel, subsystem: S, environment: &Environment) -> BoxFuture<Outcome> {
    let unread = MailboxLimits { messages: usize::MAX, bytes: usize::MAX };
    let mailbox = Arc::new(Mailbox::new(unread, None));
    let mut switchboard = Switchboard::alone(environment.clone(), unread);
    let taping = S::taping(reel.clone());
    let (start, ..) = prepare::<S>(mailbox, &mut switchboard, &mut Logs::default(), environment, Some(taping))
        .expect("a switchboard that makes every mailbox lacks none");
    in_turns(reel, subsystem, SubsystemContext::new(start))
}
