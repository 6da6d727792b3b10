//! One test per section of the golden values.

use crate::support::{assert_scale, bytes, decode, hash, number, pair, rows, signature, text, vectors};
use codec::Encode;
use primitives::{
    AvailabilityBitfield, BackedCandidate, BackingError, Bits, BlockData, CandidateCommitments, CandidateDescriptor,
    CandidateHash, CandidateReceipt, CollatorId, CommittedCandidateReceipt, CompactStatement, CoreIndex,
    DescriptorError, DescriptorVersion, DisputeStatement, GroupIndex, GroupRotationInfo, Hash, HeadData,
    InvalidDisputeStatementKind, OutboundHrmpMessage, ParaId, PersistedValidationData, PoV, Signature, SigningContext,
    SigningPayload, Statement, UmpSignal, UmpSignals, UncheckedSigned, ValidDisputeStatementKind, ValidationCode,
    ValidatorId, ValidatorIndex, ValidityAttestation, blake2_256, byzantine_threshold, check_candidate_backing,
    descriptor::DescriptorFields, effective_minimum_backing_votes, recovery_threshold, supermajority_threshold,
    systematic_threshold, well_known_keys,
};
use serde_json::Value;

const CONTEXT: SigningContext = SigningContext { session_index: 77, parent_hash: Hash::repeat(0x22) };

fn fields() -> DescriptorFields {
    let inputs = &vectors()["candidate_descriptor"][0]["inputs"];
    DescriptorFields {
        para_id: ParaId(2000),
        relay_parent: Hash::repeat(1),
        persisted_validation_data_hash: hash(inputs, "persisted_validation_data_hash"),
        pov_hash: Hash::repeat(3),
        erasure_root: Hash::repeat(4),
        para_head: hash(inputs, "para_head"),
        validation_code_hash: hash(inputs, "validation_code_hash").into(),
    }
}

fn descriptor(name: &str) -> CandidateDescriptor {
    let built = match name {
        "v2" => CandidateDescriptor::new_v2(fields(), CoreIndex(5), 77),
        "v3" => CandidateDescriptor::new_v3(fields(), CoreIndex(258), 77, Hash::repeat(9), 78),
        "v1_like" => {
            let mut key = [1; 32];
            key[..8].fill(0);
            let mut signature = [1; 64];
            signature[..32].fill(0);
            Ok(CandidateDescriptor::new_v1(fields(), CollatorId(key), Signature(signature)))
        }
        other => panic!("no descriptor {other}"),
    };
    built.unwrap()
}

fn commitments(kind: usize) -> CandidateCommitments {
    match kind {
        0 => CandidateCommitments::default(),
        1 => CandidateCommitments { head_data: HeadData(vec![1, 2, 3]), hrmp_watermark: 7, ..Default::default() },
        _ => CandidateCommitments {
            upward_messages: vec![vec![9, 9], vec![], UmpSignal::SelectCore(2, 0).encode()].try_into().unwrap(),
            horizontal_messages: vec![
                OutboundHrmpMessage { recipient: ParaId(2001), data: vec![0xaa; 5] },
                OutboundHrmpMessage { recipient: ParaId(2004), data: vec![] },
            ]
            .try_into()
            .unwrap(),
            new_validation_code: Some(ValidationCode::from(hex::decode("0061736d01000000").unwrap())),
            head_data: HeadData((0..=0x4f).collect()),
            processed_downward_messages: 300,
            hrmp_watermark: 0x0102_0304,
        },
    }
}

fn candidate() -> CommittedCandidateReceipt {
    CommittedCandidateReceipt { descriptor: descriptor("v2"), commitments: commitments(1) }
}

fn version(name: &str) -> DescriptorVersion {
    match name {
        "V1" => DescriptorVersion::V1,
        "V2" => DescriptorVersion::V2,
        "V3" => DescriptorVersion::V3,
        unknown => {
            let number = unknown.strip_prefix("Unknown(").and_then(|rest| rest.strip_suffix(')')).unwrap();
            DescriptorVersion::Unknown(number.parse().unwrap())
        }
    }
}

