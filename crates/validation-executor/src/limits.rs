//! Every limit of this crate. Those of the first group are part of what *invalid* means: they are the same on
//! every machine, so that all validators come to the same answer.

use std::time::Duration;

/// Largest code as registered, in bytes; what relay chains allow.
pub const MAX_CODE_BYTES: usize = 5 * 1024 * 1024;
/// Largest code after decompression, in bytes: a bomb does not get further than this.
pub const MAX_DECOMPRESSED_CODE_BYTES: usize = 4 * MAX_CODE_BYTES;
/// Largest window that compressed code may ask its decoder to keep, in bytes.
pub const MAX_COMPRESSION_WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Most pages of 64 KiB that the memory of a validation function may have: 32 for a start and 2,048 more.
pub const MAX_MEMORY_PAGES: u64 = 2_080;
/// Most elements of a table.
pub const MAX_TABLE_ELEMENTS: u64 = 1_000_000;
/// Stack of a validation function, in bytes of machine code's frames.
pub const MAX_WASM_STACK_BYTES: usize = 4 * 1024 * 1024;
/// Largest single allocation through the host's allocator, in bytes.
pub const MAX_ALLOCATION_BYTES: u32 = 32 * 1024 * 1024;
/// Largest result, in bytes: new code, messages and head data fit well.
pub const MAX_RESULT_BYTES: usize = 16 * 1024 * 1024;

/// Native stack under the wasm stack, for host functions and wasmtime itself, in bytes.
pub(crate) const NATIVE_STACK_BYTES: usize = MAX_WASM_STACK_BYTES + 4 * 1024 * 1024;

/// Largest parameters, in bytes: a PoV of the largest size, twice.
pub const MAX_PARAMS_BYTES: usize = 24 * 1024 * 1024;
/// Largest compiled artifact, in bytes: machine code is several times larger than its wasm.
pub const MAX_ARTIFACT_BYTES: usize = 160 * 1024 * 1024;
/// Largest frame between host and worker, in bytes: an artifact and some words about it.
pub(crate) const MAX_FRAME_BYTES: usize = MAX_ARTIFACT_BYTES + 64 * 1024;
/// Longest reason of a failure, in bytes.
pub(crate) const MAX_REASON_BYTES: usize = 1024;

/// Computing time of compiling one validation function.
pub const PREPARE_CPU_TIMEOUT: Duration = Duration::from_secs(60);
/// Wall-clock time may be this many times the computing time before a worker counts as hung; the rest is for
/// other processes on the same cores.
pub const WALL_CLOCK_FACTOR: u32 = 4;
/// Added to the wall-clock limit: handing over data and starting a process.
pub const WALL_CLOCK_SLACK: Duration = Duration::from_secs(10);

/// Address space of a child, in bytes: wasmtime reserves more than 4 GiB for one memory and touches little of it.
pub(crate) const CHILD_ADDRESS_SPACE_BYTES: u64 = 12 * 1024 * 1024 * 1024;
/// Memory that a child may write to when it runs code: [`MAX_MEMORY_PAGES`], parameters, and what the process has.
pub(crate) const EXECUTE_DATA_BYTES: u64 = 1024 * 1024 * 1024;
/// Memory that a child may write to when it compiles.
pub(crate) const PREPARE_DATA_BYTES: u64 = 3 * 1024 * 1024 * 1024;

/// Modules that a worker keeps ready; the least recently used one goes first.
pub(crate) const LOADED_MODULES_MAX: usize = 4;
/// Requests that may wait for a worker; further ones are refused as our own overload.
pub const MAX_QUEUED_REQUESTS: usize = 256;
/// Codes known not to compile that are remembered, so that nobody makes us compile them again and again.
pub(crate) const KNOWN_BAD_CODES_MAX: usize = 256;
/// Bytes of artifacts on disk; beyond it the least recently used ones are removed.
pub const MAX_CACHE_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Fuel of a run in process, per millisecond of computing time allowed; about what a machine does.
pub(crate) const FUEL_PER_MS: u64 = 1_000_000;

const _: () = {
    assert!(MAX_PARAMS_BYTES <= MAX_ALLOCATION_BYTES as usize, "parameters are one allocation");
    assert!(MAX_RESULT_BYTES + MAX_REASON_BYTES < MAX_FRAME_BYTES, "a result fits a frame");
    assert!(MAX_MEMORY_PAGES * 65_536 * 2 < EXECUTE_DATA_BYTES, "memory fits a child");
};
