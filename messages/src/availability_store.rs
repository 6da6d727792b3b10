//! Step 9: PoVs and chunks on disk.
//!
//! Whoever stores waits until it is synced; whoever asks gets what is held, or nothing. Data is pruned by what becomes
//! of the candidate, so nobody asks for its removal.

use std::sync::Arc;

use bytes::Bytes;
use codec::{DecodeAll as _, Encode as _};
use erasure_coding::{ChunkPermutation, Codec, Encoded, Proof};
use primitives::limits::{MAX_HEAD_DATA_SIZE, MAX_POV_SIZE};
use primitives::{AvailableData, CandidateHash, ChunkIndex, CoreIndex, Hash, ValidatorIndex};

/// Largest encoding of the data of a candidate, in bytes: a PoV, a head and the few fields beside it.
pub const MAX_AVAILABLE_DATA_SIZE: usize = (MAX_POV_SIZE + MAX_HEAD_DATA_SIZE) as usize + 1024;

/// Which validator of `validators` holds which chunk of the candidate on a core: dealt out anew for each relay parent
/// and core, so that recoveries, which ask for the data chunks first, load all validators alike (design §7). All who
/// place or look for chunks use this function.
///
/// # Errors
/// [`erasure_coding::Error::ChunkCount`] for a number of validators that no code serves.
pub fn chunk_permutation(
    validators: usize,
    core: CoreIndex,
    relay_parent: &Hash,
) -> Result<ChunkPermutation, erasure_coding::Error> {
    ChunkPermutation::new(validators, core.0, relay_parent.as_bytes())
}

/// Codes the data of a candidate for the validators of its session: what is coded is the SCALE encoding of PoV and
/// persisted validation data together. Computes for milliseconds, so it belongs on the `Compute` port.
///
/// # Errors
/// [`erasure_coding::Error::ChunkCount`], [`erasure_coding::Error::DataLength`].
pub fn erasure_code(validators: usize, data: &AvailableData) -> Result<Encoded, erasure_coding::Error> {
    Codec::new(validators)?.encode(&data.encode())
}

/// Why a chunk is not accepted: the fault of whoever sent it (requirement AD-2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// It is another chunk than the one asked for.
    #[error("chunk {found} was sent, expected chunk {expected}")]
    OtherChunk {
        /// The index it names.
        found: ChunkIndex,
        /// The index of the chunk asked for.
        expected: ChunkIndex,
    },
    /// Its proof cannot be decoded.
    #[error("proof cannot be decoded: {0}")]
    MalformedProof(codec::Error),
    /// The erasure root does not commit to it.
    #[error(transparent)]
    Refused(#[from] erasure_coding::Error),
}

impl ErasureChunk {
    /// One chunk of coded data, copied: it does not hold the memory of all the others.
    ///
    /// # Errors
    /// [`erasure_coding::Error::IndexOutOfRange`].
    pub fn of(encoded: &Encoded, index: ChunkIndex) -> Result<Self, erasure_coding::Error> {
        Ok(Self {
            index,
            data_len: encoded.data_len(),
            chunk: Bytes::copy_from_slice(&encoded.chunk(index.0)?),
            proof: encoded.proof(index.0)?.encode().into(),
        })
    }

    /// Checks that it is chunk `index` and that `erasure_root` commits to it. Hashes the chunk: for large ones this
    /// belongs on the `Compute` port.
    ///
    /// # Errors
    /// [`ChunkError`].
    pub fn check(&self, codec: &Codec, erasure_root: &Hash, index: ChunkIndex) -> Result<(), ChunkError> {
        if self.index != index {
            return Err(ChunkError::OtherChunk { found: self.index, expected: index });
        }
        let proof = Proof::decode_all(&mut self.proof.as_ref()).map_err(ChunkError::MalformedProof)?;
        Ok(codec.verify(erasure_root.as_bytes(), index.0, &self.chunk, self.data_len, &proof)?)
    }
}

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
///
/// Asked by a job of candidate backing, which signs only after that.
#[derive(Clone, Debug)]
pub struct StoreAvailableData {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// The relay parent it was validated at.
    pub relay_parent: Hash,
    /// PoV and persisted validation data.
    pub available_data: Arc<AvailableData>,
}

/// Keep our chunk of a candidate that was backed. The asker has checked its proof. Answered once it is synced.
///
/// Asked by a job of availability distribution.
#[derive(Clone, Debug)]
pub struct StoreChunk {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// Whose chunk it is.
    pub validator_index: ValidatorIndex,
    /// The chunk.
    pub chunk: ErasureChunk,
}

/// The whole data, if we hold it. Asked by jobs of availability distribution, to serve it, and of recovery, before
/// anybody else is asked.
#[derive(Clone, Debug)]
pub struct QueryAvailableData {
    /// The candidate.
    pub candidate_hash: CandidateHash,
}

/// Whether we hold the whole data, without reading it. Asked by jobs of availability distribution.
#[derive(Clone, Debug)]
pub struct QueryDataAvailability {
    /// The candidate.
    pub candidate_hash: CandidateHash,
}

/// A chunk, if we hold it. Asked by jobs of availability distribution, to serve it.
#[derive(Clone, Debug)]
pub struct QueryChunk {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// Whose chunk.
    pub validator_index: ValidatorIndex,
}

/// Whether we hold a chunk, without reading it. Asked by jobs of bitfield signing, a question per core, and of
/// availability distribution.
#[derive(Clone, Debug)]
pub struct QueryChunkAvailability {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// Whose chunk.
    pub validator_index: ValidatorIndex,
}

/// Every chunk that we hold of a candidate, by validator. Asked by jobs of availability recovery.
#[derive(Clone, Debug)]
pub struct QueryAllChunks {
    /// The candidate.
    pub candidate_hash: CandidateHash,
}

/// The store could not do it, and says why; nothing was acknowledged, and nothing may be signed on the strength of it.
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
