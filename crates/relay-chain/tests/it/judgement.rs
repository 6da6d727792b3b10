//! The chain alone, driven with votes from test keys: a backed invalid candidate is included, contradicted, escalated,
//! judged; slashes, revert, blacklist, and the para going on from the good head; the same slash on the other fork; each of
//! the n/3 outcomes; remote disputes, concluded and not; the escalator of an unavailable candidate.

use crate::forge::{ACCEPTANCE_PERIOD, CORE, Forge, Forged, PARA};
use primitives::{CandidateEvent, CandidateHash, DisputeStatementSet, Hash, HeadData};
use runtime::{
    BlockError, CandidateError, DisputePhase, Extrinsic, Penalty, PenaltyReason, RemoteDispute, State, ValidityEvent,
    Verdict,
};

const BAD_HEAD: u8 = 66;

/// A candidate that was backed and included; whoever looks at it sees that it is invalid.
struct Included {
    forge: Forge,
    /// The last block that knows nothing of it.
    common: Hash,
    /// The block that backed it: the last good one.
    backed_in: Hash,
    included_in: Hash,
    candidate: CandidateHash,
    /// The three that back cores like its, of whom `votes` did.
    group: Vec<u32>,
}

fn included(seed: u64, votes: usize) -> Included {
    let forge = Forge::new(seed);
    let common = forge.empty(forge.genesis(), 1).hash;
    let group = forge.group(common);
    assert_eq!(group.len(), 3);
    let bad = forge.candidate(common, BAD_HEAD);
    let backed_in = forge.backing(common, forge.backed(&bad, votes)).hash;
    let included = forge.including(backed_in);
    assert!(matches!(included.executed.events[..], [CandidateEvent::Included(..)]));
    Included { common, backed_in, included_in: included.hash, candidate: bad.hash(), group, forge }
}

/// Who paid how much for what, by index.
fn paid(state: &State, reason: PenaltyReason) -> Vec<(u32, u128)> {
    let penalties = state.penalties().iter().filter(|penalty: &&Penalty| penalty.reason == reason);
    let mut paid: Vec<_> = penalties.map(|penalty| (penalty.validator_index.0, penalty.amount)).collect();
    paid.sort();
    paid
}

#[test]
fn an_invalid_candidate_is_included_contradicted_escalated_and_judged_and_the_para_goes_on_from_the_good_head() {
    let Included { forge, common, backed_in, included_in, candidate, group } = included(61, 3);
    let bad = forge.candidate(common, BAD_HEAD);
    let good_head = forge.state(common).para_head(PARA).cloned().unwrap();
    assert_eq!(forge.state(included_in).para_head(PARA), Some(&HeadData(vec![BAD_HEAD])));
    let others = forge.others(&group);

    // One validator contradicts: all are to check, and the block cannot become final.
    let votes = forge.votes(candidate, &[], &others[..1]);
    let contradicted = forge.with(included_in, vec![Extrinsic::DisputeVotes(votes)]);
    assert_eq!(contradicted.executed.validity_events, [ValidityEvent::Escalated { session: 0, candidate }]);
    assert_eq!(forge.state(contradicted.hash).first_disputed_block_above(0), Some(3));
    assert_eq!(forge.best(), contradicted.hash, "a dispute alone gives nothing up");

    // The others check and find the same; one of the group confesses. Five of seven decide.
    let against = [&others[1..], &group[..1]].concat();
    let votes = forge.votes(candidate, &[], &against);
    let judged = forge.with(contradicted.hash, vec![Extrinsic::DisputeVotes(votes)]);
    let [concluded, ValidityEvent::Reverted(revert)] = &judged.executed.validity_events[..] else {
        panic!("a signal to abandon the fork was expected: {:?}", judged.executed.validity_events)
    };
    let verdict = Verdict::Invalid;
    assert_eq!(concluded, &ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: true });
    assert_eq!((revert.last_good_hash, revert.last_good_number), (backed_in, 2));
    let dead = forge.state(judged.hash);
    let mut everything: Vec<_> = group.iter().map(|member| (*member, 1_000_000)).collect();
    everything.sort();
    assert_eq!(paid(&dead, PenaltyReason::ForInvalid(candidate)), everything);
    assert!(dead.is_blacklisted(0, candidate) && dead.issuance().is_conserved());

    // The node leaves the fork for the last good ancestor, though that is lower, and keeps the verdict for its next block.
    assert_eq!(forge.best(), backed_in);
    assert_eq!(forge.world.chain(0).status().transactions, 1);

    // There the candidate still has its core. The verdict takes it, and the same slash lands.
    let told = forge.with(backed_in, dead.disputes_to_tell(&forge.state(backed_in)));
    assert!(told.executed.validity_events.contains(&ValidityEvent::Freed { core: CORE, candidate }));
    let alive = forge.state(told.hash);
    assert_eq!(paid(&alive, PenaltyReason::ForInvalid(candidate)), everything);
    assert!(alive.is_blacklisted(0, candidate) && alive.reverts().is_empty() && alive.issuance().is_conserved());
    assert_eq!(alive.para_head(PARA), Some(&good_head));
    let error = CandidateError::JudgedInvalid(candidate);
    assert_eq!(forge.refused(told.hash, forge.backed(&bad, 3)), BlockError::Candidate { para: PARA, error });

    // The para goes on from the good head, and the node with it.
    let good = forge.candidate(told.hash, 77);
    let backing = forge.backing(told.hash, forge.backed(&good, 3));
    let going_on = forge.including(backing.hash);
    assert!(matches!(going_on.executed.events[..], [CandidateEvent::Included(..)]));
    assert_eq!(forge.state(going_on.hash).para_head(PARA), Some(&HeadData(vec![77])));
    assert_eq!(forge.best(), going_on.hash);

    // What is built on the dead fork is no head, however high.
    forge.empty(judged.hash, 5);
    assert_eq!(forge.best(), going_on.hash);
}

