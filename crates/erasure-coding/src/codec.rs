//! Data to chunks, chunks to data, and the checks on both ways.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{
    Error, Hash, MAX_CHUNKS, MAX_DATA_LEN,
    merkle::{MerkleTree, Proof, depth, hash_parts},
    recovery_threshold, reed_solomon,
};

/// How the root of the hash tree becomes the erasure root of a receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErasureScheme {
    /// `blake2b-256(tree root ‖ data length as u64, little-endian)`. The length belongs to the
    /// commitment: without it, data and the same data with zeros appended would have one root.
    #[default]
    LengthCommitted,
}

impl ErasureScheme {
    /// The erasure root for a tree's root and the length of the data in bytes.
    #[must_use]
    pub fn erasure_root(self, tree_root: &Hash, data_len: u64) -> Hash {
        match self {
            Self::LengthCommitted => hash_parts(&[tree_root, &data_len.to_le_bytes()]),
        }
    }
}

/// The code for a number of chunks. Cheap to make and to copy.
///
/// # Examples
///
/// ```
/// use erasure_coding::Codec;
///
/// let codec = Codec::new(10)?;
/// let encoded = codec.encode(b"what the checkers need")?;
/// let root = encoded.erasure_root();
/// codec.verify(&root, 7, &encoded.chunk(7)?, encoded.data_len(), &encoded.proof(7)?)?;
///
/// let four = [1, 3, 7, 9].map(|index| (index, encoded.chunk(index).expect("less than 10")));
/// let data = codec.recover(four, encoded.data_len(), &root)?;
/// assert_eq!(data, &b"what the checkers need"[..]);
/// # Ok::<(), erasure_coding::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    n: usize,
    k: usize,
    scheme: ErasureScheme,
}

impl Codec {
    /// The code for `n` chunks, one per validator of the session.
    ///
    /// # Errors
    ///
    /// [`Error::ChunkCount`] unless `n` is in 1 ..= [`MAX_CHUNKS`].
    pub fn new(n: usize) -> Result<Self, Error> {
        if n == 0 || n > MAX_CHUNKS {
            return Err(Error::ChunkCount { n });
        }
        Ok(Self { n, k: recovery_threshold(n), scheme: ErasureScheme::default() })
    }

    /// Number of chunks.
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// Number of chunks that suffice, ⌊(n−1)/3⌋+1; also the number of data chunks.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// How the erasure root is made.
    #[must_use]
    pub fn scheme(&self) -> ErasureScheme {
        self.scheme
    }

    /// The length in bytes of each chunk of `data_len` bytes of data: even, and the least with which
    /// k chunks hold the data.
    ///
    /// # Errors
    ///
    /// [`Error::DataLength`] unless `data_len` is in 1 ..= [`MAX_DATA_LEN`].
    pub fn chunk_len(&self, data_len: u64) -> Result<usize, Error> {
        if data_len == 0 || data_len > MAX_DATA_LEN {
            return Err(Error::DataLength { len: data_len });
        }
        Ok((data_len as usize).div_ceil(2 * self.k) * 2)
    }

    /// Encodes `data` into n chunks and commits to them.
    ///
    /// # Errors
    ///
    /// [`Error::DataLength`] if `data` is empty or longer than [`MAX_DATA_LEN`].
    pub fn encode(&self, data: &[u8]) -> Result<Encoded, Error> {
        let data_len = data.len() as u64;
        let chunk_len = self.chunk_len(data_len)?;
        let mut chunks = vec![0; self.n * chunk_len];
        chunks[..data.len()].copy_from_slice(data);
        self.fill_recovery_chunks(&mut chunks, chunk_len);
        self.commit(chunks, data_len)
    }

