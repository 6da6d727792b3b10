//! Reports: what is proof, and that it is slashed once.

use crate::support::*;
use primitives::{
    CandidateHash, CompactVote, Hash, MisbehaviorError, MisbehaviorKind, MisbehaviorReport, ValidatorIndex,
};
use runtime::{BlockError, ReportError, SignatureOf, limits::MAX_OFFENCES_PER_SESSION};

fn name(byte: u8) -> CandidateHash {
    CandidateHash(Hash::repeat(byte))
}

fn double(chain: &Chain, validator: u32) -> MisbehaviorReport {
    chain.report(validator, CompactVote::Seconded(name(1)), CompactVote::Seconded(name(2)))
}

fn refusal(chain: &Chain, report: MisbehaviorReport) -> ReportError {
    match chain.try_block(chain.inherent(), vec![report]).unwrap_err() {
        BlockError::Report { position: 0, error } => error,
        other => panic!("refused for another reason: {other}"),
    }
}

#[test]
fn a_double_vote_is_slashed() {
    let mut chain = Chain::new(4);
    let offender = chain.state.validators()[2];
    let (parent, report) = (chain.context().parent_hash, double(&chain, 2));
    let executed = chain.push_with(chain.inherent(), vec![report]);
    assert_eq!(executed.offences.len(), 1);
    assert_eq!(chain.state.offences(), executed.offences);
    let offence = &chain.state.offences()[0];
    assert_eq!((offence.validator, offence.amount), (offender, 100_000));
    assert_eq!((offence.kind, offence.reported_in), (MisbehaviorKind::DoubleSeconded(parent), 1));
    assert_eq!(chain.state.slashes().get(&offender), Some(&100_000));
    assert_eq!(chain.state.stake_of(&offender), 900_000);
    assert_eq!(chain.state.slashes().len(), 1);
    assert!(chain.state.issuance().is_conserved(), "what was taken is in the pot");
}

#[test]
fn every_contradiction_about_one_candidate_is_slashed() {
    use CompactVote::{Invalid, Seconded, Valid};
    let pairs = [
        (Seconded(name(1)), Invalid(name(1))),
        (Valid(name(1)), Invalid(name(1))),
        (Seconded(name(1)), Valid(name(1))),
    ];
    for (first, second) in pairs {
        let mut chain = Chain::new(4);
        let report = chain.report(1, second, first);
        let executed = chain.push_with(chain.inherent(), vec![report]);
        assert_eq!(executed.offences[0].kind, MisbehaviorKind::SelfContradiction(name(1)));
    }
}

#[test]
fn what_an_honest_validator_may_say_is_no_proof() {
    use CompactVote::{Invalid, Seconded, Valid};
    let chain = Chain::new(4);
    let pairs = [
        (Seconded(name(1)), Seconded(name(1))),
        (Seconded(name(1)), Valid(name(2))),
        (Valid(name(1)), Valid(name(2))),
        (Valid(name(1)), Invalid(name(2))),
    ];
    for (first, second) in pairs {
        let refused = refusal(&chain, chain.report(1, first, second));
        assert_eq!(refused, ReportError::NoProof(MisbehaviorError::NoConflict { first, second }));
    }
}

#[test]
fn two_candidates_at_two_relay_parents_are_no_double_vote() {
    let mut chain = Chain::new(4);
    let early = double(&chain, 1);
    chain.skip(1);
    let mut report = double(&chain, 1);
    report.first = early.first;
    assert_eq!(refusal(&chain, report), ReportError::NoProof(MisbehaviorError::DifferentContext));
}

#[test]
fn the_same_offence_is_slashed_once() {
    let mut chain = Chain::new(4);
    let report = double(&chain, 1);
    let third = chain.report(1, CompactVote::Seconded(name(1)), CompactVote::Seconded(name(3)));
    let known = ReportError::AlreadyReported {
        session: 0,
        validator: ValidatorIndex(1),
        kind: MisbehaviorKind::DoubleSeconded(chain.context().parent_hash),
    };
    assert_eq!(
        chain.try_block(chain.inherent(), vec![report.clone(), report.clone()]).unwrap_err(),
        BlockError::Report { position: 1, error: known.clone() }
    );
    chain.push_with(chain.inherent(), vec![report.clone()]);
    assert_eq!(refusal(&chain, report.clone()), known);
    assert_eq!(chain.state.check_report(&report), Err(known.clone()));
    assert_eq!(refusal(&chain, third), known, "whichever two of three are shown");
    // Another contradiction, and another validator, are other matters.
    let other = chain.report(1, CompactVote::Valid(name(1)), CompactVote::Invalid(name(1)));
    chain.push_with(chain.inherent(), vec![other, double(&chain, 0)]);
    assert_eq!(chain.state.offences().len(), 3);
}

