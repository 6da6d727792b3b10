//! Local disputes: escalation, conclusion, what it costs, the revert signal, other forks.

use crate::{
    equivocations::{ruin, ruin_by},
    support::*,
};
use primitives::{
    CandidateEvent, CandidateHash, DisputeStatement, DisputeStatementSet, Hash, ValidDisputeStatementKind,
    ValidatorIndex,
};
use runtime::{
    BlockError, CandidateError, DisputeError, DisputePhase, Extrinsic, ExtrinsicError, PenaltyReason, SignatureOf,
    State, ValidityEvent, Verdict,
};

/// Seven validators (two may be faulty, five decide), groups of three and two, and an included candidate.
pub(crate) fn with_candidate() -> (Chain, CandidateHash, Vec<u32>) {
    let mut chain = Chain::new(7);
    chain.skip(1);
    let backers = chain.members(CORE_0);
    let candidate = chain.include(ONE, CORE_0);
    (chain, candidate, backers)
}

pub(crate) fn others(backers: &[u32]) -> Vec<u32> {
    (0..7).filter(|validator| !backers.contains(validator)).collect()
}

pub(crate) fn refusal(chain: &Chain, set: DisputeStatementSet) -> DisputeError {
    let by_inherent = match chain.try_block(chain.disputing(vec![set.clone()]), Vec::new()).unwrap_err() {
        BlockError::Dispute { error, .. } => error,
        other => panic!("refused for another reason: {other}"),
    };
    assert_eq!(chain.refused(Extrinsic::DisputeVotes(set)), ExtrinsicError::Dispute(by_inherent.clone()));
    by_inherent
}

pub(crate) fn paid(chain: &Chain, reason: PenaltyReason) -> Vec<(u32, u128)> {
    let penalties = chain.state.penalties().iter().filter(|penalty| penalty.reason == reason);
    let mut paid: Vec<_> = penalties.map(|penalty| (penalty.validator_index.0, penalty.amount)).collect();
    paid.sort();
    paid
}

pub(crate) fn phase(chain: &Chain, candidate: CandidateHash) -> DisputePhase {
    chain.state.dispute(0, candidate).unwrap().phase
}

#[test]
fn one_vote_against_what_was_backed_escalates() {
    let (mut chain, candidate, backers) = with_candidate();
    let opponent = others(&backers)[0];
    let executed = chain.dispute(chain.votes(0, candidate, &[], &[opponent]));
    assert_eq!(executed.validity_events, [ValidityEvent::Escalated { session: 0, candidate }]);
    let status = chain.state.dispute(0, candidate).unwrap();
    assert_eq!(status.phase, DisputePhase::Voting { until: chain.state.number() + 20 });
    assert_eq!(status.included_in, Some(3));
    assert!(status.forbids_finality());
    assert_eq!(chain.state.first_disputed_block(), Some(3));
    // The backers have voted by backing.
    let voted: Vec<_> = status.votes.validators_for.iter_ones().map(|index| index as u32).collect();
    let mut expected = backers.clone();
    expected.sort();
    assert_eq!(voted, expected);
    assert_eq!(status.votes.validators_against.count_ones(), 1);
    assert!(chain.state.penalties().is_empty(), "nobody has lost yet");
}

