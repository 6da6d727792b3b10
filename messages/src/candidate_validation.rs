//! Step 4: is a candidate valid?
//!
//! Both questions are answered with a [`Verdict`], which is the same on every machine, or with [`ValidationFailed`],
//! which is ours alone and never a vote.

use ports::ExecutionPurpose;
use primitives::{CandidateCommitments, CandidateReceipt, Hash, PersistedValidationData, PoV, ValidationCode};

/// Validate with everything given: for approval and disputes, where the chain's state of the time may be gone.
///
/// Nobody on the node's side asks it yet: steps 12 and 13 will.
#[derive(Clone, Debug)]
pub struct ValidateExhaustive {
    /// The candidate.
    pub receipt: CandidateReceipt,
    /// What it builds on; must hash to what the receipt says.
    pub validation_data: PersistedValidationData,
    /// The code; must hash to what the receipt says.
    pub validation_code: ValidationCode,
    /// The proof of validity.
    pub pov: PoV,
    /// Decides the computing time.
    pub purpose: ExecutionPurpose,
}

/// Validate with data and code from the chain's state at the relay parent: for backing.
///
/// Asked by jobs of candidate backing, about what selection proposed and what members of our group seconded.
#[derive(Clone, Debug)]
pub struct ValidateFromChainState {
    /// At which block's state.
    pub relay_parent: Hash,
    /// The candidate.
    pub receipt: CandidateReceipt,
    /// The proof of validity.
    pub pov: PoV,
    /// Decides the computing time.
    pub purpose: ExecutionPurpose,
}

/// What validation found. Only this may become a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid, with what it commits to and what it builds on.
    Valid(Box<CandidateCommitments>, PersistedValidationData),
    /// Invalid, on every machine.
    Invalid(InvalidReason),
}

/// Why a candidate is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReason {
    /// The PoV does not hash to what the receipt says.
    #[error("PoV hash differs from the receipt")]
    PovHash,
    /// The PoV is larger than the validation data allows.
    #[error("PoV of {size} bytes is over the limit of {limit}")]
    PovTooLarge {
        /// Encoded size, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The code does not hash to what the receipt says.
    #[error("validation code hash differs from the receipt")]
    CodeHash,
    /// It does not build on the para's current head.
    #[error("persisted validation data differs from the receipt: wrong parent head or relay parent")]
    ValidationData,
    /// The head after it does not hash to what the receipt says.
    #[error("para head hash differs from the receipt")]
    ParaHead,
    /// Execution gives other commitments than the receipt's.
    #[error("commitments differ from the receipt")]
    Commitments,
    /// A collator signature or version of the descriptor is wrong.
    #[error("descriptor is not acceptable: {0}")]
    Descriptor(String),
    /// The code failed, or what it returned is not a result.
    #[error("execution failed: {0}")]
    Execution(String),
    /// It took too much computing time.
    #[error("execution used more than {limit_ms} ms of computing time")]
    Timeout {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// An output is over its limit.
    #[error("{what} of {size} bytes is over the limit of {limit}")]
    OutputTooLarge {
        /// Which output.
        what: &'static str,
        /// Its size, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
}

/// Validation was not possible, by our own fault or ambiguously (a worker that died): never a vote. The text says what
/// happened, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("validation was not possible: {0}")]
pub struct ValidationFailed(pub String);

overseer::inbox! {
    /// What candidate validation is asked.
    pub enum Inbox for CandidateValidation as "candidate-validation" {
        ask {
            ValidateExhaustive -> Result<Verdict, ValidationFailed> {
                fn bytes(&self) -> usize {
                    size_of::<Self>() + self.pov.encoded_len() + self.validation_code.0.len()
                }
            },
            ValidateFromChainState -> Result<Verdict, ValidationFailed> {
                fn bytes(&self) -> usize { size_of::<Self>() + self.pov.encoded_len() }
            },
        }
    }
}
