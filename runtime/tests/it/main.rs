//! The state machine from outside: genesis, blocks, states.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod attestations;
mod bitfields;
mod blocks;
mod candidates;
mod dispute_properties;
mod disputes;
mod equivocations;
mod filter;
mod fishermen;
mod forks;
mod governance;
mod invariants;
mod messages;
mod misbehavior;
mod mutated_blocks;
mod parathreads;
mod proofs;
mod properties;
mod remote_disputes;
mod sessions;
mod snapshots;
mod storage;
mod support;
mod transactions;
mod unavailable;
mod upgrades;
mod verdicts;
