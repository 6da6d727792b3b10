//! What verdicts mean beyond the dispute itself: approval, finality, other blocks, other forks.

use crate::{
    disputes::{others, paid, phase, with_candidate},
    support::*,
    transactions,
};
use primitives::CandidateEvent;
use runtime::{DisputePhase, Governance, PenaltyReason, ReportKind, ValidityEvent, Verdict};

#[test]
fn a_verdict_for_a_candidate_approves_it() {
    let (mut chain, candidate, backers) = with_candidate();
    let rest = others(&backers);
    chain.dispute(chain.votes(0, candidate, &rest[1..3], &rest[..1]));
    let status = chain.state.approval_status(0, candidate).unwrap();
    assert_eq!((status.needed, status.checks), (5, 3), "nobody has drawn it");
    assert!(status.judged_valid && status.is_approved());
    chain.skip(11);
    assert_eq!(chain.state.settled_dispute(0, candidate), Some(Verdict::Valid));
    assert!(chain.state.approval_status(0, candidate).unwrap().is_approved(), "also when the dispute is closed");
}

#[test]
fn a_verdict_at_the_time_out_stays_without_slashes_whoever_comes_late() {
    let (mut chain, candidate, backers) = with_candidate();
    let rest = others(&backers);
    chain.dispute(chain.votes(0, candidate, &rest[..1], &rest[1..3]));
    chain.skip(21);
    assert!(matches!(
        phase(&chain, candidate),
        DisputePhase::Concluded { verdict: Verdict::Valid, by_supermajority: false, .. }
    ));
    let executed = chain.dispute(chain.votes(0, candidate, &rest[3..], &[]));
    assert!(executed.validity_events.is_empty() && chain.state.penalties().is_empty());
}

#[test]
fn who_backs_it_on_this_fork_loses_though_the_other_fork_knows_nothing_of_it() {
    let mut here = Chain::new(7);
    here.skip(1);
    let backers = here.members(CORE_0);
    let mut there = here.clone();
    here.push(here.backing(&[(ONE, CORE_0)]));
    let candidate = here.state.pending_candidate(CORE_0).unwrap().hash;
    // There only two of the three have backed it.
    let draft = there.draft(ONE, CORE_0);
    let mut inherent = there.inherent();
    inherent.backed_candidates = vec![there.back_with(draft.receipt(), CORE_0, 2)];
    there.push(inherent);
    there.push(there.attesting(7, &[0]));
    let mut opponents = others(&backers);
    opponents.push(backers[0]);
    there.dispute(there.votes(0, candidate, &[], &opponents));
    assert_eq!(paid(&there, PenaltyReason::ForInvalid(candidate)).len(), 2);
    here.dispute(there.state.dispute_votes(0, candidate).unwrap());
    assert_eq!(paid(&here, PenaltyReason::ForInvalid(candidate)).len(), 3);
}

#[test]
fn what_more_than_a_third_calls_invalid_is_not_included_on_the_fork_on_which_it_is_pending() {
    let (mut there, candidate, backers) = with_candidate();
    let mut here = Chain::new(7);
    here.skip(1);
    here.push(here.backing(&[(ONE, CORE_0)]));
    let rest = others(&backers);
    there.dispute(there.votes(0, candidate, &[], &rest[..1]));
    // One voice is not enough to take a core.
    let mut early = here.clone();
    early.push_extrinsics(there.state.disputes_to_tell(&early.state));
    assert!(early.state.pending_candidate(CORE_0).is_some());
    there.dispute(there.votes(0, candidate, &[], &rest[1..3]));
    there.skip(21);
    assert_eq!(there.state.reverts().len(), 1, "three against three: it is given up");
    let executed = here.push_extrinsics(there.state.disputes_to_tell(&here.state));
    assert!(executed.validity_events.contains(&ValidityEvent::Freed { core: CORE_0, candidate }));
    assert!(here.state.is_blacklisted(0, candidate) && here.state.penalties().is_empty());
}

#[test]
fn a_candidate_that_is_included_twice_takes_the_chain_back_before_the_first_time() {
    let mut chain = Chain::new(7);
    chain.skip(1);
    let backers = chain.members(CORE_0);
    // Its head is that of its parent, so nothing tells its second inclusion from its first.
    let mut draft = chain.draft(ONE, CORE_0);
    draft.commitments.head_data = chain.state.para_head(ONE).unwrap().clone();
    let backed = chain.back(&draft);
    let candidate = backed.hash();
    let mut backed_in = Vec::new();
    for _ in 0..2 {
        chain.push(primitives::InherentData { backed_candidates: vec![backed.clone()], ..chain.inherent() });
        backed_in.push(chain.header.hash());
        let events = chain.push(chain.attesting(7, &[0])).events;
        assert!(matches!(events[..], [CandidateEvent::Included(..)]));
    }
    // Once the acceptance of the first is over, the second is all that there is.
    let mut later = chain.clone();
    let found = |chain: &Chain| chain.state.approval_status(0, candidate).map(|status| status.included_in);
    let mut places = Vec::new();
    while later.state.number() < 26 {
        let (block, executed) = later.try_block(later.inherent(), Vec::new()).unwrap();
        (later.header, later.state) = (block.header, executed.state);
        places.push(found(&later));
    }
    assert_eq!(places[places.len() - 4..], [Some(3), Some(5), Some(5), None]);
    let mut opponents = others(&backers);
    opponents.push(backers[0]);
    chain.dispute(chain.votes(0, candidate, &[], &opponents));
    let revert = &chain.state.reverts()[0];
    assert_eq!((chain.state.number(), revert.last_good_number), (6, 2));
    assert_eq!(revert.last_good_hash, backed_in[0], "the block that backed it is good");
}