#[test]
fn five_of_seven_against_it_judge_it_invalid() {
    let (mut chain, candidate, backers) = with_candidate();
    let opponents = others(&backers);
    let last_good = chain.state.ancestors().last().unwrap().number;
    chain.dispute(chain.votes(0, candidate, &[], &opponents[..4]));
    assert!(matches!(phase(&chain, candidate), DisputePhase::Voting { .. }), "four are too few");
    // One of the backers admits it: he stands on both sides, and loses with his first word.
    let executed = chain.dispute(chain.votes(0, candidate, &[], &backers[..1]));
    let concluded =
        ValidityEvent::Concluded { session: 0, candidate, verdict: Verdict::Invalid, by_supermajority: true };
    assert_eq!(executed.validity_events[0], concluded);
    let [_, ValidityEvent::Reverted(revert)] = &executed.validity_events[..] else {
        panic!("a signal to abandon the fork was expected: {:?}", executed.validity_events)
    };
    assert_eq!((revert.candidate, revert.last_good_number, last_good), (candidate, 2, 2));
    assert_eq!(revert.signalled_in, chain.state.number());
    assert_eq!(chain.state.reverts(), std::slice::from_ref(revert));
    assert!(chain.state.is_blacklisted(0, candidate));
    assert_eq!(chain.state.first_disputed_block(), Some(3));
    let mut all_backers: Vec<_> = backers.iter().map(|backer| (*backer, 1_000_000)).collect();
    all_backers.sort();
    assert_eq!(paid(&chain, PenaltyReason::ForInvalid(candidate)), all_backers, "they lose everything");
    // Half of what they lost goes to the four that were right, a tenth to the first of them.
    let lost = 1_000_000 * backers.len() as u128;
    let reward = lost / 2 / 4;
    let account = |validator: u32| chain.state.account(&chain.state.validators()[validator as usize].0).free;
    assert_eq!(account(opponents[0]), reward + lost / 10);
    assert!(opponents[1..].iter().all(|opponent| account(*opponent) == reward));
    assert!(backers.iter().all(|backer| account(*backer) == 0));
    assert_eq!(chain.state.issuance().pot, lost - lost / 2 - lost / 10);
}

#[test]
fn the_signal_names_the_parent_of_the_block_that_included_it() {
    let (mut chain, candidate, backers) = with_candidate();
    let parent = chain.header.parent_hash;
    chain.skip(3);
    let mut opponents = others(&backers);
    opponents.push(backers[0]);
    chain.dispute(chain.votes(0, candidate, &[], &opponents));
    assert_eq!(chain.state.reverts()[0].last_good_hash, parent);
}

#[test]
fn five_of_seven_for_it_judge_it_valid() {
    let (mut chain, candidate, backers) = with_candidate();
    let rest = others(&backers);
    assert_eq!(backers.len(), 3, "the fixture's first group has three members");
    chain.dispute(chain.votes(0, candidate, &rest[..1], &rest[3..]));
    let executed = chain.dispute(chain.votes(0, candidate, &rest[1..2], &[]));
    let concluded = ValidityEvent::Concluded { session: 0, candidate, verdict: Verdict::Valid, by_supermajority: true };
    assert_eq!(executed.validity_events, [concluded]);
    assert_eq!(paid(&chain, PenaltyReason::AgainstValid(candidate)), [(rest[3], 100_000)]);
    assert!(!chain.state.is_blacklisted(0, candidate) && chain.state.reverts().is_empty());
    assert!(!chain.state.dispute(0, candidate).unwrap().forbids_finality());
    assert_eq!(chain.state.first_disputed_block(), None);
    let winners = 5;
    let account = |validator: u32| chain.state.account(&chain.state.validators()[validator as usize].0).free;
    assert_eq!(account(backers[0]), 50_000 / winners);
    assert_eq!(account(rest[3]), 0);
}

#[test]
fn late_votes_count_until_the_dispute_is_closed_and_silence_is_fined() {
    let (mut chain, candidate, backers) = with_candidate();
    let rest = others(&backers);
    // Two against it, five for it.
    let last = rest[3];
    chain.dispute(chain.votes(0, candidate, &rest[..2], &[last]));
    assert!(matches!(phase(&chain, candidate), DisputePhase::Concluded { by_supermajority: true, .. }));
    let concluded_in = chain.state.number();
    // A late one on the wrong side pays as well; nobody pays twice.
    chain.dispute(chain.votes(0, candidate, &[], &[rest[0]]));
    assert_eq!(paid(&chain, PenaltyReason::AgainstValid(candidate)).len(), 2);
    chain.skip_to(concluded_in + 10);
    assert!(chain.state.dispute(0, candidate).is_some());
    let closed = chain.push(chain.inherent());
    assert_eq!(closed.validity_events, [ValidityEvent::Closed { session: 0, candidate, verdict: Verdict::Valid }]);
    assert_eq!(chain.state.settled_dispute(0, candidate), Some(Verdict::Valid));
    assert_eq!(paid(&chain, PenaltyReason::Silence(candidate)), [(rest[2], 1_000)]);
    let set = chain.votes(0, candidate, &[], &[rest[2]]);
    assert_eq!(refusal(&chain, set), DisputeError::Settled(Verdict::Valid));
    assert!(chain.state.issuance().is_conserved());
}

