//! Step 9: every validator gets its chunk (`avad`).
//!
//! The work begins with the heartbeat: a leaf's candidates pending availability are those of which a chunk is fetched.
//! The encodings of requests and responses stand here because [recovery](crate::availability_recovery) speaks the same
//! protocol.

use bytes::Bytes;
use codec::{Decode, Encode};
use primitives::{AvailableData, CandidateHash, ValidatorIndex};

use crate::availability_store::ErasureChunk;
use crate::network_bridge::NetworkBridgeEvent;

/// What is asked on `avad`, by distribution and by recovery; answered by availability distribution.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AvailabilityRequest {
    /// The chunk of one validator.
    #[codec(index = 0)]
    Chunk(CandidateHash, ValidatorIndex),
    /// The whole data.
    #[codec(index = 1)]
    AvailableData(CandidateHash),
}

/// The answer to [`AvailabilityRequest::Chunk`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ChunkResponse {
    /// Not held.
    #[codec(index = 0)]
    NoSuchChunk,
    /// The chunk, to be checked against the erasure root.
    #[codec(index = 1)]
    Chunk(ErasureChunk),
}

/// The answer to [`AvailabilityRequest::AvailableData`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AvailableDataResponse {
    /// Not held.
    #[codec(index = 0)]
    NoSuchData,
    /// The data, to be encoded again and compared with the erasure root.
    #[codec(index = 1)]
    AvailableData(AvailableData),
}

impl AvailabilityRequest {
    /// The request's bytes: its SCALE encoding.
    pub fn to_bytes(&self) -> Bytes {
        self.encode().into()
    }
}

/// Something happened on the availability protocol (`avad`). From the network bridge, whose pump of this protocol
/// waits.
#[derive(Clone, Debug)]
pub struct NetworkUpdate(pub NetworkBridgeEvent);

overseer::inbox! {
    /// What availability distribution hears.
    pub enum Inbox for AvailabilityDistribution as "availability-distribution" {
        tell { NetworkUpdate { fn bytes(&self) -> usize { self.0.bytes() } } }
    }
}
