//! Disputes: votes for and against a candidate, until one side has a supermajority or the time is over.

use codec::{Decode, Encode};
use primitives::{
    Bits, BlockNumber, CandidateHash, CommittedCandidateReceipt, DisputeStatementSet, Hash, SessionIndex,
    SignedMessage, ValidationCode, ValidationCodeHash, ValidatorId, ValidatorIndex, supermajority_threshold,
};
use std::{collections::BTreeMap, sync::Arc};

use super::{DisputeKey, DisputeVote, Verdict, fishermen::BondedReport, mark, remote::Remote, verdict};
use crate::{
    Balance, SignatureOf, State, ValidityEvent, error::out_of_order, limits::MAX_VOTES_PER_SET, outcome::Outcome,
    verifier::Signatures,
};

/// Why dispute votes are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisputeError {
    /// The session is too long ago, or has not been.
    #[error("validators of session {0} are not known")]
    UnknownSession(SessionIndex),
    /// There is no such validator in that session.
    #[error("session {session} has no validator {validator}")]
    UnknownValidator {
        /// The session.
        session: SessionIndex,
        /// The voter.
        validator: ValidatorIndex,
    },
    /// Neither included here nor disputed, and the votes do not decide it.
    #[error("candidate is neither included nor disputed here, and the votes do not decide it")]
    UnknownCandidate,
    /// Votes for the candidate alone are no dispute, unless they are late backing by its group.
    #[error("nobody disputes the candidate, and validator {0} is none of its group that backs it")]
    NoContradiction(ValidatorIndex),
    /// It is over.
    #[error("the dispute is over: {0:?}")]
    Settled(Verdict),
    /// A validator speaks twice, or the order is wrong: a set has one order, so that it is one transaction.
    #[error("vote of validator {second} follows that of {first}, expected ascending validators")]
    Order {
        /// The earlier.
        first: ValidatorIndex,
        /// The later.
        second: ValidatorIndex,
    },
    /// All of it is known.
    #[error("no vote is new")]
    NothingNew,
    /// More votes than a set may have.
    #[error("{found} votes, at most {MAX_VOTES_PER_SET} are allowed")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// An approval of several candidates that leaves out this one.
    #[error("the approval of validator {0} is of other candidates")]
    OtherCandidates(ValidatorIndex),
    /// The candidate's receipt has another name than the votes.
    #[error("the candidate is {found}, the votes are about {expected}")]
    OtherReceipt {
        /// Hash of the receipt.
        found: CandidateHash,
        /// In the votes.
        expected: CandidateHash,
    },
    /// The candidate is known here: votes are enough.
    #[error("the candidate is included or disputed here: send votes")]
    NotRemote,
    /// A remote dispute needs somebody who disputes.
    #[error("no vote against the candidate")]
    NoEscalation,
    /// A remote dispute needs somebody who stood behind the candidate.
    #[error("nobody seconded the candidate")]
    NoBacking,
    /// The code is not the candidate's, or is not known here.
    #[error("validation code {0} is needed, it is neither here nor in the transaction")]
    Code(ValidationCodeHash),
    /// It takes somebody who can lose something to open a dispute that the votes do not decide.
    #[error("no validator that disputes has enough at stake to open one more dispute")]
    NothingAtStake,
    /// Too many of them are open.
    #[error("{max} remote disputes are open already")]
    TooManyRemote {
        /// How many there may be.
        max: usize,
    },
    /// Too many of them are of the validators that dispute.
    #[error("each validator that disputes has {max} remote disputes open already")]
    TooManyRemoteOfDisputers {
        /// How many each may have.
        max: usize,
    },
    /// There is no such dispute that waits for availability.
    #[error("no such dispute waits for availability")]
    NotAwaiting,
}

/// How far a dispute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DisputePhase {
    /// A remote one: its data must become available in this block at the latest.
    AwaitingAvailability {
        /// The last block.
        until: BlockNumber,
    },
    /// All validators of the session vote.
    Voting {
        /// The last block before the time-out.
        until: BlockNumber,
    },
    /// Timed out with too few votes: not finalizable until enough have voted.
    Unresolved,
    /// Decided.
    Concluded {
        /// How.
        verdict: Verdict,
        /// By n − f votes on one side, with slashes; or else at the time-out, without.
        by_supermajority: bool,
        /// In which block.
        concluded_in: BlockNumber,
        /// The last block for late votes.
        open_until: BlockNumber,
    },
}

