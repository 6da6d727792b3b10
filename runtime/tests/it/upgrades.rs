//! Code upgrades from the candidate that announces them to the pruning of the old code.

use crate::support::*;
use codec::Encode;
use primitives::{
    OccupiedCoreAssumption, ValidationCode,
    configuration::{UpgradeGoAhead, UpgradeRestriction},
    well_known_keys as keys,
};
use runtime::{BlockError, CandidateError};

fn new_code() -> ValidationCode {
    vec![99; 64].into()
}

/// Includes a block of parachain one, with new code or without; takes two blocks.
fn include(chain: &mut Chain, code: Option<ValidationCode>) {
    let mut draft = chain.draft(ONE, CORE_0);
    draft.commitments.new_validation_code = code;
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back(&draft)];
    chain.push(inherent);
    let all = chain.state.validators().len() as u32;
    chain.push(chain.attesting(all, &[0]));
}

fn refusal(chain: &Chain) -> CandidateError {
    let mut draft = chain.draft(ONE, CORE_0);
    draft.commitments.new_validation_code = Some(vec![77; 64].into());
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back(&draft)];
    match chain.try_block(inherent, Vec::new()).unwrap_err() {
        BlockError::Candidate { error, .. } => error,
        other => panic!("refused for another reason: {other}"),
    }
}

fn current(chain: &Chain) -> primitives::ValidationCodeHash {
    chain.state.validation_code_hash(ONE, OccupiedCoreAssumption::TimedOut).unwrap()
}

/// Sessions long enough not to get in the way.
fn chain() -> Chain {
    Chain::with(6, |genesis| genesis.session_length = 1_000)
}

#[test]
fn new_code_applies_after_the_first_block_in_its_context() {
    let mut chain = chain();
    let old = current(&chain);
    // Relay parent 0, delay 5: expected at 5. Included in block 2.
    include(&mut chain, Some(new_code()));
    assert_eq!(current(&chain), old);
    assert_eq!(chain.state.validation_code_by_hash(new_code().hash()), Some(&new_code()));
    // Relay parent 4 is before it is expected.
    chain.skip_to(4);
    include(&mut chain, None);
    assert_eq!(current(&chain), old);
    // Relay parent 6: this block still runs on the old code, and the next one on the new.
    let draft = chain.draft(ONE, CORE_0);
    assert_eq!(draft.code_hash, old);
    let assumed = |chain: &Chain| chain.state.validation_code_hash(ONE, OccupiedCoreAssumption::Included);
    chain.push(chain.backing(&[(ONE, CORE_0)]));
    assert_eq!(assumed(&chain), Some(new_code().hash()));
    assert_eq!(current(&chain), old);
    chain.push(chain.attesting(6, &[0]));
    assert_eq!(current(&chain), new_code().hash());
    // Lookups by relay parent: up to the expected block the old code.
    let at = |number, intermediate| chain.state.validation_code_at(ONE, number, intermediate);
    assert_eq!((at(5, None), at(6, None)), (Some(old), Some(new_code().hash())));
    let meta = chain.state.past_code_meta(ONE).unwrap().upgrade_times();
    assert_eq!((meta[0].expected_at, meta[0].activated_at), (5, 8));
}

#[test]
fn an_assumed_block_in_between_can_bring_the_new_code() {
    let mut chain = chain();
    let old = current(&chain);
    include(&mut chain, Some(new_code()));
    let at = |number, intermediate| chain.state.validation_code_at(ONE, number, intermediate);
    assert_eq!(at(8, Some(4)), Some(old));
    assert_eq!(at(8, Some(5)), Some(new_code().hash()));
    assert_eq!(at(8, Some(8)), None, "it must be before");
}

#[test]
fn no_upgrade_while_one_is_pending_nor_soon_after() {
    let mut chain = chain();
    assert_eq!(chain.state.configuration().validation_upgrade_frequency, 20);
    include(&mut chain, Some(new_code()));
    assert_eq!(refusal(&chain), CandidateError::UpgradePending(5));
    chain.skip_to(5);
    include(&mut chain, None);
    assert_eq!(current(&chain), new_code().hash());
    assert_eq!(refusal(&chain), CandidateError::UpgradeTooSoon(27), "activated in block 7");
    chain.skip_to(26);
    assert_eq!(refusal(&chain), CandidateError::UpgradeTooSoon(27));
    chain.skip_to(27);
    include(&mut chain, Some(vec![77; 64].into()));
    assert_eq!(refusal(&chain), CandidateError::UpgradePending(32));
}

