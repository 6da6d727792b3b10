//! Secondary attestations with the proofs of their draws.

use crate::{
    support::*,
    transactions::{attest, extra},
};
use primitives::{CandidateHash, ValidatorIndex, crypto::vrf_input_bytes};
use runtime::{
    AssignmentKind, AttestationError, Extrinsic, ExtrinsicError, SecondaryAttestation, SignatureOf, SlotClaim,
    ValidityEvent, Verdict, assignment_input, one_shot_position,
};

/// Two candidates included in one block, whose VRF output is returned.
fn two_included() -> (Chain, [CandidateHash; 2], [u8; 32]) {
    let mut chain = Chain::new(7);
    chain.skip(1);
    chain.push(chain.backing(&[(ONE, CORE_0), (TWO, CORE_1)]));
    let hashes = [CORE_0, CORE_1].map(|core| chain.state.pending_candidate(core).unwrap().hash);
    chain.push(chain.attesting(7, &[0, 1]));
    let claim = SlotClaim::from_digest(&chain.header.digest).unwrap();
    (chain, hashes, claim.vrf.pre_output)
}

fn transaction(attestation: SecondaryAttestation) -> Extrinsic {
    Extrinsic::Attestation(Box::new(attestation))
}

fn refusal(chain: &Chain, attestation: SecondaryAttestation) -> AttestationError {
    match chain.refused(transaction(attestation)) {
        ExtrinsicError::Attestation(error) => error,
        other => panic!("refused for another reason: {other}"),
    }
}

fn outsiders(chain: &Chain, candidate: CandidateHash) -> Vec<u32> {
    let votes = chain.state.dispute_votes(0, candidate);
    assert!(votes.is_none());
    (0..7)
        .filter(|validator| {
            let set = chain.votes(0, candidate, &[], &[(*validator + 1) % 7]);
            let mut fork = chain.clone();
            fork.dispute(set);
            !fork.state.dispute(0, candidate).unwrap().votes.validators_for[*validator as usize]
        })
        .collect()
}

#[test]
fn extra_checks_are_counted_until_the_candidate_is_approved() {
    let (mut chain, [candidate, _], vrf) = two_included();
    let checkers = outsiders(&chain, candidate);
    let status = chain.state.approval_status(0, candidate).unwrap();
    // The group has three members, and two more checks are needed.
    assert_eq!((status.included_in, status.needed, status.checks), (3, 5, 3));
    assert!(!status.is_approved());
    for checker in &checkers[..2] {
        let attestation = extra(&chain, candidate, *checker, &vrf, CORE_0);
        chain.push_extrinsics(vec![transaction(attestation.clone())]);
        assert_eq!(refusal(&chain, attestation), AttestationError::Known(ValidatorIndex(*checker)));
    }
    assert!(chain.state.approval_status(0, candidate).unwrap().is_approved());
    chain.skip_to(23);
    assert!(chain.state.approval_status(0, candidate).is_some());
    let late = extra(&chain, candidate, checkers[2], &vrf, CORE_0);
    chain.skip(1);
    assert!(chain.state.approval_status(0, candidate).is_none(), "acceptance lasts 20 blocks");
    assert_eq!(refusal(&chain, late), AttestationError::NotAccepting(candidate));
}

#[test]
fn a_one_shot_draw_must_name_the_candidate() {
    let (chain, candidates, vrf) = two_included();
    let input = assignment_input(AssignmentKind::OneShot, &vrf, CORE_0, None);
    assert_eq!(input, assignment_input(AssignmentKind::OneShot, &vrf, CORE_1, None), "one draw per block");
    let mut seen = [0; 2];
    for validator in 0..7 {
        let output = chain.pair_in(0, validator).vrf_output(vrf_input_bytes(&input));
        let drawn = one_shot_position(output.make_bytes(b"parahost-assignment"), 2).unwrap();
        for (position, candidate) in candidates.into_iter().enumerate() {
            if !outsiders(&chain, candidate).contains(&validator) {
                continue;
            }
            let attestation = attest(&chain, candidate, validator, AssignmentKind::OneShot, &input);
            if position == drawn {
                chain.clone().push_extrinsics(vec![transaction(attestation)]);
                seen[position] += 1;
            } else {
                let source = SignatureOf::Attestation(candidate, ValidatorIndex(validator));
                assert_eq!(chain.wrong_signature(transaction(attestation)), source);
            }
        }
    }
    assert!(seen[0] + seen[1] > 0);
}

#[test]
fn proof_and_signature_must_be_the_checkers() {
    let (chain, [candidate, other], vrf) = two_included();
    let checkers = outsiders(&chain, candidate);
    let (one, two) = (checkers[0], checkers[1]);
    let source = SignatureOf::Attestation(candidate, ValidatorIndex(one));
    let good = extra(&chain, candidate, one, &vrf, CORE_0);
    let mut forged = good.clone();
    forged.signature = extra(&chain, candidate, two, &vrf, CORE_0).signature;
    assert_eq!(chain.wrong_signature(transaction(forged)), source);
    let mut forged = good.clone();
    forged.assignment = extra(&chain, candidate, two, &vrf, CORE_0).assignment;
    assert_eq!(chain.wrong_signature(transaction(forged)), source);
    // The draw is that of the other core, or of another block.
    let mut forged = good.clone();
    forged.assignment = extra(&chain, candidate, one, &vrf, CORE_1).assignment;
    assert_eq!(chain.wrong_signature(transaction(forged)), source);
    let mut forged = good.clone();
    forged.assignment = extra(&chain, candidate, one, &[0; 32], CORE_0).assignment;
    assert_eq!(chain.wrong_signature(transaction(forged)), source);
    let mut stranger = good.clone();
    stranger.validator = ValidatorIndex(7);
    let unknown = AttestationError::UnknownValidator { session: 0, validator: ValidatorIndex(7) };
    assert_eq!(refusal(&chain, stranger), unknown);
    let mut doubled = good.clone();
    doubled.assignment.equivocated = true;
    assert_eq!(refusal(&chain, doubled), AttestationError::NoEquivocation);
    let mut nothing = good;
    nothing.candidate = CandidateHash::default();
    assert_eq!(refusal(&chain, nothing), AttestationError::NotAccepting(CandidateHash::default()));
    assert_ne!(candidate, other);
}

