//! What a block author puts into a block for the parachains.

use codec::{Decode, Encode, Error, Input};

use crate::{
    BackedCandidate, BoundedVec, Header, MultiDisputeStatementSet, UncheckedSignedAvailabilityBitfield,
    limits::{MAX_CORES, MAX_VALIDATORS},
};

/// The parachains' inherent: exactly one per block.
///
/// Decoding refuses more bitfields than there can be validators, and more candidates than there can be cores.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
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

impl Decode for InherentData {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(Self {
            bitfields: BoundedVec::<_, MAX_VALIDATORS>::decode(input)?.into_inner(),
            backed_candidates: BoundedVec::<_, MAX_CORES>::decode(input)?.into_inner(),
            disputes: Decode::decode(input)?,
            parent_header: Decode::decode(input)?,
        })
    }
}

impl InherentData {
    /// An inherent that says nothing.
    pub const fn empty(parent_header: Header) -> Self {
        Self { bitfields: Vec::new(), backed_candidates: Vec::new(), disputes: Vec::new(), parent_header }
    }
}
