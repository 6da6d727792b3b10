//! What a block must be, apart from its modules.

use crate::support::*;
use codec::{Decode, Encode};
use primitives::{CandidateEvent, CoreState, DigestItem, Hash, InherentData};
use runtime::{
    Block, BlockError, DirectVerifier, Extrinsic, SLOT_ENGINE_ID, SlotClaim, build_block, execute_block,
    extrinsics_root, limits::MAX_EXTRINSICS,
};

fn empty_block(chain: &Chain) -> Block {
    chain.try_block(chain.inherent(), Vec::new()).unwrap().0
}

fn refusal(chain: &Chain, change: impl FnOnce(&mut Block)) -> BlockError {
    let mut block = empty_block(chain);
    change(&mut block);
    block.header.extrinsics_root = extrinsics_root(&block.extrinsics);
    execute_block(&chain.state, &block, &DirectVerifier).unwrap_err()
}

fn inherent(block: &mut Block) -> &mut InherentData {
    match &mut block.extrinsics[0] {
        Extrinsic::Inclusion(inherent) => inherent,
        _ => panic!("the inherent comes first"),
    }
}

#[test]
fn a_candidate_is_backed_then_included() {
    let mut chain = Chain::new(6);
    chain.skip(3);
    let draft = chain.draft(ONE, CORE_0);
    let receipt = draft.receipt();
    let executed = chain.push(chain.backing(&[(ONE, CORE_0)]));
    let group = chain.group_of(CORE_0);
    let head = draft.commitments.head_data.clone();
    assert_eq!(executed.events, [CandidateEvent::Backed(receipt.to_receipt(), head.clone(), CORE_0, group)]);
    assert_eq!(chain.state.candidate_pending_availability(CORE_0), Some(&receipt));
    assert_ne!(chain.state.para_head(ONE), Some(&head));

    let executed = chain.push(chain.attesting(5, &[0]));
    assert_eq!(executed.events, [CandidateEvent::Included(receipt.to_receipt(), head.clone(), CORE_0, group)]);
    assert_eq!(chain.state.para_head(ONE), Some(&head));
    assert!(matches!(chain.state.availability_cores(6)[0], CoreState::Scheduled(_)));
}

#[test]
fn a_core_is_freed_and_occupied_again_in_one_block() {
    let mut chain = Chain::new(6);
    chain.push(chain.backing(&[(ONE, CORE_0), (TWO, CORE_1)]));
    let first = chain.state.candidate_pending_availability(CORE_0).unwrap().clone();
    let mut inherent = chain.attesting(5, &[0]);
    let mut draft = chain.draft(ONE, CORE_0);
    draft.data.parent_head = first.commitments.head_data.clone();
    draft.data_hash = draft.data.hash();
    inherent.backed_candidates = vec![chain.back(&draft)];
    let executed = chain.push(inherent);
    assert!(matches!(executed.events[..], [CandidateEvent::Included(..), CandidateEvent::Backed(..)]));
    assert_eq!(chain.state.candidate_pending_availability(CORE_0), Some(&draft.receipt()));
    assert!(chain.state.candidate_pending_availability(CORE_1).is_some());
}

#[test]
fn a_child_shares_nothing_it_changes_with_its_sibling() {
    let mut chain = Chain::new(6);
    chain.skip(1);
    let before = chain.state.storage();
    let mut left = chain.clone();
    left.push(left.backing(&[(ONE, CORE_0)]));
    let mut right = chain.clone();
    right.push(right.backing(&[(TWO, CORE_1)]));
    assert!(left.state.candidate_pending_availability(CORE_1).is_none());
    assert!(right.state.candidate_pending_availability(CORE_0).is_none());
    assert_eq!(chain.state.storage(), before);
}

#[test]
fn the_number_must_follow_the_parents() {
    let chain = Chain::new(4);
    assert_eq!(refusal(&chain, |block| block.header.number = 2), BlockError::Number { expected: 1, found: 2 });
}

