//! Rules that the golden values do not show.

use crate::support::pair;
use codec::Encode;
use primitives::{
    BackedCandidate, BackingError, Bits, CandidateCommitments, CandidateDescriptor, CandidateHash, CollatorId,
    CommittedCandidateReceipt, CompactStatement, CompactVote, ConfigurationError, CoreIndex, DescriptorError,
    DescriptorVersion, DigestItem, DisputeStatement, GroupIndex, GroupRotationInfo, Hash, Header, HostConfiguration,
    MisbehaviorError, MisbehaviorKind, MisbehaviorReport, Pair, ParaId, PoV, Signature, SignedMessage, SigningContext,
    SigningPayload, UmpSignal, UmpSignals, ValidDisputeStatementKind, ValidatorId, ValidatorIndex, ValidityAttestation,
    backing_quorum, check_candidate_backing,
    configuration::FIELDS,
    crypto::{SeedRng, vrf_input, vrf_verify},
    descriptor::{DescriptorFields, collator_signature_payload},
    messages::{HrmpChannelId, UmpSignalError},
    misbehavior::SignedVote,
    well_known_keys,
};
use rand_core_06::RngCore;
use std::collections::{BTreeMap, BTreeSet};

const CONTEXT: SigningContext = SigningContext { session_index: 3, parent_hash: Hash::repeat(7) };

fn rng(byte: u8) -> SeedRng {
    SeedRng::new([byte; 32])
}

fn fields() -> DescriptorFields {
    DescriptorFields { para_id: ParaId(100), relay_parent: Hash::repeat(1), ..Default::default() }
}

fn committed(descriptor: CandidateDescriptor, upward: Vec<Vec<u8>>) -> CommittedCandidateReceipt {
    let commitments = CandidateCommitments { upward_messages: upward.try_into().unwrap(), ..Default::default() };
    CommittedCandidateReceipt { descriptor, commitments }
}

#[test]
fn a_parathread_descriptor_carries_its_collator() {
    let collator = pair("//Bob");
    let signed = CandidateDescriptor::sign_v1(fields(), &collator, &mut rng(1));
    assert_eq!(signed.version(), DescriptorVersion::V1);
    assert_eq!(signed.version_by_old_rules(), DescriptorVersion::V1);
    assert_eq!(signed.check_collator_signature(), Ok(CollatorId(collator.public())));
    assert_eq!(collator_signature_payload(&fields()).len(), 132);
    assert_eq!((signed.core_index(), signed.session_index(), signed.scheduling_session()), (None, None, None));

    let elsewhere = DescriptorFields { relay_parent: Hash::repeat(2), ..fields() };
    let stolen =
        CandidateDescriptor::new_v1(elsewhere, signed.collator().unwrap(), signed.collator_signature().unwrap());
    let error = DescriptorError::CollatorSignature(CollatorId(collator.public()));
    assert_eq!(stolen.check_collator_signature(), Err(error));

    let v2 = CandidateDescriptor::new_v2(fields(), CoreIndex(0), 1).unwrap();
    assert_eq!(v2.check_collator_signature(), Err(DescriptorError::NoCollator { para: ParaId(100) }));
    let error = DescriptorError::CoreTooLarge(CoreIndex(65_536));
    assert_eq!(CandidateDescriptor::new_v2(fields(), CoreIndex(65_536), 1), Err(error));
    let v3 = |session, scheduling| CandidateDescriptor::new_v3(fields(), CoreIndex(0), session, Hash::ZERO, scheduling);
    assert!(v3(1, 256).is_ok());
    assert_eq!(v3(1, 257), Err(DescriptorError::SchedulingSession { session: 1, scheduling: 257 }));
    assert_eq!(v3(1, 0), Err(DescriptorError::SchedulingSession { session: 1, scheduling: 0 }));
}

