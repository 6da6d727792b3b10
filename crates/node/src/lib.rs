//! The node: subsystems wired to the doors they reach the outside through.
//!
//! **Role**: [`wiring`] is the one place where slots meet subsystems; [`Node`] starts chain, network and overseer of one
//! node and ends them in order; [`local`] runs a whole network of nodes in one process, on real components or on the
//! simulator's.
//!
//! **Invariants**: nothing is global, because many nodes share a process; the heartbeat is computed from the block tree,
//! never by counting events; an author asks for an inherent only after everybody has heard of its parent.
//!
//! **Limits**: [`AUTHORSHIP_TIMEOUT`] for an inherent.

#![forbid(unsafe_code)]

mod collators;
mod heartbeat;
mod inherent;
pub mod local;
mod metrics;
mod node;
mod topology;
pub mod wiring;

pub use collators::{AdderCollator, BurnerCollator};
pub use inherent::AUTHORSHIP_TIMEOUT;
pub use node::{Ground, Node, NodeError, NodeRole, NodeSpec, StartFailure};
pub use topology::topology;
pub use wiring::{BlockAuthor, Doors, Parahost, ParahostBuilder, Settings, wire};
