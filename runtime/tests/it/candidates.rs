//! Every check that a backed candidate must pass.

use crate::support::*;
use codec::Encode;
use primitives::{
    BackedCandidate, BackingError, Bits, CandidateDescriptor, CoreIndex, DescriptorVersion, GroupIndex, Hash,
    OutboundHrmpMessage, Pair, ParaId, UmpSignal, ValidationCodeHash, ValidityAttestation, limits::MIN_CODE_SIZE,
    messages::UmpSignalError,
};
use runtime::{BlockError, CandidateError, MessageError, SignatureOf};

fn chain() -> Chain {
    let mut chain = Chain::new(9);
    chain.skip(4);
    chain
}

fn refusal_of(chain: &Chain, backed: BackedCandidate) -> CandidateError {
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![backed];
    match chain.try_block(inherent, Vec::new()).unwrap_err() {
        BlockError::Candidate { error, .. } => error,
        other => panic!("refused for another reason: {other}"),
    }
}

fn refusal(change: impl FnOnce(&mut Draft)) -> CandidateError {
    let chain = chain();
    let mut draft = chain.draft(ONE, CORE_0);
    change(&mut draft);
    refusal_of(&chain, chain.back(&draft))
}

#[test]
fn a_right_candidate_is_backed_and_a_wrong_one_leaves_no_trace() {
    let mut chain = chain();
    let before = chain.state.storage();
    let mut inherent = chain.backing(&[(ONE, CORE_0), (TWO, CORE_1)]);
    let good = inherent.clone();
    inherent.backed_candidates[1] = {
        let mut draft = chain.draft(TWO, CORE_1);
        draft.head_hash = Some(Hash::repeat(3));
        chain.back(&draft)
    };
    assert!(chain.try_block(inherent, Vec::new()).is_err());
    assert_eq!(chain.state.storage(), before);
    assert_eq!(chain.push(good).events.len(), 2);
}

#[test]
fn candidates_must_be_ascending_by_para() {
    let chain = chain();
    let mut inherent = chain.backing(&[(ONE, CORE_0), (TWO, CORE_1)]);
    inherent.backed_candidates.swap(0, 1);
    assert_eq!(
        chain.try_block(inherent, Vec::new()).unwrap_err(),
        BlockError::CandidateOrder { first: TWO, second: ONE }
    );
    let twice = chain.backing(&[(ONE, CORE_0), (ONE, CORE_0)]);
    assert_eq!(chain.try_block(twice, Vec::new()).unwrap_err(), BlockError::CandidateOrder { first: ONE, second: ONE });
}

#[test]
fn the_core_must_be_scheduled() {
    let mut chain = chain();
    let refused = refusal_of(&chain, chain.back_with(chain.draft(ONE, THREAD_CORE).receipt(), THREAD_CORE, 3));
    assert_eq!(refused, CandidateError::CoreNotScheduled(THREAD_CORE));
    chain.push(chain.backing(&[(ONE, CORE_0)]));
    let refused = refusal_of(&chain, chain.back(&chain.draft(ONE, CORE_0)));
    assert_eq!(refused, CandidateError::CoreNotScheduled(CORE_0), "an occupied core is not scheduled");
}

#[test]
fn the_backing_must_name_a_core() {
    let chain = chain();
    let backed = BackedCandidate::new(chain.draft(ONE, CORE_0).receipt(), Vec::new(), Bits::new(), CORE_0);
    assert_eq!(refusal_of(&chain, backed), CandidateError::NoCore);
}

#[test]
fn the_para_must_be_assigned_to_the_core() {
    let chain = chain();
    let refused = refusal_of(&chain, chain.back(&chain.draft(ONE, CORE_1)));
    assert_eq!(refused, CandidateError::NotAssigned { core: CORE_1, expected: TWO });
    let mut draft = chain.draft(ONE, CORE_0);
    draft.para = ParaId(9);
    let refused = refusal_of(&chain, chain.back(&draft));
    assert_eq!(refused, CandidateError::NotAssigned { core: CORE_0, expected: ONE });
}

