//! Dealing out chunks to validators.

use std::collections::BTreeSet;

use erasure_coding::{ChunkPermutation, Codec, Error, MAX_CHUNKS, chunk_index, validator_index};

use crate::Draws;

fn block(draws: &mut Draws) -> [u8; 32] {
    draws.bytes(32).try_into().expect("32 bytes were drawn")
}

#[test]
fn is_a_bijection_with_its_inverse() {
    let few = 1..=40;
    let many = [97, 100, 128, 300, 997, 1000, 1023, 1024, MAX_CHUNKS];
    for n in few.chain(many) {
        let mut draws = Draws(n as u64);
        for core in [0, 1, 7, draws.below(500) as u32, u32::MAX] {
            let permutation = ChunkPermutation::new(n, core, &block(&mut draws)).unwrap();
            let mut chunks = BTreeSet::new();
            for validator in 0..n as u32 {
                let chunk = permutation.chunk_index(validator).unwrap();
                assert!((chunk as usize) < n);
                assert!(chunks.insert(chunk), "n = {n}, core {core}: chunk {chunk} twice");
                assert_eq!(permutation.validator_index(chunk), Ok(validator));
            }
        }
    }
}

#[test]
fn depends_on_core_and_block() {
    let all = |core, block: [u8; 32]| -> Vec<u32> {
        let permutation = ChunkPermutation::new(100, core, &block).unwrap();
        (0..100).map(|v| permutation.chunk_index(v).unwrap()).collect()
    };
    assert_eq!(all(0, [1; 32]), all(0, [1; 32]));
    assert_ne!(all(0, [1; 32]), all(1, [1; 32]));
    assert_ne!(all(0, [1; 32]), all(0, [2; 32]));
    for validator in 0..100 {
        let chunk = chunk_index(100, 3, &[5; 32], validator).unwrap();
        assert_eq!(validator_index(100, 3, &[5; 32], chunk), Ok(validator));
    }
}

#[test]
fn spreads_the_data_chunks_of_a_block_evenly() {
    for seed in 0..20 {
        let mut draws = Draws(seed);
        let n = 1 + draws.below(300);
        let block = block(&mut draws);
        let k = Codec::new(n).unwrap().k();
        let mut served = vec![0_u32; n];
        for core in 0..50 {
            let permutation = ChunkPermutation::new(n, core, &block).unwrap();
            for chunk in 0..k as u32 {
                served[permutation.validator_index(chunk).unwrap() as usize] += 1;
            }
        }
        let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
        assert!(most - least <= 1, "seed {seed}: from {least} to {most} data chunks");
    }
}

#[test]
fn refuses_indices_and_counts_that_do_not_exist() {
    let out = Err(Error::IndexOutOfRange { index: 6, n: 6 });
    assert_eq!(chunk_index(6, 0, &[0; 32], 6), out);
    assert_eq!(validator_index(6, 0, &[0; 32], 6), out);
    for n in [0, MAX_CHUNKS + 1, usize::MAX] {
        assert_eq!(chunk_index(n, 0, &[0; 32], 0), Err(Error::ChunkCount { n }));
    }
}

/// Nodes of different releases must deal alike: these values may not change.
#[test]
fn golden_values() {
    let permutation = ChunkPermutation::new(10, 2, &[0xab; 32]).unwrap();
    let chunks: Vec<u32> = (0..10).map(|v| permutation.chunk_index(v).unwrap()).collect();
    assert_eq!(chunks, [2, 1, 0, 9, 8, 7, 6, 5, 4, 3]);
}
