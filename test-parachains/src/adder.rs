//! The parachain whose state is a sum.

#[path = "../adder/src/chain.rs"]
mod chain;

pub use chain::{BlockData, HEAD_DATA_LEN, HeadData, execute, hash_state, validate};

use crate::{CollateError, check_size};

/// The validation function.
pub const WASM: &[u8] = include_bytes!("../built/adder.wasm");

/// What each block of this collator adds; it is how `collate` knows the state behind a head's hash.
pub const ADD: u64 = 2;

const NAME: &str = "adder";

/// The head that the parachain is registered with: number 0, state 0.
pub fn genesis_head() -> Vec<u8> {
    let head = HeadData { number: 0, parent_hash: [0; 32], post_state: hash_state(0) };
    head.encode().to_vec()
}

/// The block after `parent_head`, which adds [`ADD`] and ends with `padding` zero bytes: (head data,
/// block data).
///
/// # Errors
///
/// [`CollateError`] when `parent_head` is none of this collator's heads, or the block would be too large.
pub fn collate(parent_head: &[u8], padding: usize) -> Result<(Vec<u8>, Vec<u8>), CollateError> {
    check_size(padding.saturating_add(16))?;
    let parent = HeadData::decode(parent_head).ok_or(CollateError::NotAHead {
        parachain: NAME,
        len: parent_head.len(),
        expected: HEAD_DATA_LEN,
    })?;
    let number = parent.number;
    let block = BlockData { state: number.wrapping_mul(ADD), add: ADD };
    if hash_state(block.state) != parent.post_state {
        return Err(CollateError::ForeignState { parachain: NAME, number });
    }
    let head = execute(&parent, &block).ok_or(CollateError::LastHead { parachain: NAME, number })?;
    let mut block_data = Vec::with_capacity(16 + padding);
    block_data.extend_from_slice(&block.encode());
    block_data.resize(16 + padding, 0);
    Ok((head.encode().to_vec(), block_data))
}
