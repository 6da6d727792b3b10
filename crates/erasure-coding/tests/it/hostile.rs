//! What peers and cheating encoders can send.

use bytes::Bytes;
use codec::{Compact, Decode, Encode};
use erasure_coding::{Codec, Encoded, Error, Hash, MAX_CHUNKS, MAX_DATA_LEN, MAX_PROOF_DEPTH, Proof, verify};

use crate::{Draws, pick};

const N: usize = 10;
const LEN: u64 = 500;

fn encoded() -> (Codec, Encoded, Hash) {
    let codec = Codec::new(N).expect("a valid count");
    let data = Draws(7).bytes(LEN as usize);
    let encoded = codec.encode(&data).expect("a valid length");
    let root = encoded.erasure_root();
    (codec, encoded, root)
}

fn flat(encoded: &Encoded) -> Vec<u8> {
    let n = encoded.codec().n() as u32;
    (0..n).flat_map(|index| encoded.chunk(index).expect("index below n")).collect()
}

#[test]
fn counts_and_lengths_have_ends() {
    for n in [0, MAX_CHUNKS + 1, 65_536, usize::MAX] {
        assert_eq!(Codec::new(n), Err(Error::ChunkCount { n }));
    }
    let codec = Codec::new(N).unwrap();
    assert_eq!(codec.encode(&[]).unwrap_err(), Error::DataLength { len: 0 });
    let too_long = vec![0; MAX_DATA_LEN as usize + 1];
    assert_eq!(codec.encode(&too_long).unwrap_err(), Error::DataLength { len: MAX_DATA_LEN + 1 });
    for len in [0, MAX_DATA_LEN + 1, u64::MAX] {
        let expected = Err(Error::DataLength { len });
        assert_eq!(codec.recover([], len, &[0; 32]), expected);
        assert_eq!(codec.chunk_len(len), Err(Error::DataLength { len }));
    }
    let (_, encoded, _) = encoded();
    let expected = Error::IndexOutOfRange { index: 10, n: N };
    assert_eq!(encoded.chunk(10), Err(expected.clone()));
    assert_eq!(encoded.proof(10), Err(expected));
}

