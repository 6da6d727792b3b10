//! Runs parachain validation functions: hostile wasm, in sandboxed processes, with an answer that all honest
//! validators share.
//!
//! **Role**: the adapter behind [`ports::ValidationBackend`]; step 4 of a candidate's way. [`WorkerPool`] is the real
//! one, [`InProcess`] the one of simulator and tests.
//!
//! **Receives**: validation code as registered (plain or compressed wasm), SCALE `ValidationParams`, and what for.
//! **Sends**: SCALE `ValidationResult`, undecoded, or a [`ports::ValidationError`].
//!
//! A worker is the calling program, run again with [`WORKER_ARGUMENT`]: `main` calls [`run_worker_if_requested`]
//! first. Host and worker greet each other with their builds. The worker compiles and runs each in a short-lived
//! child of its own (`os.rs` says what such a child may still do); it never touches a file: code, artifacts and
//! parameters come through its standard input. Artifacts are kept on disk by hash of code and fingerprint of engine.
//!
//! **Who is to blame**:
//! - what the code does within the limits that are equal everywhere (traps, wrong exports or output, sizes, stack,
//!   pages, host functions that do not exist) is [`Invalid`](ports::ValidationError::Invalid), at once;
//! - more CPU time than its purpose allows is [`TimedOut`](ports::ValidationError::TimedOut). It is the child's own
//!   CPU time, so that a busy machine does not matter;
//! - a child or worker that dies or hangs is tried a second time, then
//!   [`Ambiguous`](ports::ValidationError::Ambiguous);
//! - all else is [`Internal`](ports::ValidationError::Internal), our fault.
//!
//! Code that does not compile, or not in time, is remembered (while the process lives) and not compiled again.
//!
//! **Invariants**: hostile code cannot make a panic of the node; a run that was dropped leaves no process behind;
//! wasm is the first version of the standard with sign extension, mutable globals and saturating conversions, and
//! every NaN is the same one.
//!
//! **Host functions** that are real are listed in `host_functions/mod.rs` (allocator, hashing, logging, printing,
//! sr25519); any other may be imported and traps when called. The stack limit counts bytes of machine code's frames:
//! it is equal for equal processors and wasmtime versions only.
//!
//! **Limits**: [`limits`].

#[cfg(not(target_os = "linux"))]
compile_error!("validation workers need Linux: they are sandboxed with its system calls");

mod cache;
mod code;
mod conformance;
mod engine;
mod host_functions;
mod in_process;
pub mod limits;
mod os;
mod pool;
mod process;
mod protocol;
mod run;
mod worker;

pub use conformance::conformance;
pub use in_process::InProcess;
pub use pool::{PoolError, PoolStatistics, WorkerPool, WorkerPoolConfig};
pub use worker::{SandboxReport, WORKER_ARGUMENT, probe_sandbox, run_worker_if_requested};
