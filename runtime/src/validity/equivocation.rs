//! Authors of two blocks in one slot: slashed once per slot, and checkers of their blocks draw twice (AV-3).

use codec::{Decode, Encode};
use primitives::{DigestItem, Header, SessionIndex, Signature, SignedMessage, Slot, ValidatorId, ValidatorIndex};
use std::sync::Arc;

use crate::{PenaltyReason, SLOT_ENGINE_ID, SignatureOf, SlotClaim, State, outcome::Outcome, verifier::Signatures};

/// Two sealed headers of one author in one slot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EquivocationReport {
    /// Session in which the author validated.
    pub session: SessionIndex,
    /// The author, in that session.
    pub validator: ValidatorIndex,
    /// One header, with its seal.
    pub first: Header,
    /// The other.
    pub second: Header,
}

/// Why a report is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// The session is too long ago, or has not been.
    #[error("validators of session {0} are not known")]
    UnknownSession(SessionIndex),
    /// There is no such validator in that session.
    #[error("session {session} has no validator {validator}")]
    UnknownValidator {
        /// The session.
        session: SessionIndex,
        /// The accused.
        validator: ValidatorIndex,
    },
    /// A header has no seal, or no slot.
    #[error("a header carries no seal or no slot claim")]
    NotSealed,
    /// They are of different slots.
    #[error("the headers are of slots {first} and {second}")]
    DifferentSlots {
        /// One.
        first: Slot,
        /// The other.
        second: Slot,
    },
    /// They are the same block: that seals differ proves nothing.
    #[error("both headers are the same but for their seals")]
    SameBlock,
    /// Neither block is of the session that the report names.
    #[error("the headers are of sessions {} and {}, the report names session {found}", expected[0], expected[1])]
    OtherSession {
        /// Of the headers, by their numbers.
        expected: [SessionIndex; 2],
        /// Of the report.
        found: SessionIndex,
    },
    /// This has been slashed already.
    #[error("the two blocks of validator {validator} in slot {slot} are known")]
    Known {
        /// The accused.
        validator: ValidatorIndex,
        /// The slot.
        slot: Slot,
    },
}

/// Slashes an author of two blocks. The seals are collected, not verified.
pub(crate) fn process(
    state: &mut State,
    report: &EquivocationReport,
    position: usize,
    signatures: &mut Signatures,
    outcome: &mut Outcome,
) -> Result<(), EquivocationError> {
    let (session, validator) = (report.session, report.validator);
    let validators = state.session.validators_of(session).ok_or(EquivocationError::UnknownSession(session))?;
    let public =
        *validators.get(validator.as_usize()).ok_or(EquivocationError::UnknownValidator { session, validator })?;
    let (first_slot, first) = sealed(&report.first, &public)?;
    let (second_slot, second) = sealed(&report.second, &public)?;
    if first_slot != second_slot {
        return Err(EquivocationError::DifferentSlots { first: first_slot, second: second_slot });
    }
    if first.message == second.message {
        return Err(EquivocationError::SameBlock);
    }
    let sessions = [&report.first, &report.second].map(|header| state.session.session_of(header.number));
    if !sessions.contains(&session) {
        return Err(EquivocationError::OtherSession { expected: sessions, found: session });
    }
    if state.validity.equivocations.contains_key(&(public, first_slot)) {
        return Err(EquivocationError::Known { validator, slot: first_slot });
    }
    let reported_in = state.session_index();
    Arc::make_mut(&mut state.validity).equivocations.insert((public, first_slot), reported_in);
    for message in [first, second] {
        signatures.push(SignatureOf::Seal(position), message);
    }
    let now = state.number();
    let reason = PenaltyReason::Equivocation(first_slot);
    let penalty = Arc::make_mut(&mut state.slashing).penalize(session, validator, public, reason, now);
    state.deposit(penalty.as_ref().map_or(0, |penalty| penalty.amount));
    outcome.penalties.extend(penalty);
    Ok(())
}

/// The slot of a header, and what must hold so that it is the author's.
fn sealed(header: &Header, author: &ValidatorId) -> Result<(Slot, SignedMessage), EquivocationError> {
    let mut unsealed = header.clone();
    let Some(DigestItem::Seal(SLOT_ENGINE_ID, seal)) = unsealed.digest.pop() else {
        return Err(EquivocationError::NotSealed);
    };
    let signature: Signature =
        primitives::decode_limited(&seal, seal.len()).map_err(|_| EquivocationError::NotSealed)?;
    let claim = SlotClaim::from_digest(&unsealed.digest).map_err(|_| EquivocationError::NotSealed)?;
    Ok((claim.slot, SignedMessage { public: author.0, message: unsealed.hash().encode(), signature }))
}
