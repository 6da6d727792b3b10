//! Foreign bytes: refused, never a panic, never much memory.

use crate::support::{bytes, rows, vectors};
use codec::{Compact, Decode, Encode};
use primitives::{
    AvailabilityBitfield, AvailableData, BackedCandidate, Bits, BoundedVec, CandidateCommitments, CandidateReceipt,
    CommittedCandidateReceipt, DecodeError, DisputeStatement, Hash, Header, InherentData, MEMORY_PER_WIRE_BYTE,
    MisbehaviorReport, PoV, Signature, Statement, TooLong, UncheckedSigned, ValidationParams, ValidationResult,
    ValidatorIndex, decode_limited,
    limits::{MAX_CORES, MAX_UPWARD_MESSAGES, MAX_VALIDATORS},
    messages::UpwardMessages,
};

#[test]
fn oversize_and_trailing_bytes_are_refused() {
    let encoded = vec![1u8, 2, 3].encode();
    assert_eq!(decode_limited::<Vec<u8>>(&encoded, 4), Ok(vec![1, 2, 3]));
    assert_eq!(decode_limited::<Vec<u8>>(&encoded, 3), Err(DecodeError::TooLarge { found: 4, max: 3 }));
    let trailing = [encoded, vec![0]].concat();
    assert!(matches!(decode_limited::<Vec<u8>>(&trailing, 9), Err(DecodeError::Malformed(_))));
}

#[test]
fn lengths_beyond_the_input_are_refused() {
    let huge = Compact(u32::MAX).encode();
    assert!(decode_limited::<PoV>(&huge, 64).is_err());
    assert!(decode_limited::<CandidateCommitments>(&huge, 64).is_err());
    assert!(decode_limited::<AvailabilityBitfield>(&huge, 64).is_err());
    assert!(decode_limited::<Vec<Statement>>(&huge, 64).is_err());
}

/// An empty message is a byte on the wire, and in memory as long as any other.
#[test]
fn what_is_short_on_the_wire_and_long_in_memory_is_refused() {
    let messages = vec![Vec::<u8>::new(); 1_000];
    let bytes = messages.encode();
    let memory = messages.len() * size_of::<Vec<u8>>();
    let room = memory / MEMORY_PER_WIRE_BYTE;
    assert!(bytes.len() < room);
    assert_eq!(decode_limited(&bytes, room + 1), Ok(messages));
    assert!(matches!(decode_limited::<Vec<Vec<u8>>>(&bytes, room), Err(DecodeError::Malformed(_))));
    // Also where a part of the value has a limit of its own.
    let vectors = vectors();
    let backed = BackedCandidate::decode(&mut &bytes_of_backed(vectors)[..]).unwrap();
    let mut receipt = backed.candidate().clone();
    receipt.commitments.upward_messages = vec![Vec::new(); MAX_UPWARD_MESSAGES].try_into().unwrap();
    let bomb = vec![receipt; 20].encode();
    assert!(matches!(
        decode_limited::<Vec<CommittedCandidateReceipt>>(&bomb, bomb.len()),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn an_inherent_has_no_more_bitfields_than_validators_and_no_more_candidates_than_cores() {
    let vectors = vectors();
    let backed = BackedCandidate::decode(&mut &bytes_of_backed(vectors)[..]).unwrap();
    let bitfield = UncheckedSigned {
        payload: AvailabilityBitfield(Bits::new()),
        validator_index: ValidatorIndex(0),
        signature: Signature([0; 64]),
    };
    let header = Header {
        parent_hash: Hash::ZERO,
        number: 0,
        state_root: Hash::ZERO,
        extrinsics_root: Hash::ZERO,
        digest: Vec::new(),
    };
    let inherent = |bitfields: usize, candidates: usize| {
        let mut inherent = InherentData::empty(header.clone());
        inherent.bitfields = vec![bitfield.clone(); bitfields];
        inherent.backed_candidates = vec![backed.clone(); candidates];
        InherentData::decode(&mut &inherent.encode()[..]).map(|decoded| assert_eq!(decoded, inherent)).is_ok()
    };
    assert!(inherent(MAX_VALIDATORS, MAX_CORES));
    assert!(!inherent(MAX_VALIDATORS + 1, 0));
    assert!(!inherent(0, MAX_CORES + 1));
}

#[test]
fn a_bounded_sequence_refuses_one_item_too_many() {
    let many = vec![Vec::<u8>::new(); MAX_UPWARD_MESSAGES + 1];
    assert!(UpwardMessages::decode(&mut &many.encode()[..]).is_err());
    let error = TooLong { found: MAX_UPWARD_MESSAGES + 1, max: MAX_UPWARD_MESSAGES };
    assert_eq!(UpwardMessages::try_from(many.clone()), Err(error));
    let most = UpwardMessages::try_from(many[1..].to_vec()).unwrap();
    assert_eq!(UpwardMessages::decode(&mut &most.encode()[..]), Ok(most));
    let bytes = BoundedVec::<u8, 2>::try_from(vec![1, 2]).unwrap();
    assert_eq!(bytes.encode(), vec![1u8, 2].encode());
}

fn bytes_of_backed(vectors: &serde_json::Value) -> Vec<u8> {
    bytes(&rows(&vectors["backed_candidates"])[0], "scale")
}

/// Every truncation and every single changed byte of real values, through every decoder.
#[test]
fn mutations_of_real_bytes_never_panic() {
    let backed = bytes_of_backed(vectors());
    let commitments = bytes(&rows(&vectors()["commitments"]["cases"])[2], "scale");
    let signed = bytes(&vectors()["backing_statements"], "unchecked_signed_full_seconded_scale");
    for original in [backed, commitments, signed] {
        for position in 0..original.len() {
            try_all(&original[..position]);
            for change in [1, 0x80, 0xff] {
                let mut mutated = original.clone();
                mutated[position] ^= change;
                try_all(&mutated);
            }
        }
    }
}

fn try_all(bytes: &[u8]) {
    fn attempt<T: Decode + Encode>(bytes: &[u8]) -> Option<T> {
        let value = decode_limited::<T>(bytes, bytes.len()).ok()?;
        assert!(value.encode().len() <= bytes.len(), "a value does not grow by being read");
        Some(value)
    }
    if let Some(backed) = attempt::<BackedCandidate>(bytes) {
        let _ = backed.validator_indices_and_core_index();
        let _ = backed.descriptor().check_version(true);
        let _ = backed.descriptor().check_collator_signature();
    }
    if let Some(commitments) = attempt::<CandidateCommitments>(bytes) {
        let _ = commitments.ump_signals();
    }
    attempt::<CandidateReceipt>(bytes);
    attempt::<CommittedCandidateReceipt>(bytes);
    attempt::<UncheckedSigned<Statement>>(bytes);
    attempt::<UncheckedSigned<AvailabilityBitfield>>(bytes);
    attempt::<DisputeStatement>(bytes);
    attempt::<Header>(bytes);
    attempt::<InherentData>(bytes);
    attempt::<MisbehaviorReport>(bytes);
    attempt::<AvailableData>(bytes);
    attempt::<ValidationParams>(bytes);
    attempt::<ValidationResult>(bytes);
}