fn acceptance(result: &Result<(), DescriptorError>) -> &'static str {
    match result {
        Ok(()) => "Ok(())",
        Err(DescriptorError::Inconsistency { .. }) => "Err(Inconsistency)",
        Err(other) => panic!("unexpected {other}"),
    }
}

#[test]
fn keys() {
    for key in rows(&vectors()["keys"]) {
        assert_eq!(hex::encode(pair(text(key, "suri")).public()), text(key, "public"));
    }
}

#[test]
fn descriptors_built_here_have_the_golden_bytes() {
    for case in &rows(&vectors()["candidate_descriptor"])[..3] {
        assert_scale(&descriptor(text(case, "name")), &bytes(case, "scale"));
    }
}

#[test]
fn descriptors_are_read_like_the_relay_chain_reads_them() {
    for case in rows(&vectors()["candidate_descriptor"]) {
        let name = text(case, "name");
        let golden = bytes(case, "scale");
        let read: CandidateDescriptor = decode(&golden);
        assert_eq!(read.encode(), golden, "{name}");
        assert_eq!(golden.len(), number(&case["len"]));
        assert_eq!(golden.len(), CandidateDescriptor::ENCODED_SIZE);
        assert_eq!(Hash::of(&read), hash(case, "blake2_256"), "{name}");
        assert_eq!(read.version(), version(text(case, "version_new_rules")), "{name}");
        assert_eq!(read.version_by_old_rules(), version(text(case, "version_old_rules")), "{name}");
        assert_eq!(acceptance(&read.check_version(false)), text(case, "accept_v3_disabled"), "{name}");
        assert_eq!(acceptance(&read.check_version(true)), text(case, "accept_v3_enabled"), "{name}");
        let optional = |field: &str| case[field].as_u64().map(|value| u32::try_from(value).unwrap());
        assert_eq!(read.core_index().map(|core| core.0), optional("core_index"), "{name}");
        assert_eq!(read.session_index(), optional("session_index"), "{name}");
        assert_eq!(read.scheduling_session(), optional("scheduling_session"), "{name}");
        assert_eq!(read.scheduling_parent(), hash(case, "scheduling_parent"), "{name}");
    }
}

#[test]
fn commitments_and_their_signals() {
    for case in rows(&vectors()["commitments"]["cases"]) {
        let kind = number(&case["kind"]);
        let built = commitments(kind);
        assert_scale(&built, &bytes(case, "scale"));
        assert_eq!(built.hash(), hash(case, "hash"));
        let expected = if kind == 2 { Some((2, 0)) } else { None };
        assert_eq!(built.ump_signals(), Ok(UmpSignals { select_core: expected, approved_peer: None }));
        let debug = text(case, "ump_signals");
        assert_eq!(debug.contains("CoreSelector(2), ClaimQueueOffset(0)"), expected.is_some(), "{debug}");
        assert!(debug.ends_with("approved_peer: None })"), "{debug}");
    }
}

#[test]
fn head_data_and_code() {
    for case in rows(&vectors()["head_and_code"]) {
        let head = HeadData(bytes(case, "bytes"));
        assert_scale(&head, &bytes(case, "head_data_scale"));
        assert_eq!(head.hash(), hash(case, "head_data_hash"));
        assert_eq!(ValidationCode::from(head.0).hash().0, hash(case, "validation_code_hash"));
    }
}

#[test]
fn persisted_validation_data() {
    let cases = rows(&vectors()["persisted_validation_data"]);
    let built = [
        PersistedValidationData::default(),
        PersistedValidationData {
            parent_head: HeadData(vec![4, 5, 6]),
            relay_parent_number: 20,
            relay_parent_storage_root: Hash::repeat(0x55),
            max_pov_size: 5 * 1024 * 1024,
        },
    ];
    assert_eq!(cases.len(), built.len());
    for (case, built) in cases.iter().zip(&built) {
        assert_scale(built, &bytes(case, "scale"));
        assert_eq!(built.hash(), hash(case, "hash"));
    }
}