#[test]
fn the_parent_hash_must_be_that_of_the_inherents_parent_header() {
    let chain = Chain::new(4);
    let expected = chain.header.hash();
    let found = Hash::repeat(9);
    assert_eq!(refusal(&chain, |block| block.header.parent_hash = found), BlockError::ParentHash { expected, found });
}

#[test]
fn the_parent_header_must_be_that_of_the_state() {
    let mut chain = Chain::new(4);
    chain.skip(2);
    let mut other = chain.header.clone();
    other.state_root = Hash::repeat(9);
    let refused = refusal(&chain, |block| {
        block.header.parent_hash = other.hash();
        inherent(block).parent_header = other.clone();
    });
    let expected = chain.state.root();
    assert_eq!(refused, BlockError::ParentState { expected, found: Hash::repeat(9) });

    let mut other = chain.header.clone();
    other.number = 7;
    let refused = refusal(&chain, |block| {
        block.header.parent_hash = other.hash();
        inherent(block).parent_header = other.clone();
    });
    assert_eq!(refused, BlockError::Number { expected: 2, found: 7 });
}

#[test]
fn the_extrinsics_root_must_be_right() {
    let chain = Chain::new(4);
    let mut block = empty_block(&chain);
    let expected = block.header.extrinsics_root;
    block.header.extrinsics_root = Hash::repeat(9);
    assert_eq!(
        execute_block(&chain.state, &block, &DirectVerifier),
        Err(BlockError::ExtrinsicsRoot { expected, found: Hash::repeat(9) })
    );
}

#[test]
fn the_state_root_must_be_right() {
    let chain = Chain::new(4);
    let expected = empty_block(&chain).header.state_root;
    assert_eq!(
        refusal(&chain, |block| block.header.state_root = Hash::repeat(9)),
        BlockError::StateRoot { expected, found: Hash::repeat(9) }
    );
}

#[test]
fn there_must_be_exactly_one_inherent_and_first() {
    let chain = Chain::new(4);
    assert_eq!(refusal(&chain, |block| block.extrinsics.clear()), BlockError::NoInherent);
    let vote = |byte| primitives::CompactVote::Seconded(Hash::repeat(byte).into());
    let report = Extrinsic::MisbehaviorReport(Box::new(chain.report(0, vote(1), vote(2))));
    assert_eq!(refusal(&chain, |block| block.extrinsics.insert(0, report.clone())), BlockError::NoInherent);
    assert_eq!(
        refusal(&chain, |block| {
            block.extrinsics.push(report);
            block.extrinsics.push(block.extrinsics[0].clone());
        }),
        BlockError::SecondInherent(2)
    );
}

#[test]
fn the_number_of_extrinsics_is_limited() {
    let chain = Chain::new(4);
    assert_eq!(
        refusal(&chain, |block| {
            let inherent = block.extrinsics[0].clone();
            block.extrinsics = vec![inherent; MAX_EXTRINSICS + 1];
        }),
        BlockError::TooManyExtrinsics { found: MAX_EXTRINSICS + 1, max: MAX_EXTRINSICS }
    );
}

#[test]
fn there_must_be_exactly_one_slot_claim() {
    let chain = Chain::new(4);
    assert_eq!(refusal(&chain, |block| block.header.digest.clear()), BlockError::SlotClaims { found: 0 });
    assert_eq!(
        refusal(&chain, |block| block.header.digest.push(block.header.digest[0].clone())),
        BlockError::SlotClaims { found: 2 }
    );
    assert_eq!(
        refusal(&chain, |block| {
            block.header.digest = vec![DigestItem::PreRuntime(SLOT_ENGINE_ID, vec![1, 2])];
        }),
        BlockError::SlotClaimMalformed
    );
}

#[test]
fn slots_must_increase() {
    let mut chain = Chain::new(4);
    chain.skip(3);
    assert_eq!(
        refusal(&chain, |block| block.header.digest = digest(3, 0)),
        BlockError::SlotNotLater { parent: 3, found: 3 }
    );
    let extrinsics = vec![Extrinsic::Inclusion(chain.inherent())];
    let (_, executed) = build_block(&chain.state, &chain.header, digest(50, 0), extrinsics).unwrap();
    assert_eq!(executed.state.slot(), 50);
}

