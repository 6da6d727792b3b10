//! The hash tree over the chunks and the proofs taken from it.

use std::iter::zip;

use blake2b_simd::{
    Params,
    many::{HashManyJob, MAX_DEGREE, hash_many},
};
use codec::{Compact, Decode, Encode, Input};

use crate::{Error, Hash, MAX_PROOF_DEPTH};

/// Hash of a leaf that no chunk stands for. Nobody knows a preimage, and indices from n on are refused.
const PADDING_LEAF: Hash = [0; 32];

/// Inputs handed to the hasher together: a few times what it hashes in parallel, so that its set-up
/// is shared, and few enough for their states to stay in the first-level cache.
const HASH_BATCH: usize = 4 * MAX_DEGREE;

fn params() -> Params {
    let mut params = Params::new();
    params.hash_length(size_of::<Hash>());
    params
}

fn to_hash(hash: blake2b_simd::Hash) -> Hash {
    let mut out = Hash::default();
    out.copy_from_slice(hash.as_bytes());
    out
}

/// blake2b-256 of the concatenation of `parts`.
pub(crate) fn hash_parts(parts: &[&[u8]]) -> Hash {
    let mut state = params().to_state();
    for part in parts {
        state.update(part);
    }
    to_hash(state.finalize())
}

/// Hashes equally long inputs, several at a time, into `out`.
fn hash_all<'a>(inputs: impl Iterator<Item = &'a [u8]>, out: &mut [Hash]) {
    let params = params();
    let mut inputs = inputs.map(|input| HashManyJob::new(&params, input));
    let mut jobs = Vec::with_capacity(HASH_BATCH);
    for batch in out.chunks_mut(HASH_BATCH) {
        jobs.clear();
        jobs.extend(inputs.by_ref().take(batch.len()));
        hash_many(&mut jobs);
        for (slot, job) in zip(batch, &jobs) {
            *slot = to_hash(job.to_hash());
        }
    }
}

/// Levels between leaves and root of a tree over `n` leaves: ⌈log2 n⌉.
pub(crate) const fn depth(n: usize) -> usize {
    n.next_power_of_two().trailing_zeros() as usize
}

/// A complete binary tree as a heap: the root is node 1, the children of node i are 2i and 2i + 1.
#[derive(Debug)]
pub(crate) struct MerkleTree {
    nodes: Vec<Hash>,
}

impl MerkleTree {
    /// The tree over the `n` chunks of `chunk_len` bytes in `flat`. `n` and `chunk_len` are not zero.
    pub(crate) fn over_chunks(flat: &[u8], n: usize, chunk_len: usize) -> Self {
        let width = n.next_power_of_two();
        let mut nodes = vec![PADDING_LEAF; 2 * width];
        hash_all(flat.chunks_exact(chunk_len), &mut nodes[width..width + n]);
        let mut level = width;
        while level > 1 {
            let (parents, children) = nodes[..2 * level].split_at_mut(level);
            let (pairs, _) = children.as_chunks::<2>();
            hash_all(pairs.iter().map(|pair| pair.as_flattened()), &mut parents[level / 2..]);
            level /= 2;
        }
        Self { nodes }
    }

    pub(crate) fn root(&self) -> Hash {
        self.nodes[1]
    }

    /// The proof of leaf `index`, which is less than the number of leaves.
    pub(crate) fn proof(&self, index: usize) -> Proof {
        let mut node = self.nodes.len() / 2 + index;
        let mut siblings = Vec::with_capacity(MAX_PROOF_DEPTH);
        while node > 1 {
            siblings.push(self.nodes[node ^ 1]);
            node /= 2;
        }
        Proof { siblings }
    }
}

/// Proof that a chunk is among those an erasure root commits to: the siblings on the way from the
/// chunk's leaf up to the root, lowest first, exactly ⌈log2 n⌉ of them.
///
/// Its SCALE encoding is that of a sequence of 32-byte hashes: a compact length, then the hashes.
/// Decoding refuses more than [`MAX_PROOF_DEPTH`] before it allocates anything.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct Proof {
    siblings: Vec<Hash>,
}

impl Proof {
    /// The siblings, from the leaf's up.
    #[must_use]
    pub fn siblings(&self) -> &[Hash] {
        &self.siblings
    }

    /// The root this proof leads to from `chunk` at `index`.
    pub(crate) fn root_from(&self, index: usize, chunk: &[u8]) -> Hash {
        let mut position = index;
        let mut hash = hash_parts(&[chunk]);
        for sibling in &self.siblings {
            hash =
                if position.is_multiple_of(2) { hash_parts(&[&hash, sibling]) } else { hash_parts(&[sibling, &hash]) };
            position /= 2;
        }
        hash
    }
}

impl TryFrom<Vec<Hash>> for Proof {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::ProofLength`] if there are more than [`MAX_PROOF_DEPTH`] siblings.
    fn try_from(siblings: Vec<Hash>) -> Result<Self, Error> {
        if siblings.len() > MAX_PROOF_DEPTH {
            return Err(Error::ProofLength { len: siblings.len(), expected: MAX_PROOF_DEPTH });
        }
        Ok(Self { siblings })
    }
}

impl Decode for Proof {
    fn decode<I: Input>(input: &mut I) -> Result<Self, codec::Error> {
        let Compact(len) = Compact::<u32>::decode(input)?;
        if len as usize > MAX_PROOF_DEPTH {
            return Err("proof has more siblings than any tree is deep".into());
        }
        let siblings = (0..len).map(|_| Hash::decode(input)).collect::<Result<_, _>>()?;
        Ok(Self { siblings })
    }
}