    /// Commits to n chunks as they are, whether or not they are the code of anything.
    ///
    /// `chunks` are the n chunks one after another. This is the second half of [`Codec::encode`]; alone
    /// it serves those who play an encoder that cheats.
    ///
    /// # Errors
    ///
    /// [`Error::DataLength`] as for [`Codec::encode`]; [`Error::BufferLength`] if `chunks` is not
    /// n × [`Codec::chunk_len`] bytes long.
    pub fn commit(&self, chunks: Vec<u8>, data_len: u64) -> Result<Encoded, Error> {
        let chunk_len = self.chunk_len(data_len)?;
        let expected = self.n * chunk_len;
        if chunks.len() != expected {
            let len = chunks.len();
            return Err(Error::BufferLength { len, expected });
        }
        let tree = MerkleTree::over_chunks(&chunks, self.n, chunk_len);
        Ok(Encoded { codec: *self, chunks: chunks.into(), chunk_len, data_len, tree: Arc::new(tree) })
    }

    /// Checks that `erasure_root` commits to `chunk` at `index` of data of `data_len` bytes.
    ///
    /// Says nothing about whether the chunks committed to are a codeword; recovery does.
    ///
    /// # Errors
    ///
    /// [`Error::IndexOutOfRange`], [`Error::DataLength`], [`Error::ChunkLength`],
    /// [`Error::ProofLength`], [`Error::ProofMismatch`]: each is the fault of whoever sent the chunk
    /// (AD-2).
    pub fn verify(
        &self,
        erasure_root: &Hash,
        index: u32,
        chunk: &[u8],
        data_len: u64,
        proof: &Proof,
    ) -> Result<(), Error> {
        let position = self.checked(index)?;
        self.check_chunk_len(index, chunk, self.chunk_len(data_len)?)?;
        let (len, expected) = (proof.siblings().len(), depth(self.n));
        if len != expected {
            return Err(Error::ProofLength { len, expected });
        }
        let tree_root = proof.root_from(position, chunk);
        if self.scheme.erasure_root(&tree_root, data_len) != *erasure_root {
            return Err(Error::ProofMismatch { index });
        }
        Ok(())
    }

    /// Recovers the data from any k chunks, and checks that what the root commits to is its code.
    ///
    /// All `chunks` must have passed [`Codec::verify`] with the same root and length; the verdict
    /// [`Error::InvalidEncoding`] is about the candidate only if they have. At most n items are taken
    /// from the iterator, plus one that is refused. More than k chunks do no harm: the data chunks are
    /// preferred, and all k of them make recovery a concatenation; then the recovery chunks of the
    /// lowest index.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEncoding`] if the data's own code has another root or its padding is not zero
    /// (AD-4). Otherwise [`Error::DataLength`], [`Error::IndexOutOfRange`], [`Error::ChunkLength`],
    /// [`Error::DuplicateChunk`], [`Error::NotEnoughChunks`].
    pub fn recover(
        &self,
        chunks: impl IntoIterator<Item = (u32, Bytes)>,
        data_len: u64,
        erasure_root: &Hash,
    ) -> Result<Bytes, Error> {
        let Encoded { chunks, .. } = self.reconstruct(chunks, data_len, erasure_root)?;
        // The recovery chunks have done their service; keep only the data's part of the buffer.
        let mut data = Vec::from(chunks);
        data.truncate(data_len as usize);
        data.shrink_to_fit();
        Ok(data.into())
    }

    /// Like [`Codec::recover`], but keeps all chunks and proofs: for a validator that recovers the
    /// data because it lacks its own chunk (AD-5).
    ///
    /// # Errors
    ///
    /// Those of [`Codec::recover`].
    pub fn reconstruct(
        &self,
        chunks: impl IntoIterator<Item = (u32, Bytes)>,
        data_len: u64,
        erasure_root: &Hash,
    ) -> Result<Encoded, Error> {
        let chunk_len = self.chunk_len(data_len)?;
        let received = self.collect(chunks, chunk_len)?;
        let mut flat = vec![0; self.n * chunk_len];
        let data = &mut flat[..self.k * chunk_len];
        let chosen: Vec<(usize, &[u8])> =
            received.iter().take(self.k).map(|(index, chunk)| (*index as usize, chunk.as_ref())).collect();
        for (index, chunk) in chosen.iter().take_while(|(index, _)| *index < self.k) {
            data[index * chunk_len..][..chunk_len].copy_from_slice(chunk);
        }
        reed_solomon::decode_missing(&chosen, data, chunk_len);

        if data[data_len as usize..].iter().any(|byte| *byte != 0) {
            return Err(Error::InvalidEncoding);
        }
        self.fill_recovery_chunks(&mut flat, chunk_len);
        let encoded = self.commit(flat, data_len)?;
        if encoded.erasure_root() != *erasure_root {
            return Err(Error::InvalidEncoding);
        }
        Ok(encoded)
    }

