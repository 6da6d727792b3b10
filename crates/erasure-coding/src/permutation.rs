//! Which validator holds which chunk.
//!
//! The first k chunks are the data itself and are asked for first. Were chunk i always held by
//! validator i, the same third of the validators would serve every recovery. So the chunks of each
//! candidate are dealt out anew: for a block hash b and a core,
//!
//! ```text
//! chunk(v) = multiplier(b) · v + offset(b) + core · k   (mod n)
//! ```
//!
//! with `multiplier` prime to n. The multiplier scatters neighbours; the offset changes with the
//! block; the last term gives the data chunks of different cores of one block to different validators
//! for as long as there are any left, and evenly from there on. It spreads load and hides nothing: an
//! author can choose among block hashes.

use crate::{Error, Hash, MAX_CHUNKS, merkle::hash_parts, recovery_threshold};

/// Keeps this use of a block hash apart from any other.
const DOMAIN: &[u8] = b"parahost/chunk-permutation";

/// The bijection between validators and chunks for one core at one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPermutation {
    n: u64,
    multiplier: u64,
    inverse: u64,
    offset: u64,
}

impl ChunkPermutation {
    /// The permutation of `n` chunks for `core`, seeded by a block's hash (the candidate's relay
    /// parent, which all who deal with the candidate know).
    ///
    /// # Errors
    ///
    /// [`Error::ChunkCount`] unless `n` is in 1 ..= [`MAX_CHUNKS`].
    pub fn new(n: usize, core: u32, block_hash: &Hash) -> Result<Self, Error> {
        if n == 0 || n > MAX_CHUNKS {
            return Err(Error::ChunkCount { n });
        }
        let k = recovery_threshold(n) as u64;
        let n = n as u64;
        let [multiplier, offset] = seed(block_hash);
        let mut multiplier = multiplier % n + 1;
        // 1 is prime to every n, so this ends, and after a few steps.
        while gcd(multiplier, n) != 1 {
            multiplier = multiplier % n + 1;
        }
        Ok(Self {
            n,
            multiplier,
            inverse: inverse_modulo(multiplier, n),
            offset: (offset % n + u64::from(core) * k) % n,
        })
    }

    /// The chunk that `validator` holds.
    ///
    /// # Errors
    ///
    /// [`Error::IndexOutOfRange`] if there is no such validator.
    pub fn chunk_index(&self, validator: u32) -> Result<u32, Error> {
        let validator = self.checked(validator)?;
        Ok(((self.multiplier * validator + self.offset) % self.n) as u32)
    }

    /// The validator that holds chunk `chunk`.
    ///
    /// # Errors
    ///
    /// [`Error::IndexOutOfRange`] if there is no such chunk.
    pub fn validator_index(&self, chunk: u32) -> Result<u32, Error> {
        let chunk = self.checked(chunk)?;
        Ok((self.inverse * (chunk + self.n - self.offset) % self.n) as u32)
    }

    fn checked(&self, index: u32) -> Result<u64, Error> {
        let wide = u64::from(index);
        if wide >= self.n {
            let n = self.n as usize;
            return Err(Error::IndexOutOfRange { index, n });
        }
        Ok(wide)
    }
}

/// The chunk that `validator` of `n` holds of the candidate on `core` at the block.
///
/// For more than one validator of the same candidate, build a [`ChunkPermutation`] once.
///
/// # Errors
///
/// [`Error::ChunkCount`], [`Error::IndexOutOfRange`].
pub fn chunk_index(n: usize, core: u32, block_hash: &Hash, validator: u32) -> Result<u32, Error> {
    ChunkPermutation::new(n, core, block_hash)?.chunk_index(validator)
}

/// The validator of `n` that holds chunk `chunk` of the candidate on `core` at the block: the inverse
/// of [`chunk_index`].
///
/// # Errors
///
/// [`Error::ChunkCount`], [`Error::IndexOutOfRange`].
pub fn validator_index(n: usize, core: u32, block_hash: &Hash, chunk: u32) -> Result<u32, Error> {
    ChunkPermutation::new(n, core, block_hash)?.validator_index(chunk)
}

/// Two numbers drawn from a block hash. Hashed once more, because a block hash need not be uniform in
/// its first bytes where it is searched for.
fn seed(block_hash: &Hash) -> [u64; 2] {
    let digest = hash_parts(&[DOMAIN, block_hash]);
    let (words, _) = digest.as_chunks::<8>();
    [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The inverse of `value` modulo `modulus`, to which it is prime.
fn inverse_modulo(value: u64, modulus: u64) -> u64 {
    // Extended Euclid. Coefficients are kept modulo `modulus`, so that nothing is ever negative.
    let (mut remainder, mut next_remainder) = (modulus, value % modulus);
    let (mut coefficient, mut next_coefficient) = (0, 1 % modulus);
    while next_remainder != 0 {
        let quotient = remainder / next_remainder;
        (remainder, next_remainder) = (next_remainder, remainder % next_remainder);
        let product = quotient % modulus * next_coefficient % modulus;
        (coefficient, next_coefficient) = (next_coefficient, (coefficient + modulus - product) % modulus);
    }
    coefficient
}
