//! The pure state machine: what was accused, what is in disagreement.

use std::collections::{BTreeMap, BTreeSet};

use messages::LeavesUpdate;
use messages::misbehavior_arbitration::CandidateValidityDisagreement;
use primitives::misbehavior::SignedVote;
use primitives::{
    CandidateHash, CandidateReceipt, CompactVote, Hash, MisbehaviorError, MisbehaviorKind, MisbehaviorReport,
    SessionIndex, SignedFullStatement, SigningContext, ValidatorIndex,
};

use crate::limits::{DISAGREEMENTS_MAX, DISAGREEMENTS_PER_ACCUSER_MAX, REPORTS_MAX, SESSIONS_KEPT, STATEMENTS_MAX};

/// What one validator can be accused of once: in which session, who, of which contradiction.
pub type AccusationKey = (SessionIndex, ValidatorIndex, MisbehaviorKind);

/// A report that is worth checking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// Under which it is remembered.
    pub key: AccusationKey,
    /// A block at which the session is known.
    pub relay_parent: Hash,
    /// The proof, its signatures unchecked.
    pub report: MisbehaviorReport,
}

/// Why an accusation went no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccusationError {
    /// It proves nothing.
    #[error("no proof: {0}")]
    NoProof(#[from] MisbehaviorError),
    /// The relay parent is of another session than the proof.
    #[error("proof is of session {proof}, its relay parent of session {relay_parent}")]
    WrongSession {
        /// Session in the proof.
        proof: SessionIndex,
        /// Session of the relay parent.
        relay_parent: SessionIndex,
    },
    /// There is no such validator.
    #[error("validator {0} is not in the session")]
    UnknownValidator(ValidatorIndex),
    /// The chain did not take it, or did not answer.
    #[error("not submitted: {0}")]
    NotSubmitted(String),
}

/// A candidate that validators say different things of. Kept until it can be disputed.
#[derive(Clone, Debug)]
pub struct Disagreement {
    /// The relay parent.
    pub relay_parent: Hash,
    /// Its session.
    pub session_index: SessionIndex,
    /// The candidate.
    pub receipt: CandidateReceipt,
    /// What is said, by whom; signatures checked.
    pub statements: BTreeMap<(ValidatorIndex, CompactVote), SignedFullStatement>,
}

/// Statements of a disagreement whose signatures hold.
#[derive(Clone, Debug)]
pub struct CheckedDisagreement {
    /// The session of the relay parent.
    pub session_index: SessionIndex,
    /// The message, without the statements whose signatures do not hold.
    pub message: CandidateValidityDisagreement,
}

/// Accusations and disagreements.
#[derive(Default)]
pub struct State {
    newest_session: SessionIndex,
    /// Under way or submitted.
    accused: BTreeSet<AccusationKey>,
    disagreements: BTreeMap<CandidateHash, Disagreement>,
}

impl State {
    /// The heartbeat: what belongs to sessions long past can be neither slashed nor disputed.
    pub fn heartbeat(&mut self, update: &LeavesUpdate) {
        let newest = update.started.iter().map(|leaf| leaf.session_index).max();
        self.newest_session = self.newest_session.max(newest.unwrap_or(0));
        let oldest = self.newest_session.saturating_sub(SESSIONS_KEPT);
        self.accused.retain(|key| key.0 >= oldest);
        self.disagreements.retain(|_, disagreement| disagreement.session_index >= oldest);
    }

    /// The disagreements kept.
    pub fn disagreements(&self) -> &BTreeMap<CandidateHash, Disagreement> {
        &self.disagreements
    }

    /// A report came in. Returns what is to be checked and submitted; nothing if that was done or is under way.
    ///
    /// # Errors
    /// If its two statements do not contradict each other, whoever signed them.
    pub fn accuse(
        &mut self,
        relay_parent: Hash,
        report: MisbehaviorReport,
    ) -> Result<Option<Accusation>, AccusationError> {
        let kind = report.kind()?;
        let key = (report.session_index(), report.validator_index, kind);
        if !self.accused.insert(key) {
            return Ok(None);
        }
        if self.accused.len() > REPORTS_MAX {
            self.accused.pop_first();
        }
        Ok(Some(Accusation { key, relay_parent, report }))
    }

