//! Secondary attestations (AV-3, AV-5): a validator that drew a candidate says that it is valid, and proves the draw.
//!
//! Draws are made on the VRF output of the block that included the candidate. *One-shot*: one draw per block, modulo
//! the number of its candidates, names the one to check. *Extra*: one draw per candidate; whoever's comes first while
//! checks are missing may check, so on chain any proof will do. Where the block's author made two blocks in its slot,
//! draws on the block's hash count as well.

use codec::{Decode, Encode};
use primitives::{
    CandidateHash, CoreIndex, DisputeStatement, Hash, SessionIndex, SignedMessage, ValidDisputeStatementKind,
    ValidatorId, ValidatorIndex, ValidatorSignature, VrfSignature, dispute::approval_payload,
};
use std::sync::Arc;

use super::{DisputeVote, IncludedBlock, mark, verdict};
use crate::{SignatureOf, State, VrfDraw, outcome::Outcome, verifier::Signatures};

/// Stands before what an assignment is drawn on.
const ASSIGNMENT_MAGIC: [u8; 4] = *b"ASGN";
/// Purpose of the bytes made from the VRF output.
pub(crate) const ASSIGNMENT_CONTEXT: &[u8] = b"parahost-assignment";
/// Checks beyond the size of the group that every candidate needs.
const DEFAULT_EXTRA_CHECKS: usize = 2;

/// By which draw a validator checks a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AssignmentKind {
    /// The one draw per block.
    #[codec(index = 0)]
    OneShot,
    /// The draw for this candidate.
    #[codec(index = 1)]
    Extra,
}

/// A draw.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Assignment {
    /// Which.
    pub kind: AssignmentKind,
    /// On the block's hash as well: where its author made two blocks.
    pub equivocated: bool,
    /// Output and proof, on [`assignment_input`].
    pub vrf: VrfSignature,
}

/// A validator's word, after a secondary check, that a candidate is valid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SecondaryAttestation {
    /// The candidate's session.
    pub session: SessionIndex,
    /// The candidate.
    pub candidate: CandidateHash,
    /// The checker, in that session.
    pub validator: ValidatorIndex,
    /// Why it is the checker.
    pub assignment: Assignment,
    /// An approval: over [`approval_payload`] of this candidate.
    pub signature: ValidatorSignature,
}

/// What assignments are drawn on: the VRF output of the block that included the candidate, the candidate's core for
/// an extra assignment, and the block's hash where its author made two blocks.
pub fn assignment_input(
    kind: AssignmentKind,
    block_vrf_output: &[u8; 32],
    core: CoreIndex,
    equivocated: Option<Hash>,
) -> Vec<u8> {
    let core = match kind {
        AssignmentKind::OneShot => None,
        AssignmentKind::Extra => Some(core),
    };
    (ASSIGNMENT_MAGIC, block_vrf_output, core, equivocated).encode()
}

/// Which of `candidates` included ones a one-shot draw names.
pub fn one_shot_position(draw: [u8; 8], candidates: usize) -> Option<usize> {
    let position = u64::from_le_bytes(draw).checked_rem(candidates as u64)?;
    usize::try_from(position).ok()
}

/// Why an attestation is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// Not included, or its acceptance is over.
    #[error("candidate {0} is not in its acceptance period")]
    NotAccepting(CandidateHash),
    /// There is no such validator in that session.
    #[error("session {session} has no validator {validator}")]
    UnknownValidator {
        /// The session.
        session: SessionIndex,
        /// The checker.
        validator: ValidatorIndex,
    },
    /// It has backed or approved the candidate already.
    #[error("validator {0} has attested already")]
    Known(ValidatorIndex),
    /// Nobody has proved that the block's author made two.
    #[error("no equivocation is known of the author of that block")]
    NoEquivocation,
}

/// How many distinct checks a candidate needs, backers included.
pub(crate) fn needed_checks(group_len: usize, reported_units: usize, validators: usize) -> usize {
    group_len.saturating_add(DEFAULT_EXTRA_CHECKS).saturating_add(reported_units).min(validators)
}

/// Records an attestation. Signature and proof are collected, not verified.
pub(crate) fn process(
    state: &mut State,
    attestation: &SecondaryAttestation,
    signatures: &mut Signatures,
    outcome: &mut Outcome,
) -> Result<(), AttestationError> {
    let SecondaryAttestation { session, candidate, validator, assignment, signature } = attestation;
    let key = (*session, *candidate);
    let unknown = || AttestationError::UnknownValidator { session: *session, validator: *validator };
    let (block, included) = state.validity.included(key).ok_or(AttestationError::NotAccepting(*candidate))?;
    let validators = state.session.validators_of(*session).ok_or_else(unknown)?;
    let public = validators.get(validator.as_usize()).ok_or_else(unknown)?.0;
    if included.checks.get(validator.as_usize()).is_none_or(|checked| *checked) {
        return Err(AttestationError::Known(*validator));
    }
    let equivocated = match (assignment.equivocated, block.hash) {
        (false, _) => None,
        (true, Some(hash)) if has_equivocated(state, validators, block) => Some(hash),
        (true, _) => return Err(AttestationError::NoEquivocation),
    };
    let position = block.candidates.iter().position(|other| other.hash == *candidate).unwrap_or_default();
    let draw = VrfDraw {
        public,
        input: assignment_input(assignment.kind, &block.vrf_output, included.core, equivocated),
        vrf: assignment.vrf.clone(),
        one_shot: (assignment.kind == AssignmentKind::OneShot).then_some((position, block.candidates.len())),
    };
    let source = SignatureOf::Attestation(*candidate, *validator);
    let message = approval_payload(&[*candidate], *session);
    signatures.push(source, SignedMessage { public, message, signature: *signature });
    signatures.push_draw(source, draw);
    let statement = DisputeStatement::Valid(ValidDisputeStatementKind::ApprovalChecking);
    record(state, key, (statement, *validator, *signature));
    verdict::evaluate(state, key, outcome);
    Ok(())
}

/// Whether it is proved that a block's author made another one in its slot.
fn has_equivocated(state: &State, validators: &[ValidatorId], block: &IncludedBlock) -> bool {
    let author = validators.get(block.author.as_usize());
    author.is_some_and(|author| state.validity.equivocations.contains_key(&(*author, block.slot)))
}

/// The attestation counts as a check, and as a vote if the candidate is disputed.
fn record(state: &mut State, key: super::DisputeKey, vote: DisputeVote) {
    let validity = Arc::make_mut(&mut state.validity);
    if let Some(candidate) = validity.included_mut(key) {
        mark(&mut candidate.checks, vote.1);
        candidate.votes.push(vote.clone());
    }
    if let Some(dispute) = validity.disputes.get_mut(&key) {
        Arc::make_mut(dispute).add(&vote);
    }
}
