//! The root of a Substrate trie, layout V1: values of more than 32 bytes are hashed, nodes are blake2b-256.

use codec::{Compact, Encode};
use primitives::{Hash, blake2_256};
use trie_root::{Hasher, TrieStream, Value, trie_root_no_extension};

/// The root of a trie without entries.
pub const EMPTY_ROOT: Hash = Hash([
    0x03, 0x17, 0x0a, 0x2e, 0x75, 0x97, 0xb7, 0xb7, 0xe3, 0xd8, 0x4c, 0x05, 0x39, 0x1d, 0x13, 0x9a, 0x62, 0xb1, 0x57,
    0xe7, 0x87, 0x86, 0xd8, 0xc0, 0x82, 0xf2, 0x9d, 0xcf, 0x4c, 0x11, 0x13, 0x14,
]);

/// From this size on, in bytes, a node holds a value's hash instead of the value.
const HASHED_VALUE_MIN: u32 = 33;
/// Nodes shorter than a hash stand inside their parent.
pub(crate) const INLINE_NODE_MAX: usize = 31;

/// The root over `entries`, whatever their order.
pub(crate) fn root(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Hash {
    Hash(trie_root_no_extension::<Blake2, Stream, _, _, _>(entries, Some(HASHED_VALUE_MIN)))
}

/// Whether a node holds the value's hash only.
pub(crate) const fn is_hashed(value: &[u8]) -> bool {
    value.len() >= HASHED_VALUE_MIN as usize
}

/// The encoded node of a trie without entries.
pub(crate) fn empty_node() -> Vec<u8> {
    vec![0]
}

/// A value or child: inside its node, or named by its hash.
#[derive(Clone, Copy)]
pub(crate) enum Slot<'a> {
    Inline(&'a [u8]),
    Hashed(Hash),
}

impl<'a> Slot<'a> {
    fn value(self) -> Value<'a> {
        match self {
            Self::Inline(value) if is_hashed(value) => Value::Node(blake2_256(value).0.to_vec()),
            Self::Inline(value) => Value::Inline(value),
            Self::Hashed(hash) => Value::Node(hash.0.to_vec()),
        }
    }
}

/// An encoded leaf.
pub(crate) fn leaf(partial: &[u8], value: Slot<'_>) -> Vec<u8> {
    let mut stream = Stream(Vec::new());
    stream.append_leaf(partial, value.value());
    stream.0
}

/// An encoded branch over its encoded children, by nibble.
pub(crate) fn branch(partial: &[u8], value: Option<Slot<'_>>, children: &[Option<Vec<u8>>; 16]) -> Vec<u8> {
    let mut stream = Stream(Vec::new());
    let value = value.map(Slot::value);
    stream.begin_branch(Some(partial), value, children.iter().map(Option::is_some));
    for child in children.iter().flatten() {
        stream.append_substream::<Blake2>(Stream(child.clone()));
    }
    stream.0
}

struct Blake2;

impl Hasher for Blake2 {
    type Out = [u8; 32];
    type StdHasher = std::hash::DefaultHasher;
    const LENGTH: usize = 32;

    fn hash(bytes: &[u8]) -> Self::Out {
        blake2_256(bytes).0
    }
}

/// The kinds of nodes: their leading bits, and how many these are.
#[derive(Clone, Copy)]
struct Kind {
    prefix: u8,
    prefix_bits: u32,
}

const LEAF: Kind = Kind::new(0b0100_0000, 2);
const BRANCH: Kind = Kind::new(0b1000_0000, 2);
const BRANCH_WITH_VALUE: Kind = Kind::new(0b1100_0000, 2);
const LEAF_WITH_HASH: Kind = Kind::new(0b0010_0000, 3);
const BRANCH_WITH_HASH: Kind = Kind::new(0b0001_0000, 4);

impl Kind {
    const fn new(prefix: u8, prefix_bits: u32) -> Self {
        Self { prefix, prefix_bits }
    }
}

/// Writes nodes in Substrate's encoding.
struct Stream(Vec<u8>);

impl Stream {
    /// Header (kind and number of nibbles) and the partial key: an odd nibble stands alone in the first byte.
    fn begin_node(&mut self, kind: Kind, nibbles: &[u8]) {
        let in_header = 0xff_u8 >> kind.prefix_bits;
        if nibbles.len() < usize::from(in_header) {
            // The guard bounds the length by a byte's value.
            self.0.push(kind.prefix | nibbles.len() as u8);
        } else {
            self.0.push(kind.prefix | in_header);
            let rest = nibbles.len().saturating_sub(usize::from(in_header));
            self.0.extend(std::iter::repeat_n(0xff, rest / 0xff));
            self.0.push((rest % 0xff) as u8);
        }
        let (odd, pairs) = nibbles.as_rchunks();
        self.0.extend_from_slice(odd);
        self.0.extend(pairs.iter().map(|[upper, lower]| (upper << 4) | lower));
    }

