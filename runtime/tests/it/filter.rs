//! Filtering before authoring: the bad goes, the good stays, and the result is always accepted.

use crate::support::*;
use primitives::{BackedCandidate, Bits, DisputeStatementSet, Hash, InherentData, ValidatorIndex, ValidityAttestation};
use runtime::{DirectVerifier, SignatureSet, Verifier, filter_inherent};
use std::sync::atomic::{AtomicUsize, Ordering};

fn filtered(chain: &Chain, inherent: InherentData) -> InherentData {
    let filtered = filter_inherent(&chain.state, &chain.header, inherent, &DirectVerifier);
    assert!(chain.try_block(filtered.clone(), Vec::new()).is_ok());
    filtered
}

fn validators(inherent: &InherentData) -> Vec<u32> {
    inherent.bitfields.iter().map(|bitfield| bitfield.validator_index.0).collect()
}

#[test]
fn a_good_inherent_passes_as_it_is() {
    let mut chain = Chain::new(6);
    chain.push(chain.backing(&[(TWO, CORE_1)]));
    let mut inherent = chain.backing(&[(ONE, CORE_0)]);
    inherent.bitfields = chain.attesting(6, &[1]).bitfields;
    assert_eq!(filtered(&chain, inherent.clone()), inherent);
}

#[test]
fn order_is_mended() {
    let mut chain = Chain::new(6);
    chain.skip(1);
    let mut inherent = chain.backing(&[(TWO, CORE_1), (ONE, CORE_0)]);
    inherent.bitfields = chain.attesting(6, &[]).bitfields;
    inherent.bitfields.reverse();
    let kept = filtered(&chain, inherent);
    assert_eq!(validators(&kept), [0, 1, 2, 3, 4, 5]);
    assert_eq!(kept.backed_candidates.len(), 2);
}

#[test]
fn bad_bitfields_go_and_the_others_stay() {
    let chain = Chain::new(6);
    let mut inherent = chain.attesting(6, &[]);
    let fields = &mut inherent.bitfields;
    fields[1].signature = fields[0].signature;
    fields[3] = chain.signed_bitfield(3, Bits::repeat(false, 9), &chain.context());
    fields.push(fields[4].clone());
    let mut unknown = fields[5].clone();
    unknown.validator_index = ValidatorIndex(17);
    fields.push(unknown);
    assert_eq!(validators(&filtered(&chain, inherent)), [0, 2, 4, 5]);
}

#[test]
fn a_bad_duplicate_does_not_take_the_place_of_a_good_one() {
    let chain = Chain::new(6);
    let good = chain.bitfield(2, &[]);
    let mut bad = good.clone();
    bad.signature = chain.bitfield(3, &[]).signature;
    for bitfields in [vec![bad.clone(), good.clone()], vec![good.clone(), bad]] {
        let mut inherent = chain.inherent();
        inherent.bitfields = bitfields;
        assert_eq!(filtered(&chain, inherent).bitfields, std::slice::from_ref(&good));
    }
    let draft = chain.draft(ONE, CORE_0);
    let good = chain.back(&draft);
    let mut votes = good.validity_votes().to_vec();
    votes[0] = ValidityAttestation::Explicit(*votes[0].signature());
    let (indices, _) = good.validator_indices_and_core_index();
    let bad = BackedCandidate::new(draft.receipt(), votes, indices.to_bitvec(), CORE_0);
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![bad, good.clone()];
    assert_eq!(filtered(&chain, inherent).backed_candidates, [good]);
}

#[test]
fn a_candidate_whose_core_only_frees_by_a_bad_bitfield_goes() {
    let mut chain = Chain::new(6);
    chain.push(chain.backing(&[(ONE, CORE_0)]));
    let head = chain.state.candidate_pending_availability(CORE_0).unwrap().commitments.head_data.clone();
    let mut draft = chain.draft(ONE, CORE_0);
    draft.data.parent_head = head;
    draft.data_hash = draft.data.hash();
    let mut inherent = chain.attesting(5, &[0]);
    inherent.backed_candidates = vec![chain.back(&draft)];
    assert_eq!(filtered(&chain, inherent.clone()).backed_candidates.len(), 1);
    inherent.bitfields[3].signature = inherent.bitfields[2].signature;
    let kept = filtered(&chain, inherent);
    assert_eq!((kept.bitfields.len(), kept.backed_candidates.len()), (4, 0));
}

#[test]
fn dispute_votes_go_and_the_parent_header_is_put_right() {
    let mut chain = Chain::new(6);
    let mut inherent = chain.inherent();
    chain.skip(1);
    inherent.disputes.push(DisputeStatementSet {
        candidate_hash: Hash::repeat(1).into(),
        session: 0,
        statements: Vec::new(),
    });
    assert_eq!(filtered(&chain, inherent), chain.inherent());
}

#[test]
fn good_signatures_are_verified_in_one_call() {
    struct Counting(AtomicUsize);
    impl Verifier for Counting {
        fn verify(&self, set: &SignatureSet) -> Result<(), usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            DirectVerifier.verify(set)
        }
    }
    let chain = Chain::new(6);
    let mut inherent = chain.backing(&[(ONE, CORE_0), (TWO, CORE_1)]);
    inherent.bitfields = chain.attesting(6, &[]).bitfields;
    let verifier = Counting(AtomicUsize::new(0));
    filter_inherent(&chain.state, &chain.header, inherent, &verifier);
    assert_eq!(verifier.0.into_inner(), 2, "one for bitfields, one for candidates");
}