#[test]
fn an_attestation_is_a_vote_when_the_candidate_is_disputed() {
    let (mut chain, [candidate, _], vrf) = two_included();
    let checkers = outsiders(&chain, candidate);
    let first = extra(&chain, candidate, checkers[0], &vrf, CORE_0);
    chain.push_extrinsics(vec![transaction(first)]);
    chain.dispute(chain.votes(0, candidate, &[], &checkers[3..4]));
    let status = chain.state.dispute(0, candidate).unwrap();
    assert_eq!(status.votes.validators_for.count_ones(), 4, "three backers and the checker");
    assert!(chain.state.approval_status(0, candidate).unwrap().disputed);
    let second = extra(&chain, candidate, checkers[1], &vrf, CORE_0);
    let executed = chain.push_extrinsics(vec![transaction(second)]);
    let verdict = Verdict::Valid;
    assert_eq!(
        executed.validity_events,
        [ValidityEvent::Concluded { session: 0, candidate, verdict, by_supermajority: true }]
    );
    let status = chain.state.approval_status(0, candidate).unwrap();
    assert!(status.is_approved());
}

#[test]
fn a_contradiction_among_checkers_escalates() {
    let (mut chain, [candidate, _], vrf) = two_included();
    let checkers = outsiders(&chain, candidate);
    chain.push_extrinsics(vec![transaction(extra(&chain, candidate, checkers[0], &vrf, CORE_0))]);
    let executed = chain.dispute(chain.votes(0, candidate, &[], &checkers[1..2]));
    assert_eq!(executed.validity_events, [ValidityEvent::Escalated { session: 0, candidate }]);
}

#[test]
fn where_the_author_made_two_blocks_draws_on_the_hash_count_as_well() {
    use codec::Encode;
    let (mut chain, [candidate, _], vrf) = two_included();
    let checker = outsiders(&chain, candidate)[0];
    let included_in = chain.header.clone();
    let hash = included_in.hash();
    chain.skip(1);
    let input = assignment_input(AssignmentKind::Extra, &vrf, CORE_0, Some(hash));
    let mut on_hash = attest(&chain, candidate, checker, AssignmentKind::Extra, &input);
    on_hash.assignment.equivocated = true;
    assert_eq!(refusal(&chain, on_hash.clone()), AttestationError::NoEquivocation);
    let sealed = |salt| {
        let mut header = included_in.clone();
        header.state_root = primitives::Hash::repeat(salt);
        let seal = sign(chain.pair_in(0, 0), &header.hash().encode());
        header.digest.push(primitives::DigestItem::Seal(runtime::SLOT_ENGINE_ID, seal.encode()));
        header
    };
    let report =
        runtime::EquivocationReport { session: 0, validator: ValidatorIndex(0), first: sealed(1), second: sealed(2) };
    chain.push_extrinsics(vec![Extrinsic::Equivocation(Box::new(report))]);
    // The draw without the hash goes on to count.
    let plain = extra(&chain, candidate, checker, &vrf, CORE_0);
    assert!(chain.try_extrinsics(chain.inherent(), vec![transaction(plain)]).is_ok());
    let mut wrong = on_hash.clone();
    wrong.assignment.vrf = extra(&chain, candidate, checker, &vrf, CORE_0).assignment.vrf;
    let source = SignatureOf::Attestation(candidate, ValidatorIndex(checker));
    assert_eq!(chain.wrong_signature(transaction(wrong)), source);
    chain.push_extrinsics(vec![transaction(on_hash)]);
    assert_eq!(chain.state.approval_status(0, candidate).unwrap().checks, 4);
}

#[test]
fn the_state_root_covers_who_attested() {
    let (chain, [candidate, _], vrf) = two_included();
    let root_with = |checker: u32| {
        let attestation = transaction(extra(&chain, candidate, checker, &vrf, CORE_0));
        chain.try_extrinsics(chain.inherent(), vec![attestation]).unwrap().1.state.root()
    };
    let checkers = outsiders(&chain, candidate);
    assert_ne!(root_with(checkers[0]), root_with(checkers[1]));
}

#[test]
fn nothing_is_accepted_of_a_session_whose_validators_are_gone() {
    let mut chain = Chain::with(7, |genesis| genesis.configuration.acceptance_period = 600);
    chain.skip(1);
    let candidate = chain.include(ONE, CORE_0);
    chain.skip_to(78);
    assert!(chain.state.approval_status(0, candidate).is_some());
    chain.skip_to(79);
    assert!(chain.state.approval_status(0, candidate).is_none());
    assert_eq!(chain.state.accepting().count(), 0);
}
