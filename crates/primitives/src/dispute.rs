//! Votes in disputes and approvals.

use codec::{Decode, Encode};

use crate::{
    Bits, BlockNumber, BoundedVec, CandidateHash, CompactStatement, CoreIndex, Hash, SessionIndex, SigningContext,
    ValidatorId, ValidatorIndex, ValidatorSignature, limits::MAX_COALESCED_APPROVALS,
};

const DISPUTE_MAGIC: [u8; 4] = *b"DISP";
const APPROVAL_MAGIC: [u8; 4] = *b"APPR";

/// What an explicit dispute vote signs.
pub fn explicit_payload(valid: bool, candidate: CandidateHash, session: SessionIndex) -> Vec<u8> {
    (DISPUTE_MAGIC, valid, candidate, session).encode()
}

/// What an approval of `candidates` signs. One candidate is signed as it was before approvals could be
/// coalesced.
pub fn approval_payload(candidates: &[CandidateHash], session: SessionIndex) -> Vec<u8> {
    match candidates {
        [candidate] => (APPROVAL_MAGIC, candidate, session).encode(),
        candidates => (APPROVAL_MAGIC, candidates, session).encode(),
    }
}

/// A vote for or against a candidate, with what its signature covers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DisputeStatement {
    /// The candidate is valid.
    #[codec(index = 0)]
    Valid(ValidDisputeStatementKind),
    /// The candidate is invalid.
    #[codec(index = 1)]
    Invalid(InvalidDisputeStatementKind),
}

/// The ways to have said that a candidate is valid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ValidDisputeStatementKind {
    /// Said in the dispute.
    #[codec(index = 0)]
    Explicit,
    /// Seconded it at this relay parent.
    #[codec(index = 1)]
    BackingSeconded(Hash),
    /// Said `Valid` at this relay parent.
    #[codec(index = 2)]
    BackingValid(Hash),
    /// Approved it.
    #[codec(index = 3)]
    ApprovalChecking,
    /// Approved these, it among them, with one signature.
    #[codec(index = 4)]
    ApprovalCheckingMultipleCandidates(BoundedVec<CandidateHash, MAX_COALESCED_APPROVALS>),
}

/// The ways to have said that a candidate is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum InvalidDisputeStatementKind {
    /// Said in the dispute, or by a member of its group before.
    #[codec(index = 0)]
    Explicit,
}

impl DisputeStatement {
    /// What the signature covers; `None` if an approval of several candidates is not about this one.
    pub fn payload(&self, candidate: CandidateHash, session: SessionIndex) -> Option<Vec<u8>> {
        let context = |parent_hash| SigningContext { session_index: session, parent_hash };
        match self {
            Self::Invalid(InvalidDisputeStatementKind::Explicit) => Some(explicit_payload(false, candidate, session)),
            Self::Valid(kind) => match kind {
                ValidDisputeStatementKind::Explicit => Some(explicit_payload(true, candidate, session)),
                ValidDisputeStatementKind::BackingSeconded(parent) => {
                    Some(CompactStatement::Seconded(candidate).signing_payload(&context(*parent)))
                }
                ValidDisputeStatementKind::BackingValid(parent) => {
                    Some(CompactStatement::Valid(candidate).signing_payload(&context(*parent)))
                }
                ValidDisputeStatementKind::ApprovalChecking => Some(approval_payload(&[candidate], session)),
                ValidDisputeStatementKind::ApprovalCheckingMultipleCandidates(candidates) => {
                    candidates.contains(&candidate).then(|| approval_payload(candidates, session))
                }
            },
        }
    }

    /// Whether the signature is `validator`'s and covers this statement.
    pub fn verify(
        &self,
        validator: &ValidatorId,
        candidate: CandidateHash,
        session: SessionIndex,
        signature: &ValidatorSignature,
    ) -> bool {
        self.payload(candidate, session).is_some_and(|payload| validator.verify(&payload, signature))
    }

    /// Whether it says that the candidate is valid.
    pub const fn indicates_validity(&self) -> bool {
        matches!(self, Self::Valid(_))
    }

    /// Whether it was made for backing.
    pub const fn is_backing(&self) -> bool {
        matches!(
            self,
            Self::Valid(ValidDisputeStatementKind::BackingSeconded(_) | ValidDisputeStatementKind::BackingValid(_))
        )
    }
}

/// Statements about one candidate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DisputeStatementSet {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// Its session.
    pub session: SessionIndex,
    /// The statements, strictly ascending by [`DisputeStatementSet::place`].
    pub statements: Vec<(DisputeStatement, ValidatorIndex, ValidatorSignature)>,
}

impl DisputeStatementSet {
    /// Puts the statements into the order that the chain takes them in.
    pub fn new(
        candidate_hash: CandidateHash,
        session: SessionIndex,
        mut statements: Vec<(DisputeStatement, ValidatorIndex, ValidatorSignature)>,
    ) -> Self {
        statements.sort_by_key(Self::place);
        Self { candidate_hash, session, statements }
    }

    /// The place of a statement in a set: by validator, the word against the candidate before that for it.
    pub const fn place(
        (statement, validator, _): &(DisputeStatement, ValidatorIndex, ValidatorSignature),
    ) -> (ValidatorIndex, bool) {
        (*validator, statement.indicates_validity())
    }
}

/// Statements about several candidates.
pub type MultiDisputeStatementSet = Vec<DisputeStatementSet>;

/// A dispute as the chain sees it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DisputeState {
    /// A bit per validator that voted for the candidate.
    pub validators_for: Bits,
    /// A bit per validator that voted against it.
    pub validators_against: Bits,
    /// When it began on chain.
    pub start: BlockNumber,
    /// When it was decided on chain.
    pub concluded_at: Option<BlockNumber>,
}

/// How far a candidate's approval is, as the chain knows it. Not on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalStatus {
    /// The block that included it.
    pub included_in: BlockNumber,
    /// Its core then.
    pub core: CoreIndex,
    /// Distinct checks it takes: the group's size, two more, and what reports have added; never more than there
    /// are validators.
    pub needed: usize,
    /// Distinct checks there are, backers included.
    pub checks: usize,
    /// Whether a dispute on it is open and has not been decided for it, or nobody could get hold of it.
    pub disputed: bool,
    /// Whether a dispute on it was decided for it: then validators have checked it who never drew it.
    pub judged_valid: bool,
}

impl ApprovalStatus {
    /// Enough checks, or a verdict for it, and no dispute.
    pub const fn is_approved(&self) -> bool {
        (self.checks >= self.needed || self.judged_valid) && !self.disputed
    }
}

/// A signal of the chain: the fork that it stands on is to be abandoned.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Revert {
    /// Session of the invalid candidate.
    pub session: SessionIndex,
    /// The invalid candidate: never backed again.
    pub candidate: CandidateHash,
    /// Height of the last good ancestor.
    pub last_good_number: BlockNumber,
    /// The last good ancestor: parent of the block that included the candidate.
    pub last_good_hash: Hash,
    /// The block that concluded it.
    pub signalled_in: BlockNumber,
}
