//! What subsystems say to each other: one module per consumer, in the order of a candidate's life.
//!
//! **Role**: the interface of every subsystem, apart from any implementation (OV-8). A module holds the consumer's
//! role, its inbox and its messages; whoever sends or consumes them needs this crate and nothing of the other side.
//!
//! **Receives** and **sends**: nothing; types only. **Step**: all; the modules stand in the order of ARCHITECTURE.md's
//! table, services for all steps behind them.
//!
//! **Kinds**: a message *told* can be sent (the sender waits) or cast (it never waits; the message says what a full
//! queue does); a message *asked* has an answer. Who may send what stands in each subsystem's declaration, and all
//! together in ARCHITECTURE.md, from which `cargo xtask graph` draws.
//!
//! **Invariants**: no message that carries a signature of ours is lossy. Messages with heap data count it in `bytes`.
//! What comes from a peer is unchecked bytes until the consumer has decoded and checked it. A message that names a
//! relay parent is sent only after the signal that announced it, and so arrives after it.
//!
//! **Limits**: the constants that end in `_MAX` beside the messages that they bound.
//!
//! In each module the comment on a message says who sends it, how, and what it asks of its consumer; an answer's error
//! type says what can go wrong. A question whose way back is dropped fails with [`overseer::AskError`] instead.

#![forbid(unsafe_code)]

pub mod availability_distribution;
pub mod availability_recovery;
pub mod availability_store;
pub mod bitfield_distribution;
pub mod bitfield_signing;
pub mod candidate_backing;
pub mod candidate_selection;
pub mod candidate_validation;
pub mod chain_api;
pub mod collation_distribution;
pub mod collation_generation;
pub mod misbehavior_arbitration;
pub mod network_bridge;
pub mod peer_set_manager;
pub mod pov_distribution;
pub mod provisioner;
pub mod runtime_api;
pub mod statement_distribution;

pub use leaves::{ActiveLeaf, FinalizedBlock, LeavesState, LeavesUpdate, RelayParents};