#[test]
fn verify_refuses_every_changed_argument() {
    let (codec, encoded, root) = encoded();
    let chunk = encoded.chunk(3).unwrap();
    let proof = encoded.proof(3).unwrap();
    let check = |root: &Hash, index, chunk: &[u8], len, proof: &Proof| codec.verify(root, index, chunk, len, proof);
    assert_eq!(check(&root, 3, &chunk, LEN, &proof), Ok(()));

    let mismatch = Err(Error::ProofMismatch { index: 3 });
    for bit in 0..chunk.len() * 8 {
        let mut corrupt = chunk.to_vec();
        corrupt[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(check(&root, 3, &corrupt, LEN, &proof), mismatch);
    }
    assert_eq!(check(&[0; 32], 3, &chunk, LEN, &proof), mismatch);
    // Another length with the same length of chunk.
    assert_eq!(check(&root, 3, &chunk, LEN - 1, &proof), mismatch);
    assert_eq!(check(&root, 2, &chunk, LEN, &proof), Err(Error::ProofMismatch { index: 2 }));
    assert_eq!(check(&root, 3, &chunk, LEN, &encoded.proof(4).unwrap()), mismatch);
    assert_eq!(check(&root, N as u32, &chunk, LEN, &proof), Err(Error::IndexOutOfRange { index: 10, n: N }));
    let (len, expected) = (chunk.len() - 2, chunk.len());
    assert_eq!(check(&root, 3, &chunk[2..], LEN, &proof), Err(Error::ChunkLength { index: 3, len, expected }));
    for count in [0, 3, 5, MAX_PROOF_DEPTH] {
        let mut siblings = proof.siblings().to_vec();
        siblings.resize(count, [0; 32]);
        let changed = Proof::try_from(siblings).unwrap();
        assert_eq!(check(&root, 3, &chunk, LEN, &changed), Err(Error::ProofLength { len: count, expected: 4 }));
    }
    for level in 0..4 {
        let mut siblings = proof.siblings().to_vec();
        siblings[level][31] ^= 1;
        assert_eq!(check(&root, 3, &chunk, LEN, &Proof::try_from(siblings).unwrap()), mismatch);
    }
}

#[test]
fn an_inner_node_is_no_chunk() {
    // n = 4 with chunks of 64 bytes: an inner node has the form of a chunk, but not the depth.
    let codec = Codec::new(4).unwrap();
    let encoded = codec.encode(&Draws(8).bytes(128)).unwrap();
    let root = encoded.erasure_root();
    let leaves = [encoded.proof(1).unwrap().siblings()[0], encoded.proof(0).unwrap().siblings()[0]];
    let upper = encoded.proof(0).unwrap().siblings()[1];
    let proof = Proof::try_from(vec![upper]).unwrap();
    for index in 0..4 {
        assert!(codec.verify(&root, index, leaves.as_flattened(), 128, &proof).is_err());
    }
    // In a tree of that lesser depth the same proof would do, which is why n is not for a peer to say.
    assert!(verify(&root, 2, 0, leaves.as_flattened(), 128, &proof).is_err());
}

#[test]
fn padding_leaves_are_not_chunks() {
    let (codec, encoded, root) = encoded();
    for index in [10, 11, 15, 16, u32::MAX] {
        let result = codec.verify(&root, index, &[0; 126], LEN, &encoded.proof(9).unwrap());
        assert_eq!(result, Err(Error::IndexOutOfRange { index, n: N }));
    }
}

#[test]
fn a_wrong_codeword_with_valid_proofs_is_an_invalid_encoding() {
    let (codec, honest, _) = encoded();
    let chunk_len = honest.chunk_len();
    for wrong in 0..N {
        let mut chunks = flat(&honest);
        chunks[wrong * chunk_len + chunk_len / 2] ^= 0x40;
        let cheat = codec.commit(chunks, LEN).unwrap();
        let root = cheat.erasure_root();
        for index in 0..N as u32 {
            let (chunk, proof) = (cheat.chunk(index).unwrap(), cheat.proof(index).unwrap());
            codec.verify(&root, index, &chunk, LEN, &proof).unwrap();
        }
        // Whichever k chunks one starts from: with the wrong one, without it, and the fast way.
        for indices in [[0, 1, 2, 3], [6, 7, 8, 9], [0, 5, 7, 9], [1, 2, 4, 8]] {
            let result = codec.recover(pick(&cheat, &indices), LEN, &root);
            assert_eq!(result, Err(Error::InvalidEncoding), "chunk {wrong} wrong, from {indices:?}");
        }
    }
}

#[test]
fn padding_that_is_not_zero_is_an_invalid_encoding() {
    let (codec, honest, _) = encoded();
    // 500 bytes in four chunks of 126: the last four bytes are padding. Encode a codeword that fills
    // them, and claim the shorter length for it.
    let mut data = honest.data().to_vec();
    data.extend([0, 0, 0, 1]);
    let longer = codec.encode(&data).unwrap();
    assert_eq!(longer.chunk_len(), honest.chunk_len());
    let cheat = codec.commit(flat(&longer), LEN).unwrap();
    let root = cheat.erasure_root();
    for indices in [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]] {
        let result = codec.recover(pick(&cheat, &indices), LEN, &root);
        assert_eq!(result, Err(Error::InvalidEncoding), "from {indices:?}");
    }
}

