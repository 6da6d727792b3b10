//! Reports with a bond: more checks, and what becomes of the bond.

use crate::support::*;
use primitives::{CandidateHash, Pair};
use runtime::{
    BalanceError, Extrinsic, ExtrinsicError, Fate, FishermanError, FishermanReport, Governance, ReportKind,
    SignatureOf, ValidityEvent, fisherman_payload,
};

fn fisherman() -> Pair {
    Pair::from_name("fisherman")
}

fn report_by(chain: &Chain, pair: &Pair, candidate: CandidateHash, kind: ReportKind, bond: u128) -> FishermanReport {
    let payload = fisherman_payload(chain.state.chain_id(), 0, candidate, kind, bond);
    FishermanReport { reporter: pair.public(), session: 0, candidate, kind, bond, signature: sign(pair, &payload) }
}

fn report(chain: &Chain, candidate: CandidateHash, bond: u128) -> FishermanReport {
    report_by(chain, &fisherman(), candidate, ReportKind::Invalid, bond)
}

fn refusal(chain: &Chain, report: FishermanReport) -> FishermanError {
    match chain.refused(Extrinsic::FishermanReport(report)) {
        ExtrinsicError::Fisherman(error) => error,
        other => panic!("refused for another reason: {other}"),
    }
}

/// An included candidate, and a fisherman with 10,000; the smallest bond is 1,000.
fn with_fisherman(validators: usize) -> (Chain, CandidateHash, Vec<u32>) {
    let mut chain = Chain::new(validators);
    chain.enact(Governance::Endow(fisherman().public(), 10_000));
    let backers = chain.members(CORE_0);
    let candidate = chain.include(ONE, CORE_0);
    (chain, candidate, backers)
}

#[test]
fn each_thousandth_of_a_stake_buys_one_check_more() {
    let (mut chain, candidate, _) = with_fisherman(30);
    let before = chain.state.approval_status(0, candidate).unwrap();
    assert_eq!(before.needed, 12);
    let executed = chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(&chain, candidate, 3_500))]);
    assert_eq!(executed.validity_events, [ValidityEvent::MoreChecks { candidate, needed: 15 }]);
    assert_eq!(chain.state.approval_status(0, candidate).unwrap().needed, 15);
    let account = chain.state.account(&fisherman().public());
    assert_eq!((account.free, account.reserved), (6_500, 3_500));
    // Never more than there are validators.
    let rich = Pair::from_name("rich");
    chain.enact(Governance::Endow(rich.public(), 1_000_000));
    let large = report_by(&chain, &rich, candidate, ReportKind::Unavailable, 1_000_000);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(large)]);
    assert_eq!(chain.state.approval_status(0, candidate).unwrap().needed, 30);
}

#[test]
fn the_bond_is_lost_if_nobody_disputes_the_candidate() {
    let (mut chain, candidate, _) = with_fisherman(7);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(&chain, candidate, 2_000))]);
    chain.skip_to(23);
    assert_eq!(chain.state.account(&fisherman().public()).reserved, 2_000);
    let executed = chain.push(chain.inherent());
    let (reporter, fate) = (fisherman().public(), Fate::Lost);
    assert_eq!(executed.validity_events, [ValidityEvent::ReportSettled { reporter, candidate, fate }]);
    let account = chain.state.account(&fisherman().public());
    assert_eq!((account.free, account.reserved, chain.state.issuance().pot), (8_000, 0, 2_000));
    assert!(chain.state.issuance().is_conserved());
}

#[test]
fn the_bond_comes_back_if_the_candidate_is_still_in_dispute_when_its_acceptance_ends() {
    let (mut chain, candidate, backers) = with_fisherman(7);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(&chain, candidate, 2_000))]);
    chain.skip_to(22);
    let opponent = (0..7).find(|validator| !backers.contains(validator)).unwrap();
    chain.dispute(chain.votes(0, candidate, &[], &[opponent]));
    assert_eq!(chain.state.account(&fisherman().public()).reserved, 2_000);
    let executed = chain.push(chain.inherent());
    let (reporter, fate) = (fisherman().public(), Fate::Returned);
    assert_eq!(executed.validity_events, [ValidityEvent::ReportSettled { reporter, candidate, fate }]);
    let account = chain.state.account(&fisherman().public());
    assert_eq!((account.free, account.reserved, chain.state.issuance().pot), (10_000, 0, 0));
}