/// Where on this chain the candidate was included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct InclusionPlace {
    pub(crate) number: BlockNumber,
    pub(crate) parent_hash: Hash,
}

/// A dispute on one candidate.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub(crate) struct Dispute {
    pub(crate) session: SessionIndex,
    pub(crate) candidate: CandidateHash,
    /// Of that session: kept here, because a dispute may outlive the chain's memory of it. The session covers them.
    #[codec(skip)]
    pub(crate) validators: Arc<Vec<ValidatorId>>,
    pub(crate) phase: DisputePhase,
    pub(crate) started_in: BlockNumber,
    pub(crate) place: Option<InclusionPlace>,
    /// The candidate, if it was ever seen here: a dispute may outlive its acceptance period. The name covers it.
    #[codec(skip)]
    pub(crate) receipt: Option<Arc<CommittedCandidateReceipt>>,
    /// The candidate's, whenever its receipt is here: who votes needs it until the end, though the chain has pruned it.
    #[codec(skip)]
    pub(crate) validation_code: Option<ValidationCode>,
    pub(crate) votes_for: Bits,
    pub(crate) votes_against: Bits,
    /// Who was the first to vote against; of one set the first in its order.
    pub(crate) disputer: Option<ValidatorIndex>,
    /// The validator, of those that dispute, for which it counts until it is decided; `None` if its votes decided it at once.
    pub(crate) opened_by: Option<ValidatorId>,
    /// Who has paid for being on the wrong side.
    pub(crate) slashed: Bits,
    /// All votes, for other forks; covered by `votes_hash`.
    #[codec(skip)]
    pub(crate) votes: Vec<DisputeVote>,
    votes_hash: Hash,
    pub(crate) remote: Option<Remote>,
    /// The reports that there were when it was decided, for other forks.
    pub(crate) reports: Vec<BondedReport>,
}

impl Dispute {
    pub(crate) fn new(
        key: DisputeKey,
        validators: Arc<Vec<ValidatorId>>,
        phase: DisputePhase,
        started_in: BlockNumber,
    ) -> Self {
        let nobody = Bits::repeat(false, validators.len());
        Self {
            session: key.0,
            candidate: key.1,
            validators,
            phase,
            started_in,
            place: None,
            receipt: None,
            validation_code: None,
            votes_for: nobody.clone(),
            votes_against: nobody.clone(),
            disputer: None,
            opened_by: None,
            slashed: nobody,
            votes: Vec::new(),
            votes_hash: Hash::ZERO,
            remote: None,
            reports: Vec::new(),
        }
    }

    /// Whether this vote's side has it already.
    fn knows(&self, vote: &DisputeVote) -> bool {
        let side = if vote.0.indicates_validity() { &self.votes_for } else { &self.votes_against };
        side.get(vote.1.as_usize()).is_none_or(|bit| *bit)
    }

    /// Adds a vote and tells whether it is new.
    pub(crate) fn add(&mut self, vote: &DisputeVote) -> bool {
        if self.knows(vote) {
            return false;
        }
        if vote.0.indicates_validity() {
            mark(&mut self.votes_for, vote.1);
        } else {
            mark(&mut self.votes_against, vote.1);
            self.disputer.get_or_insert(vote.1);
        }
        self.votes_hash = Hash::of(&(self.votes_hash, vote));
        self.votes.push(vote.clone());
        true
    }

    /// Votes that one side needs so that it wins with slashes.
    pub(crate) fn supermajority(&self) -> usize {
        supermajority_threshold(self.validators.len())
    }

    /// Both sides have spoken and one has won: an open-and-shut case.
    pub(crate) fn is_decided_contradiction(&self) -> bool {
        let (votes_for, against) = (self.votes_for.count_ones(), self.votes_against.count_ones());
        votes_for > 0 && against > 0 && votes_for.max(against) >= self.supermajority()
    }

    pub(crate) const fn key(&self) -> DisputeKey {
        (self.session, self.candidate)
    }

    /// Of its candidate's code, if it was ever seen here.
    pub(crate) fn code_hash(&self) -> Option<ValidationCodeHash> {
        self.receipt.as_ref().map(|receipt| receipt.descriptor.validation_code_hash())
    }