/// A dispute with these votes beside the backers' until it times out; the events of that block.
fn timed_out(valid: &[usize], invalid: &[usize]) -> (Chain, CandidateHash, Vec<u32>, Vec<ValidityEvent>) {
    let (mut chain, candidate, backers) = with_candidate();
    let rest = others(&backers);
    let pick = |which: &[usize]| which.iter().map(|index| rest[*index]).collect::<Vec<_>>();
    chain.dispute(chain.votes(0, candidate, &pick(valid), &pick(invalid)));
    let DisputePhase::Voting { until } = phase(&chain, candidate) else { panic!("not decided yet") };
    chain.skip_to(until);
    assert!(matches!(phase(&chain, candidate), DisputePhase::Voting { .. }));
    let events = chain.push(chain.inherent()).validity_events;
    assert!(chain.state.issuance().is_conserved());
    (chain, candidate, backers, events)
}

#[test]
fn at_the_time_out_a_third_for_it_and_no_more_than_a_third_against_it_let_it_stand() {
    // Four for it, two against it: six of seven have voted.
    let (chain, candidate, _, events) = timed_out(&[0], &[1, 2]);
    let verdict = Verdict::Valid;
    assert_eq!(events, [ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: false }]);
    assert!(chain.state.penalties().is_empty());
    assert_eq!(chain.state.first_disputed_block(), None);
}

#[test]
fn at_the_time_out_more_than_a_third_on_both_sides_count_as_invalid() {
    let (mut chain, candidate, _, events) = timed_out(&[], &[0, 1, 2]);
    let verdict = Verdict::Invalid;
    assert_eq!(events[0], ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: false });
    assert!(matches!(events[1], ValidityEvent::Reverted(_)));
    assert!(chain.state.penalties().is_empty() && chain.state.is_blacklisted(0, candidate));
    // Nobody is fined when it is closed either.
    chain.skip(11);
    assert_eq!(chain.state.settled_dispute(0, candidate), Some(Verdict::Invalid));
    assert!(chain.state.penalties().is_empty());
}

#[test]
fn at_the_time_out_more_than_a_third_against_it_alone_are_invalid() {
    // A group of two backs: two for it, four against it.
    let mut chain = Chain::new(7);
    chain.skip(1);
    let backers = chain.members(CORE_1);
    assert_eq!(backers.len(), 2);
    let candidate = chain.include(TWO, CORE_1);
    chain.dispute(chain.votes(0, candidate, &[], &others(&backers)[..4]));
    chain.skip_to(chain.state.number() + 20);
    let verdict = Verdict::Invalid;
    let events = chain.push(chain.inherent()).validity_events;
    assert_eq!(events[0], ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: false });
    assert!(chain.state.penalties().is_empty());
}

