//! Both networks against the same tests, then each by itself.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod conformance;
mod hostile;
mod memory;
mod tcp;
