//! The keystore against its port: what it signs, what it refuses, and what survives a crash.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which clippy does not see in an integration test")]

mod conflicts;
mod crashes;
mod support;