#[test]
fn proofs_of_validity() {
    for case in rows(&vectors()["pov"]) {
        let pov = PoV { block_data: BlockData::from(bytes(case, "block_data")) };
        assert_scale(&pov, &bytes(case, "scale"));
        assert_eq!(pov.hash(), hash(case, "pov_hash"));
        assert_eq!(pov.encoded_len(), bytes(case, "scale").len());
    }
}

#[test]
fn thresholds() {
    for row in rows(&vectors()["thresholds"]["rows"]) {
        let n = number(&row[0]);
        assert_eq!(byzantine_threshold(n), number(&row[1]), "n = {n}");
        assert_eq!(supermajority_threshold(n), number(&row[2]), "n = {n}");
        let optional = |value: &Value| value.as_u64().map(|value| usize::try_from(value).unwrap());
        assert_eq!(recovery_threshold(n), optional(&row[3]), "n = {n}");
        assert_eq!(systematic_threshold(n), optional(&row[4]), "n = {n}");
    }
}

#[test]
fn minimum_backing_votes() {
    for row in rows(&vectors()["effective_minimum_backing_votes"]["rows"]) {
        let configured = u32::try_from(number(&row[1])).unwrap();
        assert_eq!(effective_minimum_backing_votes(number(&row[0]), configured), number(&row[2]), "{row}");
    }
}

#[test]
fn storage_keys() {
    let para = ParaId(2000);
    let keys = [
        ("ACTIVE_CONFIG", well_known_keys::active_config().to_vec()),
        ("AUTHORITIES", well_known_keys::authorities().to_vec()),
        ("CURRENT_SLOT", well_known_keys::current_slot().to_vec()),
        ("EPOCH_INDEX", well_known_keys::epoch_index().to_vec()),
        ("dmq_mqc_head(2000)", well_known_keys::dmq_mqc_head(para)),
        ("para_head(2000)", well_known_keys::para_head(para)),
        ("upgrade_go_ahead_signal(2000)", well_known_keys::upgrade_go_ahead_signal(para)),
    ];
    assert_eq!(vectors()["well_known_keys"].as_object().unwrap().len(), keys.len());
    for (name, key) in keys {
        assert_eq!(hex::encode(key), text(&vectors()["well_known_keys"], name), "{name}");
    }
}

#[test]
fn receipts() {
    for case in rows(&vectors()["receipts"]) {
        let committed = CommittedCandidateReceipt {
            descriptor: descriptor(text(case, "descriptor")),
            commitments: commitments(number(&case["commitments_kind"])),
        };
        assert_scale(&committed, &bytes(case, "committed_scale"));
        let receipt: CandidateReceipt = committed.to_receipt();
        assert_scale(&receipt, &bytes(case, "receipt_scale"));
        assert_eq!(receipt.commitments_hash, hash(case, "commitments_hash"));
        assert_eq!(receipt.hash().0, hash(case, "candidate_hash"));
        assert_eq!(committed.hash() == receipt.hash(), case["committed_hash_equals"].as_bool().unwrap());
        assert!(committed.corresponds_to(&receipt));
    }
}