/// A local dispute on the last block of the old code, and one of another fork on a block that nobody backed here.
#[test]
fn code_stays_while_a_dispute_that_needs_it_is_open() {
    let mut chain = chain();
    let old = current(&chain);
    let remote = crate::transactions::remote(&chain, 0);
    include(&mut chain, Some(new_code()));
    chain.skip_to(5);
    let draft = chain.draft(ONE, CORE_0);
    include(&mut chain, None);
    assert_ne!(current(&chain), old);
    // Acceptance lasts until block 27, the vote until block 46; two thirds vote, and it closes ten blocks later.
    chain.skip_to(25);
    let candidate = draft.receipt().hash();
    let mut here = chain.clone();
    here.dispute(here.votes(0, candidate, &[], &[3]));
    here.skip_to(28);
    assert!(here.state.approval_status(0, candidate).is_none(), "its acceptance is over");
    assert!(here.state.validation_code_by_hash(old).is_some());
    here.skip_to(46);
    here.dispute(here.votes(0, candidate, &[0, 1, 2, 3, 4, 5], &[]));
    here.skip_to(57);
    assert!(here.state.validation_code_by_hash(old).is_some(), "late votes are taken");
    here.skip_to(58);
    assert_eq!((here.state.disputes().len(), here.state.validation_code_by_hash(old)), (0, None));
    // The code need not be brought along while it is here; 24 blocks for the data, until block 50.
    chain.push_extrinsics(vec![remote]);
    chain.skip_to(50);
    assert!(chain.state.validation_code_by_hash(old).is_some());
    chain.skip_to(51);
    assert_eq!((chain.state.disputes().len(), chain.state.validation_code_by_hash(old)), (0, None));
}

#[test]
fn past_code_is_kept_for_the_acceptance_period_and_then_pruned() {
    let mut chain = chain();
    let old = current(&chain);
    include(&mut chain, Some(new_code()));
    chain.skip_to(5);
    include(&mut chain, None);
    // Activated in block 7, acceptance period 20: the last block that keeps it is 27.
    chain.skip_to(27);
    assert!(chain.state.validation_code_by_hash(old).is_some());
    assert_eq!(chain.state.validation_code_at(ONE, 3, None), Some(old));
    chain.skip_to(28);
    assert!(chain.state.validation_code_by_hash(old).is_none());
    assert_eq!(chain.state.validation_code_at(ONE, 3, None), None);
    assert_eq!(chain.state.validation_code_at(ONE, 5, None), None);
    assert_eq!(chain.state.validation_code_at(ONE, 6, None), Some(new_code().hash()));
}

#[test]
fn code_that_another_para_uses_is_not_dropped() {
    let mut chain = Chain::with(6, |genesis| {
        genesis.session_length = 1_000;
        genesis.paras[0].validation_code = genesis.paras[1].validation_code.clone();
    });
    let shared = current(&chain);
    include(&mut chain, Some(new_code()));
    chain.skip_to(5);
    include(&mut chain, None);
    chain.skip_to(40);
    assert!(chain.state.validation_code_by_hash(shared).is_some());
}

#[test]
fn the_chain_keeps_a_bounded_number_of_past_codes() {
    let mut chain = Chain::with(6, |genesis| {
        genesis.session_length = 1_000;
        genesis.configuration.acceptance_period = 600;
        genesis.configuration.validation_upgrade_frequency = 0;
        genesis.configuration.validation_upgrade_delay = 1;
    });
    for upgrade in 0..runtime::limits::MAX_PAST_CODES {
        include(&mut chain, Some(vec![100 + upgrade as u8; 16].into()));
        include(&mut chain, None);
    }
    assert_eq!(refusal(&chain), CandidateError::TooManyPastCodes);
}

#[test]
fn parachain_code_can_read_what_becomes_of_its_upgrade() {
    let mut chain = chain();
    let signal = |chain: &Chain| chain.state.storage().get(&keys::upgrade_go_ahead_signal(ONE)).cloned();
    let restriction = |chain: &Chain| chain.state.storage().get(&keys::upgrade_restriction_signal(ONE)).cloned();
    assert_eq!((signal(&chain), restriction(&chain)), (None, None));
    include(&mut chain, Some(new_code()));
    let present = Some(UpgradeRestriction::Present.encode());
    assert_eq!((signal(&chain), restriction(&chain)), (None, present.clone()));
    chain.skip_to(5);
    let go_ahead = Some(UpgradeGoAhead::GoAhead.encode());
    assert_eq!((signal(&chain), restriction(&chain)), (go_ahead, present.clone()));
    include(&mut chain, None);
    assert_eq!((signal(&chain), restriction(&chain)), (None, present));
    chain.skip_to(27);
    assert_eq!(restriction(&chain), None);
}
