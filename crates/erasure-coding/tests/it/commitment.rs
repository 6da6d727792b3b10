//! What the erasure root commits to and how. The values were computed apart, with the blake2b of
//! another library, over the chunks of the smallest JAM vector.

use codec::Encode;
use erasure_coding::{Codec, ErasureScheme, MAX_CHUNKS};

#[test]
fn threshold_is_one_more_than_the_faulty() {
    for (n, k) in [(1, 1), (2, 1), (3, 1), (4, 2), (6, 2), (7, 3), (10, 4), (100, 34), (1000, 334)] {
        assert_eq!(Codec::new(n).unwrap().k(), k, "n = {n}");
    }
    assert_eq!(Codec::new(MAX_CHUNKS).unwrap().k(), 16_385);
}

fn hash_hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn commitment_to_the_first_vector() {
    let encoded = Codec::new(6).unwrap().encode(&[0x61, 0x5d, 0x17]).unwrap();
    assert_eq!(hash_hex(&encoded.tree_root()), "7e61398eba32aca1c3b18ee97c4e4909769f4d3cd22c00fb3dd8c3b56525be21",);
    assert_eq!(hash_hex(&encoded.erasure_root()), "8246001cdad04ab95594fb6a960bab28a999b65c0365a0b6aff46ef566be8396",);
    // Compact length 3, then three hashes: the sibling of chunk 5 is chunk 4, then come the
    // node over padding only and the left half.
    let proof = encoded.proof(5).unwrap().encode();
    assert_eq!(proof.len(), 1 + 3 * 32);
    assert_eq!(
        hash_hex(&proof),
        concat!(
            "0c",
            "52a0d3f510c79eecd0d54c0bda2b18200443f2618004771c637bdce957c9b62b",
            "0eb923b0cbd24df54401d998531feead35a47a99f4deed205de4af81120f9761",
            "b27fdce29ff48ff394f335c31fcdd0e2b095cf35202b648fb25d787e7c3262cb",
        ),
    );
}

#[test]
fn the_length_is_part_of_the_commitment() {
    let scheme = ErasureScheme::default();
    let tree_root = [7; 32];
    assert_ne!(scheme.erasure_root(&tree_root, 1), scheme.erasure_root(&tree_root, 2));
    let codec = Codec::new(4).unwrap();
    let short = codec.encode(&[1]).unwrap();
    let padded = codec.encode(&[1, 0]).unwrap();
    assert_eq!(short.tree_root(), padded.tree_root());
    assert_ne!(short.erasure_root(), padded.erasure_root());
}