#[test]
fn a_parachain_needs_a_descriptor_of_version_2() {
    let chain = chain();
    let draft = chain.draft(ONE, CORE_0);
    let v1 = draft.receipt_v1(&Pair::from_name("collator"));
    assert_eq!(
        refusal_of(&chain, chain.back_with(v1, CORE_0, 3)),
        CandidateError::Version { found: DescriptorVersion::V1, expected: DescriptorVersion::V2 }
    );
    let v3 = CandidateDescriptor::new_v3(draft.fields(), CORE_0, 0, draft.relay_parent, 0).unwrap();
    let refused = refusal_of(&chain, chain.back_with(draft.with(v3), CORE_0, 3));
    assert!(matches!(refused, CandidateError::Descriptor(_)));
    let unknown = draft.receipt().descriptor.with_raw_version(7);
    assert_eq!(
        refusal_of(&chain, chain.back_with(draft.with(unknown), CORE_0, 3)),
        CandidateError::Version { found: DescriptorVersion::Unknown(7), expected: DescriptorVersion::V2 }
    );
}

#[test]
fn the_descriptor_must_name_the_core_it_is_backed_on() {
    let chain = chain();
    let draft = Draft { core: CoreIndex(7), ..chain.draft(ONE, CORE_0) };
    assert_eq!(
        refusal_of(&chain, chain.back_with(draft.receipt(), CORE_0, 3)),
        CandidateError::WrongCore { found: Some(CoreIndex(7)), expected: CORE_0 }
    );
}

#[test]
fn the_descriptor_must_name_this_session() {
    assert_eq!(refusal(|draft| draft.session = 1), CandidateError::WrongSession { found: 1, expected: 0 });
}

#[test]
fn the_relay_parent_must_be_known() {
    let stranger = Hash::repeat(8);
    assert_eq!(refusal(|draft| draft.relay_parent = stranger), CandidateError::RelayParent(stranger));
}

#[test]
fn the_relay_parent_may_be_as_old_as_the_configuration_allows() {
    let mut chain = chain();
    let old = chain.draft(ONE, CORE_0);
    let backed = chain.back(&old);
    assert_eq!(chain.state.configuration().allowed_ancestry_len, 2);
    for age in 0..4 {
        let mut inherent = chain.inherent();
        inherent.backed_candidates = vec![backed.clone()];
        let result = chain.try_block(inherent, Vec::new());
        match age {
            0..=2 => assert!(result.is_ok(), "relay parent is {age} blocks before the parent"),
            _ => assert_eq!(refusal_of(&chain, backed.clone()), CandidateError::RelayParent(old.relay_parent)),
        }
        chain.skip(1);
    }
}

#[test]
fn the_validation_data_must_be_that_of_the_current_head() {
    for wrong in [
        (|draft: &mut Draft| draft.data.parent_head.0.push(1)) as fn(&mut Draft),
        |draft| draft.data.relay_parent_number += 1,
        |draft| draft.data.relay_parent_storage_root = Hash::ZERO,
        |draft| draft.data.max_pov_size -= 1,
    ] {
        let refused = refusal(|draft| {
            wrong(draft);
            draft.data_hash = draft.data.hash();
        });
        assert!(matches!(refused, CandidateError::ValidationData { .. }));
    }
}

#[test]
fn the_code_must_be_the_paras() {
    let found = ValidationCodeHash(Hash::repeat(4));
    let refused = refusal(|draft| draft.code_hash = found);
    assert!(matches!(refused, CandidateError::CodeHash { found: code, .. } if code == found));
}

#[test]
fn the_head_must_hash_to_what_the_descriptor_says() {
    let refused = refusal(|draft| draft.head_hash = Some(Hash::repeat(3)));
    assert!(matches!(refused, CandidateError::HeadHash { found, .. } if found == Hash::repeat(3)));
}

#[test]
fn the_head_must_not_be_too_large() {
    let max = 20 * 1024;
    let found = max as usize + 1;
    assert_eq!(
        refusal(|draft| draft.commitments.head_data.0 = vec![0; found]),
        CandidateError::HeadSize { found, max }
    );
}

#[test]
fn new_code_must_have_an_acceptable_size() {
    let chain = Chain::with(9, |genesis| genesis.configuration.max_code_size = 100);
    for found in [MIN_CODE_SIZE as usize - 1, 101] {
        let mut draft = chain.draft(ONE, CORE_0);
        draft.commitments.new_validation_code = Some(vec![0; found].into());
        let refused = refusal_of(&chain, chain.back(&draft));
        assert_eq!(refused, CandidateError::CodeSize { found, max: 100 });
    }
}

