//! What collators and validators say to each other on `coll`, in SCALE.
//!
//! With descriptors of version 2 the receipt carries no collator: the declaration binds the collator's key to its
//! network identity and para, the advertisement binds the candidate to that key (design §6).

use bytes::Bytes;
use codec::{Decode, Encode};
use messages::collation_distribution::FetchedCollation;
use ports::PeerId;
use primitives::{
    CandidateHash, CandidateReceipt, CollatorId, CollatorSignature, CoreIndex, DecodeError, Hash, ParaId, PoV,
};

/// Largest gossip message, in bytes: an advertisement has 133.
pub const MESSAGE_BYTES_MAX: usize = 256;
/// Largest request, in bytes: two hashes.
pub const REQUEST_BYTES_MAX: usize = 64;
/// Largest response, in bytes: a proof of validity of the largest size with its receipt.
pub const RESPONSE_BYTES_MAX: usize = primitives::limits::MAX_POV_SIZE as usize + 1024;

const DECLARE_DOMAIN: &[u8] = b"parahost-coll-declare";
const ADVERTISE_DOMAIN: &[u8] = b"parahost-coll-advert";

/// A gossip message from a collator to a validator.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// Who the sender is: first, and once per connection.
    #[codec(index = 0)]
    Declare(Declare),
    /// A collation can be requested.
    #[codec(index = 1)]
    Advertise(Advertise),
}

/// The sender is this collator, for this para.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Declare {
    /// Its key.
    pub collator: CollatorId,
    /// Its para.
    pub para_id: ParaId,
    /// Over [`declare_payload`].
    pub signature: CollatorSignature,
}

/// A collation of the declared collator.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Advertise {
    /// What it was built on.
    pub relay_parent: Hash,
    /// Which candidate.
    pub candidate_hash: CandidateHash,
    /// The core it is for; a hint, the receipt decides.
    pub core: CoreIndex,
    /// Over [`advertise_payload`].
    pub signature: CollatorSignature,
}

/// Asks for an advertised collation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CollationRequest {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate.
    pub candidate_hash: CandidateHash,
}

/// The answer: nothing, if the collator no longer holds it.
pub type CollationResponse = Option<(CandidateReceipt, PoV)>;

/// What a collator signs to declare itself: its network identity, so that nobody else can use the declaration, and para.
pub fn declare_payload(peer: &PeerId, para_id: ParaId) -> Vec<u8> {
    (DECLARE_DOMAIN, peer.as_bytes(), para_id).encode()
}

/// What a collator signs to advertise.
pub fn advertise_payload(relay_parent: Hash, candidate_hash: CandidateHash) -> Vec<u8> {
    (ADVERTISE_DOMAIN, relay_parent, candidate_hash).encode()
}

/// Decodes a response without copying its proof of validity.
///
/// # Errors
/// [`DecodeError`] if it is too large, malformed or longer than what it holds.
pub(crate) fn decode_response(response: Bytes) -> Result<Option<FetchedCollation>, DecodeError> {
    let found = response.len();
    if found > RESPONSE_BYTES_MAX {
        return Err(DecodeError::TooLarge { found, max: RESPONSE_BYTES_MAX });
    }
    let decoded: CollationResponse = codec::decode_from_bytes(response).map_err(DecodeError::Malformed)?;
    if decoded.encoded_size() != found {
        return Err(DecodeError::Malformed("something follows the collation".into()));
    }
    Ok(decoded.map(|(receipt, pov)| FetchedCollation { receipt, pov }))
}