/// Anybody can send once more what somebody signed once.
#[test]
fn a_report_holds_its_bond_once_though_the_acceptance_is_over() {
    let (mut chain, candidate, _) = with_fisherman(7);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(&chain, candidate, 2_000))]);
    chain.skip_to(24);
    assert_eq!(chain.state.account(&fisherman().public()).reserved, 0);
    assert_eq!(refusal(&chain, report(&chain, candidate, 2_000)), FishermanError::Known(candidate));
    // Neither in the session after it, nor when the session is forgotten.
    chain.skip_to(45);
    assert_eq!(refusal(&chain, report(&chain, candidate, 2_000)), FishermanError::Known(candidate));
    chain.skip_to(82);
    assert_eq!(refusal(&chain, report(&chain, candidate, 2_000)), FishermanError::UnknownSession(0));
}

#[test]
fn a_true_report_earns_the_bounty() {
    let (mut chain, candidate, backers) = with_fisherman(7);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(&chain, candidate, 2_000))]);
    let opponents: Vec<_> = (0..7).filter(|validator| !backers.contains(validator)).chain([backers[0]]).collect();
    let executed = chain.dispute(chain.votes(0, candidate, &[], &opponents));
    let (reporter, fate) = (fisherman().public(), Fate::Returned);
    assert!(executed.validity_events.contains(&ValidityEvent::ReportSettled { reporter, candidate, fate }));
    let lost = 1_000_000 * backers.len() as u128;
    let account = chain.state.account(&fisherman().public());
    assert_eq!((account.free, account.reserved), (10_000 + lost / 10, 0));
    assert_eq!(refusal(&chain, report(&chain, candidate, 2_000)), FishermanError::Judged(candidate));
}

#[test]
fn a_false_report_costs_its_bond_when_the_candidate_is_judged_valid() {
    let (mut chain, candidate, backers) = with_fisherman(7);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(&chain, candidate, 2_000))]);
    let rest: Vec<_> = (0..7).filter(|validator| !backers.contains(validator)).collect();
    chain.dispute(chain.votes(0, candidate, &rest[1..], &rest[..1]));
    let account = chain.state.account(&fisherman().public());
    assert_eq!((account.free, account.reserved), (8_000, 0));
}

#[test]
fn what_a_report_is_refused_for() {
    let (mut chain, candidate, _) = with_fisherman(7);
    let elsewhen = FishermanReport { session: 1, ..report(&chain, candidate, 2_000) };
    assert_eq!(refusal(&chain, elsewhen), FishermanError::UnknownSession(1));
    assert_eq!(refusal(&chain, report(&chain, candidate, 999)), FishermanError::BondSize { found: 999, needed: 1_000 });
    assert_eq!(
        refusal(&chain, report(&chain, candidate, 10_001)),
        FishermanError::Bond(BalanceError::TooLittle { found: 10_000, needed: 10_001 })
    );
    let mut forged = report(&chain, candidate, 2_000);
    forged.bond = 3_000;
    assert_eq!(chain.wrong_signature(Extrinsic::FishermanReport(forged)), SignatureOf::Fisherman(1));
    // On another chain on which the same account has as much.
    let mut elsewhere = Chain::with(7, |genesis| genesis.randomness = [9; 32]);
    elsewhere.enact(Governance::Endow(fisherman().public(), 10_000));
    let replayed = Extrinsic::FishermanReport(report(&chain, candidate, 2_000));
    assert_eq!(elsewhere.wrong_signature(replayed), SignatureOf::Fisherman(1));
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(&chain, candidate, 2_000))]);
    assert_eq!(refusal(&chain, report(&chain, candidate, 3_000)), FishermanError::Known(candidate));
}

#[test]
fn the_number_of_reports_on_a_candidate_is_limited() {
    let (mut chain, candidate, _) = with_fisherman(7);
    let max = runtime::limits::MAX_REPORTS_PER_CANDIDATE;
    let pairs: Vec<_> = (0..=max).map(|index| Pair::from_name(&format!("fisherman {index}"))).collect();
    for pair in &pairs {
        chain.govern(Governance::Endow(pair.public(), 1_000));
    }
    let reports = pairs.iter().map(|pair| report_by(&chain, pair, candidate, ReportKind::Invalid, 1_000));
    let mut reports: Vec<_> = reports.map(Extrinsic::FishermanReport).collect();
    let last = reports.pop().unwrap();
    chain.push_extrinsics(reports);
    assert_eq!(chain.refused(last), ExtrinsicError::Fisherman(FishermanError::TooMany(candidate)));
}

