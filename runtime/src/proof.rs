//! Proofs about the state trie (design §9): the nodes on the way from the root to some keys.
//!
//! A proof is the encoded nodes and hashed values that somebody needs who has the root only, in no particular order,
//! as Substrate's storage proofs are. That a key is not there can be proved as well.

use codec::{Compact, Decode, Encode};
use primitives::{Hash, blake2_256};
use std::collections::BTreeMap;

use crate::{
    State,
    trie::{self, INLINE_NODE_MAX, Slot},
};

/// Children of a branch.
const BRANCHING: usize = 16;

/// Nodes and values of the state trie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct StateProof(pub Vec<Vec<u8>>);

/// Why a proof tells nothing about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A node or value on the way is not in it.
    #[error("the proof lacks what hashes to {0}")]
    Missing(Hash),
    /// A node on the way is none.
    #[error("a node of the proof is malformed")]
    Malformed,
}

impl State {
    /// Proof of what stands under `keys` in [`State::storage`], or that nothing does.
    pub fn state_proof(&self, keys: &[Vec<u8>]) -> StateProof {
        let storage = self.storage();
        let entries: Vec<_> =
            storage.iter().map(|(key, value)| Item::new(key, Content::Changing(Slot::Inline(value)))).collect();
        let wanted: Vec<_> = keys.iter().map(|key| nibbles(key)).collect();
        let mut builder = Builder { wanted, ..Builder::default() };
        let root = builder.node(&entries, 0);
        debug_assert_eq!(blake2_256(&root), self.root());
        builder.keep(root);
        StateProof(builder.found.into_values().collect())
    }
}

impl StateProof {
    /// What stands under `key` in the trie with this root.
    ///
    /// # Errors
    /// If the proof is not about that key or that trie.
    pub fn read(&self, root: Hash, key: &[u8]) -> Result<Option<Vec<u8>>, ProofError> {
        let parts: BTreeMap<Hash, &[u8]> = self.0.iter().map(|part| (blake2_256(part), &part[..])).collect();
        let find = |hash: Hash| parts.get(&hash).copied().ok_or(ProofError::Missing(hash));
        let key = nibbles(key);
        let mut rest = &key[..];
        let mut node = find(root)?;
        // Each node but the last takes a nibble of the key.
        for _ in 0..=key.len() {
            let Some(decoded) = Node::decode(node)? else {
                return Ok(None);
            };
            let Some(behind) = rest.strip_prefix(&decoded.partial[..]) else {
                return Ok(None);
            };
            let Some((nibble, behind)) = behind.split_first() else {
                return match decoded.value {
                    None => Ok(None),
                    Some(Slot::Inline(value)) => Ok(Some(value.to_vec())),
                    Some(Slot::Hashed(hash)) => find(hash).map(|value| Some(value.to_vec())),
                };
            };
            rest = behind;
            node = match decoded.children.get(usize::from(*nibble)) {
                None | Some(None) => return Ok(None),
                Some(Some(Slot::Inline(node))) => node,
                Some(Some(Slot::Hashed(hash))) => find(*hash)?,
            };
        }
        Err(ProofError::Malformed)
    }
}

/// The uppermost nodes that are over settled entries alone: together over all of them.
#[derive(Clone, Debug)]
pub(crate) struct KnownNodes(Vec<KnownNode>);

#[derive(Clone, Debug)]
struct KnownNode {
    /// The nibbles that lead to it, in pairs; half of the last byte is filling if their number is odd.
    path: Vec<u8>,
    /// How many they are.
    len: usize,
    node: Vec<u8>,
}