    fn push_value(&mut self, value: &Value<'_>) {
        match value {
            Value::Inline(bytes) => self.push_sized(bytes),
            Value::Node(hash) => self.0.extend_from_slice(hash),
        }
    }

    fn push_sized(&mut self, bytes: &[u8]) {
        // Nothing here is near 4 GiB: the state's largest value is a head.
        Compact(bytes.len() as u32).encode_to(&mut self.0);
        self.0.extend_from_slice(bytes);
    }
}

impl TrieStream for Stream {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn append_empty_data(&mut self) {
        self.0.push(0);
    }

    fn append_leaf(&mut self, key: &[u8], value: Value<'_>) {
        let kind = match value {
            Value::Inline(_) => LEAF,
            Value::Node(_) => LEAF_WITH_HASH,
        };
        self.begin_node(kind, key);
        self.push_value(&value);
    }

    fn begin_branch(
        &mut self,
        maybe_key: Option<&[u8]>,
        maybe_value: Option<Value<'_>>,
        has_children: impl Iterator<Item = bool>,
    ) {
        let kind = match maybe_value {
            None => BRANCH,
            Some(Value::Inline(_)) => BRANCH_WITH_VALUE,
            Some(Value::Node(_)) => BRANCH_WITH_HASH,
        };
        self.begin_node(kind, maybe_key.unwrap_or_default());
        let children = has_children.zip(0..).fold(0_u16, |bits, (has, slot)| bits | (u16::from(has) << slot));
        self.0.extend_from_slice(&children.to_le_bytes());
        if let Some(value) = maybe_value {
            self.push_value(&value);
        }
    }

    /// This trie has no extension nodes: a branch carries its partial key.
    fn append_extension(&mut self, _key: &[u8]) {}

    fn append_substream<H: Hasher>(&mut self, other: Self) {
        let node = other.out();
        if node.len() <= INLINE_NODE_MAX {
            self.push_sized(&node);
        } else {
            self.push_sized(H::hash(&node).as_ref());
        }
    }

    fn out(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trie_root::unhashed_trie_no_extension;

    fn node(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
        let entries = entries.iter().map(|(k, v)| (k.to_vec(), v.to_vec()));
        unhashed_trie_no_extension::<Blake2, Stream, _, _, _>(entries, Some(HASHED_VALUE_MIN))
    }

    #[test]
    fn an_empty_trie_has_the_well_known_root() {
        assert_eq!(root([]), EMPTY_ROOT);
    }

    #[test]
    fn a_leaf_is_kind_nibbles_key_and_value() {
        assert_eq!(node(&[(&[0xaa], &[0xbb])]), [0x42, 0xaa, 4, 0xbb]);
    }

    #[test]
    fn a_branch_holds_a_bit_per_child_and_short_children_inside() {
        let expected = [
            0x80,
            0b0001_0010,
            0, // branch without key, children 1 and 4
            5 << 2,
            0x43,
            0x03,
            0x14,
            1 << 2,
            0xff, // leaf under 1: nibbles 3 1 4
            5 << 2,
            0x43,
            0x08,
            0x19,
            1 << 2,
            0xfe, // leaf under 4: nibbles 8 1 9
        ];
        assert_eq!(node(&[(&[0x48, 0x19], &[0xfe]), (&[0x13, 0x14], &[0xff])]), expected);
    }

    #[test]
    fn values_of_33_bytes_and_more_are_hashed() {
        let long = [7_u8; 33];
        let expected = [&[0x22, 0xaa][..], &blake2_256(&long).0].concat();
        assert_eq!(node(&[(&[0xaa], &long)]), expected);
        let inline = node(&[(&[0xaa], &long[..32])]);
        assert_eq!(inline[..3], [0x42, 0xaa, 32 << 2]);
    }

    #[test]
    fn long_keys_spill_their_length_into_further_bytes() {
        let key = [0x11_u8; 40];
        let node = node(&[(&key, &[1])]);
        // 80 nibbles: 63 in the header, 17 in the next byte.
        assert_eq!(node[..2], [0b0111_1111, 17]);
        assert_eq!(node.len(), 2 + 40 + 2);
    }

    #[test]
    fn the_extrinsics_of_a_block_of_polkadot_have_the_root_in_its_header() {
        // Block 1,491,596.
        let entries = [(vec![0], hex("280402000b50055ee97001")), (vec![4], hex("1004140000"))];
        assert_eq!(root(entries).to_string(), "0x0e354333c062892e774898e7ff5e23bf1cdd8314755fac15079e25c1a7765f06");
    }

    fn hex(digits: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    }
}
