//! The relay chain's header, Substrate's in encoding and hash.

use codec::{Compact, Decode, Encode, Error, Input};

use crate::{
    BlockNumber, BoundedVec, Hash,
    bounded::AtMost,
    limits::{MAX_DIGEST_ITEMS, MAX_HEADER_BYTES},
};

/// Names the consensus engine that a digest item belongs to.
pub type ConsensusEngineId = [u8; 4];

/// Header of a relay-chain block.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct Header {
    /// Hash of the parent's header.
    pub parent_hash: Hash,
    /// Height.
    #[codec(compact)]
    pub number: BlockNumber,
    /// Root of the state after the block.
    pub state_root: Hash,
    /// Root of the extrinsics.
    pub extrinsics_root: Hash,
    /// What consensus adds, in order; seals come last.
    pub digest: Vec<DigestItem>,
}

impl Header {
    /// blake2b-256 of the SCALE encoding: the block's hash.
    pub fn hash(&self) -> Hash {
        Hash::of(self)
    }
}

/// Refuses more than [`MAX_HEADER_BYTES`], as soon as it has read so many, and more than [`MAX_DIGEST_ITEMS`]: an item
/// may take one byte, and forty times that in memory.
impl Decode for Header {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let input = &mut AtMost { input, left: MAX_HEADER_BYTES };
        Ok(Self {
            parent_hash: Hash::decode(input)?,
            number: Compact::<BlockNumber>::decode(input)?.0,
            state_root: Hash::decode(input)?,
            extrinsics_root: Hash::decode(input)?,
            digest: BoundedVec::<DigestItem, MAX_DIGEST_ITEMS>::decode(input)?.into_inner(),
        })
    }
}

/// One item of a header's digest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DigestItem {
    /// Anything.
    #[codec(index = 0)]
    Other(Vec<u8>),
    /// From the runtime to the consensus engine.
    #[codec(index = 4)]
    Consensus(ConsensusEngineId, Vec<u8>),
    /// The author's seal over the header without it.
    #[codec(index = 5)]
    Seal(ConsensusEngineId, Vec<u8>),
    /// From the consensus engine to the runtime, known before execution.
    #[codec(index = 6)]
    PreRuntime(ConsensusEngineId, Vec<u8>),
    /// The runtime's code or heap settings changed in this block.
    #[codec(index = 8)]
    RuntimeEnvironmentUpdated,
}
