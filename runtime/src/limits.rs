//! Limits of the state machine, beside those of [`primitives::limits`].

/// Most extrinsics of a block: the inherent and the misbehaviour reports.
pub const MAX_EXTRINSICS: usize = 1 + MAX_REPORTS_PER_BLOCK;
/// Most misbehaviour reports of a block: each costs two signature checks.
pub const MAX_REPORTS_PER_BLOCK: usize = 64;
/// Most relay parents that the state remembers, whatever the configuration allows.
pub const MAX_ANCESTORS: usize = 256;
/// Most past codes kept per para: an acceptance period holds no more upgrades in practice, and each may be
/// several megabytes. Beyond it the para must wait with its next upgrade.
pub const MAX_PAST_CODES: usize = 8;
/// Most parathread claims that wait, whatever the configuration allows.
pub const MAX_PARATHREAD_QUEUE: usize = 4096;
/// Sessions whose validators can still be reported: the current one and this many before it.
pub const PAST_SESSIONS_KEPT: u32 = 1;
/// Largest encoded block that is worth decoding, in bytes: all cores with ordinary commitments, or some with
/// new code.
pub const MAX_BLOCK_SIZE: usize = 64 * 1024 * 1024;

const _: () = assert!(MAX_BLOCK_SIZE > primitives::limits::MAX_COMMITMENTS_SIZE);