    pub(crate) const fn concluded(&self) -> Option<Verdict> {
        match self.phase {
            DisputePhase::Concluded { verdict, .. } => Some(verdict),
            _ => None,
        }
    }
}

/// A set of votes, checked but for the signatures.
pub(crate) struct CheckedVotes {
    pub(crate) votes: Vec<(DisputeVote, SignedMessage)>,
}

/// Checks a set by itself.
pub(crate) fn check_votes(set: &DisputeStatementSet, validators: &[ValidatorId]) -> Result<CheckedVotes, DisputeError> {
    let found = set.statements.len();
    if found > MAX_VOTES_PER_SET {
        return Err(DisputeError::TooMany { found });
    }
    if let Some((first, second)) = out_of_order(set.statements.iter().map(DisputeStatementSet::place)) {
        return Err(DisputeError::Order { first: first.0, second: second.0 });
    }
    let mut votes = Vec::with_capacity(found);
    for vote in &set.statements {
        let (statement, validator, signature) = vote;
        let public = validators
            .get(validator.as_usize())
            .ok_or(DisputeError::UnknownValidator { session: set.session, validator: *validator })?;
        let message =
            statement.payload(set.candidate_hash, set.session).ok_or(DisputeError::OtherCandidates(*validator))?;
        votes.push((vote.clone(), SignedMessage { public: public.0, message, signature: *signature }));
    }
    Ok(CheckedVotes { votes })
}

/// Those of `validators` that a set says dispute.
pub(crate) fn against<'a>(
    set: &'a DisputeStatementSet,
    validators: &'a [ValidatorId],
) -> impl Iterator<Item = &'a ValidatorId> {
    let disputing = set.statements.iter().filter(|(statement, ..)| !statement.indicates_validity());
    disputing.filter_map(|(_, validator, _)| validators.get(validator.as_usize()))
}

/// Those that a set says dispute and that can pay for one more dispute which turns out to be wrong, beside those that are
/// open and count for them: so one stake holds up no more candidates than it pays for.
pub(crate) fn who_can_open<'a>(
    state: &'a State,
    set: &'a DisputeStatementSet,
    validators: &'a [ValidatorId],
) -> impl Iterator<Item = &'a ValidatorId> {
    let mut open: BTreeMap<ValidatorId, Balance> = BTreeMap::new();
    for dispute in state.validity.disputes.values().filter(|dispute| dispute.concluded().is_none()) {
        if let Some(opener) = dispute.opened_by {
            let count = open.entry(opener).or_default();
            *count = count.saturating_add(1);
        }
    }
    against(set, validators).filter(move |validator| {
        let others = open.get(validator).copied().unwrap_or_default();
        state.slashing.can_pay_for_disputes(validator, others.saturating_add(1))
    })
}

/// Takes a set of votes: of a dispute that is open, on a candidate of this chain, as late backing, or as a dispute
/// of another fork that is decided by these votes.
pub(crate) fn process_votes(
    state: &mut State,
    set: &DisputeStatementSet,
    signatures: &mut Signatures,
    outcome: &mut Outcome,
) -> Result<(), DisputeError> {
    let key = (set.session, set.candidate_hash);
    if let Some(verdict @ (Verdict::Valid | Verdict::Invalid)) = state.validity.settled.get(&key) {
        return Err(DisputeError::Settled(*verdict));
    }
    let existing = state.validity.disputes.get(&key).map(|dispute| (**dispute).clone());
    let is_new = existing.is_none();
    let validators = match &existing {
        Some(dispute) => Arc::clone(&dispute.validators),
        None => {
            let known = state.session.validators_of(set.session);
            Arc::clone(known.ok_or(DisputeError::UnknownSession(set.session))?)
        }
    };
    let checked = check_votes(set, &validators)?;
    let is_disputed = !is_new || checked.votes.iter().any(|(vote, _)| !vote.0.indicates_validity());
    if !is_disputed {
        return late_backing(state, key, &checked, signatures);
    }
    let mut dispute = existing.unwrap_or_else(|| open(state, key, validators));
    let mut any_new = false;
    for (vote, message) in checked.votes {
        if dispute.add(&vote) {
            any_new = true;
            signatures.push(SignatureOf::DisputeVote(key.1, vote.1), message);
        }
    }
    if !any_new {
        return Err(DisputeError::NothingNew);
    }
    if is_new && !dispute.is_decided_contradiction() {
        if dispute.place.is_none() {
            return Err(DisputeError::UnknownCandidate);
        }
        let opener = who_can_open(state, set, &dispute.validators).next();
        dispute.opened_by = Some(*opener.ok_or(DisputeError::NothingAtStake)?);
    }
    if is_new {
        outcome.validity.push(ValidityEvent::Escalated { session: key.0, candidate: key.1 });
    }
    Arc::make_mut(&mut state.validity).disputes.insert(key, Arc::new(dispute));
    verdict::evaluate(state, key, outcome);
    Ok(())
}

