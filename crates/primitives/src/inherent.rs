//! What a block author puts into a block for the parachains.

use codec::{Decode, Encode};

use crate::{BackedCandidate, Header, MultiDisputeStatementSet, UncheckedSignedAvailabilityBitfield};

/// The parachains' inherent: exactly one per block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct InherentData {
    /// Bitfields, ascending by validator.
    pub bitfields: Vec<UncheckedSignedAvailabilityBitfield>,
    /// Candidates to be backed.
    pub backed_candidates: Vec<BackedCandidate>,
    /// Dispute votes.
    pub disputes: MultiDisputeStatementSet,
    /// The header of the parent block.
    pub parent_header: Header,
}

impl InherentData {
    /// An inherent that says nothing.
    pub const fn empty(parent_header: Header) -> Self {
        Self { bitfields: Vec::new(), backed_candidates: Vec::new(), disputes: Vec::new(), parent_header }
    }
}