/// Two forks: one that has included a candidate, one that never saw it.
fn forks() -> (Chain, Chain, CandidateHash, Vec<u32>) {
    let mut there = Chain::new(7);
    there.enact(Governance::Endow(fisherman().public(), 10_000));
    let mut here = there.clone();
    here.skip(2);
    let backers = there.members(CORE_0);
    let candidate = there.include(ONE, CORE_0);
    (there, here, candidate, backers)
}

fn against(backers: &[u32]) -> Vec<u32> {
    (0..7).filter(|validator| !backers.contains(validator)).chain([backers[0]]).collect()
}

#[test]
fn the_bounty_is_paid_on_every_fork_on_which_the_slash_lands() {
    let (mut there, here, candidate, backers) = forks();
    there.push_extrinsics(vec![Extrinsic::FishermanReport(report(&there, candidate, 2_000))]);
    let votes = there.votes(0, candidate, &[], &against(&backers));
    there.push_extrinsics(vec![Extrinsic::DisputeVotes(votes)]);
    let paid = there.state.account(&fisherman().public());
    assert_eq!((paid.free, paid.reserved), (10_000 + 100_000 * backers.len() as u128, 0));
    let told = there.state.disputes_to_tell(&here.state);
    assert!(matches!(told[..], [Extrinsic::FishermanReport(_), Extrinsic::DisputeVotes(_)]));
    let same_as_there = |here: &Chain| {
        for account in there.state.validators().iter().map(|validator| validator.0).chain([fisherman().public()]) {
            assert_eq!(here.state.account(&account), there.state.account(&account));
        }
    };
    // As transactions, in their order.
    let mut in_order = here.clone();
    in_order.push_extrinsics(told.clone());
    same_as_there(&in_order);
    // A block before the votes.
    let mut before = here.clone();
    before.push_extrinsics(told[..1].to_vec());
    assert_eq!(before.state.account(&fisherman().public()).reserved, 2_000);
    before.push_extrinsics(told[1..].to_vec());
    same_as_there(&before);
    // Votes come first if the author puts them into the inherent.
    let mut votes_first = here.clone();
    let Extrinsic::DisputeVotes(votes) = told[1].clone() else { panic!("votes were expected") };
    let (block, executed) = votes_first.try_extrinsics(here.disputing(vec![votes]), told[..1].to_vec()).unwrap();
    (votes_first.header, votes_first.state) = (block.header, stored(&executed.state));
    assert!(votes_first.state.issuance().is_conserved());
    same_as_there(&votes_first);
    // What comes in a later block was written when everybody knew.
    let mut late = here.clone();
    late.push_extrinsics(told[1..].to_vec());
    assert_eq!(refusal(&late, report(&late, candidate, 2_000)), FishermanError::Judged(candidate));
    let disputer = late.state.validators()[against(&backers)[0] as usize].0;
    assert_eq!(late.state.account(&fisherman().public()).free, 10_000);
    let reward = |chain: &Chain| chain.state.account(&disputer).free;
    assert_eq!(reward(&late), reward(&there) + 100_000 * backers.len() as u128, "it is the first opponent's");
}

#[test]
fn only_the_first_report_that_it_is_invalid_earns_the_bounty_after_the_votes() {
    let (mut there, here, candidate, backers) = forks();
    there.dispute(there.votes(0, candidate, &[], &against(&backers)));
    let inherent = here.disputing(vec![there.state.dispute_votes(0, candidate).unwrap()]);
    let (other, kind) = (Pair::from_name("other"), ReportKind::Invalid);
    let second = Extrinsic::FishermanReport(report_by(&here, &other, candidate, kind, 2_000));
    let first = Extrinsic::FishermanReport(report(&here, candidate, 2_000));
    let unavailable = Extrinsic::FishermanReport(report_by(&here, &other, candidate, ReportKind::Unavailable, 2_000));
    assert!(here.try_extrinsics(inherent.clone(), vec![first.clone()]).is_ok());
    for refused in [vec![first, second], vec![unavailable]] {
        let position = refused.len();
        let error = ExtrinsicError::Fisherman(FishermanError::Judged(candidate));
        let expected = runtime::BlockError::Extrinsic { position, error };
        assert_eq!(here.try_extrinsics(inherent.clone(), refused).unwrap_err(), expected);
    }
}