#[test]
fn messages_must_keep_to_their_limits() {
    let upward =
        |messages: Vec<Vec<u8>>| refusal(move |draft| draft.commitments.upward_messages = messages.try_into().unwrap());
    assert_eq!(upward(vec![vec![1]; 17]), CandidateError::Messages(MessageError::TooManyUpward { found: 17, max: 16 }));
    assert_eq!(
        upward(vec![vec![1; 50 * 1024 + 1]]),
        CandidateError::Messages(MessageError::UpwardSize { found: 50 * 1024 + 1, max: 50 * 1024 })
    );
    let message = OutboundHrmpMessage { recipient: TWO, data: vec![1] };
    assert_eq!(
        refusal(|draft| draft.commitments.horizontal_messages = vec![message].try_into().unwrap()),
        CandidateError::Messages(MessageError::NoChannel(TWO))
    );
    assert_eq!(
        refusal(|draft| draft.commitments.processed_downward_messages = 1),
        CandidateError::Messages(MessageError::DownwardCount { found: 1, least: 0, most: 0 })
    );
    assert_eq!(
        refusal(|draft| draft.commitments.hrmp_watermark = 5),
        CandidateError::Messages(MessageError::Watermark { found: 5, least: 0, most: 4 })
    );
}

#[test]
fn all_upward_messages_together_must_fit_the_queue() {
    let chain = Chain::with(9, |genesis| genesis.configuration.max_upward_queue_size = 10);
    let mut draft = chain.draft(ONE, CORE_0);
    draft.commitments.upward_messages = vec![vec![1; 6]; 2].try_into().unwrap();
    assert_eq!(
        refusal_of(&chain, chain.back(&draft)),
        CandidateError::Messages(MessageError::UpwardQueueSize { found: 12, max: 10 })
    );
}

#[test]
fn the_watermark_must_not_go_back() {
    let mut chain = chain();
    chain.push(chain.backing(&[(ONE, CORE_0)]));
    chain.push(chain.attesting(9, &[0]));
    let mut draft = chain.draft(ONE, CORE_0);
    draft.commitments.hrmp_watermark = 3;
    assert_eq!(
        refusal_of(&chain, chain.back(&draft)),
        CandidateError::Messages(MessageError::Watermark { found: 3, least: 4, most: 6 })
    );
}

#[test]
fn signals_must_select_the_core() {
    let signals = |messages: Vec<Vec<u8>>| {
        move |draft: &mut Draft| draft.commitments.upward_messages = messages.try_into().unwrap()
    };
    let select = |offset| UmpSignal::SelectCore(0, offset).encode();
    assert_eq!(
        refusal(signals(vec![vec![], select(3)])),
        CandidateError::Signals(UmpSignalError::NoAssignment { para: ONE, offset: 3 })
    );
    assert_eq!(refusal(signals(vec![vec![], vec![0xff]])), CandidateError::Signals(UmpSignalError::Undecodable));
    let chain = chain();
    let mut draft = chain.draft(ONE, CORE_0);
    signals(vec![vec![1], vec![], select(2)])(&mut draft);
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back(&draft)];
    assert!(chain.try_block(inherent, Vec::new()).is_ok());
}

#[test]
fn only_more_than_half_of_the_group_back() {
    let chain = chain();
    let draft = chain.draft(ONE, CORE_0);
    let group = chain.group_of(CORE_0);
    assert_eq!(
        refusal_of(&chain, chain.back_with(draft.receipt(), CORE_0, 1)),
        CandidateError::TooFewVotes { group, found: 1, needed: 2 }
    );
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back_with(draft.receipt(), CORE_0, 2)];
    assert!(chain.try_block(inherent, Vec::new()).is_ok());
}

#[test]
fn a_configured_minimum_of_votes_counts() {
    let chain = Chain::with(9, |genesis| genesis.configuration.minimum_backing_votes = Some(3));
    let draft = chain.draft(ONE, CORE_0);
    let refused = refusal_of(&chain, chain.back_with(draft.receipt(), CORE_0, 2));
    assert!(matches!(refused, CandidateError::TooFewVotes { found: 2, needed: 3, .. }));
}

