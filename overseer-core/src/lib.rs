//! What the overseer's ordering and back-pressure rest on, apart from any executor: the mailbox, the signal log, and
//! the way in which a subsystem receives from both.
//!
//! Users of `overseer` meet its types there, under `overseer::mailbox` and `overseer::signal`, and need not name this
//! crate.
//!
//! **Role**: small enough to be proved. It uses a mutex and some atomics of [`sync`], which is `std` in a program and
//! `loom` in the models of `tests/loom.rs`; wakers are the only thing it knows of an executor.
//!
//! **Receives**: messages through [`Mailbox`], signals through [`SignalLog`]. **Sends**: nothing; [`Inbound`] hands
//! both to one reader.
//!
//! **Invariants**: a message sent by somebody who has seen a signal is delivered after that signal. No wake is lost: a
//! reader sleeps only while nothing is there for it. Waiting senders are served first come, first served; one that is
//! dropped has put nothing in and passes on what it was granted. What is refused is handed back.
//!
//! **Limits**: [`MailboxLimits`]; [`SIGNAL_LOG_MAX`]; [`reader::RELEASE_EVERY`]; [`reader::HIGH_BURST_MAX`];
//! [`inbound::YIELD_EVERY`].
//!
//! ```
//! use std::sync::Arc;
//! use overseer_core::{Lane, Mailbox, MailboxLimits, Reader, RefusedReason, Sending};
//!
//! let mailbox = Arc::new(Mailbox::new(MailboxLimits { messages: 1, bytes: 1024 }, None));
//! let edge = mailbox.register_edge();
//! let mut reader = Reader::new(mailbox.clone());
//! futures::executor::block_on(Sending::new(&*mailbox, edge, "first", 5, Lane::Normal)).unwrap();
//! let refused = mailbox.try_send(edge, "second", 6, Lane::Normal);
//! assert_eq!(refused, Err(("second", RefusedReason::Full)), "it comes back");
//! assert_eq!(reader.pop().map(|taken| taken.value), Some("first"));
//! ```

#![forbid(unsafe_code)]

pub mod inbound;
pub mod mailbox;
pub mod meter;
mod purge;
pub mod reader;
pub mod sending;
pub mod signal;
pub mod sync;
#[cfg(all(test, not(loom)))]
mod tests;

pub use inbound::{Inbound, Incoming};
pub use mailbox::{EdgeCounts, EdgeId, Lane, Mailbox, MailboxLimits, RefusedReason, WhenFull};
pub use meter::{Histogram, Meter, NanosClock};
pub use reader::Reader;
pub use sending::{Permit, Reserve, Sending};
pub use signal::{Cursor, Next, Nothing, SIGNAL_LOG_MAX, SignalLog, View, Wakeable};
