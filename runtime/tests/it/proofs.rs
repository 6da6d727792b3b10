//! Proofs about the state, as somebody reads them who knows Substrate's trie (layout V1) and nothing of ours.

use crate::support::*;
use primitives::{Hash, blake2_256, messages::HrmpChannelId, well_known_keys as keys};
use runtime::{Governance, ProofError, StateProof};
use std::collections::{BTreeMap, BTreeSet};

/// The parts of a proof by their hashes, and which of them were looked at.
struct Reader<'a> {
    parts: BTreeMap<Hash, &'a [u8]>,
    used: BTreeSet<Hash>,
}

impl<'a> Reader<'a> {
    fn new(proof: &'a StateProof) -> Self {
        let parts: BTreeMap<_, _> = proof.0.iter().map(|part| (blake2_256(part), &part[..])).collect();
        assert_eq!(parts.len(), proof.0.len(), "nothing is there twice");
        Self { parts, used: BTreeSet::new() }
    }

    fn part(&mut self, hash: &[u8]) -> Option<&'a [u8]> {
        let hash = Hash(hash.try_into().unwrap());
        self.used.insert(hash);
        self.parts.get(&hash).copied()
    }

    /// What stands under a key in the trie below a node. The outer `None`: the proof does not say.
    fn read(&mut self, mut node: &'a [u8], key: &[u8]) -> Option<Option<Vec<u8>>> {
        let input = &mut node;
        let first = take(input, 1)[0];
        // Kind, and where the number of nibbles begins: is it a branch, has it a value, is that hashed?
        let (mask, is_branch, has_value, is_hashed) = match first {
            0b0000_0000 => return Some(None),
            0b0100_0000..=0b0111_1111 => (0b0011_1111, false, true, false),
            0b1000_0000..=0b1011_1111 => (0b0011_1111, true, false, false),
            0b1100_0000..=0b1111_1111 => (0b0011_1111, true, true, false),
            0b0010_0000..=0b0011_1111 => (0b0001_1111, false, true, true),
            0b0001_0000..=0b0001_1111 => (0b0000_1111, true, true, true),
            other => panic!("{other} begins no node"),
        };
        let mut length = usize::from(first & mask);
        let mut is_more = first & mask == mask;
        while is_more {
            let further = take(input, 1)[0];
            length += usize::from(further);
            is_more = further == u8::MAX;
        }
        let partial = nibbles(take(input, length.div_ceil(2)));
        let (filling, partial) = partial.split_at(length % 2);
        assert!(filling.iter().all(|nibble| *nibble == 0));
        let children = if is_branch { u16::from_le_bytes(take(input, 2).try_into().unwrap()) } else { 0 };
        assert_eq!(is_branch, children != 0, "a branch has children");
        let value = match (has_value, is_hashed) {
            (false, _) => None,
            (true, true) => Some(take(input, 32)),
            (true, false) => Some(sized(input)),
        };
        assert!(is_hashed || value.is_none_or(|value| value.len() < 33), "long values are hashed");
        let rest = key.strip_prefix(partial);
        let mut answer = Some(None);
        for nibble in (0..16).filter(|nibble| children >> nibble & 1 == 1) {
            let child = sized(input);
            assert!(child.len() <= 32, "long nodes are hashed");
            if let Some([next, below @ ..]) = rest
                && *next == nibble
            {
                let child = if child.len() == 32 { self.part(child) } else { Some(child) };
                answer = child.and_then(|child| self.read(child, below));
            }
        }
        assert!(input.is_empty(), "nothing follows the node");
        match (rest, value) {
            (Some([]), Some(value)) if is_hashed => self.part(value).map(|value| Some(value.to_vec())),
            (Some([]), value) => Some(value.map(<[u8]>::to_vec)),
            _ => answer,
        }
    }
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(count);
    *input = rest;
    taken
}

/// Bytes behind their length, in the two shortest forms of a compact number.
fn sized<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let first = take(input, 1)[0];
    let length = match first & 0b11 {
        0b00 => usize::from(first >> 2),
        0b01 => usize::from(u16::from_le_bytes([first, take(input, 1)[0]]) >> 2),
        _ => panic!("no node holds so much"),
    };
    take(input, length)
}

fn nibbles(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect()
}

/// A state with a channel, messages and a coming upgrade.
fn state() -> runtime::State {
    let mut chain = Chain::new(6);
    chain.include(ONE, CORE_0);
    chain.enact(Governance::SendDownward(TWO, vec![7; 40]));
    chain.enact(Governance::OpenChannel(HrmpChannelId { sender: ONE, recipient: TWO }));
    chain.state
}

/// Keys that are not there, but nearly.
fn absent(present: &[u8]) -> Vec<Vec<u8>> {
    let changed = |at: usize| {
        let mut key = present.to_vec();
        key[at] ^= 1;
        key
    };
    let longer = [present, &[0]].concat();
    vec![Vec::new(), longer, present[..present.len() - 1].to_vec(), changed(0), changed(present.len() - 1)]
}

#[test]
fn anybody_reads_every_entry_and_that_others_are_not_there() {
    let state = state();
    let storage = state.storage();
    for present in storage.keys() {
        for key in [vec![present.clone()], absent(present)].concat() {
            let proof = state.state_proof(std::slice::from_ref(&key));
            let mut reader = Reader::new(&proof);
            let root = reader.part(&state.root().0).unwrap();
            let expected = storage.get(&key).cloned();
            assert_eq!(reader.read(root, &nibbles(&key)), Some(expected.clone()));
            assert_eq!(proof.read(state.root(), &key), Ok(expected));
            assert!(reader.parts.keys().eq(&reader.used), "it holds what is needed and no more");
        }
    }
}

#[test]
fn of_a_proof_that_lacks_a_part_nobody_reads_anything_else() {
    let state = state();
    let storage = state.storage();
    let wanted: Vec<_> = storage.keys().flat_map(|key| [vec![key.clone()], absent(key)].concat()).collect();
    let whole = state.state_proof(&wanted);
    let mut told = 0;
    for left_out in 0..whole.0.len() {
        let mut proof = whole.clone();
        let gone = blake2_256(&proof.0.remove(left_out));
        let mut reader = Reader::new(&proof);
        for key in &wanted {
            let read = reader.part(&state.root().0).and_then(|root| reader.read(root, &nibbles(key)));
            let expected = read.clone().ok_or(ProofError::Missing(gone));
            assert_eq!(proof.read(state.root(), key), expected);
            assert!(read.is_none_or(|read| read.as_ref() == storage.get(key)));
            told += usize::from(expected.is_err());
        }
    }
    assert!(told >= whole.0.len(), "each part is needed for something");
}

#[test]
fn no_entry_of_the_state_is_read_under_another_states_root() {
    let state = state();
    let other = state.governed(Governance::Endow([1; 32], 5)).unwrap();
    let key = keys::para_head(ONE);
    let proof = state.state_proof(std::slice::from_ref(&key));
    assert_eq!(proof.read(other.root(), &key), Err(ProofError::Missing(other.root())));
}