#[test]
fn an_empty_group_backs_nothing() {
    // Two validators on three cores: the last group is empty, and serves the second core after a rotation.
    let mut chain = Chain::new(2);
    chain.skip_to(9);
    assert_eq!(chain.group_of(CORE_1), GroupIndex(2));
    assert!(chain.state.groups()[2].is_empty());
    let back =
        |bits| refusal_of(&chain, BackedCandidate::new(chain.draft(TWO, CORE_1).receipt(), Vec::new(), bits, CORE_1));
    assert_eq!(back(Bits::new()), CandidateError::NoCore);
    assert_eq!(
        back(Bits::repeat(false, 1)),
        CandidateError::Backing(BackingError::GroupSize { found: 1, group_len: 0 })
    );
}

#[test]
fn silence_backs_nothing() {
    let chain = chain();
    let receipt = chain.draft(ONE, CORE_0).receipt();
    let refused = refusal_of(&chain, chain.back_with(receipt, CORE_0, 0));
    assert!(matches!(refused, CandidateError::TooFewVotes { found: 0, needed: 2, .. }));
}

#[test]
fn votes_must_match_the_group() {
    let chain = chain();
    let draft = chain.draft(ONE, CORE_0);
    let good = chain.back(&draft);
    let votes = good.validity_votes().to_vec();
    let back = |votes: Vec<ValidityAttestation>, bits: Bits| {
        refusal_of(&chain, BackedCandidate::new(draft.receipt(), votes, bits, CORE_0))
    };
    assert_eq!(
        back(votes.clone(), Bits::repeat(true, 4)),
        CandidateError::Backing(BackingError::GroupSize { found: 4, group_len: 3 })
    );
    assert_eq!(
        back(votes[..2].to_vec(), Bits::repeat(true, 3)),
        CandidateError::Backing(BackingError::VoteCount { votes: 2, bits: 3 })
    );
}

#[test]
fn only_members_of_the_cores_group_count() {
    let chain = chain();
    let draft = chain.draft(ONE, CORE_0);
    // Backed by the group of another core, as if it were this core's.
    let strangers = chain.back_with(draft.receipt(), CORE_1, usize::MAX);
    let (indices, _) = strangers.validator_indices_and_core_index();
    let backed =
        BackedCandidate::new(draft.receipt(), strangers.validity_votes().to_vec(), indices.to_bitvec(), CORE_0);
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![backed];
    assert_eq!(
        chain.try_block(inherent, Vec::new()).unwrap_err(),
        BlockError::Signature(SignatureOf::Backing(CORE_0, 0))
    );
}

#[test]
fn a_wrong_signature_is_named() {
    let chain = chain();
    let draft = chain.draft(ONE, CORE_0);
    let mut votes = chain.back(&draft).validity_votes().to_vec();
    // A `Valid` is no `Seconded`.
    votes[1] = ValidityAttestation::Implicit(*votes[1].signature());
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![BackedCandidate::new(draft.receipt(), votes, Bits::repeat(true, 3), CORE_0)];
    assert_eq!(
        chain.try_block(inherent, Vec::new()).unwrap_err(),
        BlockError::Signature(SignatureOf::Backing(CORE_0, 1))
    );
}

#[test]
fn a_statement_for_another_relay_parent_does_not_back() {
    let mut chain = chain();
    let early = chain.draft(ONE, CORE_0);
    chain.skip(1);
    let late = chain.draft(ONE, CORE_0);
    // The same receipt, but its signatures were made for the earlier block.
    let context = primitives::SigningContext { session_index: 0, parent_hash: early.relay_parent };
    let group = &chain.state.groups()[chain.group_of(CORE_0).as_usize()];
    let hash = late.receipt().hash();
    let votes = group.iter().map(|member| {
        let message = primitives::CompactStatement::Seconded(hash).signing_payload(&context);
        ValidityAttestation::Implicit(sign(chain.pair_of(*member), &message))
    });
    let mut inherent = chain.inherent();
    inherent.backed_candidates =
        vec![BackedCandidate::new(late.receipt(), votes.collect(), Bits::repeat(true, 3), CORE_0)];
    assert_eq!(
        chain.try_block(inherent, Vec::new()).unwrap_err(),
        BlockError::Signature(SignatureOf::Backing(CORE_0, 0))
    );
}