#[test]
fn recovery_refuses_what_is_not_k_distinct_chunks() {
    let (codec, encoded, root) = encoded();
    let recover = |chunks: Vec<(u32, Bytes)>| codec.recover(chunks, LEN, &root);

    assert_eq!(recover(vec![]), Err(Error::NotEnoughChunks { got: 0, needed: 4 }));
    assert_eq!(recover(pick(&encoded, &[1, 2, 9])), Err(Error::NotEnoughChunks { got: 3, needed: 4 }));
    assert_eq!(recover(pick(&encoded, &[1, 2, 9, 2, 5])), Err(Error::DuplicateChunk { index: 2 }));
    let mut beyond = pick(&encoded, &[0, 1, 2, 3]);
    beyond.push((10, encoded.chunk(0).unwrap()));
    assert_eq!(recover(beyond), Err(Error::IndexOutOfRange { index: 10, n: N }));
    for len in [0, 125, 128, 1000] {
        let mut uneven = pick(&encoded, &[0, 1, 2]);
        uneven.push((7, vec![0; len].into()));
        let expected = Err(Error::ChunkLength { index: 7, len, expected: 126 });
        assert_eq!(recover(uneven), expected);
    }
    assert_eq!(codec.commit(vec![0; 1259], LEN).unwrap_err(), Error::BufferLength { len: 1259, expected: 1260 });
}

#[test]
fn proofs_are_bounded_when_decoded() {
    for count in [0, 1, MAX_PROOF_DEPTH] {
        let bytes = vec![[1_u8; 32]; count].encode();
        assert_eq!(Proof::decode(&mut &bytes[..]).unwrap().siblings().len(), count);
        if count > 0 {
            assert!(Proof::decode(&mut &bytes[..bytes.len() - 1]).is_err());
        }
    }
    let too_many = vec![[1_u8; 32]; MAX_PROOF_DEPTH + 1];
    assert!(Proof::decode(&mut &too_many.encode()[..]).is_err());
    assert!(Proof::try_from(too_many).is_err());
    assert!(Proof::decode(&mut &Compact(u32::MAX).encode()[..]).is_err());
    assert!(Proof::decode(&mut &[][..]).is_err());
}

#[test]
fn arbitrary_input_is_refused_without_a_panic() {
    for seed in 0..400 {
        let mut draws = Draws(1000 + seed);
        let n = [0, 1, 2, 3, 4, 7, 10, 33, MAX_CHUNKS, usize::MAX][draws.below(10)];
        let data_len = [0, 1, 2, 3, 99, 1000, MAX_DATA_LEN, u64::MAX][draws.below(8)];
        let garbage = draws.bytes(600);
        if let Ok(proof) = Proof::decode(&mut &garbage[..]) {
            assert!(proof.siblings().len() <= MAX_PROOF_DEPTH);
        }
        let depth = draws.below(6);
        let proof = Proof::try_from(vec![[seed as u8; 32]; depth]).unwrap();
        let index = [0, 1, 5, 32, 40_000, u32::MAX][draws.below(6)];
        let chunk_len = draws.below(70);
        let chunk = &garbage[..chunk_len];
        assert!(verify(&[9; 32], n, index, chunk, data_len, &proof).is_err(), "seed {seed}");
        let Ok(codec) = Codec::new(n) else { continue };
        // Sometimes the length that fits, so that garbage reaches the decoder.
        let fitting = codec.chunk_len(data_len).unwrap_or(0).min(600);
        let chunks = (0..draws.below(40)).map(|_| {
            let index = draws.below(n + n / 4 + 1) as u32;
            let len = if draws.below(20) == 0 { draws.below(40) } else { fitting };
            (index, Bytes::copy_from_slice(&garbage[..len]))
        });
        let chunks: Vec<_> = chunks.collect();
        assert!(codec.recover(chunks, data_len, &[9; 32]).is_err(), "seed {seed}");
    }
}

#[test]
fn k_chunks_of_garbage_reach_the_decoder_and_are_refused() {
    for seed in 0..50 {
        let mut draws = Draws(2000 + seed);
        let n = 1 + draws.below(200);
        let codec = Codec::new(n).unwrap();
        let data_len = 1 + draws.below(3000);
        let chunk_len = codec.chunk_len(data_len as u64).unwrap();
        let chunks: Vec<(u32, Bytes)> =
            draws.distinct(codec.k(), n).into_iter().map(|index| (index, draws.bytes(chunk_len).into())).collect();
        let result = codec.recover(chunks, data_len as u64, &[9; 32]);
        assert_eq!(result, Err(Error::InvalidEncoding), "seed {seed}");
    }
}
