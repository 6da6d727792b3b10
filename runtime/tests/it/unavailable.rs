//! Included candidates that checkers cannot get hold of.

use crate::{
    disputes::{others, paid, phase, with_candidate},
    equivocations,
    support::*,
};
use primitives::{CandidateHash, Pair, ValidatorIndex};
use runtime::{
    ConfigurationChange, DisputeError, DisputePhase, Extrinsic, ExtrinsicError, Fate, FishermanReport, Governance,
    PenaltyReason, ReportKind, SignatureOf, UnavailableReport, ValidityEvent, Verdict, fisherman_payload,
    unavailable_payload,
};

fn report(chain: &Chain, candidate: CandidateHash, validators: &[u32]) -> UnavailableReport {
    let payload = unavailable_payload(candidate, 0);
    let vote = |validator: &u32| (ValidatorIndex(*validator), sign(chain.pair_in(0, *validator), &payload));
    UnavailableReport { session: 0, candidate, votes: validators.iter().map(vote).collect() }
}

fn unavailable(chain: &Chain, candidate: CandidateHash, validators: &[u32]) -> Extrinsic {
    Extrinsic::Unavailable(report(chain, candidate, validators))
}

fn refusal(chain: &Chain, report: UnavailableReport) -> DisputeError {
    match chain.refused(Extrinsic::Unavailable(report)) {
        ExtrinsicError::Dispute(error) => error,
        other => panic!("refused for another reason: {other}"),
    }
}

#[test]
fn what_nobody_can_get_hold_of_is_reverted_without_slashes() {
    let (mut chain, candidate, _) = with_candidate();
    let parent = chain.header.parent_hash;
    let nothing = chain.push_extrinsics(vec![unavailable(&chain, candidate, &[0, 1, 2, 3])]);
    assert!(nothing.validity_events.is_empty(), "four of seven are too few");
    assert!(!chain.state.approval_status(0, candidate).unwrap().disputed);
    // Who says it again is not counted again.
    let executed = chain.push_extrinsics(vec![unavailable(&chain, candidate, &[3, 6])]);
    let verdict = Verdict::Unavailable;
    let [closed, ValidityEvent::Reverted(revert)] = &executed.validity_events[..] else {
        panic!("a signal to abandon the fork was expected: {:?}", executed.validity_events)
    };
    assert_eq!(closed, &ValidityEvent::Closed { session: 0, candidate, verdict });
    assert_eq!((revert.candidate, revert.last_good_number, revert.last_good_hash), (candidate, 2, parent));
    assert!(chain.state.penalties().is_empty() && chain.state.is_blacklisted(0, candidate));
    assert_eq!(chain.state.first_disputed_block(), Some(3));
    assert!(!chain.state.approval_status(0, candidate).unwrap().is_approved());
    assert_eq!(refusal(&chain, report(&chain, candidate, &[5])), DisputeError::Settled(verdict));
}

#[test]
fn the_state_root_covers_who_could_not_get_hold_of_it() {
    let (chain, candidate, _) = with_candidate();
    let root_with = |validator: u32| {
        let said = unavailable(&chain, candidate, &[validator]);
        chain.try_extrinsics(chain.inherent(), vec![said]).unwrap().1.state.root()
    };
    assert_ne!(root_with(0), root_with(1));
}

#[test]
fn a_dispute_that_nobody_can_decide_ends_when_the_data_is_gone() {
    let (mut chain, candidate, backers) = with_candidate();
    chain.dispute(chain.votes(0, candidate, &[], &others(&backers)[..1]));
    let executed = chain.push_extrinsics(vec![unavailable(&chain, candidate, &[0, 1, 2, 3, 4])]);
    assert!(matches!(executed.validity_events[..], [ValidityEvent::Closed { .. }, ValidityEvent::Reverted(_)]));
    assert!(chain.state.disputes().is_empty() && executed.penalties.is_empty());
    // Should the data turn up, the guilty pay after all.
    let mut everybody = others(&backers);
    everybody.push(backers[0]);
    let executed = chain.dispute(chain.votes(0, candidate, &[], &everybody));
    assert_eq!(executed.penalties.len(), backers.len());
}

#[test]
fn the_bond_of_who_reported_it_comes_back_with_a_bounty() {
    let (mut chain, candidate, _) = with_candidate();
    let fisherman = Pair::from_name("fisherman");
    let reporter = fisherman.public();
    chain.govern(Governance::Endow(reporter, 10_000));
    let (kind, bond) = (ReportKind::Unavailable, 2_000);
    let signature = sign(&fisherman, &fisherman_payload(chain.state.chain_id(), 0, candidate, kind, bond));
    let bonded = FishermanReport { reporter, session: 0, candidate, kind, bond, signature };
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(bonded)]);
    assert_eq!(chain.state.account(&reporter).reserved, 2_000);
    let mut with_pot = chain.clone();
    let executed = chain.push_extrinsics(vec![unavailable(&chain, candidate, &[0, 1, 2, 3, 4])]);
    let fate = Fate::Returned;
    assert_eq!(executed.validity_events[0], ValidityEvent::ReportSettled { reporter, candidate, fate });
    let account = |chain: &Chain| (chain.state.account(&reporter).free, chain.state.account(&reporter).reserved);
    assert_eq!(account(&chain), (10_000, 0), "there is nothing in the pot");
    // Somebody else's slash fills the pot: a thousandth of a stake is the bounty.
    let slashed = equivocations::transaction(&equivocations::report(&with_pot, 6, [30, 30], [1, 2]));
    with_pot.push_extrinsics(vec![slashed, unavailable(&with_pot, candidate, &[0, 1, 2, 3, 4])]);
    assert_eq!((account(&with_pot), with_pot.state.issuance().pot), ((11_000, 0), 99_000));
}

