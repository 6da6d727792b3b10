//! What the simulator owns, as traits: spawning, time, randomness, computing off the loop, and disk.
//!
//! Role: everything that would make two runs of the same program differ is reached through one of these
//! traits, so that a whole network of nodes can run from one seed, on one thread, under virtual time.
//!
//! Each trait has a real and a seeded implementation:
//!
//! | trait | real ([`system`], [`file_disk`]) | seeded ([`simulation`], [`memory_disk`]) |
//! |---|---|---|
//! | [`Spawner`] | tokio tasks | our own executor; the seed picks which ready task runs next |
//! | [`Clock`] | the system's clock | virtual; moves only when nothing can run |
//! | [`Entropy`] | the operating system | ChaCha, one stream per label |
//! | [`Compute`] | two bounded pools of threads | runs at once and charges virtual time from a table |
//! | [`Disk`] | a locked directory | in memory; forgets, tears and reorders what was not synced |
//!
//! Receives: nothing. Sends: nothing. It knows no word of blockchains and depends on no crate of ours.
//!
//! Invariants: with the same seed and the same tasks a [`Simulation`] takes the same steps and ends with the
//! same trace hash; two labels never influence each other's random numbers.
//!
//! Limits: [`system::COMPUTE_QUEUE_MAX`], [`simulation::STEP_LIMIT`], [`simulation::STEPS_PER_INSTANT_MAX`],
//! [`disk::PATH_BYTES_MAX`].

pub mod compute;
pub mod disk;
pub mod entropy;
pub mod environment;
pub mod file_disk;
pub mod memory_disk;
pub mod simulation;
pub mod system;

pub use compute::{Compute, ComputeError, ComputeKind, compute, drop_caught, panic_message, panicked};
pub use disk::Disk;
pub use entropy::{Entropy, EntropyRng, below, u64};
pub use environment::{BoxFuture, Clock, Environment, Spawner, timeout};
pub use file_disk::{FileDisk, OpenDiskError};
pub use memory_disk::{Crash, MemoryDisk};
pub use simulation::{Simulation, SimulationError};
pub use system::SystemError;