#[test]
fn with_too_few_votes_it_stays_unresolved_until_there_are_more() {
    let (mut chain, candidate, backers, events) = timed_out(&[], &[0]);
    assert_eq!(events, [ValidityEvent::Unresolved { session: 0, candidate }]);
    assert_eq!(phase(&chain, candidate), DisputePhase::Unresolved);
    assert_eq!(chain.state.first_disputed_block(), Some(3), "it stays unfinalizable");
    // Whoever vouched for it pays the fee for the distraction.
    let mut expected: Vec<_> = backers.iter().map(|backer| (*backer, 2_000)).collect();
    expected.sort();
    assert_eq!(paid(&chain, PenaltyReason::Distraction(candidate)), expected);
    let rest = others(&backers);
    let executed = chain.dispute(chain.votes(0, candidate, &[rest[1]], &[]));
    let verdict = Verdict::Valid;
    assert_eq!(
        executed.validity_events,
        [ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: false }]
    );
    assert_eq!(chain.state.first_disputed_block(), None);
}

#[test]
fn what_a_set_of_votes_is_refused_for() {
    let (chain, candidate, backers) = with_candidate();
    let opponent = others(&backers)[0];
    let good = chain.votes(0, candidate, &[], &[opponent]);
    let mut set = good.clone();
    set.session = 1;
    assert_eq!(refusal(&chain, set), DisputeError::UnknownSession(1));
    let mut set = good.clone();
    set.statements[0].1 = ValidatorIndex(7);
    assert_eq!(refusal(&chain, set), DisputeError::UnknownValidator { session: 0, validator: ValidatorIndex(7) });
    let mut set = good.clone();
    set.statements.push(set.statements[0].clone());
    let order = |first, second| DisputeError::Order { first: ValidatorIndex(first), second: ValidatorIndex(second) };
    assert_eq!(refusal(&chain, set), order(opponent, opponent));
    // The same votes have one order, so that they are one transaction; also those of one validator on both sides.
    let mut set = chain.votes(0, candidate, &[opponent], &others(&backers)[..2]);
    set.statements.swap(0, 1);
    assert_eq!(refusal(&chain, set), order(opponent, opponent));
    let mut set = chain.votes(0, candidate, &[], &others(&backers)[..2]);
    set.statements.reverse();
    assert_eq!(refusal(&chain, set), order(others(&backers)[1], opponent));
    let mut set = good.clone();
    set.candidate_hash = CandidateHash::default();
    assert_eq!(refusal(&chain, set), DisputeError::UnknownCandidate);
    let only_for = chain.votes(0, candidate, &[opponent], &[]);
    assert_eq!(refusal(&chain, only_for), DisputeError::NoContradiction(ValidatorIndex(opponent)));
    let mut set = good.clone();
    set.statements = vec![good.statements[0].clone(); runtime::limits::MAX_VOTES_PER_SET + 1];
    assert_eq!(refusal(&chain, set), DisputeError::TooMany { found: runtime::limits::MAX_VOTES_PER_SET + 1 });
    let mut set = good.clone();
    set.statements[0].1 = ValidatorIndex(backers[0]);
    assert_eq!(
        chain.try_block(chain.disputing(vec![set]), Vec::new()).unwrap_err(),
        BlockError::Signature(SignatureOf::DisputeVote(candidate, ValidatorIndex(backers[0])))
    );
    let mut chain = chain;
    chain.dispute(good.clone());
    assert_eq!(refusal(&chain, good), DisputeError::NothingNew);
}

#[test]
fn the_votes_of_another_session_do_not_count() {
    let (mut chain, candidate, backers) = with_candidate();
    chain.skip_to(15);
    let late = chain.votes(0, candidate, &[], &[others(&backers)[0]]);
    let mut signed_for_one = late.clone();
    chain.skip_to(22);
    assert!(chain.try_block(chain.disputing(vec![late.clone()]), Vec::new()).is_ok(), "acceptance lasts 20 blocks");
    chain.skip_to(39);
    assert_eq!(refusal(&chain, late), DisputeError::UnknownCandidate, "its acceptance is over");
    signed_for_one.session = 1;
    assert_eq!(refusal(&chain, signed_for_one), DisputeError::UnknownCandidate);
}