#[test]
fn signals_select_the_core() {
    let para = ParaId(100);
    let queue = |cores: &[u32]| {
        let cores: BTreeSet<CoreIndex> = cores.iter().copied().map(CoreIndex).collect();
        BTreeMap::from([(para, BTreeMap::from([(0, cores)]))])
    };
    let v2 = |core| CandidateDescriptor::new_v2(fields(), CoreIndex(core), 1).unwrap();
    let select = |selector| vec![vec![1], vec![], UmpSignal::SelectCore(selector, 0).encode()];
    let check = |descriptor, upward, queue: &_| committed(descriptor, upward).check_signals(queue);

    assert!(check(v2(4), vec![], &queue(&[4])).is_ok());
    assert!(check(v2(6), vec![], &queue(&[4, 6])).is_ok(), "any of several cores without a selector");
    assert!(check(v2(6), select(5), &queue(&[4, 6])).is_ok(), "selector is taken modulo the cores");
    let mismatch = UmpSignalError::CoreMismatch { descriptor: CoreIndex(4), selected: CoreIndex(6) };
    assert_eq!(check(v2(4), select(5), &queue(&[4, 6])), Err(mismatch));
    assert_eq!(check(v2(5), vec![], &queue(&[4, 6])), Err(UmpSignalError::CoreNotAssigned(CoreIndex(5))));
    assert_eq!(check(v2(5), vec![], &queue(&[])), Err(UmpSignalError::NoAssignment { para, offset: 0 }));
    let unknown = v2(4).with_raw_version(9);
    assert_eq!(check(unknown, vec![], &queue(&[4])), Err(UmpSignalError::UnknownVersion(9)));
    let v1 = CandidateDescriptor::sign_v1(fields(), &pair("//Bob"), &mut rng(1));
    assert_eq!(check(v1.clone(), vec![], &queue(&[])), Ok(UmpSignals::default()));
    assert_eq!(check(v1, select(0), &queue(&[4])), Err(UmpSignalError::NotWithV1));
    let v3 = CandidateDescriptor::new_v3(fields(), CoreIndex(4), 1, Hash::repeat(9), 1).unwrap();
    assert_eq!(check(v3.clone(), vec![], &queue(&[4])), Err(UmpSignalError::RequiredByV3));
    assert!(check(v3, select(0), &queue(&[4])).is_ok());
}

#[test]
fn malformed_signals_are_refused() {
    let select = UmpSignal::SelectCore(0, 0).encode();
    let peer = UmpSignal::ApprovedPeer(vec![5; 64].try_into().unwrap()).encode();
    let read = |messages: &[&[u8]]| {
        UmpSignals::from_messages(&messages.iter().map(|message| message.to_vec()).collect::<Vec<_>>())
    };
    let both = read(&[&[], &select, &peer]).unwrap();
    assert_eq!((both.select_core, both.approved_peer.map(|peer| peer.len())), (Some((0, 0)), Some(64)));
    assert_eq!(read(&[&[], &select, &peer, &[1]]), Err(UmpSignalError::TooMany));
    assert_eq!(read(&[&[], &select, &select]), Err(UmpSignalError::Duplicate));
    assert_eq!(read(&[&[], &[7]]), Err(UmpSignalError::Undecodable));
    let long = (1u8, vec![5u8; 65]).encode();
    assert_eq!(read(&[&[], &long]), Err(UmpSignalError::Undecodable), "a peer id has at most 64 bytes");
    assert_eq!(read(&[&select]), Ok(UmpSignals::default()), "nothing before the separator is a signal");
}