/// A new dispute; on a candidate of this chain, who stood behind it has voted.
fn open(state: &State, key: DisputeKey, validators: Arc<Vec<ValidatorId>>) -> Dispute {
    let now = state.number();
    let until = now.saturating_add(verdict::voting_period(state));
    let mut dispute = Dispute::new(key, validators, DisputePhase::Voting { until }, now);
    join_record(state, &mut dispute);
    dispute
}

/// Where an included candidate was included first.
pub(crate) fn inclusion_place(state: &State, key: DisputeKey) -> Option<InclusionPlace> {
    let (number, _) = state.validity.find(key)?;
    let block = state.validity.blocks.get(&number)?;
    Some(InclusionPlace { number, parent_hash: block.parent_hash })
}

/// Takes over what is recorded of the candidate on this chain: if it is included where, and who stands behind it, also
/// if it is only backed.
pub(crate) fn join_record(state: &State, dispute: &mut Dispute) {
    let key = dispute.key();
    if let Some((_, candidate)) = state.validity.included(key) {
        dispute.place = inclusion_place(state, key);
        set_subject(state, dispute, &candidate.receipt);
        for vote in &candidate.votes {
            dispute.add(vote);
        }
    } else if let Some(pending) = state.pending_core(key).and_then(|core| state.inclusion.pending.get(&core)) {
        set_subject(state, dispute, &pending.receipt);
        for vote in pending.backers.iter() {
            dispute.add(vote);
        }
    }
}

/// What the dispute is about. A candidate that is pending or in its acceptance period has its code here.
fn set_subject(state: &State, dispute: &mut Dispute, receipt: &Arc<CommittedCandidateReceipt>) {
    let code = state.validation_code_by_hash(receipt.descriptor.validation_code_hash());
    dispute.receipt = Some(Arc::clone(receipt));
    dispute.validation_code = code.cloned();
}

/// A candidate that is disputed elsewhere has been included here: it is available, so all can vote.
pub(crate) fn became_local(state: &mut State, key: DisputeKey, outcome: &mut Outcome) {
    let Some(dispute) = state.validity.disputes.get(&key) else {
        return;
    };
    let mut dispute = (**dispute).clone();
    join_record(state, &mut dispute);
    if let DisputePhase::AwaitingAvailability { .. } = dispute.phase {
        let until = state.number().saturating_add(verdict::voting_period(state));
        dispute.phase = DisputePhase::Voting { until };
    }
    Arc::make_mut(&mut state.validity).disputes.insert(key, Arc::new(dispute));
    verdict::evaluate(state, key, outcome);
}

/// Members of the group that come after the block that backed the candidate.
fn late_backing(
    state: &mut State,
    key: DisputeKey,
    checked: &CheckedVotes,
    signatures: &mut Signatures,
) -> Result<(), DisputeError> {
    let Some((block, candidate)) = state.validity.included(key) else {
        return Err(DisputeError::UnknownCandidate);
    };
    // Groups are known of this session only.
    let is_current = block.session == state.session_index();
    let members = state.scheduler.group_validators(candidate.group).filter(|_| is_current).unwrap_or_default();
    let mut new = Vec::new();
    for (vote, message) in &checked.votes {
        if !vote.0.is_backing() || !members.contains(&vote.1) {
            return Err(DisputeError::NoContradiction(vote.1));
        }
        if !candidate.votes.iter().any(|known| known.1 == vote.1) {
            new.push(vote.clone());
            signatures.push(SignatureOf::DisputeVote(key.1, vote.1), message.clone());
        }
    }
    if new.is_empty() {
        return Err(DisputeError::NothingNew);
    }
    if let Some(candidate) = Arc::make_mut(&mut state.validity).included_mut(key) {
        for vote in new {
            mark(&mut candidate.checks, vote.1);
            candidate.votes.push(vote);
        }
    }
    Ok(())
}
