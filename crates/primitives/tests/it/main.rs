//! Holds the crate to golden values of the relay chain's own crates (`tests/vectors.json`), and to its own rules
//! where the relay chain has none.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which clippy does not see in an integration test")]

mod codec_safety;
mod golden;
mod rules;
mod support;
