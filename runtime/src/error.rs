//! Why a block is refused.

use primitives::{CandidateHash, CoreIndex, Hash, ParaId, Slot, ValidatorIndex};

use crate::{BitfieldError, CandidateError, DisputeError, ExtrinsicError, ReportError};

/// The first two neighbours that are not strictly ascending: what has one order has one encoding.
pub(crate) fn out_of_order<K: Ord>(mut keys: impl Iterator<Item = K>) -> Option<(K, K)> {
    let mut first = keys.next()?;
    for second in keys {
        if first >= second {
            return Some((first, second));
        }
        first = second;
    }
    None
}

/// Whose signature is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureOf {
    /// Under a bitfield.
    Bitfield(ValidatorIndex),
    /// Under the backing of the candidate on this core, of the member at this position of the group.
    Backing(CoreIndex, usize),
    /// Of the collator in the descriptor of the candidate on this core.
    Collator(CoreIndex),
    /// Under one of the statements of a report, by position of the report.
    Report(usize),
    /// Under a governed change.
    Governance(ValidatorIndex),
    /// Under a parathread claim, by position of the extrinsic.
    Claim(usize),
    /// Under a vote about this candidate.
    DisputeVote(CandidateHash, ValidatorIndex),
    /// Under the word that a chunk of a remote dispute's candidate is held.
    RemoteAvailability(CandidateHash, ValidatorIndex),
    /// Under the word that a candidate cannot be had.
    Unavailable(CandidateHash, ValidatorIndex),
    /// Under a secondary attestation, or the proof of its assignment.
    Attestation(CandidateHash, ValidatorIndex),
    /// Under a report with a bond, by position of the extrinsic.
    Fisherman(usize),
    /// The seal of one of two blocks in one slot, by position of the extrinsic.
    Seal(usize),
}

impl std::fmt::Display for SignatureOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bitfield(validator) => write!(f, "the bitfield of validator {validator}"),
            Self::Backing(core, member) => {
                write!(f, "member {member} of the group that backs on core {core}")
            }
            Self::Collator(core) => write!(f, "the collator of the candidate on core {core}"),
            Self::Report(position) => write!(f, "misbehavior report {position}"),
            Self::Governance(validator) => write!(f, "validator {validator} under a governed change"),
            Self::Claim(position) => write!(f, "the collator of the claim in extrinsic {position}"),
            Self::DisputeVote(candidate, validator) => {
                write!(f, "the vote of validator {validator} about candidate {candidate}")
            }
            Self::RemoteAvailability(candidate, validator) => {
                write!(f, "validator {validator} about the availability of candidate {candidate}")
            }
            Self::Unavailable(candidate, validator) => {
                write!(f, "validator {validator} about candidate {candidate} that cannot be had")
            }
            Self::Attestation(candidate, validator) => {
                write!(f, "the attestation of validator {validator} of candidate {candidate}")
            }
            Self::Fisherman(position) => write!(f, "the reporter in extrinsic {position}"),
            Self::Seal(position) => write!(f, "an author in extrinsic {position}"),
        }
    }
}

/// The check that a block failed. The parent's state is untouched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Not the parent's number plus one.
    #[error("block number is {found}, expected {expected}")]
    Number {
        /// Expected.
        expected: u32,
        /// In the header.
        found: u32,
    },
    /// The number space is used up.
    #[error("no block can follow block {0}")]
    LastNumber(u32),
    /// The header's parent is not the header that the inherent names.
    #[error("parent hash is {found}, the inherent's parent header has {expected}")]
    ParentHash {
        /// Hash of the inherent's parent header.
        expected: Hash,
        /// In the header.
        found: Hash,
    },
    /// The inherent's parent header is not that of the state the block is executed on.
    #[error("parent header has state root {found}, the parent's state has {expected}")]
    ParentState {
        /// Root of the parent's state.
        expected: Hash,
        /// In the parent header.
        found: Hash,
    },
    /// The extrinsics are others than the header says.
    #[error("extrinsics root is {found}, expected {expected}")]
    ExtrinsicsRoot {
        /// Computed.
        expected: Hash,
        /// In the header.
        found: Hash,
    },
    /// Execution leads to another state than the header says.
    #[error("state root is {found}, execution gives {expected}")]
    StateRoot {
        /// Computed.
        expected: Hash,
        /// In the header.
        found: Hash,
    },
    /// The block is too long.
    #[error("{found} extrinsics, at most {max} are allowed")]
    TooManyExtrinsics {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// The header is longer than a child could carry.
    #[error("header of {found} bytes, at most {max} are allowed")]
    HeaderTooLarge {
        /// How long its encoding is.
        found: usize,
        /// How long it may be.
        max: usize,
    },
    /// There is no inherent, or it is not the first extrinsic.
    #[error("the first extrinsic is not the parachains' inherent")]
    NoInherent,
    /// The inherent is there twice.
    #[error("extrinsic {0} is a second inherent")]
    SecondInherent(usize),
    /// Not exactly one slot claim in the digest.
    #[error("{found} slot claims in the digest, expected 1")]
    SlotClaims {
        /// How many.
        found: usize,
    },
    /// The slot claim cannot be decoded.
    #[error("the slot claim in the digest is malformed")]
    SlotClaimMalformed,
    /// Slots only grow.
    #[error("slot {found} is not later than the parent's slot {parent}")]
    SlotNotLater {
        /// The parent's.
        parent: Slot,
        /// The block's.
        found: Slot,
    },
    /// The author is no validator of the session.
    #[error("author {author} is not among the {validators} validators")]
    UnknownAuthor {
        /// The author.
        author: ValidatorIndex,
        /// How many validators there are.
        validators: usize,
    },
    /// A session change came after initialization: unrecoverable.
    #[error("session change after initialization")]
    SessionChangeAfterInitialization,
    /// The inherent carries too many sets of dispute votes.
    #[error("{found} sets of dispute votes, at most {max} are allowed")]
    TooManyDisputes {
        /// How many.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// Dispute votes in the inherent.
    #[error("votes about candidate {candidate}: {error}")]
    Dispute {
        /// The candidate.
        candidate: CandidateHash,
        /// What is wrong with them.
        error: DisputeError,
    },
    /// A transaction.
    #[error("extrinsic {position}: {error}")]
    Extrinsic {
        /// Its position in the block.
        position: usize,
        /// What is wrong with it.
        error: ExtrinsicError,
    },
    /// A bitfield.
    #[error(transparent)]
    Bitfield(#[from] BitfieldError),
    /// The candidates are not strictly ascending by para.
    #[error("candidate of para {second} follows that of para {first}, expected ascending paras")]
    CandidateOrder {
        /// The earlier candidate's.
        first: ParaId,
        /// The later candidate's.
        second: ParaId,
    },
    /// A candidate.
    #[error("candidate of para {para}: {error}")]
    Candidate {
        /// Whose it is.
        para: ParaId,
        /// What is wrong with it.
        error: CandidateError,
    },
    /// A misbehavior report.
    #[error("misbehavior report {position}: {error}")]
    Report {
        /// Its position among the reports.
        position: usize,
        /// What is wrong with it.
        error: ReportError,
    },
    /// A signature.
    #[error("wrong signature of {0}")]
    Signature(SignatureOf),
    /// Cores that were not scheduled were to be occupied; candidates are checked against the schedule before.
    #[error("core {0} is not scheduled")]
    CoreNotScheduled(CoreIndex),
}