#[test]
fn a_backing_must_be_complete_and_correct() {
    let group: Vec<Pair> = ["//Alice", "//Bob", "//Charlie"].map(pair).into();
    let candidate = CandidateHash(Hash::repeat(5));
    let sign = |member: usize, statement: CompactStatement| {
        group[member].sign(&statement.signing_payload(&CONTEXT), &mut rng(member as u8))
    };
    let seconded = ValidityAttestation::Implicit(sign(0, CompactStatement::Seconded(candidate)));
    let valid = ValidityAttestation::Explicit(sign(2, CompactStatement::Valid(candidate)));
    let votes = [seconded.clone(), valid.clone()];
    let check = |votes: &[ValidityAttestation], marks: &[bool], known: usize| {
        let bits: Bits = marks.iter().copied().collect();
        let member =
            |position: usize| group.get(position).filter(|_| position < known).map(|pair| ValidatorId(pair.public()));
        check_candidate_backing(candidate, votes, &bits, &CONTEXT, 3, member)
    };
    assert_eq!(check(&votes, &[true, false, true], 3), Ok(2));
    assert_eq!(check(&votes, &[true, true, false], 3), Err(BackingError::Signature(1)));
    assert_eq!(check(&votes, &[true, true, true], 3), Err(BackingError::VoteCount { votes: 2, bits: 3 }));
    assert_eq!(check(&votes, &[true, false, true], 2), Err(BackingError::UnknownMember(2)));
    assert_eq!(check(&[], &[false; 3], 3), Ok(0), "whether that is enough is the quorum's business");
    let as_other_kind = [ValidityAttestation::Explicit(*seconded.signature()), valid];
    assert_eq!(check(&as_other_kind, &[true, false, true], 3), Err(BackingError::Signature(0)));
}

#[test]
fn too_few_bits_carry_no_core() {
    let candidate = committed(CandidateDescriptor::new_v2(fields(), CoreIndex(3), 1).unwrap(), vec![]);
    let empty_group = BackedCandidate::new(candidate.clone(), vec![], Bits::new(), CoreIndex(3));
    assert_eq!(empty_group.validator_indices_and_core_index().1, None);
    let one = BackedCandidate::new(candidate, vec![], Bits::repeat(true, 1), CoreIndex(255));
    let (indices, core) = one.validator_indices_and_core_index();
    assert_eq!((indices.len(), core), (1, Some(CoreIndex(255))));
}

#[test]
fn quorum_is_more_than_half_or_the_configured_minimum() {
    let majority: Vec<usize> = (0..7).map(|group_len| backing_quorum(group_len, None)).collect();
    assert_eq!(majority, [1, 1, 2, 2, 3, 3, 4]);
    assert_eq!(backing_quorum(5, Some(2)), 2);
    assert_eq!(backing_quorum(1, Some(2)), 1);
    assert_eq!(backing_quorum(5, Some(0)), 1, "nothing is backed by silence");
    assert_eq!(backing_quorum(0, Some(2)), 1, "an empty group backs nothing");
}

#[test]
fn contradictions_are_those_of_the_requirements() {
    let (one, two) = (CandidateHash(Hash::repeat(1)), CandidateHash(Hash::repeat(2)));
    let votes = [CompactVote::Seconded, CompactVote::Valid, CompactVote::Invalid];
    for (i, first) in votes.iter().enumerate() {
        for (j, second) in votes.iter().enumerate() {
            assert_eq!(first(one).conflicts_with(&second(one)), i != j, "on one candidate");
            assert_eq!(first(one).conflicts_with(&second(two)), i == 0 && j == 0, "on two candidates");
        }
    }
}

#[test]
fn misbehavior_needs_two_good_signatures_that_contradict() {
    let mallory = pair("//Eve");
    let id = ValidatorId(mallory.public());
    let signed = |vote: CompactVote, context: SigningContext| {
        let signature = mallory.sign(&vote.signing_payload(&context), &mut rng(9));
        SignedVote { vote, context, signature }
    };
    let (one, two) = (CandidateHash(Hash::repeat(1)), CandidateHash(Hash::repeat(2)));
    let report = |first, second| MisbehaviorReport { validator_index: ValidatorIndex(4), first, second };
    let seconded = signed(CompactVote::Seconded(one), CONTEXT);
    let elsewhere = SigningContext { parent_hash: Hash::repeat(8), ..CONTEXT };
    let later = SigningContext { session_index: 4, ..CONTEXT };

    let double = report(seconded, signed(CompactVote::Seconded(two), CONTEXT));
    assert_eq!(double.verify(&id), Ok(MisbehaviorKind::DoubleSeconded(CONTEXT.parent_hash)));
    let contradiction = report(seconded, signed(CompactVote::Invalid(one), CONTEXT));
    assert_eq!(contradiction.verify(&id), Ok(MisbehaviorKind::SelfContradiction(one)));
    assert_eq!(contradiction.session_index(), 3);
    let on_another_fork = report(seconded, signed(CompactVote::Invalid(one), elsewhere));
    assert_eq!(on_another_fork.verify(&id), Ok(MisbehaviorKind::SelfContradiction(one)));

    let innocent = report(seconded, signed(CompactVote::Seconded(two), elsewhere));
    assert_eq!(innocent.verify(&id), Err(MisbehaviorError::DifferentContext));
    let next_session = report(seconded, signed(CompactVote::Seconded(two), later));
    assert_eq!(next_session.verify(&id), Err(MisbehaviorError::DifferentContext));
    let agreeing = report(seconded, signed(CompactVote::Valid(two), CONTEXT));
    assert!(matches!(agreeing.verify(&id), Err(MisbehaviorError::NoConflict { .. })));
    let mut forged = double;
    forged.second.signature = seconded.signature;
    assert_eq!(forged.verify(&id), Err(MisbehaviorError::Signature(ValidatorIndex(4))));
}