#[test]
fn the_session_before_still_judges_its_candidates() {
    let mut chain = Chain::new(7);
    chain.skip_to(36);
    let backers = chain.members(CORE_0);
    let candidate = chain.include(ONE, CORE_0);
    chain.skip(3);
    assert_eq!(chain.state.session_index(), 1);
    let mut opponents = others(&backers);
    opponents.truncate(4);
    opponents.push(backers[0]);
    chain.dispute(chain.votes(0, candidate, &[], &opponents));
    assert!(chain.state.penalties().iter().all(|penalty| penalty.session == 0));
    assert_eq!(paid(&chain, PenaltyReason::ForInvalid(candidate)).len(), backers.len());
}

/// What a validator of the first session says who backs a candidate.
fn backing(chain: &Chain, candidate: CandidateHash, relay_parent: Hash, validator: u32) -> DisputeStatementSet {
    let statement = DisputeStatement::Valid(ValidDisputeStatementKind::BackingValid(relay_parent));
    let payload = statement.payload(candidate, 0).unwrap();
    let signature = sign(chain.pair_in(0, validator), &payload);
    let statements = vec![(statement, ValidatorIndex(validator), signature)];
    DisputeStatementSet { candidate_hash: candidate, session: 0, statements }
}

#[test]
fn late_backing_is_added_by_the_group_alone() {
    let mut chain = Chain::new(7);
    chain.skip(1);
    let backers = chain.members(CORE_0);
    // Two of three back it in the block.
    let draft = chain.draft(ONE, CORE_0);
    let relay_parent = draft.relay_parent;
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back_with(draft.receipt(), CORE_0, 2)];
    let candidate = inherent.backed_candidates[0].hash();
    chain.push(inherent);
    chain.push(chain.attesting(7, &[0]));
    assert_eq!(chain.state.approval_status(0, candidate).unwrap().checks, 2);
    let [late, stranger] =
        [backers[2], others(&backers)[0]].map(|validator| backing(&chain, candidate, relay_parent, validator));
    let index = ValidatorIndex(others(&backers)[0]);
    assert_eq!(refusal(&chain, stranger), DisputeError::NoContradiction(index));
    chain.dispute(late.clone());
    assert_eq!(chain.state.approval_status(0, candidate).unwrap().checks, 3);
    assert_eq!(refusal(&chain, late), DisputeError::NothingNew);
    assert!(chain.state.disputes().is_empty());
}

#[test]
fn groups_of_this_session_back_nothing_of_the_session_before() {
    let mut chain = Chain::new(7);
    chain.skip_to(36);
    let draft = chain.draft(ONE, CORE_0);
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back_with(draft.receipt(), CORE_0, 2)];
    let candidate = inherent.backed_candidates[0].hash();
    chain.push(inherent);
    chain.push(chain.attesting(7, &[0]));
    chain.skip(3);
    assert_eq!(chain.state.session_index(), 1);
    for validator in 0..7 {
        let late = backing(&chain, candidate, draft.relay_parent, validator);
        assert_eq!(refusal(&chain, late), DisputeError::NoContradiction(ValidatorIndex(validator)));
    }
}

/// A fork on which the candidate is backed but not yet included, and one on which it has been judged invalid.
fn judged_elsewhere() -> (Chain, Chain, CandidateHash, Vec<u32>) {
    let mut here = Chain::new(7);
    here.skip(1);
    let backers = here.members(CORE_0);
    here.push(here.backing(&[(ONE, CORE_0)]));
    let candidate = here.state.pending_candidate(CORE_0).unwrap().hash;
    let mut there = here.clone();
    there.push(there.attesting(7, &[0]));
    let mut opponents = others(&backers);
    opponents.push(backers[0]);
    there.dispute(there.votes(0, candidate, &[], &opponents));
    (here, there, candidate, backers)
}

