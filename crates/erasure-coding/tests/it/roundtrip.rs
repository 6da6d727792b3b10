//! Any k of n chunks give the data back, by whatever way recovery takes.

use erasure_coding::{Codec, MAX_CHUNKS, MAX_PROOF_DEPTH, Proof, verify, warm_up};

use crate::{Draws, pick};

fn check(codec: Codec, data: &[u8], choices: impl IntoIterator<Item = Vec<u32>>) {
    let encoded = codec.encode(data).expect("a valid length");
    let root = encoded.erasure_root();
    for indices in choices {
        let recovered = codec.recover(pick(&encoded, &indices), encoded.data_len(), &root);
        let recovered = recovered
            .unwrap_or_else(|error| panic!("n = {}, {} bytes from {indices:?}: {error}", codec.n(), data.len()));
        assert!(recovered == data, "n = {}, other data from {indices:?}", codec.n());
    }
}

/// All sets of `size` numbers below `n`.
fn subsets(n: u32, size: usize) -> Vec<Vec<u32>> {
    (0..1_u32 << n)
        .filter(|set| set.count_ones() as usize == size)
        .map(|set| (0..n).filter(|bit| set >> bit & 1 == 1).collect())
        .collect()
}

#[test]
fn every_choice_of_k_among_few() {
    let mut draws = Draws(1);
    for n in 1..=10 {
        let codec = Codec::new(n).unwrap();
        for len in [1, 2, 3, 63, 64, 65, 200] {
            check(codec, &draws.bytes(len), subsets(n as u32, codec.k()));
        }
    }
}

#[test]
fn random_choices_of_k_among_many() {
    for n in [11, 16, 31, 48, 49, 50, 100, 300, 1000, 1023] {
        let mut draws = Draws(n as u64);
        let codec = Codec::new(n).unwrap();
        let k = codec.k();
        for len in [1, 2 * k - 1, 2 * k, 2 * k + 1, 1 + draws.below(5_000)] {
            let last_k = (n - k..n).map(|index| index as u32).collect();
            let choices = [draws.distinct(k, n), draws.distinct(k, n), last_k];
            check(codec, &draws.bytes(len), choices);
        }
    }
}

#[test]
fn data_of_many_strips() {
    let mut draws = Draws(2);
    for (n, len) in [(4, 50_001), (10, 40_000), (100, 150_000)] {
        let codec = Codec::new(n).unwrap();
        let choices = [draws.distinct(codec.k(), n), draws.distinct(codec.k(), n)];
        check(codec, &draws.bytes(len), choices);
    }
}

#[test]
fn the_greatest_code() {
    let mut draws = Draws(3);
    let codec = Codec::new(MAX_CHUNKS).unwrap();
    let encoded = codec.encode(&draws.bytes(40_000)).unwrap();
    let root = encoded.erasure_root();
    let indices = draws.distinct(codec.k(), MAX_CHUNKS);
    let recovered = codec.recover(pick(&encoded, &indices), 40_000, &root).unwrap();
    assert!(recovered == encoded.data());
    let last = MAX_CHUNKS as u32 - 1;
    let proof = encoded.proof(last).unwrap();
    assert_eq!(proof.siblings().len(), MAX_PROOF_DEPTH);
    codec.verify(&root, last, &encoded.chunk(last).unwrap(), 40_000, &proof).unwrap();
}

#[test]
fn data_chunks_are_the_data() {
    let data = Draws(4).bytes(1001);
    let codec = Codec::new(10).unwrap();
    let encoded = codec.encode(&data).unwrap();
    assert_eq!((codec.k(), encoded.chunk_len()), (4, 252));
    let mut joined: Vec<u8> = (0..4).flat_map(|i| encoded.chunk(i).unwrap()).collect();
    assert_eq!(joined.split_off(1001), [0; 7]);
    assert_eq!(joined, data);
    assert_eq!(encoded.data(), data);
    // More than k chunks, in any order, are as good.
    check(codec, &data, [(0..10).rev().collect(), vec![9, 3, 2, 1, 0]]);
}

#[test]
fn every_chunk_has_a_proof_of_exact_depth() {
    for (n, depth) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (100, 7), (1000, 10)] {
        let codec = Codec::new(n).unwrap();
        let encoded = codec.encode(&Draws(5).bytes(700)).unwrap();
        let root = encoded.erasure_root();
        for index in 0..n as u32 {
            let proof = encoded.proof(index).unwrap();
            assert_eq!(proof.siblings().len(), depth, "n = {n}");
            verify(&root, n, index, &encoded.chunk(index).unwrap(), 700, &proof).unwrap();
        }
    }
}

#[test]
fn reconstruction_gives_the_missing_chunk_and_its_proof() {
    let codec = Codec::new(7).unwrap();
    let encoded = codec.encode(&Draws(6).bytes(99)).unwrap();
    let root = encoded.erasure_root();
    let again = codec.reconstruct(pick(&encoded, &[6, 1, 4]), 99, &root).unwrap();
    let (chunk, proof) = (again.chunk(2).unwrap(), again.proof(2).unwrap());
    assert_eq!((&chunk, &proof), (&encoded.chunk(2).unwrap(), &encoded.proof(2).unwrap()));
    codec.verify(&root, 2, &chunk, 99, &proof).unwrap();
}

#[test]
fn proofs_survive_their_encoding() {
    use codec::{Decode, Encode};
    let encoded = Codec::new(100).unwrap().encode(b"data").unwrap();
    let proof = encoded.proof(42).unwrap();
    assert_eq!(Proof::decode(&mut &proof.encode()[..]).unwrap(), proof);
    assert_eq!(Proof::try_from(proof.siblings().to_vec()).unwrap(), proof);
}

#[test]
fn warming_up_changes_nothing() {
    warm_up();
    warm_up();
    check(Codec::new(4).unwrap(), b"data", [vec![2, 3]]);
}

#[test]
fn recovery_reads_no_further_than_its_first_refusal() {
    let codec = Codec::new(4).unwrap();
    let encoded = codec.encode(b"data").unwrap();
    let mut taken = 0;
    // An endless supply of chunks, round and round: ends with the first repetition.
    let endless = (0..4_u32).cycle().map(|index| {
        taken += 1;
        (index, encoded.chunk(index).unwrap())
    });
    let result = codec.recover(endless, 4, &encoded.erasure_root());
    assert_eq!(result, Err(erasure_coding::Error::DuplicateChunk { index: 0 }));
    assert_eq!(taken, 5);
}
