//! What goes over the wire on `povd`.

use bytes::Bytes;
use codec::{Decode, Encode};
use ports::RequestError;
use primitives::limits::MAX_POV_SIZE;
use primitives::{CandidateHash, Hash, PoV};

/// Asks for the PoV of a candidate. The answer is the SCALE of `Option<PoV>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PoVRequest {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate.
    pub candidate_hash: CandidateHash,
}

/// A PoV as the answer to a [`PoVRequest`].
pub fn response(pov: &PoV) -> Bytes {
    let mut bytes = Vec::with_capacity(1 + pov.encoded_len());
    Some(pov).encode_to(&mut bytes);
    bytes.into()
}

/// The answer of somebody who does not hold it.
pub fn no_response() -> Bytes {
    None::<PoV>.encode().into()
}

/// Why an answer is not the PoV that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// There is no answer.
    #[error("no answer: {0}")]
    Request(#[from] RequestError),
    /// It does not hold the PoV.
    #[error("the PoV is not held there")]
    NotHeld,
    /// The answer is larger than the PoV may be.
    #[error("PoV of {found} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Its encoded size, in bytes.
        found: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The bytes are no answer.
    #[error("answer of {0} bytes cannot be decoded")]
    Malformed(usize),
    /// It is another PoV.
    #[error("PoV hashes to {found:?}, not to {expected:?}")]
    WrongHash {
        /// Its hash.
        found: Hash,
        /// What the candidate commits to.
        expected: Hash,
    },
}

/// Decodes an answer and compares it with what the candidate commits to. The PoV shares the answer's bytes. Takes time
/// in proportion to its size.
///
/// # Errors
/// [`AnswerError`], but never its `Request`.
pub fn check_answer(answer: &Bytes, pov_hash: Hash, max_pov_size: u32) -> Result<PoV, AnswerError> {
    let limit = max_pov_size.min(MAX_POV_SIZE_ENCODED) as usize;
    // One byte says that there is one.
    if answer.len() > limit + 1 {
        return Err(AnswerError::TooLarge { found: answer.len() - 1, limit });
    }
    let decoded: Option<PoV> =
        codec::decode_from_bytes(answer.clone()).map_err(|_| AnswerError::Malformed(answer.len()))?;
    if decoded.encoded_size() != answer.len() {
        return Err(AnswerError::Malformed(answer.len()));
    }
    let pov = decoded.ok_or(AnswerError::NotHeld)?;
    let found = pov.hash();
    if found == pov_hash { Ok(pov) } else { Err(AnswerError::WrongHash { found, expected: pov_hash }) }
}

/// [`MAX_POV_SIZE`] with the length that stands before the block data.
const MAX_POV_SIZE_ENCODED: u32 = MAX_POV_SIZE + 5;
