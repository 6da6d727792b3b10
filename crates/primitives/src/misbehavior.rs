//! Proof that a validator contradicted itself: two signatures that no honest validator makes both.

use codec::{Decode, Encode};

use crate::{
    CandidateHash, CompactVote, Hash, SessionIndex, SignedMessage, SigningContext, SigningPayload, ValidatorId,
    ValidatorIndex, ValidatorSignature,
};

/// What kind of contradiction it is (requirement SD-4), and in what: whoever does it again elsewhere does another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum MisbehaviorKind {
    /// Seconded two candidates, or more, at this relay parent.
    DoubleSeconded(Hash),
    /// Said two different things of this candidate, or more.
    SelfContradiction(CandidateHash),
}

/// Why a report proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisbehaviorError {
    /// An honest validator may say both.
    #[error("the statements {first:?} and {second:?} do not contradict each other")]
    NoConflict {
        /// One statement.
        first: CompactVote,
        /// The other.
        second: CompactVote,
    },
    /// Two candidates may be seconded at different relay parents.
    #[error("the two statements were made at different relay parents or in different sessions")]
    DifferentContext,
    /// A signature is not the accused validator's.
    #[error("a signature is not that of validator {0}")]
    Signature(ValidatorIndex),
}

/// One statement of the accused with context and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedVote {
    /// What was said.
    pub vote: CompactVote,
    /// Where.
    pub context: SigningContext,
    /// The signature.
    pub signature: ValidatorSignature,
}

/// A pair of contradicting statements of one validator, fit to be put on chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MisbehaviorReport {
    /// The accused.
    pub validator_index: ValidatorIndex,
    /// One statement.
    pub first: SignedVote,
    /// The other.
    pub second: SignedVote,
}

impl MisbehaviorReport {
    /// The session whose validator set the index points into; meaningful once [`Self::kind`] is `Ok`.
    pub const fn session_index(&self) -> SessionIndex {
        self.first.context.session_index
    }

    /// What the pair would prove if both signatures are good.
    ///
    /// # Errors
    /// [`MisbehaviorError::NoConflict`] or [`MisbehaviorError::DifferentContext`].
    pub fn kind(&self) -> Result<MisbehaviorKind, MisbehaviorError> {
        let (first, second) = (&self.first, &self.second);
        if !first.vote.conflicts_with(&second.vote) {
            return Err(MisbehaviorError::NoConflict { first: first.vote, second: second.vote });
        }
        if first.context.session_index != second.context.session_index {
            return Err(MisbehaviorError::DifferentContext);
        }
        let candidate = first.vote.candidate_hash();
        if candidate == second.vote.candidate_hash() {
            // Of one candidate nothing else may be said at any relay parent; `Invalid` does not even name one.
            return Ok(MisbehaviorKind::SelfContradiction(candidate));
        }
        if first.context.parent_hash != second.context.parent_hash {
            return Err(MisbehaviorError::DifferentContext);
        }
        Ok(MisbehaviorKind::DoubleSeconded(first.context.parent_hash))
    }

    /// The two signatures that must hold.
    pub fn messages(&self, validator: &ValidatorId) -> [SignedMessage; 2] {
        [&self.first, &self.second].map(|signed| SignedMessage {
            public: validator.0,
            message: signed.vote.signing_payload(&signed.context),
            signature: signed.signature,
        })
    }

    /// Checks the whole proof against the accused's key.
    ///
    /// # Errors
    /// Any [`MisbehaviorError`].
    pub fn verify(&self, validator: &ValidatorId) -> Result<MisbehaviorKind, MisbehaviorError> {
        let kind = self.kind()?;
        if self.messages(validator).iter().all(SignedMessage::verify) {
            return Ok(kind);
        }
        Err(MisbehaviorError::Signature(self.validator_index))
    }
}