/// The root over both kinds of entries, and what stands for the settled ones the next time: nothing if a changing key
/// continues a settled one, whose value is in no node of settled entries alone then.
pub(crate) fn root<'a>(
    changing: impl Iterator<Item = (&'a [u8], Slot<'a>)>,
    settled: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> (Hash, Option<KnownNodes>) {
    let settled = settled.map(|(key, value)| Item::new(key, Content::Settled(Slot::Inline(value))));
    let mut items: Vec<_> = settled.collect();
    let mut unknown = items.len();
    items.extend(changing.map(|(key, value)| Item::new(key, Content::Changing(value))));
    // Two runs in order: merging them is what this sort does best.
    items.sort_by(|one, other| one.bytes.cmp(other.bytes));
    let mut builder = Builder { learned: Some(Vec::new()), ..Builder::default() };
    let hash = blake2_256(&builder.node(&items, 0));
    let learned = builder.learned.unwrap_or_default();
    for (_, entries) in &learned {
        unknown = unknown.saturating_sub(*entries);
    }
    let nodes = learned.into_iter().map(|(node, _)| node).collect();
    (hash, (unknown == 0).then_some(KnownNodes(nodes)))
}

/// The root over changing entries and what is known of the settled ones; `None` if the trie has another shape now, so
/// that these nodes have no place in it: a changing key has come inside one, or one has gone beside which one stood.
pub(crate) fn root_from<'a>(changing: impl Iterator<Item = (&'a [u8], Slot<'a>)>, known: &KnownNodes) -> Option<Hash> {
    let known = known.0.iter().map(|KnownNode { path, len, node }| Item {
        bytes: path,
        len: *len,
        content: Content::Known(node),
    });
    let mut items: Vec<_> =
        known.chain(changing.map(|(key, value)| Item::new(key, Content::Changing(value)))).collect();
    items.sort_by(|one, other| one.bytes.cmp(other.bytes));
    let mut builder = Builder::default();
    let hash = blake2_256(&builder.node(&items, 0));
    (!builder.is_misshapen).then_some(hash)
}

