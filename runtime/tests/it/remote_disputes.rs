//! Disputes of other forks that nobody has decided.

use crate::{equivocations::ruin, support::*};
use primitives::{
    CandidateHash, CoreIndex, DisputeStatement, DisputeStatementSet, ValidDisputeStatementKind, ValidatorIndex,
};
use runtime::{
    DisputeError, DisputePhase, Extrinsic, ExtrinsicError, PenaltyReason, RemoteAvailability, RemoteDispute,
    SignatureOf, ValidityEvent, Verdict, remote_availability_payload,
};

/// A chain on which nothing was included, and a dispute from another fork: a candidate of a para of which the chain
/// knows nothing, seconded by validator 0, disputed by validator 1.
pub(crate) fn from_elsewhere() -> (Chain, RemoteDispute, CandidateHash) {
    let there = Chain::with(7, |genesis| {
        genesis.paras[1].validation_code = vec![99; 40].into();
        genesis.paras[1].head_data = primitives::HeadData(vec![77]);
    });
    let candidate = there.draft(ONE, CORE_0).receipt();
    let hash = candidate.hash();
    let mut votes = there.votes(0, hash, &[], &[1]);
    let kind = ValidDisputeStatementKind::BackingSeconded(candidate.descriptor.relay_parent());
    let seconded = DisputeStatement::Valid(kind);
    let signature = sign(there.pair_in(0, 0), &seconded.payload(hash, 0).unwrap());
    votes.statements.push((seconded, ValidatorIndex(0), signature));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    let code = there.state.validation_code_by_hash(candidate.descriptor.validation_code_hash()).cloned();
    let mut here = Chain::new(7);
    here.skip(2);
    (here, RemoteDispute { candidate, validation_code: code, votes }, hash)
}

fn transaction(remote: &RemoteDispute) -> Extrinsic {
    Extrinsic::RemoteDispute(Box::new(remote.clone()))
}

fn refusal(chain: &Chain, transaction: Extrinsic) -> DisputeError {
    match chain.refused(transaction) {
        ExtrinsicError::Dispute(error) => error,
        other => panic!("refused for another reason: {other}"),
    }
}

fn available(chain: &Chain, candidate: CandidateHash, validators: &[u32]) -> Extrinsic {
    let payload = remote_availability_payload(candidate, 0);
    let vote = |validator: &u32| (ValidatorIndex(*validator), sign(chain.pair_in(0, *validator), &payload));
    Extrinsic::RemoteAvailability(RemoteAvailability {
        session: 0,
        candidate,
        votes: validators.iter().map(vote).collect(),
    })
}

#[test]
fn the_vote_opens_when_the_data_is_available_here() {
    let (mut chain, remote, candidate) = from_elsewhere();
    let executed = chain.push_extrinsics(vec![transaction(&remote)]);
    assert_eq!(executed.validity_events, [ValidityEvent::RemoteOpened { session: 0, candidate }]);
    let status = chain.state.dispute(0, candidate).unwrap();
    // Four times the six blocks of a core.
    assert_eq!(status.phase, DisputePhase::AwaitingAvailability { until: chain.state.number() + 24 });
    assert_eq!(status.included_in, None);
    assert_eq!(chain.state.first_disputed_block(), None);
    assert_eq!(chain.state.contested_candidate(0, candidate), Some(&remote.candidate));
    let code = remote.candidate.descriptor.validation_code_hash();
    assert_eq!(chain.state.validation_code_by_hash(code), remote.validation_code.as_ref());
    chain.push_extrinsics(vec![available(&chain, candidate, &[0, 1, 2, 3])]);
    assert!(matches!(chain.state.dispute(0, candidate).unwrap().phase, DisputePhase::AwaitingAvailability { .. }));
    let executed = chain.push_extrinsics(vec![available(&chain, candidate, &[3, 4])]);
    assert_eq!(executed.validity_events, [ValidityEvent::RemoteAvailable { session: 0, candidate }]);
    let phase = chain.state.dispute(0, candidate).unwrap().phase;
    assert_eq!(phase, DisputePhase::Voting { until: chain.state.number() + 20 });
    assert_eq!(refusal(&chain, available(&chain, candidate, &[5])), DisputeError::NotAwaiting);
    // All vote; the one who seconded it loses.
    chain.dispute(chain.votes(0, candidate, &[], &[2, 3, 4, 5]));
    let loser = chain.state.validators()[0];
    assert_eq!(chain.state.stake_of(&loser), 0);
    assert!(chain.state.is_blacklisted(0, candidate) && chain.state.reverts().is_empty());
}

