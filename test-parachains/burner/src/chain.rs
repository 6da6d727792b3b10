//! The test parachain *burner*: blocks of any size that take any amount of computing.
//!
//! A block carries a payload, which is hashed, and asks for a number of rounds of computing, which are
//! done. Both show in the head, so neither can be skipped. How much of either is allowed is not decided
//! here: that is what the host's limits are tested with. Behind the payload a block may carry the code that
//! is to take this one's place: the parachain upgrades itself, whoever's code it is. A block says how many downward
//! messages it processes, and does nothing with them: the relay chain holds the number against its queue.
//!
//! Native code (the collator) uses the same functions as the wasm that validators run.

use alloc::vec::Vec;

use crate::abi::{Input, ValidationParams, encode_compact_len, encode_result};
use crate::keccak::keccak_256;

/// Head of the chain after a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeadData {
    /// Block number; genesis has 0.
    pub number: u64,
    /// Keccak-256 of the parent's encoded head; zero at genesis.
    pub parent_hash: [u8; 32],
    /// [`work_hash`] of this block's payload and rounds; zero at genesis.
    pub work: [u8; 32],
}

/// Bytes of an encoded head.
pub const HEAD_DATA_LEN: usize = 72;

impl HeadData {
    /// SCALE bytes.
    pub fn encode(&self) -> [u8; HEAD_DATA_LEN] {
        let mut out = [0; HEAD_DATA_LEN];
        out[..8].copy_from_slice(&self.number.to_le_bytes());
        out[8..40].copy_from_slice(&self.parent_hash);
        out[40..].copy_from_slice(&self.work);
        out
    }

    /// Reads a head; `None` when `bytes` is not exactly one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let head = Self { number: input.u64()?, parent_hash: input.array()?, work: input.array()? };
        input.0.is_empty().then_some(head)
    }

    /// What a child names as its parent.
    pub fn hash(&self) -> [u8; 32] {
        keccak_256(&self.encode())
    }
}

/// A block. The payload is borrowed: it may be many megabytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockData<'a> {
    /// Number of the block; its parent's plus one.
    pub number: u64,
    /// Rounds of computing.
    pub iterations: u64,
    /// Downward messages that are processed: so many go from the relay chain's queue.
    pub processed_downward: u32,
    /// Any bytes.
    pub payload: &'a [u8],
    /// New code for the parachain; not empty.
    pub new_code: Option<&'a [u8]>,
}

impl<'a> BlockData<'a> {
    /// SCALE bytes.
    pub fn encode(&self) -> Vec<u8> {
        let code_len = self.new_code.map_or(0, |code| code.len() + 4);
        let mut out = Vec::with_capacity(self.payload.len() + 24 + code_len);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.iterations.to_le_bytes());
        out.extend_from_slice(&self.processed_downward.to_le_bytes());
        encode_compact_len(self.payload.len(), &mut out);
        out.extend_from_slice(self.payload);
        if let Some(code) = self.new_code {
            encode_compact_len(code.len(), &mut out);
            out.extend_from_slice(code);
        }
        out
    }

    /// Reads a block; `None` when `bytes` is not exactly one.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let (number, iterations) = (input.u64()?, input.u64()?);
        let (processed_downward, payload) = (u32::from_le_bytes(input.array()?), input.bytes()?);
        let new_code = if input.0.is_empty() { None } else { Some(input.bytes()?) };
        if new_code.is_some_and(<[u8]>::is_empty) {
            return None;
        }
        input.0.is_empty().then_some(Self { number, iterations, processed_downward, payload, new_code })
    }
}

/// `iterations` rounds, each of which needs the one before.
pub fn burn(seed: u64, iterations: u64) -> u64 {
    let mut value = seed;
    for _ in 0..iterations {
        value = (value ^ (value >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x2545_f491_4f6c_dd1d);
    }
    value
}

/// Commitment to a payload and the computing that was done over it.
pub fn work_hash(payload: &[u8], iterations: u64) -> [u8; 32] {
    let payload_hash = keccak_256(payload);
    let mut seed = [0; 8];
    seed.copy_from_slice(&payload_hash[..8]);
    let mut preimage = [0; 40];
    preimage[..32].copy_from_slice(&payload_hash);
    preimage[32..].copy_from_slice(&burn(u64::from_le_bytes(seed), iterations).to_le_bytes());
    keccak_256(&preimage)
}

/// The head after `block` on top of `parent`; `None` when the block does not follow it.
pub fn execute(parent: &HeadData, block: &BlockData<'_>) -> Option<HeadData> {
    if Some(block.number) != parent.number.checked_add(1) {
        return None;
    }
    Some(HeadData {
        number: block.number,
        parent_hash: parent.hash(),
        work: work_hash(block.payload, block.iterations),
    })
}

/// Bytes of an encoded result behind its new code: no upward messages, no horizontal messages, downward
/// messages processed, watermark.
const BEHIND_CODE_LEN: usize = 1 + 1 + 4 + 4;

/// Puts new code into an encoded result that has none.
fn announce(code: &[u8], result: &mut Vec<u8>) {
    let behind = result.split_off(result.len().saturating_sub(BEHIND_CODE_LEN));
    result.pop();
    result.push(1);
    encode_compact_len(code.len(), result);
    result.extend_from_slice(code);
    result.extend_from_slice(&behind);
}

/// The validation function: SCALE `ValidationParams` in, SCALE `ValidationResult` out, `None` for an invalid block.
pub fn validate(params: &[u8]) -> Option<Vec<u8>> {
    let params = ValidationParams::decode(params)?;
    let block = BlockData::decode(params.block_data)?;
    let head = execute(&HeadData::decode(params.parent_head)?, &block)?;
    let mut result = encode_result(&head.encode(), block.processed_downward, params.relay_parent_number);
    if let Some(code) = block.new_code {
        announce(code, &mut result);
    }
    Some(result)
}