#[test]
fn a_concluded_dispute_lands_in_one_transaction_on_a_fork_that_never_saw_the_candidate() {
    let Included { forge, common, included_in, candidate, group, .. } = included(62, 3);
    let against = [&forge.others(&group)[..], &group[..1]].concat();
    let votes = forge.votes(candidate, &[], &against);
    let judged = forge.with(included_in, vec![Extrinsic::DisputeVotes(votes)]);
    let (there, sibling) = (forge.state(judged.hash), forge.empty(common, 2).hash);
    let transactions = there.disputes_to_tell(&forge.state(sibling));
    assert!(matches!(transactions[..], [Extrinsic::DisputeVotes(_)]));
    let told = forge.with(sibling, transactions);
    let here = forge.state(told.hash);
    for validator in 0..7 {
        let key = here.validators()[validator];
        assert_eq!(here.stake_of(&key), there.stake_of(&key), "validator {validator} has the same left on both");
        assert_eq!(here.account(&key.0), there.account(&key.0), "and was given the same");
    }
    assert_eq!(paid(&here, PenaltyReason::ForInvalid(candidate)).len(), 3);
    assert!(here.is_blacklisted(0, candidate));
    assert_eq!(here.first_disputed_block(), None, "nothing of this fork hangs on it");
    // It is told once.
    assert!(here.dispute(0, candidate).is_some_and(|status| matches!(status.phase, DisputePhase::Concluded { .. })));
}

/// What a dispute comes to when its time is over, with these votes beside those of the backers.
fn timed_out(seed: u64, backers: usize, valid: usize, invalid: usize) -> (Included, Forged) {
    let case = included(seed, backers);
    let others = case.forge.others(&case.group);
    let votes = case.forge.votes(case.candidate, &others[..valid], &others[valid..valid + invalid]);
    let disputed = case.forge.with(case.included_in, vec![Extrinsic::DisputeVotes(votes)]);
    let until = case.forge.empty(disputed.hash, ACCEPTANCE_PERIOD);
    assert!(until.executed.validity_events.is_empty());
    let over = case.forge.empty(until.hash, 1);
    (case, over)
}

#[test]
fn with_more_than_a_third_for_it_and_no_more_than_a_third_against_it_the_block_stands() {
    let (case, over) = timed_out(63, 3, 1, 2);
    let (session, candidate, verdict) = (0, case.candidate, Verdict::Valid);
    assert_eq!(
        over.executed.validity_events,
        [ValidityEvent::Concluded { session, candidate, verdict, by_supermajority: false }]
    );
    let state = case.forge.state(over.hash);
    assert!(state.penalties().is_empty());
    assert_eq!((state.first_disputed_block(), case.forge.best()), (None, over.hash));
}

#[test]
fn with_more_than_a_third_against_it_and_no_more_than_a_third_for_it_the_block_is_given_up() {
    let (case, over) = timed_out(64, 2, 0, 4);
    let (session, candidate, verdict) = (0, case.candidate, Verdict::Invalid);
    let concluded = ValidityEvent::Concluded { session, candidate, verdict, by_supermajority: false };
    assert_eq!(over.executed.validity_events[0], concluded);
    assert!(case.forge.state(over.hash).penalties().is_empty(), "nobody is slashed without a supermajority");
    assert_eq!(case.forge.best(), case.backed_in);
}

