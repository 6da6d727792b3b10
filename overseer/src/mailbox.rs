//! The mailbox of a subsystem, as far as its users see it: its limits and why it refuses. It lives in `overseer-core`.
//!
//! Bounded in messages and in bytes. Two lanes: the high one is looked at before each delivery, whatever was taken out
//! before, and leaves one delivery in seventeen to the normal one. Waiting senders are served first come, first served.
//! An idle mailbox holds no memory for messages. One message in 64 is timed; everything is counted.

pub use overseer_core::mailbox::{MailboxLimits, RefusedReason};
pub use overseer_core::meter::{BusyTime, EdgeTimes, Histogram};

pub(crate) use overseer_core::mailbox::{EdgeId, Mailbox};
