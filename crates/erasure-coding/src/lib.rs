//! Erasure coding of the available data of a candidate.
//!
//! **Role.** Turns the data that a candidate's checkers need into n chunks, one per validator, any
//! k = ⌊(n−1)/3⌋+1 of which give the data back, and commits to all of them by one hash, the *erasure
//! root* that stands in the candidate's receipt. A pure library: no clock, no I/O, no threads. Its
//! calls compute for milliseconds, so they belong on the `Compute` port and not on an async worker.
//!
//! **Receives** the data to encode, or chunks, proofs and lengths that came from peers.
//! **Sends** nothing.
//!
//! # The code
//!
//! Reed–Solomon over GF(2¹⁶), words of two bytes, little-endian. The data is padded with zeros to a
//! multiple of 2·k bytes; chunk i < k is the i-th contiguous slice of it (so recovery from the first k
//! chunks is concatenation), chunk k + j is the value at point c + j of the polynomial through them,
//! with c the next power of two of k. This is the layout of the public JAM vectors.
//!
//! # The commitment
//!
//! A binary tree of fixed depth ⌈log2 n⌉. A leaf is `blake2b-256(chunk)`, an inner node
//! `blake2b-256(left ‖ right)`, leaves past n are 32 zero bytes. Leaves and nodes carry no tag: what
//! keeps a node from being passed off as a leaf is that both the depth and the length of a chunk are
//! known before a proof is looked at, and a proof has exactly that many steps. The erasure root is
//! made of the tree's root and the data's length ([`ErasureScheme`]).
//!
//! # Invariants
//!
//! - No input, however hostile, makes a call panic.
//! - A valid proof shows only that the encoder committed to a chunk, not that the chunks are a
//!   codeword. [`Codec::recover`] therefore encodes again and compares the root: whichever k chunks
//!   two honest nodes start from, both get the same data or both get [`Error::InvalidEncoding`].
//! - Data, padding and chunk length have one canonical form; any other is refused.
//!
//! # Limits
//!
//! [`MAX_CHUNKS`], [`MAX_DATA_LEN`], [`MAX_PROOF_DEPTH`]. Memory of one call: n × chunk length (about
//! three times the data) plus half a mebibyte of working space, plus 64 bytes per hash tree leaf.

mod codec;
mod merkle;
mod permutation;
mod reed_solomon;
#[cfg(test)]
mod vectors;

pub use crate::{
    codec::{Codec, Encoded, ErasureScheme, verify},
    merkle::Proof,
    permutation::{ChunkPermutation, chunk_index, validator_index},
    reed_solomon::warm_up,
};

/// A blake2b-256 hash.
pub type Hash = [u8; 32];

/// Points of the field, and so the bound on the length of a codeword.
pub(crate) const FIELD_POINTS: usize = 65_536;

/// The greatest number of chunks (validators) one codec serves.
///
/// The greatest n with `pow2(k) + (n − k) ≤ 65,536`; every smaller one meets the condition too.
pub const MAX_CHUNKS: usize = 49_153;

/// The longest data, in bytes, that is encoded or recovered.
///
/// Three times the largest proof of validity that the network admits (10 MiB), which leaves room for
/// the validation data beside it.
pub const MAX_DATA_LEN: u64 = 32 * 1024 * 1024;

/// The greatest number of siblings in a proof: ⌈log2 [`MAX_CHUNKS`]⌉.
pub const MAX_PROOF_DEPTH: usize = 16;

const _: () = {
    assert!(codeword_points(MAX_CHUNKS) <= FIELD_POINTS);
    assert!(codeword_points(MAX_CHUNKS + 1) > FIELD_POINTS);
    assert!(merkle::depth(MAX_CHUNKS) == MAX_PROOF_DEPTH);
    // Lengths are computed in `usize`; this keeps n × chunk length far from its end on any machine.
    assert!(MAX_DATA_LEN <= (u32::MAX / 8) as u64);
};

/// Chunks that suffice for recovery, k = f + 1 with f = ⌊(n−1)/3⌋ faulty validators (AV-1).
pub(crate) const fn recovery_threshold(n: usize) -> usize {
    n.saturating_sub(1) / 3 + 1
}

const fn codeword_points(n: usize) -> usize {
    let k = recovery_threshold(n);
    k.next_power_of_two() + (n - k)
}

/// Why something was not encoded, not accepted or not recovered.
///
/// Only [`Error::InvalidEncoding`] speaks about the candidate; all others speak about the call or
/// about the peer that supplied its arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No code exists for this number of chunks.
    #[error("{n} chunks requested, expected 1 to {MAX_CHUNKS}")]
    ChunkCount {
        /// The number asked for.
        n: usize,
    },
    /// The data is empty or longer than [`MAX_DATA_LEN`].
    #[error("data of {len} bytes, expected 1 to {MAX_DATA_LEN}")]
    DataLength {
        /// Length of the data in bytes, as given or as claimed.
        len: u64,
    },
    /// A chunk or validator index that does not exist among n.
    #[error("index {index}, expected less than {n}")]
    IndexOutOfRange {
        /// The index given.
        index: u32,
        /// The number of chunks.
        n: usize,
    },
    /// A chunk is not as long as the data's length demands.
    #[error("chunk {index} has {len} bytes, expected {expected}")]
    ChunkLength {
        /// Which chunk.
        index: u32,
        /// Its length in bytes.
        len: usize,
        /// The canonical length in bytes.
        expected: usize,
    },
    /// The same chunk was given twice.
    #[error("chunk {index} given twice, expected distinct chunks")]
    DuplicateChunk {
        /// Which chunk.
        index: u32,
    },
    /// Too few chunks to recover anything.
    #[error("{got} chunks, expected at least {needed}")]
    NotEnoughChunks {
        /// Distinct chunks given.
        got: usize,
        /// Chunks needed, k.
        needed: usize,
    },
    /// A proof has the wrong number of siblings.
    #[error("proof with {len} siblings, expected {expected}")]
    ProofLength {
        /// Siblings in the proof.
        len: usize,
        /// Depth of the tree.
        expected: usize,
    },
    /// Chunk, index, length and proof do not lead to the erasure root.
    #[error("proof of chunk {index} does not lead to the erasure root")]
    ProofMismatch {
        /// Which chunk.
        index: u32,
    },
    /// A buffer of chunks is not n × chunk length bytes long.
    #[error("buffer of chunks has {len} bytes, expected {expected}")]
    BufferLength {
        /// Its length in bytes.
        len: usize,
        /// The length it must have, in bytes.
        expected: usize,
    },
    /// What was committed to is not the code of any data: the candidate's encoder cheated.
    #[error("chunks committed to by the erasure root are not a valid encoding")]
    InvalidEncoding,
}
