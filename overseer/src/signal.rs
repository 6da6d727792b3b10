//! The heartbeat: what a [`View`] is. The log itself lives in `overseer-core`.
//!
//! One append-only log per view; each subsystem holds a cursor. Publishing stores an entry and wakes those who hear the
//! view; it never waits for a subsystem. The log keeps [`SIGNAL_LOG_MAX`] entries: a cursor that falls behind, starts
//! late or starts again gets one catch-up entry made from what it knew and what is so now.

pub use overseer_core::signal::{Nothing, SIGNAL_LOG_MAX, View};

pub(crate) use overseer_core::signal::{Cursor, SignalLog, Wakeable};
