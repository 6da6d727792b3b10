//! Every bound of this crate, with its reason.

/// How many ancestors of an active leaf are still worked on: a leaf lives for one block only, a candidate's statements
/// travel for a few.
pub const DEPTH: u32 = 3;

/// Largest encoded message, in bytes: what the network carries in one piece.
pub const MESSAGE_BYTES_MAX: usize = ports::MAX_NOTIFICATION_BYTES;

/// Signatures checked in one piece of computing: about 3 ms, so that one relay parent does not hold up the others.
pub const BATCH_MAX: usize = 64;

/// Statements of one relay parent that wait for their signatures to be checked.
pub const QUEUE_MAX: usize = 4096;

/// Messages of one relay parent held until its session is known.
pub const HELD_MAX: usize = 1024;

/// Encoded size of the messages held, in bytes.
pub const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Messages of one peer held until the session is known.
pub const HELD_PER_PEER_MAX: usize = 128;

/// Least number of messages that a peer may send about one relay parent, however small the session is.
pub const MESSAGES_PER_PEER_MIN: usize = 64;

/// Most messages that a peer may send about one relay parent, however large the session is.
pub const MESSAGES_PER_PEER_MAX: usize = 16 * 1024;

/// Encoded size of all statements kept for one relay parent, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Relay parents remembered after they left the view: what was on its way for them costs nobody anything.
pub const ENDED_MAX: usize = 64;

/// Peers tracked at once.
pub const PEERS_MAX: usize = 4096;

/// Attempts to learn the session of a relay parent.
pub const SESSION_ATTEMPTS: u32 = 5;

/// Pause between two such attempts, in milliseconds.
pub const SESSION_RETRY_MS: u64 = 200;

/// Jobs at once: one for the session and one for signatures per relay parent in view.
pub const JOBS_MAX: usize = 2 * leaves::LEAVES_MAX * (DEPTH as usize + 1);

const _: () = assert!(DEPTH as usize <= leaves::ANCESTRY_MAX);
const _: () = assert!(BATCH_MAX <= QUEUE_MAX);
const _: () = assert!(HELD_PER_PEER_MAX <= HELD_MAX);