#[test]
fn a_verdict_on_a_candidate_of_this_fork_leaves_the_bounty_for_another_to_its_reporter() {
    let (mut there, mut here, candidate, backers) = forks();
    there.dispute(there.votes(0, candidate, &[], &against(&backers)));
    let told = there.state.dispute_votes(0, candidate).unwrap();
    let own_backers = here.members(CORE_1);
    let own = here.include(TWO, CORE_1);
    let judged = here.votes(0, own, &[], &against(&own_backers));
    // Both are judged in one inherent, in either order; the report on the first comes after that.
    for votes in [vec![told.clone(), judged.clone()], vec![judged, told]] {
        let report = Extrinsic::FishermanReport(report(&here, candidate, 2_000));
        let (_, executed) = here.try_extrinsics(here.disputing(votes), vec![report]).unwrap();
        let earned = executed.state.account(&fisherman().public()).free;
        assert_eq!(earned, 10_000 + 100_000 * backers.len() as u128);
        assert!(executed.state.issuance().is_conserved());
    }
}

#[test]
fn a_report_waits_for_its_candidate_to_be_included() {
    let mut chain = Chain::new(7);
    chain.enact(Governance::Endow(fisherman().public(), 10_000));
    chain.push(chain.backing(&[(ONE, CORE_0)]));
    let candidate = chain.state.pending_candidate(CORE_0).unwrap().hash;
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(&chain, candidate, 1_000))]);
    assert_eq!(refusal(&chain, report(&chain, candidate, 2_000)), FishermanError::Known(candidate));
    let mut without = chain.clone();
    chain.push(chain.attesting(7, &[0]));
    assert_eq!(chain.state.approval_status(0, candidate).unwrap().needed, 6, "group of three, two more, one reported");
    chain.skip_to(30);
    assert_eq!(chain.state.account(&fisherman().public()).reserved, 0);
    assert_eq!(chain.state.issuance().pot, 1_000);
    // Where it is never included, the bond comes back with the end of what is known of the session.
    without.skip_to(75);
    assert_eq!(without.state.account(&fisherman().public()).reserved, 1_000);
    without.skip_to(82);
    let account = without.state.account(&fisherman().public());
    assert_eq!((account.free, account.reserved, without.state.issuance().pot), (10_000, 0, 0));
}

#[test]
fn the_number_of_reports_that_wait_is_limited() {
    let mut chain = Chain::new(4);
    let max = runtime::limits::MAX_EARLY_REPORTS;
    chain.enact(Governance::Endow(fisherman().public(), 1_000 * (max as u128 + 1)));
    let about = |index: usize| CandidateHash(primitives::Hash::repeat((index / 16) as u8));
    let pair = |index: usize| Pair::from_name(&format!("fisherman {}", index % 16));
    for index in 0..16 {
        chain.govern(Governance::Endow(pair(index).public(), 1_000 * (max as u128)));
    }
    let begun = chain.clone();
    let report = |index: usize| report_by(&begun, &pair(index), about(index), ReportKind::Invalid, 1_000);
    chain.push_extrinsics((0..max).map(|index| Extrinsic::FishermanReport(report(index))).collect());
    assert_eq!(refusal(&chain, report(max)), FishermanError::TooManyEarly);
}

#[test]
fn a_reporter_of_much_leaves_room_for_others() {
    let mut chain = Chain::new(4);
    let max = runtime::limits::MAX_EARLY_REPORTS_PER_REPORTER;
    let other = Pair::from_name("other");
    for owner in [fisherman().public(), other.public()] {
        chain.govern(Governance::Endow(owner, 1_000_000));
    }
    let about = |index: usize| CandidateHash(primitives::Hash::repeat(index as u8));
    let begun = chain.clone();
    let by = |pair: &Pair, index: usize| report_by(&begun, pair, about(index), ReportKind::Invalid, 1_000);
    chain.push_extrinsics((0..max).map(|index| Extrinsic::FishermanReport(by(&fisherman(), index))).collect());
    assert_eq!(refusal(&chain, by(&fisherman(), max)), FishermanError::TooManyEarlyOfReporter);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(by(&other, max))]);
}
