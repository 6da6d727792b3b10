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

fn report_by(pair: &Pair, candidate: CandidateHash, kind: ReportKind, bond: u128) -> FishermanReport {
    let payload = fisherman_payload(0, candidate, kind, bond);
    FishermanReport { reporter: pair.public(), session: 0, candidate, kind, bond, signature: sign(pair, &payload) }
}

fn report(candidate: CandidateHash, bond: u128) -> FishermanReport {
    report_by(&fisherman(), candidate, ReportKind::Invalid, bond)
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
    let executed = chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(candidate, 3_500))]);
    assert_eq!(executed.validity_events, [ValidityEvent::MoreChecks { candidate, needed: 15 }]);
    assert_eq!(chain.state.approval_status(0, candidate).unwrap().needed, 15);
    let account = chain.state.account(&fisherman().public());
    assert_eq!((account.free, account.reserved), (6_500, 3_500));
    // Never more than there are validators.
    let rich = Pair::from_name("rich");
    chain.enact(Governance::Endow(rich.public(), 1_000_000));
    let large = report_by(&rich, candidate, ReportKind::Unavailable, 1_000_000);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(large)]);
    assert_eq!(chain.state.approval_status(0, candidate).unwrap().needed, 30);
}

#[test]
fn the_bond_is_lost_if_nobody_disputes_the_candidate() {
    let (mut chain, candidate, _) = with_fisherman(7);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(candidate, 2_000))]);
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
fn a_true_report_earns_the_bounty() {
    let (mut chain, candidate, backers) = with_fisherman(7);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(candidate, 2_000))]);
    let opponents: Vec<_> = (0..7).filter(|validator| !backers.contains(validator)).chain([backers[0]]).collect();
    let executed = chain.dispute(chain.votes(0, candidate, &[], &opponents));
    let (reporter, fate) = (fisherman().public(), Fate::Returned);
    assert!(executed.validity_events.contains(&ValidityEvent::ReportSettled { reporter, candidate, fate }));
    let lost = 1_000_000 * backers.len() as u128;
    let account = chain.state.account(&fisherman().public());
    assert_eq!((account.free, account.reserved), (10_000 + lost / 10, 0));
    assert_eq!(refusal(&chain, report(candidate, 2_000)), FishermanError::Judged(candidate));
}

#[test]
fn a_false_report_costs_its_bond_when_the_candidate_is_judged_valid() {
    let (mut chain, candidate, backers) = with_fisherman(7);
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(candidate, 2_000))]);
    let rest: Vec<_> = (0..7).filter(|validator| !backers.contains(validator)).collect();
    chain.dispute(chain.votes(0, candidate, &rest[1..], &rest[..1]));
    let account = chain.state.account(&fisherman().public());
    assert_eq!((account.free, account.reserved), (8_000, 0));
}

#[test]
fn what_a_report_is_refused_for() {
    let (mut chain, candidate, _) = with_fisherman(7);
    let unknown = CandidateHash::default();
    assert_eq!(refusal(&chain, report(unknown, 2_000)), FishermanError::NotAccepting(unknown));
    assert_eq!(refusal(&chain, report(candidate, 999)), FishermanError::BondSize { found: 999, needed: 1_000 });
    assert_eq!(
        refusal(&chain, report(candidate, 10_001)),
        FishermanError::Bond(BalanceError::TooLittle { found: 10_000, needed: 10_001 })
    );
    let mut forged = report(candidate, 2_000);
    forged.bond = 3_000;
    assert_eq!(chain.wrong_signature(Extrinsic::FishermanReport(forged)), SignatureOf::Fisherman(1));
    chain.push_extrinsics(vec![Extrinsic::FishermanReport(report(candidate, 2_000))]);
    assert_eq!(refusal(&chain, report(candidate, 3_000)), FishermanError::Known(candidate));
}

#[test]
fn the_number_of_reports_on_a_candidate_is_limited() {
    let (mut chain, candidate, _) = with_fisherman(7);
    let max = runtime::limits::MAX_REPORTS_PER_CANDIDATE;
    let pairs: Vec<_> = (0..=max).map(|index| Pair::from_name(&format!("fisherman {index}"))).collect();
    for pair in &pairs {
        chain.govern(Governance::Endow(pair.public(), 1_000));
    }
    let reports = pairs.iter().map(|pair| report_by(pair, candidate, ReportKind::Invalid, 1_000));
    let mut reports: Vec<_> = reports.map(Extrinsic::FishermanReport).collect();
    let last = reports.pop().unwrap();
    chain.push_extrinsics(reports);
    assert_eq!(chain.refused(last), ExtrinsicError::Fisherman(FishermanError::TooMany(candidate)));
}
