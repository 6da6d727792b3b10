//! The state machine from outside: genesis, blocks, states.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod bitfields;
mod blocks;
mod candidates;
mod filter;
mod misbehavior;
mod parathreads;
mod properties;
mod sessions;
mod storage;
mod support;
mod upgrades;