    /// An accusation went no further: another report of the same may do better.
    pub fn failed(&mut self, key: &AccusationKey) {
        self.accused.remove(key);
    }

    /// A disagreement was checked: it is kept, within bounds. Returns proofs against validators who contradict
    /// themselves in it.
    pub fn disagree(&mut self, checked: CheckedDisagreement) -> Vec<MisbehaviorReport> {
        let CheckedDisagreement { session_index, message } = checked;
        let CandidateValidityDisagreement { relay_parent, receipt, statements } = message;
        let context = SigningContext { session_index, parent_hash: relay_parent };
        let reports = contradictions(&statements, context);
        let candidate = receipt.hash();
        let mut said: BTreeMap<_, _> =
            self.disagreements.get(&candidate).map(|known| known.statements.clone()).unwrap_or_default();
        for signed in statements {
            let vote = signed.payload().to_vote();
            if vote.candidate_hash() != candidate || said.len() >= STATEMENTS_MAX {
                continue;
            }
            let key = (signed.validator_index(), vote);
            let accuses = matches!(vote, CompactVote::Invalid(_)) && !said.contains_key(&key);
            if accuses && self.accusations_of(session_index, key.0) >= DISAGREEMENTS_PER_ACCUSER_MAX {
                tracing::debug!(validator = %key.0, "validator calls too many candidates invalid");
                continue;
            }
            said.insert(key, signed);
        }
        let invalid = |key: &(ValidatorIndex, CompactVote)| matches!(key.1, CompactVote::Invalid(_));
        if !said.keys().any(invalid) || said.keys().all(invalid) {
            tracing::debug!(?candidate, "not kept: nobody disagrees with anybody");
        } else if self.disagreements.len() >= DISAGREEMENTS_MAX && !self.disagreements.contains_key(&candidate) {
            tracing::warn!(?candidate, "disagreement not kept: {DISAGREEMENTS_MAX} are already");
        } else {
            let kept = Disagreement { relay_parent, session_index, receipt, statements: said };
            self.disagreements.insert(candidate, kept);
        }
        reports
    }

    /// In how many disagreements a validator of a session says `Invalid`.
    fn accusations_of(&self, session_index: SessionIndex, validator: ValidatorIndex) -> usize {
        let accuses = |(candidate, disagreement): &(&CandidateHash, &Disagreement)| {
            disagreement.session_index == session_index
                && disagreement.statements.contains_key(&(validator, CompactVote::Invalid(**candidate)))
        };
        self.disagreements.iter().filter(accuses).count()
    }
}

/// One proof for each validator that contradicts itself among these statements.
fn contradictions(statements: &[SignedFullStatement], context: SigningContext) -> Vec<MisbehaviorReport> {
    let mut by_validator: BTreeMap<ValidatorIndex, Vec<(CompactVote, &SignedFullStatement)>> = BTreeMap::new();
    for signed in statements {
        by_validator.entry(signed.validator_index()).or_default().push((signed.payload().to_vote(), signed));
    }
    let signed_vote = |(vote, signed): &(CompactVote, &SignedFullStatement)| SignedVote {
        vote: *vote,
        context,
        signature: *signed.signature(),
    };
    let proof = |(validator_index, said): (ValidatorIndex, Vec<(CompactVote, &SignedFullStatement)>)| {
        let pair = said.iter().enumerate().find_map(|(index, one)| {
            said[index + 1..].iter().find(|two| one.0.conflicts_with(&two.0)).map(|two| (one, two))
        })?;
        Some(MisbehaviorReport { validator_index, first: signed_vote(pair.0), second: signed_vote(pair.1) })
    };
    by_validator.into_iter().filter_map(proof).collect()
}