#[test]
fn double_votes_at_two_relay_parents_are_two_offences() {
    let mut chain = Chain::new(4);
    for byte in [1, 7] {
        let double = chain.report(1, CompactVote::Seconded(name(byte)), CompactVote::Seconded(name(byte + 1)));
        chain.push_with(chain.inherent(), vec![double]);
    }
    assert_eq!(chain.state.offences().len(), 2);
    assert_eq!(chain.state.stake_of(&chain.state.validators()[1]), 800_000);
}

/// A contradiction about the candidate that `byte` names.
fn contradiction(chain: &Chain, validator: u32, byte: u8) -> MisbehaviorReport {
    chain.report(validator, CompactVote::Valid(name(byte)), CompactVote::Invalid(name(byte)))
}

#[test]
fn contradictions_about_two_candidates_are_two_offences_and_about_one_are_one_wherever() {
    let mut chain = Chain::new(4);
    let reports = vec![contradiction(&chain, 1, 1), contradiction(&chain, 1, 2)];
    chain.push_with(chain.inherent(), reports);
    assert_eq!(chain.state.offences().len(), 2);
    let known = ReportError::AlreadyReported {
        session: 0,
        validator: ValidatorIndex(1),
        kind: MisbehaviorKind::SelfContradiction(name(2)),
    };
    assert_eq!(refusal(&chain, contradiction(&chain, 1, 2)), known, "said again at another relay parent");
}

#[test]
fn a_session_keeps_no_more_offences_of_a_validator_than_take_all_of_its_stake() {
    let mut chain = Chain::new(4);
    let reports = (0..MAX_OFFENCES_PER_SESSION as u8).map(|byte| contradiction(&chain, 1, byte)).collect();
    chain.push_with(chain.inherent(), reports);
    assert_eq!(chain.state.stake_of(&chain.state.validators()[1]), 0);
    let enough = ReportError::Enough { session: 0, validator: ValidatorIndex(1) };
    assert_eq!(refusal(&chain, contradiction(&chain, 1, 99)), enough);
    assert_eq!(refusal(&chain, double(&chain, 1)), enough);
    // Others have their own.
    let other = contradiction(&chain, 2, 99);
    chain.push_with(chain.inherent(), vec![other]);
    assert_eq!(chain.state.offences().len(), MAX_OFFENCES_PER_SESSION + 1);
}

#[test]
fn both_signatures_must_be_the_accuseds() {
    let chain = Chain::new(4);
    let report = double(&chain, 1);
    let strange = double(&chain, 2);
    for forge in [
        (|report, strange| report.first = strange.first) as fn(&mut MisbehaviorReport, &MisbehaviorReport),
        |report, strange| report.second = strange.second,
        |report, _| report.validator_index = ValidatorIndex(0),
        |report, _| report.second.vote = CompactVote::Seconded(name(7)),
    ] {
        let mut forged = report.clone();
        forge(&mut forged, &strange);
        assert_eq!(
            chain.try_block(chain.inherent(), vec![forged]).unwrap_err(),
            BlockError::Signature(SignatureOf::Report(0))
        );
    }
}

#[test]
fn the_accused_must_be_a_validator_of_a_session_that_is_kept() {
    let mut chain = Chain::new(4);
    let mut report = double(&chain, 1);
    report.validator_index = ValidatorIndex(4);
    assert_eq!(refusal(&chain, report), ReportError::UnknownValidator { session: 0, validator: ValidatorIndex(4) });
    let report = double(&chain, 1);
    chain.skip_to(39);
    assert_eq!(chain.state.session_index(), 1);
    assert!(chain.try_block(chain.inherent(), vec![report.clone()]).is_ok(), "one session later it still counts");
    chain.skip_to(79);
    assert_eq!(refusal(&chain, report), ReportError::UnknownSession(0));
    let mut future = double(&chain, 1);
    future.first.context.session_index = 3;
    future.second.context.session_index = 3;
    assert_eq!(refusal(&chain, future), ReportError::UnknownSession(3));
}

#[test]
fn slashes_outlive_the_session_of_the_offence() {
    let mut chain = Chain::new(4);
    let report = double(&chain, 1);
    chain.push_with(chain.inherent(), vec![report]);
    chain.skip_to(79);
    assert!(chain.state.offences().is_empty());
    assert_eq!(chain.state.slashes().len(), 1);
}
