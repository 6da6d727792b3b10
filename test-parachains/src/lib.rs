//! The two parachains of the local network and of the tests: their wasm, and what their collators do.
//!
//! **Role**: [`adder`] carries almost nothing and is the same chain as the well-known one of that name;
//! [`burner`] carries a payload of any size and does any amount of computing. Each module has the wasm
//! that validators run (`WASM`, built from `adder/` and `burner/` by `cargo xtask build-pvf`), the types of
//! its head and block, its genesis head, and `collate`, which makes the next block.
//!
//! **Receives**: a parent head. **Sends**: nothing; the caller carries head and block to the network.
//!
//! **Invariants**: `collate` needs the parent head and nothing else: a collator that was just started, or
//! that follows another fork than before, makes the same block as any other. The native functions are
//! compiled from the very files that the wasm is (`adder/src/chain.rs`, `burner/src/chain.rs`, `support/`).
//!
//! **Limits**: [`MAX_BLOCK_BYTES`].

extern crate alloc;

#[path = "../support/abi.rs"]
pub mod abi;
pub mod adder;
pub mod burner;
#[path = "../support/keccak.rs"]
pub mod keccak;

/// The largest block that a collator makes, in bytes; it is what a relay chain allows a PoV to have.
pub const MAX_BLOCK_BYTES: usize = 10 * 1024 * 1024;

/// Why a collator cannot build on a head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollateError {
    /// The bytes are no head of this parachain.
    #[error("parent head of {len} bytes is no head of {parachain}, which has {expected} bytes")]
    NotAHead {
        /// Name of the parachain.
        parachain: &'static str,
        /// Length found.
        len: usize,
        /// Length of a head.
        expected: usize,
    },
    /// The head's state is not the one this collator's blocks lead to.
    #[error("head {number} of {parachain} has another state than this collator's blocks lead to")]
    ForeignState {
        /// Name of the parachain.
        parachain: &'static str,
        /// Number of the head.
        number: u64,
    },
    /// The head is the last one that its number can count.
    #[error("head {number} of {parachain} can have no child")]
    LastHead {
        /// Name of the parachain.
        parachain: &'static str,
        /// Number of the head.
        number: u64,
    },
    /// The block would be larger than [`MAX_BLOCK_BYTES`].
    #[error("a block of {bytes} bytes was asked for, at most {MAX_BLOCK_BYTES} are allowed")]
    TooLarge {
        /// Bytes asked for.
        bytes: usize,
    },
}

fn check_size(bytes: usize) -> Result<(), CollateError> {
    if bytes > MAX_BLOCK_BYTES { Err(CollateError::TooLarge { bytes }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