#[test]
fn backing_statements() {
    let section = &vectors()["backing_statements"];
    let candidate = candidate();
    let name = candidate.hash();
    assert_eq!(name.0, hash(section, "candidate_hash"));
    assert_scale(&CONTEXT, &bytes(section, "context_scale"));
    for (statement, case) in
        [(CompactStatement::Seconded(name), &section["seconded"]), (CompactStatement::Valid(name), &section["valid"])]
    {
        assert_scale(&statement, &bytes(case, "compact_scale"));
        assert_eq!(statement.signing_payload(&CONTEXT), bytes(case, "signing_payload"));
    }
    let seconded = Statement::Seconded(Box::new(candidate));
    assert_scale(&seconded, &bytes(section, "full_seconded_statement_scale"));
    assert_scale(&Statement::Valid(name), &bytes(section, "full_valid_statement_scale"));
    assert_eq!(seconded.signing_payload(&CONTEXT), bytes(&section["seconded"], "signing_payload"));
    assert_eq!(Statement::Valid(name).signing_payload(&CONTEXT), bytes(&section["valid"], "signing_payload"));

    let alice = ValidatorId(pair("//Alice").public());
    let golden = bytes(section, "unchecked_signed_compact_seconded_scale");
    let compact: UncheckedSigned<CompactStatement> = decode(&golden);
    assert_eq!(compact.encode(), golden);
    assert!(compact.verify(&CONTEXT, &alice));
    let golden = bytes(section, "unchecked_signed_full_seconded_scale");
    let full: UncheckedSigned<Statement> = decode(&golden);
    assert_eq!(full.encode(), golden);
    assert_eq!(full.payload, seconded);
    assert_eq!((full.validator_index, full.signature), (compact.validator_index, compact.signature));
    let other = SigningContext { session_index: 78, ..CONTEXT };
    assert!(!full.verify(&other, &alice), "the context is part of what is signed");
    assert_eq!(full.try_into_checked(&CONTEXT, &alice).unwrap().payload(), &seconded);
}

#[test]
fn bitfields() {
    for case in rows(&vectors()["bitfields"]) {
        let bits: Bits = rows(&case["bits"]).iter().map(|bit| bit == 1).collect();
        let bitfield = AvailabilityBitfield(bits);
        assert_scale(&bitfield, &bytes(case, "scale"));
        assert_eq!(bitfield.signing_payload(&CONTEXT), bytes(case, "signing_payload"));
        let golden = bytes(case, "unchecked_signed_scale");
        let signed: UncheckedSigned<AvailabilityBitfield> = decode(&golden);
        assert_eq!(signed.encode(), golden);
        assert_eq!(signed.payload, bitfield);
        assert_eq!(signed.validator_index.as_usize(), number(&case["validator_index"]));
        assert!(signed.verify(&CONTEXT, &ValidatorId(pair(text(case, "signer")).public())));
    }
}

#[test]
fn backed_candidates() {
    let group = ["//Alice", "//Bob", "//Charlie"].map(|suri| ValidatorId(pair(suri).public()));
    for case in rows(&vectors()["backed_candidates"]) {
        let golden = bytes(case, "scale");
        let read: BackedCandidate = decode(&golden);
        assert_eq!(read.encode(), golden);
        assert_eq!(read.hash().0, hash(case, "hash"));
        assert_eq!(
            hex::encode(read.raw_validator_indices().to_bitvec().encode()),
            text(case, "raw_validator_indices_scale")
        );
        let (indices, core) = read.validator_indices_and_core_index();
        assert_eq!(hex::encode(indices.to_bitvec().encode()), text(case, "decoded_indices_scale"));
        assert_eq!(core.unwrap().as_usize(), number(&case["decoded_core_index"]));
        let marks: Bits = rows(&case["validator_indices"]).iter().map(|bit| bit == 1).collect();
        assert_eq!(indices, marks.as_bitslice());
        let votes = rows(&case["validity_votes"]);
        assert_eq!(votes.len(), read.validity_votes().len());
        for (vote, name) in read.validity_votes().iter().zip(votes) {
            let implicit = name.as_str().unwrap().starts_with("Implicit");
            assert_eq!(matches!(vote, ValidityAttestation::Implicit(_)), implicit);
        }
        let core_index = CoreIndex(u32::try_from(number(&case["core_index"])).unwrap());
        let rebuilt = BackedCandidate::new(candidate(), read.validity_votes().to_vec(), marks, core_index);
        assert_eq!(rebuilt.encode(), golden);

        let group_len = number(&case["group_len"]);
        let check = |group_len| {
            let member = |position: usize| group.get(position).copied();
            check_candidate_backing(read.hash(), read.validity_votes(), indices, &CONTEXT, group_len, member)
        };
        assert_eq!(format!("Ok({})", check(group_len).unwrap()), text(case, "check_candidate_backing"));
        assert_eq!(text(case, "check_with_group_len_plus1"), "Err(())");
        assert_eq!(check(group_len + 1), Err(BackingError::GroupSize { found: group_len, group_len: group_len + 1 }));
    }
}

