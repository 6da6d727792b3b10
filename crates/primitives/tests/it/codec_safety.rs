//! Foreign bytes: refused, never a panic, never much memory.

use crate::support::{bytes, rows, vectors};
use codec::{Compact, Decode, Encode};
use primitives::{
    AvailabilityBitfield, AvailableData, BackedCandidate, BoundedVec, CandidateCommitments, CandidateReceipt,
    CommittedCandidateReceipt, DecodeError, DisputeStatement, Header, InherentData, MisbehaviorReport, PoV, Statement,
    TooLong, UncheckedSigned, ValidationParams, ValidationResult, decode_limited, limits::MAX_UPWARD_MESSAGES,
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

/// Every truncation and every single changed byte of real values, through every decoder.
#[test]
fn mutations_of_real_bytes_never_panic() {
    let backed = bytes(&rows(&vectors()["backed_candidates"])[0], "scale");
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
