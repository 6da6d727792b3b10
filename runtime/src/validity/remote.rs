//! Disputes of other forks that nobody has decided: first the candidate's data must become available here.
//!
//! The availability process has no cores and no bitfields: validators of the candidate's session each sign that
//! they hold their chunk. More than two thirds open the vote; the time-out costs whoever disputed.

use codec::{Decode, Encode};
use primitives::{
    Bits, BlockNumber, CandidateHash, CommittedCandidateReceipt, DisputeStatement, DisputeStatementSet, SessionIndex,
    SignedMessage, ValidDisputeStatementKind, ValidationCode, ValidatorId, ValidatorIndex, ValidatorSignature,
    supermajority_threshold,
};
use std::sync::Arc;

use super::{
    Dispute,
    disputes::{DisputeError, DisputePhase, check_votes, join_record, who_can_open},
    mark, verdict,
};
use crate::{
    SignatureOf, State, ValidityEvent,
    error::out_of_order,
    limits::{MAX_REMOTE_DISPUTES, MAX_REMOTE_DISPUTES_PER_VALIDATOR},
    outcome::Outcome,
    verifier::Signatures,
};

/// Stands before what validators sign when they hold a chunk of a remote dispute's candidate.
const AVAILABLE_MAGIC: [u8; 4] = *b"RAVL";
/// How many times longer than on a core availability may take: here it is not validators' own work that is late,
/// and somebody is slashed for it.
const REMOTE_AVAILABILITY_FACTOR: BlockNumber = 4;

/// Begins a dispute on a candidate that is unknown here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RemoteDispute {
    /// The candidate.
    pub candidate: CommittedCandidateReceipt,
    /// Its code, unless this chain has it.
    pub validation_code: Option<ValidationCode>,
    /// Session, backing, checks, and at least one vote against.
    pub votes: DisputeStatementSet,
}

/// Validators hold their chunks of a remote dispute's candidate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RemoteAvailability {
    /// The candidate's session.
    pub session: SessionIndex,
    /// The candidate.
    pub candidate: CandidateHash,
    /// Validators of that session, ascending, each over [`remote_availability_payload`].
    pub votes: Vec<(ValidatorIndex, ValidatorSignature)>,
}

/// What a validator signs when it holds its chunk.
pub fn remote_availability_payload(candidate: CandidateHash, session: SessionIndex) -> Vec<u8> {
    (AVAILABLE_MAGIC, candidate, session).encode()
}

/// What a remote dispute has beside its votes.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub(crate) struct Remote {
    pub(crate) available: Bits,
}

/// Begins a remote dispute. Signatures are collected, not verified.
pub(crate) fn open(
    state: &mut State,
    remote: &RemoteDispute,
    signatures: &mut Signatures,
    outcome: &mut Outcome,
) -> Result<(), DisputeError> {
    let votes = &remote.votes;
    let key = (votes.session, votes.candidate_hash);
    let found = remote.candidate.hash();
    if found != key.1 {
        return Err(DisputeError::OtherReceipt { found, expected: key.1 });
    }
    if let Some(verdict) = state.validity.settled.get(&key) {
        return Err(DisputeError::Settled(*verdict));
    }
    if state.validity.disputes.contains_key(&key) || state.validity.find(key).is_some() {
        return Err(DisputeError::NotRemote);
    }
    let validators = state.session.validators_of(key.0).ok_or(DisputeError::UnknownSession(key.0))?;
    let validators = Arc::clone(validators);
    let checked = check_votes(votes, &validators)?;
    let says = |wanted: fn(&DisputeStatement) -> bool| votes.statements.iter().any(|(statement, ..)| wanted(statement));
    if !says(|statement| !statement.indicates_validity()) {
        return Err(DisputeError::NoEscalation);
    }
    if !says(|said| matches!(said, DisputeStatement::Valid(ValidDisputeStatementKind::BackingSeconded(_)))) {
        return Err(DisputeError::NoBacking);
    }
    let opened_by = check_room(state, votes, &validators)?;
    let code = code(state, remote)?;
    let now = state.number();
    let until = now.saturating_add(availability_period(state));
    let available = Bits::repeat(false, validators.len());
    let mut dispute = Dispute::new(key, validators, DisputePhase::AwaitingAvailability { until }, now);
    join_record(state, &mut dispute);
    for (vote, message) in checked.votes {
        dispute.add(&vote);
        signatures.push(SignatureOf::DisputeVote(key.1, vote.1), message);
    }
    dispute.receipt.get_or_insert_with(|| Arc::new(remote.candidate.clone()));
    dispute.validation_code = Some(code);
    dispute.remote = Some(Remote { available });
    dispute.opened_by = Some(opened_by);
    Arc::make_mut(&mut state.validity).disputes.insert(key, Arc::new(dispute));
    outcome.validity.push(ValidityEvent::RemoteOpened { session: key.0, candidate: key.1 });
    verdict::evaluate(state, key, outcome);
    Ok(())
}

