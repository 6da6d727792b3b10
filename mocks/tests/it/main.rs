//! The kit tested by itself: what it shows, and what it says when a test fails.

mod budget;
mod chain;
mod failures;
mod harness;
mod order;
mod readme;
#[allow(unreachable_pub, reason = "the guide includes this file as a module of its own")]
mod subject;
mod together;