#[test]
fn the_author_must_be_a_validator() {
    let chain = Chain::new(4);
    assert!(matches!(
        refusal(&chain, |block| block.header.digest = digest(1, 4)),
        BlockError::UnknownAuthor { validators: 4, .. }
    ));
}

#[test]
fn dispute_votes_about_nothing_are_refused() {
    let chain = Chain::new(4);
    let candidate = Hash::repeat(1).into();
    let set = primitives::DisputeStatementSet { candidate_hash: candidate, session: 0, statements: Vec::new() };
    assert_eq!(
        refusal(&chain, |block| inherent(block).disputes.push(set.clone())),
        BlockError::Dispute { candidate, error: runtime::DisputeError::UnknownCandidate }
    );
    let max = runtime::limits::MAX_DISPUTE_SETS_PER_BLOCK;
    assert_eq!(
        refusal(&chain, |block| inherent(block).disputes = vec![set; max + 1]),
        BlockError::TooManyDisputes { found: max + 1, max }
    );
}

#[test]
fn the_numbers_of_reports_and_of_other_transactions_are_limited() {
    use runtime::limits::{MAX_REPORTS_PER_BLOCK, MAX_TRANSACTIONS_PER_BLOCK};
    let chain = Chain::new(4);
    let vote = |byte| primitives::CompactVote::Seconded(Hash::repeat(byte).into());
    let report = Extrinsic::MisbehaviorReport(Box::new(chain.report(0, vote(1), vote(2))));
    let votes =
        primitives::DisputeStatementSet { candidate_hash: Hash::repeat(1).into(), session: 0, statements: Vec::new() };
    for (extrinsic, max) in
        [(report, MAX_REPORTS_PER_BLOCK), (Extrinsic::DisputeVotes(votes), MAX_TRANSACTIONS_PER_BLOCK)]
    {
        assert_eq!(
            refusal(&chain, |block| block.extrinsics.extend(vec![extrinsic; max + 1])),
            BlockError::TooManyExtrinsics { found: max + 1, max }
        );
    }
}

#[test]
fn a_block_must_name_the_parent_it_is_built_on() {
    let mut chain = Chain::new(4);
    let genesis = chain.header.clone();
    chain.skip(1);
    let extrinsics = vec![Extrinsic::Inclusion(InherentData::empty(genesis))];
    assert!(matches!(
        build_block(&chain.state, &chain.header, chain.digest(), extrinsics),
        Err(BlockError::ParentHash { .. })
    ));
}

#[test]
fn blocks_and_claims_decode_to_what_was_encoded() {
    let mut chain = Chain::new(6);
    chain.skip(2);
    let vote = |byte| primitives::CompactVote::Seconded(Hash::repeat(byte).into());
    let report = chain.report(1, vote(1), vote(2));
    let inherent = chain.backing(&[(ONE, CORE_0), (TWO, CORE_1)]);
    let (block, _) = chain.try_block(inherent, vec![report]).unwrap();
    assert_eq!(Block::decode(&mut &block.encode()[..]).unwrap(), block);
    let claim = SlotClaim::from_digest(&block.header.digest).unwrap();
    assert_eq!(claim.slot, 3);
    assert_eq!(claim.encode().len(), 8 + 4 + 32 + 64);
}

#[test]
fn a_seal_changes_nothing_but_the_hash() {
    let chain = Chain::new(4);
    let mut block = empty_block(&chain);
    let unsealed = execute_block(&chain.state, &block, &DirectVerifier).unwrap();
    block.header.digest.push(DigestItem::Seal(SLOT_ENGINE_ID, vec![1; 64]));
    assert_eq!(execute_block(&chain.state, &block, &DirectVerifier).unwrap(), unsealed);
}
