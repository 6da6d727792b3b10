//! The test parachain *adder*: its state is one number, and a block adds to it.
//!
//! Head data, block data and hashes are those of the well-known parachain of that name, so that for the
//! same parameters both give the same bytes. The head commits to the state by its hash only; the block
//! brings the state along. Bytes after the block data are ignored, as they are there, which is how a
//! collator pads a block to any size.
//!
//! Native code (the collator) uses the same functions as the wasm that validators run.

use alloc::vec::Vec;

use crate::abi::{Input, ValidationParams, encode_result};
use crate::keccak::keccak_256;

/// Head of the chain after a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeadData {
    /// Block number; genesis has 0.
    pub number: u64,
    /// Keccak-256 of the parent's encoded head; zero at genesis.
    pub parent_hash: [u8; 32],
    /// Keccak-256 of the SCALE of the state after this block.
    pub post_state: [u8; 32],
}

/// Bytes of an encoded head.
pub const HEAD_DATA_LEN: usize = 72;

impl HeadData {
    /// SCALE bytes.
    pub fn encode(&self) -> [u8; HEAD_DATA_LEN] {
        let mut out = [0; HEAD_DATA_LEN];
        out[..8].copy_from_slice(&self.number.to_le_bytes());
        out[8..40].copy_from_slice(&self.parent_hash);
        out[40..].copy_from_slice(&self.post_state);
        out
    }

    /// Reads a head; `None` when `bytes` is not exactly one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let head = Self { number: input.u64()?, parent_hash: input.array()?, post_state: input.array()? };
        input.0.is_empty().then_some(head)
    }

    /// What a child names as its parent.
    pub fn hash(&self) -> [u8; 32] {
        keccak_256(&self.encode())
    }
}

/// A block: the state before it, and what is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockData {
    /// State before the block; its hash must be the parent's `post_state`.
    pub state: u64,
    /// Added to it, wrapping around.
    pub add: u64,
}

impl BlockData {
    /// SCALE bytes.
    pub fn encode(&self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.state.to_le_bytes());
        out[8..].copy_from_slice(&self.add.to_le_bytes());
        out
    }

    /// Reads a block; bytes after it are padding.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        Some(Self { state: input.u64()?, add: input.u64()? })
    }
}

/// What a head says of a state.
pub fn hash_state(state: u64) -> [u8; 32] {
    keccak_256(&state.to_le_bytes())
}

/// The head after `block` on top of `parent`; `None` when the block starts from another state.
pub fn execute(parent: &HeadData, block: &BlockData) -> Option<HeadData> {
    if hash_state(block.state) != parent.post_state {
        return None;
    }
    Some(HeadData {
        number: parent.number.checked_add(1)?,
        parent_hash: parent.hash(),
        post_state: hash_state(block.state.wrapping_add(block.add)),
    })
}

/// The validation function: SCALE `ValidationParams` in, SCALE `ValidationResult` out, `None` for an invalid block.
pub fn validate(params: &[u8]) -> Option<Vec<u8>> {
    let params = ValidationParams::decode(params)?;
    let head = execute(&HeadData::decode(params.parent_head)?, &BlockData::decode(params.block_data)?)?;
    Some(encode_result(&head.encode(), 0, params.relay_parent_number))
}
