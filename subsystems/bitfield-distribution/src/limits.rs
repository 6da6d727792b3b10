//! Every bound of this crate, with its reason.

use primitives::limits::MAX_CORES;

/// Largest encoded message, in bytes: relay parent, length, a bit per core, validator, signature.
pub const MESSAGE_BYTES_MAX: usize = 32 + 5 + MAX_CORES.div_ceil(8) + 4 + 64;

/// Signatures checked in one piece of computing: about 3 ms.
pub const BATCH_MAX: usize = 64;

/// Bitfields of one leaf that wait for their signatures to be checked.
pub const QUEUE_MAX: usize = 4096;

/// Messages of one leaf held until its session is known.
pub const HELD_MAX: usize = 4096;

/// Messages of one peer held until the session is known.
pub const HELD_PER_PEER_MAX: usize = 1024;

/// Leaves remembered after they stopped: what was on its way for them costs nobody anything.
pub const ENDED_MAX: usize = 64;

/// Peers tracked at once.
pub const PEERS_MAX: usize = 4096;

/// Attempts to learn session and cores of a leaf.
pub const SESSION_ATTEMPTS: u32 = 5;

/// Pause between two such attempts, in milliseconds.
pub const SESSION_RETRY_MS: u64 = 200;

/// Jobs at once: one for the session and one for signatures per leaf.
pub const JOBS_MAX: usize = 2 * leaves::LEAVES_MAX;

const _: () = assert!(BATCH_MAX <= QUEUE_MAX);
const _: () = assert!(HELD_PER_PEER_MAX <= HELD_MAX);
