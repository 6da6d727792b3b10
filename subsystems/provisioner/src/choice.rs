//! Which of several candidates of one core goes into the block: policy, not protocol.

use std::sync::Arc;

use primitives::{BackedCandidate, CoreIndex, Hash};

/// A candidate that a block may back.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Counts what arrived: the least came first.
    pub arrival: u64,
    /// The relay parent at which it was backed.
    pub relay_parent: Hash,
    /// The candidate with its backing.
    pub backed: Arc<BackedCandidate>,
}

/// Chooses among the candidates that the runtime would take on one core. Whatever it returns is accepted by the chain.
pub trait CandidateChoice: Send + Sync + 'static {
    /// The position of the chosen one in `offers`, which is never empty and in order of arrival; `None` leaves the core
    /// empty.
    fn choose(&self, core: CoreIndex, offers: &[Offer]) -> Option<usize>;
}

/// Whatever came first (seed 001).
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstReceived;

impl CandidateChoice for FirstReceived {
    fn choose(&self, _core: CoreIndex, _offers: &[Offer]) -> Option<usize> {
        Some(0)
    }
}

/// The one with most votes; of equal ones the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct MostVotes;

impl CandidateChoice for MostVotes {
    fn choose(&self, _core: CoreIndex, offers: &[Offer]) -> Option<usize> {
        let votes = |offer: &Offer| offer.backed.validity_votes().len();
        // Of equal ones `max_by_key` takes the last: hence in reverse.
        offers.iter().enumerate().rev().max_by_key(|(_, offer)| votes(offer)).map(|(position, _)| position)
    }
}