#[test]
fn dispute_statements() {
    let parent = Hash::repeat(0x22);
    for case in rows(&vectors()["dispute_statements"]) {
        let statement = match text(case, "name") {
            "valid_explicit" => DisputeStatement::Valid(ValidDisputeStatementKind::Explicit),
            "invalid_explicit" => DisputeStatement::Invalid(InvalidDisputeStatementKind::Explicit),
            "backing_seconded(22*32)" => DisputeStatement::Valid(ValidDisputeStatementKind::BackingSeconded(parent)),
            other => panic!("no statement {other}"),
        };
        assert_scale(&statement, &bytes(case, "statement_scale"));
        let candidate = CandidateHash(hash(case, "candidate_hash"));
        let session = u32::try_from(number(&case["session"])).unwrap();
        assert_eq!(statement.payload(candidate, session).unwrap(), bytes(case, "payload"));
        assert_eq!(statement.indicates_validity(), case["indicates_validity"].as_bool().unwrap());
        assert_eq!(statement.is_backing(), case["is_backing"].as_bool().unwrap());
        if text(case, "name") == "invalid_explicit" {
            let payload = Statement::Invalid(candidate).signing_payload(&CONTEXT);
            assert_eq!(payload, bytes(case, "payload"), "`Invalid` is today's explicit dispute vote");
        }
    }
}

#[test]
fn signatures() {
    for case in rows(&vectors()["sr25519"]) {
        let public = ValidatorId(bytes(case, "public").try_into().unwrap());
        let valid = public.verify(&bytes(case, "message"), &signature(case, "signature"));
        assert_eq!(valid, case["valid"].as_bool().unwrap(), "{}", text(case, "what"));
        assert_eq!(public.0, pair(text(case, "signer")).public());
    }
}

#[test]
fn group_rotation() {
    let section = &vectors()["group_rotation"];
    let at = |row: &Value, column: usize| u32::try_from(number(&row[column])).unwrap();
    let info = GroupRotationInfo { session_start_block: 100, group_rotation_frequency: 7, now: 150 };
    assert_scale(&info, &bytes(section, "info_scale(100,7,150)"));
    let read = |row: &Value| GroupRotationInfo {
        session_start_block: at(row, 0),
        group_rotation_frequency: at(row, 1),
        now: at(row, 2),
    };
    for row in rows(&section["next_last"]["rows"]) {
        assert_eq!(read(row).next_rotation_at(), Some(at(row, 3)), "{row}");
        assert_eq!(read(row).last_rotation_at(), at(row, 4), "{row}");
    }
    for row in rows(&section["rows"]) {
        let cores = number(&row[3]);
        for (position, group) in rows(&row[4]).iter().enumerate() {
            let core = CoreIndex(u32::try_from(position).unwrap());
            assert_eq!(read(row).group_for_core(core, cores).as_usize(), number(group), "{row}");
        }
        for (position, core) in rows(&row[5]).iter().enumerate() {
            let group = GroupIndex(u32::try_from(position).unwrap());
            assert_eq!(read(row).core_for_group(group, cores).as_usize(), number(core), "{row}");
        }
    }
}

#[test]
fn sections_are_all_tested() {
    let names: Vec<&str> = vectors().as_object().unwrap().keys().map(String::as_str).collect();
    // A new section needs a test here; `source` is prose.
    assert_eq!(names.len(), 17, "{names:?}");
    assert_eq!(blake2_256(b"").to_string(), "0x0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    assert_eq!(ValidatorIndex(3).encode(), [3, 0, 0, 0]);
}