    /// Sorts chunks by index and checks each and their number.
    fn collect(
        &self,
        chunks: impl IntoIterator<Item = (u32, Bytes)>,
        chunk_len: usize,
    ) -> Result<BTreeMap<u32, Bytes>, Error> {
        let mut received = BTreeMap::new();
        for (index, chunk) in chunks {
            self.checked(index)?;
            self.check_chunk_len(index, &chunk, chunk_len)?;
            if received.insert(index, chunk).is_some() {
                return Err(Error::DuplicateChunk { index });
            }
        }
        if received.len() < self.k {
            return Err(Error::NotEnoughChunks { got: received.len(), needed: self.k });
        }
        Ok(received)
    }

    fn fill_recovery_chunks(&self, chunks: &mut [u8], chunk_len: usize) {
        let (data, recovery) = chunks.split_at_mut(self.k * chunk_len);
        reed_solomon::encode(data, recovery, chunk_len);
    }

    fn checked(&self, index: u32) -> Result<usize, Error> {
        let position = index as usize;
        if position >= self.n {
            return Err(Error::IndexOutOfRange { index, n: self.n });
        }
        Ok(position)
    }

    fn check_chunk_len(&self, index: u32, chunk: &[u8], expected: usize) -> Result<(), Error> {
        let len = chunk.len();
        if len != expected {
            return Err(Error::ChunkLength { index, len, expected });
        }
        Ok(())
    }
}

/// Checks one chunk against an erasure root: [`Codec::verify`] for those who have no codec at hand.
///
/// # Errors
///
/// Those of [`Codec::new`] and [`Codec::verify`].
pub fn verify(
    erasure_root: &Hash,
    n: usize,
    index: u32,
    chunk: &[u8],
    data_len: u64,
    proof: &Proof,
) -> Result<(), Error> {
    Codec::new(n)?.verify(erasure_root, index, chunk, data_len, proof)
}

/// All chunks of some data and the tree over them. Clones share both.
#[derive(Clone, Debug)]
pub struct Encoded {
    codec: Codec,
    chunks: Bytes,
    chunk_len: usize,
    data_len: u64,
    tree: Arc<MerkleTree>,
}

impl Encoded {
    /// The code these chunks are of.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Length in bytes of each chunk.
    #[must_use]
    pub fn chunk_len(&self) -> usize {
        self.chunk_len
    }

    /// Length in bytes of the data.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        self.data_len
    }

    /// The data, without a copy. Holding it holds the memory of all chunks.
    #[must_use]
    pub fn data(&self) -> Bytes {
        self.chunks.slice(..self.data_len as usize)
    }

    /// Chunk `index`, without a copy. Holding it holds the memory of all chunks: who keeps one chunk
    /// for long keeps a copy of it.
    ///
    /// # Errors
    ///
    /// [`Error::IndexOutOfRange`] unless `index` is less than n.
    pub fn chunk(&self, index: u32) -> Result<Bytes, Error> {
        let start = self.codec.checked(index)? * self.chunk_len;
        Ok(self.chunks.slice(start..start + self.chunk_len))
    }

    /// The proof of chunk `index`: exactly ⌈log2 n⌉ siblings.
    ///
    /// # Errors
    ///
    /// [`Error::IndexOutOfRange`] unless `index` is less than n.
    pub fn proof(&self, index: u32) -> Result<Proof, Error> {
        Ok(self.tree.proof(self.codec.checked(index)?))
    }

    /// The root of the tree over the chunks.
    #[must_use]
    pub fn tree_root(&self) -> Hash {
        self.tree.root()
    }

    /// The commitment that goes into the receipt.
    #[must_use]
    pub fn erasure_root(&self) -> Hash {
        self.codec.scheme.erasure_root(&self.tree_root(), self.data_len)
    }
}