/// Included shortly before the end of a session after which acceptance lasts 40 blocks, so that it can be disputed twice.
#[test]
fn whoever_paid_for_the_distraction_pays_no_more_when_the_dispute_is_opened_anew() {
    let mut chain = Chain::new(7);
    chain.enact(Governance::ConfigureField(ConfigurationChange::AcceptancePeriod(40)));
    chain.skip_to(35);
    let backers = chain.members(CORE_0);
    let candidate = chain.include(ONE, CORE_0);
    let rest = others(&backers);
    let mut fees = Vec::new();
    for opponents in [&rest[..1], &rest[1..2]] {
        chain.dispute(chain.votes(0, candidate, &[], opponents));
        let DisputePhase::Voting { until } = phase(&chain, candidate) else { panic!("not decided yet") };
        chain.skip_to(until + 1);
        assert_eq!(phase(&chain, candidate), DisputePhase::Unresolved);
        fees.push(chain.state.issuance().slashed);
        if opponents == &rest[..1] {
            assert_eq!(paid(&chain, PenaltyReason::Distraction(candidate)).len(), backers.len());
            chain.push_extrinsics(vec![unavailable(&chain, candidate, &[0, 1, 2, 3, 4])]);
            assert_eq!(chain.state.settled_dispute(0, candidate), Some(Verdict::Unavailable));
        }
    }
    let fee = 2_000 * backers.len() as u128;
    assert_eq!(fees, [fee, fee]);
}

#[test]
fn what_a_report_of_unavailability_is_refused_for() {
    let (mut chain, candidate, backers) = with_candidate();
    let good = report(&chain, candidate, &[1]);
    let nothing = UnavailableReport { candidate: CandidateHash::default(), ..good.clone() };
    assert_eq!(refusal(&chain, nothing), DisputeError::UnknownCandidate);
    assert_eq!(refusal(&chain, UnavailableReport { session: 1, ..good.clone() }), DisputeError::UnknownSession(1));
    let many = UnavailableReport { votes: vec![good.votes[0]; 8], ..good.clone() };
    assert_eq!(refusal(&chain, many), DisputeError::TooMany { found: 8 });
    for (first, second) in [(2, 1), (1, 1)] {
        let order = DisputeError::Order { first: ValidatorIndex(first), second: ValidatorIndex(second) };
        assert_eq!(refusal(&chain, report(&chain, candidate, &[first, second])), order);
    }
    let mut stranger = good.clone();
    stranger.votes[0].0 = ValidatorIndex(7);
    let unknown = DisputeError::UnknownValidator { session: 0, validator: ValidatorIndex(7) };
    assert_eq!(refusal(&chain, stranger), unknown);
    let mut forged = good.clone();
    forged.votes[0].0 = ValidatorIndex(2);
    let source = SignatureOf::Unavailable(candidate, ValidatorIndex(2));
    assert_eq!(chain.wrong_signature(Extrinsic::Unavailable(forged)), source);
    chain.push_extrinsics(vec![Extrinsic::Unavailable(good.clone())]);
    assert_eq!(refusal(&chain, good), DisputeError::NothingNew);
    let rest = others(&backers);
    chain.dispute(chain.votes(0, candidate, &rest[1..], &rest[..1]));
    assert_eq!(refusal(&chain, report(&chain, candidate, &[3])), DisputeError::Settled(Verdict::Valid));
}

#[test]
fn a_fork_on_which_it_is_pending_is_told_and_includes_it_no_more() {
    let (mut there, candidate, _) = with_candidate();
    let mut here = Chain::new(7);
    here.skip(1);
    here.push(here.backing(&[(ONE, CORE_0)]));
    assert_eq!(here.state.pending_candidate(CORE_0).unwrap().hash, candidate);
    there.push_extrinsics(vec![unavailable(&there, candidate, &[2, 3])]);
    there.push_extrinsics(vec![unavailable(&there, candidate, &[0, 1, 4])]);
    // Fewer say nothing about a candidate that is not included here.
    assert_eq!(refusal(&here, report(&here, candidate, &[0, 1, 2, 3])), DisputeError::UnknownCandidate);
    let executed = here.push_extrinsics(there.state.disputes_to_tell(&here.state));
    let verdict = Verdict::Unavailable;
    assert_eq!(
        executed.validity_events,
        [ValidityEvent::Closed { session: 0, candidate, verdict }, ValidityEvent::Freed { core: CORE_0, candidate }]
    );
    assert!(here.state.pending_candidate(CORE_0).is_none() && here.state.reverts().is_empty());
    assert!(here.state.is_blacklisted(0, candidate));
}