/// For which validator one more dispute counts: the first of those that dispute, have at stake what that may cost and
/// have not used up their share, so that nobody can keep others from disputing by voting with them.
fn check_room(
    state: &State,
    votes: &DisputeStatementSet,
    validators: &[ValidatorId],
) -> Result<ValidatorId, DisputeError> {
    let open = || state.validity.disputes.values().filter(|dispute| dispute.remote.is_some());
    if open().count() >= MAX_REMOTE_DISPUTES {
        return Err(DisputeError::TooManyRemote { max: MAX_REMOTE_DISPUTES });
    }
    let mut disputing = who_can_open(state, votes, validators).peekable();
    if disputing.peek().is_none() {
        return Err(DisputeError::NothingAtStake);
    }
    let max = MAX_REMOTE_DISPUTES_PER_VALIDATOR;
    let has_room = |it: &&ValidatorId| open().filter(|dispute| dispute.opened_by == Some(**it)).count() < max;
    disputing.find(has_room).copied().ok_or(DisputeError::TooManyRemoteOfDisputers { max })
}

/// The candidate's code: brought along, or known here.
fn code(state: &State, remote: &RemoteDispute) -> Result<ValidationCode, DisputeError> {
    let needed = remote.candidate.descriptor.validation_code_hash();
    let max_size = state.configuration().max_code_size as usize;
    let code = match &remote.validation_code {
        None => state.validation_code_by_hash(needed),
        Some(code) => Some(code).filter(|code| code.0.len() <= max_size && code.hash() == needed),
    };
    code.cloned().ok_or(DisputeError::Code(needed))
}

/// Blocks in which a remote dispute's candidate must become available.
fn availability_period(state: &State) -> BlockNumber {
    let configuration = state.configuration();
    let longest = configuration.chain_availability_period.max(configuration.thread_availability_period);
    longest.saturating_mul(REMOTE_AVAILABILITY_FACTOR)
}

/// Takes the word of validators that they hold their chunks; enough of them open the vote.
pub(crate) fn note_availability(
    state: &mut State,
    said: &RemoteAvailability,
    signatures: &mut Signatures,
    outcome: &mut Outcome,
) -> Result<(), DisputeError> {
    let key = (said.session, said.candidate);
    let dispute = state.validity.disputes.get(&key).ok_or(DisputeError::NotAwaiting)?;
    let mut dispute = (**dispute).clone();
    let (DisputePhase::AwaitingAvailability { .. }, Some(remote)) = (dispute.phase, &mut dispute.remote) else {
        return Err(DisputeError::NotAwaiting);
    };
    let found = said.votes.len();
    if found > dispute.validators.len() {
        return Err(DisputeError::TooMany { found });
    }
    if let Some((first, second)) = out_of_order(said.votes.iter().map(|(validator, _)| *validator)) {
        return Err(DisputeError::Order { first, second });
    }
    let payload = remote_availability_payload(said.candidate, said.session);
    let mut any_new = false;
    for (validator, signature) in &said.votes {
        let public = dispute
            .validators
            .get(validator.as_usize())
            .ok_or(DisputeError::UnknownValidator { session: said.session, validator: *validator })?;
        if mark(&mut remote.available, *validator) {
            any_new = true;
            let message = SignedMessage { public: public.0, message: payload.clone(), signature: *signature };
            signatures.push(SignatureOf::RemoteAvailability(said.candidate, *validator), message);
        }
    }
    if !any_new {
        return Err(DisputeError::NothingNew);
    }
    if remote.available.count_ones() >= supermajority_threshold(dispute.validators.len()) {
        let until = state.number().saturating_add(verdict::voting_period(state));
        dispute.phase = DisputePhase::Voting { until };
        outcome.validity.push(ValidityEvent::RemoteAvailable { session: key.0, candidate: key.1 });
    }
    Arc::make_mut(&mut state.validity).disputes.insert(key, Arc::new(dispute));
    Ok(())
}
