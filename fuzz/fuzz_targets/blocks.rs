//! Importer against author, on blocks that somebody has tampered with. The body is a test of `runtime`, which runs it
//! on bounded random input.

#![no_main]
#![allow(clippy::unwrap_used, reason = "its helpers are tests")]

#[allow(dead_code, reason = "other tests of the runtime need it whole")]
#[path = "../../runtime/tests/it/support.rs"]
mod support;

#[allow(dead_code, reason = "other tests of the runtime need it whole")]
#[path = "../../runtime/tests/it/transactions.rs"]
mod transactions;

#[path = "../../runtime/tests/it/mutated_blocks.rs"]
mod mutated_blocks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutated_blocks::check(data));
