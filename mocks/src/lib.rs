//! The test kit: one subsystem alone among scripted neighbours, under virtual time.
//!
//! [`Harness`] runs the subject in a real overseer, with the production mailboxes and signal log, on the seeded executor;
//! every other role is a captor that hands what it receives to the test, or to a stub that answers in the background.
//! [`Harness::finish`] fails on messages that nobody expected, unanswered questions and tasks left behind.
//!
//! [`fixtures`] builds validators, sessions, candidates and PoVs; [`chain`] builds relay parents with forks and answers
//! the runtime's questions about them; [`keystore`] signs without a disk; [`storage`] keeps blobs and an index in memory.
//!
//! A dev-dependency only: no shipped crate may use it (`cargo xtask tidy`).

#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a test kit reports by panicking")]

pub mod chain;
pub mod fixtures;
mod harness;
pub mod keystore;
pub mod runtime_client;
pub mod storage;

pub use harness::{Harness, Waiting};
