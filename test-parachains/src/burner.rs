//! The parachain with blocks of any size and weight.

#[path = "../burner/src/chain.rs"]
mod chain;

pub use chain::{BlockData, HEAD_DATA_LEN, HeadData, burn, execute, validate, work_hash};

use crate::{CollateError, check_size};

/// The validation function.
pub const WASM: &[u8] = include_bytes!("../built/burner.wasm");

/// Bytes of a block beside its payload and new code, at most: number, rounds, messages processed, length of the payload.
pub const BLOCK_OVERHEAD_BYTES: usize = 24;

/// What the next block is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockPlan<'a> {
    /// Bytes of noise in it.
    pub payload_bytes: usize,
    /// Rounds of computing.
    pub iterations: u64,
    /// Downward messages that it processes.
    pub processed_downward: u32,
    /// New code for the parachain.
    pub new_code: Option<&'a [u8]>,
}

const NAME: &str = "burner";

/// The head that the parachain is registered with: all zero.
pub fn genesis_head() -> Vec<u8> {
    HeadData::default().encode().to_vec()
}

/// The block after `parent_head` with `payload_bytes` bytes of noise and `iterations` rounds of
/// computing: (head data, block data). The noise does not compress and differs from block to block.
///
/// Takes the time that hashing the payload and doing the rounds takes.
///
/// # Errors
///
/// [`CollateError`] when `parent_head` is no head of this parachain, or the block would be too large.
pub fn collate(parent_head: &[u8], payload_bytes: usize, iterations: u64) -> Result<(Vec<u8>, Vec<u8>), CollateError> {
    collate_as(parent_head, BlockPlan { payload_bytes, iterations, ..BlockPlan::default() })
}

/// [`collate`], with all that a block can have.
///
/// # Errors
///
/// As [`collate`].
pub fn collate_as(parent_head: &[u8], plan: BlockPlan<'_>) -> Result<(Vec<u8>, Vec<u8>), CollateError> {
    let BlockPlan { payload_bytes, iterations, processed_downward, new_code } = plan;
    let code_bytes = new_code.map_or(0, |code| code.len().saturating_add(4));
    check_size(payload_bytes.saturating_add(BLOCK_OVERHEAD_BYTES).saturating_add(code_bytes))?;
    let parent = HeadData::decode(parent_head).ok_or(CollateError::NotAHead {
        parachain: NAME,
        len: parent_head.len(),
        expected: HEAD_DATA_LEN,
    })?;
    let last = CollateError::LastHead { parachain: NAME, number: parent.number };
    let number = parent.number.checked_add(1).ok_or(last.clone())?;
    let payload = noise(u64::from_le_bytes(first_eight(&parent.hash())), payload_bytes);
    let block = BlockData { number, iterations, processed_downward, payload: &payload, new_code };
    let head = execute(&parent, &block).ok_or(last)?;
    Ok((head.encode().to_vec(), block.encode()))
}

fn first_eight(hash: &[u8; 32]) -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&hash[..8]);
    out
}

/// SplitMix64: fast, and the same for the same seed everywhere.
fn noise(mut state: u64, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    out.truncate(len);
    out
}
