use codec::{Compact, Decode, Encode};
use sha2::{Digest, Sha256};

use crate::{
    CollateError, MAX_BLOCK_BYTES, adder,
    burner::{self, BlockPlan},
};

fn params(parent_head: &[u8], block_data: &[u8]) -> Vec<u8> {
    (parent_head.to_vec(), block_data.to_vec(), 7u32, [9u8; 32]).encode()
}

fn result(head_data: &[u8]) -> Vec<u8> {
    let no_messages = (Vec::<Vec<u8>>::new(), Vec::<(u32, Vec<u8>)>::new());
    (head_data.to_vec(), None::<Vec<u8>>, no_messages, 0u32, 7u32).encode()
}

#[test]
fn committed_wasm_has_its_sha256() {
    for (name, wasm, digest) in [
        ("adder", adder::WASM, include_str!("../built/adder.wasm.sha256")),
        ("burner", burner::WASM, include_str!("../built/burner.wasm.sha256")),
    ] {
        assert_eq!(hex::encode(Sha256::digest(wasm)), digest.trim(), "{name}");
    }
}

/// Values of the network's own adder: state 0 hashes to this, and so on for the child.
#[test]
fn adder_hashes_as_the_network_does() {
    let parent = hex::decode(
        "010000000000000001020304050607080900010203040506070809000102030405060708090001023\
         0f692b256e24009bcb34d0ee84da73c298afacc0924e01105e2eb0f01a87fe2",
    )
    .unwrap();
    let child = hex::decode(
        "02000000000000007bcfce08dbe38852eca90e642d641fb19aa0dcf53b6a4ca87a6da4a9162e9027\
         675c1f4e4248fc4018c281a280014d93c8e5bdf26fc6ec8b108f13f571e98ad2",
    )
    .unwrap();
    let block = adder::BlockData { state: 1, add: 1 };
    let head = adder::execute(&adder::HeadData::decode(&parent).unwrap(), &block).unwrap();
    assert_eq!(head.encode().to_vec(), child);
}

#[test]
fn keccak_over_one_and_many_blocks() {
    let cases: [(&[u8], &str); 2] = [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    ];
    for (data, expected) in cases {
        assert_eq!(hex::encode(crate::keccak::keccak_256(data)), expected);
    }
    // Lengths around the rate of 136 bytes take different paths; no two may collide.
    let hashes: std::collections::BTreeSet<_> = (0..300).map(|len| crate::keccak::keccak_256(&vec![1; len])).collect();
    assert_eq!(hashes.len(), 300);
}

#[test]
fn collated_blocks_validate_to_the_collated_heads() {
    let (mut sum, mut work) = (adder::genesis_head(), burner::genesis_head());
    for round in 0..5usize {
        let (head, block) = adder::collate(&sum, round * 100).unwrap();
        assert_eq!(block.len(), 16 + round * 100);
        assert_eq!(adder::validate(&params(&sum, &block)).unwrap(), result(&head));
        sum = head;

        let (head, block) = burner::collate(&work, round * 9_000, 10).unwrap();
        assert_eq!(burner::validate(&params(&work, &block)).unwrap(), result(&head));
        work = head;
    }
    assert_eq!(adder::HeadData::decode(&sum).unwrap().post_state, adder::hash_state(10));
}

#[test]
fn compact_lengths_are_those_of_scale() {
    for len in [0usize, 1, 63, 64, 16_383, 16_384, 70_000] {
        let mut ours = Vec::new();
        crate::abi::encode_compact_len(len, &mut ours);
        assert_eq!(ours, Compact(len as u32).encode(), "{len}");
        let bytes = vec![5u8; len].encode();
        let mut input = crate::abi::Input(&bytes);
        assert_eq!(input.bytes().map(<[u8]>::len), Some(len));
    }
    // 1 in two bytes is not its shortest form.
    assert_eq!(crate::abi::Input(&[0b101, 0, 1]).bytes(), None);
    assert!(Vec::<u8>::decode(&mut &[0b101u8, 0, 1][..]).is_err());
}

#[test]
fn wrong_blocks_are_invalid() {
    let genesis = adder::genesis_head();
    let (_, block) = adder::collate(&genesis, 0).unwrap();
    let mut other_state = block.clone();
    other_state[0] ^= 1;
    assert_eq!(adder::validate(&params(&genesis, &other_state)), None);
    assert_eq!(adder::validate(&params(&genesis, &block[..15])), None);
    assert_eq!(adder::validate(&params(&genesis[1..], &block)), None);
    assert_eq!(adder::validate(&[]), None);

    let genesis = burner::genesis_head();
    let (head, block) = burner::collate(&genesis, 50, 1).unwrap();
    assert_eq!(burner::validate(&params(&head, &block)), None, "block 1 does not follow head 1");
    for place in [8, block.len() - 1] {
        let mut changed = block.clone();
        changed[place] ^= 1;
        assert_ne!(burner::validate(&params(&genesis, &changed)), Some(result(&head)), "rounds and payload count");
    }
    let longer = [block, vec![0]].concat();
    assert_eq!(burner::validate(&params(&genesis, &longer)), None);
}

#[test]
fn collators_refuse_what_they_cannot_build_on() {
    assert!(matches!(adder::collate(&[1, 2], 0), Err(CollateError::NotAHead { len: 2, .. })));
    assert!(matches!(burner::collate(&[], 0, 0), Err(CollateError::NotAHead { len: 0, .. })));
    let foreign = adder::HeadData { number: 3, parent_hash: [0; 32], post_state: adder::hash_state(5) };
    assert!(matches!(adder::collate(&foreign.encode(), 0), Err(CollateError::ForeignState { number: 3, .. })));
    let last = burner::HeadData { number: u64::MAX, ..Default::default() };
    assert!(matches!(burner::collate(&last.encode(), 0, 0), Err(CollateError::LastHead { .. })));
    assert!(matches!(burner::collate(&burner::genesis_head(), MAX_BLOCK_BYTES, 0), Err(CollateError::TooLarge { .. })));
    let largest = MAX_BLOCK_BYTES - burner::BLOCK_OVERHEAD_BYTES;
    assert!(burner::collate(&burner::genesis_head(), largest, 0).unwrap().1.len() <= MAX_BLOCK_BYTES);
}

#[test]
fn a_burner_block_can_carry_new_code_and_process_downward_messages() {
    let genesis = burner::genesis_head();
    let code = vec![5; 300];
    let (head, block) = burner::collate_as(
        &genesis,
        BlockPlan { payload_bytes: 50, iterations: 1, new_code: Some(&code), processed_downward: 3 },
    )
    .unwrap();
    let no_messages = (Vec::<Vec<u8>>::new(), Vec::<(u32, Vec<u8>)>::new());
    let expected = (head.clone(), Some(code), no_messages, 3u32, 7u32).encode();
    assert_eq!(burner::validate(&params(&genesis, &block)).unwrap(), expected);
    assert_eq!(burner::collate(&genesis, 50, 1).unwrap().0, head, "code and messages are no part of the head");
    let cut = &block[..block.len() - 1];
    assert_eq!(burner::validate(&params(&genesis, cut)), None);
    let room = MAX_BLOCK_BYTES - burner::BLOCK_OVERHEAD_BYTES;
    let plan = BlockPlan { payload_bytes: room, new_code: Some(&[1]), ..BlockPlan::default() };
    assert!(matches!(burner::collate_as(&genesis, plan), Err(CollateError::TooLarge { .. })));
}