#[test]
fn whoever_disputes_what_nobody_has_is_slashed_on_every_fork() {
    let (first, remote, candidate) = from_elsewhere();
    let (mut second, _, _) = from_elsewhere();
    second.skip(5);
    for mut chain in [first, second] {
        chain.push_extrinsics(vec![transaction(&remote)]);
        let until = chain.state.number() + 24;
        chain.skip_to(until);
        assert!(chain.state.penalties().is_empty());
        let executed = chain.push(chain.inherent());
        let verdict = Verdict::Unavailable;
        assert_eq!(executed.validity_events, [ValidityEvent::Closed { session: 0, candidate, verdict }]);
        let [penalty] = &executed.penalties[..] else { panic!("one has disputed it") };
        assert_eq!(penalty.reason, PenaltyReason::Unavailable(candidate));
        assert_eq!((penalty.session, penalty.validator_index, penalty.amount), (0, ValidatorIndex(1), 100_000));
        assert!(chain.state.issuance().is_conserved());
        assert_eq!(refusal(&chain, transaction(&remote)), DisputeError::Settled(verdict));
    }
}

#[test]
fn a_remote_dispute_without_enough_votes_costs_who_vouched_and_can_be_decided_later() {
    let (mut chain, remote, candidate) = from_elsewhere();
    chain.push_extrinsics(vec![transaction(&remote)]);
    chain.push_extrinsics(vec![available(&chain, candidate, &[0, 1, 2, 3, 4])]);
    let until = chain.state.number() + 20;
    chain.skip_to(until);
    let executed = chain.push(chain.inherent());
    let verdict = Verdict::Undecided;
    assert_eq!(executed.validity_events, [ValidityEvent::Closed { session: 0, candidate, verdict }]);
    let [penalty] = &executed.penalties[..] else { panic!("one has vouched for it") };
    assert_eq!((penalty.reason, penalty.amount), (PenaltyReason::Distraction(candidate), 2_000));
    assert_eq!(penalty.validator_index, ValidatorIndex(0));
    let mut decided = chain.votes(0, candidate, &[], &[1, 2, 3, 4, 5]);
    decided.statements.push(remote.votes.statements[0].clone());
    decided.statements.sort_by_key(DisputeStatementSet::place);
    chain.dispute(decided);
    assert!(chain.state.is_blacklisted(0, candidate));
    assert_eq!(chain.state.stake_of(&chain.state.validators()[0]), 0);
}

#[test]
fn what_a_remote_dispute_is_refused_for() {
    let (mut chain, good, candidate) = from_elsewhere();
    let refused = |change: fn(&mut RemoteDispute)| {
        let mut remote = good.clone();
        change(&mut remote);
        refusal(&chain, transaction(&remote))
    };
    assert_eq!(
        refused(|remote| remote.votes.candidate_hash = CandidateHash::default()),
        DisputeError::OtherReceipt { found: candidate, expected: CandidateHash::default() }
    );
    assert_eq!(refused(|remote| remote.votes.session = 4), DisputeError::UnknownSession(4));
    assert_eq!(refused(|remote| _ = remote.votes.statements.remove(0)), DisputeError::NoBacking);
    assert_eq!(refused(|remote| _ = remote.votes.statements.remove(1)), DisputeError::NoEscalation);
    assert_eq!(
        refused(|remote| remote.votes.statements.reverse()),
        DisputeError::Order { first: ValidatorIndex(1), second: ValidatorIndex(0) }
    );
    let code = good.candidate.descriptor.validation_code_hash();
    assert_eq!(refused(|remote| remote.validation_code = None), DisputeError::Code(code));
    assert_eq!(refused(|remote| remote.validation_code = Some(vec![1; 40].into())), DisputeError::Code(code));
    let mut forged = good.clone();
    forged.votes.statements[1].2 = forged.votes.statements[0].2;
    assert_eq!(chain.wrong_signature(transaction(&forged)), SignatureOf::DisputeVote(candidate, ValidatorIndex(1)));
    chain.push_extrinsics(vec![transaction(&good)]);
    assert_eq!(refusal(&chain, transaction(&good)), DisputeError::NotRemote);
    let stranger = available(&chain, candidate, &[0]);
    let Extrinsic::RemoteAvailability(mut said) = stranger.clone() else { panic!("it was made above") };
    said.votes[0].0 = ValidatorIndex(7);
    assert_eq!(
        refusal(&chain, Extrinsic::RemoteAvailability(said.clone())),
        DisputeError::UnknownValidator { session: 0, validator: ValidatorIndex(7) }
    );
    said.votes[0].0 = ValidatorIndex(2);
    assert_eq!(
        chain.wrong_signature(Extrinsic::RemoteAvailability(said)),
        SignatureOf::RemoteAvailability(candidate, ValidatorIndex(2))
    );
    for (first, second) in [(2, 1), (1, 1)] {
        assert_eq!(
            refusal(&chain, available(&chain, candidate, &[first, second])),
            DisputeError::Order { first: ValidatorIndex(first), second: ValidatorIndex(second) }
        );
    }
    chain.push_extrinsics(vec![stranger.clone()]);
    assert_eq!(refusal(&chain, stranger), DisputeError::NothingNew);
}

