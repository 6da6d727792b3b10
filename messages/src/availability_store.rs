//! Step 9: PoVs and chunks on disk.

use std::sync::Arc;

use bytes::Bytes;
use primitives::{AvailableData, CandidateHash, ChunkIndex, Hash, ValidatorIndex};

/// A chunk with the proof that the erasure root commits to it.
#[derive(Clone, Debug, PartialEq, Eq, codec::Encode, codec::Decode)]
pub struct ErasureChunk {
    /// Its index in the code.
    pub index: ChunkIndex,
    /// Length of the whole coded data, in bytes; the erasure root commits to it.
    pub data_len: u64,
    /// The chunk.
    pub chunk: Bytes,
    /// SCALE of the erasure code's proof.
    pub proof: Bytes,
}

/// Keep the whole data of a candidate that we validated. Answered once it is synced.
#[derive(Clone, Debug)]
pub struct StoreAvailableData {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// The relay parent it was validated at.
    pub relay_parent: Hash,
    /// PoV and persisted validation data.
    pub available_data: Arc<AvailableData>,
}

/// Keep our chunk of a candidate that was backed. The sender has checked the proof. Answered once it is synced.
#[derive(Clone, Debug)]
pub struct StoreChunk {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// Whose chunk it is.
    pub validator_index: ValidatorIndex,
    /// The chunk.
    pub chunk: ErasureChunk,
}

/// The whole data, if we hold it.
#[derive(Clone, Debug)]
pub struct QueryAvailableData {
    /// The candidate.
    pub candidate_hash: CandidateHash,
}

/// Whether we hold the whole data.
#[derive(Clone, Debug)]
pub struct QueryDataAvailability {
    /// The candidate.
    pub candidate_hash: CandidateHash,
}

/// A chunk, if we hold it.
#[derive(Clone, Debug)]
pub struct QueryChunk {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// Whose chunk.
    pub validator_index: ValidatorIndex,
}

/// Whether we hold a chunk.
#[derive(Clone, Debug)]
pub struct QueryChunkAvailability {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// Whose chunk.
    pub validator_index: ValidatorIndex,
}

/// Every chunk that we hold of a candidate.
#[derive(Clone, Debug)]
pub struct QueryAllChunks {
    /// The candidate.
    pub candidate_hash: CandidateHash,
}

/// The store could not do it; nothing was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("availability store: {0}")]
pub struct StoreError(pub String);

overseer::inbox! {
    /// What the availability store is asked.
    pub enum Inbox for AvailabilityStore as "availability-store" {
        ask {
            StoreAvailableData -> Result<(), StoreError> {
                fn bytes(&self) -> usize { size_of::<Self>() + self.available_data.pov.encoded_len() }
            },
            StoreChunk -> Result<(), StoreError> {
                fn bytes(&self) -> usize { size_of::<Self>() + self.chunk.chunk.len() + self.chunk.proof.len() }
            },
            QueryAvailableData -> Option<Arc<AvailableData>>,
            QueryDataAvailability -> bool,
            QueryChunk -> Option<ErasureChunk>,
            QueryChunkAvailability -> bool,
            QueryAllChunks -> Vec<(ValidatorIndex, ErasureChunk)>,
        }
    }
}