#[test]
fn the_same_slash_lands_on_the_other_fork_in_one_transaction() {
    let (mut here, there, candidate, _) = judged_elsewhere();
    let set = there.state.dispute_votes(0, candidate).unwrap();
    let executed = here.dispute(set);
    assert_eq!(paid(&here, PenaltyReason::ForInvalid(candidate)), paid(&there, PenaltyReason::ForInvalid(candidate)));
    assert!(here.state.is_blacklisted(0, candidate) && here.state.reverts().is_empty());
    // It was pending here: its core is free.
    assert!(executed.validity_events.contains(&ValidityEvent::Freed { core: CORE_0, candidate }));
    assert!(here.state.pending_candidate(CORE_0).is_none());
}

#[test]
fn the_para_goes_on_from_the_good_head_on_the_other_fork() {
    let (mut here, there, candidate, _) = judged_elsewhere();
    let good = here.state.para_head(ONE).cloned();
    let bad = here.back(&here.draft(ONE, CORE_0));
    let again = {
        // The judged candidate again, on the same relay parent.
        let mut fork = Chain::new(7);
        fork.skip(1);
        fork.backing(&[(ONE, CORE_0)]).backed_candidates[0].clone()
    };
    assert_eq!(again.hash(), candidate);
    // Its core is free in the block that carries the votes; the candidate itself is not taken any more.
    let mut inherent = here.disputing(vec![there.state.dispute_votes(0, candidate).unwrap()]);
    inherent.backed_candidates = vec![again];
    assert_eq!(
        here.try_block(inherent.clone(), Vec::new()).unwrap_err(),
        BlockError::Candidate { para: ONE, error: CandidateError::JudgedInvalid(candidate) }
    );
    // Bitfields that saw the core occupied are not thrown away for it.
    inherent.backed_candidates = vec![bad];
    inherent.bitfields = (0..7).map(|validator| here.bitfield(validator, &[0])).collect();
    let executed = here.push(inherent);
    assert!(matches!(executed.events[..], [CandidateEvent::Backed(..)]), "{:?}", executed.events);
    assert_eq!(here.state.para_head(ONE).cloned(), good);
    let next = here.push(here.attesting(7, &[0]));
    assert!(matches!(next.events[..], [CandidateEvent::Included(..)]));
    assert_ne!(here.state.para_head(ONE).cloned(), good);
}

#[test]
fn an_author_leaves_out_votes_that_would_spoil_the_block() {
    let (chain, candidate, backers) = with_candidate();
    let opponents = others(&backers);
    let good = chain.votes(0, candidate, &[], &opponents[..1]);
    let mut forged = chain.votes(0, candidate, &[], &opponents[1..2]);
    forged.statements[0].2 = good.statements[0].2;
    let sets = vec![forged, good.clone(), good.clone()];
    let filtered =
        runtime::filter_inherent(&chain.state, &chain.header, chain.disputing(sets), &runtime::DirectVerifier);
    assert_eq!(filtered.disputes, [good]);
    assert!(chain.try_block(filtered, Vec::new()).is_ok());
}

#[test]
fn a_parathreads_claim_is_used_up_by_an_invalid_candidate() {
    let mut chain = Chain::new(7);
    let collator = primitives::Pair::from_name("collator");
    let claim = runtime::ParathreadClaim { para: THREAD, collator: primitives::CollatorId(collator.public()) };
    chain.govern(runtime::Governance::Claim(claim.clone()));
    let backers = chain.members(THREAD_CORE);
    let receipt = chain.draft(THREAD, THREAD_CORE).receipt_v1(&collator);
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back_with(receipt, THREAD_CORE, usize::MAX)];
    chain.push(inherent);
    let candidate = chain.state.pending_candidate(THREAD_CORE).unwrap().hash;
    let judged = chain.votes(0, candidate, &backers[..1], &others(&backers));
    chain.dispute(judged);
    assert!(chain.state.governed(runtime::Governance::Claim(claim)).is_ok());
}