#[test]
fn what_is_included_here_is_no_remote_dispute() {
    let mut chain = Chain::new(7);
    chain.skip(1);
    let candidate = chain.include(ONE, CORE_0);
    let receipt = chain.state.contested_candidate(0, candidate).unwrap().clone();
    let votes = chain.votes(0, candidate, &[], &[1]);
    let remote = RemoteDispute { candidate: receipt, validation_code: None, votes };
    assert_eq!(refusal(&chain, transaction(&remote)), DisputeError::NotRemote);
}

/// A dispute on the candidate of another fork that stands on this core, seconded by validator 0.
fn about(chain: &Chain, core: usize, disputing: &[u32]) -> Extrinsic {
    let mut draft = chain.draft(ONE, CORE_0);
    draft.core = CoreIndex(core as u32);
    let candidate = draft.receipt();
    let hash = candidate.hash();
    let mut votes = chain.votes(0, hash, &[], disputing);
    let kind = ValidDisputeStatementKind::BackingSeconded(draft.relay_parent);
    let seconded = DisputeStatement::Valid(kind);
    let signature = sign(chain.pair_in(0, 0), &seconded.payload(hash, 0).unwrap());
    votes.statements.push((seconded, ValidatorIndex(0), signature));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    transaction(&RemoteDispute { candidate, validation_code: None, votes })
}

#[test]
fn the_number_of_remote_disputes_is_limited() {
    let max = runtime::limits::MAX_REMOTE_DISPUTES;
    let mut chain = Chain::new(9);
    // Two by each of the others.
    let all: Vec<_> = (0..max).map(|core| about(&chain, core, &[1 + core as u32 / 2])).collect();
    let next = about(&chain, max, &[8]);
    chain.push_extrinsics(all);
    assert_eq!(chain.state.disputes().len(), max);
    assert_eq!(refusal(&chain, next), DisputeError::TooManyRemote { max });
}

#[test]
fn a_validator_that_disputes_much_leaves_room_for_others() {
    let max = runtime::limits::MAX_REMOTE_DISPUTES_PER_VALIDATOR;
    let mut chain = Chain::new(7);
    let all: Vec<_> = (0..max).map(|core| about(&chain, core, &[1])).collect();
    let [by_it, by_both, by_both_again] = [1, 2, 3].map(|more| {
        let disputing: &[u32] = if more == 1 { &[1] } else { &[1, 2] };
        about(&chain, max + more, disputing)
    });
    let last = about(&chain, max + 4, &[2, 1]);
    chain.push_extrinsics(all);
    assert_eq!(refusal(&chain, by_it.clone()), DisputeError::TooManyRemoteOfDisputers { max });
    // Voting with somebody else does not take its share as well.
    chain.push_extrinsics(vec![by_both, by_both_again]);
    assert_eq!(refusal(&chain, last), DisputeError::TooManyRemoteOfDisputers { max });
    // The data of none turns up: there is room again.
    chain.skip_to(27);
    assert!(chain.state.disputes().is_empty());
    chain.push_extrinsics(vec![by_it]);
}