#[test]
fn with_more_than_a_third_on_both_sides_the_block_is_given_up_and_nobody_slashed() {
    let (case, over) = timed_out(65, 3, 0, 3);
    let (session, candidate, verdict) = (0, case.candidate, Verdict::Invalid);
    let concluded = ValidityEvent::Concluded { session, candidate, verdict, by_supermajority: false };
    assert_eq!(over.executed.validity_events[0], concluded);
    assert!(case.forge.state(over.hash).penalties().is_empty());
    let Included { forge, backed_in, .. } = case;
    assert_eq!(forge.best(), backed_in);
    // The last good ancestor does not include it once more.
    let told = forge.with(backed_in, forge.state(over.hash).disputes_to_tell(&forge.state(backed_in)));
    assert!(told.executed.validity_events.contains(&ValidityEvent::Freed { core: CORE, candidate }));
    assert_eq!(forge.best(), told.hash);
}

#[test]
fn with_no_more_than_two_thirds_heard_the_block_waits_and_who_vouched_pays_for_the_distraction() {
    let (case, over) = timed_out(66, 3, 0, 1);
    let (session, candidate) = (0, case.candidate);
    assert_eq!(over.executed.validity_events, [ValidityEvent::Unresolved { session, candidate }]);
    let state = case.forge.state(over.hash);
    assert_eq!(paid(&state, PenaltyReason::Distraction(candidate)).len(), 3);
    assert_eq!((state.first_disputed_block_above(0), case.forge.best()), (Some(3), over.hash));
}

#[test]
fn an_unconcluded_dispute_goes_on_on_another_fork_once_the_data_is_available_there() {
    let Included { forge, common, included_in, candidate, group, .. } = included(67, 3);
    let others = forge.others(&group);
    let votes = forge.votes(candidate, &[], &others[..1]);
    let contradicted = forge.with(included_in, vec![Extrinsic::DisputeVotes(votes)]);
    let sibling = forge.empty(common, 1).hash;
    let transactions = forge.state(contradicted.hash).disputes_to_tell(&forge.state(sibling));
    assert!(matches!(transactions[..], [Extrinsic::RemoteDispute(_)]));
    let opened = forge.with(sibling, transactions);
    assert_eq!(opened.executed.validity_events, [ValidityEvent::RemoteOpened { session: 0, candidate }]);
    let available = forge.with(opened.hash, vec![forge.available(candidate, &[0, 1, 2, 3, 4])]);
    assert_eq!(available.executed.validity_events, [ValidityEvent::RemoteAvailable { session: 0, candidate }]);
    let against = [&others[1..], &group[..1]].concat();
    let votes = forge.votes(candidate, &[], &against);
    let judged = forge.with(available.hash, vec![Extrinsic::DisputeVotes(votes)]);
    let verdict = Verdict::Invalid;
    assert_eq!(
        judged.executed.validity_events,
        [ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: true }],
        "there is nothing to revert"
    );
    let state = forge.state(judged.hash);
    assert_eq!(paid(&state, PenaltyReason::ForInvalid(candidate)).len(), 3);
    assert!(state.is_blacklisted(0, candidate));
    assert_eq!(forge.best(), judged.hash);
}

#[test]
fn who_escalates_a_candidate_that_nobody_can_get_is_slashed_on_every_fork() {
    let forge = Forge::new(68);
    let common = forge.empty(forge.genesis(), 1).hash;
    // Validator 0 seconds a candidate and shows it to nobody; validator 1 disputes it.
    let invented = forge.candidate(common, 99);
    let candidate = invented.hash();
    let mut votes = forge.votes(candidate, &[], &[1]);
    votes.statements.push(forge.seconded(&invented, 0));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    let remote = RemoteDispute { candidate: invented, validation_code: None, votes };
    for blocks_before in [1, 3] {
        let fork = forge.empty(common, blocks_before).hash;
        let opened = forge.with(fork, vec![Extrinsic::RemoteDispute(Box::new(remote.clone()))]);
        let Some(DisputePhase::AwaitingAvailability { until }) =
            forge.state(opened.hash).dispute(0, candidate).map(|status| status.phase)
        else {
            panic!("it waits for its data")
        };
        let waited = forge.empty(opened.hash, until - forge.state(opened.hash).number());
        assert!(forge.state(waited.hash).penalties().is_empty());
        let over = forge.empty(waited.hash, 1);
        let verdict = Verdict::Unavailable;
        assert_eq!(over.executed.validity_events, [ValidityEvent::Closed { session: 0, candidate, verdict }]);
        let state = forge.state(over.hash);
        assert_eq!(paid(&state, PenaltyReason::Unavailable(candidate)), [(1, 100_000)]);
        assert_eq!(state.penalties().len(), 1, "nobody else pays");
    }
}