#[test]
fn approvals_of_several_candidates_name_each() {
    let candidates: Vec<CandidateHash> = (1..=3).map(|byte| CandidateHash(Hash::repeat(byte))).collect();
    let several = |count: usize| {
        let candidates = candidates[..count].to_vec().try_into().unwrap();
        DisputeStatement::Valid(ValidDisputeStatementKind::ApprovalCheckingMultipleCandidates(candidates))
    };
    let single = DisputeStatement::Valid(ValidDisputeStatementKind::ApprovalChecking);
    assert_eq!(several(1).payload(candidates[0], 9), single.payload(candidates[0], 9));
    assert_eq!(several(2).payload(candidates[2], 9), None, "not among them");
    let expected = (*b"APPR", &candidates[..2], 9u32).encode();
    assert_eq!(several(2).payload(candidates[1], 9), Some(expected));
    let voter = pair("//Dave");
    let signature = voter.sign(&several(2).payload(candidates[0], 9).unwrap(), &mut rng(2));
    assert!(several(2).verify(&ValidatorId(voter.public()), candidates[1], 9, &signature));
    assert!(!several(2).verify(&ValidatorId(voter.public()), candidates[1], 8, &signature));
}

#[test]
fn rotation_survives_extremes() {
    let never = GroupRotationInfo { session_start_block: 0, group_rotation_frequency: 0, now: 1000 };
    assert_eq!(never.group_for_core(CoreIndex(3), 5), GroupIndex(3));
    assert_eq!((never.next_rotation_at(), never.last_rotation_at()), (None, 1000));
    let last = GroupRotationInfo { session_start_block: 0, group_rotation_frequency: 10, now: u32::MAX };
    assert_eq!(last.next_rotation_at(), None);
    assert_eq!(last.bump_rotation(), last);
    let before = GroupRotationInfo { session_start_block: 50, group_rotation_frequency: 10, now: 5 };
    assert_eq!(before.group_for_core(CoreIndex(4), 5), GroupIndex(4));
    let often = GroupRotationInfo { session_start_block: 0, group_rotation_frequency: 1, now: u32::MAX };
    for cores in 1..20 {
        for core in 0..cores {
            let group = often.group_for_core(CoreIndex(core), cores as usize);
            assert_eq!(often.core_for_group(group, cores as usize), CoreIndex(core));
        }
    }
}

#[test]
fn signing_repeats_with_the_generator_and_only_with_it() {
    let alice = pair("//Alice");
    let sign = |byte| alice.sign(b"message", &mut rng(byte));
    assert_eq!(sign(1), sign(1));
    assert_ne!(sign(1), sign(2));
    assert!(ValidatorId(alice.public()).verify(b"message", &sign(2)));
    assert!(!ValidatorId([0xff; 32]).verify(b"message", &sign(2)), "a malformed key verifies nothing");
    assert!(!ValidatorId(alice.public()).verify(b"message", &Signature([0xff; 64])));
    assert!(!format!("{alice:?}").contains("e5be9a50"), "the secret is not printed");
    let (mut bytewise, mut at_once) = (rng(3), rng(3));
    let mut block = [0; 40];
    at_once.fill_bytes(&mut block);
    assert_eq!(bytewise.next_u64().to_le_bytes(), block[..8]);
}

