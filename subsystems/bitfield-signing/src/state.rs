//! The pure part: which chunks to ask for, and the bits that the answers make.

use primitives::{AvailabilityBitfield, Bits, CandidateHash, CoreState};

/// The candidates pending availability, by the position of their core.
pub fn pending(cores: &[CoreState]) -> Vec<(usize, CandidateHash)> {
    let occupied = |(index, core): (usize, &CoreState)| match core {
        CoreState::Occupied(core) => Some((index, core.candidate_hash)),
        CoreState::Scheduled(_) | CoreState::Free => None,
    };
    cores.iter().enumerate().filter_map(occupied).collect()
}

/// A bit per core, set at these positions.
///
/// # Panics
/// If a position is not below `cores`.
pub fn bitfield(cores: usize, held: &[usize]) -> AvailabilityBitfield {
    let mut bits = Bits::repeat(false, cores);
    for position in held {
        bits.set(*position, true);
    }
    AvailabilityBitfield(bits)
}
