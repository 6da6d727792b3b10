//! Bitfields: who may say what about which core.

use crate::support::*;
use primitives::{Bits, CandidateEvent, CoreState, InherentData, SigningContext, ValidatorIndex};
use runtime::{BitfieldError, BlockError, SignatureOf};

fn refusal(chain: &Chain, change: impl FnOnce(&mut InherentData)) -> BlockError {
    let mut inherent = chain.attesting(4, &[]);
    change(&mut inherent);
    chain.try_block(inherent, Vec::new()).unwrap_err()
}

fn with_candidates(validators: usize) -> Chain {
    let mut chain = Chain::new(validators);
    chain.push(chain.backing(&[(ONE, CORE_0), (TWO, CORE_1)]));
    chain
}

fn votes(chain: &Chain, core: usize) -> usize {
    match &chain.state.availability_cores(chain.state.number() + 1)[core] {
        CoreState::Occupied(core) => core.availability.count_ones(),
        other => panic!("core is not occupied: {other:?}"),
    }
}

#[test]
fn more_than_two_thirds_make_a_candidate_available() {
    for (validators, needed) in [(3, 3), (4, 3), (6, 5), (7, 5), (9, 7), (10, 7)] {
        let mut chain = with_candidates(validators);
        assert!(chain.push(chain.attesting(needed - 1, &[0])).events.is_empty());
        let last = {
            let mut inherent = chain.inherent();
            inherent.bitfields = vec![chain.bitfield(needed - 1, &[0])];
            inherent
        };
        let events = chain.push(last).events;
        assert!(matches!(events[..], [CandidateEvent::Included(..)]), "{validators} validators");
    }
}

#[test]
fn bits_accumulate_and_a_later_zero_withdraws_nothing() {
    let mut chain = with_candidates(6);
    chain.push(chain.attesting(2, &[0, 1]));
    assert_eq!((votes(&chain, 0), votes(&chain, 1)), (2, 2));
    chain.push(chain.attesting(3, &[1]));
    assert_eq!((votes(&chain, 0), votes(&chain, 1)), (2, 3));
    chain.push(chain.attesting(3, &[]));
    assert_eq!((votes(&chain, 0), votes(&chain, 1)), (2, 3));
}

#[test]
fn a_bitfield_with_a_bit_for_a_free_core_is_skipped_whole() {
    let mut chain = with_candidates(6);
    let mut inherent = chain.inherent();
    inherent.bitfields = vec![chain.bitfield(0, &[0, 2]), chain.bitfield(1, &[0, 1])];
    chain.push(inherent);
    assert_eq!((votes(&chain, 0), votes(&chain, 1)), (1, 1));
}

#[test]
fn a_candidate_backed_in_the_same_block_gets_no_bits() {
    let mut chain = Chain::new(6);
    let mut inherent = chain.backing(&[(ONE, CORE_0)]);
    inherent.bitfields = chain.attesting(6, &[0]).bitfields;
    chain.push(inherent);
    assert_eq!(votes(&chain, 0), 0);
}

#[test]
fn bitfields_must_be_sorted_without_duplicates() {
    let chain = with_candidates(4);
    let order = |first, second| {
        BlockError::Bitfield(BitfieldError::Order { first: ValidatorIndex(first), second: ValidatorIndex(second) })
    };
    assert_eq!(refusal(&chain, |inherent| inherent.bitfields.swap(1, 2)), order(2, 1));
    assert_eq!(refusal(&chain, |inherent| inherent.bitfields[2] = inherent.bitfields[1].clone()), order(1, 1));
}

#[test]
fn there_are_at_most_as_many_bitfields_as_validators() {
    let chain = with_candidates(4);
    assert_eq!(
        refusal(&chain, |inherent| inherent.bitfields.push(chain.bitfield(3, &[]))),
        BlockError::Bitfield(BitfieldError::TooMany { found: 5, validators: 4 })
    );
}

#[test]
fn a_bitfield_must_have_a_bit_per_core() {
    let chain = with_candidates(4);
    for found in [0, 2, 4, 1000] {
        let bits = Bits::repeat(true, found);
        let bitfield = chain.signed_bitfield(1, bits, &chain.context());
        assert_eq!(
            refusal(&chain, |inherent| inherent.bitfields[1] = bitfield),
            BlockError::Bitfield(BitfieldError::Length { validator: ValidatorIndex(1), found, expected: 3 })
        );
    }
}

#[test]
fn a_bitfield_must_be_of_a_validator() {
    let chain = with_candidates(4);
    assert_eq!(
        refusal(&chain, |inherent| inherent.bitfields[3].validator_index = ValidatorIndex(4)),
        BlockError::Bitfield(BitfieldError::UnknownValidator(ValidatorIndex(4)))
    );
}

#[test]
fn a_bitfield_must_be_signed_for_the_blocks_parent_in_this_session() {
    let chain = with_candidates(4);
    let right = chain.context();
    let wrong = [
        SigningContext { session_index: 1, ..right },
        SigningContext { parent_hash: chain.header.parent_hash, ..right },
    ];
    for context in wrong {
        let bitfield = chain.signed_bitfield(2, Bits::repeat(false, 3), &context);
        assert_eq!(
            refusal(&chain, |inherent| inherent.bitfields[2] = bitfield),
            BlockError::Signature(SignatureOf::Bitfield(ValidatorIndex(2)))
        );
    }
}

#[test]
fn a_bitfield_must_be_signed_by_its_validator() {
    let chain = with_candidates(4);
    assert_eq!(
        refusal(&chain, |inherent| inherent.bitfields[1].signature = inherent.bitfields[2].signature),
        BlockError::Signature(SignatureOf::Bitfield(ValidatorIndex(1)))
    );
}
