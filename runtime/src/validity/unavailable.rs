//! Checkers that cannot get hold of an included candidate (AV-4): they have no vote, but once so many say so that no
//! side can win a dispute any more, the block is abandoned as if the candidate were invalid (MS-5). Nobody is slashed,
//! because nothing is proven. A fork on which it is pending is told, so that it is not included once more.

use codec::{Decode, Encode};
use primitives::{
    CandidateHash, SessionIndex, SignedMessage, ValidatorIndex, ValidatorSignature, supermajority_threshold,
};
use std::sync::Arc;

use super::{disputes::DisputeError, verdict};
use crate::{SignatureOf, State, error::out_of_order, outcome::Outcome, verifier::Signatures};

/// Stands before what a validator signs when it cannot get hold of a candidate.
const UNAVAILABLE_MAGIC: [u8; 4] = *b"UNAV";

/// Validators that could not get hold of an included candidate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UnavailableReport {
    /// The candidate's session.
    pub session: SessionIndex,
    /// The candidate.
    pub candidate: CandidateHash,
    /// Validators of that session, ascending, each over [`unavailable_payload`].
    pub votes: Vec<(ValidatorIndex, ValidatorSignature)>,
}

/// What a validator signs when it cannot get hold of a candidate.
pub fn unavailable_payload(candidate: CandidateHash, session: SessionIndex) -> Vec<u8> {
    (UNAVAILABLE_MAGIC, candidate, session).encode()
}

/// Counts who could not get hold of a candidate. Signatures are collected, not verified. One that is only pending here
/// loses its core if the report has all that it takes: then the fork that included it was given up.
pub(crate) fn process(
    state: &mut State,
    report: &UnavailableReport,
    signatures: &mut Signatures,
    outcome: &mut Outcome,
) -> Result<(), DisputeError> {
    let key = (report.session, report.candidate);
    let judged = state.validity.disputes.get(&key).and_then(|dispute| dispute.concluded());
    if let Some(verdict) = judged.or_else(|| state.validity.settled.get(&key).copied()) {
        return Err(DisputeError::Settled(verdict));
    }
    let validators = state.session.validators_of(report.session);
    let validators = Arc::clone(validators.ok_or(DisputeError::UnknownSession(report.session))?);
    let found = report.votes.len();
    if found > validators.len() {
        return Err(DisputeError::TooMany { found });
    }
    if let Some((first, second)) = out_of_order(report.votes.iter().map(|(validator, _)| *validator)) {
        return Err(DisputeError::Order { first, second });
    }
    let known = match state.validity.included(key) {
        Some((_, included)) => &included.unavailable[..],
        None if state.pending_core(key).is_some() => &[],
        None => return Err(DisputeError::UnknownCandidate),
    };
    let payload = unavailable_payload(report.candidate, report.session);
    let mut new = Vec::new();
    for (validator, signature) in &report.votes {
        let public = validators
            .get(validator.as_usize())
            .ok_or(DisputeError::UnknownValidator { session: report.session, validator: *validator })?;
        if known.iter().all(|(said, _)| said != validator) {
            new.push((*validator, *signature));
            let message = SignedMessage { public: public.0, message: payload.clone(), signature: *signature };
            signatures.push(SignatureOf::Unavailable(report.candidate, *validator), message);
        }
    }
    if new.is_empty() {
        return Err(DisputeError::NothingNew);
    }
    let is_enough = known.len().saturating_add(new.len()) >= supermajority_threshold(validators.len());
    match Arc::make_mut(&mut state.validity).included_mut(key) {
        Some(included) => included.unavailable.extend(new),
        None if !is_enough => return Err(DisputeError::UnknownCandidate),
        None => {}
    }
    if is_enough {
        verdict::judged_unavailable(state, key, outcome);
    }
    Ok(())
}