#[test]
fn a_remote_dispute_becomes_a_local_one_when_the_candidate_is_included() {
    let mut chain = Chain::new(7);
    chain.skip(1);
    let backers = chain.members(CORE_0);
    let backing = chain.backing(&[(ONE, CORE_0)]);
    let receipt = backing.backed_candidates[0].candidate().clone();
    let candidate = receipt.hash();
    let opponent = (0..7).find(|validator| !backers.contains(validator)).unwrap();
    let mut votes = chain.votes(0, candidate, &[], &[opponent]);
    let kind = ValidDisputeStatementKind::BackingSeconded(receipt.descriptor.relay_parent());
    let seconded = DisputeStatement::Valid(kind);
    let signature = sign(chain.pair_in(0, backers[0]), &seconded.payload(candidate, 0).unwrap());
    votes.statements.push((seconded, ValidatorIndex(backers[0]), signature));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    let remote = RemoteDispute { candidate: receipt, validation_code: None, votes };
    let (block, executed) = chain.try_extrinsics(backing, vec![transaction(&remote)]).unwrap();
    (chain.header, chain.state) = (block.header, executed.state);
    assert!(matches!(chain.state.dispute(0, candidate).unwrap().phase, DisputePhase::AwaitingAvailability { .. }));
    chain.push(chain.attesting(7, &[0]));
    let status = chain.state.dispute(0, candidate).unwrap();
    assert_eq!(status.phase, DisputePhase::Voting { until: chain.state.number() + 20 });
    assert_eq!(status.included_in, Some(chain.state.number()));
    assert_eq!(status.votes.validators_for.count_ones(), backers.len());
}

#[test]
fn inclusion_decides_a_remote_dispute_if_its_backers_are_what_was_missing() {
    let mut chain = Chain::new(7);
    chain.skip(1);
    let backers = chain.members(CORE_0);
    let backing = chain.backing(&[(ONE, CORE_0)]);
    let receipt = backing.backed_candidates[0].candidate().clone();
    let candidate = receipt.hash();
    let rest: Vec<u32> = (0..7).filter(|validator| !backers.contains(validator)).collect();
    let kind = ValidDisputeStatementKind::BackingSeconded(receipt.descriptor.relay_parent());
    let seconded = DisputeStatement::Valid(kind);
    let signature = sign(chain.pair_in(0, backers[0]), &seconded.payload(candidate, 0).unwrap());
    let mut votes = chain.votes(0, candidate, &rest[..2], &rest[3..]);
    votes.statements.push((seconded, ValidatorIndex(backers[0]), signature));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    let remote = RemoteDispute { candidate: receipt, validation_code: None, votes };
    // The dispute comes first, so that the block knows nothing of those who back the candidate in the next.
    chain.push_extrinsics(vec![transaction(&remote)]);
    let relay_parent = backing.parent_header.hash();
    let backed = backing.backed_candidates;
    chain.push(primitives::InherentData { backed_candidates: backed, ..chain.inherent() });
    assert_eq!(chain.state.ancestors().iter().filter(|ancestor| ancestor.hash == relay_parent).count(), 1);
    assert!(matches!(chain.state.dispute(0, candidate).unwrap().phase, DisputePhase::AwaitingAvailability { .. }));
    let executed = chain.push(chain.attesting(7, &[0]));
    let verdict = Verdict::Valid;
    assert_eq!(
        executed.validity_events,
        [ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: true }]
    );
    let [penalty] = &executed.penalties[..] else { panic!("one has disputed it") };
    assert_eq!((penalty.reason, penalty.validator_index.0), (PenaltyReason::AgainstValid(candidate), rest[3]));
}

#[test]
fn whoever_has_lost_the_stake_opens_no_dispute_of_another_fork() {
    let mut chain = Chain::new(7);
    ruin(&mut chain, 1);
    assert_eq!(refusal(&chain, about(&chain, 0, &[1])), DisputeError::NothingAtStake);
    // It counts for the other one, who could have made it alone.
    chain.push_extrinsics(vec![about(&chain, 0, &[1, 2])]);
    assert_eq!(chain.state.disputes()[0].votes.validators_against.count_ones(), 2);
}
