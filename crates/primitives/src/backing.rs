//! Backed candidates: a receipt with the signatures of its group.

use bitvec::field::BitField;
use codec::{Decode, Encode};

use crate::{
    BitSlice, Bits, CandidateDescriptor, CandidateHash, CandidateReceipt, CommittedCandidateReceipt, CompactStatement,
    CoreIndex, SignedMessage, SigningContext, ValidatorId, ValidatorSignature,
};

/// A signature that backs the candidate it stands beside.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ValidityAttestation {
    /// Of a `Seconded`.
    #[codec(index = 1)]
    Implicit(ValidatorSignature),
    /// Of a `Valid`.
    #[codec(index = 2)]
    Explicit(ValidatorSignature),
}

impl ValidityAttestation {
    /// The statement that was signed.
    pub const fn to_statement(&self, candidate: CandidateHash) -> CompactStatement {
        match self {
            Self::Implicit(_) => CompactStatement::Seconded(candidate),
            Self::Explicit(_) => CompactStatement::Valid(candidate),
        }
    }

    /// The signature.
    pub const fn signature(&self) -> &ValidatorSignature {
        match self {
            Self::Implicit(signature) | Self::Explicit(signature) => signature,
        }
    }
}

/// How many bits behind those of the group hold the core.
const CORE_INDEX_BITS: usize = 8;

/// A candidate with its backing, as it goes into a block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BackedCandidate {
    candidate: CommittedCandidateReceipt,
    validity_votes: Vec<ValidityAttestation>,
    validator_indices: Bits,
}

impl BackedCandidate {
    /// A candidate with the votes of those members of the group whose bit is set, in their order. Of the core
    /// only the low byte travels ([`crate::limits::MAX_CORES`]).
    pub fn new(
        candidate: CommittedCandidateReceipt,
        validity_votes: Vec<ValidityAttestation>,
        validator_indices: Bits,
        core: CoreIndex,
    ) -> Self {
        let mut backed = Self { candidate, validity_votes, validator_indices };
        backed.validator_indices.extend_from_bitslice(BitSlice::from_element(&core.0.to_le_bytes()[0]));
        backed
    }

    /// The receipt with commitments.
    pub const fn candidate(&self) -> &CommittedCandidateReceipt {
        &self.candidate
    }

    /// The descriptor.
    pub const fn descriptor(&self) -> &CandidateDescriptor {
        &self.candidate.descriptor
    }

    /// The receipt without commitments.
    pub fn receipt(&self) -> CandidateReceipt {
        self.candidate.to_receipt()
    }

    /// The candidate's name.
    pub fn hash(&self) -> CandidateHash {
        self.candidate.hash()
    }

    /// The votes, in the order of the set bits.
    pub fn validity_votes(&self) -> &[ValidityAttestation] {
        &self.validity_votes
    }

    /// The bits as they travel, with the core behind those of the group.
    pub fn raw_validator_indices(&self) -> &BitSlice {
        &self.validator_indices
    }

    /// A bit per member of the group, and the core; no core if there is no room for it and one member.
    pub fn validator_indices_and_core_index(&self) -> (&BitSlice, Option<CoreIndex>) {
        match self.validator_indices.len().checked_sub(CORE_INDEX_BITS) {
            None | Some(0) => (&self.validator_indices, None),
            Some(members) => {
                let (indices, core) = self.validator_indices.split_at(members);
                (indices, Some(CoreIndex(u32::from(core.load_le::<u8>()))))
            }
        }
    }
}

/// Why a backing is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackingError {
    /// Not one bit per member of the group.
    #[error("{found} validator bits for a group of {group_len}")]
    GroupSize {
        /// Number of bits.
        found: usize,
        /// Size of the group.
        group_len: usize,
    },
    /// Votes and set bits are not equally many.
    #[error("{votes} votes, but {bits} validators are marked")]
    VoteCount {
        /// Number of votes.
        votes: usize,
        /// Number of set bits.
        bits: usize,
    },
    /// A marked member is not in the validator set.
    #[error("member {0} of the group is unknown")]
    UnknownMember(usize),
    /// A marked member's signature is wrong.
    #[error("signature of member {0} of the group is wrong")]
    Signature(usize),
}

/// The signatures of a backing, each with the position of its member in the group, for a verifier elsewhere.
///
/// # Errors
/// Any [`BackingError`] but [`BackingError::Signature`].
pub fn backing_signatures(
    candidate: CandidateHash,
    votes: &[ValidityAttestation],
    indices: &BitSlice,
    context: &SigningContext,
    group_len: usize,
    member: impl Fn(usize) -> Option<ValidatorId>,
) -> Result<Vec<(usize, SignedMessage)>, BackingError> {
    if indices.len() != group_len {
        return Err(BackingError::GroupSize { found: indices.len(), group_len });
    }
    if indices.count_ones() != votes.len() {
        return Err(BackingError::VoteCount { votes: votes.len(), bits: indices.count_ones() });
    }
    let signed = |(position, vote): (usize, &ValidityAttestation)| {
        let validator = member(position).ok_or(BackingError::UnknownMember(position))?;
        let message = vote.to_statement(candidate).signing_payload(context);
        Ok((position, SignedMessage { public: validator.0, message, signature: *vote.signature() }))
    };
    indices.iter_ones().zip(votes).map(signed).collect()
}

/// Checks a backing and tells how many validators stand behind it. Whether they are enough says
/// [`crate::backing_quorum`].
///
/// # Errors
/// Any [`BackingError`].
pub fn check_candidate_backing(
    candidate: CandidateHash,
    votes: &[ValidityAttestation],
    indices: &BitSlice,
    context: &SigningContext,
    group_len: usize,
    member: impl Fn(usize) -> Option<ValidatorId>,
) -> Result<usize, BackingError> {
    let signatures = backing_signatures(candidate, votes, indices, context, group_len, member)?;
    match signatures.iter().find(|(_, message)| !message.verify()) {
        Some((position, _)) => Err(BackingError::Signature(*position)),
        None => Ok(signatures.len()),
    }
}