#[test]
fn a_vrf_output_is_bound_to_key_and_input() {
    let (alice, bob) = (pair("//Alice"), pair("//Bob"));
    let input = |slot: u64| vrf_input(b"slot", &[(b"slot", &slot.to_le_bytes())]);
    let (signature, output) = alice.vrf_sign(input(5), &mut rng(1));
    let bytes: [u8; 32] = output.make_bytes(b"purpose");
    assert_eq!(bytes, alice.vrf_output(input(5)).make_bytes::<32>(b"purpose"));
    let verified = vrf_verify(&alice.public(), input(5), &signature).unwrap();
    assert_eq!(verified.make_bytes::<32>(b"purpose"), bytes);
    assert!(vrf_verify(&alice.public(), input(6), &signature).is_none());
    assert!(vrf_verify(&bob.public(), input(5), &signature).is_none());
    let again = alice.vrf_sign(input(5), &mut rng(2)).0;
    assert_eq!(again.pre_output, signature.pre_output, "the nonce does not change the output");
    let mut broken = signature;
    broken.proof[3] ^= 1;
    assert!(vrf_verify(&alice.public(), input(5), &broken).is_none());
}

#[test]
fn a_header_is_encoded_like_substrate_s() {
    let header = Header {
        parent_hash: Hash::repeat(1),
        number: 300,
        state_root: Hash::repeat(2),
        extrinsics_root: Hash::repeat(3),
        digest: vec![
            DigestItem::PreRuntime(*b"BABE", vec![7]),
            DigestItem::Consensus(*b"POL1", vec![]),
            DigestItem::Other(vec![9]),
            DigestItem::RuntimeEnvironmentUpdated,
            DigestItem::Seal(*b"BABE", vec![8, 8]),
        ],
    };
    let expected = [
        &[1; 32][..],
        &[0xb1, 0x04],
        &[2; 32],
        &[3; 32],
        &[20, 6],
        b"BABE\x04\x07\x04POL1\x00\x00\x04\x09\x08\x05BABE\x08\x08\x08",
    ]
    .concat();
    assert_eq!(hex::encode(header.encode()), hex::encode(&expected));
    assert_eq!(header.hash(), primitives::blake2_256(&expected));
}

#[test]
fn storage_keys_of_today_that_have_no_golden_value() {
    // Published constants of the relay chain.
    let keys = [
        (
            well_known_keys::current_block_randomness(),
            "1cb6f36e027abb2091cfb5110ab5087fd077dfdb8adb10f78f10a5df8742c545",
        ),
        (
            well_known_keys::one_epoch_ago_randomness(),
            "1cb6f36e027abb2091cfb5110ab5087f7ce678799d3eff024253b90e84927cc6",
        ),
        (
            well_known_keys::two_epochs_ago_randomness(),
            "1cb6f36e027abb2091cfb5110ab5087f7a414cb008e0e61e46722aa60abdd672",
        ),
        (well_known_keys::next_authorities(), "1cb6f36e027abb2091cfb5110ab5087faacf00b9b41fda7a9268821c2a2b3e4c"),
    ];
    for (key, expected) in keys {
        assert_eq!(hex::encode(key), expected);
    }
    let para = ParaId(7);
    let channel = HrmpChannelId { sender: para, recipient: ParaId(8) };
    let prefixes = [
        (
            well_known_keys::upgrade_restriction_signal(para),
            "cd710b30bd2eab0352ddcc26417aa194f27bbb460270642b5bcaf032ea04d56a",
        ),
        (well_known_keys::hrmp_channels(channel), "6a0da05ca59913bc38a8630590f2627cb6604cff828a6e3f579ca6c59ace013d"),
        (
            well_known_keys::hrmp_ingress_channel_index(para),
            "6a0da05ca59913bc38a8630590f2627c1d3719f5b0b12c7105c073c507445948",
        ),
        (
            well_known_keys::hrmp_egress_channel_index(para),
            "6a0da05ca59913bc38a8630590f2627cf12b746dcf32e843354583c9702cc020",
        ),
        (
            well_known_keys::relay_dispatch_queue_size(para),
            "f5207f03cfdce586301014700e2c2593fad157e461d71fd4c1f936839a5f1f3e",
        ),
    ];
    for (key, prefix) in prefixes {
        assert!(hex::encode(&key).starts_with(prefix), "{} should start with {prefix}", hex::encode(&key));
    }
    let capacity = well_known_keys::relay_dispatch_queue_remaining_capacity(para);
    assert_eq!(capacity, b":relay_dispatch_queue_remaining_capacity\x07\0\0\0");
}