#[test]
fn votes_of_one_side_alone_prove_nothing_about_a_candidate_that_is_unknown_here() {
    let (_, there, candidate, backers) = judged_elsewhere();
    let mut here = Chain::new(7);
    here.skip(1);
    let against = here.votes(0, candidate, &[], &others(&backers));
    let everybody = here.votes(0, candidate, &[], &[0, 1, 2, 3, 4, 5, 6]);
    for set in [against, everybody] {
        assert_eq!(refusal(&here, set), DisputeError::UnknownCandidate);
    }
    // Nor does a contradiction that nobody has won.
    let mut undecided = there.state.dispute_votes(0, candidate).unwrap();
    undecided.statements.retain(|(statement, ..)| statement.indicates_validity());
    undecided.statements.extend(here.votes(0, candidate, &[], &others(&backers)[..1]).statements);
    undecided.statements.sort_by_key(DisputeStatementSet::place);
    assert_eq!(refusal(&here, undecided), DisputeError::UnknownCandidate);
}

#[test]
fn a_group_member_that_says_valid_in_a_dispute_that_is_none_backs_nothing() {
    let (chain, candidate, backers) = with_candidate();
    let explicit = chain.votes(0, candidate, &backers[..1], &[]);
    assert_eq!(refusal(&chain, explicit), DisputeError::NoContradiction(ValidatorIndex(backers[0])));
}

#[test]
fn a_core_that_a_verdict_frees_spoils_no_bitfield_of_that_block() {
    let mut here = Chain::new(7);
    here.skip(1);
    let backers = here.members(CORE_0);
    here.push(here.backing(&[(ONE, CORE_0), (TWO, CORE_1)]));
    let candidate = here.state.pending_candidate(CORE_0).unwrap().hash;
    // Whoever makes the bitfields sees both cores occupied.
    let mut inherent = here.attesting(7, &[0, 1]);
    inherent.disputes = vec![here.votes(0, candidate, &backers[..1], &[0, 1, 2, 3, 4, 5, 6])];
    let executed = here.push(inherent);
    assert!(executed.validity_events.contains(&ValidityEvent::Freed { core: CORE_0, candidate }));
    let [CandidateEvent::Included(receipt, ..)] = &executed.events[..] else {
        panic!("the other candidate is available: {:?}", executed.events)
    };
    assert_eq!(receipt.descriptor.para_id(), TWO);
}

#[test]
fn nobody_has_more_disputes_open_than_the_stake_pays_for() {
    let (mut chain, first, backers) = with_candidate();
    let second = chain.include(ONE, CORE_0);
    let opponents = others(&backers);
    // A tenth of the stake is left: one dispute.
    ruin_by(&mut chain, opponents[0], 9);
    chain.dispute(chain.votes(0, first, &[], &opponents[..1]));
    let more = chain.votes(0, second, &[], &opponents[..1]);
    assert_eq!(refusal(&chain, more.clone()), DisputeError::NothingAtStake);
    let restored = State::from_snapshot(&chain.state.to_snapshot(), chain.state.root()).unwrap();
    chain = Chain { state: restored, ..chain };
    assert_eq!(refusal(&chain, more.clone()), DisputeError::NothingAtStake, "a disk keeps for whom it counts");
    // It counts for another one, and all have their votes.
    chain.dispute(chain.votes(0, second, &[], &opponents[1..2]));
    chain.dispute(more);
    assert_eq!(chain.state.dispute(0, second).unwrap().votes.validators_against.count_ones(), 2);
}

#[test]
fn whoever_has_lost_the_stake_opens_no_dispute_but_has_a_vote() {
    let (mut chain, candidate, backers) = with_candidate();
    let opponents = others(&backers);
    ruin(&mut chain, opponents[0]);
    let alone = chain.votes(0, candidate, &[], &opponents[..1]);
    assert_eq!(refusal(&chain, alone.clone()), DisputeError::NothingAtStake);
    chain.dispute(chain.votes(0, candidate, &[], &opponents[1..2]));
    chain.dispute(alone);
    assert_eq!(chain.state.dispute(0, candidate).unwrap().votes.validators_against.count_ones(), 2);
}
