//! A framework for programs made of long-lived, swappable *subsystems* that share one heartbeat and one typed message
//! bus.
//!
//! - A [`Role`] is a slot: an inbox of typed [`Message`]s, apart from any implementation. [`inbox!`] declares it.
//! - A [`Subsystem`] fills a slot. It declares what it sends, and how: [`Wait`], [`Ask`] or [`Cast`].
//! - A [`View`] is the heartbeat: entries that every subsystem that hears it sees in the same order, and that no
//!   message overtakes.
//! - [`node!`] declares the slots of a program; its builder proves the wiring, then [`Overseer::run`] runs it.
//!
//! The overseer starts subsystems, gives them signals, carries their messages, counts what crosses each edge, and ends
//! them in order, with the first cause named.
//!
//! **Invariants.** A message sent by somebody who has seen a signal is never handled by somebody who has not (OV-4). No
//! circle of waiting sends can be built; who holds a [`Place`](port::Place) while he waits for another is named when it
//! lasts. Publishing a signal never waits for a subsystem. The overseer knows no word of
//! any blockchain.
//!
//! **Slow is not dead.** [`Handle::readiness`] names who lags, who stands still and who waits for whom; [`Handle::watch`] logs it. Only a
//! slot's own policy ends or restarts anybody.
//!
//! **The end.** [`Event::Conclude`] comes to all subsystems at once, and each returns in its own time, so after it nobody
//! may count on another. Who returns takes nothing any more: what is queued at it still, and what loops send it later, is
//! lost without an error, and counted ([`EdgeSnapshot::refused`](port::EdgeSnapshot::refused)); questions to it fail, and
//! jobs are refused. What must outlast the node has to be safe, on disk as a rule, by the loop's own doing. Who may be told
//! something still goes on with [`Context::recv`] until the time it gives its neighbours is over; within
//! [`CONCLUDE_DEADLINE`](node::CONCLUDE_DEADLINE) it has to return.
//!
//! **Full recordings.** [`replay`] records one subsystem and shows where a fresh instance first does something else.
//!
//! **Limits.** Mailboxes: [`mailbox::MailboxLimits`]; signal log: [`signal::SIGNAL_LOG_MAX`]; shutdown:
//! [`node::CONCLUDE_DEADLINE`]; waits and lag that are named: [`health::LONG_WAIT`], [`health::LAG_MAX`]; events kept
//! for the exit report: [`recorder::RECORDED_EVENTS`]; a full recording: [`replay::TAPE_EVENTS_MAX`].
#![doc = include_str!("ten-minutes.md")]
// These examples need crates that depend on this one, so they run as documentation tests of `mocks`.
#![cfg_attr(not(doctest), doc = include_str!("jobs-and-mocks.md"))]
#![forbid(unsafe_code)]

pub mod answer;
pub mod coverage;
mod deadline;
mod edge;
mod exit;
pub mod health;
mod live;
pub mod mailbox;
pub mod message;
pub mod node;
pub mod port;
pub mod recorder;
pub mod replay;
mod restart;
pub mod signal;
pub mod subsystem;
mod task;
pub mod topology;
pub mod wiring;

pub use answer::{AskError, Feed, Reply, Responder, Watch};
pub use deterministic::Environment;
pub use message::{Message, Request, Role, WhenFull};
pub use node::{ExitReport, Handle, Outside, Overseer};
pub use port::{Outlet, SendError};
pub use signal::{Nothing, View};
pub use subsystem::{Context, Event, Failure, Subsystem};
pub use wiring::{Ask, Cast, Wait};