#[test]
fn the_default_configuration_holds_and_broken_ones_do_not() {
    let good = HostConfiguration::default();
    assert_eq!(good.check(), Ok(()));
    let broken = |change: fn(&mut HostConfiguration)| {
        let mut configuration = HostConfiguration::default();
        change(&mut configuration);
        configuration.check().unwrap_err()
    };
    assert_eq!(
        broken(|c| c.acceptance_period = 601),
        ConfigurationError::OutOfRange { field: "acceptance_period_blocks", found: 601, min: 0, max: 600 }
    );
    for field in FIELDS {
        for found in [field.min.checked_sub(1), field.max.checked_add(1)].into_iter().flatten() {
            let mut configuration = good.clone();
            field.set(&mut configuration, Some(found));
            let (min, max) = (field.min, field.max);
            let expected = ConfigurationError::OutOfRange { field: field.name, found, min, max };
            assert_eq!(configuration.check(), Err(expected));
        }
    }
    let error = broken(|c| c.thread_availability_period = c.parachain_rotation_frequency);
    assert!(matches!(error, ConfigurationError::RotationTooFast { field: "thread_availability_period_blocks", .. }));
    let error = broken(|c| (c.parathread_cores, c.scheduling_lookahead) = (3, 0));
    assert_eq!(error, ConfigurationError::NoLookahead { parathread_cores: 3 });
    assert_eq!(good.abridged().encode().len(), 11 * 4);
}

#[test]
fn the_default_can_be_cut_for_sessions_of_any_length() {
    for blocks in 3..30 {
        let configuration = HostConfiguration::for_sessions(blocks);
        assert_eq!((configuration.check(), configuration.check_in_sessions(blocks)), (Ok(()), Ok(())), "{blocks}");
    }
    assert_eq!(HostConfiguration::for_sessions(20), HostConfiguration::default());
    let slow = ConfigurationError::RotationTooSlow { rotation: 10, session_length: 10 };
    assert_eq!(HostConfiguration::default().check_in_sessions(10), Err(slow));
}

#[test]
fn the_table_has_each_field_of_the_configuration_once() {
    let names: BTreeSet<_> = FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(names.len(), FIELDS.len());
    for field in FIELDS {
        let mut changed = HostConfiguration::default();
        field.set(&mut changed, Some(77));
        assert_eq!(field.get(&changed), Some(77));
        assert_ne!(changed, HostConfiguration::default(), "{}", field.name);
        field.set(&mut changed, field.default_value());
        assert_eq!(changed, HostConfiguration::default(), "{}", field.name);
    }
}

#[test]
fn clones_of_a_pov_share_its_bytes() {
    let pov = PoV::from(vec![1; 1024]);
    let clone = pov.clone();
    assert_eq!(clone.block_data.0.as_ptr(), pov.block_data.0.as_ptr());
}

/// With the neutral point as the key a signature needs no secret: its nonce's point is neutral too, and its scalar zero.
#[test]
fn nobody_signs_for_the_key_that_everybody_could_sign_for() {
    let mut bytes = [0; 64];
    // The mark of sr25519.
    bytes[63] = 0x80;
    let signature = Signature(bytes);
    assert!(!primitives::crypto::is_public_key(&[0; 32]));
    assert!(!primitives::crypto::verify(&[0; 32], b"anything", &signature));
    let message = SignedMessage { public: [0; 32], message: b"anything".to_vec(), signature };
    assert!(!message.verify());
    let pair = Pair::from_seed(&[7; 32]);
    assert!(primitives::crypto::is_public_key(&pair.public()));
}
