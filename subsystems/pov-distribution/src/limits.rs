//! Every bound of this crate, with its reason.

/// How many ancestors of an active leaf are still worked on.
pub const DEPTH: u32 = 3;

/// Largest encoded request, in bytes: two hashes.
pub const REQUEST_BYTES_MAX: usize = 64;

/// PoVs kept for others, in encoded bytes: three of the largest for each of four relay parents. The oldest go first.
pub const HELD_BYTES_MAX: usize = 12 * primitives::limits::MAX_POV_SIZE as usize;

/// How often one peer gets one PoV: it may have lost an answer, but ten megabytes for a hundred bytes are a lever.
pub const SERVES_PER_PEER_MAX: u32 = 4;

/// Fetches at once.
pub const FETCHES_MAX: usize = 64;

/// Askers of one PoV that wait.
pub const ASKERS_MAX: usize = 16;

/// Validators that one fetch asks: members of one group.
pub const SOURCES_MAX: usize = 64;

/// Times that all are asked before a PoV counts as unavailable: it may not have reached them yet.
pub const ROUNDS: u32 = 2;

/// Pause before they are asked again, in milliseconds.
pub const ROUND_PAUSE_MS: u64 = 500;

/// Peers tracked at once.
pub const PEERS_MAX: usize = 4096;

const _: () = assert!(DEPTH as usize <= leaves::ANCESTRY_MAX);
const _: () = assert!(primitives::limits::MAX_POV_SIZE as usize + 16 <= ports::MAX_RESPONSE_BYTES);
