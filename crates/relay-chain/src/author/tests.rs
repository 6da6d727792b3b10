use primitives::{
    AvailabilityBitfield, BackedCandidate, Bits, CandidateCommitments, CandidateDescriptor, CommittedCandidateReceipt,
    CoreIndex, HeadData, ParaId, Signature, UncheckedSigned, ValidationCodeHash, descriptor::DescriptorFields,
};

use super::*;

/// A backed candidate with so many bytes of new head.
fn candidate(para: u32, bytes: usize) -> BackedCandidate {
    let fields = DescriptorFields {
        para_id: ParaId(para),
        relay_parent: Hash::repeat(1),
        persisted_validation_data_hash: Hash::repeat(2),
        pov_hash: Hash::repeat(3),
        erasure_root: Hash::repeat(4),
        para_head: Hash::repeat(5),
        validation_code_hash: ValidationCodeHash(Hash::repeat(6)),
    };
    let descriptor = CandidateDescriptor::new_v2(fields, CoreIndex(0), 0).unwrap();
    let commitments = CandidateCommitments { head_data: HeadData(vec![0; bytes]), ..CandidateCommitments::default() };
    BackedCandidate::new(CommittedCandidateReceipt { descriptor, commitments }, Vec::new(), Bits::new(), CoreIndex(0))
}

fn inherent(candidates: u32, bytes: usize) -> InherentData {
    let header = primitives::Header {
        parent_hash: Hash::repeat(7),
        number: 1,
        state_root: Hash::repeat(8),
        extrinsics_root: Hash::repeat(9),
        digest: Vec::new(),
    };
    let bitfield =
        UncheckedSigned::new(AvailabilityBitfield(Bits::repeat(true, 1)), ValidatorIndex(0), Signature([0; 64]));
    let backed_candidates = (0..candidates).map(|para| candidate(para, bytes)).collect();
    InherentData { backed_candidates, bitfields: vec![bitfield], ..InherentData::empty(header) }
}

#[test]
fn candidates_that_make_a_block_too_large_are_left_out_from_the_end_and_the_bitfields_stay() {
    const MIB: usize = 1024 * 1024;
    for (beside, fitting) in [(0, 15), (MIB, 14), (MAX_BLOCK_BYTES / 2, 7)] {
        let whole = inherent(20, MIB);
        let mut less = whole.clone();
        assert!(leave_out_candidates(&mut less, beside));
        assert_eq!(less.backed_candidates[..], whole.backed_candidates[..fitting]);
        assert_eq!(less.bitfields, whole.bitfields);
        assert!(less.encoded_size() + beside + HEADER_ROOM <= MAX_BLOCK_BYTES);
        assert!(!leave_out_candidates(&mut less, beside), "it fits now");
    }
    let whole = inherent(7, MIB);
    let mut same = whole.clone();
    assert!(!leave_out_candidates(&mut same, 0));
    assert_eq!(same, whole, "what fits stays");
}

#[test]
fn transactions_beyond_their_share_wait_and_smaller_ones_take_their_place() {
    let sized = |bytes: usize| {
        let change = runtime::Governance::SendDownward(ParaId(1), vec![0; bytes]);
        let signed = runtime::SignedGovernance { change, nonce: bytes as u64, signatures: Vec::new() };
        Extrinsic::Governed(Box::new(signed))
    };
    let half = TRANSACTIONS_BYTES_PER_BLOCK / 2;
    let mut transactions = vec![sized(half), sized(half + 1), sized(10)];
    leave_out_transactions(&mut transactions);
    assert_eq!(transactions, [sized(half), sized(10)]);
}

#[test]
fn a_pause_grows_with_the_lag_and_leaves_every_slot_after_it_to_whose_turn_it_is() {
    let pause = |lag: BlockNumber| (1..1 << 20).find(|slots| !is_paused(*slots, lag));
    assert!((0..=LAG_TOLERATED).all(|lag| pause(lag) == Some(1)), "none at first");
    assert_eq!((pause(17), pause(24), pause(25), pause(LAG_HEAVY)), (Some(2), Some(2), Some(3), Some(15)));
    assert_eq!((pause(LAG_HEAVY + 1), pause(LAG_HEAVY + 9)), (Some(29), Some(57)));
    for lag in 0..MAX_UNFINALIZED_DEPTH {
        let first = pause(lag).unwrap();
        assert!((first..first + 100).all(|slots| !is_paused(slots, lag)), "lag {lag}: nobody's turn is left out");
    }
    assert_eq!(pause(MAX_UNFINALIZED_DEPTH), None);
    let slots: u64 = (0..MAX_UNFINALIZED_DEPTH).filter_map(pause).sum();
    assert!(slots * 6 > 30 * 24 * 3600, "the tree is full after weeks of slots of six seconds: {slots}");
}