/// What stands in the trie.
#[derive(Clone, Copy)]
enum Content<'a> {
    Changing(Slot<'a>),
    /// An entry that [`KnownNodes`] are over.
    Settled(Slot<'a>),
    /// A node over settled entries.
    Known(&'a [u8]),
}

/// An entry of the trie, or a node that is known.
struct Item<'a> {
    bytes: &'a [u8],
    /// Nibbles of `bytes` that count.
    len: usize,
    content: Content<'a>,
}

impl<'a> Item<'a> {
    const fn new(bytes: &'a [u8], content: Content<'a>) -> Self {
        Self { bytes, len: bytes.len().saturating_mul(2), content }
    }

    /// One of the key's nibbles.
    fn nibble(&self, at: usize) -> Option<u8> {
        let byte = self.bytes.get(at / 2).filter(|_| at < self.len)?;
        Some(if at.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
    }

    fn nibbles(&self, range: std::ops::Range<usize>) -> Vec<u8> {
        range.filter_map(|at| self.nibble(at)).collect()
    }

    /// How many nibbles two keys have in common.
    fn common(&self, other: &Self) -> usize {
        let bytes = self.bytes.iter().zip(other.bytes).take_while(|(one, other)| one == other).count();
        let nibbles = bytes.saturating_mul(2);
        let half = self.nibble(nibbles).is_some() && self.nibble(nibbles) == other.nibble(nibbles);
        nibbles.saturating_add(usize::from(half)).min(self.len).min(other.len)
    }
}

fn nibbles(key: &[u8]) -> Vec<u8> {
    key.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).collect()
}

/// Builds the trie and keeps what is on the way to the wanted keys.
#[derive(Default)]
struct Builder {
    wanted: Vec<Vec<u8>>,
    /// By hash.
    found: BTreeMap<Hash, Vec<u8>>,
    /// The uppermost nodes over settled entries, with the number of these; `None` below one of them, and if nobody
    /// wants to know.
    learned: Option<Vec<(KnownNode, usize)>>,
    /// A known node had no place.
    is_misshapen: bool,
}

impl Builder {
    fn keep(&mut self, part: Vec<u8>) {
        self.found.insert(blake2_256(&part), part);
    }

    /// The node over `items`, ascending, whose keys all agree in the first `from` nibbles. The recursion is as
    /// deep as keys are long.
    fn node(&mut self, items: &[Item<'_>], from: usize) -> Vec<u8> {
        let (Some(first), Some(last)) = (items.first(), items.last()) else {
            return trie::empty_node();
        };
        let common = if items.len() == 1 { first.len } else { first.common(last) };
        let partial = first.nibbles(from..common);
        // Keys are ascending: the one that ends here is the first.
        let value = match first.content {
            _ if first.len != common => None,
            Content::Changing(value) | Content::Settled(value) => Some(value),
            Content::Known(_) => {
                self.is_misshapen = true;
                None
            }
        };
        if let Some(Slot::Inline(value)) = value
            && trie::is_hashed(value)
            && self.wanted.contains(&first.nibbles(0..first.len))
        {
            self.keep(value.to_vec());
        }
        let mut below = items.get(usize::from(first.len == common)..).unwrap_or_default();
        if below.is_empty() {
            return trie::leaf(&partial, value.unwrap_or(Slot::Inline(&[])));
        }
        let mut children: [Option<Vec<u8>>; BRANCHING] = Default::default();
        for (nibble, child) in (0_u8..).zip(&mut children) {
            let own = below.iter().take_while(|item| item.nibble(common) == Some(nibble)).count();
            let (of_child, others) = below.split_at(own);
            below = others;
            if !of_child.is_empty() {
                *child = Some(self.child(of_child, common.saturating_add(1)));
            }
        }
        // A known node whose path ends here behind another key.
        self.is_misshapen |= !below.is_empty();
        trie::branch(&partial, value, &children)
    }

    /// The node to which the first `from` nibbles of all `items` lead.
    fn child(&mut self, items: &[Item<'_>], from: usize) -> Vec<u8> {
        if let [Item { content: Content::Known(node), len, .. }] = items
            && *len == from
        {
            return node.to_vec();
        }
        if items.iter().all(|item| matches!(item.content, Content::Settled(_)))
            && let Some(mut learned) = self.learned.take()
        {
            let node = self.node(items, from);
            let path = items.first().and_then(|item| item.bytes.get(..from.div_ceil(2))).unwrap_or_default();
            learned.push((KnownNode { path: path.to_vec(), len: from, node: node.clone() }, items.len()));
            self.learned = Some(learned);
            return node;
        }
        let node = self.node(items, from);
        if node.len() > INLINE_NODE_MAX && !self.wanted.is_empty() {
            let path = items.first().map(|item| item.nibbles(0..from)).unwrap_or_default();
            if self.wanted.iter().any(|wanted| wanted.starts_with(&path)) {
                self.keep(node.clone());
            }
        }
        node
    }
}

struct Node<'a> {
    partial: Vec<u8>,
    value: Option<Slot<'a>>,
    children: Vec<Option<Slot<'a>>>,
}

impl<'a> Node<'a> {
    /// `None` for the empty node.
    fn decode(node: &'a [u8]) -> Result<Option<Self>, ProofError> {
        let mut input = Input(node);
        let header = input.byte()?;
        if header == 0 {
            return Ok(None);
        }
        let (prefix_bits, is_branch, has_value, is_hashed) = match header.leading_zeros() {
            0 if header & 0b0100_0000 == 0 => (2, true, false, false),
            0 => (2, true, true, false),
            1 => (2, false, true, false),
            2 => (3, false, true, true),
            3 => (4, true, true, true),
            _ => return Err(ProofError::Malformed),
        };
        let partial = input.partial(header, prefix_bits)?;
        let bits = if is_branch { u16::from_le_bytes([input.byte()?, input.byte()?]) } else { 0 };
        let value = match (has_value, is_hashed) {
            (false, _) => None,
            (true, false) => Some(Slot::Inline(input.sized()?)),
            (true, true) => Some(Slot::Hashed(input.hash()?)),
        };
        let mut children = Vec::new();
        if is_branch {
            for child in 0..BRANCHING {
                let is_there = bits >> child & 1 == 1;
                children.push(if is_there { Some(child_slot(input.sized()?)) } else { None });
            }
        }
        Ok(Some(Self { partial, value, children }))
    }
}

/// A child of 32 bytes is a hash: shorter nodes stand inside, and longer ones never do.
fn child_slot(bytes: &[u8]) -> Slot<'_> {
    match <[u8; 32]>::try_from(bytes) {
        Ok(hash) => Slot::Hashed(Hash(hash)),
        Err(_) => Slot::Inline(bytes),
    }
}

/// What is left of a node.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ProofError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ProofError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, ProofError> {
        self.take(1)?.first().copied().ok_or(ProofError::Malformed)
    }

    fn hash(&mut self) -> Result<Hash, ProofError> {
        <[u8; 32]>::try_from(self.take(32)?).map(Hash).map_err(|_| ProofError::Malformed)
    }

    fn sized(&mut self) -> Result<&'a [u8], ProofError> {
        let len = Compact::<u32>::decode(&mut self.0).map_err(|_| ProofError::Malformed)?.0;
        self.take(len as usize)
    }

    /// The nibbles of a node's partial key.
    fn partial(&mut self, header: u8, prefix_bits: u32) -> Result<Vec<u8>, ProofError> {
        let in_header = 0xff_u8.checked_shr(prefix_bits).unwrap_or(0);
        let mut count = usize::from(header & in_header);
        if header & in_header == in_header {
            // As many bytes as say that there are more, and one that does not.
            let full = self.0.iter().take_while(|byte| **byte == 0xff).count();
            let more = self.take(full.saturating_add(1))?;
            count = more.iter().fold(count, |count, more| count.saturating_add(usize::from(*more)));
        }
        let bytes = self.take(count.div_ceil(2))?;
        let skipped = count % 2;
        let all = nibbles(bytes);
        // The high half of the first byte of an odd number of nibbles is filling.
        Ok(all.get(skipped..).unwrap_or_default().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proof(entries: &BTreeMap<Vec<u8>, Vec<u8>>, keys: &[Vec<u8>]) -> (Hash, StateProof) {
        let listed: Vec<_> =
            entries.iter().map(|(key, value)| Item::new(key, Content::Changing(Slot::Inline(value)))).collect();
        let mut builder = Builder { wanted: keys.iter().map(|key| nibbles(key)).collect(), ..Builder::default() };
        let root = builder.node(&listed, 0);
        let hash = blake2_256(&root);
        builder.keep(root);
        (hash, StateProof(builder.found.into_values().collect()))
    }

    fn entries() -> impl Strategy<Value = BTreeMap<Vec<u8>, Vec<u8>>> {
        // Few different bytes, so that keys share prefixes and end inside each other.
        let key = prop::collection::vec(prop::sample::select(vec![0_u8, 1, 0x10, 0xff]), 0..40);
        prop::collection::btree_map(key, prop::collection::vec(any::<u8>(), 0..70), 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_root_is_that_of_the_trie_and_every_key_can_be_proved(entries in entries(), other in any::<[u8; 3]>()) {
            let mut keys: Vec<_> = entries.keys().cloned().collect();
            keys.push(other.to_vec());
            keys.push(vec![0]);
            let (root, all) = proof(&entries, &keys);
            prop_assert_eq!(root, trie::root(entries.clone()));
            for key in &keys {
                prop_assert_eq!(all.read(root, key).unwrap(), entries.get(key).cloned());
                let (_, one) = proof(&entries, std::slice::from_ref(key));
                prop_assert_eq!(one.read(root, key).unwrap(), entries.get(key).cloned());
            }
        }

        #[test]
        fn nodes_that_are_known_change_no_root(entries in entries(), other in entries(), marks in any::<u64>()) {
            // Some entries settle; the others change from one root to the next.
            let settled: Vec<_> =
                entries.iter().zip(0_u32..).filter(|(_, index)| marks >> (index % 64) & 1 == 1).map(|(entry, _)| entry).collect();
            let settled = || settled.iter().map(|(key, value)| (&key[..], &value[..]));
            let free = |kind: &BTreeMap<Vec<u8>, Vec<u8>>| -> BTreeMap<_, _> {
                kind.clone().into_iter().filter(|(key, _)| !settled().any(|(taken, _)| taken == key)).collect()
            };
            let (first, second) = (free(&entries), free(&other));
            let both = first.clone().into_iter().chain(second.clone()).collect();
            let changed: BTreeMap<_, _> = first.keys().map(|key| (key.clone(), key.repeat(2))).collect();
            let sets = [first, second, both, BTreeMap::new(), changed];
            for before in &sets {
                let changing = |set| BTreeMap::iter(set).map(|(key, value): (&Vec<u8>, &Vec<u8>)| (&key[..], Slot::Inline(value)));
                let root_of = |set: &BTreeMap<_, _>| {
                    trie::root(set.clone().into_iter().chain(settled().map(|(key, value)| (key.to_vec(), value.to_vec()))))
                };
                let (root, known) = super::root(changing(before), settled());
                prop_assert_eq!(root, root_of(before));
                let Some(known) = known else { continue };
                for set in &sets {
                    let root = root_from(changing(set), &known);
                    prop_assert!(root.is_none_or(|root| root == root_of(set)));
                    prop_assert!(root.is_some() || set.keys().ne(before.keys()), "the same keys make the same shape");
                }
            }
        }

        #[test]
        fn a_mutilated_proof_never_proves_anything_else(
            entries in entries(),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let keys: Vec<_> = entries.keys().cloned().collect();
            let (root, mut proof) = proof(&entries, &keys);
            let part = at.index(proof.0.len());
            let byte = at.index(proof.0[part].len().max(1));
            if let Some(byte) = proof.0[part].get_mut(byte) {
                *byte ^= flip;
            }
            for key in &keys {
                if let Ok(read) = proof.read(root, key) {
                    prop_assert_eq!(read.as_ref(), entries.get(key));
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5)) {
            let proof = StateProof(parts.clone());
            for part in &parts {
                let _ = proof.read(blake2_256(part), &[1, 2, 3]);
            }
        }
    }

    #[test]
    fn of_what_did_not_change_the_uppermost_nodes_are_remembered_only() {
        let entries: Vec<_> = (0..=255_u8).map(|byte| (vec![byte; 4], vec![byte; 40])).collect();
        let settled = || entries.iter().map(|(key, value)| (&key[..], &value[..]));
        let (root, known) = super::root(std::iter::empty(), settled());
        let known = known.unwrap();
        assert_eq!(known.0.len(), BRANCHING);
        assert_eq!(root_from(std::iter::empty(), &known), Some(root));
        // Where no key was there is room; inside a known node there is none, nor at its end.
        for (key, has_room) in [(&[][..], true), (&[7], false), (&[7, 7], false), (&[0x70], false), (&[7; 8], false)] {
            let changing = || std::iter::once((key, Slot::Inline(&[1])));
            let (expected, _) = super::root(changing(), settled());
            assert_eq!(root_from(changing(), &known), has_room.then_some(expected), "{key:?}");
        }
    }

    #[test]
    fn nodes_have_no_place_any_more_once_the_key_beside_them_is_gone() {
        let entry = (&[0x12, 1][..], &[1][..]);
        let changing = || std::iter::once((&[0x13][..], Slot::Inline(&[2])));
        let known = super::root(changing(), std::iter::once(entry)).1.unwrap();
        assert!(root_from(changing(), &known).is_some());
        assert_eq!(root_from(std::iter::empty(), &known), None);
        let (_, known) = super::root(std::iter::once((&[0x12, 1, 1][..], Slot::Inline(&[2]))), std::iter::once(entry));
        assert!(known.is_none(), "its value stands in a node of both kinds");
    }

    #[test]
    fn a_proof_holds_no_more_than_the_way_to_its_keys() {
        let entries: BTreeMap<_, _> = (0..200_u8).map(|byte| (vec![byte; 4], vec![byte; 40])).collect();
        let key = vec![7; 4];
        let (root, one) = proof(&entries, std::slice::from_ref(&key));
        assert_eq!(one.0.len(), 4, "root, branch, leaf, and the hashed value");
        assert_eq!(one.read(root, &key), Ok(Some(vec![7; 40])));
        assert!(matches!(one.read(root, &[8; 4]), Err(ProofError::Missing(_))));
        let (_, empty) = proof(&BTreeMap::new(), &[]);
        assert_eq!(empty.read(crate::EMPTY_ROOT, &[1]), Ok(None));
        assert_eq!(StateProof::default().read(root, &key), Err(ProofError::Missing(root)));
    }
}