#[test]
fn who_includes_what_was_condemned_is_given_up_even_if_its_block_brings_another_verdict() {
    let Included { forge, common, backed_in, included_in, candidate, group } = included(69, 3);
    let others = forge.others(&group);
    let against = [&others[..], &group[..1]].concat();
    forge.with(included_in, vec![Extrinsic::DisputeVotes(forge.votes(candidate, &[], &against))]);
    assert_eq!(forge.best(), backed_in);
    // Beside it another candidate is disputed, which this fork never saw.
    let invented = forge.candidate(common, 99);
    let other = invented.hash();
    let mut votes = forge.votes(other, &[], &others[..1]);
    votes.statements.push(forge.seconded(&invented, group[0]));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    let remote = RemoteDispute { candidate: invented, validation_code: None, votes };
    let opened = forge.with(backed_in, vec![Extrinsic::RemoteDispute(Box::new(remote))]);
    let available = forge.with(opened.hash, vec![forge.available(other, &[0, 1, 2, 3, 4])]);
    assert_eq!(forge.best(), available.hash);
    let verdict = forge.votes(other, &[], &[&others[1..], &group[1..]].concat());
    let both = forge.including_with(available.hash, vec![Extrinsic::DisputeVotes(verdict)]);
    let state = forge.state(both.hash);
    assert!(state.included_here().any(|key| key == (0, candidate)) && state.is_blacklisted(0, other));
    assert_eq!(forge.best(), available.hash, "it includes what was condemned before");
}

#[test]
fn what_a_fork_that_was_given_up_knew_of_disputes_is_told_again_after_a_start() {
    let Included { mut forge, common, backed_in, included_in, candidate, group } = included(70, 3);
    let others = forge.others(&group);
    let invented = forge.candidate(common, 99);
    let mut votes = forge.votes(invented.hash(), &[], &others[..1]);
    votes.statements.push(forge.seconded(&invented, group[0]));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    let remote = RemoteDispute { candidate: invented, validation_code: None, votes };
    let opened = forge.with(included_in, vec![Extrinsic::RemoteDispute(Box::new(remote))]);
    let against = [&others[..], &group[..1]].concat();
    forge.with(opened.hash, vec![Extrinsic::DisputeVotes(forge.votes(candidate, &[], &against))]);
    assert_eq!((forge.best(), forge.world.chain(0).status().transactions), (backed_in, 2));
    forge.world.crash(0, deterministic::Crash::Forget);
    forge.world.start(0).unwrap();
    assert_eq!((forge.best(), forge.world.chain(0).status().transactions), (backed_in, 2));
}

#[test]
fn authors_build_on_a_head_without_a_dispute_if_there_is_one() {
    let Included { forge, common, included_in, candidate, group, .. } = included(75, 3);
    let votes = forge.votes(candidate, &[], &forge.others(&group)[..1]);
    let disputed = forge.with(included_in, vec![Extrinsic::DisputeVotes(votes)]).hash;
    let builds_on = || forge.world.chain(0).building_on();
    assert_eq!((forge.best(), builds_on()), (disputed, disputed), "there is no other");
    let sibling = forge.empty(common, 1).hash;
    assert_eq!((forge.best(), builds_on()), (disputed, sibling), "though it is lower");
    let higher = forge.empty(sibling, 3).hash;
    assert_eq!((forge.best(), builds_on()), (higher, higher));
}

#[test]
fn a_report_in_a_block_that_is_not_final_waits_on_because_another_fork_may_need_it() {
    let forge = Forge::new(76);
    let common = forge.empty(forge.genesis(), 1).hash;
    let (first, second) = (forge.double_vote(common, 1), forge.double_vote(common, 2));
    let report = |report: &primitives::MisbehaviorReport| Extrinsic::MisbehaviorReport(Box::new(report.clone()));
    let submit = |report: primitives::MisbehaviorReport| {
        let client = forge.world.client(0);
        forge.world.simulation.run_until(client.submit_report(report)).unwrap().unwrap();
        forge.world.chain(0).status().reports
    };
    assert_eq!(submit(first.clone()), 1);
    let carrying = forge.with(common, vec![report(&first), report(&second)]);
    assert_eq!(forge.best(), carrying.hash);
    assert_eq!(forge.world.chain(0).status().reports, 1, "it waits on");
    assert_eq!(submit(second), 2, "and one that was not known before is kept");
}