#[test]
fn a_signal_is_remembered_though_its_session_is_over() {
    let (mut chain, candidate, backers) = with_candidate();
    let mut opponents = others(&backers);
    opponents.push(backers[0]);
    let executed = chain.dispute(chain.votes(0, candidate, &[], &opponents));
    assert!(matches!(executed.validity_events[..], [.., ValidityEvent::Reverted(_)]));
    chain.skip_to(80);
    assert_eq!(chain.state.session_index(), 2);
    assert!(!chain.state.is_blacklisted(0, candidate), "nothing of session 0 can be backed any more");
    assert_eq!(chain.state.first_disputed_block_above(2), Some(3), "a fork that goes on is not finalized");
    assert_eq!(chain.state.first_disputed_block_above(3), None, "what is final already holds up nothing");
}

/// Whichever supermajority there is first: three of seven have said both.
#[test]
fn of_two_supermajorities_the_one_against_it_wins() {
    for at_once in [true, false] {
        let (mut chain, candidate, backers) = with_candidate();
        let rest = others(&backers);
        // The group and two more for it; the group and the other two against it.
        let (vouching, disputing) = (&rest[..2], [&backers[..], &rest[2..]].concat());
        let events = if at_once {
            chain.dispute(chain.votes(0, candidate, vouching, &disputing)).validity_events
        } else {
            let executed = chain.dispute(chain.votes(0, candidate, vouching, &rest[2..]));
            let verdict = Verdict::Valid;
            let valid = ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: true };
            assert_eq!(executed.validity_events.last(), Some(&valid));
            assert_eq!(paid(&chain, PenaltyReason::AgainstValid(candidate)).len(), 2);
            chain.dispute(chain.votes(0, candidate, &[], &backers)).validity_events
        };
        let verdict = Verdict::Invalid;
        let invalid = ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: true };
        assert!(events.contains(&invalid) && matches!(events[..], [.., ValidityEvent::Reverted(_)]), "{events:?}");
        assert!(chain.state.is_blacklisted(0, candidate));
        let mut losers = [&backers[..], vouching].concat();
        losers.sort();
        let paid = paid(&chain, PenaltyReason::ForInvalid(candidate));
        assert_eq!(paid.iter().map(|(validator, _)| *validator).collect::<Vec<_>>(), losers);
        assert!(paid.iter().all(|(_, amount)| *amount == 1_000_000), "all that each has");
        assert!(chain.state.issuance().is_conserved());
        // What came before stays as it is: no verdict turns a second time.
        let executed = chain.dispute(chain.votes(0, candidate, &rest[2..], &[]));
        assert!(executed.validity_events.is_empty());
    }
}

/// Who was right all along ends as on a fork that has heard all votes at once.
#[test]
fn what_a_verdict_cost_comes_back_when_it_turns() {
    let ends = [true, false].map(|at_once| {
        let (mut chain, candidate, backers) = with_candidate();
        let fisherman = transactions::fisherman(0);
        chain.govern(Governance::Endow(fisherman.public(), transactions::BOND));
        let report = transactions::fisherman_report(&chain, &fisherman, (0, candidate), ReportKind::Invalid);
        chain.push_extrinsics(vec![report]);
        let rest = others(&backers);
        // The group and two more for it; the group and the other two against it.
        let disputing = [&rest[2..], &backers[..]].concat();
        if at_once {
            chain.dispute(chain.votes(0, candidate, &rest[..2], &disputing));
        } else {
            // One against it says so when the verdict is there.
            chain.dispute(chain.votes(0, candidate, &rest[..2], &rest[2..3]));
            chain.dispute(chain.votes(0, candidate, &[], &[rest[3], backers[0]]));
            let paid = |chain: &Chain| paid(chain, PenaltyReason::AgainstValid(candidate));
            assert_eq!(paid(&chain).len(), 3);
            let account = chain.state.account(&fisherman.public());
            assert_eq!((account.free, account.reserved), (0, 0));
            let events = chain.dispute(chain.votes(0, candidate, &[], &backers[1..])).validity_events;
            let returned = events.iter().filter_map(|event| match event {
                ValidityEvent::PenaltyReturned(penalty) => Some((penalty.validator_index.0, penalty.amount)),
                _ => None,
            });
            assert_eq!(returned.collect::<Vec<_>>(), [(rest[2], 100_000), (rest[3], 100_000)]);
            assert_eq!(paid(&chain), [(backers[0], 100_000)], "who stood on both sides was not right");
        }
        let stakes: Vec<_> = chain.state.validators().iter().map(|it| chain.state.stake_of(it)).collect();
        let disputers = rest[2..].iter().map(|it| chain.state.account(&chain.state.validators()[*it as usize].0).free);
        let earned: Vec<_> = disputers.collect();
        let account = chain.state.account(&fisherman.public());
        assert_eq!(account.reserved, 0);
        // Half of what five lose for the two that were right, a tenth for the report.
        let lost = if at_once { 5_000_000 } else { 4_900_000 - 200_000 };
        assert_eq!(earned, [lost / 4; 2]);
        assert_eq!(account.free, transactions::BOND + lost / 10);
        stakes
    });
    assert_eq!(ends[0], ends[1]);
}
