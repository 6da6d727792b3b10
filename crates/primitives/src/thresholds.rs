//! How many are enough.

use crate::limits::MAX_CHUNK_INDEX;

/// Most validators of `n` that may be faulty: f with n ≥ 3f + 1.
pub const fn byzantine_threshold(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

/// Validators of `n` among which the honest are a majority, whoever they are: n − f.
pub const fn supermajority_threshold(n: usize) -> usize {
    n - byzantine_threshold(n)
}

/// A configured minimum of backing votes, at most the size of the group.
pub const fn effective_minimum_backing_votes(group_len: usize, configured: u32) -> usize {
    let configured = configured as usize;
    if configured < group_len { configured } else { group_len }
}

/// Distinct `Seconded` or `Valid` of a group that make its candidate backable: more than half of the group,
/// or the configured minimum (requirement CB-4). Backing, provisioner and runtime all ask here. Never 0, so
/// that neither an empty group nor a minimum of 0 backs anything by saying nothing.
pub const fn backing_quorum(group_len: usize, minimum: Option<u32>) -> usize {
    let quorum = match minimum {
        None => group_len / 2 + 1,
        Some(minimum) => effective_minimum_backing_votes(group_len, minimum),
    };
    if quorum == 0 { 1 } else { quorum }
}

/// Chunks of `n` that recover the data: f + 1. `None` for numbers of validators that cannot be coded for by
/// the rules of today's relay chain (fewer than 2, more than [`MAX_CHUNK_INDEX`] + 1).
pub const fn recovery_threshold(n: usize) -> Option<usize> {
    if n < 2 || n > MAX_CHUNK_INDEX + 1 { None } else { Some(byzantine_threshold(n) + 1) }
}

/// Chunks that hold the data itself in today's erasure code: the largest power of two in the recovery threshold.
pub const fn systematic_threshold(n: usize) -> Option<usize> {
    match recovery_threshold(n) {
        None => None,
        Some(threshold) => Some(1 << threshold.ilog2()),
    }
}
